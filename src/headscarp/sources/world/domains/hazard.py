"""The law of the simulated events: a daily hazard of every cell from slope, soil, roots, water, cuts, ash and shaking.

Factor of safety of an infinite slope with a share of its soil under water (the formula of `world.law`), and a hazard
that rises as a power of it falls. Events are drawn from the law along the weather that comes; what can be known at the
cut-off is the mean over many futures. No net can beat that on average, and none can see all that it knows.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headscarp.core.domains import CAUSES, HORIZONS_DAYS
from headscarp.sources.world.domains._kernels import add_hazards, cell_hazards
from headscarp.sources.world.domains.ground import GRASS, TREE, Place
from headscarp.sources.world.domains.stories import Story
from headscarp.sources.world.domains.weather import Days, pore_pressure

HORIZON_DAYS = HORIZONS_DAYS[-1]
RATE_PER_DAY = 0.042
"""Hazard of a place all of whose cells have a factor of safety of 1, per day; what makes events as rare as they are."""
STEEPNESS = 12.0
"""Power of the factor of safety: soils scatter by about a twelfth about their means."""
NEEDED = 0.5
"""A cause holds where without it the hazard of that day, where slides began, would be less than this share of it."""

_NODES_DAYS = (0.0, 45.0, 90.0, 135.0, 180.0)
_PRESSURES = np.linspace(0.0, 1.0, 9)
_ROOTS_KPA = {TREE: 10.0, GRASS: 1.5}
_EVERYWHERE_KPA = 5.0  # where plants mean nothing
_ALL = np.ones(len(CAUSES))

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Law:
    """log_hazard: (days, pressures) logarithm of the hazard of a place per day, at _NODES_DAYS after the cut-off and
    _PRESSURES of water in its pores."""

    log_hazard: Floats

    def along(self, pressure: NDArray[np.floating]) -> Floats:
        """Hazard of each day after the cut-off, (series, day), along series of pore pressure of that shape."""
        day = np.minimum(np.arange(pressure.shape[-1]) + 0.5, _NODES_DAYS[-1])
        down = day / _NODES_DAYS[1]
        row = np.minimum(down.astype(np.int64), len(_NODES_DAYS) - 2)
        right = pressure.astype(np.float64) * (_PRESSURES.size - 1)
        col = np.minimum(right.astype(np.int64), _PRESSURES.size - 2)
        v, u = down - row, right - col
        t = self.log_hazard
        near = t[row, col] + u * (t[row, col + 1] - t[row, col])
        far = t[row + 1, col] + u * (t[row + 1, col + 1] - t[row + 1, col])
        return np.asarray(np.exp(near + v * (far - near)))


@dataclass(frozen=True)
class Event:
    """days: from the cut-off, +inf where none comes within the longest horizon. causes: (6,) 1 or 0, as CAUSES.
    slid: (y, x) where it slides. of_weather: (horizons,) the law along the weather that came."""

    days: float
    causes: NDArray[np.uint8]
    slid: NDArray[np.bool_]
    of_weather: NDArray[np.float32]


def place_law(place: Place, story: Story) -> Law:
    """The law of a place with its story, before any weather."""
    table = np.zeros((len(_NODES_DAYS), _PRESSURES.size))
    for row, day in enumerate(_NODES_DAYS):
        cells = (*_cells(place, story), day, _PRESSURES, table[row])
        add_hazards(*cells)
    return Law(np.log(RATE_PER_DAY / place.slope_deg.size * table + 1e-12))


def chance_within(hazard: Floats) -> NDArray[np.float32]:
    """(..., horizons) probability of an event within each, from hazards per day (..., day) after the cut-off."""
    sums = np.cumsum(hazard, axis=-1)
    return (-np.expm1(-sums[..., [h - 1 for h in HORIZONS_DAYS]])).astype(np.float32)


def known_law(law: Law, futures: Days) -> NDArray[np.float32]:
    """(horizons,) the law as far as it can be known at the cut-off: the mean over futures."""
    return np.asarray(chance_within(law.along(pore_pressure(futures.soil_moisture))).mean(axis=0), np.float32)


def draw_event(law: Law, place: Place, story: Story, weather: Days, rng: np.random.Generator) -> Event:
    """The next event along the weather that comes. weather: one series from the day after the cut-off on."""
    pressure = pore_pressure(weather.soil_moisture[0])
    hazard = law.along(pressure[None])[0][:HORIZON_DAYS]
    chances = chance_within(hazard)
    due = rng.exponential() - np.cumsum(hazard)
    where = rng.random(32)
    late = np.flatnonzero(due <= 0.0)
    if not late.size:
        none = np.zeros(place.shape, bool)
        return Event(np.inf, np.zeros(len(CAUSES), np.uint8), none, chances)
    day = int(late[0])
    moment = day + 1.0 + due[day] / hazard[day]
    fails = hazard_map(place, story, float(moment), float(pressure[day]))
    heads = _heads(fails, where)
    left = [_head_hazard(place, story, float(moment), float(pressure[day]), heads, cause) for cause in ("", *CAUSES)]
    holds = np.array(left[1:]) < NEEDED * left[0]
    holds[int(np.argmin(left[1:]))] = True  # something always did it
    return Event(float(moment), holds.astype(np.uint8), _slide(place, heads, where[16:]), chances)


def hazard_map(place: Place, story: Story, day: float, pressure: float, *, without: str = "") -> Floats:
    """(y, x) hazard of each cell per day. pressure: share of the soil under water, [0, 1]. without: one of CAUSES that
    is taken away."""
    factors = _ALL.copy()
    if without:
        factors[CAUSES.index(without)] = 0.0
    out = np.zeros(place.shape)
    cells = (*_cells(place, story, factors), day, pressure, out)
    cell_hazards(*cells)
    return RATE_PER_DAY / out.size * out


def _heads(hazard: Floats, drawn: Floats) -> list[tuple[int, int]]:
    """Rows and columns of one to three cells, drawn by their hazard, where slides begin."""
    sums = np.cumsum(hazard.ravel())
    found = np.searchsorted(sums, drawn[1 : 2 + int(3.0 * drawn[0] ** 2)] * sums[-1], side="right")
    return [divmod(int(min(cell, sums.size - 1)), hazard.shape[1]) for cell in found]


def _head_hazard(
    place: Place, story: Story, day: float, pressure: float, heads: list[tuple[int, int]], without: str
) -> float:
    hazard = hazard_map(place, story, day, pressure, without=without)
    return float(sum(hazard[head] for head in heads))


def _cells(place: Place, story: Story, factors: Floats = _ALL) -> tuple[NDArray[np.generic], ...]:
    own = sum(kpa * place.cover[surface] for surface, kpa in _ROOTS_KPA.items())
    roots = place.roots * own
    # What holds all soil alike is no plant's, so no felling takes it away.
    cohesion = place.cohesion_kpa + (1.0 - place.roots) * _EVERYWHERE_KPA
    soil = np.array([cohesion, np.tan(np.radians(place.friction_deg)), place.depth_m, STEEPNESS])
    times = np.array([story.ash_day, story.shake, story.shake_day])
    ground = (place.slope_deg, np.asarray(roots, np.float32), place.wetter)
    return (*ground, story.kind, story.day, story.ash, times, soil, factors)


def _slide(place: Place, heads: list[tuple[int, int]], drawn: Floats) -> NDArray[np.bool_]:
    """Slides from their heads: ellipses that reach down the slope."""
    y, x = np.mgrid[: place.shape[0], : place.shape[1]]
    slid = np.zeros(place.shape, bool)
    for k, (row, col) in enumerate(heads):
        down = place.downhill[:, row, col]
        length, width = 3.0 + 6.5 * drawn[2 * k] ** 2, 1.2 + 1.6 * drawn[2 * k + 1]
        along = (y - row) * down[0] + (x - col) * down[1]
        across = (y - row) * down[1] - (x - col) * down[0]
        slid |= ((along - 0.7 * length) / length) ** 2 + (across / width) ** 2 < 1.0
        slid[row, col] = True
    return slid
