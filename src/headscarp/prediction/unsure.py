"""What the tiles of a map are like, gathered while blocks stream by, and the choice among them.

It holds a fixed number of tiles whatever the size of the map, and what it holds does not depend on the order in which
blocks come. It reads no files.
"""

import heapq
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from headscarp.core.band import UNLABELLED, Band
from headscarp.core.tile import Window
from headscarp.tiles.statistics import encoded

LEAST_SHARE = 0.25
"""Share of a tile's cells that have to be valid and unlabelled."""
KNOWN_TILES = 1000
"""So many labelled tiles are kept, drawn at random, to tell what has been seen."""


@dataclass(frozen=True)
class Seen:
    """A tile that the net has looked at.

    interest, entropy (bit), probability: means over its valid unlabelled cells, of which there are `unlabelled`.
    features: means over its valid cells.
    """

    window: Window
    features: tuple[float, ...]
    interest: float = 0.0
    entropy: float = 0.0
    probability: float = 0.0
    unlabelled: int = 0


class Gathered:
    """The most interesting tiles of a map, and some of those with labels; safe to fill from several threads.

    interest: of probabilities (n,), what a tile is wanted for, at least 0; None: their entropy. labelled: (rows,
    columns) bool of the lattice of tiles. candidates: how many tiles could be proposed.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        tile_px: int,
        *,
        keep: int,
        seed: int = 0,
        interest: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> None:
        self.tile_px, self.candidates = tile_px, 0
        self.labelled = np.zeros((-(-shape[0] // tile_px), -(-shape[1] // tile_px)), bool)
        self._keep, self._seed, self._lock = keep, seed, threading.Lock()
        self._interest = interest or entropy_bits
        self._wanted: list[tuple[float, tuple[int, int], Seen]] = []
        self._known: list[tuple[float, tuple[int, int], Seen]] = []

    def add(
        self, window: Window, x: np.ndarray, bands: Sequence[Band], found: tuple[np.ndarray, np.ndarray, np.ndarray]
    ) -> None:
        """Counts one tile. x: (C, h, w) as it stands in the stack. found: (h, w) probability, valid, label."""
        probability, valid, y = found
        features = tuple(encoded(x[:, valid], bands).mean(axis=0, dtype=np.float64).tolist())
        open_cells = valid & (y == UNLABELLED)
        place, wanted = (window.row, window.col), int(open_cells.sum())
        with self._lock:
            if (y != UNLABELLED).any():
                self.labelled[window.row // self.tile_px, window.col // self.tile_px] = True
                draw = float(np.random.default_rng([self._seed, *place]).random())
                _push(self._known, (draw, place, Seen(window, features)), KNOWN_TILES)
            if wanted >= LEAST_SHARE * valid.size:
                self.candidates += 1
                p = probability[open_cells].astype(np.float64)
                interest, entropy = float(self._interest(p).mean()), float(entropy_bits(p).mean())
                seen = Seen(window, features, interest, entropy, float(p.mean()), wanted)
                _push(self._wanted, (seen.interest, (-place[0], -place[1]), seen), self._keep)

    def pool(self) -> list[Seen]:
        """The candidates that are kept, most interesting first."""
        return [seen for *_, seen in sorted(self._wanted, key=lambda item: item[:2], reverse=True)]

    def known(self) -> list[Seen]:
        """The labelled tiles that are kept, in the order of the map."""
        return [seen for *_, seen in sorted(self._known, key=lambda item: item[1])]


def tiles_in(window: Window, tile_px: int) -> list[Window]:
    """The tiles of the lattice that cover a window whose corner stands on it, cut to it."""
    rows = range(window.row, window.row + window.height, tile_px)
    cols = range(window.col, window.col + window.width, tile_px)
    return [
        Window(r, c, min(tile_px, window.row + window.height - r), min(tile_px, window.col + window.width - c))
        for r in rows
        for c in cols
    ]


def entropy_bits(probability: np.ndarray) -> np.ndarray:
    """Entropy of a yes-or-no answer in bits, [0, 1]: 0 where it is sure, 1 at a probability of a half."""
    p = np.clip(probability, 1e-12, 1 - 1e-12)
    return np.asarray(-(p * np.log2(p) + (1 - p) * np.log2(1 - p)))


def farthest_first(
    features: np.ndarray, weights: np.ndarray, known: np.ndarray, *, count: int
) -> list[tuple[int, float]]:
    """Which rows to take, one after the other, each with its distance to the nearest one that was there before it.

    features: (n, F). weights: (n,), at least 0. known: (m, F), m may be 0. The next row has the largest product of
    weight and distance, then the largest weight, then comes first. Distances are in standard deviations of each feature
    over all rows. The first row, where nothing is known, has the largest weight and the distance infinity.
    """
    known = known.reshape(len(known), features.shape[1])
    both = np.concatenate([features, known])
    scale = both.std(axis=0)
    scale[scale == 0] = 1.0
    rows, seen = features / scale, known / scale
    nearest = np.full(len(rows), np.inf)
    for other in seen:
        nearest = np.minimum(nearest, np.linalg.norm(rows - other, axis=1))
    left, order = np.ones(len(rows), bool), []
    for _ in range(min(count, len(rows))):
        score = weights * nearest if np.isfinite(nearest).all() else weights
        best = int(np.lexsort((np.arange(len(rows))[::-1], weights, np.where(left, score, -np.inf)))[-1])
        order.append((best, float(nearest[best])))
        left[best] = False
        nearest = np.minimum(nearest, np.linalg.norm(rows - rows[best], axis=1))
    return order


def _push(
    heap: list[tuple[float, tuple[int, int], Seen]], item: tuple[float, tuple[int, int], Seen], most: int
) -> None:
    """Keeps the `most` largest items."""
    if len(heap) < most:
        heapq.heappush(heap, item)
    elif item[:2] > heap[0][:2]:
        heapq.heapreplace(heap, item)
