"""Frames laid side by side and slope made on the way are, window by window, what they are at once."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from headscarp.core.band import Band
from headscarp.prediction.slots import lazy_plane, lazy_slope, side_by_side
from headscarp.terrain import slope

SHAPE, CELL_M = (23, 31), (30.0, 20.0)
RED = Band("red", "continuous", optional=True)
CLOUD = Band("cloud", "categorical", classes=("cloud", "clear"))


def keys(size):
    ends = st.tuples(st.integers(0, size), st.integers(0, size)).map(sorted)
    steps = st.tuples(ends, st.integers(1, 4)).map(lambda k: slice(*k[0], k[1]))
    return st.one_of(st.integers(-size, size - 1), steps)


@pytest.fixture(scope="module")
def frames():
    rng = np.random.default_rng(0)
    red = xr.DataArray(rng.random((3, *SHAPE), dtype=np.float32), dims=("time", "y", "x"))
    codes = xr.DataArray(rng.integers(0, 4, (2, *SHAPE)).astype(np.uint8), dims=("time", "y", "x"))
    return red, codes.assign_attrs(classes=["clear", "haze", "cloud"])


@settings(max_examples=60, deadline=None)
@given(when=keys(4), rows=keys(SHAPE[0]), cols=keys(SHAPE[1]))
def test_any_window_of_frames_is_that_of_the_whole(when, rows, cols, frames):
    red, codes = frames
    wanted = np.stack([red[2], np.full(SHAPE, np.nan), red[0], red[1]])
    lazy = xr.Variable(("time", "y", "x"), side_by_side([(red, 2), None, (red, 0), (red, 1)], RED, SHAPE))
    np.testing.assert_array_equal(lazy[when, rows, cols].values, wanted[when, rows, cols])
    known = np.array([0, 2, 0, 1], np.uint8)[codes.values]
    lazy = xr.Variable(("time", "y", "x"), side_by_side([(codes, 1), None, None, (codes, 0)], CLOUD, SHAPE))
    nothing = np.zeros(SHAPE, np.uint8)
    np.testing.assert_array_equal(
        lazy[when, rows, cols].values, np.stack([known[1], nothing, nothing, known[0]])[when, rows, cols]
    )


@settings(max_examples=60, deadline=None)
@given(rows=keys(SHAPE[0]), cols=keys(SHAPE[1]))
def test_any_window_of_slope_is_that_of_the_whole(rows, cols):
    heights = np.random.default_rng(1).normal(100, 30, SHAPE).astype(np.float32)
    heights[4:6, 7] = np.nan
    elevation = xr.DataArray(heights, dims=("y", "x"))
    found = lazy_slope(elevation, CELL_M)[rows, cols].values
    np.testing.assert_array_equal(found, slope(heights, CELL_M)[rows, cols])
    plane = xr.Variable(("y", "x"), lazy_plane(elevation.astype(np.float64), Band("elevation", "continuous", "m")))
    assert plane.dtype == np.float32
    np.testing.assert_array_equal(plane[rows, cols].values, heights[rows, cols])
