"""Small worlds for predict: stacks with holes in them, and bundles of untrained nets with lively weights."""

import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
import xarray as xr
from affine import Affine

from headscarp.core.band import Band
from headscarp.core.bundle import Bundle
from headscarp.core.grid import Grid
from headscarp.core.stack import VALID, feature_bands, make_stack
from headscarp.nets import make_net, weights_of
from headscarp.nets.net import Statistics

LITHOLOGY = ("granite", "marl", "flysch")


@pytest.fixture
def world() -> Callable[..., xr.Dataset]:
    """(rows, cols) -> a stack at 10 m: elevation, slope, aspect, lithology; a corner and some pixels not valid."""

    def make(rows: int, cols: int, *, seed: int = 0) -> xr.Dataset:
        rng = np.random.default_rng(seed)
        y, x = np.mgrid[:rows, :cols]
        elevation = (200 * np.sin(x / 37) * np.cos(y / 23) + rng.normal(0, 3, (rows, cols))).astype(np.float32)
        slope = np.abs(rng.normal(20, 10, (rows, cols))).astype(np.float32)
        valid = np.ones((rows, cols), np.uint8)
        valid[: rows // 4, : cols // 3] = 0
        valid[rng.random((rows, cols)) < 0.01] = 0
        elevation[valid == 0] = np.nan
        arrays = {
            Band("elevation", "continuous", "m"): elevation,
            Band("slope", "continuous", "degree"): slope,
            Band("aspect", "direction", "degree"): rng.uniform(0, 360, (rows, cols)),
            Band("lithology", "categorical", classes=LITHOLOGY): rng.integers(0, 4, (rows, cols)),
            Band(VALID, "mask"): valid,
        }
        return make_stack(Grid((rows, cols), Affine(10, 0, 500_000, 0, -10, 5_000_000), "EPSG:32633"), arrays)

    return make


@pytest.fixture
def bundle_of() -> Callable[..., Bundle]:
    """(net, stack) -> a bundle of that net on the stack's bands, untrained, its last layer made to vary."""

    def make(name: str, stack: xr.Dataset, **calibration: object) -> Bundle:
        bands = feature_bands(stack)
        statistics = Statistics({"elevation": 0.0, "slope": 20.0}, {"elevation": 100.0, "slope": 10.0}, 0.2)
        aligned = {"aligned": ("slope", "lithology=marl")}
        arguments = {
            "sann": aligned,
            "sacnn": aligned,
            "unet": {"base": 4},
            "anomaly": {"base": 2},
            "spectral": {"of": ["slope"]},
        }.get(name, {})
        torch.manual_seed(3)
        net = make_net(name, bands, resolution_m=10.0, statistics=statistics, arguments=arguments)
        with torch.no_grad(), warnings.catch_warnings():
            for parameter in net.parameters() if name != "deeplab" else ():  # residuals would add up to 0 and 1
                if parameter.ndim == 4:
                    torch.nn.init.kaiming_normal_(parameter)
        return Bundle(name, net.arguments(), bands, 10.0, weights_of(net), calibration=calibration)

    return make
