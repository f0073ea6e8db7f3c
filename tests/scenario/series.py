"""A small stack of simulated scenarios that begin with a series of frames, and a series of one place on a grid."""

from pathlib import Path

import numpy as np
import xarray as xr
from affine import Affine
from scenes import TABLE

from headscarp.assemble.domain_recipe import domains_recipe_from_dict
from headscarp.assemble.domains import build_domains
from headscarp.core.band import Band
from headscarp.core.domains import REFLECTANCE
from headscarp.core.grid import Grid
from headscarp.core.stack import VALID, make_stack, stack_bands
from headscarp.tiles.scenes import picture_before

QUALITY = Band("quality", "categorical", classes=("clear", "cloud", "dilated cloud", "snow"))
CLEAR, CLOUD = 1, 2


def build_series(out: Path, *, frames: int = 5) -> xr.Dataset:
    table = {**TABLE, "scenarios": {**TABLE["scenarios"], "frames": frames, "futures": 2}}
    return build_domains(domains_recipe_from_dict(table), out, workers=1)


def series_of(scenes: xr.Dataset, *, times: int = 3, sample: int = 0) -> xr.Dataset:
    """One place laid out several times side by side on a grid of 30 m, on the dates that it has: each frame shows its
    newest clear values, a little darker the older it is."""
    side = scenes.sizes["y"] * times
    grid = Grid((side, side), Affine(30, 0, 500_000, 0, -30, 2_000_000), "EPSG:32643")
    days = scenes["days"][sample].to_numpy()
    there = np.isfinite(days)
    time = scenes["cutoff"][sample].to_numpy().astype("datetime64[D]") + days[there].astype(int)
    arrays = {}
    for band in stack_bands(scenes):
        if band.name in (*REFLECTANCE, "elevation", "slope"):
            pixels = picture_before(scenes, [band.name], sample)[0]
            if band.name in REFLECTANCE:
                pixels = np.where(np.isfinite(pixels), pixels, np.nanmean(pixels))
                pixels = np.stack([pixels - np.float32(0.001 * age) for age in range(int(there.sum()))][::-1])
            arrays[band] = np.tile(pixels, (*[1] * (pixels.ndim - 2), times, times))
    arrays[QUALITY] = np.full((int(there.sum()), side, side), CLEAR, np.uint8)
    arrays[Band(VALID, "mask")] = np.ones((side, side), np.uint8)
    return make_stack(grid, arrays, time=time.astype("datetime64[ns]"))


def with_bands(stack: xr.Dataset, **pixels: np.ndarray) -> xr.Dataset:
    """The same stack with other pixels in some bands."""
    return stack.assign({name: (stack[name].dims, values, stack[name].attrs) for name, values in pixels.items()})
