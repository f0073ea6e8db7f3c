"""Simulated land cover: what a valley of this shape would be used for. Nothing here is a real place."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from headscarp.sources.world.relief import Relief, fractal_noise


@dataclass(frozen=True)
class Cover:
    """A class of land cover, and how much its roots add to the strength of the soil."""

    name: str
    root_cohesion_kpa: float


COVERS = (
    Cover("agricultural", 1.0),
    Cover("artificial", 1.5),
    Cover("forest and semi-natural", 4.0),
    Cover("water", 0.0),
    Cover("wetland", 0.5),
)
"""Classes by code - 1, the five of Hajimoradlou et al. (2019)."""

_AGRICULTURAL, _ARTIFICIAL, _FOREST, _WATER, _WETLAND = range(1, 6)


def land_cover(
    relief: Relief, slope_deg: NDArray[np.floating], cell_size_m: float, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Codes from 1 into COVERS, (y, x): water in the river, towns and fields low and flat, meadows, forest elsewhere.

    slope_deg: (y, x), without missing cells.
    """
    shape = slope_deg.shape
    patches, towns, meadows = (fractal_noise(shape, rng, beta) for beta in (1.7, 1.9, 1.5))
    slope_deg = gaussian_filter(slope_deg, 20.0 / cell_size_m)  # parcels are larger than cells
    low = relief.elevation_m - np.percentile(relief.elevation_m, 1)
    low = low / max(float(low.max()), 1.0)
    out = np.full(shape, _FOREST, np.uint8)
    out[slope_deg + 4.0 * patches + 18.0 * low < 17.0] = _AGRICULTURAL
    # Mown or grazed clearings on slopes: the roots of grass hold less than those of trees.
    out[(meadows > 1.1) & (slope_deg < 33.0)] = _AGRICULTURAL
    out[(towns > 1.0) & (slope_deg < 11.0) & (low < 0.35)] = _ARTIFICIAL
    flat = (relief.fill_m > 4.0) & (slope_deg < 4.0)
    out[flat & (patches < -0.9) & (towns < 1.0)] = _WETLAND
    out[relief.river_m < max(18.0, 0.75 * cell_size_m)] = _WATER
    return out
