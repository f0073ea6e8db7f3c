"""Simulated landslides: what leaves a scarp lies in its deposit, below it; polygons agree; sizes keep a law."""

import geopandas as gpd
import numpy as np
import pytest
from affine import Affine
from rasterio.features import rasterize

from headscarp.core.errors import GridError, HeadscarpWarning, RecipeError
from headscarp.core.grid import Grid
from headscarp.sources.inventory.schema import COLUMNS, check_inventory
from headscarp.sources.world.geology import folded_strata
from headscarp.sources.world.relief import carve_relief
from headscarp.sources.world.slides import Sizes, draw_areas, simulate_slides, slide_volume_m3
from headscarp.terrain import slope, total_curvature

CELL_M = 10.0
FRESH = (0.1, 1.0)


def grid_of(shape, dy=CELL_M, dx=CELL_M):
    return Grid(shape, Affine(dx, 0, 580_000, 0, -dy, 4_205_000), "EPSG:32610")


def burn(shapes, shape, **options):
    return rasterize(shapes, shape, transform=grid_of(shape).affine, dtype="uint8", **options).astype(bool)


@pytest.fixture(scope="module")
def dem():
    rng = np.random.default_rng(5)
    strata = folded_strata(2560.0, 250.0, rng)
    return carve_relief((256, 256), CELL_M, strata, rng, relief_m=250.0).elevation_m


@pytest.fixture(scope="module")
def fresh(dem):
    return simulate_slides(dem, grid_of(dem.shape), seed=1, count=14, ages_years=FRESH)


@pytest.mark.parametrize("seed", range(6))
def test_one_slide_lays_down_below_what_its_scarp_lost(dem, seed):
    slides = simulate_slides(dem, grid_of(dem.shape), seed=seed, count=1, ages_years=(0.0, 0.01))
    change = slides.dem_after.astype(np.float64) - dem
    lost, laid = -change[change < 0].sum() * CELL_M**2, change[change > 0].sum() * CELL_M**2
    assert laid == pytest.approx(lost, rel=0.01)
    assert lost == pytest.approx(slides.scarps.original_volume_m3.iloc[0], rel=0.01)
    scarp, deposit = dem[change < -0.01], dem[change > 0.01]
    assert deposit.max() < scarp.max()
    assert deposit.mean() < scarp.mean() - 5.0
    # No part of the deposit lies beyond the line of reach from the highest part of the scarp.
    rows, cols = np.nonzero(change > 0.01)
    top = np.argwhere((dem == scarp.max()) & (change < 0))[0]
    run = CELL_M * np.hypot(rows - top[0], cols - top[1])
    reach = np.tan(np.radians(slides.deposits.original_reach_deg.iloc[0]))
    assert (scarp.max() - deposit >= 0.8 * reach * run).all()


def test_volume_is_conserved_over_the_map_also_when_slides_are_old(dem):
    for ages in (FRESH, (5_000.0, 30_000.0)):
        change = simulate_slides(dem, grid_of(dem.shape), seed=2, count=12, ages_years=ages).dem_after - dem
        assert abs(change.sum(dtype=np.float64)) < 0.002 * np.abs(change).sum(dtype=np.float64)


def test_polygons_agree_with_the_change_of_the_dem(dem, fresh):
    change = fresh.dem_after - dem
    outlines = [*fresh.scarps.geometry, *fresh.deposits.geometry]
    well_inside = burn([o.buffer(-CELL_M) for o in outlines if not o.buffer(-CELL_M).is_empty], dem.shape)
    assert (np.abs(change[well_inside]) > 0.05).mean() > 0.97
    # Creep of a year moves next to nothing beyond the outline.
    far = ~burn([o.buffer(2 * CELL_M) for o in outlines], dem.shape)
    assert np.abs(change[far]).max() < 1e-3
    assert np.abs(change).max() > 3.0
    scarps = burn([o.buffer(-CELL_M) for o in fresh.scarps.geometry], dem.shape)
    deposits = burn(fresh.deposits.geometry, dem.shape)
    assert (change[scarps & ~deposits] < 0).mean() > 0.98
    assert (change[deposits & ~burn(fresh.scarps.geometry, dem.shape)] > 0).mean() > 0.95


def test_heads_are_steep_and_deposits_rough(dem, fresh):
    before, after = (slope(z, CELL_M) for z in (dem, fresh.dem_after))
    scarps, deposits = (burn(t.geometry, dem.shape) for t in (fresh.scarps, fresh.deposits))
    steepest = [np.nanmax((after - before)[burn([outline], dem.shape)]) for outline in fresh.scarps.geometry]
    assert np.median(steepest) > 10.0
    rough = [np.nanstd(total_curvature(z, CELL_M)[deposits & ~scarps]) for z in (dem, fresh.dem_after)]
    assert rough[1] > 1.5 * rough[0]


