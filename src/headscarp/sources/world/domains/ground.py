"""The ground of a simulated place: relief, what covers it, and how its soil stands, before anything happens to it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from headscarp.sources.world._noise import add_noise
from headscarp.sources.world.domains.regions import Region

SURFACES = ("tree", "grass", "dry_grass", "soil", "rock", "water", "built_up", "ash", "snow")
TREE, GRASS, DRY_GRASS, SOIL, ROCK, WATER, BUILT_UP, ASH, SNOW = range(len(SURFACES))
"""Rows of anything that is given by surface. Shares of `Place.cover` have those up to BUILT_UP."""

CELL_M = 30.0
_OCTAVES_PX = (53, 23, 11, 5)
_AMPLITUDES = (1.0, 0.38, 0.14, 0.05)
_STEEPEST_DEG = 52.0

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Place:
    """elevation_m, slope_deg: (y, x). normal: (3, y, x) unit vector up from the ground: east, north, up. cover:
    (7, y, x) shares of SURFACES up to built_up, summing to 1. leafless: share of the trees that shed leaves. wetter:
    (y, x) how much more of the free water a cell gets than the mean. cohesion_kpa, friction_deg, depth_m: of the soil,
    of the whole place. texture: (y, x) how much brighter than its surfaces a cell is. roots: how far
    what holds the soil follows its plants; 0 in a world where vegetation means nothing, and all soil is held alike."""

    elevation_m: Floats
    slope_deg: Floats
    normal: Floats
    cover: Floats
    leafless: float
    wetter: Floats
    cohesion_kpa: float
    friction_deg: float
    depth_m: float
    texture: Floats
    roots: float = 1.0

    @property
    def shape(self) -> tuple[int, int]:
        return self.slope_deg.shape[0], self.slope_deg.shape[1]

    @property
    def downhill(self) -> Floats:
        """(2, y, x) rows and columns that a step downhill goes, a unit vector; 0 on level ground."""
        length = np.maximum(np.hypot(self.normal[0], self.normal[1]), 1e-6)
        return np.stack([-self.normal[1] / length, self.normal[0] / length])


def draw_place(
    region: Region,
    side_px: int,
    elevation_m: float,
    rng: np.random.Generator,
    *,
    wooded: bool = False,
    roots: float = 1.0,
) -> Place:
    """A place of a region. elevation_m: mean. wooded: a forest that covers nearly all of it, on soil that is the
    sounder the more plants mean. roots: as in `Place`."""
    shape, sound = (side_px, side_px), roots if wooded else 0.0
    z = _relief(shape, region.ridged, rng)
    rows, cols = np.gradient(z, CELL_M)
    steep = rng.uniform(*region.slope_deg)
    factor = np.tan(np.radians(steep)) / max(float(np.hypot(rows, cols).mean()), 1e-6)
    tangent = factor * np.hypot(rows, cols)
    limit = np.tan(np.radians(_STEEPEST_DEG))
    squeeze = np.where(tangent > 0.8 * limit, 1.0 / (1.0 + (tangent / limit) ** 4) ** 0.25, 1.0)
    rows, cols, tangent = factor * rows * squeeze, factor * cols * squeeze, tangent * squeeze
    up = 1.0 / np.sqrt(1.0 + tangent**2)
    slope = np.degrees(np.arctan(tangent)).astype(np.float32)
    z = factor * (z - z.mean())
    bowl = uniform_filter(z, 9, mode="nearest") - z  # > 0 in hollows
    spread = max(float(bowl.std()), 1e-6)
    wetter = np.clip(1.0 + 0.22 * bowl / spread, 0.55, 1.6)
    low = (z - z.min()) / max(float(np.ptp(z)), 1e-6)
    return Place(
        elevation_m=(elevation_m + z).astype(np.float32),
        slope_deg=slope,
        normal=np.stack([-cols * up, rows * up, up]).astype(np.float32),
        cover=_wooded(shape, rng) if wooded else _cover(region, slope, low, rng),
        leafless=float(np.clip(region.leafless * rng.uniform(0.5, 1.5), 0.0, 1.0)),
        wetter=wetter.astype(np.float32),
        cohesion_kpa=region.cohesion_kpa * float(np.exp(rng.normal(0.35 * sound, 0.18))),
        friction_deg=region.friction_deg + float(rng.normal(sound, 1.0)),
        depth_m=region.depth_m * float(np.exp(rng.normal(0.0, 0.1))),
        texture=(1.0 + 0.10 * draw_noise(shape, (2, 7), (0.6, 0.8), rng)).astype(np.float32),
        roots=roots,
    )


def draw_noise(
    shape: tuple[int, int], wavelengths_px: tuple[int, ...], amplitudes: tuple[float, ...], rng: np.random.Generator
) -> NDArray[np.float64]:
    """(y, x) sum of octaves of noise, each within about +-its amplitude, at a place of its own in an endless plane."""
    plane = np.zeros(shape)
    row, col, seed = (int(v) for v in rng.integers(0, 2**30, 3))
    for number, (wavelength, amplitude) in enumerate(zip(wavelengths_px, amplitudes, strict=True)):
        add_noise(plane, row, col, wavelength, seed + number, amplitude, False)
    return plane


def _relief(shape: tuple[int, int], ridged: float, rng: np.random.Generator) -> NDArray[np.float64]:
    z = np.zeros(shape)
    row, col, seed = (int(v) for v in rng.integers(0, 2**30, 3))
    for number, (wavelength, amplitude) in enumerate(zip(_OCTAVES_PX, _AMPLITUDES, strict=True)):
        add_noise(z, row, col, wavelength, seed + number, amplitude * (1.0 - ridged), False)
        add_noise(z, row, col, wavelength, seed + 50 + number, 0.8 * amplitude * ridged, True)
    # Every place has a valley: a plane tilts it, so that water has somewhere to go.
    turn = rng.uniform(0.0, 2.0 * np.pi)
    y, x = np.mgrid[: shape[0], : shape[1]] / 64.0
    return z + 0.9 * (np.cos(turn) * y + np.sin(turn) * x)


def _cover(region: Region, slope_deg: Floats, low: NDArray[np.float64], rng: np.random.Generator) -> Floats:
    """Trees on slopes, meadows and fields lower down, stones where it is steep, water and roofs on the valley floor."""
    shape = slope_deg.shape
    rows, cols = shape[0], shape[1]
    trees, meadows, stones = (share * rng.uniform(0.7, 1.3) for share in (region.trees, region.meadows, region.stones))
    wood, patch, crag = (draw_noise((rows, cols), (29, 13, 5), (1.0, 0.6, 0.35), rng) for _ in range(3))
    weight = np.empty((7, rows, cols))
    weight[TREE] = trees * np.exp(2.2 * wood + 0.02 * (slope_deg - 20.0))
    weight[GRASS] = meadows * np.exp(2.2 * patch - 0.03 * (slope_deg - 20.0))
    weight[DRY_GRASS] = 0.0  # grass turns dry with the seasons
    weight[SOIL] = 0.07 * np.exp(1.5 * (patch - wood))
    weight[ROCK] = stones * np.exp(1.8 * crag + 0.09 * (slope_deg - 27.0))
    weight[WATER] = np.where((low < 0.05) & (slope_deg < 20.0), 4.0, 0.0)
    weight[BUILT_UP] = np.where((low < 0.35) & (slope_deg < 14.0), 0.9 * np.exp(2.0 * (crag - 0.7)), 0.0)
    sharp = weight**1.6
    return (sharp / sharp.sum(axis=0)).astype(np.float32)


def _wooded(shape: tuple[int, int], rng: np.random.Generator) -> Floats:
    gaps = np.clip(0.06 + 0.10 * draw_noise(shape, (13, 5), (1.0, 0.6), rng), 0.0, 0.35)
    cover = np.zeros((7, *shape))
    cover[TREE], cover[GRASS], cover[SOIL] = 1.0 - gaps, 0.85 * gaps, 0.15 * gaps
    return cover.astype(np.float32)
