"""The build: the same pixels however it is cut, interrupted or spread, and every bad input told."""

import copy
import importlib
import warnings

import numpy as np
import pytest
import shapely
import xarray as xr
from small_region import CELL, LEFT, TOP, cells_box, from_origin, hills, place, write_raster, write_vector

from headscarp.assemble import build, recipe_from_dict
from headscarp.assemble.build import BlockBuilder
from headscarp.core.errors import GridError, HeadscarpWarning, JournalError, OutputError, SourceError, StackError
from headscarp.core.stack import check_stack, stack_bands
from headscarp.terrain import profile_curvature, slope

BUILD = importlib.import_module("headscarp.assemble.build")
QUIET = "ignore::headscarp.core.errors.HeadscarpWarning"


def make(region, **changes):
    data = {**copy.deepcopy(region.recipe), **changes}
    return recipe_from_dict(data, folder=region.folder)


def small(folder, *bands, label=None, **more):
    data = {"name": "small", "grid": {"like": "dem.tif"}, "band": list(bands), **more}
    if label:
        data["label"] = label
    return recipe_from_dict(data, folder=folder)


def same_pixels(a: xr.Dataset, b: xr.Dataset) -> None:
    assert list(a.data_vars) == list(b.data_vars)
    for name in a.data_vars:
        np.testing.assert_array_equal(a[name].values, b[name].values, err_msg=str(name))


@pytest.fixture(scope="module")
def built(region, tmp_path_factory):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return build(make(region), tmp_path_factory.mktemp("built") / "whole.zarr")


@pytest.mark.filterwarnings(QUIET)
def test_blocks_equal_the_whole(region, built, tmp_path):
    assert built.sizes["y"] < 1024
    same_pixels(build(make(region), tmp_path / "blocks.zarr", block_px=256, workers=2), built)


@pytest.mark.filterwarnings(QUIET)
def test_blocks_equal_the_whole_on_another_grid(region, tmp_path):
    grid = {"crs": "EPSG:3035", "resolution_m": 30.0}
    whole = build(make(region, grid=grid), tmp_path / "whole.zarr")
    assert min(whole.sizes["y"], whole.sizes["x"]) > 512
    same_pixels(build(make(region, grid=grid), tmp_path / "blocks.zarr", block_px=256), whole)


def test_the_stack_holds_the_contract(region, built):
    check_stack(built)
    assert [b.name for b in stack_bands(built)] == [b["name"] for b in region.recipe["band"]] + ["landslide", "valid"]
    assert built.attrs["recipe"] == "region"
    assert built.attrs["made"]["settings"]["band"][4]["radius_m"] == 200.0
    assert {item["name"] for item in built.attrs["made"]["inputs"]} >= {"dem.tif", "rock.tif", "slides.gpkg"}
    assert built["aspect"].attrs["kind"] == "direction"
    assert built["age"].attrs["classes"] == ["age 0", "age 1", "age 2", "age 3"]


def test_terrain_is_that_of_the_whole_elevation(region, built):
    np.testing.assert_array_equal(built["elevation"].values, region.dem)
    np.testing.assert_array_equal(built["slope"].values, slope(region.dem, CELL))
    expected = profile_curvature(region.dem, CELL, method="zevenbergen_thorne")
    np.testing.assert_array_equal(built["profile"].values, expected)


def test_valid_is_where_all_continuous_bands_are(built):
    expected = np.ones(built["valid"].shape, bool)
    for band in stack_bands(built):
        if band.kind == "continuous":
            expected &= np.isfinite(built[band.name].values)
    np.testing.assert_array_equal(built["valid"].values == 1, expected)
    assert not expected[99:121, 199:231].any()


def test_fault_distance_equals_shapely(region, built):
    line = shapely.LineString([place(20, 30), place(300.3, 280.7), place(310, 540)])
    rows, cols = np.mgrid[0:560:7, 0:600:7]
    points = shapely.points(LEFT + (cols + 0.5) * CELL, TOP - (rows + 0.5) * CELL)
    expected = np.minimum(shapely.distance(points, line), 3000)
    np.testing.assert_allclose(built["fault"].values[::7, ::7], expected, atol=1e-3)


