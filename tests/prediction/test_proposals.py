"""Laws of proposals: unlabelled ground only, most uncertain first, diverse, the same however blocks are cut."""

import geopandas as gpd
import numpy as np
import pytest
import rasterio

from headscarp.core.band import Band
from headscarp.core.errors import OutputError, RecipeError, StackError
from headscarp.core.grid import cell_corner
from headscarp.core.stack import LABEL, band_attrs, stack_grid
from headscarp.nets.logistic import LLR
from headscarp.prediction import proposals
from headscarp.prediction.proposals import propose_tiles
from headscarp.prediction.raster import predict
from headscarp.prediction.unsure import entropy_bits, farthest_first


@pytest.fixture
def part_labelled(world):
    """A stack of 150 x 170 cells of 10 m, labelled in its left half."""
    stack = world(150, 170, seed=3)
    label = np.full((150, 170), 255, np.uint8)
    label[:, :80] = np.random.default_rng(0).random((150, 80)) < 0.1
    return stack.assign({LABEL: (("y", "x"), label, band_attrs(Band(LABEL, "label")))})


def proposed(bundle, stack, out, **options):
    return gpd.read_file(propose_tiles(bundle, stack, out, **{"tile_px": 16, "count": 8, **options}))


def test_tiles_lie_on_unlabelled_ground_of_the_stack(part_labelled, bundle_of, tmp_path):
    table = proposed(bundle_of("llr", part_labelled), part_labelled, tmp_path / "next.gpkg")
    assert list(table["rank"]) == list(range(1, 9))
    assert table.crs == stack_grid(part_labelled).crs.to_wkt()
    left = cell_corner(stack_grid(part_labelled), 80, 0)[0]
    assert (table.bounds["minx"] >= left).all()
    assert table.geometry.is_unique
    assert table["mean_entropy"].between(0, 1).all()
    assert (table["unlabelled_share"] >= 0.25).all()
    assert (tmp_path / "next.json").is_file()


def test_distance_is_to_the_nearest_tile_with_a_label(part_labelled, bundle_of, tmp_path):
    table = proposed(bundle_of("llr", part_labelled), part_labelled, tmp_path / "next.gpkg", count=40)
    edge = cell_corner(stack_grid(part_labelled), 64, 0)[0]  # the last column of tiles with a label
    np.testing.assert_allclose(table["distance_m"], table.bounds["minx"] - edge, rtol=0.01)


def test_entropy_is_that_of_the_map(part_labelled, bundle_of, tmp_path):
    bundle = bundle_of("cnn", part_labelled)
    table = proposed(bundle, part_labelled, tmp_path / "next.gpkg", count=3)
    with rasterio.open(predict(bundle, part_labelled, tmp_path / "map.tif")) as file:
        p = file.read(1)
    grid = stack_grid(part_labelled)
    for row in table.itertuples():
        col, top = (row.geometry.bounds[0] - grid.affine.c) / 10, (grid.affine.f - row.geometry.bounds[3]) / 10
        tile = p[int(top) : int(top) + 16, int(col) : int(col) + 16]
        assert row.mean_entropy == pytest.approx(entropy_bits(tile[np.isfinite(tile)]).mean(), abs=1e-4)


@pytest.mark.parametrize("workers", [1, 3])
def test_blocks_and_threads_change_nothing(part_labelled, bundle_of, tmp_path, monkeypatch, workers):
    bundle = bundle_of("llr", part_labelled)
    whole = proposed(bundle, part_labelled, tmp_path / "a.gpkg", workers=1)
    monkeypatch.setattr(proposals, "BLOCK_PX", 32)
    cut = proposed(bundle, part_labelled, tmp_path / "b.gpkg", workers=workers)
    assert list(whole["reason"]) == list(cut["reason"])
    assert whole.geometry.equals(cut.geometry)


def test_without_labels_the_first_is_the_most_uncertain(world, bundle_of, tmp_path):
    stack = world(96, 96, seed=1)
    table = proposed(bundle_of("llr", stack), stack, tmp_path / "next.gpkg", count=100)
    assert table["mean_entropy"].iloc[0] == table["mean_entropy"].max()
    assert table["distance_m"].isna().all()
    assert "number 1 of" in table["reason"].iloc[0]


def test_where_all_is_labelled_nothing_is_proposed(part_labelled, bundle_of, tmp_path):
    part_labelled[LABEL].values[:] = 0
    with pytest.raises(StackError, match="nothing left to label"):
        proposed(bundle_of("llr", part_labelled), part_labelled, tmp_path / "next.gpkg")


def test_a_net_without_labels_proposes_what_is_most_abnormal(part_labelled, bundle_of, tmp_path, monkeypatch):
    monkeypatch.setattr(LLR, "needs_labels", False)
    table = proposed(bundle_of("llr", part_labelled), part_labelled, tmp_path / "next.gpkg", count=200)
    first = table[table["reason"].str.contains("number 1 of")]
    assert first["mean_probability"].item() == table["mean_probability"].max()
    assert table["reason"].str.startswith("mean abnormality").all()


@pytest.mark.parametrize(
    ("name", "options", "error"),
    [
        ("next.shp", {}, OutputError),
        ("next.gpkg", {"count": 0}, RecipeError),
        ("next.gpkg", {"tile_px": 2}, RecipeError),
    ],
)
def test_what_cannot_be_is_refused(part_labelled, bundle_of, tmp_path, name, options, error):
    with pytest.raises(error):
        proposed(bundle_of("llr", part_labelled), part_labelled, tmp_path / name, **options)


def test_farthest_first_spreads_over_clusters():
    rng = np.random.default_rng(0)
    centres = np.array([[0, 0], [50, 0], [0, 50], [50, 50]], float)
    features = np.concatenate([c + rng.normal(0, 1, (30, 2)) for c in centres])
    order = farthest_first(features, np.ones(120), features[:5], count=3)
    assert sorted(index // 30 for index, _ in order) == [1, 2, 3]
    distances = [distance for _, distance in farthest_first(features, np.ones(120), features[:1], count=10)]
    assert (np.diff(distances) <= 1e-12).all()


def test_among_equals_the_uncertain_one_is_taken():
    features, weights = np.zeros((4, 3)), np.array([0.1, 0.7, 0.3, 0.7])
    assert [i for i, _ in farthest_first(features, weights, np.zeros((0, 3)), count=3)] == [1, 3, 2]
    features[2] = 9
    assert farthest_first(features, weights, np.zeros((1, 3)), count=1)[0][0] == 2
