"""Regions that several blocks hold parts of, joined exactly across the edges of the blocks.

Joins work on whole cells, so that what comes out is what one pass over the whole raster would have traced. Holds the
edges of all blocks and the polygons that still wait for a part, never the whole map.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from headscarp.core.tile import Window
from headscarp.prediction.pieces import Pieces, read_pieces


@dataclass(frozen=True)
class Regions:
    """Whole regions: polygons in cells of the raster (x = column, y = row) and sums over their cells, see Pieces."""

    polygons: NDArray[np.object_]
    first: NDArray[np.int64]
    cells: NDArray[np.int64]
    sums: NDArray[np.float64]
    counts: NDArray[np.int64]
    low: NDArray[np.float32]
    high: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.polygons)


def join_regions(files: Mapping[Window, Path]) -> Iterator[Regions]:
    """Whole regions, block after block: each comes as soon as the last block that holds a part of it is read.

    files: the pieces of each block, in the order to go by.
    """
    order = list(files)
    group, offsets = _groups(files)
    last = np.zeros(group.max(initial=-1) + 1, np.int64)
    for k in range(len(order)):
        mine = group[offsets[k] : offsets[k + 1]]
        last[mine] = k
    size = np.bincount(group)
    waiting: dict[int, list[Regions]] = {}
    for k, window in enumerate(order):
        pieces = read_pieces(files[window])
        here = _whole(pieces)
        mine = group[offsets[k] : offsets[k + 1]]
        alone = size[mine] == 1
        for i in np.flatnonzero(~alone):
            waiting.setdefault(int(mine[i]), []).append(_taken(here, np.array([i])))
        ready = sorted(g for g in waiting if last[g] == k)
        joined = [_joined(waiting.pop(g)) for g in ready]
        found = _stacked([_taken(here, np.flatnonzero(alone)), *joined])
        if len(found):
            yield found


def _groups(files: Mapping[Window, Path]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For every region of every block, in order, the number of the joined region; and where each block's begin."""
    below: dict[tuple[int, int], tuple[int, NDArray[np.int32]]] = {}  # edges that wait for a block, by its corner
    beside: dict[tuple[int, int], tuple[int, NDArray[np.int32]]] = {}
    none = (0, np.empty(0, np.int32))
    offsets = [0]
    pairs: list[NDArray[np.int64]] = []
    for window, path in files.items():
        pieces, start, corner = read_pieces(path), offsets[-1], (window.row, window.col)
        offsets.append(start + len(pieces.cells))
        for (first, edge), mine in ((below.pop(corner, none), pieces.top), (beside.pop(corner, none), pieces.left)):
            if len(edge):
                pairs.append(_pairs(edge, first, mine, start))
        below[window.row + window.height, window.col] = (start, pieces.bottom)
        beside[window.row, window.col + window.width] = (start, pieces.right)
    total = offsets[-1]
    if not pairs:
        return np.arange(total), np.array(offsets)
    a, b = np.unique(np.concatenate(pairs), axis=0).T
    graph = coo_array((np.ones(len(a), bool), (a, b)), shape=(total, total))
    return connected_components(graph, directed=False)[1].astype(np.int64), np.array(offsets)


def _pairs(a: NDArray[np.int32], a_start: int, b: NDArray[np.int32], b_start: int) -> NDArray[np.int64]:
    both = (a >= 0) & (b >= 0)
    return np.stack([a[both].astype(np.int64) + a_start, b[both].astype(np.int64) + b_start], axis=1)


def _whole(pieces: Pieces) -> Regions:
    shared = ("first", "cells", "sums", "counts", "low", "high")
    return Regions(pieces.polygons(), **{name: getattr(pieces, name) for name in shared})


def _taken(regions: Regions, index: NDArray[np.intp]) -> Regions:
    return Regions(**{name: values[index] for name, values in vars(regions).items()})


def _joined(parts: Sequence[Regions]) -> Regions:
    """One region from its parts: the union on whole cells, corners that lie on a straight side left out."""
    together = _stacked(parts)
    polygon = shapely.union_all(together.polygons)
    place = np.lexsort((together.first[:, 1], together.first[:, 0]))[0]
    return Regions(
        polygons=np.array([_without_straight_corners(polygon)], object),
        first=together.first[place][None],
        cells=together.cells.sum(keepdims=True),
        sums=together.sums.sum(axis=0, keepdims=True),
        counts=together.counts.sum(axis=0, keepdims=True),
        low=together.low.min(axis=0, keepdims=True),
        high=together.high.max(axis=0, keepdims=True),
    )


def _stacked(parts: Sequence[Regions]) -> Regions:
    return Regions(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])})


def _without_straight_corners(polygon: shapely.Polygon) -> shapely.Polygon:
    rings = [polygon.exterior, *polygon.interiors]
    outer, *holes = (_corners_of(np.asarray(ring.coords)[:-1]) for ring in rings)
    return shapely.Polygon(outer, holes)


def _corners_of(ring: NDArray[np.float64]) -> NDArray[np.float64]:
    """The points of a ring of level and upright sides where it turns."""
    before, after = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
    turns = (before == 0)[:, 0] != (after == 0)[:, 0]
    return ring[turns]
