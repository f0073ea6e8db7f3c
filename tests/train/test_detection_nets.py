"""Nets of detection, from a stack to a bundle to a map."""

import numpy as np
import pytest
import rasterio

from headscarp.nets import net_from_bundle
from headscarp.prediction.raster import predict
from headscarp.train.config import FitConfig
from headscarp.train.fit import fit

ARGUMENTS = {"deeplab": {"window_px": 64}, "patch": {"patch_px": 16}, "anomaly": {"base": 2, "percentile": 90.0}}


@pytest.mark.parametrize("net", list(ARGUMENTS))
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
