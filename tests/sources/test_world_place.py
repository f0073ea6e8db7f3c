"""The simulated county: one place, told twice alike by pixels and polygons, and not too easy to map."""

import numpy as np
import pytest
from affine import Affine
from rasterio.features import rasterize
from sklearn.metrics import roc_auc_score

from headscarp.core.errors import GridError
from headscarp.core.grid import Grid, footprint_lonlat
from headscarp.core.stack import check_stack, fingerprint
from headscarp.sources.world.place import COUNTY_GRID, simulate_county
from headscarp.terrain import slope, total_curvature

GRID = Grid((240, 300), Affine(10.0, 0, 573_000, 0, -10.0, 4_205_500), "EPSG:32610")


@pytest.fixture(scope="module")
def county():
    return simulate_county(2, grid=GRID)


def test_it_is_a_stack_that_says_it_is_simulated(county):
    stack = check_stack(county.stack)
    assert list(stack.data_vars)[:2] == ["elevation", "slope"]
    assert "not a real place" in stack.attrs["simulated"]
    assert all("simulated" in stack[name].attrs["source"] for name in stack.data_vars)
    assert np.isfinite(county.band("elevation")).all()
    np.testing.assert_allclose(
        county.band("slope")[1:-1, 1:-1], slope(county.band("elevation"), 10.0)[1:-1, 1:-1], atol=1e-4
    )


def test_labels_are_the_polygons_and_fill_a_sensible_share(county):
    for name, table in (("scarp", county.slides.scarps), ("deposit", county.slides.deposits)):
        burnt = rasterize(table.geometry, GRID.shape, transform=GRID.affine, dtype="uint8")
        np.testing.assert_array_equal(county.band(name), burnt)
    assert 0.01 < county.band("scarp").mean() < 0.08
    assert county.band("scarp").mean() < county.band("deposit").mean() < 0.25
    assert len(county.slides.scarps) >= 20


def test_slides_happen_where_the_law_says(county):
    scarps = county.band("scarp") == 1
    assert county.law[scarps].mean() > 1.3 * county.law[~scarps].mean()


def test_slope_and_curvature_tell_something_but_far_from_all(county):
    rows = slice(2, -2)
    scarps = county.band("scarp")[rows, rows].ravel()
    steep = county.band("slope")[rows, rows].ravel()
    bent = np.abs(total_curvature(county.band("elevation"), 10.0))[rows, rows].ravel()
    assert 0.6 < roc_auc_score(scarps, bent) < 0.9
    assert 0.45 < roc_auc_score(scarps, steep) < 0.8
    # Cliffs and ledges that are no scarps: most of the steepest ground is none.
    steepest = steep > np.quantile(steep, 0.98)
    assert 0.1 < scarps[steepest].mean() < 0.8


def test_rivers_run_low_and_roads_stay_gentle(county):
    z, law = county.band("elevation"), county.band("slope")
    for table in (county.rivers, county.roads):
        assert len(table)
        assert table.crs == GRID.crs
    river = rasterize(county.rivers.geometry, GRID.shape, transform=GRID.affine, dtype="uint8") == 1
    assert np.median(z[river]) < np.median(z)
    road = rasterize(county.roads.geometry, GRID.shape, transform=GRID.affine, dtype="uint8") == 1
    assert np.median(law[road]) < np.median(law)
    assert (county.band("land_cover") == 4).any()  # the lake


def test_the_same_seed_gives_the_same_county_and_another_does_not():
    grid = Grid((96, 112), GRID.affine, "EPSG:32610")
    one, two, other = (simulate_county(seed, grid=grid, count=3) for seed in (7, 7, 8))
    assert fingerprint(one.stack) == fingerprint(two.stack)
    assert fingerprint(one.stack) != fingerprint(other.stack)
    assert one.slides.scarps.to_wkb().equals(two.slides.scarps.to_wkb())


def test_other_projections_will_do_and_others_are_refused():
    lambert = Grid((80, 80), Affine(20.0, 0, 900_000, 0, -20.0, 6_500_000), "EPSG:2154")
    assert simulate_county(1, grid=lambert, count=2).stack.sizes["x"] == 80
    with pytest.raises(GridError, match="true metres"):
        simulate_county(1, grid=Grid((80, 80), Affine(10.0, 0, -1.36e7, 0, -10.0, 4.58e6), "EPSG:3857"))
    with pytest.raises(GridError, match="square cells"):
        simulate_county(1, grid=Grid((80, 80), Affine(10.0, 0, 573_000, 0, -8.0, 4_205_500), "EPSG:32610"))


def test_the_default_lies_where_it_says():
    ring = footprint_lonlat(COUNTY_GRID)
    np.testing.assert_allclose((ring.min(axis=0) + ring.max(axis=0)) / 2, (-122.1, 37.95), atol=0.02)