def test_old_slides_fade(dem):
    grid = grid_of(dem.shape)
    sharp = []
    for age in (0.1, 1_000.0, 10_000.0):
        slides = simulate_slides(dem, grid, seed=4, count=8, ages_years=(age, 1.01 * age))
        sharp.append(np.nanmax(np.abs(np.diff(slides.dem_after - dem, axis=0))))
    assert sharp[0] > 1.3 * sharp[1] > 1.69 * sharp[2]


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(dem, fresh):
    again = simulate_slides(dem, grid_of(dem.shape), seed=1, count=14, ages_years=FRESH)
    assert again.dem_after.tobytes() == fresh.dem_after.tobytes()
    for a, b in ((again.scarps, fresh.scarps), (again.deposits, fresh.deposits)):
        assert a.to_wkb().equals(b.to_wkb())
    other = simulate_slides(dem, grid_of(dem.shape), seed=2, count=14, ages_years=FRESH)
    assert other.dem_after.tobytes() != fresh.dem_after.tobytes()


def test_areas_follow_the_inverse_gamma_distribution():
    rng = np.random.default_rng(0)
    tail = draw_areas(Sizes(smallest_m2=20_000.0, largest_m2=1e12), 40_000, rng)
    exponent = 1.0 + tail.size / np.log(tail / 20_000.0).sum()  # maximum likelihood of a power law
    assert exponent == pytest.approx(2.40, abs=0.06)
    whole = draw_areas(Sizes(smallest_m2=1.0, largest_m2=1e12), 40_000, rng)
    density, edges = np.histogram(whole, np.arange(0.0, 3000.0, 100.0))
    assert edges[density.argmax()] == pytest.approx(1280.0 / 2.4 - 132.0, abs=150.0)  # the mode, from the formula
    cut = draw_areas(Sizes(smallest_m2=9_000.0, largest_m2=11_000.0), 500, rng)
    assert cut.min() >= 9_000.0
    assert cut.max() <= 11_000.0


def test_slides_on_the_ground_have_about_the_areas_that_were_drawn(dem):
    slides = simulate_slides(
        dem, grid_of(dem.shape), seed=6, count=50, ages_years=FRESH, sizes=Sizes(1.4, 1280.0, -132.0, 4_000.0)
    )
    total = slides.scarps.area_m2.to_numpy() + slides.deposits.area_m2.to_numpy()
    exponent = 1.0 + total.size / np.log(total / min(4_000.0, total.min())).sum()
    assert 1.8 < exponent < 3.2
    ratio = slides.scarps.original_volume_m3 / slide_volume_m3(total)
    assert 0.2 < np.median(ratio) < 1.5


def test_the_tables_keep_to_the_schema(dem):
    slides = simulate_slides(dem, grid_of(dem.shape), seed=3, count=25, ages_years=(0.1, 20_000.0))
    for table, kind in ((slides.scarps, "scarp"), (slides.deposits, "deposit")):
        assert isinstance(table, gpd.GeoDataFrame)
        check_inventory(table)
        assert all(c in COLUMNS or c.startswith("original_") for c in table.columns)
        assert table.id.is_unique
        assert (table["type"] == kind).all()
        assert str(table.date.dtype) == "datetime64[ns]"
        assert table.geometry.is_valid.all()
        np.testing.assert_allclose(table.area_m2, table.geometry.area)
        assert table.source.str.contains("simulated").all()
        dated = table.date.notna()
        assert dated.any()
        assert (table.original_age_years[dated] <= 71).all()
        assert (table.cause[~dated] == "unknown").all()
        assert table.date[table.cause == "rain"].dt.month.isin([11, 12, 1, 2, 3, 4]).all()
        assert table.date[table.cause == "earthquake"].nunique() <= 1
    assert (slides.scarps.original_slide == slides.deposits.original_slide).all()


def test_cells_need_not_be_square(dem):
    slides = simulate_slides(dem, grid_of(dem.shape, 10.0, 8.0), seed=1, count=5, ages_years=FRESH)
    change = slides.dem_after.astype(np.float64) - dem
    assert -change[change < 0].sum() == pytest.approx(change[change > 0].sum(), rel=0.01)


def test_what_cannot_slide_is_refused_or_told(dem):
    grid = grid_of(dem.shape)
    holed = dem.copy()
    holed[3, 4] = np.nan
    with pytest.raises(GridError, match="1 cells of the DEM are missing"):
        simulate_slides(holed, grid, seed=0)
    degrees = Grid(dem.shape, Affine(1e-4, 0, -122, 0, -1e-4, 38), "EPSG:4326")
    with pytest.raises(GridError, match="true metres"):
        simulate_slides(dem, degrees, seed=0)
    with pytest.raises(GridError, match="have to be the same"):
        simulate_slides(dem[:-1], grid, seed=0)
    with pytest.raises(RecipeError, match="larger sizes or smaller cells"):
        simulate_slides(dem, grid, seed=0, sizes=Sizes(smallest_m2=500.0))
    with pytest.raises(RecipeError, match="youngest < oldest"):
        simulate_slides(dem, grid, seed=0, ages_years=(5.0, 1.0))
    with pytest.raises(RecipeError, match="no cell has a chance"):
        simulate_slides(dem, grid, seed=0, chance=np.zeros(dem.shape))
    with pytest.warns(HeadscarpWarning, match="0 of 3 landslides"):
        flat = simulate_slides(np.zeros((64, 64), np.float32), grid_of((64, 64)), seed=0, count=3)
    assert len(flat.scarps) == 0
    assert (flat.dem_after == 0).all()
