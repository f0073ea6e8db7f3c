"""The stack: an xarray Dataset under a contract, and how it stands on disk.

A stack has bands over (y, x), with `sample` (places or chips that share no grid) and `time` (frames) in front where
there are any. Every band's attributes hold kind, units, source and, for categories, classes. On disk it is Zarr with
chunks of 256. Refuses anything else: `check_stack` says what is wrong. One-hot planes are never stored.
"""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr

from headscarp.core.artefact import clear_os_errors
from headscarp.core.band import MAX_CLASSES, UNLABELLED, Band
from headscarp.core.chunks import ChunkedZarr, compressor_for
from headscarp.core.errors import StackError
from headscarp.core.grid import Grid, check_grid, grid_from_json, grid_to_json
from headscarp.core.tile import Window, windows

CHUNK = 256
LABEL = "landslide"
VALID = "valid"
FORMAT = 1

_DIMENSIONS = ("sample", "time", "y", "x")
_FILL = {"continuous": np.nan, "direction": np.nan, "categorical": 0, "label": UNLABELLED, "mask": 0, "target": np.nan}


def open_stack(path: str | Path) -> xr.Dataset:
    """A stack from disk, checked, read lazily: pixels come when they are indexed.

    Raises StackError when the folder is not a stack, is corrupt, or breaks the contract.
    """
    path = Path(path)
    if not path.exists():
        raise StackError(f"there is no stack at {path}; make one with: headscarp build RECIPE.toml --out {path}")
    try:
        stack = xr.open_dataset(path, engine=ChunkedZarr, chunks=None, consolidated=False, mask_and_scale=False)
    except Exception as error:
        raise StackError(f"{path} cannot be read as a stack ({error}); build it again") from error
    if "headscarp_stack" not in stack.attrs:
        raise StackError(f"{path} is a Zarr folder but not a Headscarp stack; make one with: headscarp build")
    if stack.attrs["headscarp_stack"] > FORMAT:
        raise StackError(f"{path} was written by a newer Headscarp; update this one")
    if not stack.attrs.get("complete", True):
        raise StackError(f"{path} is not finished; run the same headscarp build with --resume")
    names = stack.attrs.get("bands", list(stack.data_vars))
    missing = [name for name in names if name not in stack.data_vars]
    if missing:
        raise StackError(f"{path} has lost its bands {', '.join(missing)}; build it again")
    beside = [str(name) for name, array in stack.data_vars.items() if "kind" not in array.attrs]
    return check_stack(stack[list(dict.fromkeys([*names, *beside]))])


def check_stack(stack: xr.Dataset) -> xr.Dataset:
    """The same stack when it holds the contract. Raises StackError that names the band and what it should be."""
    bands = stack_bands(stack)
    if not any(band.is_feature for band in bands):
        raise StackError("the stack has no band that a net could read; add at least one continuous or categorical band")
    for band in bands:
        array = stack[band.name]
        if array.dims[-2:] != ("y", "x") or any(d not in _DIMENSIONS for d in array.dims):
            raise StackError(f"band {band.name!r} has dimensions {array.dims}; needed: ([sample], [time], y, x)")
        if str(array.dtype) != band.dtype:
            raise StackError(f"{band.kind} band {band.name!r} is {array.dtype}; needed: {band.dtype}")
    if "sample" not in stack.dims:
        check_grid(stack_grid(stack))
    return stack


def stack_bands(stack: xr.Dataset) -> tuple[Band, ...]:
    """All bands of a stack in order, labels and masks included. Raises StackError where attributes are missing."""
    bands = []
    for name, array in stack.data_vars.items():
        if "kind" not in array.attrs:
            if array.dims[-2:] == ("y", "x"):
                raise StackError(f"band {name!r} has no attribute 'kind'; set kind, units and source")
            continue
        bands.append(band_from_attrs(str(name), array.attrs))
    return tuple(bands)


def feature_bands(stack: xr.Dataset) -> tuple[Band, ...]:
    """The bands that a net may read, in order."""
    return tuple(band for band in stack_bands(stack) if band.is_feature)


def label_names(stack: xr.Dataset) -> tuple[str, ...]:
    """The names of the label bands, in order."""
    return tuple(band.name for band in stack_bands(stack) if band.kind == "label")


