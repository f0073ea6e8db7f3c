"""Laws of the travel angle: distances by geometry, sources add up, flatter angles and larger slides reach further."""

import math
from itertools import pairwise

import numpy as np
import pytest

from headscarp.core.errors import GridError, RecipeError
from headscarp.terrain.runout import runout, travel_tangent

CELL_M = 10.0


def ramp(rows=120, cols=41, break_row=40, slope=0.6):
    """Down to the south by `slope` to a flat from `break_row` on."""
    return np.repeat(np.maximum(break_row - np.arange(rows), 0)[:, None] * slope * CELL_M, cols, axis=1)


def at(shape, *cells):
    mask = np.zeros(shape, bool)
    for row, col in cells:
        mask[row, col] = True
    return mask


def rough(seed, shape=(50, 60)):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    return 200 * np.sin(x / 13 + seed) * np.cos(y / 11) + 4 * y + rng.normal(0, 2, shape)


@pytest.mark.parametrize("angle", [12.0, 20.0, 27.0])
def test_a_slide_stops_where_the_line_of_the_travel_angle_meets_the_ground(angle):
    dem = ramp()
    reached = runout(dem, at(dem.shape, (10, 20)), CELL_M, angle_deg=angle)
    height_m = dem[10, 20]
    furthest = np.flatnonzero(reached[:, 20]).max()
    assert furthest == 10 + math.floor(height_m / math.tan(math.radians(angle)) / CELL_M + 1e-4)
    assert np.array_equal(reached, reached[:, ::-1])
    assert not reached[:10].any()


def test_a_slope_flatter_than_the_angle_is_not_run_down():
    dem = ramp(slope=0.3)
    assert runout(dem, at(dem.shape, (10, 20)), CELL_M, angle_deg=20.0).sum() == 1


@pytest.mark.parametrize("seed", range(4))
def test_all_sources_reach_what_each_reaches(seed):
    dem, rng = rough(seed), np.random.default_rng(seed)
    cells = [tuple(c) for c in rng.integers(5, 45, (6, 2))]
    alone = [runout(dem, at(dem.shape, cell), CELL_M, angle_deg=18.0) for cell in cells]
    together = runout(dem, at(dem.shape, *cells), CELL_M, angle_deg=18.0)
    assert np.array_equal(together, np.any(alone, axis=0))
    assert together.sum() > len(cells)


@pytest.mark.parametrize("seed", range(4))
def test_a_flatter_angle_reaches_as_much_and_more(seed):
    dem = rough(seed)
    sources = at(dem.shape, (10, 20), (25, 30))
    reached = [runout(dem, sources, CELL_M, angle_deg=angle) for angle in (30.0, 22.0, 14.0)]
    assert all((more | less == more).all() for less, more in pairwise(reached))
    assert reached[0][sources].all()
    assert (dem[reached[2]] <= dem[sources].max()).all()


def test_turned_ground_is_run_alike():
    dem = rough(7)
    sources = at(dem.shape, (10, 20), (25, 30))
    reached = runout(dem, sources, CELL_M, angle_deg=16.0)
    turned = runout(np.rot90(dem).copy(), np.rot90(sources).copy(), CELL_M, angle_deg=16.0)
    assert np.array_equal(np.rot90(reached), turned)


def test_missing_ground_stops_a_slide():
    dem = ramp()
    dem[30, :] = np.nan
    reached = runout(dem, at(dem.shape, (10, 20), (30, 5)), CELL_M, angle_deg=15.0)
    assert not reached[30:].any()
    assert reached[29, 20]


def test_larger_slides_go_further():
    tangents = travel_tangent(np.array([1e2, 1e4, 1e6]))
    assert (np.diff(tangents) < 0).all()
    volume = 0.074 * 1e4**1.45
    assert math.log10(tangents[1]) == pytest.approx(-0.085 * math.log10(volume) - 0.047)
    dem = ramp(rows=200)
    small, large = at(dem.shape, (10, 20)), np.zeros(dem.shape, bool)
    large[6:11, 15:26] = True
    ends = [np.flatnonzero(runout(dem, s, CELL_M).any(axis=1)).max() for s in (small, large)]
    assert ends[1] > ends[0] + 3
    assert runout(dem, large, CELL_M, factor=0.7).sum() > runout(dem, large, CELL_M).sum()


def test_what_cannot_be_is_refused():
    dem = ramp()
    with pytest.raises(GridError, match="bring them onto one grid"):
        runout(dem, at((3, 3), (1, 1)), CELL_M)
    with pytest.raises(RecipeError, match="angle of reach is 95"):
        runout(dem, at(dem.shape, (1, 1)), CELL_M, angle_deg=95)
    with pytest.raises(RecipeError, match="factor"):
        runout(dem, at(dem.shape, (1, 1)), CELL_M, factor=0)
    assert not runout(dem, np.zeros(dem.shape, bool), CELL_M).any()
