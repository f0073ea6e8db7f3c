"""Bands of a stack on disk as a source of another stack: windows of one of its frames, on the cells of a grid.

What fetch has brought onto one grid is read back here. Refuses a stack whose cells do not coincide with the grid's:
nothing is interpolated a second time.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from headscarp.core.band import NO_VALUE, Band
from headscarp.core.errors import SourceError
from headscarp.core.grid import Grid, cell_corner
from headscarp.core.stack import open_stack, stack_bands, stack_grid
from headscarp.core.tile import Window
from headscarp.sources.rasters import Raster, read_window
from headscarp.sources.vectors import file_stamp

_ALIGNED = 1e-3


@dataclass(frozen=True)
class StackBand:
    """A band of a stack on disk and how it is read. frame: which of its frames; None where it has none."""

    path: str
    band: str
    frame: int | None = None


def prepare_band(path: str | Path, name: str, grid: Grid) -> tuple[StackBand, Band]:
    """How a band without frames (or with a single one) is read onto a grid, checked before any pixel is.

    Raises SourceError for a band that is not there or has many frames, and for cells that do not coincide.
    """
    stack = open_stack(path)
    band = known_band(stack, name, path)
    _offset(stack_grid(stack), grid, path)
    frames = stack.sizes["time"] if "time" in stack[name].dims else None
    if frames is not None and frames > 1:
        raise SourceError(
            f"band {name!r} of {path} has {frames} frames, but one is needed; make one of them with "
            f'composite = "..." and of = "{name}" in the recipe'
        )
    return StackBand(str(path), name, None if frames is None else 0), band


def known_band(stack: xr.Dataset, name: str, path: str | Path) -> Band:
    """The band of a stack by its name. Raises SourceError that lists what there is."""
    bands = {band.name: band for band in stack_bands(stack)}
    if name not in bands:
        raise SourceError(f"{path} has no band {name!r}; it has: {', '.join(bands)}")
    return bands[name]


def read_pixels(source: Raster | StackBand, grid: Grid, window: Window, *, pad_px: int = 0) -> NDArray[np.float64]:
    """The pixels of a raster file or of a band on disk, whichever it is: see `read_window` and `read_stack_window`."""
    if isinstance(source, StackBand):
        return read_stack_window(source, grid, window)
    return read_window(source, grid, window, pad_px=pad_px)


def read_stack_window(source: StackBand, grid: Grid, window: Window) -> NDArray[np.float64]:
    """The pixels of a band in a window of the grid, which may hang over it: (height, width), NaN where missing.

    Categories come as their codes, with NaN for "no value"; off the stack all is missing.
    """
    stack = _opened(source.path)
    array = stack[source.band].variable
    front = () if source.frame is None else (source.frame,)
    values = _cut_out(array, front, _offset(stack_grid(stack), grid, source.path), window)
    return np.where(values == NO_VALUE, np.nan, values) if array.attrs["kind"] == "categorical" else values


def read_frames(path: str, name: str, frames: slice, grid: Grid, window: Window) -> NDArray[np.float32]:
    """Several frames of a band in a window inside the grid: (frames, height, width) float32; categories as codes."""
    stack = _opened(path)
    array = stack[name].variable
    missing = float(NO_VALUE) if array.attrs["kind"] == "categorical" else np.nan
    offset = _offset(stack_grid(stack), grid, path)
    return np.asarray(_cut_out(array, (frames,), offset, window, missing=missing, dtype="float32"))


def _cut_out(
    array: xr.Variable,
    front: tuple[int | slice, ...],
    offset: tuple[int, int],
    window: Window,
    *,
    missing: float = np.nan,
    dtype: str = "float64",
) -> NDArray[np.float64]:
    shape = (array.shape[-2], array.shape[-1])
    wanted = Window(window.row + offset[0], window.col + offset[1], window.height, window.width)
    inside = wanted.clip(shape)
    row, col = inside.row - wanted.row, inside.col - wanted.col
    pixels = np.asarray(array[(*front, *inside.slices)].values)
    out = np.full((*pixels.shape[:-2], window.height, window.width), missing, dtype)
    out[..., row : row + inside.height, col : col + inside.width] = pixels
    return out


def _offset(source: Grid, grid: Grid, path: str | Path) -> tuple[int, int]:
    """(row, column) of the grid's first cell in the stack. Raises SourceError where cells do not coincide."""
    a, b, (x, y) = source.affine, grid.affine, cell_corner(grid, 0, 0)
    col, row = (x - a.c) / a.a, (y - a.f) / a.e
    far = max(grid.shape)
    same = abs(a.a - b.a) * far < _ALIGNED * a.a and abs(a.e - b.e) * far < _ALIGNED * abs(a.e)
    if source.crs != grid.crs or not same or max(abs(col - round(col)), abs(row - round(row))) > _ALIGNED:
        raise SourceError(
            f"the cells of {path} do not coincide with those of the grid; fetch it again onto this grid (another "
            "resolution, CRS or place was asked for then)"
        )
    return round(row), round(col)


def _opened(path: str) -> xr.Dataset:
    """The stack, opened once for as long as it stays as it is."""
    return _open(path, file_stamp(Path(path) / "zarr.json"))


@lru_cache(maxsize=16)
def _open(path: str, stamp: tuple[int, int]) -> xr.Dataset:
    return open_stack(path)
