"""Uphill against a plain loop that follows its definition, and the laws of ties, gaps and edges."""

import numpy as np
import pytest

from headscarp.core.errors import GridError, RecipeError
from headscarp.terrain import ring, uphill


def plain_loop(dem, radius_px, points="full", valid=None):
    """Offsets and mask as defined: ring points in row order, a later one wins only if it is higher."""
    usable = np.isfinite(dem) if valid is None else np.isfinite(dem) & valid
    drow, dcol = np.zeros(dem.shape, np.int16), np.zeros(dem.shape, np.int16)
    above = np.zeros(dem.shape, bool)
    for i, j in np.argwhere(usable):
        best = -np.inf
        for r, c in ring(radius_px, points=points).tolist():
            if not (0 <= i + r < dem.shape[0] and 0 <= j + c < dem.shape[1] and usable[i + r, j + c]):
                continue
            if dem[i + r, j + c] > best:
                best = dem[i + r, j + c]
                drow[i, j], dcol[i, j], above[i, j] = r, c, best > dem[i, j]
    return drow, dcol, above


def rough(seed, shape, levels=12):
    """Few levels, so ties are everywhere; gaps and a block of them; the odd infinity."""
    generator = np.random.default_rng(seed)
    dem = generator.integers(-levels, levels, shape).astype(np.float32)
    dem[generator.random(shape) < 0.15] = np.nan
    dem[shape[0] // 3 : shape[0] // 2, shape[1] // 3 : shape[1] // 2] = np.nan
    dem[0, 0], dem[-1, -1], dem[2, 3] = np.inf, -np.inf, -np.inf
    return dem


@pytest.mark.parametrize("points", ["full", "thinned"])
@pytest.mark.parametrize("radius_px", [1, 3, 10, 30])
@pytest.mark.parametrize("shape", [(41, 57), (75, 33)])
def test_uphill_equals_a_plain_loop(radius_px, points, shape):
    dem = rough(radius_px, shape)
    found = uphill(dem, radius_px, points=points)
    for name, expected in zip(found._fields, plain_loop(dem, radius_px, points), strict=True):
        assert np.array_equal(getattr(found, name), expected), name


def test_uphill_equals_a_plain_loop_with_a_mask_and_distinct_heights():
    generator = np.random.default_rng(9)
    dem, valid = generator.normal(0, 50, (40, 45)), generator.random((40, 45)) < 0.8
    dem = dem.astype(np.float32)
    for found, expected in zip(uphill(dem, 4, valid=valid), plain_loop(dem, 4, valid=valid), strict=True):
        assert np.array_equal(found, expected)


def test_wide_rasters_and_any_number_of_threads_give_the_same():
    dem = rough(5, (150, 2100))
    alone, together = uphill(dem, 3, threads=1), uphill(dem, 3, threads=3)
    padded = uphill(np.pad(dem, 5, constant_values=np.nan), 3)
    for one, other, inner in zip(alone, together, padded, strict=True):
        assert np.array_equal(one, other)
        assert np.array_equal(one, inner[5:-5, 5:-5])


def test_on_a_plane_the_way_is_up_and_on_a_summit_it_is_not_above():
    rows, columns = np.mgrid[:41, :41].astype(np.float32)
    north = uphill(-rows, 10)
    assert np.all(north.drow[10:] == -10)
    assert north.above[10:].all()
    summit = uphill(-np.hypot(rows - 20, columns - 20), 3)
    assert not summit.above[20, 20]
    assert (summit.drow[20, 20], summit.dcol[20, 20]) != (0, 0)


def test_ties_go_to_the_first_in_row_order():
    flat = uphill(np.zeros((9, 9), np.float32), 3)
    assert (flat.drow[4, 4], flat.dcol[4, 4]) == tuple(ring(3)[0])
    assert not flat.above.any()


def test_where_nothing_can_win_the_offset_is_zero():
    lone = np.full((9, 9), np.nan, np.float32)
    lone[4, 4] = 1.0
    for dem, radius_px in ((lone, 3), (np.zeros((5, 5), np.float32), 30)):
        for band in uphill(dem, radius_px):
            assert not band.any()


def test_wrong_input_is_refused():
    with pytest.raises(GridError, match="valid is"):
        uphill(np.zeros((5, 5)), 3, valid=np.ones((4, 5), bool))
    with pytest.raises(RecipeError, match="radius"):
        uphill(np.zeros((5, 5)), 0)
