"""The recipes of the house on the real data that they name."""

import os
from pathlib import Path

import numpy as np
import pytest

from headscarp.assemble import build, recipe_from_dict
from headscarp.core.stack import stack_bands

RECIPES = Path(__file__).parents[2] / "recipes"
pytestmark = [
    pytest.mark.skipif("HEADSCARP_DATA" not in os.environ, reason="HEADSCARP_DATA names no mirror of the data sets"),
    pytest.mark.filterwarnings("ignore::headscarp.core.errors.HeadscarpWarning"),
]


def test_balakot(tmp_path):
    stack = build(RECIPES / "balakot.toml", tmp_path / "balakot.zarr")
    assert stack.sizes["y"] == 987
    label = stack["landslide"].values
    assert 0.01 < (label == 1).mean() < 0.02
    assert stack.attrs["report"]["labels"]["total"] == 2641
    for band in stack_bands(stack):
        values = stack[band.name].values
        assert np.isfinite(values).mean() > 0.99
        assert band.kind != "categorical" or (values > 0).all()
    assert stack["lithology"].attrs["classes"][0].startswith("Marble, Graphite schist")
    assert "pCs" in stack["rock_age"].attrs["classes"]
    assert any("AW3D30 (c) JAXA" in item["licence"] for item in stack.attrs["made"]["inputs"])


def test_ecuador(tmp_path):
    stack = build(RECIPES / "ecuador.toml", tmp_path / "ecuador.zarr")
    label = stack["landslide"].values
    assert (label == 1).sum() == 175
    assert (label == 0).sum() >= 174
    assert (label == 255).mean() > 0.99
    assert [b.units for b in stack_bands(stack)][:3] == ["degree", "1/m", "1/m"]


def test_hokkaido_is_mapped_where_only_the_image_after_saw(tmp_path):
    stack = build(RECIPES / "hokkaido.toml", tmp_path / "hokkaido.zarr")
    change, seen = stack["redness_change"].values, stack["seen_both"].values == 1
    assert (stack["valid"].values == 1).mean() > 0.99
    assert 0.38 < np.isnan(change).mean() < 0.42
    assert np.isfinite(change[seen]).all()
    assert np.abs(np.nanmedian(change)) < 0.1
    assert np.isfinite(stack["elevation"].values).all()


def test_zevenbergen_thorne_equals_the_published_raster(tmp_path):
    published = build(RECIPES / "ecuador.toml", tmp_path / "published.zarr")
    dem = "dataset:ecuador_susceptibility/dem_rsaga.tif"
    names = ("slope", "plan_curvature", "profile_curvature")
    terrain = [{"name": name, "terrain": name, "from": "elevation", "method": "zevenbergen_thorne"} for name in names]
    bands = [{"name": "elevation", "raster": dem, "units": "m"}, *terrain]
    recipe = {"name": "derived", "grid": {"like": dem}, "band": bands}
    derived = build(recipe_from_dict(recipe), tmp_path / "derived.zarr", block_px=256)
    for name in names:
        ours, theirs = derived[name].values, published[name].values
        both = np.isfinite(ours) & np.isfinite(theirs)
        assert both.mean() > 0.97
        assert np.abs(ours - theirs)[both].max() < 1e-3, name


@pytest.mark.parametrize(
    ("name", "parts", "share"),
    [("landslide4sense", {"train": 700, "test": 396}, 0.0446), ("mars", {"train": 200, "test": 31}, 0.478)],
)
def test_chips(name, parts, share, tmp_path):
    stack = build(RECIPES / f"{name}.toml", tmp_path / "chips.zarr")
    report = stack.attrs["report"]
    assert report["parts"] == parts
    assert report["twins"] == report["black"] == report["without_mask"] == []
    train = report["labels"]["train"]
    assert train["positive"] / (train["positive"] + train["negative"]) == pytest.approx(share, abs=5e-4)
    bands = {band.name: stack[band.name][:40].to_numpy() for band in stack_bands(stack) if band.is_feature}
    if name == "mars":  # slope is that of the elevation: the planes are named in their order
        down, across = np.gradient(bands["elevation"], axis=(1, 2))
        assert np.corrcoef(np.hypot(down, across).ravel(), bands["slope"].ravel())[0, 1] > 0.8
        assert max(float(values.max()) for values in bands.values()) <= 1.0
