"""A simulated region of any size, block by block in constant memory, with the 94 features of the Veneto data set.

For benchmarks of size: relief and maps are hashed noise that each window computes for itself, so blocks need nothing
from their neighbours. It makes no claim to look like Veneto, and its landslides follow slope and rock only.
"""

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from affine import Affine
from numpy.typing import NDArray

from headscarp.core.artefact import check_output, clear_os_errors, finish, partial_path
from headscarp.core.band import Band
from headscarp.core.blocks import Done, run_blocks
from headscarp.core.errors import GridError
from headscarp.core.grid import Grid
from headscarp.core.stack import CHUNK, LABEL, VALID, complete_stack, create_stack, open_stack
from headscarp.core.tile import Window, windows
from headscarp.sources.world._noise import add_noise, uniform_plane
from headscarp.sources.world._region_names import AGES, COVERS, FAMILIES, FAMILY_OF_ROCK, ROCKS
from headscarp.terrain import slope

VENETO_SHAPE = (21005, 19500)
SIMULATED = "simulated by Headscarp (headscarp.sources.world.region): not a real place, for benchmarks only"

_CELL_M = 10.0
_CRS, _ORIGIN = "EPSG:32632", (600_000.0, 5_180_000.0)
_VERSION = 1
_BLOCK_PX = 1024
_LOOSE = 4  # the last rocks of the list: what plains are made of

REGION_BANDS = (
    Band("elevation", "continuous", "m", "simulated: hashed noise, in steps of 1/16 m"),
    Band("slope", "continuous", "degree", "Horn (1981) on the simulated elevation, in steps of 1/64 degree"),
    Band("rock_type", "categorical", "1", "simulated: warped strata", ROCKS),
    Band("land_cover", "categorical", "1", "simulated from slope, elevation and noise", COVERS),
    Band("rock_family", "categorical", "1", "simulated: family of rock_type", FAMILIES),
    Band("rock_age", "categorical", "1", "simulated: warped strata", AGES),
    Band(LABEL, "label", "1", "simulated: drawn from a logistic of slope and rock"),
    Band(VALID, "mask", "1", "simulated: land, not sea"),
)
"""2 continuous and 4 categorical feature bands; with "no value" once in each categorical band they are 94 features."""


@dataclass(frozen=True)
class _Block:
    window: Window

    @property
    def id(self) -> str:
        return f"r{self.window.row}c{self.window.col}"


def veneto_like(
    path: str | Path,
    shape: tuple[int, int] = VENETO_SHAPE,
    *,
    seed: int = 0,
    block_px: int = _BLOCK_PX,
    workers: int = 2,
    overwrite: bool = False,
) -> xr.Dataset:
    """Writes a simulated region as a stack on disk, block by block, and returns it opened.

    shape: (rows, columns) of 10 m cells. block_px: a multiple of 256; it does not change a pixel. Memory is a few
    blocks per worker, whatever the shape. Raises GridError for a shape or block that makes no sense, OutputError.
    """
    if min(shape) < 1 or block_px < CHUNK or block_px % CHUNK:
        raise GridError(
            f"shape {shape} with blocks of {block_px} px was asked for; needed: at least 1 x 1, and blocks of a "
            f"multiple of {CHUNK} px"
        )
    path = check_output(path, overwrite=overwrite)
    partial = partial_path(path)
    with clear_os_errors(path):
        shutil.rmtree(partial, ignore_errors=True)
    grid = Grid(shape, Affine(_CELL_M, 0, _ORIGIN[0], 0, -_CELL_M, _ORIGIN[1]), _CRS)
    arrays = create_stack(partial, grid, REGION_BANDS, attrs={"simulated": SIMULATED, "seed": seed})

    def write(block: _Block) -> Done:
        window = block.window.clip(shape)
        for name, plane in simulate_bands(window, shape, seed=seed).items():
            with clear_os_errors(path):
                arrays[name][window.slices] = plane
        return Done("")

    run_blocks(write, [_Block(window) for window in windows(shape, block_px)], workers=workers, label="simulate")
    # Reading hundreds of millions of pixels for a hash would tell no more than what they were made from.
    made_from = f"region {_VERSION} {shape} {seed}"
    complete_stack(partial, {"fingerprint": hashlib.blake2b(made_from.encode(), digest_size=16).hexdigest()})
    return open_stack(finish(partial, path))


