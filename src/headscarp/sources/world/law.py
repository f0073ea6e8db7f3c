"""The physical law of the simulated landslides: infinite slopes, soil water from uphill, soil that creeps downhill.

Factor of safety of an infinite slope with steady-state wetness (Montgomery and Dietrich 1994, Water Resources Research
30, 1153-1171), and the probability of failure where strength scatters log-normally about it. The law
reads only bands that a stack shows to a net, but also a margin around the map, where water and soil may come from;
so no model can score better on average than the law itself, and near the edges none can quite reach it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve1d
from scipy.special import expit, ndtr

from headscarp.core.errors import RecipeError
from headscarp.sources.world._kernels import creep, smear_downhill
from headscarp.sources.world.cover import COVERS
from headscarp.sources.world.geology import ROCKS

CREEP_M = 150.0
"""Distance over which soil from uphill fades to 1/e in the mix: what lies 30 to 300 m uphill decides."""

RAIN_M_PER_DAY = 0.06
SOIL_KN_PER_M3 = 19.0
WATER_KN_PER_M3 = 9.81
SCATTER = 0.16
"""Logistic scale of the logarithm of the factor of safety: soils of one kind differ by about a fifth."""

_FLATTEST_DEG = 0.5
# Mixed as cohesion, tangent of friction and logarithm of transmissivity.
_SOIL_OF_ROCK = np.array(
    [(r.cohesion_kpa, np.tan(np.radians(r.friction_deg)), np.log(r.transmissivity_m2_per_day)) for r in ROCKS]
)
_NOISE_PX = 2.0
_SMEAR_PX = 8

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Soil:
    """What the factor of safety needs to know of the soil; numbers or (y, x) arrays."""

    cohesion_kpa: Floats | float
    friction_deg: Floats | float
    transmissivity_m2_per_day: Floats | float
    depth_m: Floats | float


def log_safety(
    elevation_m: NDArray[np.floating],
    slope_deg: NDArray[np.floating],
    lithology: NDArray[np.integer],
    land_cover: NDArray[np.integer],
    *,
    cell_size_m: float,
    creep_m: float = CREEP_M,
) -> Floats:
    """Natural logarithm of the factor of safety of each cell: (y, x) float64, below 0 where the slope is unstable.

    elevation_m: (y, x) without missing cells. lithology, land_cover: codes from 1 into ROCKS and COVERS. The soil of a
    cell is a mix of its own rock's and of what creep brought from uphill, fading over creep_m metres; 0 leaves each
    rock its own soil. Water comes from the whole upslope area on this raster.
    """
    order = np.argsort(-elevation_m, axis=None, kind="stable")
    mix = _SOIL_OF_ROCK[lithology.ravel().astype(np.int64) - 1]
    cells = creep(elevation_m.astype(np.float64), order, cell_size_m, mix, creep_m)
    cohesion, tangent, log_transmissivity = (mix[:, i].reshape(elevation_m.shape) for i in range(3))
    roots = np.array([cover.root_cohesion_kpa for cover in COVERS])[land_cover.astype(np.int64) - 1]
    soil = Soil(cohesion + roots, np.degrees(np.arctan(tangent)), np.exp(log_transmissivity), soil_depth_m(slope_deg))
    return np.asarray(np.log(factor_of_safety(slope_deg, cells.reshape(elevation_m.shape) * cell_size_m, soil)))


def factor_of_safety(slope_deg: NDArray[np.floating] | float, area_per_width_m: Floats | float, soil: Soil) -> Floats:
    """Resisting over driving stress of an infinite slope, with water from uphill: positive, below 1 where it fails.

    FS = [c + (g - m gw) z cos^2(s) tan(phi)] / [g z sin(s) cos(s)], m = min(1, R a / (T sin(s))). area_per_width_m: a,
    upslope area per metre of contour. Slopes below half a degree count as half a degree. Source: Montgomery and
    Dietrich (1994); with cohesion: Pack et al. (1998).
    """
    angle = np.radians(np.maximum(np.asarray(slope_deg, dtype=np.float64), _FLATTEST_DEG))
    wet = np.minimum(1.0, RAIN_M_PER_DAY * area_per_width_m / (soil.transmissivity_m2_per_day * np.sin(angle)))
    friction = (SOIL_KN_PER_M3 - wet * WATER_KN_PER_M3) * soil.depth_m * np.cos(angle) ** 2
    holding = soil.cohesion_kpa + friction * np.tan(np.radians(soil.friction_deg))
    return np.asarray(holding / (SOIL_KN_PER_M3 * soil.depth_m * np.sin(angle) * np.cos(angle)))


def soil_depth_m(slope_deg: NDArray[np.floating]) -> Floats:
    """Depth of the soil above rock: 2 m on gentle slopes, thinning on steep ones, 0.3 m on faces past 55 degrees."""
    return np.asarray(np.interp(slope_deg, [0.0, 30.0, 55.0], [2.0, 1.6, 0.3]))


def failure_probability(log_fs: Floats, prevalence: float) -> NDArray[np.float32]:
    """Probability of a landslide per cell, in (0, 1) float32, whose mean is the prevalence.

    Logistic in the logarithm of the factor of safety; one constant, solved for by bisection, says how many of the
    unstable slopes failed within the time of the inventory. Raises RecipeError for a prevalence outside (0, 0.5).
    """
    if not 0.0 < prevalence < 0.5:
        raise RecipeError(f"prevalence is {prevalence:g}; a share of landslide cells between 0 and 0.5 is needed")
    low, high = -60.0, 60.0
    for _ in range(60):
        shift = (low + high) / 2
        if expit(shift - log_fs / SCATTER).mean() < prevalence:
            low = shift
        else:
            high = shift
    return np.clip(expit(shift - log_fs / SCATTER), 1e-7, 1 - 1e-7).astype(np.float32)


def draw_landslides(
    law: NDArray[np.float32], elevation_m: NDArray[np.floating], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Labels, 1 landslide and 0 not, (y, x): each cell fails with exactly its probability, neighbours together.

    A Gaussian copula: a field of standard normals, correlated over some cells and further down the slope than across,
    is compared with the probability; so patches look like scars and runouts, though each cell alone is a fair draw.
    """
    kernel = np.exp(-0.5 * (np.arange(-6, 7) / _NOISE_PX) ** 2)
    kernel /= np.sqrt((kernel**2).sum())
    noise = rng.normal(size=law.shape)
    for axis in (0, 1):
        noise = convolve1d(noise, kernel, axis=axis, mode="wrap")
    correlation = np.correlate(kernel, kernel, "full")[kernel.size - 1 :]
    down_rows, east = np.gradient(elevation_m.astype(np.float64))
    north = -down_rows
    length = np.hypot(north, east)
    length[length == 0.0] = np.inf
    taper = np.cos(0.5 * np.pi * np.arange(_SMEAR_PX) / _SMEAR_PX)
    return (ndtr(smear_downhill(noise, east / length, north / length, taper, correlation)) < law).astype(np.uint8)
