"""Simulated futures: what one place would look like had a task been done to it, all else equal; the counterfactual.

Where a task begins follows from the ground as it can be seen; how far it goes and its outline are drawn for each
future. Picture before and after share sun, season, soil moisture and sensor noise, so they differ where the task was
done and nowhere else; "no_change" is the same place in another year, with moisture and noise of its own. What was
before is one clear picture, or a series of frames under clouds (`past`). Nothing here is a real place.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from headscarp.core.band import UNLABELLED
from headscarp.core.domains import REFLECTANCE
from headscarp.core.errors import RecipeError
from headscarp.core.scenarios import AFTER, CHANGED, SOURCE, TASKS
from headscarp.sources.world.domains.frames import Setting, moment_of, see_landsat
from headscarp.sources.world.domains.ground import (
    ROCK,
    TREE,
    WATER,
    Place,
    draw_noise,
    draw_place,
)
from headscarp.sources.world.domains.past import past_frames, seen_again
from headscarp.sources.world.domains.regions import REGIONS
from headscarp.sources.world.domains.simulate import BEFORE_DAYS, LANDSAT_UTC, Look, Site, draw_site, sample_seed
from headscarp.sources.world.domains.slides import draw_slides, open_ground, untouched, with_trees
from headscarp.sources.world.domains.stories import CLEARED, CUT, NEVER, PIT, SCAR, Story
from headscarp.sources.world.domains.weather import CAPACITY, POROSITY, WILTING, warm_day

_DAY = -1.0  # of both pictures, from the cut-off
_SEASON_DAYS = 70  # about the warmest day, so that no snow hides what was done
_AFTER_DAYS = {"reforestation": (900.0, 3600.0), "eruption": (5.0, 120.0)}
_ASH_SEEN = 0.12

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
StoryOn = Callable[[float], Story]
"""The story that is seen on a day from the cut-off."""
View = Callable[..., Floats]
"""(6, y, x) reflectance of a place under the story of a day; with other seed and moisture that of another year."""


@dataclass(frozen=True)
class Ending:
    """What a task makes of a place. changed: (y, x) where. kind: of the cells, as in `Story`; 0: cover changes. ash:
    (y, x) share of ground under it. cover: as in `Place`."""

    changed: Bools
    kind: int
    ash: Floats
    cover: Floats


def draw_scene(region: str, number: int, look: Look) -> Site:
    """Where a place is and when it is looked at: in the warm half of the year. Raises RecipeError."""
    site = draw_site(region, number, look)
    rng = np.random.default_rng([*sample_seed(region, number, look), 21])
    day = warm_day(REGIONS[region]) + int(rng.integers(-_SEASON_DAYS, _SEASON_DAYS + 1))
    cutoff = date(site.cutoff.year, 1, 1) + timedelta(days=day)
    return replace(site, begins=cutoff - timedelta(days=BEFORE_DAYS), cutoff=cutoff)


def after_days(site: Site, look: Look, task: str) -> float:
    """Days from the task to the picture after it: the same for all futures of a place under a task."""
    rng = np.random.default_rng([*sample_seed(site.region, site.number, look), 22, TASKS.index(task)])
    return float(np.float32(rng.uniform(*_AFTER_DAYS.get(task, (10.0, 400.0))))) if task != "identity" else 0.0


def simulate_future(site: Site, look: Look, task: str, future: int) -> dict[str, Any]:
    """The bands of `scenario_bands` for one future of a place. future: which; each is drawn anew.

    Raises RecipeError for an unknown task.
    """
    if task not in TASKS:
        raise RecipeError(f"there is no task {task!r}; known: {', '.join(TASKS)}")
    seed = sample_seed(site.region, site.number, look)
    place = scene_place(site, look)
    rng = np.random.default_rng([*seed, 23, TASKS.index(task), future])
    before, view = (_clear_picture if not look.series else _series)(site, look, place)
    changed, source = np.zeros(place.shape, np.bool_), np.zeros(place.shape, np.uint8)
    if task == "identity":
        after = view(place, None)
    elif task == "no_change":
        other = (*seed[:-1], seed[-1] + 1_000_003 * (1 + future))
        after = view(place, None, seed=other, moisture=_moisture(rng))
    else:
        if task == "rain" and look.slides:
            slides = draw_slides(place, rng)
            ending, source = _ending(place, slides.buried, SCAR), slides.source.astype(np.uint8)
        else:
            ending = _TASKS[task](place, rng)
        changed = ending.changed
        grown = _grown(place, ending, after_days(site, look, task))
        after = view(grown, lambda day: _story(grown, ending, day - after_days(site, look, task)))
    return {
        **before,
        "elevation": place.elevation_m,
        "slope": place.slope_deg,
        **{AFTER + name: plane for name, plane in zip(REFLECTANCE, after, strict=True)},
        CHANGED: changed.astype(np.uint8),
        **({SOURCE: source if task == "rain" else np.full_like(source, UNLABELLED)} if look.slides else {}),
    }


def scene_place(site: Site, look: Look) -> Place:
    """The ground of a place of scenarios."""
    rng = np.random.default_rng([*sample_seed(site.region, site.number, look), 1])
    return draw_place(REGIONS[site.region], look.side_px, site.elevation_m, rng, roots=look.roots)


def _clear_picture(site: Site, look: Look, place: Place) -> tuple[dict[str, Any], View]:
    """The bands before under a clear sky, and what sees the same place again, or another, at the same moment."""
    seed = sample_seed(site.region, site.number, look)
    usual = _moisture(np.random.default_rng([*seed, 24]))

    def view(
        ground: Place, story_on: StoryOn | None, *, seed: tuple[int, ...] = seed, moisture: float = usual
    ) -> Floats:
        return _seen(site, ground, story_on(_DAY) if story_on else untouched(ground), seed, moisture)

    return dict(zip(REFLECTANCE, view(place, None), strict=True)), view


def _series(site: Site, look: Look, place: Place) -> tuple[dict[str, Any], View]:
    """The bands and facts of past frames, and what sees their newest clear values again."""
    past = past_frames(site, look, scene_place)

    def view(ground: Place, story_on: StoryOn | None, **other: Any) -> Floats:
        return seen_again(past, site, look, ground, story_on or (lambda _: untouched(ground)), **other)

    return past.arrays, view


def _seen(site: Site, place: Place, story: Story, seed: tuple[int, ...], moisture: float) -> Floats:
    """(6, y, x) reflectance under a clear sky."""
    setting = Setting(REGIONS[site.region], place, story, site.latitude, site.longitude, seed, cloudiness=0.0)
    midnight = datetime(site.cutoff.year, site.cutoff.month, site.cutoff.day)
    moment = moment_of(midnight, _DAY, (LANDSAT_UTC - site.longitude / 15.0) % 24.0)
    return see_landsat(setting, _DAY, moment, np.full(30, moisture, np.float32)).reflectance


def _moisture(rng: np.random.Generator) -> float:
    return float(np.clip(rng.normal(CAPACITY, 0.05), WILTING, 0.5 * (CAPACITY + POROSITY)))


def _story(place: Place, ending: Ending, done: float) -> Story:
    """The story of a place to which a task was done on a day from the cut-off, 0 or less."""
    story = untouched(place)
    kind = np.where(ending.changed, ending.kind, 0).astype(np.uint8)
    day = np.where(kind > 0, np.float32(done), NEVER).astype(np.float32)
    ash_day = done if ending.ash.any() else float(NEVER)
    return replace(story, kind=kind, day=day, ash=ending.ash, ash_day=ash_day)


def _grown(place: Place, ending: Ending, days: float) -> Place:
    """The place with its new cover, as far as it has grown."""
    share = np.float32(1.0 - np.exp(-days / 1500.0))
    return replace(place, cover=place.cover + share * (ending.cover - place.cover))


def _ending(place: Place, changed: Bools, kind: int) -> Ending:
    return Ending(changed, kind, np.zeros(place.shape, np.float32), place.cover)


def _top(score: NDArray[np.floating], allowed: Bools, share: float) -> Bools:
    """The share of the allowed cells that has the highest scores."""
    if not allowed.any():
        return np.zeros(score.shape, np.bool_)
    return np.asarray(allowed & (score >= np.quantile(score[allowed], 1.0 - share)))


def _felled(place: Place, rng: np.random.Generator) -> Ending:
    """Woods, those on gentle ground first: a tenth to two thirds of them."""
    score = -place.slope_deg / 12.0 + draw_noise(place.shape, (11,), (0.7,), rng)
    return _ending(place, _top(score, place.cover[TREE] > 0.25, rng.uniform(0.1, 0.65)), CLEARED)


def _mined(place: Place, rng: np.random.Generator) -> Ending:
    """A pit where there is most rock about, of any size."""
    rock = gaussian_filter(place.cover[ROCK] - 2.0 * place.cover[WATER], 3.0, mode="nearest")
    margin = max(1, min(place.shape) // 5)
    inner = rock[margin:-margin, margin:-margin]
    row, col = (int(v) + margin for v in np.unravel_index(int(np.argmax(inner)), inner.shape))
    y, x = np.mgrid[: place.shape[0], : place.shape[1]]
    radius = rng.uniform(0.08, 0.34) * min(place.shape) * (1.0 + draw_noise(place.shape, (7,), (0.3,), rng))
    squeeze = rng.uniform(0.7, 1.0)
    return _ending(place, np.hypot((y - row) / squeeze, x - col) < np.maximum(radius, 1.0), PIT)


def _built(place: Place, rng: np.random.Generator) -> Ending:
    """A road along a contour of the lower slopes, from the lowest side of the place as far as it gets."""
    z = place.elevation_m
    rise = 30.0 * np.tan(np.radians(place.slope_deg))
    near = np.abs(z - np.quantile(z, 0.4)) < 0.9 * np.maximum(rise, 3.0)
    reached = _from_lowest_side(z) < rng.uniform(0.15, 1.0)
    return _ending(place, near & reached & (place.cover[WATER] < 0.3), CUT)


def _from_lowest_side(z: Floats) -> NDArray[np.float64]:
    """(y, x) how far each cell is from that of the four sides that is lowest, 0 there, in sides. z: (y, x) metres; a
    side is its outer quarter. Turns and flips with the place."""
    sides = [np.rot90(z, turn)[: max(1, z.shape[turn % 2] // 4)].mean() for turn in range(4)]
    turn = int(np.argmin(sides))
    rows, cols = np.rot90(z, turn).shape
    return np.rot90(np.repeat(np.arange(rows)[:, None] / rows, cols, axis=1), -turn)


def _slid(place: Place, rng: np.random.Generator) -> Ending:
    """Slides of heavy rain: steep hollows with few roots, and what nobody can see of the soil."""
    score = place.slope_deg / 8.0 + 2.5 * (place.wetter - 1.0) - 1.2 * place.cover[TREE]
    score = score + draw_noise(place.shape, (7, 3), (0.7, 0.4), rng)
    return _ending(place, _top(score, place.slope_deg > 12.0, rng.uniform(0.01, 0.15)), SCAR)


def _shaken(place: Place, rng: np.random.Generator) -> Ending:
    """Small slides on the steepest ground, by how hard it shook."""
    loose = draw_noise(place.shape, (5,), (0.8,), rng) + 0.06 * (place.slope_deg - 30.0)
    return _ending(place, loose > 0.95 - 0.9 * rng.uniform(0.3, 1.0), SCAR)


def _ashen(place: Place, rng: np.random.Generator) -> Ending:
    """Ash that thins to one side; from where it comes nobody knows before."""
    y, x = np.mgrid[: place.shape[0], : place.shape[1]] / min(place.shape)
    turn = rng.uniform(0.0, 2.0 * np.pi)
    away = (y - 0.5) * np.sin(turn) + (x - 0.5) * np.cos(turn) + 0.6
    ash = rng.uniform(0.4, 1.1) * np.exp(-rng.uniform(0.5, 2.5) * away)
    ash = np.clip(ash + draw_noise(place.shape, (9,), (0.1,), rng), 0.0, 1.0)
    ash = np.where(ash > _ASH_SEEN, ash, 0.0).astype(np.float32)
    return Ending(ash > 0, 0, ash, place.cover)


def _planted(place: Place, rng: np.random.Generator) -> Ending:
    """Trees on open ground, the steepest first: a fifth to all of it."""
    score = place.slope_deg / 12.0 + draw_noise(place.shape, (11,), (0.6,), rng)
    changed = _top(score, open_ground(place), rng.uniform(0.2, 1.0))
    return Ending(changed, 0, np.zeros(place.shape, np.float32), with_trees(place, changed).cover)


_TASKS = {
    "deforestation": _felled,
    "mining": _mined,
    "construction": _built,
    "rain": _slid,
    "earthquake": _shaken,
    "eruption": _ashen,
    "reforestation": _planted,
}
