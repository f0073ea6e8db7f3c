"""Daily fields of weather from one Zarr store with time, such as ERA5 or ERA5-Land: which values make a day.

Days begin at 00 UTC and are never shifted to local time. ERA5-Land adds precipitation up from 00 UTC, so the value at
00 UTC of the next day is the total of the day (ECMWF, ERA5-Land: data documentation); ERA5 gives the amount of the hour
that ends. A day that is not whole is NaN and stands in `client.missing`. Refuses units that it does not know.
"""

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from headscarp.core.errors import RecipeError, SourceError
from headscarp.sources.dailyfields import GIVE_UP_AFTER, MARGIN_CELLS, SOURCE, Bounds, DailyFields, Days, as_rain
from headscarp.sources.remote_zarr import open_remote_zarr

if TYPE_CHECKING:
    from headscarp.sources.web.client import Client

log = logging.getLogger("headscarp")

_DAY, _HOUR = np.timedelta64(1, "D"), np.timedelta64(1, "h")

READINGS: dict[str, Callable[[np.datetime64], Days]] = {
    # ERA5-Land: added up since 00 UTC
    "since midnight": lambda day: np.array([day + _DAY], "datetime64[h]"),
    # ERA5: of the hour that ends
    "hourly": lambda day: day + np.arange(1, 25) * _HOUR,
    # one total a day, labelled with the day
    "daily": lambda day: np.array([day], "datetime64[h]"),
    # a state, such as soil moisture: at the end of the day
    "at its end": lambda day: np.array([day + _DAY], "datetime64[h]"),
}
"""How the values of a store make a day: which times are added up. All of them have to be there."""

_TIMES, _LATITUDES, _LONGITUDES = ("time", "valid_time"), ("latitude", "lat", "y"), ("longitude", "lon", "x")
_TO_MM = {"m": 1000.0, "mm": 1.0, "mm/day": 1.0, "mm day-1": 1.0, "mm d-1": 1.0, "kg m-2": 1.0, "kg m**-2": 1.0}


def fields_from_zarr(
    client: "Client", address: str, variable: str, days: Days, bounds: Bounds, *, reading: str
) -> DailyFields:
    """A variable of a Zarr store (dimensions time, latitude, longitude), day by day.

    reading: from READINGS. Precipitation (every reading but "at its end") comes in mm, states in their own units.
    Raises RecipeError for an unknown reading, SourceError where the store lacks the variable, its units are unknown, it
    does not reach the area, or none of the days is in it.
    """
    if reading not in READINGS:
        raise RecipeError(f"accumulation {reading!r} is unknown; choose one of {', '.join(READINGS)}")
    store = open_remote_zarr(client, address, (variable, *_TIMES, *_LATITUDES, *_LONGITUDES), source=SOURCE)
    if variable not in store:
        raise SourceError(f"{address} has no variable {variable!r}; it has: {', '.join(map(str, store.data_vars))}")
    names = [_dimension(store[variable], known, address) for known in (_TIMES, _LATITUDES, _LONGITUDES)]
    array = store[variable].transpose(*names)
    rows, columns, longitude = _cells(store[names[1]].to_numpy(), store[names[2]].to_numpy(), bounds, address)
    times = _hours(store[names[0]].to_numpy(), address)
    places = [_positions(times, READINGS[reading](day)) for day in days]
    wanted = sorted({int(place) for some in places if some is not None for place in some})
    if not wanted:
        raise SourceError(
            f"{address} has none of the days {days[0]} to {days[-1]}: it holds {times[0]} to {times[-1]}; ask for "
            "other dates"
        )
    length = dict(zip(store[variable].dims, store[variable].encoding.get("chunks") or (1, 1, 1), strict=True))[names[0]]
    read, faults = _read_steps(array.isel({names[1]: rows, names[2]: columns}), wanted, length)
    factor = 1.0 if reading == "at its end" else _to_mm(array, address)
    values = np.full((len(days), len(rows), len(columns)), np.nan, np.float32)
    found = np.zeros(len(days), bool)
    for number, some in enumerate(places):
        fault = (
            next((str(faults[p]) for p in some if p in faults), "")
            if some is not None
            else "not all of it is in the store"
        )
        found[number] = not fault
        if some is None or fault:
            client.note_missing(address, f"{days[number]} of {variable}: {fault}", source=SOURCE)
            continue
        total = np.sum([read[place] for place in some], axis=0) * factor
        values[number] = total if reading == "at its end" else as_rain(total)
    if not found.any():
        raise SourceError(f"{address}: no day could be read; the first failed with: {next(iter(faults.values()))}")
    latitude = store[names[1]].to_numpy()[rows].astype(np.float64)
    return DailyFields(days, values, latitude, longitude, found)


