"""Laws of flow: no water is lost, it runs straight down a plane, pits fill, missing cells let it out."""

import numpy as np
import pytest

from headscarp.core.errors import GridError
from headscarp.terrain import flow_accumulation, wetness_index
from headscarp.terrain.flow import _drainage


def test_water_runs_straight_down_a_tilted_plane():
    dem = np.repeat(np.arange(20.0, 0, -1)[:, None], 7, axis=1)
    area_m2 = flow_accumulation(dem, (10.0, 5.0))
    expected = 50.0 * np.arange(1, 21)[:, None]
    np.testing.assert_allclose(area_m2, np.repeat(expected, 7, axis=1))


def test_the_steepest_way_down_depends_on_the_true_size_of_the_cells():
    # One metre down to the east, 1.3 m to the south-east: the diagonal is steeper on oblong cells only.
    dem = np.full((3, 3), 9.0)
    dem[1, 1], dem[1, 2], dem[2, 2] = 5.0, 4.0, 3.7
    square, oblong = flow_accumulation(dem, 10.0), flow_accumulation(dem, (1.0, 10.0))
    assert square[1, 2] > square[1, 1]
    assert oblong[1, 2] < oblong[1, 1]


@pytest.mark.parametrize("seed", range(3))
def test_no_water_is_lost_and_a_valley_gathers_all(seed):
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[:40, :30]
    # A rough funnel with walls: the one way out is the middle of the southern edge.
    dem = generator.normal(0, 3, (40, 30)) + 200 - 2 * rows + 2 * np.abs(columns - 15)
    dem[0], dem[-1], dem[:, 0], dem[:, -1] = 900, 900, 900, 900
    dem[-1, 15] = -50
    area_m2 = flow_accumulation(dem.astype(np.float32), 1.0)
    inside = 38 * 28 + 1
    assert area_m2[-1, 15] >= inside
    assert area_m2.min() >= 1


@pytest.mark.parametrize("scale", [0.0, 1e-9, 1e-4, 1.0, 1e4])
def test_all_water_reaches_an_outlet_whatever_the_ground(scale):
    generator = np.random.default_rng(1)
    steps = generator.integers(0, 2, (50, 60)) * 3000.0
    for dem in (generator.normal(0, scale, (50, 60)) + steps, np.round(generator.normal(0, scale, (50, 60)), 3)):
        dem[generator.random(dem.shape) < 0.02] = np.nan
        next_cell, outlets = downstream(dem.astype(np.float32))
        for _ in range(12):  # 2^12 steps: more than there are cells
            next_cell = next_cell[next_cell]
        valid = np.isfinite(dem).ravel()
        assert outlets[next_cell[valid]].all()
        area_m2 = flow_accumulation(dem.astype(np.float32), 1.0)
        assert area_m2.ravel()[outlets].sum() == valid.sum()


def downstream(dem):
    """For each cell (row by row) the cell it drains to, itself at outlets; and which cells are outlets."""
    codes = _drainage(dem, np.ones(len(dem)), np.ones(len(dem)))
    down, right = [0, 1, 1, 1, 0, -1, -1, -1], [1, 1, 0, -1, -1, -1, 0, 1]
    next_cell = np.arange(dem.size).reshape(dem.shape)
    for k in range(8):
        next_cell[codes == 1 << k] += down[k] * dem.shape[1] + right[k]
    return next_cell.ravel(), (codes == 0).ravel()


def test_missing_cells_stay_missing_and_let_water_out():
    dem = np.repeat(np.arange(20.0, 0, -1)[:, None], 7, axis=1)
    dem[10, 3], dem[4, 4] = np.nan, np.inf
    area_m2 = flow_accumulation(dem, 1.0)
    assert np.array_equal(np.isnan(area_m2), ~np.isfinite(dem))
    assert np.isnan(flow_accumulation(np.full((4, 4), np.nan), 1.0)).all()


def test_rows_of_their_own_size_count_with_their_own_area():
    dem = np.repeat(np.arange(5.0, 0, -1)[:, None], 3, axis=1)
    width_m = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    area_m2 = flow_accumulation(dem, (np.full(5, 10.0), width_m))
    np.testing.assert_allclose(area_m2[:, 1], np.cumsum(10 * width_m))


def test_wetness_by_hand_and_on_flats():
    # 5000 m2 over 10 m of contour at 45 degrees: ln 500.
    area_m2, slope_deg = np.full((2, 2), 5000.0), np.array([[45.0, 0.0], [0.1, np.nan]])
    index = wetness_index(area_m2, slope_deg, 10.0)
    np.testing.assert_allclose(index[0, 0], np.log(500), rtol=1e-6)
    assert index[0, 1] == index[1, 0]
    assert np.isfinite(index[0, 1])
    assert np.isnan(index[1, 1])
    with pytest.raises(GridError, match="same grid"):
        wetness_index(area_m2, slope_deg[:1], 10.0)
