"""Rain before each day at a place, and the moisture of the soil where a service has it.

From one raster file a day (CHIRPS) or from a Zarr store (ERA5, ERA5-Land); `dailyfields` and `zarrfields` say what a
day is. A sum over n days is that of the n days before the day, which itself is left out unless `include_day` is said,
for a map of a morning must not know its afternoon. Refuses to sum over fewer days: where one is missing the sum is NaN,
and `days_found` in the attributes says how many there were.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from headscarp.core.band import Band
from headscarp.core.errors import RecipeError
from headscarp.core.grid import Grid, footprint_lonlat
from headscarp.core.stack import make_stack
from headscarp.sources.coarse import CoarsePlanes, mean_on_grid, planes_on_grid
from headscarp.sources.dailyfields import Bounds, DailyFields, Days, fields_from_files
from headscarp.sources.request import Request, Source
from headscarp.sources.zarrfields import fields_from_zarr, has_variable

if TYPE_CHECKING:
    from headscarp.sources.web.client import Client
    from headscarp.sources.web.services import Service

CHIRPS_FILES = "{date:%Y}/chirps-v2.0.{date:%Y.%m.%d}.cog"
"""Where the daily files of CHIRPS 2.0 stand below its products/CHIRPS-2.0/global_daily/cogs/p05."""

SOIL_MOISTURE = "swvl1"
"""Water in the first soil layer (0 to 7 cm) of ERA5 and ERA5-Land, m3 of water in a m3 of soil."""

_LONGEST_DAYS = 366


@dataclass(frozen=True)
class WeatherOptions:
    """What a recipe may say. days_before: lengths of the sums in days. include_day: whether the day itself counts, as
    its last one. on: the days that get a frame; else every `every_days`-th of the period. files: where the file of a
    day is below the address, for services with one file a day. variable, accumulation: what to read of a Zarr store and
    how its values make a day (`zarrfields.READINGS`). soil_moisture: the variable for it, "" for none."""

    days_before: tuple[int, ...] = (1, 3, 7, 30)
    include_day: bool = False
    on: tuple[date, ...] = ()
    every_days: int = 1
    files: str = CHIRPS_FILES
    variable: str = "tp"
    accumulation: str = "since midnight"
    soil_moisture: str = SOIL_MOISTURE

    @staticmethod
    def read(options: Mapping[str, Any]) -> "WeatherOptions":
        """From plain values. Raises RecipeError."""
        unknown = sorted(set(options) - {field.name for field in fields(WeatherOptions)})
        if unknown:
            raise RecipeError(f"weather has no option {', '.join(unknown)}; it has: {', '.join(OPTIONS)}")
        given = dict(options)
        try:
            given |= {"on": tuple(sorted({_day(day) for day in given["on"]}))} if "on" in given else {}
            given |= {"days_before": tuple(sorted(set(given["days_before"])))} if "days_before" in given else {}
        except (TypeError, ValueError) as error:
            raise RecipeError(
                f"weather was given {dict(options)}; on is a list of days such as 2020-01-31, days_before one of whole "
                f"numbers ({error})"
            ) from error
        made = WeatherOptions(**given)
        for field in fields(made):
            if isinstance(field.default, str | bool) and type(getattr(made, field.name)) is not type(field.default):
                needed = "true or false" if isinstance(field.default, bool) else "text"
                raise RecipeError(f"{field.name} is {getattr(made, field.name)!r}; {needed} is needed")
        lengths = made.days_before
        if not lengths or any(type(n) is not int or not 1 <= n <= _LONGEST_DAYS for n in lengths):
            raise RecipeError(
                f"days_before is {list(lengths)}; whole numbers of days from 1 to {_LONGEST_DAYS} are needed"
            )
        if type(made.every_days) is not int or made.every_days < 1:
            raise RecipeError(f"every_days is {made.every_days}; a whole number of days, 1 or more, is needed")
        return made


OPTIONS = tuple(field.name for field in fields(WeatherOptions))


def read_weather(request: Request) -> xr.Dataset:
    """A stack over time: rain_1d_mm, rain_3d_mm, ... (mm) before each day, and soil_moisture where the service has it.

    Options: those of WeatherOptions. The coarse cells around the grid are read at once, day by day; the planes are made
    of them when they are asked for: bilinear between the centres of coarse cells, missing where the coarse cell that a
    cell lies in is missing (the sea), whatever its neighbours say. soil_moisture is that at the end of the day before.
    Attributes of each band: `days` (which days were summed), `days_found` (for each frame how many of them there were).
    Raises RecipeError for options out of range, SourceError where no day can be read or the place is not covered.
    """
    days, made = _antecedents(request)
    arrays = {band: planes_on_grid(part.planes, request.grid) for band, part in made.items()}
    stack = make_stack(request.grid, arrays, time=days)
    for band, part in made.items():
        stack[band.name].attrs.update(part.attrs)
    return stack


def as_metadata(request: Request) -> xr.Dataset:
    """The same numbers as one value a frame: variables over (time,), the mean over the grid where it is not missing.

    Of at most 16 x 16 evenly spread cells. Options, attributes and errors as for `read_weather`.
    """
    days, made = _antecedents(request)
    variables = {}
    for band, part in made.items():
        attrs = {"units": band.units, "source": band.source, **part.attrs}
        variables[band.name] = ("time", mean_on_grid(part.planes, request.grid), attrs)
    return xr.Dataset(variables, coords={"time": ("time", days.astype("datetime64[ns]"))})


def daily_rain(
    place: tuple[float, float], dates: tuple[date, date], service: "Service", client: "Client", **options: Any
) -> pd.DataFrame:
    """Rain of each day at a place, from the coarse cell that it lies in.

    place: (longitude, latitude) in degrees. dates: first and last day, both included. options: files, variable,
    accumulation and soil_moisture of WeatherOptions. Returns a row a day (index `date`): rain_mm, NaN where missing,
    soil_moisture where there is one, and `found`: whether the day could be read at all. Raises as `read_weather`.
    """
    days = np.arange(np.datetime64(dates[0], "D"), np.datetime64(dates[1], "D") + 1)
    if not len(days):
        raise RecipeError(f"the period ends ({dates[1]}) before it begins ({dates[0]}); turn the two round")
    longitude, latitude = place
    if not (-180 <= longitude <= 360 and -90 <= latitude <= 90):
        raise RecipeError(
            f"the place {place} is not (longitude, latitude) in degrees; look whether the two are swapped"
        )
    west = (longitude + 180) % 360 - 180
    read = _fields(client, service, days, (west, latitude, west, latitude), WeatherOptions.read(options))
    columns: dict[str, Any] = {}
    for name, part in read.items():
        row, column = (int(np.abs(a - v).argmin()) for a, v in ((part.latitude, latitude), (part.longitude, west)))
        columns["rain_mm" if name == "rain" else name] = part.values[:, row, column]
    index = pd.DatetimeIndex(days.astype("datetime64[ns]"), name="date")
    return pd.DataFrame({**columns, "found": read["rain"].found}, index=index)


WEATHER = Source(
    read=read_weather,
    makes="stack",
    services=("chirps", "era5-land"),
    options=OPTIONS,
    about="rain over the days before a day (CHIRPS, ERA5-Land or another Zarr store), and soil moisture",
)


@dataclass(frozen=True)
class _Antecedent:
    """planes: one a frame. attrs: what is said of them."""

    planes: CoarsePlanes
    attrs: Mapping[str, Any]


def _antecedents(request: Request) -> tuple[Days, dict[Band, _Antecedent]]:
    """The days that get a frame, and what was before each of them, by band."""
    options = WeatherOptions.read(request.options)
    frames = _frames(request, options)
    shift = 0 if options.include_day else 1
    before = [frames - np.timedelta64(k + shift, "D") for k in range(max(options.days_before))]
    days = np.unique(np.concatenate(before))
    read = _fields(request.client, request.service, days, _bounds(request.grid), options)
    made: dict[Band, _Antecedent] = {}
    for length in options.days_before:
        made |= dict([_sum_before(request, read["rain"], before[:length], length, shift)])
    if "soil_moisture" in read:
        made |= dict([_state_before(request, read["soil_moisture"], before[0])])
    return frames, made


def _frames(request: Request, options: WeatherOptions) -> Days:
    if options.on:
        return np.array(options.on, "datetime64[D]")
    if request.dates is None:
        raise RecipeError("weather needs a period such as 2019-01-01/2020-12-31, or the option on: a list of days")
    first, last = (np.datetime64(day, "D") for day in request.dates)
    return np.arange(first, last + 1, options.every_days)


def _fields(
    client: "Client", service: "Service", days: Days, bounds: Bounds, options: WeatherOptions
) -> dict[str, DailyFields]:
    """Rain, and soil moisture where there is some, on coarse cells."""
    address = service.address
    if ".zarr" not in address.rpartition("://")[2]:
        return {"rain": fields_from_files(client, address, options.files, days, bounds)}
    made = {"rain": fields_from_zarr(client, address, options.variable, days, bounds, reading=options.accumulation)}
    if options.soil_moisture and has_variable(client, address, options.soil_moisture):
        made["soil_moisture"] = fields_from_zarr(
            client, address, options.soil_moisture, days, bounds, reading="at its end"
        )
    return made


def _sum_before(
    request: Request, rain: DailyFields, before: list[Days], length: int, shift: int
) -> tuple[Band, _Antecedent]:
    total = np.zeros((len(before[0]), *rain.values.shape[1:]))
    found = np.zeros(len(before[0]), int)
    for days in before:
        rows = np.searchsorted(rain.days, days)
        total += rain.values[rows]
        found += rain.found[rows]
    said = f"the {length} days before" if length > 1 else "the day before"
    said += ", the day itself left out" if shift else ", the day itself being the last of them"
    if length == 1 and not shift:
        said = "the day itself"
    band = Band(f"rain_{length}d_mm", "continuous", "mm", f"{request.service.name}, sum over {said}")
    attrs = {"days": said, "days_found": found.tolist()}
    return band, _Antecedent(CoarsePlanes(total.astype(np.float32), rain.latitude, rain.longitude), attrs)


def _state_before(request: Request, soil: DailyFields, days: Days) -> tuple[Band, _Antecedent]:
    rows = np.searchsorted(soil.days, days)
    said = "at the end of the last day that the sums hold"
    band = Band("soil_moisture", "continuous", "m3 m-3", f"{request.service.name}, {said}")
    attrs = {"days": said, "days_found": soil.found[rows].astype(int).tolist()}
    return band, _Antecedent(CoarsePlanes(soil.values[rows], soil.latitude, soil.longitude), attrs)


def _bounds(grid: Grid) -> Bounds:
    ring = footprint_lonlat(grid)
    longitude = np.unwrap(ring[:, 0], period=360)
    longitude -= 360 * np.floor((longitude.min() + 180) / 360)
    return longitude.min(), ring[:, 1].min(), longitude.max(), ring[:, 1].max()


def _day(day: Any) -> date:
    return day if type(day) is date else date.fromisoformat(str(day)[:10])
