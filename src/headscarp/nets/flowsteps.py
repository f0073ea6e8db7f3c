"""Steps of second order from noise to a future, and how they let go of context that no step to come looks at.

Refuses nothing; it knows no net.
"""

import math
from collections.abc import Iterator, Sequence

import torch

from headscarp.nets.batch import Batch


def triples(times: Sequence[float]) -> Iterator[tuple[float | None, float, float]]:
    """Of each step the time of the step before, None of the first one, its own and the next one's."""
    return zip([None, *times], times[:-1], times[1:], strict=False)


def ahead(before: float, now: float, then: float) -> float:
    """How much of what the U-Net changed its mind by between the last two times belongs to a step, if it goes on to
    change as fast: (1 - then) times the integral from now to then of (t - now) / ((now - before) (1 - t)^2)."""
    return (then - now + (1 - then) * math.log((1 - then) / (1 - now))) / (now - before)


def halo_of_all(batch: Batch) -> int:
    """Context on each side of all tiles of a batch, which the caller crops; 0 where it is not known or not the same."""
    halos = {tile.halo for tile in batch.tiles}
    return halos.pop() if len(halos) == 1 else 0


def cropped(x: torch.Tensor, pixels: int) -> torch.Tensor:
    """x less so many pixels on each side, (..., H, W)."""
    return x[..., pixels:-pixels, pixels:-pixels].contiguous()
