"""Daily fields of weather over a small area, on the coarse cells of a service; those of one raster file a day.

A day that cannot be had is NaN and stands in `client.missing`; the rest goes on. Sums nothing over days and knows no
grid of a stack. Refuses files that are not on longitude and latitude.

Days are those of the service, never shifted to local time: CHIRPS gives totals of 24 hours by its own definition.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headscarp.core.errors import RecipeError, SourceError
from headscarp.core.grid import Grid, cell_corner, window_grid
from headscarp.core.tile import Window
from headscarp.sources.rasterfiles import file_grid, open_raster
from headscarp.sources.rasters import grid_crs, prepare_raster, read_window

if TYPE_CHECKING:
    from headscarp.sources.web.client import Client

Bounds = tuple[float, float, float, float]
"""West, south, east, north in degrees; east beyond 180 where the area crosses the antimeridian."""

Days = NDArray[np.datetime64]

SOURCE = "weather"
MARGIN_CELLS = 2
GIVE_UP_AFTER = 8
"""So many days that fail, and none before them that did not, end the work."""

_NOISE_MM = 0.05
_READERS = 8


@dataclass(frozen=True)
class DailyFields:
    """values: (days, latitude, longitude) float32, NaN missing. days: rising, there may be gaps. longitude rises and
    may pass 180. found: (days,), which could be read."""

    days: Days
    values: NDArray[np.float32]
    latitude: NDArray[np.float64]
    longitude: NDArray[np.float64]
    found: NDArray[np.bool_]


def fields_from_files(client: "Client", address: str, files: str, days: Days, bounds: Bounds) -> DailyFields:
    """Rain in mm from one raster file a day.

    files: path below the address, with the day as in {date:%Y%m%d}. Values below zero are missing.
    Raises RecipeError for a pattern without a day, SourceError where no day can be read, files are not on longitude and
    latitude, or do not reach the area.
    """
    urls = [f"{address.rstrip('/')}/{path}" for path in _paths(files, days)]
    faults: dict[int, SourceError] = {}
    area = _first_area(client, urls, bounds, faults)
    values = np.full((len(days), *area.shape), np.nan, np.float32)

    def read(number: int) -> None:
        if number in faults:
            return
        try:
            raster = prepare_raster(urls[number], area, kind="continuous", resampling="nearest", opener=client.opener)
            values[number] = as_rain(read_window(raster, area, Window(0, 0, *area.shape), opener=client.opener))
        except SourceError as error:
            faults[number] = error

    with ThreadPoolExecutor(_READERS) as pool:
        list(pool.map(read, range(len(days))))
    for number, error in sorted(faults.items()):
        client.note_missing(urls[number], f"{days[number]} of rain: {error}", source=SOURCE)
    found = np.array([number not in faults for number in range(len(days))])
    (rows, columns), (left, top) = area.shape, cell_corner(area, 0.5, 0.5)
    latitude = top + np.arange(rows, dtype=np.float64) * area.affine.e
    longitude = left + np.arange(columns, dtype=np.float64) * area.affine.a
    return DailyFields(days, values, latitude, longitude, found)


def as_rain(values_mm: NDArray[Any]) -> NDArray[np.float32]:
    """Rain from numbers: below zero is missing, but for the noise of packed numbers, which is no rain."""
    dry = (values_mm < 0) & (values_mm > -_NOISE_MM)
    return np.where(dry, 0, np.where(values_mm < 0, np.nan, values_mm)).astype(np.float32)


def _paths(files: str, days: Days) -> list[str]:
    try:
        paths = [files.format(date=day.astype(object)) for day in days.astype("datetime64[D]")]
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        raise RecipeError(
            f"files = {files!r} cannot be filled in ({error!r}); write the day as in rain.{{date:%Y%m%d}}.tif"
        ) from error
    if len(set(paths)) < len(days):
        raise RecipeError(f"files = {files!r} names one file for several days; write the day as in {{date:%Y%m%d}}")
    return paths


def _first_area(client: "Client", urls: Sequence[str], bounds: Bounds, faults: dict[int, SourceError]) -> Grid:
    """The cells around the area, on the grid of the first file that can be opened; what could not stands in faults."""
    for number, url in enumerate(urls):
        try:
            with open_raster(url, opener=client.opener) as file:
                grid = file_grid(file, url)
            break
        except SourceError as error:
            faults[number] = error
            if len(faults) >= min(GIVE_UP_AFTER, len(urls)):
                raise SourceError(
                    f"none of the first {len(faults)} days of rain could be read; the last failed with: {error}"
                ) from error
    if not grid_crs(grid).is_geographic:
        raise SourceError(f"{url} is not on longitude and latitude; daily rain is read from such files only")
    (left, top), (a, e) = cell_corner(grid, 0, 0), (grid.affine.a, grid.affine.e)
    west, south, east, north = bounds
    if east > 180:
        raise SourceError("the box crosses the antimeridian, where files of daily rain end; fetch its two sides apart")
    row, bottom = int((north - top) // e) - MARGIN_CELLS, int((south - top) // e) + 1 + MARGIN_CELLS
    column, right = int((west - left) // a) - MARGIN_CELLS, int((east - left) // a) + 1 + MARGIN_CELLS
    cells = Window(row, column, bottom - row, right - column).clip((grid.shape[0], grid.shape[1]))
    if not cells.height or not cells.width:
        raise SourceError(
            f"{url} holds no rain at latitudes {south:.2f} to {north:.2f}, longitudes {west:.2f} to {east:.2f}: it "
            f"covers latitudes {top + grid.shape[0] * e:g} to {top:g}; take another service there, such as ERA5-Land"
        )
    return window_grid(grid, cells)
