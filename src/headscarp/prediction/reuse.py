"""A stack whose pixels, once read from disk, are kept for a while: neighbouring blocks share most of their context.

The same stack under the same contract, read through memory of a fixed size. Refuses to change a pixel, and leaves
alone what is in memory or memory-mapped already.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from headscarp.core.stack import CHUNK, stack_bands
from headscarp.core.tile import Window

KEPT_BYTES = 64 * 2**20
_CELL = (CHUNK, 4 * CHUNK)
"""Rows and columns that are read and kept in one piece."""


def reused(stack: xr.Dataset, kept_bytes: int = KEPT_BYTES) -> xr.Dataset:
    """The same stack; its (y, x) bands that lie in chunks on disk are read through at most `kept_bytes` of memory."""
    kept = _Kept(kept_bytes)
    bands = [band.name for band in stack_bands(stack) if stack[band.name].encoding.get("chunks")]
    flat = {name: stack[name].variable for name in bands if stack[name].dims == ("y", "x")}
    lazy = {
        name: xr.Variable(v.dims, indexing.LazilyIndexedArray(_Cells(name, v, kept)), v.attrs)
        for name, v in flat.items()
    }
    return stack.assign(lazy)


class _Kept:
    """The cells read last, by key, up to a number of bytes; each is read by one thread while others wait for it."""

    def __init__(self, at_most: int) -> None:
        self.at_most, self.bytes = at_most, 0
        self.cells: OrderedDict[tuple[str, int, int], Future[np.ndarray]] = OrderedDict()
        self.lock = threading.Lock()

    def get(self, key: tuple[str, int, int], read: Callable[[], np.ndarray]) -> np.ndarray:
        with self.lock:
            found = self.cells.get(key)
            if found is not None:
                self.cells.move_to_end(key)
            else:
                mine = self.cells[key] = Future()
        if found is not None:
            return found.result()
        try:
            cell = read()
        except BaseException as error:
            with self.lock:
                del self.cells[key]
            mine.set_exception(error)
            raise
        mine.set_result(cell)
        self._make_room(cell.nbytes)
        return cell

    def _make_room(self, added: int) -> None:
        with self.lock:
            self.bytes += added
            for key in list(self.cells):
                if self.bytes <= self.at_most:
                    return
                if self.cells[key].done():
                    self.bytes -= self.cells.pop(key).result().nbytes


class _Cells(BackendArray):
    """One band as xarray reads arrays on disk: windows are put together from cells."""

    def __init__(self, name: str, variable: xr.Variable, kept: _Kept) -> None:
        self.name, self.variable, self.kept = name, variable, kept
        self.shape, self.dtype = variable.shape, variable.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> np.ndarray:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.BASIC, self._window)

    def _window(self, key: tuple[int | slice, ...]) -> np.ndarray:
        rows, cols = (
            range(n)[k] if isinstance(k, slice) else range(k, k + 1) for k, n in zip(key, self.shape, strict=True)
        )
        if rows.step != 1 or cols.step != 1 or not rows or not cols or any(not isinstance(k, slice) for k in key):
            return np.asarray(self.variable[key].values)
        out = np.empty((len(rows), len(cols)), self.dtype)
        for top in range(rows.start // _CELL[0] * _CELL[0], rows.stop, _CELL[0]):
            for left in range(cols.start // _CELL[1] * _CELL[1], cols.stop, _CELL[1]):
                cell = self._cell(Window(top, left, *_CELL).clip((self.shape[0], self.shape[1])))
                from_row, to_row = max(top, rows.start), min(top + _CELL[0], rows.stop)
                from_col, to_col = max(left, cols.start), min(left + _CELL[1], cols.stop)
                out[from_row - rows.start : to_row - rows.start, from_col - cols.start : to_col - cols.start] = cell[
                    from_row - top : to_row - top, from_col - left : to_col - left
                ]
        return out

    def _cell(self, window: Window) -> np.ndarray:
        key = (self.name, window.row, window.col)
        return self.kept.get(key, lambda: np.asarray(self.variable[window.slices].values))