@pytest.mark.filterwarnings(QUIET)
def test_elevation_beyond_the_grid_is_used(region, tmp_path):
    left, top = place(100, 300)
    grid = {"crs": "EPSG:32633", "resolution_m": 30.0, "bounds": [left, top - 40 * CELL, left + 50 * CELL, top]}
    bands = [b for b in region.recipe["band"] if b["name"] in ("elevation", "slope")]
    stack = build(make(region, grid=grid, band=bands, label={"polygons": "age.gpkg"}), tmp_path / "part.zarr")
    np.testing.assert_array_equal(stack["slope"].values, slope(region.dem, CELL)[300:340, 100:150])


@pytest.mark.filterwarnings(QUIET)
def test_an_interrupted_build_goes_on_to_the_same_pixels(region, built, tmp_path, monkeypatch):
    whole, calls = BlockBuilder.__call__, []

    def stops(self, block):
        calls.append(block.id)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return whole(self, block)

    out = tmp_path / "stack.zarr"
    monkeypatch.setattr(BlockBuilder, "__call__", stops)
    with pytest.raises(KeyboardInterrupt):
        build(make(region), out, block_px=256, workers=1)
    assert not out.exists()
    monkeypatch.setattr(BlockBuilder, "__call__", lambda self, block: calls.append(block.id) or whole(self, block))
    stack = build(make(region), out, block_px=256, workers=1, resume=True)
    assert len(calls) < 9 + 4
    same_pixels(stack, built)
    assert [p.name for p in tmp_path.iterdir()] == ["stack.zarr"]
    assert build(make(region), out, resume=True).attrs["fingerprint"] == stack.attrs["fingerprint"]


