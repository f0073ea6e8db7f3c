"""A map as the mean over flips and quarter turns of the ground, each turned back: a net from scratch sees north and
south, or left and right, a little differently, and the mean is steadier.

Directions are turned along. Refuses numbers of turns that are no group of the square.
"""

from collections.abc import Callable, Iterable, Sequence

import torch

from headscarp.core.band import Band
from headscarp.core.errors import RecipeError
from headscarp.nets.batch import Batch

Run = Callable[[Batch], torch.Tensor]
"""Batch -> (B, K, H, W)."""

LOOKS: dict[int, tuple[tuple[int, bool], ...]] = {
    1: ((0, False),),
    2: ((0, False), (0, True)),
    4: ((0, False), (2, False), (0, True), (2, True)),
    8: tuple((turns, flip) for flip in (False, True) for turns in range(4)),
}
"""By their number: as it is; and flipped left to right; and upside down, both ways; and turned by a quarter."""


def checked_turns(turns: int) -> int:
    """The number itself. Raises RecipeError unless it is one of LOOKS."""
    if turns not in LOOKS:
        raise RecipeError(f"turns is {turns}; use one of {', '.join(map(str, LOOKS))}")
    return int(turns)


def mean_over_turns(run: Run, batch: Batch, bands: Sequence[Band], turns: int) -> torch.Tensor:
    """(B, K, H, W): the mean of what `run` gives on so many flips and turns of a batch, each turned back.

    bands: what batch.x holds. turns: a key of LOOKS; 1 is `run` itself. A net whose lattice begins at multiples of its
    `align` stays as local as it is, since a tile's sides are such multiples.
    """
    looks = LOOKS[turns][1:]  # a batch as it is keeps all that `turned` leaves out
    return _mean_back(run(batch), ((run(turned(batch, bands, *look)), look) for look in looks), turns)


def mean_over_looks(
    run: Callable[[torch.Tensor], torch.Tensor], features: torch.Tensor, directions: Sequence[int], turns: int
) -> torch.Tensor:
    """The same where features are there already, (B, F, H, W), and all that makes them turns with the ground.

    directions: which of them are cosines of a direction, each followed by its sine. turns: a key of LOOKS.
    """
    looks = LOOKS[turns][1:]
    found = ((run(turned_features(features, directions, *look)), look) for look in looks)
    return _mean_back(run(features), found, turns)


def turned_features(features: torch.Tensor, directions: Sequence[int], quarter: int, flip: bool) -> torch.Tensor:
    """What `turned` does, of features; see `mean_over_looks`."""
    made = _turned(features, quarter, flip)
    for at in directions:
        north, east = made[:, at].clone(), made[:, at + 1].clone()
        if flip:
            east = -east
        for _ in range(quarter % 4):
            north, east = east, -north
        made[:, at], made[:, at + 1] = north, east
    return made


def turned(batch: Batch, bands: Sequence[Band], quarter: int, flip: bool) -> Batch:
    """Bands and validity of a batch, flipped left to right where asked, then turned to the left by quarter turns.

    Degrees clockwise from north are those of the turned ground, as in `tiles.augment`. What it does not turn is left
    out: labels, and where the tiles lie.
    """
    x = _turned(batch.x, quarter, flip)
    for i, band in enumerate(bands):
        if band.kind == "direction":
            degrees = x[..., i, :, :]
            x[..., i, :, :] = torch.remainder((-degrees if flip else degrees) - 90.0 * quarter, 360.0)
    return Batch(x=x, valid=_turned(batch.valid, quarter, flip))


def _mean_back(total: torch.Tensor, found: Iterable[tuple[torch.Tensor, tuple[int, bool]]], turns: int) -> torch.Tensor:
    """The mean of what was found as it is and of what was found in each other look, turned back."""
    for one, (quarter, flip) in found:
        back = torch.rot90(one, -quarter, dims=(-2, -1))
        total = total + (back.flip(-1) if flip else back)
    return total / turns if turns > 1 else total


def _turned(pixels: torch.Tensor, quarter: int, flip: bool) -> torch.Tensor:
    return torch.rot90(pixels.flip(-1) if flip else pixels, quarter, dims=(-2, -1)).contiguous()
