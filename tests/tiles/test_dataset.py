"""Laws of the training cache: it is the stack, bit by bit; it is whole or made again; it is found again."""

import numpy as np
import pytest
import xarray as xr

from headscarp.core.errors import OutputError, StackError
from headscarp.core.stack import feature_bands, fingerprint, open_stack, stack_bands, stack_grid, write_stack
from headscarp.core.tile import Window
from headscarp.tiles.dataset import as_stack, cache_stack, read_window
from headscarp.tiles.reader import TileReader


@pytest.fixture
def stored(world, tmp_path):
    write_stack(world((300, 270)), tmp_path / "s.zarr")
    return tmp_path / "s.zarr"


def test_the_cache_is_the_stack(world, stored, tmp_path):
    cached = cache_stack(stored, tmp_path / "cache")
    original = open_stack(stored)
    assert stack_bands(cached) == stack_bands(original)
    assert stack_grid(cached) == stack_grid(original)
    assert fingerprint(cached) == fingerprint(original) == fingerprint(world((300, 270)))
    for band in stack_bands(original):
        np.testing.assert_array_equal(cached[band.name].to_numpy(), original[band.name].to_numpy())
        assert cached[band.name].dtype == original[band.name].dtype
    np.testing.assert_array_equal(cached.x, original.x)


def test_the_cache_is_mapped_not_loaded(stored, tmp_path):
    cached = cache_stack(stored, tmp_path / "cache")
    window = read_window(cached["elevation"], Window(3, 4, 5, 6))
    base = window
    while getattr(base, "base", None) is not None and not isinstance(base, np.memmap):
        base = base.base
    assert isinstance(base, np.memmap)


def test_the_cache_is_found_again_and_another_stack_gets_another(world, stored, tmp_path):
    cache_stack(stored, tmp_path / "cache")
    home = next((tmp_path / "cache").iterdir())
    before = {path.name: path.stat().st_mtime_ns for path in home.iterdir()}
    cache_stack(stored, tmp_path / "cache")
    assert before == {path.name: path.stat().st_mtime_ns for path in home.iterdir()}
    cache_stack(world((300, 270), seed=1), tmp_path / "cache")
    assert len(list((tmp_path / "cache").iterdir())) == 2
    assert fingerprint(as_stack(home)) == home.name


def test_a_torn_cache_is_made_again(stored, tmp_path):
    cache_stack(stored, tmp_path / "cache")
    home = next((tmp_path / "cache").iterdir())
    with (home / "000.npy").open("r+b") as file:
        file.truncate(1000)
    with pytest.raises(StackError, match="torn"):
        as_stack(home)
    again = cache_stack(stored, tmp_path / "cache")
    np.testing.assert_array_equal(again["elevation"].to_numpy(), open_stack(stored)["elevation"].to_numpy())
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [home.name]


def test_an_interrupted_cache_leaves_nothing(stored, tmp_path, monkeypatch):
    def interrupted(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("headscarp.tiles.dataset._strips", interrupted)
    with pytest.raises(OutputError, match="disk is full"):
        cache_stack(stored, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_samples_and_their_own_variables_are_kept(world, tmp_path):
    chips = xr.concat([world((20, 30), seed) for seed in range(3)], "sample")
    chips["region"] = ("sample", np.array(["north", "south", "north"], dtype=object))
    cached = cache_stack(chips, tmp_path)
    assert list(cached.region.to_numpy()) == ["north", "south", "north"]
    for sample in range(3):
        window = read_window(cached["rock"], Window(2, 3, 4, 5), sample=sample)
        np.testing.assert_array_equal(window, chips["rock"][sample, 2:6, 3:8])


def test_frames_without_days_are_not_read(world):
    frames = xr.concat([world((20, 30), seed) for seed in range(2)], "time")
    with pytest.raises(StackError, match="no days before a cut-off"):
        TileReader(frames, feature_bands(frames))
