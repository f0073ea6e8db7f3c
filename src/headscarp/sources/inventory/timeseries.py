"""Time series patches in NetCDF as a stack of samples: each file a patch, each band read from it when it is asked for.

Patches have frames on days of their own, so `time` counts frames and `date` (sample, time) says when each was; shorter
series are filled with missing frames, which `present` tells. Refuses patches of different sizes, and variables that a
layout does not know.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from headscarp.core.band import NO_VALUE, UNLABELLED, Band
from headscarp.core.errors import SourceError
from headscarp.sources.inventory.samples import lazy_samples, samples_stack

_FILLS = {"label": UNLABELLED, "categorical": NO_VALUE}


@dataclass(frozen=True)
class Layout:
    """What the variables of a set of patches are.

    bands: variable -> band; a variable without one is ignored when it stands in `others`, else refused. missing:
    variable -> the value that means missing, beside a _FillValue. static: variables that are the same in every frame
    though they are stored for each; time: the name of their dimension of frames.
    """

    bands: Mapping[str, Band]
    missing: Mapping[str, float] = field(default_factory=dict)
    static: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    time: str = "time"


@dataclass(frozen=True, eq=False)
class Patch:
    """What is known of a file without its pixels. dates: (frames,) in the order of the file. x, y: of the cell centres.
    variables: name -> its dimensions. attrs: of the file."""

    path: Path
    dates: NDArray[np.datetime64]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    variables: Mapping[str, tuple[str, ...]]
    attrs: Mapping[str, Any]


def read_patch(path: Path, time: str = "time") -> Patch:
    """What a file holds, without its pixels. Raises SourceError."""
    import h5netcdf

    try:
        with h5netcdf.File(path, "r") as file:
            missing = [name for name in (time, "x", "y") if name not in file.variables]
            if missing:
                raise SourceError(f"{path} has no {', '.join(missing)}; it has: {', '.join(file.variables)}")
            stamps = file.variables[time]
            raw = xr.Dataset({"t": ("t", stamps[...], {k: stamps.attrs[k] for k in stamps.attrs})})
            dates = xr.decode_cf(raw, mask_and_scale=False)["t"].to_numpy().astype("datetime64[ns]")
            x, y = (np.asarray(file.variables[name][...], np.float64) for name in ("x", "y"))
            shapes = {n: v.dimensions for n, v in file.variables.items() if {"x", "y"} <= set(v.dimensions)}
            return Patch(path, dates, x, y, shapes, {k: file.attrs[k] for k in file.attrs})
    except (OSError, ValueError, KeyError) as error:
        raise SourceError(f"{path} cannot be read as NetCDF ({error}); download it again") from error


def patches_stack(
    patches: Sequence[Patch],
    layout: Layout,
    names: Sequence[str],
    *,
    variables: Mapping[str, tuple[tuple[str, ...], Any]] | None = None,
) -> xr.Dataset:
    """The stack of some patches: bands (sample, time, y, x), static ones (sample, y, x), frames in order of time.

    Beside the bands: date (sample, time), NaT and present = False where a series has no more frames. Raises
    SourceError.
    """
    bands = _bands_of(patches, layout)
    sizes = {(len(patch.y), len(patch.x)) for patch in patches}
    if len(sizes) > 1:
        raise SourceError(f"the patches have different sizes: {sorted(sizes)}; read them as several stacks")
    (size,) = sizes
    frames = max(len(patch.dates) for patch in patches)
    dates = np.full((len(patches), frames), np.datetime64("NaT", "ns"))
    for i, patch in enumerate(patches):
        dates[i, : len(patch.dates)] = np.sort(patch.dates)
    arrays: dict[Band, da.Array] = {}
    for variable, band in bands.items():
        flat = variable in layout.static or all(layout.time not in patch.variables[variable] for patch in patches)
        shape = size if flat else (frames, *size)

        def read(i: int, variable: str = variable, shape: tuple[int, ...] = shape) -> NDArray[Any]:
            return _pixels(patches[i], variable, layout, shape)

        arrays[band] = lazy_samples(read, len(patches), shape, band.dtype)
    known = {"date": (("sample", "time"), dates), "present": (("sample", "time"), ~np.isnat(dates))}
    return samples_stack(arrays, names, variables={**known, **(variables or {})})


def _bands_of(patches: Sequence[Patch], layout: Layout) -> dict[str, Band]:
    """The bands that all patches have, in the layout's order. Raises SourceError where they differ."""
    first = set(patches[0].variables)
    for patch in patches:
        here = set(patch.variables)
        unknown = sorted(here - set(layout.bands) - set(layout.others))
        if unknown:
            raise SourceError(f"{patch.path} has {', '.join(unknown)}; known are: {', '.join(layout.bands)}")
        if here != first:
            raise SourceError(
                f"{patch.path} has other bands than {patches[0].path} ({', '.join(sorted(here ^ first))}); read the "
                "sensors as several stacks"
            )
    found = {name: band for name, band in layout.bands.items() if name in first}
    if not found:
        raise SourceError(f"{patches[0].path} has none of the bands {', '.join(layout.bands)}")
    return found


