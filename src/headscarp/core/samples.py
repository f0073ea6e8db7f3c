"""Stacks of samples on disk, and what they have in place of a grid: names, parts, the side of a pixel.

Chips share no ground, so a sample is a chunk of its own and nothing may be read across two of them. Refuses to say how
large a pixel is where nobody has told.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray

from headscarp.core.artefact import clear_os_errors
from headscarp.core.band import NO_VALUE, UNLABELLED, Band
from headscarp.core.errors import StackError
from headscarp.core.grid import Grid, ground_resolution_m
from headscarp.core.stack import CHUNK, FORMAT, band_attrs, stack_arrays, stack_grid

SAMPLE = "sample"
SAMPLE_ID = "sample_id"
"""Coordinate along `sample`: the name of each."""
PART = "part"
"""Coordinate along `sample`: the part of a given split that each is in, "" for none."""
GROUP = "group"
"""Coordinate along `sample`: the neighbourhood that each lies in."""
CLASS = "class"
"""Coordinate along `sample`: what kind of place each is, or what befell it; "" where that is not known."""
PIXEL_M = "pixel_m"
"""Attribute: side of a pixel on the ground, in metres."""

_FILL = {
    "continuous": np.nan,
    "direction": np.nan,
    "categorical": NO_VALUE,
    "label": UNLABELLED,
    "mask": 0,
    "target": np.nan,
}


def has_samples(stack: xr.Dataset) -> bool:
    """Whether a stack holds samples that share no grid."""
    return SAMPLE in stack.dims


def stack_resolution_m(stack: xr.Dataset) -> float:
    """The mean side of a pixel on the ground, in metres: of the grid, or as told for samples. Raises StackError."""
    if not has_samples(stack):
        return ground_resolution_m(stack_grid(stack))
    if PIXEL_M not in stack.attrs:
        raise StackError(
            f"the stack has samples but no attribute {PIXEL_M!r}; say how many metres a pixel is, in [chips] pixel_m"
        )
    return float(stack.attrs[PIXEL_M])


def grid_or_none(stack: xr.Dataset) -> Grid | None:
    """The grid of a stack of one place; None for samples, which share none."""
    return None if has_samples(stack) else stack_grid(stack)


def sample_ids(stack: xr.Dataset) -> list[str]:
    """The name of each sample, by its index where it has none; [""] for a stack of one place."""
    if not has_samples(stack):
        return [""]
    for name in (SAMPLE_ID, SAMPLE):
        if name in stack.coords:
            return [str(value) for value in stack[name].to_numpy()]
    return [str(i) for i in range(stack.sizes[SAMPLE])]


def class_names(stack: xr.Dataset) -> tuple[str, ...]:
    """The classes of the samples in the order of their names; none where the stack tells none."""
    return tuple(sorted(set(_classes(stack)) - {""}))


def class_codes(stack: xr.Dataset) -> NDArray[np.int64]:
    """The class of each sample as its place in `class_names`, -1 where it is not known: (S,)."""
    names = class_names(stack)
    return np.array([names.index(name) if name else -1 for name in _classes(stack)], np.int64)


def _classes(stack: xr.Dataset) -> list[str]:
    if CLASS not in stack.coords:
        return [""] * stack.sizes.get(SAMPLE, 1)
    return [str(name) for name in np.ravel(stack[CLASS].to_numpy())]


def create_samples(
    path: str | Path,
    shape: tuple[int, int],
    bands: Sequence[Band],
    *,
    names: Sequence[str],
    coords: Mapping[str, Sequence[str]] | None = None,
    attrs: Mapping[str, Any] | None = None,
    frames: Mapping[str, int] | None = None,
    beside: xr.Dataset | None = None,
) -> dict[str, zarr.Array]:
    """An empty stack of samples on disk, marked incomplete, and its arrays; see `core.stack.complete_stack`.

    shape: rows and columns of each sample. names: of the samples. coords: more texts of each, such as its part. frames:
    how many slots of `time` a band has, for those that have any. beside: variables and coordinates that are no bands,
    as they stand before the samples are written. Samples may be written from several threads or processes at once.
    Bands start as missing.
    """
    along, frames = {SAMPLE_ID: names, **(coords or {})}, frames or {}
    with clear_os_errors(path):
        whole = {"headscarp_stack": FORMAT, "Conventions": "CF-1.11", **(attrs or {})}
        empty = xr.Dataset(
            coords={name: (SAMPLE, np.array(list(values), object)) for name, values in along.items()},
            attrs={**whole, "bands": [band.name for band in bands], "complete": False},
        )
        if beside is not None:
            empty = empty.merge(beside)
        empty.to_zarr(path, mode="w", consolidated=False, zarr_format=3)
        group = zarr.open_group(path, mode="r+")
        for band in bands:
            slots = [frames[band.name]] if band.name in frames else []
            array = group.create_array(
                band.name,
                shape=(len(names), *slots, *shape),
                chunks=(1, *slots, *(min(CHUNK, side) for side in shape)),
                dtype=band.dtype,
                fill_value=_FILL[band.kind],
                dimension_names=(SAMPLE, *(["time"] if slots else []), "y", "x"),
            )
            array.attrs.update(band_attrs(band))
    return stack_arrays(path)
