"""Smaller versions of a raw map, halved again and again: a pixel is the mean of all the pixels under it that are there.

One pass over the work file in strips of rows, sums and counts handed from each level to the next, so that means are
exact and not means of means. GDAL takes several times as long for the same. It knows nothing of GeoTIFF.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
from numba import njit

from headscarp.core.machine import cores
from headscarp.core.tile import Window
from headscarp.prediction.workfile import WorkFile

_STRIP_PX = 1 << 20


def write_overviews(work: WorkFile, *, largest_px: int) -> list[WorkFile]:
    """Writes the halves, quarters, ... of a work file beside it, until both sides are at most `largest_px`.

    A level has half the rows and columns of the one before, rounded up; the same pixels give the same bytes. Raises
    OutputError on a full disk.
    """
    levels = overview_files(work, largest_px=largest_px)
    for level in levels:
        level.create()
    step = 2 ** len(levels)
    height = max(1, _STRIP_PX // work.shape[1] // step) * step

    def write(row: int) -> None:
        pixels = work.read(Window(row, 0, height, work.shape[1]).clip(work.shape))
        for i, (level, means) in enumerate(zip(levels, _halved(pixels), strict=False), start=1):
            level.write(Window(row >> i, 0, *means.shape[1:]), means)

    if levels:
        with ThreadPoolExecutor(cores()) as pool:
            list(pool.map(write, range(0, work.shape[0], height)))
    return levels


def overview_files(work: WorkFile, *, largest_px: int) -> list[WorkFile]:
    """Where the levels stand and how large they are, whether they are written or not."""
    levels: list[WorkFile] = []
    shape, factor = work.shape, 1
    while max(shape) > largest_px:
        shape, factor = (-(-shape[0] // 2), -(-shape[1] // 2)), 2 * factor
        levels.append(replace(work, path=work.path.with_name(f"{work.path.name}.{factor}"), shape=shape))
    return levels


def _halved(pixels: np.ndarray) -> Iterator[np.ndarray]:
    """Means over 2 x 2, 4 x 4, ... pixels, NaN left out: (K, h / 2, w / 2), (K, h / 4, w / 4), ... without an end."""
    sums, counts, means = _sum_pixels(pixels)
    while True:
        yield means
        sums, counts, means = _sum_sums(sums, counts)


@njit(nogil=True, cache=True, error_model="numpy")
def _sum_pixels(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sums, counts and means of the pixels that are there in each 2 x 2; (K, h / 2, w / 2) float32 each, rounded up."""
    bands, height, width = pixels.shape
    sums, counts, means = _room(bands, height, width)
    for k in range(bands):
        for i in range(sums.shape[1]):
            upper = pixels[k, 2 * i]
            lower = pixels[k, min(2 * i + 1, height - 1)]
            weight = np.float32(2 * i + 1 < height)  # 0 where the last row has no row below it
            for j in range(width // 2):
                a, b, c, d = upper[2 * j], upper[2 * j + 1], lower[2 * j], lower[2 * j + 1]
                sums[k, i, j] = (_there(a) + _there(b)) + weight * (_there(c) + _there(d))
                counts[k, i, j] = (_one(a) + _one(b)) + weight * (_one(c) + _one(d))
            if width % 2:
                a, c = upper[width - 1], lower[width - 1]
                sums[k, i, width // 2] = _there(a) + weight * _there(c)
                counts[k, i, width // 2] = _one(a) + weight * _one(c)
            for j in range(sums.shape[2]):
                means[k, i, j] = sums[k, i, j] / counts[k, i, j]  # 0 / 0 is the NaN that is meant
    return sums, counts, means


@njit(nogil=True, cache=True, error_model="numpy")
def _sum_sums(part: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same from sums and counts of the level below."""
    bands, height, width = part.shape
    sums, counts, means = _room(bands, height, width)
    for k in range(bands):
        for i in range(sums.shape[1]):
            for j in range(sums.shape[2]):
                total, there = np.float32(0), np.float32(0)
                for y in range(2 * i, min(2 * i + 2, height)):
                    for x in range(2 * j, min(2 * j + 2, width)):
                        total += part[k, y, x]
                        there += count[k, y, x]
                sums[k, i, j], counts[k, i, j], means[k, i, j] = total, there, total / there
    return sums, counts, means


@njit(nogil=True, cache=True)
def _room(bands: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    shape = (bands, (height + 1) // 2, (width + 1) // 2)
    return np.empty(shape, np.float32), np.empty(shape, np.float32), np.empty(shape, np.float32)


@njit(nogil=True, cache=True, inline="always")
def _there(v: Any) -> Any:
    return v if v == v else np.float32(0)


@njit(nogil=True, cache=True, inline="always")
def _one(v: Any) -> Any:
    return np.float32(v == v)
