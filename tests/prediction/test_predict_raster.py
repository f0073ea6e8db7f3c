"""predict: tiled equals whole, holes stay holes, the map lies where the stack lies, and refusals say why."""

import itertools
import json
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio
import torch
from rio_cogeo.cogeo import cog_validate

from headscarp.core.bundle import save_bundle
from headscarp.core.errors import HeadscarpWarning, OutputError, RecipeError
from headscarp.core.stack import VALID, stack_grid, write_stack
from headscarp.nets import net_from_bundle
from headscarp.nets.batch import Batch
from headscarp.prediction.raster import predict

LOCAL = ("prevalence", "random", "slope", "llr", "nn", "sann", "cnn", "sacnn", "unet")
"""Nets for which this small world has the bands; the contract tests hold the law for every net."""


def read(path):
    with rasterio.open(path) as data:
        return data.read(1)


def whole(bundle, stack):
    """The map in one piece: one window over the whole raster, nets' context mirrored at its edge."""
    from headscarp.core.tile import Tile, Window
    from headscarp.tiles.reader import TileReader, make_batch
    from headscarp.tiles.tiling import halo_of

    net = net_from_bundle(bundle)
    rows, cols = (-(-stack.sizes[d] // net.align) * net.align for d in ("y", "x"))
    tile = Tile(Window(0, 0, rows, cols), halo_of(net))
    pixels = TileReader(stack, bundle.bands).read(tile)
    batch = make_batch([pixels], [tile])
    with torch.inference_mode():
        made = net.predict(Batch(x=batch.x, valid=batch.valid, tiles=batch.tiles))[0, 0].numpy()
    core = (slice(tile.halo, tile.halo + stack.sizes["y"]), slice(tile.halo, tile.halo + stack.sizes["x"]))
    return np.where(pixels.valid[core], made[core], np.nan)


@pytest.mark.parametrize("name", LOCAL)
def test_tiled_equals_whole(name, world, bundle_of, tmp_path):
    stack = world(530, 1100) if name in ("cnn", "sacnn") else world(520, 600)
    bundle = bundle_of(name, stack)
    path = predict(bundle, stack, tmp_path / "map.tif", block_px=512)
    np.testing.assert_allclose(read(path), whole(bundle, stack), atol=1e-5)


def test_block_size_changes_no_pixel(world, bundle_of, tmp_path):
    stack = world(700, 600)
    bundle = bundle_of("cnn", stack)
    maps = [read(predict(bundle, stack, tmp_path / f"{px}.tif", block_px=px)) for px in (512, 1024)]
    np.testing.assert_allclose(*maps, atol=1e-5)


@pytest.mark.parametrize("shape", [(7, 9), (1, 40), (33, 5)])
def test_a_raster_smaller_than_the_halo(shape, world, bundle_of, tmp_path):
    stack = world(*shape)
    bundle = bundle_of("sacnn", stack)
    path = predict(bundle, stack, tmp_path / "map.tif")
    np.testing.assert_allclose(read(path), whole(bundle, stack), atol=1e-5)
    assert cog_validate(path, strict=True)[0]


def test_the_map_is_a_cog_on_the_stacks_grid(world, bundle_of, tmp_path):
    stack = world(1111, 777)
    path = predict(bundle_of("llr", stack), stack, tmp_path / "map.tif", block_px=512)
    valid, errors, warned = cog_validate(path, strict=True)
    assert (valid, errors, warned) == (True, [], [])
    grid = stack_grid(stack)
    with rasterio.open(path) as data:
        assert data.transform == grid.affine
        assert data.crs.to_epsg() == 32633
        assert (data.height, data.width, data.count) == (1111, 777, 1)
        assert data.dtypes == ("float32",)
        assert np.isnan(data.nodata)
        assert data.descriptions == ("probability",)
        assert data.units == ("1",)
        assert data.block_shapes == [(512, 512)]
        assert data.profile["compress"] == "zstd"
        pixels = data.read(1)
        told = {k: float(v) for k, v in data.tags(1).items() if k.startswith("STATISTICS")}
    assert (np.isnan(pixels) == (stack[VALID].to_numpy() == 0)).all()
    there = pixels[np.isfinite(pixels)].astype(float)
    wanted = [there.max(), there.mean(), there.min(), there.std()]
    np.testing.assert_allclose([told[k] for k in sorted(told)], wanted, rtol=1e-5)
    assert 0 <= wanted[2] < wanted[0] <= 1


def test_overviews_are_means_of_the_pixels_that_are_there(world, bundle_of, tmp_path):
    stack = world(1024, 768)
    path = predict(bundle_of("llr", stack), stack, tmp_path / "map.tif")
    with rasterio.open(path) as data:
        assert data.overviews(1) == [2]
        pixels, halves = data.read(1), data.read(1, out_shape=(512, 384))
    fours = pixels.reshape(512, 2, 384, 2)
    there = np.isfinite(fours).sum(axis=(1, 3))
    assert set(np.unique(there)) == {0, 1, 2, 3, 4}  # holes of every kind
    mean = np.nansum(fours, axis=(1, 3)) / np.where(there, there, np.nan)
    np.testing.assert_allclose(halves, mean, atol=1e-6)


def test_the_style_and_the_item_tell_the_truth(world, bundle_of, tmp_path):
    stack = world(520, 300)
    path = predict(bundle_of("nn", stack), stack, tmp_path / "map.tif", precision="bf16")
    pixels = read(path)
    root = ElementTree.parse(path.with_suffix(".qml")).getroot()
    renderer = root.find("pipe/rasterrenderer")
    told = [float(renderer.get(k)) for k in ("classificationMin", "classificationMax")]
    np.testing.assert_allclose(told, [np.nanmin(pixels), np.nanmax(pixels)])
    stops = [float(item.get("value")) for item in renderer.iter("item")]
    assert all(a <= b for a, b in itertools.pairwise(stops))
    item = json.loads(path.with_suffix(".json").read_text())
    assert item["properties"]["proj:shape"] == [520, 300]
    made = item["properties"]["headscarp:made"]
    assert made["made_by"] == "headscarp predict"
    assert (made["settings"]["engine"], made["settings"]["precision"]) == ("torch", "bf16")
    assert 0 <= made["settings"]["largest_change_from_float32"] < 0.05
    assert len(made["settings"]["bundle"]) == 64
    assert sorted(p.name for p in tmp_path.iterdir()) == ["map.json", "map.qml", "map.tif"]


def test_paths_do_as_well_as_values(world, bundle_of, tmp_path):
    stack = world(300, 200)
    bundle = bundle_of("llr", stack)
    write_stack(stack, tmp_path / "stack.zarr")
    save_bundle(bundle, tmp_path / "llr")
    a = predict(bundle, stack, tmp_path / "a.tif")
    b = predict(str(tmp_path / "llr"), str(tmp_path / "stack.zarr"), str(tmp_path / "b.tif"))
    assert a.read_bytes() == b.read_bytes()


def test_calibration_is_applied(world, bundle_of, tmp_path):
    stack = world(100, 90)
    raw = read(predict(bundle_of("llr", stack), stack, tmp_path / "raw.tif"))
    softer = bundle_of("llr", stack, kind="temperature", scale=2.0, shift=0.0)
    softened = read(predict(softer, stack, tmp_path / "softer.tif"))
    wanted = 1 / (1 + np.exp(-np.log(raw / (1 - raw)) / 2))
    np.testing.assert_allclose(softened, wanted, atol=1e-5)


def test_classes_in_another_order_are_the_same_classes(world, bundle_of, tmp_path):
    stack = world(120, 90)
    bundle = bundle_of("llr", stack)
    wanted = read(predict(bundle, stack, tmp_path / "a.tif"))
    turned = stack.copy(deep=True)
    turned["lithology"].attrs["classes"] = ["flysch", "granite", "slate", "marl"]
    turned["lithology"].values = np.array([0, 2, 4, 1], np.uint8)[stack["lithology"].values]
    with pytest.warns(HeadscarpWarning, match="'slate'"):
        found = read(predict(bundle, turned, tmp_path / "b.tif"))
    np.testing.assert_array_equal(found, wanted)


def test_an_output_that_exists_is_refused(world, bundle_of, tmp_path):
    stack = world(60, 50)
    bundle = bundle_of("llr", stack)
    path = predict(bundle, stack, tmp_path / "map.tif")
    before = path.read_bytes()
    with pytest.raises(OutputError, match="--overwrite"):
        predict(bundle_of("nn", stack), stack, path)
    assert path.read_bytes() == before
    predict(bundle_of("nn", stack), stack, path, overwrite=True)
    assert path.read_bytes() != before


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"block_px": 500}, RecipeError, "multiple of 512"),
        ({"engine": "abacus"}, RecipeError, "torch, openvino"),
        ({"precision": "int4"}, RecipeError, "float32, bf16"),
    ],
)
def test_options_that_cannot_be(options, error, message, world, bundle_of, tmp_path):
    stack = world(60, 50)
    with pytest.raises(error, match=message):
        predict(bundle_of("cnn", stack), stack, tmp_path / "map.tif", **options)
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_no_tif(world, bundle_of, tmp_path):
    stack = world(60, 50)
    with pytest.raises(OutputError, match=r"\.tif"):
        predict(bundle_of("llr", stack), stack, tmp_path / "map.json")


def test_the_verb_is_found_where_people_look(world, bundle_of, tmp_path):
    import headscarp

    stack = world(20, 30)
    assert headscarp.predict is predict
    assert headscarp.predict(bundle_of("llr", stack), stack, tmp_path / "a.tif").is_file()
