"""Slides after heavy rain that start by the law of infinite slopes and run by friction: the truth that maps of burial
and plans of planting are judged against.

Heads are drawn by the hazard of each cell under the water of the storm (`hazard`), so roots count where the place says
so. What comes loose runs by another law than the angle of reach that `terrain.runout` has: friction and drag along ways
by chance (Perla, Cheng and McClung 1980; Gamma 2000). Its numbers were chosen by hand so that slides come about as far
as those of Corominas (1996) on the mean. Nothing here is a real place.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from headscarp.sources.world.domains._runout import run_walkers
from headscarp.sources.world.domains.ground import CELL_M, DRY_GRASS, GRASS, SOIL, TREE, Place
from headscarp.sources.world.domains.hazard import RATE_PER_DAY, hazard_map
from headscarp.sources.world.domains.stories import NEVER, Story

PER_STORM = 30.0
"""Slides of a storm in a place all of whose cells have a factor of safety of 1."""
WATER = (0.35, 1.0)
"""Share of the soil's depth that storms put under water, from the weakest to the heaviest."""
_MOST = 60
_FRICTION, _LESS_WET, _SCATTER = 0.36, 0.12, 0.03  # tangent; less of it in wetter ground; drawn for each storm
_DRAG_M, _DRAG_SCATTER = 70.0, 0.3  # mass over drag; logarithm
_WALKERS, _STEPS = 24, 160
_LEVELS = 8

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Slides:
    """source: (y, x) where slides start. buried: (y, x) what they cross, their sources among it."""

    source: Bools
    buried: Bools


def draw_slides(place: Place, rng: np.random.Generator) -> Slides:
    """The slides of one storm on a place to which nothing was done. rng: of the storm and of all that follows."""
    water = float(rng.uniform(*WATER))
    chance = _storm_hazard(place, water)
    heads = rng.choice(chance.size, min(int(rng.poisson(chance.sum())), _MOST), p=(chance / chance.sum()).ravel())
    source = np.zeros(place.shape, np.bool_)
    y, x = np.mgrid[: place.shape[0], : place.shape[1]]
    for head in heads:
        row, col = divmod(int(head), place.shape[1])
        down = place.downhill[:, row, col]
        along = (y - row) * down[0] + (x - col) * down[1]
        across = (y - row) * down[1] - (x - col) * down[0]
        length, width = 0.8 + 1.6 * rng.random() ** 2, 0.7 + 0.7 * rng.random()
        source |= (along / length) ** 2 + (across / width) ** 2 < 1.0
    friction = max(0.1, _FRICTION - _LESS_WET * water + _SCATTER * rng.standard_normal())
    drag_m = _DRAG_M * float(np.exp(_DRAG_SCATTER * rng.standard_normal()))
    return Slides(source, run_down(place.elevation_m, source, rng, friction=friction, mass_over_drag_m=drag_m))


def run_down(
    elevation_m: NDArray[np.floating],
    source: Bools,
    rng: np.random.Generator,
    *,
    friction: float,
    mass_over_drag_m: float,
    cell_m: float = CELL_M,
) -> Bools:
    """(y, x) what slides from the source cells cross. friction: tangent of the slope that keeps the speed of a slide
    without drag. mass_over_drag_m: the longer, the faster slides get, and the further they go (Perla et al. 1980)."""
    cells = np.flatnonzero(source)
    buried = source.copy()
    drawn = rng.random((cells.size, _WALKERS, _STEPS))
    ground = np.ascontiguousarray(elevation_m, np.float64)
    run_walkers(ground, cells, drawn, cell_m, friction, mass_over_drag_m, buried)
    return buried


def storm_risk(place: Place) -> Floats:
    """(y, x) slides that a storm starts in each cell, the mean over storms."""
    low, high = WATER
    waters = low + (high - low) * (np.arange(_LEVELS) + 0.5) / _LEVELS
    return np.asarray(np.mean([_storm_hazard(place, float(water)) for water in waters], axis=0))


def open_ground(place: Place) -> Bools:
    """(y, x) where trees can be planted: mostly grass or soil, with few trees."""
    return np.asarray(_open_share(place) > 0.35) & (place.cover[TREE] < 0.5)


def with_trees(place: Place, planted: Bools) -> Place:
    """The place once trees stand on all the open ground of the planted cells, their roots grown."""
    cover, moved = place.cover.copy(), np.where(planted, _open_share(place), 0.0)
    for surface in (GRASS, DRY_GRASS, SOIL):
        cover[surface] = np.where(planted, 0.0, cover[surface])
    cover[TREE] += moved.astype(np.float32)
    return replace(place, cover=cover)


def _open_share(place: Place) -> NDArray[np.float32]:
    return np.asarray(place.cover[[GRASS, DRY_GRASS, SOIL]].sum(axis=0))


def _storm_hazard(place: Place, water: float) -> Floats:
    """(y, x) slides of a storm that puts so much of the soil under water."""
    return PER_STORM / RATE_PER_DAY * hazard_map(place, untouched(place), -1.0, water)


def untouched(place: Place) -> Story:
    """The story of a place to which nothing happens."""
    never, bare = np.full(place.shape, NEVER, np.float32), np.zeros(place.shape, np.float32)
    return Story((), np.zeros(place.shape, np.uint8), never, bare, float(NEVER), 0.0, float(NEVER))
