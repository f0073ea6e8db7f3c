"""A small world for the training tests: a valley of 192 x 192 cells where a planted rule decides where slides are."""

import numpy as np
import pytest
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox

from headscarp.core.band import Band
from headscarp.core.stack import make_stack
from headscarp.tiles.splits import Split, split_blocks

CELL_M = 30.0


def small_world(side: int = 192, seed: int = 3) -> xr.Dataset:
    """Slides are likelier on steep ground and on rock type 2; log-odds -3.5 + 1.5 slope (scaled) + 1.5 (type 2)."""
    rng = np.random.default_rng(seed)
    rows, cols = np.meshgrid(np.arange(side), np.arange(side), indexing="ij")
    elevation = 1000 + 200 * np.sin(rows / 23) * np.cos(cols / 31) + 40 * np.sin((rows + 2 * cols) / 9)
    down, across = np.gradient(elevation, CELL_M)
    slope = np.degrees(np.arctan(np.hypot(down, across)))
    aspect = np.mod(np.degrees(np.arctan2(-across, down)), 360)
    rock = 1 + (np.sin(rows / 17 + 1) + np.sin(cols / 13) > 0.4) + (np.sin(cols / 29) > 0.8)
    log_odds = -3.5 + 1.5 * (slope - slope.mean()) / slope.std() + 1.5 * (rock == 2)
    landslide = rng.random(slope.shape) < 1 / (1 + np.exp(-log_odds))
    valid = np.ones(slope.shape, np.uint8)
    valid[:10, :14] = 0
    slope[:10, :14] = np.nan
    return make_stack(
        GeoBox((side, side), Affine(CELL_M, 0, 500000, 0, -CELL_M, 4500000), "EPSG:32633"),
        {
            Band("elevation", "continuous", "m"): elevation,
            Band("slope", "continuous", "degree"): slope,
            Band("aspect", "direction", "degree"): aspect,
            Band("rock", "categorical", classes=("marl", "schist", "granite")): rock,
            Band("landslide", "label"): landslide,
            Band("valid", "mask"): valid,
        },
    )


@pytest.fixture(scope="session")
def world() -> xr.Dataset:
    return small_world()


@pytest.fixture(scope="session")
def blocks(world: xr.Dataset) -> Split:
    return split_blocks(world, block_size_m=480, buffer_m=60, seed=1)


@pytest.fixture(scope="session")
def tiny_world() -> xr.Dataset:
    return small_world(96)
