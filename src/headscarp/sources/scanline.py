"""Which cells of a window polygons cover, by scanlines: compiled, without locks, the same for every window.

A polygon covers a cell when it covers the cell's centre, by the rule of GDAL's gdal_rasterize, ties included: rings of
all parts count together (even-odd); a crossing belongs to a row when low <= centre < high; a centre on a left edge is
in, on a right edge out. Coordinates are columns and rows of the whole grid, so no window rounds them anew. Knows
nothing of files, and lines and points cover nothing here.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(nogil=True, cache=True)
def burn_rings(
    xy: NDArray[np.float64],
    rings: NDArray[np.int64],
    shapes: NDArray[np.int64],
    codes: NDArray[np.uint8],
    corner: tuple[int, int],
    out: NDArray[np.uint8],
) -> None:
    """Writes the code of the last shape over each cell into `out`, (height, width), whose first cell is `corner`.

    xy: (n, 2) column and row of every vertex. rings: (r + 1) first vertex of each closed ring. shapes: (s + 1) first
    ring of each shape. codes: (s).
    """
    height, width = out.shape
    counts = np.zeros(height + 1, np.int64)
    for shape in range(shapes.size - 1):
        first, last = rings[shapes[shape]], rings[shapes[shape + 1]]
        low, high = _rows(xy, first, last, corner[0], height)
        if low >= high:
            continue
        crossings, starts = _crossings(xy, rings, shapes[shape], shapes[shape + 1], corner[0], low, high, counts)
        for row in range(low, high):
            line = crossings[starts[row - low] : starts[row - low + 1]]
            line.sort()
            for k in range(0, line.size - 1, 2):
                _span(out[row], line[k], line[k + 1], corner[1], width, codes[shape])
        _flat_edges(xy, rings, shapes[shape], shapes[shape + 1], corner, out, codes[shape])


@njit(nogil=True, cache=True)
def count_cells(
    xy: NDArray[np.float64],
    rings: NDArray[np.int64],
    shapes: NDArray[np.int64],
    size: tuple[int, int],
    large: int,
) -> NDArray[np.int64]:
    """How many cells of a grid of `size` (rows, columns) each shape covers alone; 1 if it is `large` cells across."""
    counts = np.zeros(shapes.size - 1, np.int64)
    one = np.ones(1, np.uint8)
    for shape in range(counts.size):
        first, last = rings[shapes[shape]], rings[shapes[shape + 1]]
        top, bottom = _rows(xy, first, last, 0, size[0])
        leftmost, rightmost = np.inf, -np.inf
        for i in range(first, last):
            leftmost, rightmost = min(leftmost, xy[i, 0]), max(rightmost, xy[i, 0])
        left = int(max(0.0, min(float(size[1]), np.floor(leftmost))))
        right = int(max(0.0, min(float(size[1]), np.ceil(rightmost))))
        if top >= bottom or left >= right:
            continue
        if max(bottom - top, right - left) > large:
            counts[shape] = 1
            continue
        alone = np.zeros((bottom - top, right - left), np.uint8)
        burn_rings(xy, rings, shapes[shape : shape + 2], one, (top, left), alone)
        counts[shape] = alone.sum()
    return counts


@njit(nogil=True, cache=True)
def _rows(xy: Any, first: int, last: int, top: int, height: int) -> tuple[int, int]:
    """Rows of the window, from and to, whose centres may lie between a shape's lowest and highest vertex."""
    lowest, highest = np.inf, -np.inf
    for i in range(first, last):
        lowest, highest = min(lowest, xy[i, 1]), max(highest, xy[i, 1])
    if lowest > highest:
        return 0, 0
    # Clipped as numbers first: far away rows do not fit an integer.
    low = int(max(0.0, min(float(height), np.ceil(lowest - 0.5) - top)))
    high = int(max(0.0, min(float(height), np.floor(highest - 0.5) + 1 - top)))
    return low, high


@njit(nogil=True, cache=True)
def _crossings(
    xy: Any, rings: Any, first: int, last: int, top: int, low: int, high: int, counts: Any
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Where the edges of rings first..last cross the middle of each row low..high: columns, row after row, unsorted."""
    rows = high - low
    counts[: rows + 1] = 0
    for step in range(2):
        if step == 1:
            starts = np.zeros(rows + 1, np.int64)
            for row in range(rows):
                starts[row + 1] = starts[row] + counts[row]
            columns = np.empty(starts[rows], np.float64)
            counts[:rows] = starts[:rows]
        for ring in range(first, last):
            for i in range(rings[ring], rings[ring + 1] - 1):
                upper, lower = (i, i + 1) if xy[i, 1] < xy[i + 1, 1] else (i + 1, i)
                y1, y2 = xy[upper, 1], xy[lower, 1]
                if not y1 < y2:
                    continue
                begin = int(min(float(high), max(float(low), np.ceil(y1 - 0.5) - top)))
                end = int(min(float(high), max(float(low), np.ceil(y2 - 0.5) - top)))
                if step == 0:
                    for row in range(begin, end):
                        counts[row - low] += 1
                    continue
                x1, x2 = xy[upper, 0], xy[lower, 0]
                for row in range(begin, end):
                    columns[counts[row - low]] = (row + top + 0.5 - y1) * (x2 - x1) / (y2 - y1) + x1
                    counts[row - low] += 1
    return columns, starts


@njit(nogil=True, cache=True)
def _flat_edges(xy: Any, rings: Any, first: int, last: int, corner: Any, out: Any, code: int) -> None:
    """Edges along the middle of a row: covered when they run to the left, as GDAL has it."""
    for ring in range(first, last):
        for i in range(rings[ring], rings[ring + 1] - 1):
            if xy[i, 1] != xy[i + 1, 1] or xy[i, 0] <= xy[i + 1, 0]:
                continue
            row = xy[i, 1] - 0.5 - corner[0]
            if row == np.floor(row) and 0 <= row < out.shape[0]:
                _span(out[int(row)], xy[i + 1, 0], xy[i, 0], corner[1], out.shape[1], code)


@njit(nogil=True, cache=True)
def _span(line: Any, begin: float, end: float, left: int, width: int, code: int) -> None:
    """Fills the cells of a row whose centres lie between two columns."""
    if not begin <= end:  # not even when one is not a number
        return
    first = int(max(0.0, min(float(width), np.floor(begin + 0.5) - left)))
    last = int(max(0.0, min(float(width), np.floor(end + 0.5) - left)))
    for column in range(first, last):
        line[column] = code
