"""Outlines of the regions of a mask as rings of corners, and what stands in each region: the loops over pixels.

Corners are pairs (column, row) of whole numbers, so that whatever is done with them later is exact. It knows nothing
of files, blocks or coordinates on the ground.

Regions are 4-connected: cells that touch at a corner only are apart. Where one region touches itself at a corner, its
hole gets a ring of its own there, so that every polygon is valid.
"""

from typing import Any

import numpy as np
from numba import njit

_STEP_ROW = np.array([0, 1, 0, -1])  # east, south, west, north
_STEP_COL = np.array([1, 0, -1, 0])
# Of the four cells around a corner, which one lies ahead on the right (left) for each direction: offsets to the corner.
_RIGHT_ROW, _RIGHT_COL = np.array([0, 0, -1, -1]), np.array([0, -1, -1, 0])
_LEFT_ROW, _LEFT_COL = np.array([-1, 0, 0, -1]), np.array([0, 0, -1, -1])


@njit(cache=True, nogil=True)
def label_regions(mask: np.ndarray) -> tuple[np.ndarray, Any]:
    """Numbers of the 4-connected regions of a mask: (rows, columns) int32 from 1 on, row-major by their first cell.

    mask: (rows, columns) bool. Returns the numbers, 0 outside, and how many there are.
    """
    rows, cols = mask.shape
    labels = np.zeros((rows, cols), np.int32)
    parent = np.zeros(rows * cols // 2 + 2, np.int32)
    count = np.int32(0)
    for i in range(rows):
        for j in range(cols):
            if not mask[i, j]:
                continue
            up = labels[i - 1, j] if i > 0 else np.int32(0)
            left = labels[i, j - 1] if j > 0 else np.int32(0)
            if up == 0 and left == 0:
                count += 1
                parent[count] = count
                labels[i, j] = count
            elif up == 0 or left == 0 or up == left:
                labels[i, j] = max(up, left)
            else:
                labels[i, j] = _join(parent, up, left)
    names = np.zeros(count + 1, np.int32)
    found = np.int32(0)
    for k in range(1, count + 1):
        root = _root(parent, np.int32(k))
        if names[root] == 0:
            found += 1
            names[root] = found
        names[k] = names[root]
    for i in range(rows):
        for j in range(cols):
            if labels[i, j] > 0:
                labels[i, j] = names[labels[i, j]]
    return labels, found


@njit(cache=True, nogil=True)
def _root(parent: np.ndarray, k: Any) -> Any:
    while parent[k] != k:
        parent[k] = parent[parent[k]]
        k = parent[k]
    return k


@njit(cache=True, nogil=True)
def _join(parent: np.ndarray, a: Any, b: Any) -> Any:
    a, b = _root(parent, a), _root(parent, b)
    low, high = min(a, b), max(a, b)
    parent[high] = low
    return low


@njit(cache=True, nogil=True)
def trace_rings(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The outlines of all regions, found row-major by their first upper edge; outer rings run clockwise as seen.

    labels: (rows, columns) int32 of `label_regions`. Returns corners (n, 2) int32 as (column, row), ends (rings + 1,)
    int64 into them (rings are not closed: the first corner is not repeated) and the region of each ring (rings,).
    """
    rows, cols = labels.shape
    seen = np.zeros((rows, cols), np.bool_)  # whether the upper edge of a cell is part of a ring already
    corners = np.empty((1024, 2), np.int32)
    ends = np.zeros(256, np.int64)
    regions = np.empty(256, np.int32)
    n = 0
    ring = 0
    for i in range(rows):
        for j in range(cols):
            region = labels[i, j]
            if region == 0 or seen[i, j] or (i > 0 and labels[i - 1, j] == region):
                continue
            row, col, way = i, j, 0
            while True:
                if n == len(corners):
                    corners = _longer(corners)
                corners[n, 0] = col
                corners[n, 1] = row
                n += 1
                row, col, way = _side(labels, seen, row, col, way, region)
                if row == i and col == j and way == 0:
                    break
            if ring + 2 > len(ends):
                ends = _longer_row(ends)
            if ring + 1 > len(regions):
                regions = _longer_row(regions)
            regions[ring] = region
            ring += 1
            ends[ring] = n
    return corners[:n], ends[: ring + 1], regions[:ring]


@njit(cache=True, nogil=True)
def _side(labels: np.ndarray, seen: np.ndarray, row: Any, col: Any, way: Any, region: Any) -> tuple[Any, Any, Any]:
    """Walks one straight side with the region on the right; returns the corner at its end and the way on from there."""
    while True:
        if way == 0:
            seen[row, col] = True
        row += _STEP_ROW[way]
        col += _STEP_COL[way]
        right = _is(labels, row + _RIGHT_ROW[way], col + _RIGHT_COL[way], region)
        left = _is(labels, row + _LEFT_ROW[way], col + _LEFT_COL[way], region)
        if right and left:
            return row, col, (way + 3) % 4
        if left:  # the region touches itself here: stay with what is outside, so that a hole closes
            return row, col, (way + 3) % 4
        if not right:
            return row, col, (way + 1) % 4


@njit(cache=True, nogil=True)
def _is(labels: np.ndarray, row: Any, col: Any, region: Any) -> bool:
    return bool(0 <= row < labels.shape[0] and 0 <= col < labels.shape[1] and labels[row, col] == region)


@njit(cache=True, nogil=True)
def _longer(values: np.ndarray) -> np.ndarray:
    more = np.empty((2 * len(values), values.shape[1]), values.dtype)
    more[: len(values)] = values
    return more


@njit(cache=True, nogil=True)
def _longer_row(values: np.ndarray) -> np.ndarray:
    more = np.empty(2 * len(values), values.dtype)
    more[: len(values)] = values
    return more


@njit(cache=True, nogil=True)
def count_cells(labels: np.ndarray, count: int) -> np.ndarray:
    """Cells of each region: (count,) int64. labels: (rows, columns) int32."""
    cells = np.zeros(count + 1, np.int64)
    for i in range(labels.shape[0]):
        for j in range(labels.shape[1]):
            cells[labels[i, j]] += 1
    return cells[1:]


@njit(cache=True, nogil=True)
def sum_regions(labels: np.ndarray, values: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each region: cells with a value (count,), their sum, and the smallest and greatest value (count, 2).

    labels: (rows, columns) int32. values: (rows, columns) float32, NaN missing. Of a region without a value the
    sum is 0 and the extremes are inf, -inf.
    """
    cells = np.zeros(count, np.int64)
    sums = np.zeros(count, np.float64)
    extremes = np.empty((count, 2), np.float32)
    extremes[:, 0] = np.inf
    extremes[:, 1] = -np.inf
    for i in range(labels.shape[0]):
        for j in range(labels.shape[1]):
            k = labels[i, j] - 1
            v = values[i, j]
            if k < 0 or np.isnan(v):
                continue
            cells[k] += 1
            sums[k] += v
            if v < extremes[k, 0]:
                extremes[k, 0] = v
            if v > extremes[k, 1]:
                extremes[k, 1] = v
    return cells, sums, extremes
