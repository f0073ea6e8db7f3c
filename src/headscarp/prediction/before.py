"""What a place looked like before a task, as the nets read it that draw its futures: one clear picture, or a series.

A series are the frames up to a date without what clouds hide; pixels stay lazy. Refuses places that no frame shows, and
dates before the first frame.
"""

import functools
import operator
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from headscarp.core.band import Band
from headscarp.core.dates import day_of, day_of_year
from headscarp.core.errors import HeadscarpWarning, StackError
from headscarp.core.stack import VALID, band_attrs, fingerprint, stack_bands
from headscarp.imagery.clouds import clear_looks
from headscarp.imagery.composites import latest
from headscarp.prediction.frames import MOST_FRAMES, frames_before
from headscarp.tiles.dataset import as_stack
from headscarp.tiles.fits import check_one_place
from headscarp.tiles.scenes import quality_band
from headscarp.tiles.series import with_delay

_CHUNK = 512


def one_frame(stack: xr.Dataset, date: str | None) -> tuple[xr.Dataset, float | None]:
    """One picture of the place, and the day of the year that it is of, where that is known."""
    cut = None if date is None else day_of(date)
    if "time" not in stack.dims:
        return stack, None if cut is None else float(day_of_year(cut))
    times = stack["time"].to_numpy().astype("datetime64[D]")
    there = np.flatnonzero(times <= cut) if cut is not None else np.arange(len(times))
    if not len(there):
        raise StackError(f"there is no frame up to {date}; the first is of {times.min()}: give a later date")
    chosen = int(there[-1])
    return stack.isel(time=chosen).drop_vars("fingerprint", errors="ignore"), float(day_of_year(times[chosen]))


def without_clouds(stack: xr.Dataset) -> xr.Dataset:
    """The stack, not valid where a band `quality` or `cloud` says that the ground is not seen; pixels stay lazy.

    Warns of how much that is. A stack without such a band is taken to be clear. Raises StackError where nothing is
    seen.
    """
    seen = _seen(stack)
    if seen is None:
        return stack
    _tell_clouds(seen, "picture")
    made = seen & (_chunked(stack[VALID]) == 1) if VALID in stack else seen
    valid = made.astype(np.uint8)
    valid.attrs = band_attrs(Band(VALID, "mask", "1", "where the ground is seen"))
    view = stack.drop_vars(VALID, errors="ignore").assign({VALID: valid})
    if "bands" in view.attrs:
        view.attrs["bands"] = [band.name for band in stack_bands(view)]
    return view.assign_attrs(fingerprint=f"{fingerprint(stack)} clear")


def past_of_place(
    stacks: Sequence[xr.Dataset | str | Path],
    date: str | None,
    *,
    bands: Sequence[Band],
    frames: int = MOST_FRAMES,
) -> tuple[xr.Dataset, float]:
    """The newest frames up to a date, missing where the ground is not seen, as one stack; and that day of the year.

    stacks: as for `frames_before`. date: None: that of the newest frame. bands: of the bundle; each that stands in
    frames has to be there. Bands of the ground that stand in frames are those of the newest one. Raises StackError,
    RecipeError.
    """
    opened = [as_stack(stack) for stack in stacks]
    for stack in opened:
        check_one_place(stack)
    series = [stack for stack in opened if "time" in stack.dims]
    if not series:
        raise StackError(
            "the bundle reads a series of frames, and the stack has one picture; give a stack with frames in time, or "
            "train on scenarios without frames"
        )
    held = {band.name for stack in series for band in stack_bands(stack)}
    missing = [band.name for band in bands if band.optional and band.name not in held]
    if missing:
        raise StackError(
            f"no frame has the band {', '.join(missing)}, which the bundle reads; give frames that have it"
        )
    day = (
        max(stack["time"].to_numpy().max() for stack in series).astype("datetime64[D]")
        if date is None
        else day_of(date)
    )
    ground = [band.name for band in bands if not band.optional]
    shown = [_shown(_with_ground(stack, ground, day)) for stack in opened]
    made = frames_before(shown, str(day), bands=bands, frames=frames)
    seen = [_seen_once(stack, day, frames) for stack in series]
    if all(mask is not None for mask in seen):
        _tell_clouds(functools.reduce(operator.or_, seen), "place, in all frames,")
    return with_delay(made, 0.0), float(day_of_year(day))


def newest_picture(series: xr.Dataset, names: Sequence[str], *, step: int = 1) -> dict[str, np.ndarray]:
    """(y, x) by band the newest clear value of a series from `past_of_place`, of every step-th row and column."""
    planes = {name: series[name][..., ::step, ::step].to_numpy() for name in names if name in series}
    return {name: latest(plane) if plane.ndim == 3 else plane for name, plane in planes.items()}


def _with_ground(stack: xr.Dataset, names: Sequence[str], day: np.datetime64) -> xr.Dataset:
    """The stack with the bands of the ground that stand in frames taken from the newest frame up to the day."""
    framed = [name for name in names if name in stack and "time" in stack[name].dims]
    if not framed:
        return stack
    there = np.flatnonzero(stack["time"].to_numpy().astype("datetime64[D]") <= day)
    newest = {name: stack[name].isel(time=int(there[-1]) if len(there) else 0, drop=True) for name in framed}
    return stack.assign(newest)


def _shown(stack: xr.Dataset) -> xr.Dataset:
    """The stack with frames missing where the ground is not seen."""
    if "time" not in stack.dims:
        return stack
    seen = _seen(stack)
    if VALID in stack:
        valid = _chunked(stack[VALID]) == 1
        seen = valid if seen is None else seen & valid
    if seen is None:
        return stack
    framed = [b for b in stack_bands(stack) if b.kind == "continuous" and "time" in stack[b.name].dims]
    hidden = {}
    for band in framed:
        array = _chunked(stack[band.name])
        hidden[band.name] = array.where(seen.transpose(*[d for d in array.dims if d in seen.dims])).astype(np.float32)
        hidden[band.name].attrs = stack[band.name].attrs
    return stack.assign(hidden).assign_attrs(fingerprint=f"{fingerprint(stack)} clear")


def _seen(stack: xr.Dataset) -> xr.DataArray | None:
    """Where the ground is seen, lazily; None of a stack without a band that says so."""
    quality = quality_band(stack)
    if quality is None:
        return None
    codes = _chunked(stack[quality.name])
    seen: xr.DataArray = xr.apply_ufunc(
        clear_looks, codes, kwargs={"quality": quality}, dask="parallelized", output_dtypes=[np.bool_]
    )
    return seen


def _seen_once(stack: xr.Dataset, day: np.datetime64, frames: int) -> Any:
    """(y, x) where one of the newest frames up to the day shows the ground; None where nothing says so."""
    seen = _seen(stack)
    if seen is None or "time" not in seen.dims:
        return seen
    there = np.flatnonzero(stack["time"].to_numpy().astype("datetime64[D]") <= day)[-frames:]
    return seen.isel(time=there).any("time")


def _tell_clouds(seen: Any, what: str) -> None:
    share = float(seen.mean().compute())
    if share == 0:
        raise StackError(
            f"the {what.split(',')[0]} shows the ground nowhere: it is all clouds; give another --date or a composite"
        )
    if share < 1:
        text = (
            f"{1 - share:.0%} of the {what} are clouds, shadows or snow and are left out; take a composite for it all"
        )
        warnings.warn(text, HeadscarpWarning, stacklevel=4)


def _chunked(array: xr.DataArray) -> xr.DataArray:
    """The array in pieces that are read one by one."""
    return array.chunk({dim: 1 if dim == "time" else _CHUNK for dim in array.dims})