def with_label(stack: xr.Dataset, label: str | None = None) -> xr.Dataset:
    """The same stack with one of its label bands as "landslide", the others dropped; pixels stay lazy.

    label: name of the band; None: the only one. A stack without labels is returned as it is, and so is one whose label
    was chosen before, which its attribute `label` names. Another label gives another fingerprint. Raises StackError for
    an unknown name, and for None where there are several.
    """
    names = label_names(stack)
    if names in ((), (LABEL,)) and label in (None, stack.attrs.get("label")):
        return stack
    if label is None and len(names) > 1:
        raise StackError(
            f"the stack has {len(names)} labels: {', '.join(names)}; choose one, such as --label {names[0]}"
        )
    chosen = names[0] if label is None else label
    if chosen not in names:
        near = get_close_matches(chosen, names, n=1, cutoff=0.0)
        hint = f"the nearest is {near[0]!r}, of {', '.join(names)}" if near else "it has none; build it with [label]"
        raise StackError(f"the stack has no label {chosen!r}; {hint}")
    if names == (LABEL,):
        return stack
    view = stack.drop_vars([name for name in names if name != chosen]).rename({chosen: LABEL})
    view.attrs = {**stack.attrs, "label": chosen}
    if "bands" in stack.attrs:
        view.attrs["bands"] = [band.name for band in stack_bands(view)]
    if "fingerprint" in stack.attrs:
        both = json.dumps([stack.attrs["fingerprint"], chosen]).encode()
        view.attrs["fingerprint"] = hashlib.blake2b(both, digest_size=16).hexdigest()
    return view


def stack_grid(stack: xr.Dataset) -> Grid:
    """The grid of a stack of one place. Raises StackError when there is none."""
    if "grid" not in stack.attrs:
        raise StackError("the stack has no grid; its samples share none, or it was not made by headscarp build")
    return grid_from_json(json.loads(stack.attrs["grid"]))


