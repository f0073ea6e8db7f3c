"""Simulated daily rain over a county, on a grid of 0.05 degrees: wet winters, dry summers, storms that fail slopes.

Wet and dry days follow each other as a Markov chain (Richardson 1981, Water Resources Research 17, 182-190); amounts
on wet days are gamma distributed and differ from place to place. Before each dated slide caused by rain comes a storm.
"""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from headscarp.core.grid import Grid, footprint_lonlat
from headscarp.sources.world.place import County

CELL_DEG = 0.05
BEFORE_DAYS = 60
"""Days before the year that are simulated too, so that its first slides have their antecedents."""

_MARGIN_DEG = 0.2
_SHAPE, _MEAN_MM = 0.75, 14.0
_STORM_MM = (30.0, 45.0, 60.0)  # on the days before a slide and on its day


@dataclass(frozen=True)
class Rain:
    """grid: EPSG:4326. days: (n,) dates; mm: (n, y, x) float32 per day, >= 0."""

    grid: Grid
    days: tuple[date, ...]
    mm: NDArray[np.float32]


def simulate_rain(county: County, year: int) -> Rain:
    """The rain of a year and of the 60 days before. The same county and year give the same rain."""
    rng = np.random.default_rng([county.seed, 2, year])
    first = date(year, 1, 1) - timedelta(days=BEFORE_DAYS)
    days = tuple(first + timedelta(days=k) for k in range((date(year + 1, 1, 1) - first).days))
    season = np.array([0.5 + 0.5 * np.cos(2.0 * np.pi * (d.timetuple().tm_yday - 20) / 365.25) for d in days])
    amount = np.zeros(len(days))
    wet = False
    for k, winter in enumerate(season):
        wet = bool(rng.uniform() < (0.65 if wet else 0.28) * winter**1.5)
        amount[k] = rng.gamma(_SHAPE, _MEAN_MM / _SHAPE) * (0.4 + 0.6 * winter) if wet else 0.0
    slides = county.slides.scarps
    for moment in sorted(set(slides.date[(slides.cause == "rain") & slides.date.notna()].dt.date)):
        for before, mm in enumerate(reversed(_STORM_MM)):
            k = (moment - first).days - before
            if 0 <= k < len(days):
                amount[k] = max(amount[k], mm)
    grid = _grid(county)
    pattern = rng.normal(size=(len(days), *grid.shape))
    pattern = gaussian_filter(pattern, (0.0, 1.5, 1.5))
    pattern = np.exp(0.25 * pattern / max(float(pattern.std()), 1e-9))
    return Rain(grid, days, (amount[:, None, None] * pattern).astype(np.float32))


def _grid(county: County) -> Grid:
    ring = footprint_lonlat(county.grid)
    low = np.floor((ring.min(axis=0) - _MARGIN_DEG) / CELL_DEG + 1e-9)
    high = np.ceil((ring.max(axis=0) + _MARGIN_DEG) / CELL_DEG - 1e-9)
    cols, rows = (int(n) for n in high - low)
    step = CELL_DEG
    affine = county.grid.affine.__class__(step, 0.0, low[0] * step, 0.0, -step, high[1] * step)
    return Grid((rows, cols), affine, "EPSG:4326")
