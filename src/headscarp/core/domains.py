"""The layout of a stack of domains: places x frames x sensors, with weather, dates, causes and what came after.

A stack of samples (`core.samples`) whose frames stand in slots of `time`, oldest first, padded at the end. A slot is
one acquisition of one sensor; the bands of the other are NaN in it. Names and their check live here, nothing else: it
reads no files, and refuses stacks where something after the cut-off date stands among what came before.
"""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from headscarp.core.band import UNLABELLED, Band
from headscarp.core.errors import StackError
from headscarp.core.samples import SAMPLE
from headscarp.core.stack import LABEL, check_stack

FRAME, DAY, CAUSE, HORIZON = "time", "day", "cause", "horizon"
HORIZONS_DAYS = (1, 3, 7, 30, 180)
CAUSES = ("eruption", "earthquake", "deforestation", "rain", "mining", "construction")
SERIES_DAYS = 365
"""Days of weather before the cut-off: `day` is -365..-1."""

SENSORS = ("landsat", "sentinel1")
"""By code - 1 in `sensor`; code 0 is a padded slot."""
REFLECTANCE = ("blue", "green", "red", "nir", "swir1", "swir2")
CLOUD = "cloud"
CLOUD_CLASSES = ("clear", "cloud", "cloud shadow", "snow", "water")
BACKSCATTER = ("vv", "vh")
TRACE = "trace_"
"""What the bands begin with that say how much of a cell shows a trace at the cut-off, where somebody has mapped it."""
TRACES = ("cleared", "pit", "cut", "scar", "ash")
"""Felled or ploughed ground, the face and floor of a pit, a road with its cut, ground bared by shaking, ash."""
STATIC = {"elevation": "m", "slope": "degree"}
SERIES = {"rain_mm_per_day": "mm/d", "soil_moisture": "m3/m3"}

FRAME_FACTS = {
    "days": "float32",
    "sensor": "uint8",
    "sun_elevation": "float32",
    "sun_azimuth": "float32",
    "cloud_share": "float32",
}
"""Variables over (sample, time). days: before the cut-off, <= 0, NaN = padded. Sun in degrees, NaN for radar."""
SAMPLE_FACTS = ("region", "cutoff", "latitude", "longitude", "elevation_m")
"""Coordinates along `sample`, beside `sample_id`, and `part` where it was given."""


def domain_bands(source: str) -> tuple[Band, ...]:
    """The bands of domains in their order: frames (sample, time, y, x), then the ground and the label (sample, y, x).

    Landsat's reflectance ("1") and `cloud` (code 0 in radar frames), Sentinel-1's backscatter (dB), elevation, slope;
    `landslide`: 1 slides within the longest horizon after the cut-off, 0 does not, 255 unknown.
    """
    return (
        *(Band(name, "continuous", "1", f"{source}, surface reflectance", optional=True) for name in REFLECTANCE),
        Band(CLOUD, "categorical", source=f"{source}, quality", classes=CLOUD_CLASSES),
        *(Band(name, "continuous", "dB", f"{source}, backscatter", optional=True) for name in BACKSCATTER),
        *(Band(name, "continuous", units, f"{source}, ground") for name, units in STATIC.items()),
        Band(LABEL, "label", "1", f"{source}, within {HORIZONS_DAYS[-1]} days after the cut-off"),
    )


def trace_bands(source: str) -> tuple[Band, ...]:
    """The bands of TRACES over (sample, y, x): share of a cell, NaN where nobody has looked. No net reads them."""
    return tuple(Band(TRACE + name, "target", "1", f"{source}, at the cut-off") for name in TRACES)


def has_frames(band: str) -> bool:
    """Whether a band of domains has a plane for each frame."""
    return band in (*REFLECTANCE, CLOUD, *BACKSCATTER)


def is_domains(stack: xr.Dataset) -> bool:
    """Whether a stack of samples carries frames, days before a cut-off, and what came after."""
    return SAMPLE in stack.dims and FRAME in stack.dims and {"days", "event_days"} <= set(stack.variables)


