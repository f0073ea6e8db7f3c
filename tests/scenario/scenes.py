"""A small stack of simulated scenarios, and a scene on a grid that looks like one of its places."""

from pathlib import Path

import numpy as np
import torch
import xarray as xr
from affine import Affine

from headscarp.assemble.domain_recipe import domains_recipe_from_dict
from headscarp.assemble.domains import build_domains
from headscarp.core.band import Band
from headscarp.core.grid import Grid
from headscarp.core.stack import VALID, feature_bands, make_stack
from headscarp.nets.areas import QUANTILES, angle

TABLE = {
    "name": "t",
    "seed": 5,
    "scenarios": {
        "places_per_region": 10,
        "regions": ["india"],
        "tasks": ["identity", "no_change", "mining", "deforestation"],
        "futures": 3,
        "side_px": 16,
    },
}


def build_scenes(out: Path) -> xr.Dataset:
    return build_domains(domains_recipe_from_dict(TABLE), out, workers=1)


def asks(low, high, follow=0.0, wide=1.0, strength=0.0):
    """A table that asks for shares from low to high."""
    ends = angle(torch.tensor([low, high])).tolist()
    return [follow, wide, strength, *np.linspace(*ends, QUANTILES).tolist()]


def scene_of(scenes: xr.Dataset, *, times: int = 3) -> xr.Dataset:
    """One place laid out several times side by side on a grid of 30 m, with a hole in it."""
    side = scenes.sizes["y"] * times
    grid = Grid((side, side), Affine(30, 0, 500_000, 0, -30, 2_000_000), "EPSG:32643")
    arrays = {band: np.tile(scenes[band.name][0].to_numpy(), (times, times)) for band in feature_bands(scenes)}
    valid = np.ones((side, side), np.uint8)
    valid[3:6, 4:8] = 0
    for array in arrays.values():
        array[valid == 0] = np.nan
    return make_stack(grid, {**arrays, Band(VALID, "mask"): valid})
