"""Planes on coarse cells of longitude and latitude, brought onto a grid of small cells: lazily, the same bits whichever
part is asked for.

Bilinear between the centres of coarse cells. What is missing neither spreads nor is filled: a cell is missing exactly
where the coarse cell that it lies in is. Beyond the outermost coarse cells all is missing.
"""

import json
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pyproj import Transformer

from headscarp.core.grid import Grid, cell_corner, grid_from_json, grid_to_json

_CHUNK_PX = 1024
_SPREAD_PX = 16


@dataclass(frozen=True)
class CoarsePlanes:
    """values: (frames, latitude, longitude) float32, NaN missing. latitude rises or falls, longitude rises and may pass
    180; both in even steps, in degrees, at the centres of cells."""

    values: NDArray[np.float32]
    latitude: NDArray[np.float64]
    longitude: NDArray[np.float64]


def planes_on_grid(planes: CoarsePlanes, grid: Grid) -> Any:
    """(frames, y, x) float32 dask array in chunks (1, 1024, 1024)."""
    import dask.array as da

    text = json.dumps(grid_to_json(grid))
    sides = tuple(tuple(min(_CHUNK_PX, n - start) for start in range(0, n, _CHUNK_PX)) for n in grid.shape)
    return da.map_blocks(
        partial(_block, planes, text),
        chunks=((1,) * len(planes.values), *sides),
        dtype=np.float32,
        meta=np.empty((0, 0, 0), np.float32),
    )


def mean_on_grid(planes: CoarsePlanes, grid: Grid) -> NDArray[np.float32]:
    """The mean of each plane over at most 16 x 16 evenly spread cells of the grid: (frames,), NaN where all are."""
    rows, columns = (np.unique(np.linspace(0, n - 1, _SPREAD_PX).round().astype(int)) for n in grid.shape)
    weights = _weights(grid, rows, columns, planes)
    values = np.stack([_interpolated(plane, weights) for plane in planes.values]).reshape(len(planes.values), -1)
    there = np.isfinite(values)
    total, count = np.where(there, values, 0).sum(axis=1, dtype=float), there.sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)


class _Weights(NamedTuple):
    """For each cell: the coarse row and column above and left of it, how far it is towards the next ones, and whether
    it lies on coarse cells at all."""

    row: NDArray[np.intp]
    column: NDArray[np.intp]
    down: NDArray[np.float64]
    right: NDArray[np.float64]
    inside: NDArray[np.bool_]


def _block(planes: CoarsePlanes, grid_text: str, block_info: Any = None) -> NDArray[np.float32]:
    (frame, _), rows, columns = block_info[None]["array-location"]
    places = tuple(planes.latitude), tuple(planes.longitude)
    return _interpolated(planes.values[frame], _weights_of_block(grid_text, rows, columns, places))[None]


@lru_cache(maxsize=4)
def _weights_of_block(grid_text: str, rows: Any, columns: Any, places: Any) -> _Weights:
    """Kept for the next frame and the next band of the same block: finding places costs more than using them."""
    planes = CoarsePlanes(np.empty((0, 0, 0), np.float32), *(np.array(side) for side in places))
    return _weights(grid_from_json(json.loads(grid_text)), np.arange(*rows), np.arange(*columns), planes)


def _weights(grid: Grid, rows: NDArray[np.intp], columns: NDArray[np.intp], planes: CoarsePlanes) -> _Weights:
    (left, top), a = cell_corner(grid, 0, 0), grid.affine
    xs, ys = np.meshgrid(left + (columns + 0.5) * a.a, top + (rows + 0.5) * a.e)
    to_lonlat = Transformer.from_crs(grid_to_json(grid)["crs"], "EPSG:4326", always_xy=True)
    longitude, latitude = to_lonlat.transform(xs, ys)
    middle = planes.longitude.mean()
    longitude = middle + (longitude - middle + 180) % 360 - 180
    row, down, in_rows = _between(latitude, planes.latitude)
    column, right, in_columns = _between(longitude, planes.longitude)
    return _Weights(row, column, down, right, in_rows & in_columns)


def _between(
    values: NDArray[np.float64], centres: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.bool_]]:
    """The centre before each value, the share of the way to the next one, and whether it is within half a cell."""
    if len(centres) == 1:
        return np.zeros(values.shape, np.intp), np.zeros(values.shape), np.ones(values.shape, bool)
    place = (values - centres[0]) / ((centres[-1] - centres[0]) / (len(centres) - 1))
    inside = (place >= -0.5) & (place <= len(centres) - 0.5)
    place = np.where(inside, np.clip(place, 0, len(centres) - 1), 0)
    before = np.minimum(place.astype(np.intp), len(centres) - 2)
    return before, place - before, inside


def _interpolated(plane: NDArray[np.float32], weights: _Weights) -> NDArray[np.float32]:
    row, column, down, right, inside = weights
    next_row, next_column = np.minimum(row + 1, plane.shape[0] - 1), np.minimum(column + 1, plane.shape[1] - 1)
    there = np.isfinite(plane)
    values = np.where(there, plane, 0).astype(np.float64)
    total, weight = np.zeros(row.shape), np.zeros(row.shape)
    for i, share_y in ((row, 1 - down), (next_row, down)):
        for j, share_x in ((column, 1 - right), (next_column, right)):
            share = share_y * share_x * there[i, j]
            total += share * values[i, j]
            weight += share
    nearest = there[np.where(down < 0.5, row, next_row), np.where(right < 0.5, column, next_column)]
    known = inside & nearest
    return np.where(known, total / np.where(known, weight, 1), np.nan).astype(np.float32)