def make_stack(
    grid: Grid,
    arrays: Mapping[Band, Any],
    *,
    time: np.ndarray | None = None,
    coords: Mapping[str, Any] | None = None,
    attrs: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """A stack from bands and their ([time], y, x) arrays, checked; dask arrays stay lazy.

    time: (frames,) datetime64, UTC, rising; needed where an array has three dimensions. coords: more coordinates, such
    as ("time", orbits). Raises StackError.
    """
    variables = {}
    for band, array in arrays.items():
        if array.shape[-2:] != tuple(grid.shape) or array.shape[:-2] not in ((), () if time is None else (len(time),)):
            raise StackError(
                f"band {band.name!r} has shape {array.shape}; the grid is {tuple(grid.shape)}"
                + ("" if time is None else f", with {len(time)} frames in front")
            )
        dims = ("time", "y", "x")[-array.ndim :]
        pixels = array if str(array.dtype) == band.dtype else array.astype(band.dtype)
        variables[band.name] = (dims, pixels, band_attrs(band))
    places = {**_coordinates(grid), **({} if time is None else {"time": _times(time)}), **(coords or {})}
    return check_stack(xr.Dataset(variables, coords=places, attrs={**_grid_attrs(grid), **(attrs or {})}))


def create_stack(
    path: str | Path,
    grid: Grid,
    bands: Sequence[Band],
    *,
    coords: Mapping[str, Any] | None = None,
    over_time: Collection[str] = (),
    attrs: Mapping[str, Any] | None = None,
) -> dict[str, zarr.Array]:
    """An empty stack on disk, marked incomplete, and its arrays to write windows into. See `complete_stack`.

    coords: coordinates beside y and x, `time` among them where bands have frames; over_time: the names of those bands.
    Bands start as missing: NaN, 0 = no value, 255 = unlabelled, 0 = not valid. Windows that keep to multiples of CHUNK
    may be written from several threads or processes at once, and so may frames.
    """
    coords = dict(coords or {})
    with clear_os_errors(path):
        coordinates = xr.Dataset(
            coords={**_coordinates(grid), **coords},
            attrs={**_grid_attrs(grid), **(attrs or {}), "bands": [b.name for b in bands], "complete": False},
        )
        coordinates.to_zarr(path, mode="w", consolidated=False, zarr_format=3)
        group = zarr.open_group(path, mode="r+")
        frames = coordinates.sizes.get("time", 0)
        for band in bands:
            front = ((frames,), (1,), ("time",)) if band.name in over_time else ((), (), ())
            array = group.create_array(
                band.name,
                shape=(*front[0], *grid.shape),
                chunks=(*front[1], CHUNK, CHUNK),
                dtype=band.dtype,
                compressors=compressor_for(band.dtype),
                fill_value=_FILL[band.kind],
                dimension_names=(*front[2], "y", "x"),
            )
            array.attrs.update({**band_attrs(band), "grid_mapping": "spatial_ref"})
    return stack_arrays(path)


def stack_arrays(path: str | Path) -> dict[str, zarr.Array]:
    """The writable arrays of a stack on disk, by band name."""
    group = zarr.open_group(path, mode="r+")
    return {name: array for name, array in group.arrays() if "kind" in array.attrs}


def complete_stack(path: str | Path, attrs: Mapping[str, Any]) -> xr.Dataset:
    """Marks a stack on disk as whole, adds attributes to it and returns it opened."""
    with clear_os_errors(path):
        group = zarr.open_group(path, mode="r+")
        group.attrs.update({**attrs, "complete": True})
    return open_stack(path)


def write_stack(stack: xr.Dataset, path: str | Path) -> xr.Dataset:
    """Writes a stack of one place to disk, window by window, and returns it opened from there."""
    extra = {k: v for k, v in stack.attrs.items() if k not in ("grid", "headscarp_stack", "bands", "complete")}
    arrays = create_stack(path, stack_grid(stack), stack_bands(stack), **frames_of(stack), attrs=extra)
    with clear_os_errors(path):
        for window in _chunks_of(stack):
            for name, array in arrays.items():
                for frame in np.ndindex(array.shape[:-2]):
                    array[(*frame, *window.slices)] = stack[name][(*frame, *window.slices)].to_numpy()
    return complete_stack(path, {"fingerprint": fingerprint(stack)})


def frames_of(stack: xr.Dataset) -> dict[str, Any]:
    """What `create_stack` needs to make room for the frames of a stack: coords and over_time."""
    # Text of any length: Zarr has no agreed way to write text of a fixed one.
    found = {n: (c, object if c.dtype.kind == "U" else c.dtype) for n, c in stack.coords.items() if c.dims == ("time",)}
    coords = {n: (c.dims, c.to_numpy().astype(dtype), c.attrs) for n, (c, dtype) in found.items()}
    return {"coords": coords, "over_time": [str(n) for n, array in stack.data_vars.items() if "time" in array.dims]}


def fingerprint(stack: xr.Dataset) -> str:
    """A short hash of grid, bands, pixels and the variables beside them, in any order; or as it was recorded."""
    if "fingerprint" in stack.attrs:
        return str(stack.attrs["fingerprint"])
    digest, bands = hashlib.blake2b(digest_size=16), sorted(stack_bands(stack), key=lambda band: band.name)
    digest.update(json.dumps([stack.attrs.get("grid"), [band.to_json() for band in bands]]).encode())
    for window in _chunks_of(stack):
        for band in bands:
            digest.update(np.ascontiguousarray(stack[band.name][(..., *window.slices)].to_numpy()).tobytes())
    for name, array in sorted(stack.data_vars.items(), key=lambda item: str(item[0])):
        if "kind" not in array.attrs:
            digest.update(str(name).encode() + np.ascontiguousarray(array.to_numpy()).tobytes())
    return digest.hexdigest()


def band_attrs(band: Band) -> dict[str, Any]:
    """The attributes that describe a band inside a stack."""
    attrs: dict[str, Any] = {"kind": band.kind, "units": band.units, "source": band.source}
    if band.kind == "categorical":
        attrs["classes"] = list(band.classes)
    if band.optional:
        attrs["optional"] = True
    return attrs


def band_from_attrs(name: str, attrs: Mapping[str, Any]) -> Band:
    """The band that `band_attrs` described. Raises StackError."""
    classes = attrs.get("classes", ())
    if len(classes) > MAX_CLASSES:
        raise StackError(f"band {name!r} has {len(classes)} classes; at most {MAX_CLASSES} fit")
    units, source, optional = str(attrs.get("units", "1")), str(attrs.get("source", "")), bool(attrs.get("optional"))
    return Band(name, attrs["kind"], units, source, tuple(classes), optional)


def _times(time: np.ndarray) -> tuple[str, np.ndarray]:
    """Frames in time, checked. Raises StackError."""
    times = np.asarray(time, "datetime64[ns]")
    if times.ndim != 1 or len(times) == 0 or (np.diff(times) <= np.timedelta64(0)).any() or np.isnat(times).any():
        raise StackError("the frames of a stack need times that rise, each once; sort them and merge equal ones")
    return "time", times


def _chunks_of(stack: xr.Dataset) -> list[Window]:
    shape = (stack.sizes["y"], stack.sizes["x"])
    return [window.clip(shape) for window in windows(shape, 4 * CHUNK)]


def _grid_attrs(grid: Grid) -> dict[str, Any]:
    return {"headscarp_stack": FORMAT, "grid": json.dumps(grid_to_json(grid)), "Conventions": "CF-1.11"}


def _coordinates(grid: Grid) -> dict[str, Any]:
    """Cell centres and the CRS as CF, GDAL and QGIS read them."""
    check_grid(grid)
    a, (rows, cols) = grid.affine, grid.shape
    wkt = grid_to_json(grid)["crs"]
    transform = " ".join(repr(float(v)) for v in (a.c, a.a, a.b, a.f, a.d, a.e))
    return {
        "y": ("y", a.f + (np.arange(rows) + 0.5) * a.e, {"axis": "Y"}),
        "x": ("x", a.c + (np.arange(cols) + 0.5) * a.a, {"axis": "X"}),
        "spatial_ref": ((), 0, {"crs_wkt": wkt, "spatial_ref": wkt, "GeoTransform": transform}),
    }