def check_domains(stack: xr.Dataset) -> xr.Dataset:
    """The same stack, when it holds the layout. Raises StackError that names what is missing or out of place."""
    check_stack(stack)
    needed: dict[str, tuple[str, ...]] = {
        band.name: (SAMPLE, FRAME, "y", "x") if has_frames(band.name) else (SAMPLE, "y", "x") for band in _BANDS
    }
    needed |= dict.fromkeys(FRAME_FACTS, (SAMPLE, FRAME)) | dict.fromkeys(SERIES, (SAMPLE, DAY))
    needed |= dict.fromkeys((*SAMPLE_FACTS, "event_days", "thriving"), (SAMPLE,)) | {"causes": (SAMPLE, CAUSE)}
    needed |= {TRACE + name: (SAMPLE, "y", "x") for name in TRACES if TRACE + name in stack.variables}
    for name, dims in needed.items():
        if name not in stack.variables:
            raise StackError(
                f"the domains have no {name!r}; needed over {dims}: build them with headscarp domains build"
            )
        if stack[name].dims != dims:
            raise StackError(f"{name!r} of the domains has dimensions {stack[name].dims}; needed: {dims}")
    if tuple(str(cause) for cause in stack[CAUSE].to_numpy()) != CAUSES:
        raise StackError(f"the domains have the causes {list(stack[CAUSE].to_numpy())}; needed in this order: {CAUSES}")
    days, sensor = stack["days"].to_numpy(), stack["sensor"].to_numpy()
    known = np.isfinite(days)
    if (days[known] > 0).any():
        late = int(np.argmax((np.nan_to_num(days, nan=-1.0) > 0).any(axis=1)))
        raise StackError(
            f"sample {late} has a frame after its cut-off; days have to be 0 or less: leave that frame out"
        )
    if (known[:, 1:] & ~known[:, :-1]).any() or (np.diff(days, axis=1) < 0).any():
        raise StackError("the frames of the domains are not oldest first with padding at the end; sort them by days")
    if ((sensor > 0) != known).any() or sensor.max(initial=0) > len(SENSORS):
        raise StackError(f"sensor and days of the domains disagree; 0 is padding, then {', '.join(SENSORS)}")
    series = stack[DAY].to_numpy()
    if len(series) != SERIES_DAYS or (series != np.arange(-SERIES_DAYS, 0)).any():
        raise StackError(f"the weather of the domains has other days than -{SERIES_DAYS}..-1; bring it onto these")
    return stack


def as_available(values: NDArray[np.float32], delay_days: float) -> NDArray[np.float32]:
    """The daily values that were published at the cut-off: the others are NaN.

    values: (..., day), the last of the day before the cut-off. delay_days: from the end of a day to its publication.
    """
    if not 0 <= delay_days < np.inf:
        raise StackError(f"delay_days is {delay_days}; it has to be 0 or more, such as 5 for ERA5-Land")
    known = values.shape[-1] - int(np.ceil(delay_days))
    return np.where(np.arange(values.shape[-1]) < known, values, np.float32(np.nan)).astype(np.float32)


def frames_available(days: NDArray[np.float32], delay_days: float) -> NDArray[np.bool_]:
    """Which frames were published at the cut-off. days: before the cut-off, <= 0, NaN = padded, which never was."""
    if not 0 <= delay_days < np.inf:
        raise StackError(f"delay_days is {delay_days}; it has to be 0 or more")
    return np.asarray(np.nan_to_num(days, nan=1.0) + delay_days <= 0.0)


def events_within(event_days: NDArray[np.float32], horizons_days: Sequence[float] = HORIZONS_DAYS) -> NDArray[np.uint8]:
    """(sample, horizon) 1 where the next event comes within (0, h] days after the cut-off, 0 where not, 255 unknown.

    event_days: (sample,) days from the cut-off to the next event, +inf for none, NaN unknown.
    """
    within = np.asarray(event_days)[:, None] <= np.asarray(horizons_days, np.float32)
    return np.where(np.isnan(event_days)[:, None], UNLABELLED, within).astype(np.uint8)


_BANDS = domain_bands("")
