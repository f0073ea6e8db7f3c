"""Laws of reading a stack back: any window equals the cut of the whole, and cells that do not coincide are refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headscarp.assemble.places import grown, place_grid
from headscarp.core.band import Band
from headscarp.core.errors import SourceError
from headscarp.core.stack import make_stack, write_stack
from headscarp.core.tile import Window
from headscarp.sources.stacks import StackBand, prepare_band, read_frames, read_stack_window

GRID = place_grid((-122.02, 37.99, -122.0, 38.0), 30.0)
WIDE = grown(GRID, 5)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    rng = np.random.default_rng(3)
    path = tmp_path_factory.mktemp("stacks") / "s.zarr"
    bands = {
        Band("elevation", "continuous", "m"): rng.normal(size=WIDE.shape),
        Band("red", "continuous"): rng.normal(size=(2, *WIDE.shape)),
        Band("cover", "categorical", classes=("a", "b")): rng.integers(0, 3, WIDE.shape),
    }
    write_stack(make_stack(WIDE, bands, time=np.array(["2019-01-01", "2019-01-09"], "datetime64[ns]")), path)
    return path, {band.name: array.astype("float32") for band, array in bands.items()}


@settings(max_examples=40, deadline=None)
@given(st.integers(-9, 60), st.integers(-9, 80), st.integers(1, 30), st.integers(1, 30))
def test_any_window_is_the_cut_of_the_whole_and_missing_off_it(stored, row, col, height, width):
    path, arrays = stored
    wide = np.pad(arrays["elevation"].astype(float), 60, constant_values=np.nan)
    window = Window(row, col, height, width).clip(GRID.shape).grow(7)
    got = read_stack_window(StackBand(str(path), "elevation"), GRID, window)
    top, left = window.row + 65, window.col + 65
    np.testing.assert_array_equal(got, wide[top : top + window.height, left : left + window.width])


def test_frames_and_codes_come_back_as_they_stand(stored):
    path, arrays = stored
    got = read_frames(str(path), "red", slice(0, 2), GRID, Window(0, 0, *GRID.shape))
    np.testing.assert_array_equal(got, arrays["red"][:, 5:-5, 5:-5])
    codes = read_stack_window(StackBand(str(path), "cover"), GRID, Window(0, 0, *GRID.shape))
    np.testing.assert_array_equal(np.nan_to_num(codes), arrays["cover"][5:-5, 5:-5])


def test_what_does_not_fit_is_told(stored):
    path, _ = stored
    with pytest.raises(SourceError, match="2 frames"):
        prepare_band(path, "red", GRID)
    with pytest.raises(SourceError, match="it has: elevation, red, cover"):
        prepare_band(path, "height", GRID)
    with pytest.raises(SourceError, match="do not coincide"):
        prepare_band(path, "elevation", place_grid((-122.02, 37.99, -122.0, 38.0), 20.0))
