"""Chips that are the same picture, or nearly: by the bytes of their pixels and by a small perceptual hash.

The hash says for 16 x 8 places whether brightness rises to the right, and down: 128 bits, which noise, a little
stretching and compression leave nearly as they are (after Krawetz's dHash). Turned or mirrored copies are not found.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

NEAR_BITS = 7
"""Chips whose hashes differ in at most so many of 128 bits are near duplicates."""
_BITS = 128
_FLAT = 1e-6


@dataclass(frozen=True)
class Look:
    """What is kept of a chip to find it again. exact: checksum of its pixels. near: its hash as 32 hexadecimal digits,
    "" where it shows nothing."""

    exact: str
    near: str


@dataclass(frozen=True)
class Twins:
    """Two chips that look alike, by position. bits: in which their hashes differ; exact: the same pixels."""

    first: int
    second: int
    bits: int
    exact: bool


def perceptual_hash(pixels: NDArray[np.float32]) -> str:
    """The 128-bit hash of a chip (planes, y, x), NaN where missing; "" for a chip that is flat or has no values."""
    known = np.isfinite(pixels)
    grey = np.where(known, pixels, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    small = _means(grey, 9)
    if not np.ptp(small) > _FLAT * max(1.0, float(np.abs(small).max())):
        return ""
    right, down = small[:8, 1:] > small[:8, :-1], small[1:, :8] > small[:-1, :8]
    return np.packbits(np.concatenate([right.ravel(), down.ravel()])).tobytes().hex()


def find_twins(looks: Sequence[Look], parts: Sequence[str]) -> list[Twins]:
    """Every pair of chips in two different parts that look alike, in order; parts "" count as none.

    Near duplicates are found exactly: of `NEAR_BITS` + 1 pieces of their hashes at least one is the same.
    """
    found: dict[tuple[int, int], Twins] = {}
    for i, j in _pairs([look.exact for look in looks]):
        if _stand_apart(parts, i, j):
            found[i, j] = Twins(i, j, 0, True)
    bits = [np.unpackbits(np.frombuffer(bytes.fromhex(look.near), np.uint8)) if look.near else None for look in looks]
    for piece in np.array_split(np.arange(_BITS), NEAR_BITS + 1):
        for i, j in _pairs(["" if b is None else b[piece].tobytes() for b in bits]):
            if (i, j) in found or not _stand_apart(parts, i, j):
                continue
            differ = int(np.count_nonzero(bits[i] != bits[j]))
            if differ <= NEAR_BITS:
                found[i, j] = Twins(i, j, differ, False)
    return [found[key] for key in sorted(found)]


def _stand_apart(parts: Sequence[str], i: int, j: int) -> bool:
    return bool(parts[i]) and bool(parts[j]) and parts[i] != parts[j]


def _pairs(keys: Sequence[str | bytes]) -> Iterator[tuple[int, int]]:
    """Pairs of positions with the same key; empty keys are none's."""
    same: dict[str | bytes, list[int]] = defaultdict(list)
    for i, key in enumerate(keys):
        if key:
            same[key].append(i)
    for places in same.values():
        yield from combinations(places, 2)


def _means(grey: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """(side, side) means of a picture cut into as many rows and columns, each at least a pixel."""
    rows, cols = (np.linspace(0, size, side + 1).astype(int) for size in grey.shape)
    total = np.pad(grey.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    top, bottom = np.minimum(rows[:-1], grey.shape[0] - 1), np.maximum(rows[1:], rows[:-1] + 1).clip(max=grey.shape[0])
    left, right = np.minimum(cols[:-1], grey.shape[1] - 1), np.maximum(cols[1:], cols[:-1] + 1).clip(max=grey.shape[1])
    sums = total[np.ix_(bottom, right)] - total[np.ix_(top, right)]
    sums = sums - total[np.ix_(bottom, left)] + total[np.ix_(top, left)]
    return np.asarray(sums / ((bottom - top)[:, None] * (right - left)))