def simulate_bands(window: Window, shape: tuple[int, int] = VENETO_SHAPE, *, seed: int = 0) -> dict[str, NDArray]:
    """All bands of one window of the region, by name: (window.height, window.width), dtypes as their kinds ask.

    shape: of the whole region, which decides where mountains and sea are. A pixel is the same in whatever window it
    is asked for; the window may hang over the edge. Sea is missing: NaN, 0, unlabelled, not valid.
    """
    wide = window.grow(1)
    height_m = _elevation(wide, shape, seed)
    inner = (slice(1, -1), slice(1, -1))
    slope_deg = (np.round(slope(height_m, _CELL_M)[inner] * 64) / 64).astype(np.float32)
    elevation = height_m[inner]
    land = elevation > 0.0

    bed = _plane(window, seed, 20, ((512, 400.0), (128, 120.0), (32, 15.0))) + 0.8 * elevation
    mountain = elevation > 60.0
    hard = len(ROCKS) - _LOOSE
    rock = np.where(mountain, np.mod(bed // 45.0, hard), hard + np.mod(bed // 60.0, _LOOSE)).astype(np.uint8) + 1
    age = (np.mod((bed + _plane(window, seed, 30, ((1024, 300.0),))) // 70.0, len(AGES))).astype(np.uint8) + 1
    unmapped = _plane(window, seed, 40, ((256, 1.0),)) > 0.75
    rock[unmapped] = age[unmapped] = 0
    cover = _land_cover(window, seed, elevation, slope_deg)
    family = FAMILY_OF_ROCK[rock]

    chance = 1.0 / (1.0 + np.exp(6.5 - slope_deg / 9.0 - 0.8 * (np.mod(rock, 7) == 0)))
    draw = np.empty(chance.shape)
    uniform_plane(draw, window.row, window.col, 3, seed * 1000 + 60)
    codes = {"rock_type": rock, "land_cover": cover, "rock_family": family, "rock_age": age}
    return {
        "elevation": np.where(land, elevation, np.float32(np.nan)),
        "slope": np.where(land, slope_deg, np.float32(np.nan)),
        **{name: np.where(land, plane, np.uint8(0)) for name, plane in codes.items()},
        LABEL: np.where(land, draw < chance, 255).astype(np.uint8),
        VALID: land.astype(np.uint8),
    }


def _elevation(window: Window, shape: tuple[int, int], seed: int) -> NDArray[np.float32]:
    """Metres, (y, x) float32 in steps of 1/16 m: mountains, plain, and sea in the south-east, at or below 0."""
    y = (np.arange(window.row, window.row + window.height) + 0.5) / shape[0]
    x = (np.arange(window.col, window.col + window.width) + 0.5) / shape[1]
    coast = 1.27 - 0.95 * y[:, None] - 0.45 * x[None, :] + _plane(window, seed, 10, ((2048, 0.08), (512, 0.03)))
    high = np.clip((coast - 0.25) / 0.6, 0.0, 1.0)
    high *= np.sqrt(high)
    crests = _plane(window, seed, 1, ((1024, 500.0), (512, 380.0), (256, 230.0), (128, 120.0)), ridged=True)
    rough = _plane(window, seed, 5, ((64, 45.0), (32, 22.0), (16, 9.0), (8, 3.0), (4, 0.8)))
    metres = 60.0 * coast + high * (1100.0 + crests + rough)
    return (np.round(metres * 16) / 16).astype(np.float32)


def _land_cover(
    window: Window, seed: int, elevation: NDArray[np.float32], slope_deg: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """Codes from 1 into COVERS, (y, x): fields and towns on gentle ground, lakes, forest elsewhere."""
    agricultural, artificial, forest, water = range(1, 5)
    patches = _plane(window, seed, 50, ((256, 0.6), (64, 0.3), (16, 0.1)))
    towns = _plane(window, seed, 54, ((128, 0.7), (16, 0.3)))
    cover = np.full(elevation.shape, forest, np.uint8)
    cover[slope_deg + 10.0 * patches < 12.0] = agricultural
    cover[(slope_deg < 10.0) & (towns > 0.4)] = artificial
    cover[(slope_deg < 6.0) & (patches < -0.5)] = water
    return cover


def _plane(
    window: Window, seed: int, layer: int, octaves: Sequence[tuple[int, float]], *, ridged: bool = False
) -> NDArray[np.float64]:
    """Sum of octaves (wavelength in cells, amplitude) of noise over a window; layer keeps planes apart."""
    out = np.zeros((window.height, window.width))
    for k, (wavelength, amplitude) in enumerate(octaves):
        add_noise(out, window.row, window.col, wavelength, seed * 1000 + layer + k, amplitude, ridged)
    return out
