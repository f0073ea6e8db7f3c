"""Where tiles take their pixels from: a stack in memory, on disk as Zarr, or its memory-mapped training cache.

All three are stacks under one contract, so there is one reader. Refuses to serve a cache that is torn or that belongs
to other pixels: caches are named by the fingerprint of what they hold, and made whole or not at all.
"""

import json
import math
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from headscarp.core.artefact import clear_os_errors, write_json
from headscarp.core.errors import StackError
from headscarp.core.progress import progress
from headscarp.core.stack import CHUNK, VALID, check_stack, fingerprint, open_stack, stack_bands
from headscarp.core.tile import Window

_INDEX = "cache.json"
_STRIP_CELLS = 2**20


def as_stack(stack: xr.Dataset | str | Path) -> xr.Dataset:
    """The stack itself, checked, or the one at this path: a Zarr folder or a training cache. Raises StackError."""
    if isinstance(stack, xr.Dataset):
        return check_stack(stack)
    if (Path(stack) / _INDEX).is_file():
        return _open_cache(Path(stack))
    return open_stack(stack)


def cache_stack(stack: xr.Dataset | str | Path, folder: str | Path) -> xr.Dataset:
    """The same stack, memory-mapped from raw files in `folder`; copied there first where it is not there yet.

    One .npy file a band, uncompressed, read by the operating system page by page: windows cost no decompression and
    memory is given back under pressure. The cache stands in a subfolder named by the fingerprint of the stack and may
    be deleted at any time. Raises StackError for a broken stack, OutputError where the disk is full.
    """
    stack = as_stack(stack)
    key = fingerprint(stack)
    home = Path(folder) / key
    if _is_whole(home):
        return _open_cache(home)
    partial = home.with_name(f".{home.name}.{os.getpid()}.partial")
    try:
        with clear_os_errors(folder):
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            _write_cache(stack, partial, key)
            if not _is_whole(home):  # another process may have been faster
                shutil.rmtree(home, ignore_errors=True)
                partial.rename(home)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return _open_cache(home)


def read_window(array: xr.DataArray, window: Window, *, sample: int = 0) -> np.ndarray:
    """The pixels of one band in a window inside its raster: ([time], height, width), the band's own dtype.

    A view where the stack is in memory or memory-mapped, so do not write into it. sample: index along `sample`; of no
    meaning where the band has none.
    """
    place = (sample, ...) if array.dims[0] == "sample" else (...,)
    return np.asarray(array.variable[(*place, *window.slices)].values)


def read_valid(stack: xr.Dataset, window: Window, *, sample: int = 0) -> np.ndarray:
    """Which pixels of a window inside its raster are valid: (height, width) bool; all where the stack does not say."""
    if VALID not in stack:
        return np.ones(window[2:], np.bool_)
    return np.asarray(read_window(stack[VALID], window, sample=sample) == 1)


def raster_shape(stack: xr.Dataset) -> tuple[int, int]:
    """(rows, columns) of the stack's raster, or of each of its samples."""
    return stack.sizes["y"], stack.sizes["x"]


def _write_cache(stack: xr.Dataset, folder: Path, key: str) -> None:
    bands = {band.name for band in stack_bands(stack)}
    index: dict[str, Any] = {"attrs": {**stack.attrs, "fingerprint": key}, "variables": []}
    with progress("training cache", len(bands)) as bar:
        for number, (name, array) in enumerate([*stack.data_vars.items(), *stack.coords.items()]):
            path = folder / f"{number:03d}.npy"
            if name in bands:
                _write_npy(path, array)
                bar.advance()
            else:
                values = array.to_numpy()
                # Texts of any length have no form of their own in .npy but pickle, which is refused.
                np.save(path, np.array(values.tolist(), str) if values.dtype.kind in "OT" else values)
            index["variables"].append(
                {
                    "name": str(name),
                    "file": path.name,
                    "bytes": path.stat().st_size,
                    "dims": list(array.dims),
                    "attrs": array.attrs,
                    "role": "band" if name in bands else "coordinate" if name in stack.coords else "variable",
                }
            )
    write_json(folder / _INDEX, index)  # last: it makes the cache whole


def _write_npy(path: Path, array: xr.DataArray) -> None:
    """Writes strips of rows through an ordinary file: a full disk is an error there, but a crash in a mapped file."""
    header = {"descr": np.lib.format.dtype_to_descr(array.dtype), "fortran_order": False, "shape": array.shape}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for strip in _strips(array):
            file.write(np.ascontiguousarray(strip).data)


def _strips(array: xr.DataArray) -> Iterator[np.ndarray]:
    """The pixels in their order on disk, a few rows or a few whole samples at a time."""
    if array.dims[0] == "sample" and array.shape[-2] <= CHUNK:  # a sample is one chunk on disk, to be read once
        step = max(1, _STRIP_CELLS // max(1, math.prod(array.shape[1:])))
        for start in range(0, array.shape[0], step):
            yield array.variable[start : start + step].values
        return
    for index in np.ndindex(array.shape[:-2]):
        for row in range(0, array.shape[-2], CHUNK):
            yield array.variable[(*index, slice(row, row + CHUNK))].values


def _is_whole(folder: Path) -> bool:
    if not (folder / _INDEX).is_file():
        return False
    variables = json.loads((folder / _INDEX).read_text(encoding="utf-8"))["variables"]
    paths = [(folder / v["file"], v["bytes"]) for v in variables]
    return all(path.is_file() and path.stat().st_size == size for path, size in paths)


def _open_cache(folder: Path) -> xr.Dataset:
    if not _is_whole(folder):
        raise StackError(f"the training cache {folder} is torn; delete it, it is made again from its stack")
    index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
    variables: dict[str, dict[str, Any]] = {"band": {}, "coordinate": {}, "variable": {}}
    for v in index["variables"]:
        values = np.load(folder / v["file"], mmap_mode="r" if v["role"] == "band" else None)
        variables[v["role"]][v["name"]] = (tuple(v["dims"]), values, v["attrs"])
    data = {**variables["band"], **variables["variable"]}
    return check_stack(xr.Dataset(data, coords=variables["coordinate"], attrs=index["attrs"]))
