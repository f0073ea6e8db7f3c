"""The simulated relief: a main river, tributaries that cut back from it, ridges, and a valley floor filled with gravel.

Streams keep Flint's law, slope = steepness * area^-0.45 (Flint 1974), hillslopes round off near the divides and stand
no steeper than their rock allows. All of it is simulated; nothing here is a real place.
"""

from dataclasses import dataclass

import numpy as np
import pyflwdir
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, zoom

from headscarp.sources.world._kernels import erode, upslope_cells
from headscarp.sources.world.geology import ROCKS, Strata, rock_at

_CONCAVITY, _STEEPNESS = 0.45, 57.6  # drop per metre = steepness * (area in m2)^-concavity
_CREEP_AREA_M2 = 4e3
_STREAM_AREA_M2 = 3e4
_CREEP_M = 20.0
_STEEPEST_DEG = 30.0
_LEVELS = ((8, 24), (4, 10), (2, 6), (1, 3))  # (cells of the finest grid per side, rounds of erosion)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Relief:
    """elevation_m: (y, x) float32. fill_m: (y, x) thickness of gravel on the valley floor, 0 elsewhere. river_m: (y, x)
    distance to the middle of the main river."""

    elevation_m: NDArray[np.float32]
    fill_m: NDArray[np.float32]
    river_m: NDArray[np.float32]


def carve_relief(
    shape: tuple[int, int], cell_size_m: float, strata: Strata, rng: np.random.Generator, *, relief_m: float
) -> Relief:
    """Relief of a valley that runs from north to south, eroded from coarse to fine.

    shape: (rows, columns), multiples of 8. strata: what rock the erosion meets. relief_m: about how high the ridges
    stand above the river.
    """
    bends = rng.uniform(0.0, 2.0 * np.pi, 3)
    seed = int(rng.integers(2**32))
    z: Floats = np.zeros((0, 0))
    for step, rounds in _LEVELS:
        coarse = (shape[0] // step, shape[1] // step)
        size_m = cell_size_m * step
        valley = _Valley(coarse, size_m, relief_m, bends)
        level = np.random.default_rng([seed, step])
        if not z.size:
            z = valley.base_m + relief_m * (0.5 + 0.25 * fractal_noise(coarse, level, 2.0))
        else:
            z = zoom(z, 2, order=1, mode="nearest", grid_mode=True) + 0.25 * size_m * level.normal(size=coarse)
        uneven = np.exp(0.3 * fractal_noise(coarse, level, 1.6))
        # Water finds its way over small bumps: without them it runs straight along the eight directions of the grid.
        bumps_m = 0.25 * size_m * level.normal(size=coarse)
        for _ in range(rounds):
            z = _erode_once(z, bumps_m, valley, strata, uneven)
    return _fill_floor(z, _Valley(shape, cell_size_m, relief_m, bends), rng)


def fractal_noise(shape: tuple[int, int], rng: np.random.Generator, beta: float) -> Floats:
    """Noise of mean 0 and deviation 1 whose spectral amplitude falls as frequency^-beta: (y, x), without a seam to see.

    Larger beta is smoother; 0 is white. It is periodic, as what it is made from is."""
    spectrum = np.fft.rfft2(rng.normal(size=shape))
    frequency = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None, :])
    frequency[0, 0] = np.inf
    noise = np.fft.irfft2(spectrum * (frequency**-beta), s=shape)
    return np.asarray((noise - noise.mean()) / noise.std())