@pytest.mark.filterwarnings(QUIET)
def test_a_damaged_block_is_done_again(region, built, tmp_path, monkeypatch):
    out = tmp_path / "stack.zarr"
    with monkeypatch.context() as patch:
        patch.setattr(BUILD, "judge", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            build(make(region), out, block_px=256)
    chunk = tmp_path / ".stack.zarr.partial" / "slope" / "c" / "1" / "1"
    chunk.write_bytes(chunk.read_bytes()[:100])
    same_pixels(build(make(region), out, block_px=256, resume=True), built)


@pytest.mark.filterwarnings(QUIET)
def test_the_journal_of_another_recipe_is_refused(region, tmp_path, monkeypatch):
    out = tmp_path / "stack.zarr"
    with monkeypatch.context() as patch:
        patch.setattr(BUILD, "judge", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            build(make(region), out)
    with pytest.raises(JournalError, match="recipe"):
        build(make(region, seed=5), out, resume=True)


@pytest.mark.filterwarnings(QUIET)
def test_an_output_that_exists_is_kept(region, tmp_path):
    out = tmp_path / "stack.zarr"
    recipe = make(region, band=region.recipe["band"][:1])
    first = build(recipe, out).attrs["fingerprint"]
    with pytest.raises(OutputError, match="overwrite"):
        build(recipe, out)
    with pytest.raises(OutputError, match="overwrite"):
        build(make(region, band=region.recipe["band"][:2]), out, resume=True)
    assert build(recipe, out, overwrite=True).attrs["fingerprint"] == first


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_dask_cluster_builds_the_same(region, tmp_path):
    distributed = pytest.importorskip("distributed")
    here = build(make(region), tmp_path / "here.zarr", block_px=256)
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        there = build(make(region), tmp_path / "there.zarr", block_px=256, scheduler=cluster.scheduler_address)
    assert there.attrs["fingerprint"] == here.attrs["fingerprint"]
    same_pixels(there, here)


# Bad input


@pytest.fixture
def folder(tmp_path):
    write_raster(tmp_path / "dem.tif", hills((60, 80)))
    write_vector(tmp_path / "slides.gpkg", [cells_box(10, 10, 5, 5)])
    return tmp_path


DEM = {"name": "elevation", "raster": "dem.tif", "units": "m"}
SLIDES = {"polygons": "slides.gpkg"}


def test_a_raster_without_a_crs(folder):
    write_raster(folder / "other.tif", hills((60, 80)), crs=None)
    with pytest.raises(SourceError, match=r"other\.tif has no CRS"):
        build(small(folder, DEM, {"name": "b", "raster": "other.tif"}), folder / "out.zarr")


def test_a_vector_without_a_crs(folder):
    write_vector(folder / "slides.gpkg", [cells_box(1, 1, 5, 5)], crs=None)
    with pytest.raises(SourceError, match=r"slides\.gpkg has no CRS"):
        build(small(folder, DEM, label=SLIDES), folder / "out.zarr")


def test_a_raster_beside_the_grid_names_both_extents(folder):
    far = from_origin(LEFT + 1e5, TOP, CELL, CELL)
    write_raster(folder / "other.tif", hills((60, 80)), transform=far)
    with pytest.raises(SourceError, match=r"does not overlap.*\(600000, .*\(500000, "):
        build(small(folder, DEM, {"name": "b", "raster": "other.tif"}), folder / "out.zarr")


def test_labels_beside_the_grid(folder):
    write_vector(folder / "slides.gpkg", [cells_box(900, 10, 5, 5)])
    with pytest.raises(SourceError, match="outside the grid"):
        build(small(folder, DEM, label=SLIDES), folder / "out.zarr")


def test_some_labels_beside_the_grid_are_counted(folder):
    write_vector(folder / "slides.gpkg", [cells_box(900, 10, 5, 5), cells_box(10, 10, 5, 5)])
    with pytest.warns(HeadscarpWarning, match=r"1 of 2 labels of .* outside the grid"):
        stack = build(small(folder, DEM, label=SLIDES), folder / "out.zarr")
    assert stack.attrs["report"]["labels"]["outside"] == 1


def test_labels_that_cover_no_cell_centre(folder):
    tiny = [cells_box(20.1, 20.1, 0.2, 0.2), cells_box(30, 30, 2, 2)]
    write_vector(folder / "slides.gpkg", tiny)
    with pytest.warns(HeadscarpWarning, match=r"1 of 2 labels .* smaller than a pixel.*all_touched"):
        stack = build(small(folder, DEM, label=SLIDES), folder / "out.zarr")
    assert stack.attrs["report"]["labels"] | {"total": 2, "lost": 1, "positive": 4} == stack.attrs["report"]["labels"]
    touched = build(small(folder, DEM, label={**SLIDES, "all_touched": True}), folder / "touched.zarr")
    assert touched.attrs["report"]["labels"]["lost"] == 0
    assert touched["landslide"].values[20, 20] == 1
    assert touched["landslide"].values.sum() >= 5


def test_no_positive_where_the_stack_is_valid(folder):
    dem = hills((60, 80))
    dem[:30] = np.nan
    write_raster(folder / "dem.tif", dem)
    with pytest.raises(StackError, match="no valid cell is a landslide: 25 cells"):
        build(small(folder, DEM, label=SLIDES), folder / "out.zarr")


def test_all_no_data(folder):
    write_raster(folder / "other.tif", np.full((60, 80), -9999, "float32"), nodata=-9999)
    with pytest.raises(SourceError, match=r"'b'.*no value in the whole grid"):
        build(small(folder, DEM, {"name": "b", "raster": "other.tif"}), folder / "out.zarr")


def test_nan_and_infinite_values_are_missing(folder):
    dem = hills((60, 80))
    dem[3, 4], dem[5, 6] = np.nan, np.inf
    write_raster(folder / "dem.tif", dem)
    with pytest.warns(HeadscarpWarning, match="'elevation' holds 1 infinite"):
        stack = build(small(folder, DEM), folder / "out.zarr")
    assert np.isnan(stack["elevation"].values).sum() == 2
    assert stack["valid"].values[5, 6] == stack["valid"].values[3, 4] == 0


def test_a_truncated_raster_names_file_and_block_and_keeps_the_work(region, tmp_path):
    rng = np.random.default_rng(3)
    path = write_raster(tmp_path / "noise.tif", rng.normal(size=region.shape).astype("float32"))
    write_raster(tmp_path / "dem.tif", region.dem)
    whole = path.read_bytes()
    recipe = small(tmp_path, DEM, {"name": "noise", "raster": "noise.tif"})
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceError, match=r"noise\.tif.*truncated or corrupt") as caught:
        build(recipe, tmp_path / "out.zarr", block_px=256, workers=1)
    assert any("in block rows" in note for note in caught.value.__notes__)
    assert len((tmp_path / ".out.zarr.journal").read_text().splitlines()) > 1
    warped = small(tmp_path, {"name": "noise", "raster": "noise.tif"}, grid={"crs": "EPSG:3035", "resolution_m": 40.0})
    with pytest.raises(SourceError, match=r"noise\.tif.*truncated or corrupt"):
        build(warped, tmp_path / "other.zarr")


def test_unflagged_no_data_is_named_with_its_share(folder):
    dem = hills((60, 80))
    dem[:20] = 0
    write_raster(folder / "dem.tif", dem)
    with pytest.warns(HeadscarpWarning, match=r"'elevation': 33\.3% of its cells are exactly 0.*nodata = 0"):
        build(small(folder, DEM), folder / "out.zarr")
    flagged = build(small(folder, {**DEM, "nodata": 0.0}), folder / "flagged.zarr")
    assert np.isnan(flagged["elevation"].values[:20]).all()


def test_categories_that_the_table_does_not_know(folder):
    rock = np.ones((60, 80), "uint8")
    rock[:6] = 7
    write_raster(folder / "rock.tif", rock)
    band = {"name": "rock", "raster": "rock.tif", "kind": "categorical", "classes": {"1": "granite", "2": "slate"}}
    with pytest.warns(HeadscarpWarning, match=r"'rock': 10\.00% of the cells .*\(7\)"):
        stack = build(small(folder, DEM, band), folder / "out.zarr")
    assert (stack["rock"].values[:6] == 0).all()
    assert (stack["rock"].values[6:] == 1).all()


def test_attributes_that_the_table_does_not_know(folder):
    write_vector(folder / "age.gpkg", [cells_box(0, 0, 80, 30), cells_box(0, 30, 80, 30)], age=["old", "odd"])
    band = {"name": "age", "vector": "age.gpkg", "attribute": "age", "classes": ["young", "old"]}
    with pytest.warns(HeadscarpWarning, match=r"'age': 50\.00% of the cells .*\(odd\)"):
        stack = build(small(folder, DEM, band), folder / "out.zarr")
    assert stack["age"].attrs["classes"] == ["young", "old"]
    assert (stack["age"].values[:30] == 2).all()
    assert (stack["age"].values[30:] == 0).all()


def test_pixels_outside_the_study_area_are_not_valid(folder):
    write_vector(folder / "area.gpkg", [cells_box(5, 5, 20, 20)])
    stack = build(small(folder, DEM, label=SLIDES, area={"polygons": "area.gpkg"}), folder / "out.zarr")
    assert stack["valid"].values.sum() == 400
    assert (stack["valid"].values[5:25, 5:25] == 1).all()


def test_metres_that_are_not_true_are_refused(folder):
    grid = {"crs": "EPSG:3857", "resolution_m": 30.0}
    with pytest.raises(GridError, match="on the ground"):
        build(small(folder, DEM, grid=grid), folder / "out.zarr")


def test_a_geographic_grid_has_slopes_but_no_distances(folder):
    degrees = from_origin(15.0, 46.0, 1 / 3600, 1 / 3600)
    dem = hills((60, 80))
    write_raster(folder / "dem.tif", dem, crs="EPSG:4326", transform=degrees)
    tilt = {"name": "slope", "terrain": "slope", "from": "elevation"}
    stack = build(small(folder, DEM, tilt), folder / "out.zarr")
    assert 60 < np.nanmax(stack["slope"].values) + 60 < 150
    fault = {"name": "fault", "distance_to": "slides.gpkg"}
    with pytest.raises(GridError, match="true metres"):
        build(small(folder, DEM, fault), folder / "far.zarr")


def test_a_where_that_keeps_nothing(folder):
    write_vector(folder / "slides.gpkg", [cells_box(10, 10, 5, 5)], year=[2005])
    with pytest.raises(SourceError, match="no shapes that fit"):
        build(small(folder, DEM, label={**SLIDES, "where": "year < 2000"}), folder / "out.zarr")
