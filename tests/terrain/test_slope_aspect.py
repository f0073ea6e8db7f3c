"""Laws of slope and aspect: planes have theirs exactly, turning turns, missing spreads one cell and no further."""

import math
import warnings

import numpy as np
import pytest

from headscarp.core.errors import GridError, RecipeError
from headscarp.terrain import METHODS, NAMES, aspect, derive, slope
from headscarp.terrain._kernels import _arctan_of_ratio

INSIDE = (slice(1, -1), slice(1, -1))


def plane(rise_east, rise_north, cell_size_m, shape=(9, 12)):
    """Elevation of a plane rising by so many metres a metre, row 0 in the north."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return 100.0 + rise_east * columns * cell_size_m[1] - rise_north * rows * cell_size_m[0]


def hills(seed=0, shape=(60, 70)):
    return np.random.default_rng(seed).normal(500, 3, shape).astype(np.float32)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize(("east", "north"), [(0.3, 0.1), (-0.2, 0.5), (-1.0, -1.0), (0.0, -2.0), (1e-3, 0.0)])
def test_a_tilted_plane_has_its_slope_and_aspect_on_oblong_cells(method, kind, east, north):
    cell_size_m = (20.0, 5.0)
    dem = plane(east, north, cell_size_m).astype(kind)
    # A float32 plane is not quite one: its steps of 8e-6 m at 100 m count against one cell.
    tolerance_deg = 1e-4 if kind == np.float32 else 1e-5
    tolerance_aspect_deg = 0.05 if kind == np.float32 else 1e-4
    expected_slope = math.degrees(math.atan(math.hypot(east, north)))
    expected_aspect = math.degrees(math.atan2(-east, -north)) % 360
    np.testing.assert_allclose(slope(dem, cell_size_m, method=method)[INSIDE], expected_slope, atol=tolerance_deg)
    turned = aspect(dem, cell_size_m, method=method)[INSIDE] - expected_aspect
    np.testing.assert_allclose((turned + 180) % 360 - 180, 0, atol=tolerance_aspect_deg)


@pytest.mark.parametrize(
    ("east", "north", "faces"),
    [(0, -1, 0), (-1, -1, 45), (-1, 0, 90), (-1, 1, 135), (0, 1, 180), (1, 1, 225), (1, 0, 270), (1, -1, 315)],
)
def test_aspect_is_the_compass_direction_downslope(east, north, faces):
    assert np.all(aspect(plane(east, north, (1, 1)), 1.0)[INSIDE] == faces)


@pytest.mark.parametrize("method", METHODS)
def test_flats_have_slope_zero_no_aspect_and_no_curvature(method):
    bands = derive(np.full((5, 5), 7.0, np.float32), 10.0, NAMES, method=method)
    assert np.all(np.isnan(bands.pop("aspect")))
    for band in bands.values():
        assert np.all(band[INSIDE] == 0)


@pytest.mark.parametrize("method", METHODS)
def test_a_quarter_turn_of_the_dem_turns_the_results(method):
    dem = hills()
    upright = derive(dem, (8.0, 3.0), NAMES, method=method)
    # numpy turns counter-clockwise: what faced north faces west.
    turned = derive(np.rot90(dem), (3.0, 8.0), NAMES, method=method)
    for name in NAMES:
        back = np.rot90(turned[name], -1)
        gap = back - upright[name] if name != "aspect" else (back - upright[name] + 90 + 180) % 360 - 180
        scale = np.nanmax(np.abs(upright[name]))
        assert np.nanmax(np.abs(gap)) < 2e-6 * scale
        assert np.array_equal(np.isnan(back), np.isnan(upright[name]))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("missing", [np.nan, np.inf, -np.inf])
def test_a_missing_cell_takes_its_eight_neighbours_and_no_more(method, missing):
    dem = hills(shape=(11, 13))
    whole = derive(dem, (8.0, 3.0), NAMES, method=method)
    dem[5, 6] = missing
    for name, band in derive(dem, (8.0, 3.0), NAMES, method=method).items():
        expected = whole[name].copy()
        expected[4:7, 5:8] = np.nan
        assert np.array_equal(band, expected, equal_nan=True), name


def test_the_outermost_ring_is_missing_and_small_rasters_are_all_of_it():
    band = slope(hills(), 10.0)
    assert not np.isnan(band[INSIDE]).any()
    for edge in (band[0], band[-1], band[:, 0], band[:, -1]):
        assert np.isnan(edge).all()
    for shape in ((1, 1), (1, 9), (2, 9), (9, 2), (2, 2)):
        assert np.isnan(slope(hills(shape=shape), 10.0)).all()


def test_metres_per_row_give_each_row_its_own_slope():
    rows = np.array([10.0, 10.0, 20.0, 40.0, 40.0])
    dem = np.tile(np.arange(6.0) * 5, (5, 1))
    found = slope(dem, (np.full(5, 30.0), rows))[1:-1, 1:-1]
    expected = np.degrees(np.arctan(5 / rows[1:-1]))
    np.testing.assert_allclose(found, np.repeat(expected[:, None], 4, axis=1), rtol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_one_pass_strips_threads_and_given_arrays_change_nothing(method):
    dem = hills(shape=(300, 1100))
    alone = {name: derive(dem, (8.0, 3.0), [name], method=method, threads=1)[name] for name in NAMES}
    out = {name: np.empty(dem.shape, np.float32) for name in NAMES[:2]}
    together = derive(dem, (8.0, 3.0), NAMES, method=method, out=out, threads=3)
    for name in NAMES:
        assert np.array_equal(together[name], alone[name], equal_nan=True)
    assert all(together[name] is out[name] for name in out)


def test_integers_and_views_are_taken_as_they_are():
    dem = np.random.default_rng(1).integers(0, 3000, (20, 30)).astype(np.int16)
    expected = slope(dem.astype(np.float64), 30.0)
    assert np.array_equal(slope(dem, 30.0), expected, equal_nan=True)
    assert np.array_equal(slope(dem.T.copy().T, 30.0), expected, equal_nan=True)


def test_slope_stays_below_90_and_aspect_below_360():
    cliff = np.zeros((3, 3))
    cliff[:, 2] = 1e15
    assert slope(cliff, 1.0)[1, 1] < 90
    hardly_west_of_north = plane(1e-12, -1.0, (1, 1), (3, 3))
    assert aspect(hardly_west_of_north, 1.0)[1, 1] < 360


def test_arctan_agrees_with_the_mathematical_one():
    ratios = np.concatenate([np.geomspace(1e-12, 1e12, 2001), [0.0, math.tan(math.pi / 8), 1.0]])
    found = np.array([_arctan_of_ratio(ratio, 1.0) for ratio in ratios])
    np.testing.assert_allclose(found, np.arctan(ratios), rtol=1e-11, atol=1e-15)


@pytest.mark.parametrize("size", [0.0, -10.0, math.nan, (10.0,), (10.0, np.ones(4)), (1.0, 2.0, 3.0)])
def test_impossible_cell_sizes_are_refused(size):
    with pytest.raises(GridError, match="cell size"):
        slope(hills(shape=(5, 5)), size)


def test_wrong_input_is_refused_with_advice():
    with pytest.raises(GridError, match="pass one band"):
        slope(np.zeros((2, 5, 5)), 1.0)
    with pytest.raises(RecipeError, match="'horn'"):
        slope(np.zeros((5, 5)), 1.0, method="hron")
    with pytest.raises(RecipeError, match="'slope'"):
        derive(np.zeros((5, 5)), 1.0, ["slop"])
    with pytest.raises(GridError, match="float32 is needed"):
        derive(np.zeros((5, 5)), 1.0, ["slope"], out={"slope": np.zeros((5, 5))})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        slope(np.full((5, 5), np.nan), 1.0)
