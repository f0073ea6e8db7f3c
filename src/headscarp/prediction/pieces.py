"""One block of a map as pieces of polygons: outlines on whole cells, sums over the cells, and what touches its edges.

A region that ends inside its block is one piece and done; one that reaches an edge is joined later with what touches it
across. Pieces stand in small files, so that a map of any size is never held. Refuses nothing: a block without a
region leaves empty arrays.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from headscarp.core.tile import Window
from headscarp.prediction._tracing import count_cells, label_regions, sum_regions, trace_rings

SIDES = ("top", "bottom", "left", "right")


@dataclass(frozen=True)
class Pieces:
    """The regions of one block, numbered from 0.

    corners: (n, 2) int32 (column, row) on the whole raster; ends: (rings + 1,) into them; regions: (rings,) whose ring
    it is. first: (regions, 2) row and column of the first cell. cells: (regions,). sums: (regions, planes) of each
    plane's values and counts: (regions, planes) of how many there were; low, high: (regions, planes).
    top, bottom, left, right: region at each cell of an edge, -1 where there is none.
    """

    corners: NDArray[np.int32]
    ends: NDArray[np.int64]
    regions: NDArray[np.int32]
    first: NDArray[np.int64]
    cells: NDArray[np.int64]
    sums: NDArray[np.float64]
    counts: NDArray[np.int64]
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    top: NDArray[np.int32]
    bottom: NDArray[np.int32]
    left: NDArray[np.int32]
    right: NDArray[np.int32]

    def polygons(self) -> NDArray[np.object_]:
        """(regions,) polygons in cells of the raster: x = column, y = row."""
        closed, ends = _closed(self.corners, self.ends)
        if len(self.regions) == 0:
            return np.empty(0, object)
        order = np.argsort(self.regions, kind="stable")  # a region's outer ring is found before its holes
        lengths = np.diff(ends)[order]
        starts = ends[:-1][order]
        take = np.repeat(starts - np.concatenate([[0], np.cumsum(lengths)[:-1]]), lengths) + np.arange(lengths.sum())
        ring_ends = np.concatenate([[0], np.cumsum(lengths)])
        of_region = np.concatenate([[0], np.cumsum(np.bincount(self.regions, minlength=len(self.cells)))])
        made = shapely.from_ragged_array(
            shapely.GeometryType.POLYGON, closed[take].astype(np.float64), (ring_ends, of_region)
        )
        return np.asarray(made, object)


def make_pieces(mask: NDArray[np.bool_], planes: Sequence[NDArray[np.float32]], window: Window) -> Pieces:
    """The pieces of a block. mask: (rows, columns) of the window. planes: k of (rows, columns), NaN missing."""
    labels, count = label_regions(mask)
    corners, ends, regions = trace_rings(labels)
    found = [sum_regions(labels, plane, count) for plane in planes]
    cells = count_cells(labels, count)
    first = np.zeros((count, 2), np.int64)
    outer = np.unique(regions, return_index=True)[1]
    first[:] = corners[ends[:-1][outer]][:, ::-1]
    shift = np.array([window.col, window.row])
    return Pieces(
        corners=(corners + shift).astype(np.int32),
        ends=ends,
        regions=regions - 1,
        first=first + shift[::-1],
        cells=cells,
        counts=np.stack([f[0] for f in found], axis=1),
        sums=np.stack([f[1] for f in found], axis=1),
        low=np.stack([f[2][:, 0] for f in found], axis=1),
        high=np.stack([f[2][:, 1] for f in found], axis=1),
        top=labels[0] - 1,
        bottom=labels[-1] - 1,
        left=labels[:, 0] - 1,
        right=labels[:, -1] - 1,
    )


def write_pieces(pieces: Pieces, path: Path) -> str:
    """Writes the pieces of a block whole or not at all; returns the checksum of the file."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with partial.open("wb") as file:
        np.savez(file, **vars(pieces))
    partial.replace(path)
    return checksum(path)


def read_pieces(path: Path) -> Pieces:
    """The pieces that `write_pieces` wrote."""
    with np.load(path) as held:
        return Pieces(**{name: held[name] for name in held.files})


def checksum(path: Path) -> str:
    """Of a file of pieces; "" where it is gone."""
    try:
        return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
    except OSError:
        return ""


def _closed(corners: NDArray[np.int32], ends: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Rings with their first corner repeated at the end."""
    lengths = np.diff(ends)
    closed = ends + np.arange(len(ends))
    out = np.empty((len(corners) + len(lengths), 2), np.int32)
    inside = np.ones(len(out), bool)
    inside[closed[1:] - 1] = False
    out[inside] = corners
    out[closed[1:] - 1] = corners[ends[:-1]]
    return out, closed
