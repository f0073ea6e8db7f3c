"""How likely a slope fails: Monte Carlo over the soil of an infinite slope, cell by cell.

What nobody knows of the soil (cohesion, friction, depth, water) is drawn from ranges; the share of the draws that fail
is the probability. It says where shallow slides can start under these ranges, not when, and nothing of deep slides.
Refuses ranges that are no ranges.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from headscarp.core.errors import GridError, RecipeError

DRAWS = 250
WATER_KN_PER_M3 = 9.81
ROOT_DEPTH_M = 1.5
_DECK = 4096
_STRIP_ROWS = 64
_FLATTEST_DEG = 0.1

Range = tuple[float, float, float]


@dataclass(frozen=True)
class Soil:
    """What the soil may be like. Each is (least, likeliest, most) of a triangular distribution; three times the same
    is a known number. Defaults are round figures for shallow soils, within the ranges of Hammond et al. (1992, LISA).

    depth_m: vertical. recharge_m_per_day: of the water in the soil, uniform from the first to the last.
    weight_kn_per_m3: of the soil, known.
    """

    cohesion_kpa: Range = (0.0, 2.0, 6.0)
    friction_deg: Range = (28.0, 33.0, 38.0)
    depth_m: Range = (0.6, 1.2, 2.0)
    transmissivity_m2_per_day: Range = (15.0, 40.0, 80.0)
    recharge_m_per_day: Range = (0.02, 0.07, 0.12)
    weight_kn_per_m3: float = 19.0

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if one.name == "weight_kn_per_m3":
                if not WATER_KN_PER_M3 < value < 40:
                    raise RecipeError(f"the soil weighs {value} kN/m3; it has to be above water, such as 19")
                continue
            low, mode, high = value
            least = 0.0 if one.name in ("cohesion_kpa", "recharge_m_per_day") else 1e-6
            if not least <= low <= mode <= high < np.inf or (one.name == "friction_deg" and high >= 90):
                raise RecipeError(
                    f"{one.name} of the soil is {value}; give least, likeliest and most, rising and above 0"
                )


def failure_probability(
    slope_deg: NDArray[Any],
    area_per_width_m: ArrayLike,
    soil: Soil | None = None,
    *,
    roots_kpa: ArrayLike = 0.0,
    root_depth_m: float = ROOT_DEPTH_M,
    draws: int = DRAWS,
    seed: int = 0,
    threads: int | None = None,
) -> NDArray[np.float32]:
    """(y, x) float32 share of the draws in which a cell's factor of safety is below 1, in [0, 1]; NaN where missing.

    FS = [c + (g - m gw) z cos^2(s) tan(phi)] / [g z sin(s) cos(s)], m = min(1, R a / (T sin(s))): infinite slope with
    steady-state wetness (Montgomery and Dietrich 1994; Pack et al. 1998). slope_deg: (y, x) degrees, NaN missing.
    area_per_width_m: upslope area per metre of contour. roots_kpa: what roots add to cohesion, a number or (y, x); in
    draws deeper than root_depth_m nothing. Each cell takes its own run out of a deck of Latin hypercube draws (McKay
    et al. 1979), so the result depends on the seed and not on threads. Raises GridError, RecipeError.
    """
    if slope_deg.ndim != 2:
        raise GridError(f"slope has {slope_deg.ndim} dimensions; give (y, x)")
    if not 1 <= draws <= 1_000_000:
        raise RecipeError(f"{draws} draws were asked for; give a number from 1 to 1000000, such as {DRAWS}")
    shape = slope_deg.shape
    slope = np.asarray(slope_deg, np.float32)
    area = np.broadcast_to(np.asarray(area_per_width_m, np.float32), shape)
    roots = np.broadcast_to(np.asarray(roots_kpa, np.float32), shape)
    deck = _deck(soil or Soil(), root_depth_m, draws, np.random.default_rng(seed))
    out = np.empty(shape, np.float32)
    water = np.float32(WATER_KN_PER_M3 / (soil or Soil()).weight_kn_per_m3)

    def fill(first: int) -> None:
        rows = slice(first, min(first + _STRIP_ROWS, shape[0]))
        _fill(slope[rows], area[rows], roots[rows], deck, draws, first * shape[1], water, out[rows])

    with ThreadPoolExecutor(threads or os.cpu_count() or 1) as pool:
        list(pool.map(fill, range(0, shape[0], _STRIP_ROWS)))
    return out


def safety_factor(
    slope_deg: NDArray[Any], area_per_width_m: ArrayLike, soil: Soil | None = None, *, roots_kpa: ArrayLike = 0.0
) -> NDArray[np.float64]:
    """(y, x) factor of safety at the likeliest of each range, as in `failure_probability`; below 1 where it fails."""
    soil = soil or Soil()
    angle = np.radians(np.maximum(np.asarray(slope_deg, np.float64), _FLATTEST_DEG))
    low, _, high = soil.recharge_m_per_day
    wet = (low + high) / 2 * np.asarray(area_per_width_m) / (soil.transmissivity_m2_per_day[1] * np.sin(angle))
    weight, depth_m = soil.weight_kn_per_m3, soil.depth_m[1]
    friction = (weight - np.minimum(wet, 1.0) * WATER_KN_PER_M3) * depth_m * np.cos(angle) ** 2
    holds = soil.cohesion_kpa[1] + np.asarray(roots_kpa) + friction * np.tan(np.radians(soil.friction_deg[1]))
    return np.asarray(holds / (weight * depth_m * np.sin(angle) * np.cos(angle)))


def _deck(soil: Soil, root_depth_m: float, draws: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """(4, deck + draws): cohesion and what a kPa of roots adds, both over the weight of the soil; tangent of friction;
    recharge over transmissivity. The first draws come again at the end, so that any cell may start anywhere."""
    size = max(_DECK, 4 * draws)
    drawn = [(rng.permutation(size) + rng.random(size)) / size for _ in range(5)]
    cohesion, friction, depth, transmissivity = (
        _triangular(u, of)
        for u, of in zip(
            drawn, (soil.cohesion_kpa, soil.friction_deg, soil.depth_m, soil.transmissivity_m2_per_day), strict=False
        )
    )
    low, _, high = soil.recharge_m_per_day
    heavy = soil.weight_kn_per_m3 * depth
    rows = (
        cohesion / heavy,
        np.where(depth <= root_depth_m, 1.0 / heavy, 0.0),
        np.tan(np.radians(friction)),
        (low + (high - low) * drawn[4]) / transmissivity,
    )
    return np.stack([np.concatenate([row, row[:draws]]) for row in rows]).astype(np.float32)


def _triangular(u: NDArray[np.float64], of: Range) -> NDArray[np.float64]:
    """Values of a triangular distribution from uniform ones."""
    low, mode, high = of
    if high == low:
        return np.full_like(u, low)
    left = (mode - low) / (high - low)
    rising = low + np.sqrt(u * (high - low) * (mode - low))
    falling = high - np.sqrt((1.0 - u) * (high - low) * (high - mode))
    return np.where(u < left, rising, falling)


@njit(nogil=True, cache=True, fastmath={"contract", "reassoc", "nsz"})
def _fill(slope, area, roots, deck, draws, first, water, out):  # type: ignore[no-untyped-def]
    """Fills out; first: number of the first cell, which decides where each starts in the deck."""
    start_at = deck.shape[1] - draws
    for i in range(slope.shape[0]):
        for j in range(slope.shape[1]):
            if not (np.isfinite(slope[i, j]) and np.isfinite(area[i, j]) and np.isfinite(roots[i, j])):
                out[i, j] = np.nan
                continue
            angle = np.float32(np.radians(max(slope[i, j], np.float32(_FLATTEST_DEG))))
            tangent = np.float32(np.tan(angle))
            wide = np.float32(area[i, j] / np.sin(angle))
            over = np.float32(1.0) + tangent * tangent  # 1 / cos^2
            held = roots[i, j] * over
            # Multiplying by 2654435761 scatters the numbers of neighbours (Knuth 1973).
            start = ((first + i * slope.shape[1] + j) * 2654435761 % 4294967296) % start_at
            cohesion, rooted = deck[0, start : start + draws], deck[1, start : start + draws]
            friction, wet = deck[2, start : start + draws], deck[3, start : start + draws]
            fails = np.int32(0)
            for k in range(draws):
                pressed = min(np.float32(1.0), wet[k] * wide) * water
                holds = cohesion[k] * over + rooted[k] * held + friction[k] * (np.float32(1.0) - pressed)
                fails += np.int32(holds < tangent)
            out[i, j] = np.float32(fails) / np.float32(draws)
