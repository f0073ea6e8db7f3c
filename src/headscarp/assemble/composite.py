"""Bands made of the frames of a fetched series: composites of clear looks, indices, radar change.

Works on strips of a window, so that memory grows with the number of frames but not with the size of a block. Where no
look is left a cell is missing; how many looks there were is a band of its own ("valid_share").
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from headscarp.assemble.layers import Context, Facts
from headscarp.core.band import Band
from headscarp.core.errors import RecipeError, SourceError
from headscarp.core.grid import Grid
from headscarp.core.stack import open_stack, stack_bands
from headscarp.core.tile import Window
from headscarp.imagery.clouds import clear_looks, hide
from headscarp.imagery.composites import COMPOSITES, valid_share
from headscarp.imagery.indices import INDICES, index
from headscarp.imagery.sar import FILTERS, halo_px, log_ratio, to_db, to_power
from headscarp.sources.stacks import known_band, read_frames

QUALITY = "quality"
METHODS = (*COMPOSITES, "valid_share", "log_ratio")

_STRIP = 256


@dataclass(frozen=True)
class Looks:
    """Which looks count and what is done to them before they are put together.

    dates: first and last day, both included. orbit: "ascending" or "descending". clear: names of the classes of the
    band "quality" that count as clear; None takes the usual ones. grow_px: cells around clouds that do not count.
    speckle: a name of FILTERS, for backscatter in dB; window_px: of that filter.
    """

    dates: tuple[date, date] | None = None
    orbit: str | None = None
    clear: tuple[str, ...] | None = None
    grow_px: int = 0
    speckle: str | None = None
    window_px: int = 7


@dataclass(frozen=True)
class CompositeLayer:
    """A band from the frames of a series on disk. frames: their places; before: those of the reference period."""

    band: Band
    path: str
    of: str
    method: str
    frames: tuple[int, ...]
    looks: Looks
    before: tuple[int, ...] = ()
    quality: Band | None = None
    options: dict[str, Any] = field(default_factory=dict)

    def read(self, context: Context) -> tuple[NDArray[Any], Facts]:
        window = context.window
        out = np.empty((window.height, window.width), np.float32)
        for start in range(0, window.height, _STRIP):
            rows = min(_STRIP, window.height - start)
            out[start : start + rows] = self._strip(
                context.grid, Window(window.row + start, window.col, rows, window.width)
            )
        return out, {"missing": int(np.isnan(out).sum())}

    def _strip(self, grid: Grid, window: Window) -> NDArray[np.float32]:
        if self.method == "log_ratio":
            return log_ratio(self._seen(grid, window, self.before), self._seen(grid, window, self.frames))
        seen = self._seen(grid, window, self.frames)
        if self.method == "valid_share":
            return valid_share(seen, threads=1)
        return COMPOSITES[self.method](seen, threads=1, **self.options)

    def _seen(self, grid: Grid, window: Window, frames: tuple[int, ...]) -> NDArray[np.float32]:
        """(T, rows, columns) of what is asked for, NaN where the look is not clear."""
        halo = max(self.looks.grow_px, halo_px(self.looks.window_px) if self.looks.speckle else 0)
        outer = window.grow(halo)
        names = INDICES[self.of].bands if self.of in INDICES else (self.of,)
        planes = {name: self._frames(name, grid, outer, frames) for name in names}
        values = index(self.of, planes) if self.of in INDICES else planes[self.of]
        if self.looks.speckle:
            values = to_db(FILTERS[self.looks.speckle](to_power(values), window_px=self.looks.window_px, threads=1))
        if self.quality is not None:
            codes = self._frames(QUALITY, grid, outer, frames).astype(np.uint8)
            values = hide(values, clear_looks(codes, self.quality, clear=self.looks.clear, grow_px=self.looks.grow_px))
        inside = slice(halo, -halo or None)
        return np.ascontiguousarray(values[:, inside, inside])

    def _frames(self, name: str, grid: Grid, window: Window, frames: tuple[int, ...]) -> NDArray[np.float32]:
        read: Callable[[int], NDArray[np.float32]] = lambda i: read_frames(  # noqa: E731
            self.path, name, slice(i, i + 1), grid, window
        )
        return np.concatenate([read(i) for i in frames])


def composite_layer(
    name: str,
    path: str,
    of: str,
    method: str,
    looks: Looks,
    *,
    reference: tuple[date, date] | None = None,
    options: dict[str, Any] | None = None,
) -> CompositeLayer:
    """The layer of a composite, checked before any pixel is read.

    path: a stack with frames. of: a band of it, or an index of INDICES. method: a name of METHODS; "log_ratio" compares
    the looks with those of `reference`. Raises SourceError where no frame is in the period, RecipeError for what the
    series does not have.
    """
    series = open_stack(path)
    wanted = INDICES[of].bands if of in INDICES else (of,)
    bands = [known_band(series, one, path) for one in wanted]
    if "time" not in series.dims or any("time" not in series[one].dims for one in wanted):
        raise RecipeError(f"[[band]] {name!r}: {of} of {path} has no frames; name it with raster instead of composite")
    if looks.speckle and bands[0].units != "dB":
        raise RecipeError(f"[[band]] {name!r}: speckle is of backscatter in dB; {of} is in {bands[0].units!r}")
    if (method == "log_ratio") != (reference is not None):
        raise RecipeError(
            f"[[band]] {name!r}: method log_ratio needs reference, the period before, and no other method takes it"
        )
    quality = next((band for band in stack_bands(series) if band.name == QUALITY), None)
    units = {"valid_share": "1", "log_ratio": "dB"}.get(method, "1" if of in INDICES else bands[0].units)
    made = Band(
        name,
        "continuous",
        units,
        f"{method} of {of}, {series.attrs.get('made', {}).get('settings', {}).get('source', path)}",
    )
    return CompositeLayer(
        made,
        str(path),
        of,
        method,
        _frames_in(series, looks, looks.dates, path),
        looks,
        _frames_in(series, looks, reference, path) if reference else (),
        quality,
        dict(options or {}),
    )


def _frames_in(series: xr.Dataset, looks: Looks, dates: tuple[date, date] | None, path: str) -> tuple[int, ...]:
    """The places of the frames in a period, of one orbit where one is named. Raises SourceError where there is none."""
    days = series["time"].to_numpy().astype("datetime64[D]")
    keep = np.ones(len(days), bool)
    if dates is not None:
        keep = (days >= np.datetime64(dates[0])) & (days <= np.datetime64(dates[1]))
    if looks.orbit is not None:
        if "orbit" not in series.coords:
            raise RecipeError(f"{path} has no orbits; leave orbit out")
        keep &= np.array([str(orbit) == looks.orbit for orbit in series["orbit"].to_numpy()])
    if not keep.any():
        asked = f"{dates[0]} to {dates[1]}" if dates else "all dates"
        raise SourceError(
            f"{path} has no frame for {asked}{f' on the {looks.orbit} orbit' if looks.orbit else ''}; it has "
            f"{len(days)} frames from {days.min()} to {days.max()}"
        )
    return tuple(int(i) for i in np.flatnonzero(keep))
