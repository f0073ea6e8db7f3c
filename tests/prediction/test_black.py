"""Black squares of an image are left out and counted, the same ones whatever the blocks; the sea is not black."""

import logging

import numpy as np
import pytest
import rasterio
from affine import Affine

from headscarp.core.band import Band
from headscarp.core.grid import Grid
from headscarp.core.provenance import read_made
from headscarp.core.stack import VALID, make_stack
from headscarp.prediction.raster import predict


def image(units):
    """Three bands of 700 x 600: two whole squares black, some black pixels elsewhere, one block without an image."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(1, 255, (3, 700, 600)).astype(np.float32)
    pixels[:, 256:512, :256] = 0
    pixels[:, 512:700, 512:600] = 0  # cut by the edge
    pixels[:, 10:50, 300:340] = 0
    valid = np.ones((700, 600), np.uint8)
    valid[300:320, 10:20] = 0
    valid[512:, :512] = 0
    arrays = {Band(f"b{i}", "continuous", units): plane for i, plane in enumerate(pixels)}
    grid = Grid((700, 600), Affine(10, 0, 500_000, 0, -10, 5_000_000), "EPSG:32633")
    return make_stack(grid, {**arrays, Band(VALID, "mask"): valid}), valid == 1


@pytest.fixture
def bundle_of_image():
    import torch

    from headscarp.core.bundle import Bundle
    from headscarp.core.stack import feature_bands
    from headscarp.nets import make_net, weights_of
    from headscarp.nets.net import Statistics

    def make(stack):
        bands = feature_bands(stack)
        scale = dict.fromkeys([band.name for band in bands], 100.0)
        torch.manual_seed(0)
        net = make_net("llr", bands, resolution_m=10.0, statistics=Statistics(scale, scale, 0.2))
        return Bundle("llr", net.arguments(), bands, 10.0, weights_of(net))

    return make


@pytest.mark.parametrize("block_px", [512, 1024])
def test_black_squares_are_left_out_and_counted(block_px, bundle_of_image, tmp_path, caplog):
    stack, valid = image("1")
    with caplog.at_level(logging.INFO, "headscarp"):
        path = predict(bundle_of_image(stack), stack, tmp_path / "map.tif", block_px=block_px)
    with rasterio.open(path) as file:
        made = file.read(1)
    wanted = valid.copy()
    wanted[256:512, :256] = False
    wanted[512:, 512:] = False
    np.testing.assert_array_equal(np.isfinite(made), wanted)
    assert "2 squares of 256 px are black" in caplog.text
    settings = read_made(path)["settings"]
    assert settings["black_squares_left_out"] == 2
    assert settings["blocks_left_out"] == (2 if block_px == 512 else 0)
    assert ("2 of 4 blocks have no valid pixel" in caplog.text) == (block_px == 512)


def test_the_sea_is_not_black(bundle_of_image, tmp_path):
    stack, valid = image("m")
    path = predict(bundle_of_image(stack), stack, tmp_path / "map.tif")
    with rasterio.open(path) as file:
        np.testing.assert_array_equal(np.isfinite(file.read(1)), valid)
    assert read_made(path)["settings"]["black_squares_left_out"] == 0
