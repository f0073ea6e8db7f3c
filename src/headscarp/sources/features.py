"""Shapes in the cells of a grid, kept on disk: a million of them cost memory for their boxes only.

Each shape lies as WKB in an unnamed temporary file that goes when the last user does; in memory are its box, its kind,
its value and which squares of the grid it touches. Read-only and safe to share between threads. Refuses nothing: what
comes in has been checked by `vectors`.
"""

import os
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from headscarp.core.artefact import clear_os_errors
from headscarp.core.tile import Window

# Windows ask for the shapes of the squares that they touch; a shape over many squares is asked by its box instead.
_SQUARE = 512
_WIDE = 64
_BATCH = 2000
_INDEXED = 50_000


class Values(Sequence[Any]):
    """One value a shape, each different one held once; equal to a tuple of the same values."""

    def __init__(self, which: NDArray[np.int32], different: Sequence[Any]) -> None:
        self.which, self.different = which, tuple(different)

    def __len__(self) -> int:
        return len(self.which)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return tuple(self.different[i] for i in self.which[index])
        return self.different[self.which[index]]

    def __iter__(self) -> Iterator[Any]:
        return (self.different[i] for i in self.which)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]


class Features:
    """Shapes in the cells of a grid: x = column, y = -row. values: the attribute of each, None where it is missing.

    kinds: (n) shapely's type ids. bounds: (n, 4) float32 boxes, rounded outward. total: rows read. empty: rows without
    a shape. repaired: invalid ones mended. outside: off the grid, though kept.
    """

    def __init__(self, store: "ShapeStore", counts: dict[str, int]) -> None:
        self._disk, self._ends = store.disk, _join([np.zeros(1, np.int64)], store.ends)
        self.bounds = _join([np.empty((0, 4), np.float32)], store.bounds)
        self.kinds = _join([np.empty(0, np.int8)], store.kinds)
        self.values = Values(_join([np.empty(0, np.int32)], store.values), tuple(store.different))
        self.total, self.empty = counts["total"], counts["empty"]
        self.repaired, self.outside = counts["repaired"], counts["outside"]
        self._squares, self._starts, self._inside, self._wide = _index(self.bounds, store.shape)

    def __len__(self) -> int:
        return len(self.kinds)

    @property
    def shapes(self) -> NDArray[Any]:
        """All shapes as shapely geometries, made anew: for layers that fit in memory."""
        return self.take(np.arange(len(self)))

    def take(self, indices: NDArray[np.int64]) -> NDArray[Any]:
        """Some of the shapes, as shapely geometries."""
        wkb = np.empty(len(indices), object)
        starts, ends = self._ends[indices].tolist(), self._ends[np.asarray(indices) + 1].tolist()
        for i, (start, end) in enumerate(zip(starts, ends, strict=True)):
            wkb[i] = os.pread(self._disk.number, end - start, start)
        taken: NDArray[Any] = shapely.from_wkb(wkb)
        return taken

    def batches(self) -> Iterator[NDArray[np.int64]]:
        """The indices of all shapes in groups small enough to `take`."""
        for first in range(0, len(self), _BATCH):
            yield np.arange(first, min(first + _BATCH, len(self)))

    def near(self, window: Window) -> NDArray[np.int64]:
        """The indices of shapes whose boxes touch a window, in the order of the file."""
        rows, cols = self._squares
        top, bottom = _squares_of(np.array([window.row, window.row + window.height], float), rows)
        left, right = _squares_of(np.array([window.col, window.col + window.width], float), cols)
        found = [self._wide]
        for row in range(top, bottom + 1):
            found.append(self._inside[self._starts[row * cols + left] : self._starts[row * cols + right + 1]])
        some = np.unique(np.concatenate(found))
        box = self.bounds[some]
        touches = (box[:, 0] <= window.col + window.width) & (box[:, 2] >= window.col)
        touches &= (box[:, 1] <= -window.row) & (box[:, 3] >= -window.row - window.height)
        return some[touches].astype(np.int64)