def _pixels(patch: Patch, variable: str, layout: Layout, shape: tuple[int, ...]) -> NDArray[Any]:
    """One band of one patch, ([time], y, x), frames in order of time, with what is missing as the band has it."""
    import h5netcdf

    band = layout.bands[variable]
    try:
        with h5netcdf.File(patch.path, "r") as file:
            source = file.variables[variable]
            values = np.asarray(source[...])
            attrs = {name: np.ravel(source.attrs[name])[0] for name in source.attrs if np.size(source.attrs[name]) == 1}
    except (OSError, ValueError, KeyError) as error:
        raise SourceError(f"{patch.path} cannot be read as NetCDF ({error}); download it again") from error
    if str(attrs.get("_Unsigned", "")).casefold() == "true":
        # NetCDF's way to keep unsigned numbers in a format that has none.
        values = values.view(values.dtype.str.replace("i", "u"))
    dims = patch.variables[variable]
    order = [name for name in (layout.time, "y", "x") if name in dims]
    values = values.transpose([dims.index(name) for name in order])
    if layout.time in dims:
        values = values[np.argsort(patch.dates, kind="stable")]
    lost = _lost(values, [attrs.get("_FillValue"), attrs.get("missing_value"), layout.missing.get(variable)])
    if band.dtype == "float32":
        scaled = values * float(attrs.get("scale_factor", 1.0)) + float(attrs.get("add_offset", 0.0))
        values = np.where(lost, np.nan, scaled).astype(np.float32)
    else:
        if band.kind == "categorical":
            lost |= (values < 0) | (values > len(band.classes))
        values = np.where(lost, _FILLS[band.kind], values).astype(np.uint8)
    if len(shape) == 2:
        # Stored for every frame, but the same in all: what any of them says.
        return values if values.ndim == 2 else _same_in_all(values, band)
    if values.ndim == 2:
        values = np.broadcast_to(values, (len(patch.dates), *values.shape))
    out = np.full((shape[0], *values.shape[1:]), np.nan if band.dtype == "float32" else _FILLS[band.kind], values.dtype)
    out[: len(values)] = values
    return out


def _same_in_all(values: NDArray[Any], band: Band) -> NDArray[Any]:
    """(y, x) of (time, y, x): for labels 1 where any frame says so, else the first frame that says something."""
    if band.kind == "label":
        return np.where(values == UNLABELLED, 0, values).max(axis=0).astype(np.uint8)
    if band.dtype != "float32":
        return values[0]
    first = values[0].copy()
    for later in values[1:]:
        hole = np.isnan(first)
        if not hole.any():
            break
        first[hole] = later[hole]
    return first


def _lost(values: NDArray[Any], marks: Sequence[Any]) -> NDArray[np.bool_]:
    lost = np.isnan(values) if values.dtype.kind == "f" else np.zeros(values.shape, bool)
    for mark in marks:
        if mark is not None and not (isinstance(mark, float | np.floating) and math.isnan(mark)):
            lost |= values == mark
    return lost
