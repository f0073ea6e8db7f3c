"""Simulated days: rain with wet spells and storms, soil moisture as a bucket, temperature and how green it is.

Wet and dry days follow each other as a Markov chain (Richardson 1981), amounts of wet days are Weibull distributed;
storms of two to four days come at random, most of them in the wet season. What a day passes on to the next is a State,
so any number of futures can be drawn from one moment, and none of them can reach back.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from headscarp.sources.world.domains.regions import Region

WILTING, CAPACITY, POROSITY = 0.10, 0.26, 0.46
"""Water in the soil, m3/m3: what plants cannot take, what the soil holds against gravity, and all pores."""

_WEIBULL, _WEIBULL_MEAN = 0.8, 1.1330  # shape, and the mean of a Weibull of scale 1 and that shape
_STAYS_WET, _STORM_DAYS = 0.62, 3.0
_ROOT_DEPTH_MM = 600.0
_EVAPORATION_MM = (0.6, 4.2)  # a day, in the coldest and in the warmest season
_LAPSE_C_PER_M = 0.0062

Floats = NDArray[np.float32]
State = tuple[float, float, float, float]
"""At the end of a day: 1 after a wet one, days that a storm still lasts, mm a day in it, water in the soil (m3/m3)."""
DRY: State = (0.0, 0.0, 0.0, 0.24)


@dataclass(frozen=True)
class Days:
    """rain_mm_per_day, soil_moisture (m3/m3), storm (1 on days of one): each (series, day). states: (series, day, 4)
    at the end of each day, as State."""

    rain_mm_per_day: Floats
    soil_moisture: Floats
    storm: Floats
    states: NDArray[np.float64]


def simulate_days(
    region: Region, first_day: int, count: int, start: State, rng: np.random.Generator, *, series: int = 1
) -> Days:
    """Days of a place from a state on. first_day: day of the year, 1..366. series: how many futures, each its own."""
    day = first_day + np.arange(count)
    season = 0.5 + 0.5 * np.cos(2.0 * np.pi * (day - region.wet_day) / 365.25)
    share = (1.0 - region.swing) + 2.0 * region.swing * season**1.5 / (0.5 + 0.5 * region.swing)
    warm = 0.5 + 0.5 * np.cos(2.0 * np.pi * (day - warm_day(region)) / 365.25)
    drawn = rng.random((series, count, 4))
    shape = (series, count)
    rain, soil, storm = (np.empty(shape, np.float32) for _ in range(3))
    states = np.empty((*shape, 4))
    evaporation = _EVAPORATION_MM[0] + (_EVAPORATION_MM[1] - _EVAPORATION_MM[0]) * warm
    ordinary_mm = max(0.4 * region.rain_mm, region.rain_mm - _STORM_DAYS * region.storms * region.storm_mm)
    climate = np.array([ordinary_mm / 365.25, region.storms / 365.25, region.storm_mm, region.drain])
    _walk(drawn, share, evaporation, climate, np.array(start), rain, soil, storm, states)
    return Days(rain, soil, storm, states)


def pore_pressure(soil_moisture: NDArray[np.floating]) -> Floats:
    """Share of the soil's depth that stands under water, [0, 1]: 0 at what the soil holds, 1 with all pores full."""
    return np.clip((soil_moisture - CAPACITY) / (POROSITY - CAPACITY), 0.0, 1.0).astype(np.float32)


def warm_day(region: Region) -> int:
    """Day of the year of the warmest season: July in the north, January in the south."""
    return 200 if region.latitude[0] >= 0.0 else 18


def temperature_c(region: Region, day_of_year: float, elevation_m: Floats | float) -> Floats:
    """Mean of a day by season and height."""
    swing = region.year_c * np.cos(2.0 * np.pi * (day_of_year - warm_day(region)) / 365.25)
    return np.asarray(region.warm_c + swing - _LAPSE_C_PER_M * np.asarray(elevation_m), np.float32)


def greenness(region: Region, day_of_year: float, moisture: float) -> float:
    """How green the plants that follow the seasons are, (0, 1). moisture: mean of the last month, m3/m3."""
    peak = (warm_day(region) if region.year_c > 6.0 and region.swing < 0.8 else region.wet_day) + region.green_lag
    turn = np.cos(2.0 * np.pi * (day_of_year - peak) / 365.25)
    wet = (moisture - CAPACITY) / (POROSITY - WILTING)
    return float(1.0 / (1.0 + np.exp(-(0.4 + 2.4 * turn + 4.0 * wet))))


@njit(nogil=True, cache=True)
def _walk(drawn, share, evaporation, climate, start, rain, soil, storm, states):  # type: ignore[no-untyped-def]
    mean_mm, storm_rate, storm_mm, drain = climate
    for s in range(drawn.shape[0]):
        wet, left, heavy, water = start[0], start[1], start[2], start[3]
        for d in range(drawn.shape[1]):
            u = drawn[s, d]
            dry_to_wet = min(0.9, 0.30 * share[d])
            chance = min(0.95, _STAYS_WET * min(1.0, 0.4 + 0.6 * share[d])) if wet > 0.5 else dry_to_wet
            wet = 1.0 if u[0] < chance else 0.0
            # Days are wet about 0.44 of the time where share is 1; amounts make up for it.
            mm = 0.0
            if wet > 0.5:
                mm = mean_mm / 0.44 * (-np.log(1.0 - u[1])) ** (1.0 / _WEIBULL) / _WEIBULL_MEAN
            if left < 0.5 and u[2] < storm_rate * share[d]:
                left = 2.0 + np.floor(3.0 * u[3])
                heavy = storm_mm * (0.45 + 1.1 * u[1])
            storm[s, d] = 1.0 if left > 0.5 else 0.0
            if left > 0.5:
                mm += heavy * (0.5 + u[3])
                left -= 1.0
                wet = 1.0
            # A bucket: the rain that fits, less what plants take and what drains from the pores that hold no water.
            free = max(0.0, water - CAPACITY)
            dryness = min(1.0, max(0.0, (water - WILTING) / (CAPACITY - WILTING)))
            water += (mm - evaporation[d] * dryness) / _ROOT_DEPTH_MM - drain * free
            water = min(POROSITY, max(WILTING, water))
            rain[s, d], soil[s, d] = mm, water
            states[s, d, 0], states[s, d, 1], states[s, d, 2], states[s, d, 3] = wet, left, heavy, water