class ShapeStore:
    """Where shapes are put, part by part, before they are Features. shape: rows and columns of the grid."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shape = shape
        self.disk = _Disk()
        self.end = 0
        self.ends: list[NDArray[np.int64]] = []
        self.bounds: list[NDArray[np.float32]] = []
        self.kinds: list[NDArray[np.int8]] = []
        self.values: list[NDArray[np.int32]] = []
        self.different: dict[Any, int] = {}

    def add(self, shapes: NDArray[Any], values: Sequence[Any]) -> None:
        """Puts shapes, in cells, and one hashable value each after those that are there."""
        wkb = shapely.to_wkb(shapes, byte_order=1)
        self.disk.append(b"".join(wkb))
        self.ends.append(self.end + np.cumsum([len(text) for text in wkb], dtype=np.int64))
        self.end = int(self.ends[-1][-1]) if len(wkb) else self.end
        exact = shapely.bounds(shapes)
        outward = np.array([-np.inf, -np.inf, np.inf, np.inf], np.float32)
        self.bounds.append(np.nextafter(exact.astype(np.float32), outward))
        self.kinds.append(shapely.get_type_id(shapes).astype(np.int8))
        different = self.different
        self.values.append(np.array([different.setdefault(v, len(different)) for v in values], np.int32))

    def close(self, counts: dict[str, int]) -> Features:
        """What was put in, as Features."""
        return Features(self, counts)


def _join(first: list[NDArray[Any]], parts: list[NDArray[Any]]) -> NDArray[Any]:
    """The parts as one array; their list is emptied, so that they are not held twice for long."""
    joined = np.concatenate([*first, *parts])
    parts.clear()
    return joined


class _Disk:
    """An unnamed temporary file that is closed with its last user."""

    def __init__(self) -> None:
        with clear_os_errors(tempfile.gettempdir()):
            self.number, name = tempfile.mkstemp(prefix="headscarp-shapes-")
            Path(name).unlink()
        weakref.finalize(self, os.close, self.number)

    def append(self, data: bytes) -> None:
        with clear_os_errors(tempfile.gettempdir()):
            while data:
                data = data[os.write(self.number, data) :]


def _index(
    bounds: NDArray[np.float32], shape: tuple[int, int]
) -> tuple[tuple[int, int], NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]]:
    """How many squares the grid has, where each one's shapes start, those shapes, and the shapes over many squares."""
    rows, cols = max(1, -(-shape[0] // _SQUARE)), max(1, -(-shape[1] // _SQUARE))
    shapes, squares, wide = ([np.empty(0, np.int32)] for _ in range(3))
    for first in range(0, len(bounds), _INDEXED):
        found = _squares_touched(bounds[first : first + _INDEXED], rows, cols)
        shapes.append(found[0] + np.int32(first))
        squares.append(found[1])
        wide.append(found[2] + np.int32(first))
    square = _join([], squares)
    starts = np.zeros(rows * cols + 1, np.int64)
    np.cumsum(np.bincount(square, minlength=rows * cols), out=starts[1:])
    return (rows, cols), starts, _join([], shapes)[np.argsort(square, kind="stable")], _join([], wide)


def _squares_touched(
    bounds: NDArray[np.float32], rows: int, cols: int
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """Shape and square of every pair of a shape and a square that its box touches; the shapes over too many squares."""
    top, bottom = _squares_of(-bounds[:, 3], rows), _squares_of(-bounds[:, 1], rows)
    left, right = _squares_of(bounds[:, 0], cols), _squares_of(bounds[:, 2], cols)
    across = right - left + 1
    covered = (bottom - top + 1) * across
    wide = covered > _WIDE
    shapes, covered = np.flatnonzero(~wide).astype(np.int32), covered[~wide]
    shape_of = np.repeat(shapes, covered)
    nth = np.arange(len(shape_of), dtype=np.int32) - np.repeat((np.cumsum(covered) - covered).astype(np.int32), covered)
    square = (top[shape_of] + nth // across[shape_of]) * cols + left[shape_of] + nth % across[shape_of]
    return shape_of, square.astype(np.int32), np.flatnonzero(wide).astype(np.int32)


def _squares_of(position: NDArray[Any], count: int) -> NDArray[np.int32]:
    """In which of `count` squares along an axis positions lie; beyond the edge in the outermost one."""
    return np.clip(np.floor(position / _SQUARE), 0, count - 1).astype(np.int32)
