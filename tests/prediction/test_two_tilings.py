"""No seam: the same place under two tilings has the same probability and the same polygons."""

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely

from headscarp.prediction import blockwork
from headscarp.prediction.facts import finish_block
from headscarp.prediction.outlines import Rules
from headscarp.prediction.raster import predict
from headscarp.prediction.vectorize import vectorize

TOLERANCE = 1e-5


@pytest.fixture
def maps(world, bundle_of, tmp_path):
    """(net) -> paths of the maps of one place in blocks of 512 and of 1024 px, and their pixels."""

    def make(name):
        stack = world(520, 540)
        bundle = bundle_of(name, stack)
        paths = [predict(bundle, stack, tmp_path / f"{px}.tif", block_px=px) for px in (512, 1024)]
        pixels = []
        for path in paths:
            with rasterio.open(path) as file:
                pixels.append(file.read(1))
        return paths, pixels

    return make


def amid_the_widest_gap(values, apart):
    """A threshold in the upper tenth of the pixels; the nearest ones are further from it than `apart`."""
    there = np.sort(np.unique(values[np.isfinite(values)]).astype(np.float64))
    tail = there[int(0.9 * len(there)) : int(0.9995 * len(there))]
    at = int(np.argmax(np.diff(tail)))
    assert tail[at + 1] - tail[at] > 2 * apart
    return float((tail[at] + tail[at + 1]) / 2)


@pytest.mark.parametrize("name", ["anomaly", "deeplab", "cnn"])
def test_two_tilings_give_the_same_probabilities_and_polygons(name, maps, tmp_path):
    paths, (small, large) = maps(name)
    assert np.nanstd(large) > 1e-3
    np.testing.assert_allclose(small, large, atol=TOLERANCE)
    rules = Rules(amid_the_widest_gap(large, np.nanmax(np.abs(small - large))))
    held = []
    for number, (path, block_px) in enumerate(zip(paths, (200, 64), strict=True)):
        table = gpd.read_file(vectorize(path, tmp_path / f"{number}.gpkg", rules=rules, block_px=block_px))
        held.append(sorted(shapely.normalize(table.geometry.to_numpy()).astype(str)))
    assert len(held[0]) > 2
    assert held[0] == held[1]


def test_windows_that_blocks_share_are_the_same_after_an_interruption(world, bundle_of, tmp_path, monkeypatch):
    stack = world(130, 1100)
    bundle = bundle_of("deeplab", stack)
    wanted = predict(bundle, stack, tmp_path / "whole.tif", block_px=512).read_bytes()
    finished = []

    def stopping(pixels, valid):
        if finished:
            raise KeyboardInterrupt
        finished.append(1)
        return finish_block(pixels, valid)

    with monkeypatch.context() as patch:
        patch.setattr(blockwork, "finish_block", stopping)
        with pytest.raises(KeyboardInterrupt):
            predict(bundle, stack, tmp_path / "map.tif", block_px=512, workers=1)
    assert predict(bundle, stack, tmp_path / "map.tif", block_px=512, resume=True).read_bytes() == wanted


def test_windows_give_the_same_bytes_on_one_thread_and_on_three(world, bundle_of, tmp_path):
    """Which windows come together in a batch depends on threads; what they give does not."""
    stack = world(700, 1100)
    bundle = bundle_of("deeplab", stack)
    maps = [predict(bundle, stack, tmp_path / f"{n}.tif", block_px=512, workers=n).read_bytes() for n in (1, 3)]
    assert maps[0] == maps[1]
