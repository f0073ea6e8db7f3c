"""Several derivations of one DEM in one pass over strips of rows, on all cores, with flat memory.

Here stand the rules common to all 3 x 3 derivations: how the cell size is given, what missing means, which names
and methods there are. It reads and writes no files, and takes elevations in metres on a north-up grid only.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from difflib import get_close_matches
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headscarp.core.errors import GridError, RecipeError
from headscarp.terrain._kernels import derive_rows

NAMES = ("slope", "aspect", "plan_curvature", "profile_curvature", "total_curvature")
METHODS = ("horn", "zevenbergen_thorne")

CellSize = float | tuple[ArrayLike, ArrayLike]

_STRIP_ROWS = 128


def derive(
    dem: NDArray[Any],
    cell_size_m: CellSize,
    names: Sequence[str],
    *,
    method: str = "horn",
    out: Mapping[str, NDArray[np.float32]] | None = None,
    threads: int | None = None,
) -> dict[str, NDArray[np.float32]]:
    """Several derivations of one DEM, each exactly as its own function gives it.

    dem: (y, x) metres, row 0 in the north; NaN or infinite = missing. Any array that can be sliced, a memory map
    too; integers have no missing value. cell_size_m: metres per cell, as one number, as (dy, dx), or as two
    arrays of (y,) values, one per row, for geographic grids. names: from NAMES. method: "horn" (Horn 1981) or
    "zevenbergen_thorne" (Zevenbergen and Thorne 1987). out: arrays to fill, by name (memory maps keep the memory
    flat). threads: default all cores; the result does not depend on it.
    Returns {name: (y, x) float32}: NaN where any cell of the 3 x 3 window is missing, and on the outermost ring.
    Raises GridError for a DEM or cell size that makes no sense, RecipeError for an unknown name or method.
    """
    for name in names:
        _check_known("derivation", name, NAMES)
    _check_known("method", method, METHODS)
    height, width = check_dem(dem)
    cell_y_m, cell_x_m = cell_size_per_row(cell_size_m, height)
    filled = {name: _checked_out(out, name, (height, width)) for name in names}
    wanted = tuple(name in filled for name in NAMES)
    nothing = np.empty((0, 0), np.float32)

    def fill(first: int, last: int) -> None:
        # Rows first..last of the inside; the kernel needs one more on each side.
        z = as_float(dem[first - 1 : last + 1])
        rows = tuple(filled[name][first:last] if name in filled else nothing for name in NAMES)
        derive_rows(z, cell_y_m[first:last], cell_x_m[first:last], method == "horn", rows, wanted)

    for band in filled.values():
        band[:1] = np.nan
        band[max(height - 1, 0) :] = np.nan
        if width < 3:
            band[:] = np.nan
    if width >= 3:
        over_strips(fill, 1, height - 1, rows=_STRIP_ROWS, threads=threads)
    return filled


def over_strips(work: Callable[[int, int], None], first: int, last: int, *, rows: int, threads: int | None) -> None:
    """Call work(start, stop) for strips of `rows` rows between first and last, on as many threads as asked."""
    strips = [(start, min(start + rows, last)) for start in range(first, last, rows)]
    workers = min(threads or _usable_cores(), len(strips))
    if workers <= 1:
        for start, stop in strips:
            work(start, stop)
        return
    with ThreadPoolExecutor(workers) as pool:
        for done in [pool.submit(work, start, stop) for start, stop in strips]:
            done.result()


def check_dem(dem: NDArray[Any]) -> tuple[int, int]:
    """(height, width) of a DEM; GridError where it is not a two-dimensional array of real numbers."""
    if getattr(dem, "ndim", 0) != 2 or dem.dtype.kind not in "fiu" or 0 in dem.shape:
        given = f"{getattr(dem, 'shape', type(dem).__name__)} of {getattr(dem, 'dtype', '?')}"
        raise GridError(f"dem is {given}, but an array (y, x) of elevations in metres is needed; pass one band.")
    return dem.shape[0], dem.shape[1]


def cell_size_per_row(cell_size_m: CellSize, height: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Cell size as two arrays (y,) of metres: north-south and east-west, each positive and finite."""
    pair: Iterable[ArrayLike] = cell_size_m if isinstance(cell_size_m, tuple | list) else (cell_size_m,) * 2
    sides = [np.asarray(side, dtype=np.float64) for side in pair]
    if len(sides) != 2 or any(side.shape not in ((), (height,)) for side in sides):
        raise GridError(
            f"cell size is {[side.shape for side in sides]}, but a number, (dy, dx) or two arrays of {height} "
            "values (one per row of the dem) are needed."
        )
    if any(not np.all(np.isfinite(side) & (side > 0)) for side in sides):
        raise GridError(
            f"cell size {cell_size_m!r} is not positive and finite; give lengths in metres without their sign."
        )
    cell_y_m, cell_x_m = (np.ascontiguousarray(np.broadcast_to(side, (height,))) for side in sides)
    return cell_y_m, cell_x_m


def as_float(rows: NDArray[Any]) -> NDArray[np.floating]:
    """Rows as float32 (float64 where they come as float64 or as wide integers), contiguous; a copy only if needed."""
    wide = rows.dtype == np.float64 or (rows.dtype.kind in "iu" and rows.dtype.itemsize > 2)
    return np.ascontiguousarray(rows, dtype=np.float64 if wide else np.float32)


def _checked_out(
    out: Mapping[str, NDArray[np.float32]] | None, name: str, shape: tuple[int, int]
) -> NDArray[np.float32]:
    if out is None or name not in out:
        return np.empty(shape, np.float32)
    if out[name].shape != shape or out[name].dtype != np.float32:
        raise GridError(
            f"out[{name!r}] is {out[name].shape} {out[name].dtype}, but {shape} float32 is needed, as the dem is."
        )
    return out[name]


def _check_known(what: str, given: str, known: Sequence[str]) -> None:
    if given not in known:
        near = get_close_matches(str(given), known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(known)}."
        raise RecipeError(f"{what} {given!r} is unknown; {hint}")


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
