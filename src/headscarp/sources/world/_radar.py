"""What Sentinel-1 sees of simulated ground: backscatter of its surfaces, the lie of the slope, speckle.

Levels are round figures for C band within the ranges of Flores-Anderson et al. (2019), The SAR Handbook. Terrain
correction is simulated as imperfect: a rest of the brightness of slopes that face the radar stays.
"""

from datetime import date

import numpy as np
from numpy.typing import NDArray

from headscarp.sources.world._ground import SURFACES, Ground, greenness

INCIDENCE_DEG = 39.0
LOOK_AZIMUTH_DEG = {"ascending": 78.0, "descending": 282.0}
"""Where the beam goes: Sentinel-1 looks to the right of its track."""

BACKSCATTER_DB = {
    "tree": (-9.5, -15.0),
    "grass": (-12.0, -18.5),
    "dry_grass": (-12.5, -20.0),
    "soil": (-10.0, -18.5),
    "rock": (-8.5, -16.5),
    "water": (-20.0, -27.0),
    "built_up": (-3.5, -11.5),
    "ash": (-11.0, -19.5),
    "snow": (-14.0, -21.0),
}
"""VV and VH of each surface."""
WET_DB = 2.0
"""How much brighter open ground is in the wet season."""
_REST = 0.35  # power of the cosine that correction left
_OPEN = ("grass", "dry_grass", "soil")


def speckle(shape: tuple[int, ...], looks: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Multiplicative speckle of mean 1: a gamma distribution whose mean squared over its variance is `looks`."""
    return rng.gamma(looks, 1.0 / looks, shape).astype(np.float32)


def see_backscatter(
    ground: Ground, day: date, orbit: str, *, looks: float, wet: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """(2, y, x) gamma nought, linear, of VV and VH; NaN in layover, in radar shadow and outside.

    orbit: "ascending" or "descending". wet: 0 for dry ground to 1 for soaked.
    """
    turn, angle = np.radians(LOOK_AZIMUTH_DEG[orbit]), np.radians(INCIDENCE_DEG)
    back = np.array([-np.sin(angle) * np.sin(turn), -np.sin(angle) * np.cos(turn), np.cos(angle)], np.float32)
    cosine = np.tensordot(back, ground.normal, axes=1)
    towards = -(ground.normal[0] * np.sin(turn) + ground.normal[1] * np.cos(turn)) / np.maximum(ground.normal[2], 1e-3)
    seen = ground.valid & (cosine > np.cos(np.radians(85.0))) & (towards < np.tan(angle))
    power = np.array([[10.0 ** (db / 10.0) for db in BACKSCATTER_DB[surface]] for surface in SURFACES], np.float32)
    for surface in _OPEN:
        power[SURFACES.index(surface)] *= 10.0 ** (WET_DB * wet / 10.0)
    gamma = np.tensordot(power.T, ground.shares_on(day), axes=1)
    gamma *= (np.maximum(cosine, 0.05) / np.cos(angle)) ** _REST * ground.texture
    gamma *= speckle(gamma.shape, looks, rng)
    return np.where(seen, gamma, np.float32(np.nan)).astype(np.float32)


def wetness(day: date) -> float:
    """How wet the ground is by the season alone, 0 to 1."""
    return greenness(day)
