"""What happens to a simulated place: clearing, a growing pit, a road cut, ash, shaking; and fields that mean nothing.

Days count from the cut-off: below 0 before it. Works go on after it, and nobody sees them before their day. A cell
changes once, by what comes to it first in the order of the processes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headscarp.core.domains import TRACES
from headscarp.sources.world.domains.ground import TREE, WATER, Place, draw_noise

CLASSES = ("eruption", "earthquake", "deforestation", "rain", "mining", "construction", "thriving")
"""What a place is simulated as: one of the six causes at work, or a forest that thrives."""

UNTOUCHED, CLEARED, PIT, CUT, SCAR = range(5)
"""What a cell turns into, by code in `Story.kind`: felled ground, the face and floor of a pit, a road with its cut,
ground bared by shaking."""

NEVER = np.float32(1e6)
ASH_STAYS_DAYS = 150.0
_SECOND = 0.3
_FIELDS = 0.5

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Story:
    """kind: (y, x) codes as above; day: (y, x) when the cell turns into it, NEVER where it does not. ash: (y, x) share
    of the ground that ash covers on ash_day, its first. shake: 0 none to 1 violent, on shake_day."""

    processes: tuple[str, ...]
    kind: NDArray[np.uint8]
    day: Floats
    ash: Floats
    ash_day: float
    shake: float
    shake_day: float


def draw_story(name: str, place: Place, rng: np.random.Generator) -> Story:
    """The story of a place of one of CLASSES. In some places a second process is at work beside the first."""
    processes = [] if name == "thriving" else [name]
    others = [other for other in CLASSES[:-1] if other != name and other != "rain"]
    if processes and rng.random() < _SECOND:
        processes.append(others[int(rng.integers(len(others)))])
    kind, day = np.zeros(place.shape, np.uint8), np.full(place.shape, NEVER, np.float32)
    for process in processes:
        if process in _WORKS:
            code, draw = _WORKS[process]
            _claim(kind, day, code, draw(place, rng))
    ash, ash_day = np.zeros(place.shape, np.float32), float(NEVER)
    if "eruption" in processes:
        ash, ash_day = _ashfall(place, rng), -float(rng.uniform(3.0, 160.0))
    shake, shake_day = 0.0, float(NEVER)
    if "earthquake" in processes:
        shake, shake_day = float(rng.uniform(0.45, 1.0)), -float(rng.uniform(2.0, 120.0))
        _claim(kind, day, SCAR, _scars(place, shake, shake_day, rng))
    if name != "thriving" and rng.random() < _FIELDS:
        _claim(kind, day, CLEARED, _fields(place, rng))
    return Story(tuple(processes), kind, day, ash, ash_day, shake, shake_day)


def traces_at_cutoff(story: Story) -> dict[str, Floats]:
    """(y, x) share of each cell that shows each of TRACES at the cut-off: 1 where it turned before, and what is left
    of ash."""
    kinds = zip(TRACES, (CLEARED, PIT, CUT, SCAR), strict=False)
    shows = {name: ((story.kind == code) & (story.day < 0.0)).astype(np.float32) for name, code in kinds}
    left = np.exp(story.ash_day / ASH_STAYS_DAYS) if story.ash_day < 0.0 else 0.0
    return {**shows, TRACES[-1]: (left * story.ash).astype(np.float32)}


def _claim(kind: NDArray[np.uint8], day: Floats, code: int, when: Floats) -> None:
    free = (kind == UNTOUCHED) & (when < NEVER)
    kind[free], day[free] = code, when[free]


def _clearings(place: Place, rng: np.random.Generator) -> Floats:
    """Two to four cuts of forest, each on a day of its own; the largest leave little forest."""
    when = np.full(place.shape, NEVER, np.float32)
    wood = place.cover[TREE] > 0.25
    for _ in range(int(rng.integers(2, 5))):
        inside = _block(place, rng, (0.12, 0.30), _weight(wood & (place.slope_deg > 18.0), place))
        felled = inside & wood
        when[felled] = np.minimum(when[felled], -np.float32(rng.uniform(30.0, 540.0)))
    return when


def _pit(place: Place, rng: np.random.Generator) -> Floats:
    """A pit that grows from its middle outwards, on into the days after the cut-off."""
    row, col = _cell(_weight(place.slope_deg > 10.0, place), place.shape, rng)
    y, x = np.mgrid[: place.shape[0], : place.shape[1]]
    side = min(place.shape)
    edge = draw_noise(place.shape, (7,), (0.35,), rng)
    radius = rng.uniform(0.10, 0.22) * side * (1.0 + edge)
    squeeze = rng.uniform(0.6, 1.0)
    part = np.hypot((y - row) / squeeze, x - col) / np.maximum(radius, 1.0)
    start, length = -rng.uniform(150.0, 520.0), rng.uniform(300.0, 800.0)
    return np.where(part < 1.0, start + length * part, NEVER).astype(np.float32)


def _road(place: Place, rng: np.random.Generator) -> Floats:
    """A road along a contour, built from one end to the other, on into the days after the cut-off."""
    row, col = _cell(_weight(place.slope_deg > 14.0, place), place.shape, rng)
    z = place.elevation_m
    rise = 30.0 * np.tan(np.radians(place.slope_deg))
    near = np.abs(z - z[row, col]) < rng.uniform(0.6, 1.0) * np.maximum(rise, 3.0)
    y, x = np.mgrid[: place.shape[0], : place.shape[1]]
    turn = rng.uniform(0.0, 2.0 * np.pi)
    along = ((y - row) * np.sin(turn) + (x - col) * np.cos(turn)) / min(place.shape)
    reach = np.hypot(y - row, x - col) < rng.uniform(0.35, 0.6) * min(place.shape)
    start, length = -rng.uniform(60.0, 420.0), rng.uniform(60.0, 400.0)
    on = near & reach & (place.cover[WATER] < 0.3)
    return np.where(on, start + length * (along + 0.5), NEVER).astype(np.float32)


def _ashfall(place: Place, rng: np.random.Generator) -> Floats:
    """Thick on one side, thinning to the other."""
    y, x = np.mgrid[: place.shape[0], : place.shape[1]] / min(place.shape)
    turn = rng.uniform(0.0, 2.0 * np.pi)
    away = (y - 0.5) * np.sin(turn) + (x - 0.5) * np.cos(turn) + 0.7
    patchy = draw_noise(place.shape, (9,), (0.2,), rng)
    return np.clip(rng.uniform(0.7, 1.1) * np.exp(-rng.uniform(0.2, 0.9) * away) + patchy, 0.0, 1.0).astype(np.float32)


def _scars(place: Place, shake: float, shake_day: float, rng: np.random.Generator) -> Floats:
    """Small slides that shaking sets off at once, on the steepest ground; not the event that is forecast."""
    patchy = draw_noise(place.shape, (5,), (1.0,), rng)
    loose = patchy + 0.05 * (place.slope_deg - 30.0) + 0.25 * rng.standard_normal(place.shape)
    return np.where(loose > 1.35 - 0.75 * shake, shake_day, NEVER).astype(np.float32)


def _fields(place: Place, rng: np.random.Generator) -> Floats:
    """Ploughed ground, where the land is gentle enough to plough."""
    when = np.full(place.shape, NEVER, np.float32)
    for _ in range(int(rng.integers(2, 6))):
        inside = _block(place, rng, (0.05, 0.12), _weight(place.slope_deg < 10.0, place)) & (place.slope_deg < 14.0)
        when[inside] = -np.float32(rng.uniform(5.0, 500.0))
    return when


def _block(place: Place, rng: np.random.Generator, half: tuple[float, float], weight: Floats) -> NDArray[np.bool_]:
    """A turned rectangle around a cell drawn by weight. half: range of half its sides, as shares of the place's."""
    row, col = _cell(weight, place.shape, rng)
    y, x = np.mgrid[: place.shape[0], : place.shape[1]]
    turn = rng.uniform(0.0, np.pi)
    along = (y - row) * np.sin(turn) + (x - col) * np.cos(turn)
    across = (y - row) * np.cos(turn) - (x - col) * np.sin(turn)
    sides = rng.uniform(*half, 2) * min(place.shape)
    return (np.abs(along) < sides[0]) & (np.abs(across) < sides[1])


def _weight(wanted: NDArray[np.bool_], place: Place) -> Floats:
    """Where works begin: on wanted cells away from water and the edge; anywhere where there are none."""
    rows, cols = place.shape
    weight = (wanted & (place.cover[WATER] < 0.3)).astype(np.float32)
    margin = max(1, min(rows, cols) // 8)
    inner = np.zeros_like(weight)
    inner[margin : rows - margin, margin : cols - margin] = 1.0
    return weight * inner if (weight * inner).any() else inner


def _cell(weight: Floats, shape: tuple[int, int], rng: np.random.Generator) -> tuple[int, int]:
    sums = np.cumsum(weight.ravel(), dtype=np.float64)
    number = int(np.searchsorted(sums, rng.random() * sums[-1], side="right"))
    row, col = divmod(min(number, sums.size - 1), shape[1])
    return row, col


_WORKS = {"deforestation": (CLEARED, _clearings), "mining": (PIT, _pit), "construction": (CUT, _road)}
