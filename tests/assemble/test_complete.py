"""Laws of incomplete inventories: outside the areas that were surveyed whole, no slide is no answer."""

import numpy as np
import pytest
from small_region import cells_box, hills, write_raster, write_vector

from headscarp.assemble import build, recipe_from_dict
from headscarp.core.errors import HeadscarpWarning, RecipeError, SourceError
from headscarp.core.stack import feature_bands
from headscarp.tiles.splits import split_blocks
from headscarp.tiles.statistics import labelled_table, training_statistics

DEM = {"name": "elevation", "raster": "dem.tif", "units": "m"}
INSIDE = np.s_[0:40, 0:50]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("surveyed")
    write_raster(path / "dem.tif", hills((60, 80)))
    slides = [cells_box(10, 10, 5, 5), cells_box(48, 30, 6, 4), cells_box(70, 50, 3, 3)]
    write_vector(path / "slides.gpkg", slides)
    write_vector(path / "surveyed.gpkg", [cells_box(0, 0, 30, 40), cells_box(20, 0, 30, 40)])
    return path


def made(folder, out, **label):
    recipe = {"name": "small", "grid": {"like": "dem.tif"}, "band": [DEM], "label": {"polygons": "slides.gpkg"} | label}
    return build(recipe_from_dict(recipe, folder=folder), out)


def test_no_slide_is_said_only_where_the_inventory_is_complete(folder, tmp_path):
    whole = made(folder, tmp_path / "whole.zarr")["landslide"].values
    found = made(folder, tmp_path / "part.zarr", complete="surveyed.gpkg")
    label = found["landslide"].values
    np.testing.assert_array_equal(label == 1, whole == 1)
    np.testing.assert_array_equal(label[INSIDE], whole[INSIDE])
    outside = np.ones(label.shape, bool)
    outside[INSIDE] = False
    assert set(np.unique(label[outside])) == {1, 255}
    assert found.attrs["report"]["labels"]["negative"] == int((whole[INSIDE] == 0).sum())
    assert "surveyed.gpkg" in str(found.attrs["made"]["inputs"])


def test_what_was_not_surveyed_counts_nowhere(folder, tmp_path):
    stack = made(folder, tmp_path / "part.zarr", complete="surveyed.gpkg")
    label = stack["landslide"].values
    with pytest.warns(HeadscarpWarning):  # three slides are few for five folds
        split = split_blocks(stack, block_size_m=300, seed=0)
    bands = feature_bands(stack)
    share = (label == 1).sum() / (label != 255).sum()
    assert training_statistics(stack, None, bands).prevalence == pytest.approx(share)
    _, y, rows, cols = labelled_table(stack, bands)
    assert len(y) == (label != 255).sum()
    assert (label[rows, cols] == y).all()
    assert sum(part.positives for part in split.parts) == (label == 1).sum()


def test_complete_needs_polygons_and_a_file(folder, tmp_path):
    with pytest.raises(RecipeError, match="points say themselves"):
        made(folder, tmp_path / "a.zarr", polygons=None, points="a.csv", complete="surveyed.gpkg")
    with pytest.raises(SourceError, match=r"missing\.gpkg"):
        made(folder, tmp_path / "b.zarr", complete="missing.gpkg")
