"""What goes with the frames of a series: days, which count, the numbers of each frame, and what came after the cut-off.

Small arrays of a whole stack, made once; pixels are read elsewhere. Whatever was not yet published at the cut-off is
missing here, so that no net can see it. Refuses frames without days.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from headscarp.core.band import UNLABELLED
from headscarp.core.dates import TURN_PER_DAY, day_of_year
from headscarp.core.domains import CAUSES, SENSORS, SERIES_DAYS, as_available, frames_available
from headscarp.core.errors import StackError
from headscarp.core.samples import PIXEL_M, class_codes, has_samples
from headscarp.core.stack import fingerprint
from headscarp.nets.metadata import FEATURES, NAMES, RAIN_DAYS, SEASON_RAIN_DAYS, SEASON_SOIL_DAYS, SOIL_DAYS

DELAYS_DAYS: Mapping[str, float] = {
    "landsat": 1.0,
    "sentinel1": 1.0,
    "rain_mm_per_day": 5.0,
    "soil_moisture": 5.0,
}
"""Days from a frame, or from the end of a day of weather, to its publication: ERA5-Land's 5, and a day for scenes."""
DELAY = "delay_days"
"""Attribute of a stack that sets all of them to one number of days; see `with_delay`."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Series:
    """Facts of the frames of S places in T slots.

    days: (S, T) float32, at most 0, days before the cut-off, NaN in slots that do not count. present: (S, T) bool, a
    frame stands there and was published. metadata: (S, T, M) float32 in the order of `nets.metadata.FEATURES`, NaN
    where unknown. event_days: (S,) float32 to the next event, inf for none, NaN unknown. causes: (S, K) uint8, 1, 0 or
    255. kind: (S,) int64, the class of each place by its number in `core.samples.class_names`, -1 unknown.
    """

    days: Floats
    present: NDArray[np.bool_]
    metadata: Floats
    event_days: Floats
    causes: NDArray[np.uint8]
    kind: NDArray[np.int64]


def has_frames(stack: xr.Dataset) -> bool:
    """Whether a stack has frames in time."""
    return "time" in stack.dims


def with_delay(stack: xr.Dataset, delay_days: float | None) -> xr.Dataset:
    """The same stack, read as if everything had been published so many days late; None: as DELAYS_DAYS says."""
    if delay_days is None:
        return stack
    if not 0 <= delay_days < SERIES_DAYS:
        raise StackError(f"the delay is {delay_days} days; it has to be from 0 to {SERIES_DAYS - 1}")
    both = json.dumps([fingerprint(stack), delay_days]).encode()
    return stack.assign_attrs(
        {DELAY: float(delay_days), "fingerprint": hashlib.blake2b(both, digest_size=16).hexdigest()}
    )


def read_series(stack: xr.Dataset) -> Series:
    """The facts of a stack with frames: of samples in the layout of `core.domains`, or of one place with `days`.

    Variables that are not there give missing numbers. Latitudes beyond 90 and longitudes beyond 360 degrees count as
    unknown. Raises StackError where frames have no days.
    """
    if "days" not in stack.variables:
        raise StackError(
            "the stack has frames but no days before a cut-off; build domains with headscarp domains build, or give a "
            "date: headscarp forecast BUNDLE STACK --date 2014-07-29"
        )
    count, slots = stack.sizes.get("sample", 1), stack.sizes["time"]
    told = stack.attrs.get(DELAY)
    delays = DELAYS_DAYS if told is None else dict.fromkeys(DELAYS_DAYS, float(told))
    days = _of(stack, "days", (count, slots))
    sensor = _of(stack, "sensor", (count, slots), missing=1.0)
    late = np.select([sensor == i + 1 for i in range(len(SENSORS))], [delays[name] for name in SENSORS], 0.0)
    present = frames_available(days + late.astype(np.float32), 0.0) & (sensor > 0)
    days = np.where(present, days, np.float32(np.nan))
    rain, soil = (
        as_available(_of(stack, name, (count, SERIES_DAYS)), delays[name])
        for name in ("rain_mm_per_day", "soil_moisture")
    )
    cut = _day_of_year(stack, count)
    columns: dict[str, Floats] = {
        **_position(stack, count),
        **_weather(rain, soil, np.zeros((count, 1), np.float32), "cut-off"),
        **_season(rain, soil),
        **_weather(rain, soil, days, "frame"),
        **_round("cut-off", cut),
        **_round("date", cut[:, None] + days),
        "resolution_m": np.full(count, float(stack.attrs.get(PIXEL_M, np.nan)), np.float32),
        "sun_elevation": _of(stack, "sun_elevation", (count, slots)),
        "sun:north": np.cos(np.deg2rad(_of(stack, "sun_azimuth", (count, slots)))),
        "sun:east": np.sin(np.deg2rad(_of(stack, "sun_azimuth", (count, slots)))),
        "cloud_share": _of(stack, "cloud_share", (count, slots)),
    }
    metadata = np.empty((count, slots, len(FEATURES)), np.float32)
    for i, feature in enumerate(FEATURES):
        values = columns[feature.name]
        if feature.of_frame:
            metadata[:, :, i] = np.where(present, values, np.nan)
        else:
            metadata[:, :, i] = values.reshape(count, 1)
    metadata[~np.isfinite(metadata)] = np.nan
    causes = _of(stack, "causes", (count, len(CAUSES)), missing=UNLABELLED).astype(np.uint8)
    return Series(days, present, metadata, _of(stack, "event_days", (count,)), causes, class_codes(stack))


def turned_metadata(metadata: Floats, turns: int, flip: bool) -> Floats:
    """(T, M) numbers of frames that are flipped left to right and then turned to the left: the sun turns along."""
    north, east = NAMES.index("sun:north"), NAMES.index("sun:east")
    azimuth = np.arctan2(metadata[:, east], metadata[:, north])
    azimuth = (-azimuth if flip else azimuth) - np.float32(np.pi / 2 * turns)
    turned = metadata.copy()
    turned[:, north], turned[:, east] = np.cos(azimuth), np.sin(azimuth)
    return turned


def _of(stack: xr.Dataset, name: str, shape: tuple[int, ...], missing: float = np.nan) -> Floats:
    """A variable as float32 of this shape, one place standing for a sample; `missing` where there is none."""
    if name not in stack.variables:
        return np.full(shape, missing, np.float32)
    values = stack[name].to_numpy()
    return np.asarray(values if has_samples(stack) else values[None], np.float32).reshape(shape)


def _position(stack: xr.Dataset, count: int) -> dict[str, Floats]:
    latitude, longitude = (_of(stack, name, (count,)) for name in ("latitude", "longitude"))
    latitude = np.where(np.abs(latitude) <= 90, latitude, np.nan)
    longitude = np.where(np.abs(longitude) <= 360, longitude, np.nan)
    angles = {"latitude": np.deg2rad(latitude), "longitude": np.deg2rad(longitude)}
    rounds: dict[str, Floats] = {}
    for name, angle in angles.items():
        rounds |= {f"{name}:sin": np.sin(angle).astype(np.float32), f"{name}:cos": np.cos(angle).astype(np.float32)}
    rounds["elevation_m"] = _of(stack, "elevation_m", (count,))
    return rounds


def _weather(rain: Floats, soil: Floats, days: Floats, before: str) -> dict[str, Floats]:
    """Rain, log(1 + mm), and mean soil moisture over the days before each of `days` (S, T): (S, T) by name.

    The last day counted is the one before; NaN where a day is missing or lies before the series.
    """
    made: dict[str, Floats] = {}
    for n in RAIN_DAYS:
        made[f"rain_{n}d before the {before}"] = np.log1p(_windowed(rain, days, n))
    for n in SOIL_DAYS:
        made[f"soil_moisture_{n}d before the {before}"] = _windowed(soil, days, n) / np.float32(n)
    return made


def _season(rain: Floats, soil: Floats) -> dict[str, Floats]:
    """Rain, log(1 + mm), and mean soil moisture of the days that followed a year before the cut-off: (S, 1) by name."""
    made: dict[str, Floats] = {}
    for n in SEASON_RAIN_DAYS:
        end = np.full((len(rain), 1), n - SERIES_DAYS, np.float32)
        made[f"rain_{n}d from a year before the cut-off"] = np.log1p(_windowed(rain, end, n))
    for n in SEASON_SOIL_DAYS:
        end = np.full((len(soil), 1), n - SERIES_DAYS, np.float32)
        made[f"soil_moisture_{n}d from a year before the cut-off"] = _windowed(soil, end, n) / np.float32(n)
    return made


def _windowed(values: Floats, days: Floats, length: int) -> Floats:
    """Sums of the last `length` published values before each of `days`; what is published last is taken as the last.

    values: (S, D) by day -D..-1, NaN where unknown.
    """
    known = np.isfinite(values)
    last = np.where(known.any(axis=1), values.shape[1] - np.argmax(known[:, ::-1], axis=1), 0)  # (S,) one past it
    sums = np.concatenate([np.zeros((len(values), 1)), np.cumsum(np.where(known, values, 0.0), axis=1)], axis=1)
    held = np.concatenate([np.zeros((len(values), 1), int), np.cumsum(known, axis=1)], axis=1)
    end = np.minimum(values.shape[1] + np.floor(np.nan_to_num(days)).astype(int), last[:, None])  # (S, T)
    start = end - length
    row = np.arange(len(values))[:, None]
    inside = np.maximum(start, 0), np.maximum(end, 0)
    whole = (start >= 0) & (held[row, inside[1]] - held[row, inside[0]] == length) & np.isfinite(days)
    return np.asarray(np.where(whole, sums[row, inside[1]] - sums[row, inside[0]], np.nan), np.float32)


def _day_of_year(stack: xr.Dataset, count: int) -> Floats:
    """(S,) day of the year of the cut-off, from 0; NaN where it is not known."""
    if "cutoff" not in stack.variables:
        return np.full(count, np.nan, np.float32)
    return day_of_year(stack["cutoff"].to_numpy().reshape(-1))


def _round(name: str, days: Floats) -> dict[str, Floats]:
    angle = TURN_PER_DAY * days
    return {f"{name}:sin": np.sin(angle).astype(np.float32), f"{name}:cos": np.cos(angle).astype(np.float32)}
