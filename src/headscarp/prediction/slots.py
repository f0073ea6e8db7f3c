"""Pixels that are not there yet: frames of several stacks side by side in time, and slope from elevation.

Each is read when a window of it is asked for: the frames that have the band from their own stacks, one after the other
into one array, so that nothing is planned, held twice or read in vain. Refuses nothing; what a frame lacks is missing.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core.indexing import ExplicitIndexer, IndexingSupport, LazilyIndexedArray
from xarray.core.indexing import explicit_indexing_adapter as adapted

from headscarp.core.band import NO_VALUE, Band
from headscarp.terrain import slope

Source = tuple[xr.DataArray, int]
"""A band of a stack with frames in front, and which of them."""


def side_by_side(sources: Sequence[Source | None], band: Band, shape: tuple[int, int]) -> LazilyIndexedArray:
    """(T, y, x) of a band from a frame each, lazy; missing where there is none.

    Codes of classes that the band does not know are "no value".
    """
    return LazilyIndexedArray(_Slots(sources, band, shape))


def lazy_plane(plane: xr.DataArray, band: Band) -> LazilyIndexedArray:
    """(y, x) of a band as it stands in a stack, as the band's numbers."""
    return LazilyIndexedArray(_Plane(plane.variable, band.dtype))


def lazy_slope(elevation: xr.DataArray, cell_m: tuple[float, float]) -> xr.DataArray:
    """(y, x) degrees from metres, as `terrain.slope` gives them, with a margin of one cell around what is asked for."""
    return xr.DataArray(LazilyIndexedArray(_Slope(elevation.variable, cell_m)), dims=("y", "x"))


class _Lazy(BackendArray, ABC):
    """What is read by whole numbers and slices."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __getitem__(self, key: ExplicitIndexer) -> Any:
        return adapted(key, self.shape, IndexingSupport.BASIC, self._read)

    @abstractmethod
    def _read(self, key: tuple[Any, ...]) -> NDArray[Any]:
        """What stands at whole numbers and rising slices."""


class _Slots(_Lazy):
    def __init__(self, sources: Sequence[Source | None], band: Band, shape: tuple[int, int]) -> None:
        self.sources = [source and (source[0].variable, source[1], _recode(source[0], band)) for source in sources]
        self.shape, self.dtype = (len(sources), *shape), np.dtype(band.dtype)
        self.fill = NO_VALUE if band.kind == "categorical" else np.nan

    def _read(self, key: tuple[Any, ...]) -> NDArray[Any]:
        when, window = key[0], key[1:]
        frames = range(len(self.sources))[when]
        sides = [len(range(n)[k]) for n, k in zip(self.shape[1:], window, strict=True) if isinstance(k, slice)]
        out = np.empty((len(frames) if isinstance(frames, range) else 1, *sides), self.dtype)
        for i, frame in enumerate(frames if isinstance(frames, range) else [frames]):
            out[i] = self._frame(frame, window)
        return out if isinstance(frames, range) else out[0]

    def _frame(self, frame: int, window: tuple[Any, ...]) -> Any:
        source = self.sources[frame]
        if source is None:
            return self.fill
        pixels, at, table = source
        found = pixels[(at, *window)].values
        return found if table is None else table[found]


class _Plane(_Lazy):
    def __init__(self, pixels: xr.Variable, dtype: str) -> None:
        self.pixels, self.shape, self.dtype = pixels, pixels.shape, np.dtype(dtype)

    def _read(self, key: tuple[Any, ...]) -> NDArray[Any]:
        return np.asarray(self.pixels[key].values, self.dtype)


class _Slope(_Lazy):
    def __init__(self, elevation: xr.Variable, cell_m: tuple[float, float]) -> None:
        self.elevation, self.cell_m = elevation, cell_m
        self.shape, self.dtype = elevation.shape, np.dtype(np.float32)

    def _read(self, key: tuple[Any, ...]) -> NDArray[Any]:
        spans, rest = zip(*(_span(k, n) for k, n in zip(key, self.shape, strict=True)), strict=True)
        wider = [slice(max(0, span.start - 1), span.stop + 1) for span in spans]
        held = np.asarray(self.elevation[tuple(wider)].values, np.float32)
        edges = [(span.start == 0, span.stop >= n) for span, n in zip(spans, self.shape, strict=True)]
        heights = np.pad(held, [(int(before), int(behind)) for before, behind in edges], constant_values=np.nan)
        steep = slope(heights, self.cell_m)[1:-1, 1:-1]
        return np.asarray(steep[rest], np.float32)


def _span(key: Any, size: int) -> tuple[slice, Any]:
    """The span of places that a whole number or a rising slice takes, and what it takes of that span."""
    if not isinstance(key, slice):
        place = range(size)[key]
        return slice(place, place + 1), 0
    taken = range(size)[key]
    if not taken:
        return slice(0, min(1, size)), slice(0, 0)
    return slice(taken[0], taken[-1] + 1), slice(None, None, taken.step)


def _recode(array: xr.DataArray, band: Band) -> NDArray[np.uint8] | None:
    """(256,) from the codes of a stack to those of the band."""
    if band.kind != "categorical":
        return None
    table = np.full(256, NO_VALUE, np.uint8)
    for code, label in enumerate(array.attrs.get("classes", ()), start=1):
        table[code] = band.classes.index(label) + 1 if label in band.classes else NO_VALUE
    return table
