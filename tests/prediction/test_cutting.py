"""Where a map is cut: it carries the threshold and the opening of its bundle, and an opening knows no blocks."""

import dataclasses
import logging

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_dilation, binary_erosion

from headscarp.core.errors import RecipeError
from headscarp.core.provenance import read_made
from headscarp.core.tile import windows
from headscarp.prediction.cutting import Cut, cut_of, halo_px, landslide_mask, settle_rules
from headscarp.prediction.outlines import Rules
from headscarp.prediction.raster import predict
from headscarp.prediction.vectorize import vectorize
from headscarp.report.describe import describe


def opened_in_one_go(mask, radius):
    square = np.ones((2 * radius + 1, 2 * radius + 1), bool)
    return binary_dilation(binary_erosion(mask, square, border_value=1), square)


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    share=st.floats(0.3, 0.98),
    radius=st.integers(0, 4),
    block=st.integers(1, 20),
    seed=st.integers(0, 1000),
)
def test_an_opening_is_the_same_in_blocks(shape, share, radius, block, seed):
    probability = np.random.default_rng(seed).random(shape).astype(np.float32)
    rules = Rules(threshold=1 - share, open_px=radius)
    whole = opened_in_one_go(probability >= np.float32(1 - share), radius)
    for window in (w.clip(shape) for w in windows(shape, block)):
        outer = window.grow(halo_px(rules)).clip(shape)
        found = landslide_mask(probability[outer.slices], rules)
        top, left = window.row - outer.row, window.col - outer.col
        inside = found[top : top + window.height, left : left + window.width]
        np.testing.assert_array_equal(inside, whole[window.slices])


def test_a_cut_survives_its_tags():
    cut = Cut("anomaly", 0.95, 1)
    assert cut_of(cut.to_tags()) == cut
    assert cut_of({"STATISTICS_MEAN": "0.5"}) is None
    assert cut_of({**cut.to_tags(), "HEADSCARP_THRESHOLD": "often"}) is None


def test_what_is_given_goes_before_what_the_map_says():
    cut = Cut("anomaly", 0.95, 1)
    given, origin = settle_rules(Rules(threshold=0.3, open_px=0), cut)
    assert (given.threshold, given.open_px, origin) == (0.3, 0, "as given")
    taken, origin = settle_rules(Rules(), cut)
    assert (taken.threshold, taken.open_px) == (0.95, 1)
    assert "anomaly" in origin
    default, origin = settle_rules(Rules(), None)
    assert (default.threshold, default.open_px) == (0.5, 0)
    assert "no bundle" in origin


def test_a_map_is_cut_at_the_threshold_of_its_bundle(world, bundle_of, tmp_path, caplog):
    stack = world(70, 90)
    bundle = dataclasses.replace(bundle_of("llr", stack), threshold=0.0625)
    path = predict(bundle, stack, tmp_path / "map.tif")
    assert "0.0625" in describe(path)["threshold"]
    with caplog.at_level(logging.INFO, "headscarp"):
        vectorize(path, tmp_path / "taken.gpkg")
    assert "threshold 0.0625, of the bundle (llr) that made the map" in caplog.text
    made = read_made(tmp_path / "taken.gpkg")["settings"]
    assert (made["rules"]["threshold"], made["rules"]["open_px"]) == (0.0625, 0)
    vectorize(path, tmp_path / "given.gpkg", rules=Rules(threshold=0.0625))
    taken, given = (gpd.read_file(tmp_path / f"{name}.gpkg") for name in ("taken", "given"))
    assert taken.equals(given)
    with rasterio.open(path) as file:
        assert taken["area_m2"].sum() == 100 * (file.read(1) >= np.float32(0.0625)).sum() > 0


def test_a_map_of_somebody_else_is_cut_in_the_middle(tmp_path, caplog):
    place = {"crs": "EPSG:32633", "transform": Affine(10, 0, 500_000, 0, -10, 5_000_000)}
    values = np.zeros((20, 20), np.uint8)
    values[3:9, 3:9] = 1
    path = tmp_path / "mask.tif"
    with rasterio.open(path, "w", driver="GTiff", dtype="uint8", count=1, height=20, width=20, **place) as file:
        file.write(values, 1)
    with caplog.at_level(logging.INFO, "headscarp"):
        table = gpd.read_file(vectorize(path, tmp_path / "a.gpkg"))
    assert "threshold 0.5, the default, since the map names no bundle" in caplog.text
    assert table["area_m2"].tolist() == [3600.0]


def test_specks_of_an_anomaly_map_are_taken_off(world, bundle_of, tmp_path):
    stack = world(96, 112)
    bundle = dataclasses.replace(bundle_of("anomaly", stack), threshold=0.5)
    path = predict(bundle, stack, tmp_path / "map.tif")
    with rasterio.open(path) as file:
        values = file.read(1)
        bundle_cut = cut_of(file.tags(1))
    assert bundle_cut == Cut("anomaly", 0.5, 1)
    threshold = float(np.nanmedian(values))
    for open_px in (None, 0, 1):
        out = vectorize(path, tmp_path / f"{open_px}.gpkg", rules=Rules(threshold, open_px=open_px), block_px=32)
        area = gpd.read_file(out)["area_m2"].sum()
        assert area == 100 * opened_in_one_go(values >= threshold, 1 if open_px is None else open_px).sum()
    opened, plain = (gpd.read_file(tmp_path / f"{n}.gpkg").geometry for n in (1, 0))
    assert shapely.covers(plain.union_all(), opened.union_all())


def test_openings_that_cannot_be():
    with pytest.raises(RecipeError, match="open_px is -1"):
        Rules(open_px=-1)
