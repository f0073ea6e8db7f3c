"""Nets of detection, from a stack to a bundle to a map."""

import numpy as np
import pytest
import rasterio

from headscarp.core.errors import SplitError
from headscarp.nets import net_from_bundle
from headscarp.prediction.raster import predict
from headscarp.tiles.splits import split_blocks
from headscarp.train.config import FitConfig
from headscarp.train.fit import fit

ARGUMENTS = {
    "deeplab": {"window_px": 64},
    "patch": {"patch_px": 16, "share": 0.15},
    "anomaly": {"base": 2, "percentile": 90.0},
    "spectral": {"of": ["slope"]},
}
TRAINED = ("deeplab", "patch", "anomaly")


@pytest.mark.parametrize("net", TRAINED)
def test_a_net_is_trained_and_makes_a_map(net, world, blocks, tmp_path):
    config = FitConfig(epochs=1, net_arguments=ARGUMENTS[net], sampling="uniform", batch_size=4)
    bundle = fit(world, net=net, split=blocks, out=tmp_path / net, config=config)
    if net == "anomaly":
        assert bundle.threshold == pytest.approx(0.9)
        quantiles = net_from_bundle(bundle).quantiles
        assert (quantiles.diff() >= 0).all()
        assert quantiles[-1] > 0
        assert not np.allclose(quantiles, np.linspace(0, 2, len(quantiles)))
    maps = []
    for block_px in (512, 1024):
        path = predict(bundle, world, tmp_path / f"{block_px}.tif", block_px=block_px)
        with rasterio.open(path) as file:
            maps.append(file.read(1))
    assert np.array_equal(*maps, equal_nan=True)
    assert np.nanmin(maps[0]) >= 0
    assert np.nanmax(maps[0]) <= 1


@pytest.mark.parametrize("net", ["anomaly", "spectral"])
def test_a_stack_without_labels_is_enough_for_nets_that_need_none(net, world, tmp_path):
    unlabelled = world.drop_vars("landslide")
    if "bands" in unlabelled.attrs:
        unlabelled.attrs["bands"] = [name for name in unlabelled.attrs["bands"] if name != "landslide"]
    arguments = ARGUMENTS[net]
    config = FitConfig(epochs=1, net_arguments=arguments, batch_size=4)
    bundle = fit(
        unlabelled, net=net, split=split_blocks(unlabelled, block_size_m=480.0), out=tmp_path / "b", config=config
    )
    assert bundle.threshold == pytest.approx(net_from_bundle(bundle).own_threshold)
    with rasterio.open(predict(bundle, unlabelled, tmp_path / "map.tif")) as file:
        values = file.read(1)
    there = values[np.isfinite(values)]
    assert 0 <= there.min() <= there.max() <= 1
    # The threshold is a percentile of the ground itself, so about that share of it lies above.
    assert (there >= bundle.threshold).mean() < 0.4


def test_a_net_that_needs_labels_says_so_where_there_are_none(world, tmp_path):
    unlabelled = world.drop_vars("landslide")
    with pytest.raises(SplitError, match="needs none: anomaly"):
        fit(unlabelled, net="llr", split=split_blocks(unlabelled, block_size_m=480.0), out=tmp_path / "b")
