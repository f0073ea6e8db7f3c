"""Bad input: each a clear error or a warning that names value and share, and no work lost."""

import numpy as np
import pytest
from small_region import CELL, LEFT, TOP, cells_box, from_origin, hills, write_raster, write_vector

from headscarp.assemble import build, recipe_from_dict
from headscarp.core.errors import GridError, HeadscarpWarning, SourceError, StackError


def small(folder, *bands, label=None, **more):
    data = {"name": "small", "grid": {"like": "dem.tif"}, "band": list(bands), **more}
    if label:
        data["label"] = label
    return recipe_from_dict(data, folder=folder)


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
