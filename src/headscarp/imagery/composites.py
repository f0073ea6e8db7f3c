"""Composites: the looks of a period to one image, cell by cell, with missing looks left out.

Frames are (T, y, x), or (T, B, y, x) for several bands, float32, NaN (or infinite) where there is no clear look; where
no look is left the composite is NaN. Each cell stands alone, so blocks need no halo and give the bits of the whole.
Refuses to fill gaps from neighbours, and to say how good a composite is without `valid_share`.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headscarp.core.errors import RecipeError, StackError
from headscarp.core.machine import cores
from headscarp.imagery._sorting import mean_cells, medoid_cells, present_cells, quantile_cells, sorting_network

_CELLS_AT_ONCE = 32768


def median(frames: NDArray[Any], *, threads: int | None = None) -> NDArray[np.float32]:
    """The median of the looks, band by band: the same bits as numpy.nanmedian of float32.

    frames: (T, [B,] y, x). threads: default all cores; the result does not depend on it. Returns ([B,] y, x).
    Raises StackError for arrays of another shape or without a look.
    """
    return _quantile(frames, -1.0, threads)


def percentile(frames: NDArray[Any], *, percent: float = 25.0, threads: int | None = None) -> NDArray[np.float32]:
    """A percentile of the looks, band by band, between looks by straight lines (type 7 of Hyndman and Fan, 1996).

    percent: 0 (the least look) to 100 (the greatest). Else as `median`. Raises RecipeError for a percent out of range.
    """
    if not 0 <= percent <= 100:
        raise RecipeError(f"percent is {percent}; a number from 0 to 100 is needed")
    return _quantile(frames, percent / 100, threads)


def mean(frames: NDArray[Any], *, threads: int | None = None) -> NDArray[np.float32]:
    """The mean of the looks, band by band, summed in double precision. Else as `median`."""
    looks = _as_frames(frames)
    flat = looks.reshape(len(looks), -1)  # (T, B * y * x)
    out = np.empty(flat.shape[1], np.float32)
    _over_cells(lambda first, last: mean_cells(flat, first, last, out), flat.shape[1], threads)
    return out.reshape(frames.shape[1:])


def medoid(frames: NDArray[Any], *, threads: int | None = None) -> NDArray[np.float32]:
    """The one real look that is nearest to all others, with all its bands: no mixture of days. See `medoid_look`."""
    return take_looks(frames, medoid_look(frames, threads=threads))


def latest(frames: NDArray[Any], *, threads: int | None = None) -> NDArray[np.float32]:
    """The most recent look that has all its bands. See `latest_look`."""
    return take_looks(frames, latest_look(frames, threads=threads))


COMPOSITES: dict[str, Callable[..., NDArray[np.float32]]] = {
    "median": median,
    "mean": mean,
    "percentile": percentile,
    "medoid": medoid,
    "latest": latest,
}
"""All rules by name: frames (T, [B,] y, x) to an image ([B,] y, x); `percentile` also takes percent."""


def valid_share(frames: NDArray[Any], *, threads: int | None = None) -> NDArray[np.float32]:
    """The share of looks that have all their bands: (y, x) float32 in [0, 1]."""
    counted = _present(frames, threads).mean(axis=0, dtype=np.float64)
    return np.asarray(counted, np.float32)


def medoid_look(frames: NDArray[Any], *, threads: int | None = None) -> NDArray[np.int16]:
    """Which look has the least sum of distances to all others, over the bands; of equal ones the earliest.

    frames: (T, [B,] y, x) with bands on one scale; looks that lack a band do not take part.
    Returns (y, x) int16 places along T, -1 where there is no look. Source: Flood (2013), Remote Sens. 5, 6481-6500.
    """
    flat, present = _with_bands(frames), _present(frames, threads)
    marks = present.reshape(len(present), -1)
    out = np.empty(flat.shape[2], np.int16)
    _over_cells(lambda first, last: medoid_cells(flat, marks, first, last, out), flat.shape[2], threads)
    return out.reshape(present.shape[1:])


def latest_look(frames: NDArray[Any], *, threads: int | None = None) -> NDArray[np.int16]:
    """Which look is the last one that has all its bands: (y, x) int16 places along T, -1 where there is none."""
    present = _present(frames, threads)
    last = len(present) - 1 - np.argmax(present[::-1], axis=0)
    return np.where(present.any(axis=0), last, -1).astype(np.int16)


def take_looks(frames: NDArray[Any], looks: NDArray[np.integer]) -> NDArray[np.float32]:
    """The image made of the given look in each cell: frames (T, [B,] y, x), looks (y, x), NaN where that is -1."""
    index = np.broadcast_to(np.maximum(looks, 0), frames.shape[1:])[None]
    taken = np.take_along_axis(frames, index.astype(np.intp), axis=0)[0]
    return np.where(looks >= 0, taken, np.float32(np.nan)).astype(np.float32, copy=False)


def _quantile(frames: NDArray[Any], quantile: float, threads: int | None) -> NDArray[np.float32]:
    looks = _as_frames(frames)
    flat = looks.reshape(len(looks), -1)  # (T, B * y * x)
    out = np.empty(flat.shape[1], np.float32)
    network = sorting_network(len(looks))
    _over_cells(lambda first, last: quantile_cells(flat, network, quantile, first, last, out), flat.shape[1], threads)
    return out.reshape(frames.shape[1:])


def _present(frames: NDArray[Any], threads: int | None) -> NDArray[np.bool_]:
    """(T, y, x): which looks have all their bands."""
    flat = _with_bands(frames)
    out = np.empty((flat.shape[0], flat.shape[2]), np.bool_)
    _over_cells(lambda first, last: present_cells(flat, first, last, out), flat.shape[2], threads)
    return out.reshape(len(frames), *frames.shape[-2:])


def _with_bands(frames: NDArray[Any]) -> NDArray[np.float32]:
    looks = _as_frames(frames)
    return looks.reshape(len(looks), 1 if looks.ndim == 3 else looks.shape[1], -1)  # (T, B, y * x)


def _as_frames(frames: NDArray[Any]) -> NDArray[np.float32]:
    if frames.ndim not in (3, 4) or frames.dtype.kind != "f" or 0 in frames.shape:
        raise StackError(
            f"the looks are {frames.shape} {frames.dtype}; needed: floating (time, y, x) or (time, band, y, x), at "
            "least one look"
        )
    return np.ascontiguousarray(frames, np.float32)


def _over_cells(work: Callable[[int, int], None], cells: int, threads: int | None) -> None:
    """Call work(first, last) on runs of cells, on as many threads as asked."""
    parts = [(first, min(first + _CELLS_AT_ONCE, cells)) for first in range(0, cells, _CELLS_AT_ONCE)]
    workers = min(threads or cores(), len(parts))
    if workers <= 1:
        for part in parts:
            work(*part)
        return
    with ThreadPoolExecutor(workers) as pool:
        for done in [pool.submit(work, *part) for part in parts]:
            done.result()