class _Valley:
    """Where the main river runs on one grid, and the heights that erosion cannot go below."""

    def __init__(self, shape: tuple[int, int], cell_size_m: float, relief_m: float, bends: Floats) -> None:
        rows, cols = shape
        self.cell_size_m, self.relief_m = cell_size_m, relief_m
        y = ((np.arange(rows) + 0.5) / rows)[:, None]
        x = ((np.arange(cols) + 0.5) / cols)[None, :]
        swing, slant = np.zeros_like(y), np.zeros_like(y)
        for amplitude, bends_down, phase in zip((0.07, 0.03, 0.012), (0.9, 2.3, 5.1), bends, strict=True):
            turn = 2.0 * np.pi * bends_down
            swing += amplitude * np.sin(turn * y + phase)
            slant += amplitude * turn * np.cos(turn * y + phase)
        across = np.abs(x - 0.48 - swing) / np.sqrt(1.0 + (slant * cols / rows) ** 2)
        self.river_m = across * cols * cell_size_m
        self.base_m = 250.0 + 0.006 * (1.0 - y) * rows * cell_size_m + np.zeros(shape)
        self.fixed = self.river_m <= 0.75 * cell_size_m
        # Beyond the map other valleys lie higher: the outermost cells are outlets at that height.
        edge = np.zeros(shape, bool)
        edge[[0, -1]] = edge[:, [0, -1]] = True
        side = np.clip(across / 0.45, 0.0, 1.0)
        self.floor_m = self.base_m + np.where(edge, relief_m * 0.45 * side, 0.0)
        self.fixed |= edge


def _erode_once(z: Floats, bumps_m: Floats, valley: _Valley, strata: Strata, uneven: Floats) -> Floats:
    """One round: where water runs on this relief, and the heights that its streams and rocks then ask for."""
    z = np.where(valley.fixed, valley.floor_m, z)
    outlets = np.flatnonzero(valley.fixed)
    bumpy = np.where(valley.fixed, z, z + bumps_m).astype(np.float32)
    _, d8 = pyflwdir.dem.fill_depressions(bumpy, idxs_pit=outlets)
    d8.flat[outlets] = 0  # neighbouring outlets must not drain into each other
    flow = pyflwdir.from_array(d8, ftype="d8", check_ftype=False)
    below, order = flow.idxs_ds, flow.idxs_seq
    cell_m = valley.cell_size_m
    area_m2 = upslope_cells(below, order) * cell_m**2
    rock = rock_at(strata, z, cell_m)
    strength = np.array([r.relief for r in ROCKS])[rock].ravel()
    # Creep rounds the divides: on the first 0.3 ha or so slope grows with area instead of falling.
    rounded = (area_m2 / (area_m2 + _CREEP_AREA_M2)) ** 0.5
    steepness = _STEEPNESS * uneven.ravel() * strength * rounded
    gradient = steepness * (area_m2 + _CREEP_AREA_M2) ** -_CONCAVITY
    limit = np.tan(np.radians(_STEEPEST_DEG)) * strength * uneven.ravel()
    z = z.ravel()
    erode(z, below, order, gradient, limit, valley.fixed.shape[1], cell_m, 0.7)
    z = z.reshape(valley.fixed.shape)
    # Off the streams creep smooths, which also wipes out the eight directions that water could take.
    slopes = (area_m2 < _STREAM_AREA_M2).reshape(z.shape)
    return np.where(slopes, gaussian_filter(z, _CREEP_M / cell_m), z)


def _fill_floor(z: Floats, valley: _Valley, rng: np.random.Generator) -> Relief:
    """Adds gravel up to a nearly flat level along the river, and the fine roughness of the slopes."""
    shape, cell_m = z.shape, valley.cell_size_m
    z = gaussian_filter(z, 8.0 / cell_m + 0.3) + 1.5 * fractal_noise(shape, rng, 1.7)
    deep_m = 0.028 * valley.relief_m * (1.0 + 0.25 * fractal_noise(shape, rng, 2.5))
    level = valley.base_m + deep_m * np.exp(-((valley.river_m / (0.2 * shape[1] * cell_m)) ** 2))
    level += 0.02 * valley.river_m
    soft = 3.0
    floor = level + soft * np.logaddexp(0.0, (z - level) / soft)
    fill = np.maximum(floor - z, 0.0)
    # The river keeps its bed a little below the floor.
    floor -= 3.0 * np.exp(-((valley.river_m / 25.0) ** 2))
    return Relief(floor.astype(np.float32), fill.astype(np.float32), valley.river_m.astype(np.float32))
