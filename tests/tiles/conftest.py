"""A small world for the laws of tiles: every kind of band, missing pixels, clustered landslides."""

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox

from headscarp.core.band import Band
from headscarp.core.stack import make_stack

BANDS = (
    Band("elevation", "continuous", "m"),
    Band("aspect", "direction", "degree"),
    Band("rock", "categorical", classes=("granite", "marl", "flysch")),
)


@pytest.fixture
def bands() -> tuple[Band, ...]:
    return BANDS


@pytest.fixture
def world() -> Callable[..., xr.Dataset]:
    """world(shape, seed=0) -> a stack of 10 m cells with a strip that is not valid and some unlabelled pixels."""

    def make(shape: tuple[int, int], seed: int = 0) -> xr.Dataset:
        rng = np.random.default_rng(seed)
        grid = GeoBox(shape, Affine(10, 0, 500000, 0, -10, 5000000), "EPSG:32632")
        valid = rng.random(shape) < 0.95
        valid[: shape[0] // 10, : shape[1] // 3] = False
        likely = np.add.outer(np.arange(shape[0]), np.arange(shape[1])) / sum(shape)
        label = np.where(rng.random(shape) < 0.1 * likely, 1, 0)
        label[rng.random(shape) < 0.05] = 255
        arrays = {
            BANDS[0]: rng.normal(500, 100, shape),
            BANDS[1]: rng.uniform(0, 360, shape),
            BANDS[2]: rng.integers(0, 4, shape),
            Band("landslide", "label"): label,
            Band("valid", "mask"): valid,
        }
        return make_stack(grid, arrays)

    return make
