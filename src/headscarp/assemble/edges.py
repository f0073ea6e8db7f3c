"""Do masks lie on their images, or a pixel beside? Edges of the mask are looked for in the image, moved a little.

Where a slide ends the image changes, so the step from pixel to pixel across the outline of a mask is larger than
elsewhere, and largest where the mask lies right. One chip tells little; all of them together tell. Refuses to move
anything.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headscarp.core.band import UNLABELLED

REACH_PX = 2
SURE = 4.0
"""Standard errors over chips from which on a shift is taken for one."""
STRONGER = 1.15
"""Edges have to be so many times as strong as without a shift."""
_FEWEST_CHIPS, _FEWEST_EDGES = 12, 500
_SHIFTS = [(dy, dx) for dy in range(-REACH_PX, REACH_PX + 1) for dx in range(-REACH_PX, REACH_PX + 1)]


@dataclass(frozen=True)
class Shift:
    """Masks lie better when they are moved by so many rows down and columns right; stronger: edges there, over now."""

    rows: int
    cols: int
    stronger: float
    chips: int

    def __str__(self) -> str:
        ways = [
            f"{abs(n)} px {ahead if n > 0 else back}"
            for n, ahead, back in ((self.rows, "down", "up"), (self.cols, "right", "left"))
            if n
        ]
        return " and ".join(ways)


def edge_facts(planes: Sequence[NDArray[np.float32]], label: NDArray[np.uint8]) -> dict[str, Any]:
    """How strong the steps of an image are across the outline of its mask, for each small shift: plain values.

    planes: (y, x) each, NaN missing. label: (y, x) 1, 0, 255. Steps count in mean steps of the chip, the mean of the
    bands. {"count": sides of pixels on outlines, "steps": mean over them for each shift}; {} where there are none.
    """
    across = _steps(planes, axis=1)
    down = _steps(planes, axis=0)
    outlines = [_outline(label, axis) for axis in (1, 0)]
    count = sum(int(outline.sum()) for outline in outlines)
    if not count:
        return {}
    steps = []
    for dy, dx in _SHIFTS:
        total = 0.0
        for outline, step in zip(outlines, (across, down), strict=True):
            rows, cols = np.nonzero(outline)
            total += float(step[rows + dy, cols + dx].sum())
        steps.append(total / count)
    return {"count": count, "steps": [round(value, 6) for value in steps]}


def find_shift(facts: Sequence[Mapping[str, Any]]) -> Shift | None:
    """The shift that all masks seem to have, from the facts of their chips; None where they lie right, or none tells.

    A shift has to make edges stronger by 15 %, by 4 standard errors over the chips, each weighted alike: than none, and
    than the same shift the other way, since masks that are drawn too wide or too narrow fit better both ways.
    """
    seen = [fact for fact in facts if fact]
    if len(seen) < _FEWEST_CHIPS or sum(fact["count"] for fact in seen) < _FEWEST_EDGES:
        return None
    steps = np.array([fact["steps"] for fact in seen])  # (chips, shifts)
    means, here = steps.mean(axis=0), _SHIFTS.index((0, 0))
    best = int(means.argmax())
    for rival in (here, _SHIFTS.index((-_SHIFTS[best][0], -_SHIFTS[best][1]))):
        gain = steps[:, best] - steps[:, rival]
        error = gain.std(ddof=1) / np.sqrt(len(gain))
        if best == rival or means[best] < STRONGER * means[rival] or gain.mean() < SURE * error:
            return None
    return Shift(*_SHIFTS[best], float(means[best] / means[here]), len(seen))


def _steps(planes: Sequence[NDArray[np.float32]], axis: int) -> NDArray[np.float64]:
    """|next - this| along an axis over the mean of it in the chip, mean of the bands; 0 where a pixel is missing."""
    total = np.zeros(planes[0].shape)
    for plane in planes:
        step = np.abs(np.diff(plane.astype(np.float64), axis=axis, append=np.nan))
        step = np.nan_to_num(step, nan=0.0)
        total += step / max(float(step.mean()), 1e-30) if step.any() else 0.0
    return total / len(planes)


def _outline(label: NDArray[np.uint8], axis: int) -> NDArray[np.bool_]:
    """(y, x) whether landslide ends or begins between a pixel and the next; not near the edge, where shifts leave."""
    after = np.roll(label, -1, axis=axis)
    known = (label != UNLABELLED) & (after != UNLABELLED)
    outline = known & (label != after)
    inside = np.zeros_like(outline)
    inside[REACH_PX : -REACH_PX - 1, REACH_PX : -REACH_PX - 1] = True
    return np.asarray(outline & inside)