def has_variable(client: "Client", address: str, variable: str) -> bool:
    """Whether a Zarr store has a variable. Raises SourceError where it cannot be read."""
    return variable in open_remote_zarr(client, address, (variable, *_TIMES, *_LATITUDES, *_LONGITUDES), source=SOURCE)


def _dimension(array: xr.DataArray, known: Sequence[str], address: str) -> str:
    found = [name for name in known if name in array.dims and name in array.coords]
    if len(found) != 1 or array.ndim != 3:
        raise SourceError(
            f"{array.name} of {address} has the dimensions {array.dims}; needed: time, latitude, longitude, each with "
            f"its coordinate ({', '.join(known)})"
        )
    return found[0]


def _cells(
    latitude: NDArray[Any], longitude: NDArray[Any], bounds: Bounds, address: str
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """Rows and columns of the cells around the area, and the longitudes of these columns, without a jump."""
    west, south, east, north = bounds
    high, wide = (MARGIN_CELLS * float(np.abs(np.diff(side[:2])).max(initial=0)) for side in (latitude, longitude))
    rows = np.flatnonzero((latitude >= south - high) & (latitude <= north + high))
    # Longitudes as distances from the middle of the area: 0..360, -180..180 and the antimeridian are all the same.
    middle = (west + east) / 2
    away = (longitude.astype(float) - middle + 180) % 360 - 180
    columns = np.flatnonzero(np.abs(away) <= (east - west) / 2 + wide)
    columns = columns[np.argsort(away[columns])]
    if not len(rows) or not len(columns):
        raise SourceError(
            f"{address} does not reach latitudes {south:.2f} to {north:.2f}, longitudes {west:.2f} to {east:.2f}: it "
            f"covers latitudes {latitude.min():g} to {latitude.max():g}, longitudes {longitude.min():g} to "
            f"{longitude.max():g}"
        )
    return rows, columns, middle + away[columns]


def _hours(times: NDArray[Any], address: str) -> Days:
    if times.dtype.kind != "M" or (np.diff(times) <= np.timedelta64(0)).any():
        raise SourceError(f"the times of {address} do not rise in the standard calendar; it cannot be read by days")
    return times.astype("datetime64[h]")


def _positions(times: Days, wanted: Days) -> NDArray[np.intp] | None:
    """Where the wanted hours stand in times; None where one of them does not."""
    places = np.searchsorted(times, wanted)
    if places[-1] >= len(times) or (times[places] != wanted).any():
        return None
    return places


def _read_steps(
    array: xr.DataArray, wanted: list[int], length: int
) -> tuple[dict[int, NDArray[Any]], dict[int, SourceError]]:
    """The (latitude, longitude) values of the wanted steps of time, chunk after chunk, and the faults of the others.

    length: of a chunk along time, in steps.
    """
    read: dict[int, NDArray[Any]] = {}
    faults: dict[int, SourceError] = {}
    log.info("reading %d steps of %s", len(wanted), array.name)
    for chunk in sorted({place // length for place in wanted}):
        steps = [place for place in wanted if place // length == chunk]
        try:
            read.update(zip(steps, array[steps].to_numpy().astype(np.float64), strict=True))
        except SourceError as error:
            faults.update(dict.fromkeys(steps, error))
            if not read and chunk - wanted[0] // length >= GIVE_UP_AFTER:
                raise
    return read, faults


def _to_mm(array: xr.DataArray, address: str) -> float:
    units = str(array.attrs.get("units", "")).strip()
    if units not in _TO_MM:
        raise SourceError(
            f"{array.name} of {address} is in {units or 'no units'}; rain is read in {', '.join(_TO_MM)}: name another "
            "variable"
        )
    return _TO_MM[units]
