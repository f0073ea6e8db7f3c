"""The frames of one place up to a date, from stacks of scenes, as a forecast reads them; and the forecast itself.

Stacks as `headscarp fetch` leaves them (Landsat, Sentinel-1, elevation, weather) are laid side by side: each frame in a
slot of its own, oldest first, bands of other sensors missing in it. Pixels stay lazy. Refuses stacks on other grids,
and dates before the first frame.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from headscarp.core.band import Band
from headscarp.core.bundle import Bundle, as_bundle
from headscarp.core.dates import day_of
from headscarp.core.domains import BACKSCATTER, CLOUD, HORIZONS_DAYS, REFLECTANCE, SERIES_DAYS
from headscarp.core.errors import BundleError, RecipeError, StackError
from headscarp.core.grid import Grid, footprint_lonlat, ground_resolution_m, true_cell_size_m
from headscarp.core.samples import PIXEL_M
from headscarp.core.stack import band_attrs, feature_bands, fingerprint, make_stack, stack_bands, stack_grid
from headscarp.nets import NETS, net_from_bundle
from headscarp.nets.ensemble import SPREAD
from headscarp.prediction.prevalence import with_prevalence
from headscarp.prediction.raster import predict
from headscarp.prediction.slots import Source, lazy_plane, lazy_slope, side_by_side
from headscarp.tiles.dataset import as_stack
from headscarp.tiles.fits import check_one_place
from headscarp.tiles.scenes import QUALITY
from headscarp.tiles.series import with_delay

MOST_FRAMES = 24
BLOCK_PX = 512
_SPREAD = 16
_Frame = tuple[int, int, float]
"""Of which stack, which frame of it, and days before the cut-off."""


def forecast(
    bundle: Bundle | str | Path,
    stacks: Sequence[xr.Dataset | str | Path],
    out: str | Path,
    *,
    date: str,
    horizon: str = "7d",
    delay_days: float | None = None,
    frames: int | None = None,
    prevalence: float | None = None,
    **options: Any,
) -> Path:
    """Writes the forecast of a place from a date on as a map, in constant memory, and returns its path.

    stacks: of one place, as for `frames_before`. horizon: "1d", "3d", "7d", "30d" or "180d". delay_days: see
    `tiles.series.with_delay`. frames: at most so many, the newest; None: see `frames_of`. prevalence: the true share
    of places that slide within the horizon, see `with_prevalence`; None: that of the calibration. options: of
    `predict`. Bands: the hazard within the horizon, confidence, familiarity, causes, where; of an ensemble also how far
    its members are apart. Raises BundleError for a bundle that does not forecast, RecipeError for another horizon or no
    date, StackError, and as `predict`.
    """
    bundle = as_bundle(bundle)
    if bundle.net not in NETS or not NETS[bundle.net].judges_places:
        raise BundleError(
            f"the bundle holds the net {bundle.net!r}, which does not forecast; train one: --net forecast"
        )
    hazard = f"hazard: {horizon_days(horizon)} d"
    if prevalence is not None:
        bundle = with_prevalence(bundle, prevalence, horizon_days(horizon))
    series = frames_before(stacks, date, bands=bundle.bands, frames=frames or frames_of(bundle))
    stack = with_delay(series, delay_days)
    known = [output.name for output in net_from_bundle(bundle).outputs]
    outputs = [name for name in known if "hazard: " not in name or name in (hazard, SPREAD + hazard)]
    return predict(bundle, stack, out, outputs=outputs, **{"block_px": BLOCK_PX, **options})


def frames_of(bundle: Bundle) -> int:
    """How many frames a forecast reads: as many as places had in its training, where the bundle says so. More show it
    numbers that it has never seen, and are worse."""
    return int(bundle.arguments.get("slots") or MOST_FRAMES)


def horizon_days(text: str) -> int:
    """The days of a horizon such as "7d". Raises RecipeError for one that nets are not trained for."""
    known = [f"{days}d" for days in HORIZONS_DAYS]
    if text.replace(" ", "") not in known:
        raise RecipeError(
            f"the horizon is {text!r}, but forecasts are trained for {', '.join(known)}; take one of these"
        )
    return HORIZONS_DAYS[known.index(text.replace(" ", ""))]


def frames_before(
    stacks: Sequence[xr.Dataset | str | Path], date: str, *, bands: Sequence[Band], frames: int = MOST_FRAMES
) -> xr.Dataset:
    """One stack of a place with the newest frames up to a date, and what is known of them; pixels lazy.

    stacks: on one grid; bands with `time` give frames, daily `rain_1d_mm` and `soil_moisture` among them weather, those
    without give ground. bands: those of the bundle; what no stack has is missing everywhere. Landsat's `quality` stands
    for `cloud`; where there is elevation and no slope, slope is made of it. Raises StackError, RecipeError for no date.
    """
    opened = [as_stack(stack) for stack in stacks]
    for stack in opened:
        check_one_place(stack)
    grid = _one_grid(opened)
    cut = day_of(date)
    series = [stack for stack in opened if "time" in stack.dims and not _is_weather(stack)]
    chosen = _newest(series, cut, frames)
    ground = _ground(opened, grid)
    arrays = {band: _plane(band, series, chosen, ground, grid) for band in bands}
    facts = _facts(series, chosen, cut, grid)
    facts |= _weather([stack for stack in opened if _is_weather(stack)], cut)
    key = json.dumps([[fingerprint(stack) for stack in opened], str(cut), len(chosen)]).encode()
    attrs = {PIXEL_M: ground_resolution_m(grid), "fingerprint": hashlib.blake2b(key, digest_size=16).hexdigest()}
    still = {band: array for band, array in arrays.items() if array.ndim == 2}
    made = make_stack(grid, still, attrs=attrs) if still else xr.Dataset(attrs={**opened[0].attrs, **attrs})
    for band, array in arrays.items():
        if array.ndim == 3:
            made[band.name] = (("time", "y", "x"), array, band_attrs(band))
    made = made[[band.name for band in bands]].assign(facts)
    if "elevation" in made:
        step = [max(1, side // _SPREAD) for side in grid.shape]
        heights = made["elevation"][:: step[0], :: step[1]].to_numpy()
        known = np.isfinite(heights)
        made["elevation_m"] = np.float32(heights[known].mean() if known.any() else np.nan)
    return made


def _one_grid(stacks: Sequence[xr.Dataset]) -> Grid:
    if not stacks:
        raise StackError("no stack was given; fetch the scenes of the place first: headscarp fetch")
    grids = [stack_grid(stack) for stack in stacks]
    if any(grid != grids[0] for grid in grids[1:]):
        raise StackError("the stacks are not on one grid; fetch them together, so that they are")
    return grids[0]


def _is_weather(stack: xr.Dataset) -> bool:
    return "time" in stack.dims and "rain_1d_mm" in stack.variables


def _newest(series: Sequence[xr.Dataset], cut: np.datetime64, frames: int) -> list[_Frame]:
    """The newest frames up to the end of the day, oldest first."""
    found: list[_Frame] = []
    for i, stack in enumerate(series):
        days = (stack["time"].to_numpy().astype("datetime64[s]") - cut.astype("datetime64[s]")).astype(float) / 86400
        found += [(i, int(t), min(float(days[t]), 0.0)) for t in np.flatnonzero(days < 1)]
    if not found:
        spans = [stack["time"].to_numpy() for stack in series if stack.sizes["time"]]
        between = f"; the first is of {min(span.min() for span in spans)!s:.10}" if spans else ""
        raise StackError(f"there is no frame up to {cut}{between}: fetch earlier scenes, or give a later date")
    return sorted(found, key=lambda frame: frame[2])[-frames:]


def _ground(stacks: Sequence[xr.Dataset], grid: Grid) -> dict[str, xr.DataArray]:
    """Planes without time by name, slope among them where there is elevation."""
    planes = {
        str(name): array for stack in stacks for name, array in stack.data_vars.items() if array.dims == ("y", "x")
    }
    if "elevation" in planes and "slope" not in planes:
        planes["slope"] = lazy_slope(planes["elevation"], true_cell_size_m(grid))
    return planes


def _plane(
    band: Band,
    series: Sequence[xr.Dataset],
    chosen: Sequence[_Frame],
    ground: Mapping[str, xr.DataArray],
    grid: Grid,
) -> Any:
    """A band as (time, y, x) from the frames, or (y, x) from the ground; missing where nobody has it."""
    if band.name in ground:
        return lazy_plane(ground[band.name], band)
    if not band.optional and band.kind == "continuous":
        raise StackError(f"no stack has the ground band {band.name!r}, which the bundle reads; give one that has")

    def source(stack: xr.Dataset, frame: int) -> Source | None:
        name = QUALITY if band.name == CLOUD and CLOUD not in stack else band.name
        return (stack[name], frame) if name in stack and "time" in stack[name].dims else None

    return side_by_side([source(series[i], frame) for i, frame, _ in chosen], band, (grid.shape[0], grid.shape[1]))


def _facts(series: Sequence[xr.Dataset], chosen: Sequence[_Frame], cut: np.datetime64, grid: Grid) -> dict[str, Any]:
    """What is known of the frames and of the place."""
    ring = footprint_lonlat(grid)

    def sensor(stack: xr.Dataset) -> int:
        held = {band.name for band in feature_bands(stack)}
        return 2 if held & set(BACKSCATTER) and not held & set(REFLECTANCE) else 1

    def told(name: str) -> np.ndarray:
        values = [float(series[i][name][t]) if name in series[i].variables else np.nan for i, t, _ in chosen]
        return np.array(values, np.float32)

    return {
        "days": ("time", np.array([days for _, _, days in chosen], np.float32)),
        "sensor": ("time", np.array([sensor(series[i]) for i, _, _ in chosen], np.uint8)),
        "sun_elevation": ("time", told("sun_elevation")),
        "sun_azimuth": ("time", told("sun_azimuth")),
        "latitude": np.float32(ring[:, 1].mean()),
        "longitude": np.float32(ring[:, 0].mean()),
        "cutoff": cut.astype("datetime64[ns]"),
    }


def _weather(stacks: Sequence[xr.Dataset], cut: np.datetime64) -> dict[str, Any]:
    """Daily rain and soil moisture before the cut-off, the mean over spread cells; NaN where a day is missing.

    A frame of a weather stack tells of the day before it.
    """
    found = {}
    for name, band in (("rain_mm_per_day", "rain_1d_mm"), ("soil_moisture", "soil_moisture")):
        values = np.full(SERIES_DAYS, np.nan, np.float32)
        for stack in stacks:
            if band not in {b.name for b in stack_bands(stack)}:
                continue
            day = (stack["time"].to_numpy().astype("datetime64[D]") - cut).astype(int) - 1  # -1: the day before the cut
            steps = [max(1, stack.sizes[axis] // _SPREAD) for axis in ("y", "x")]
            for t in np.flatnonzero((day >= -SERIES_DAYS) & (day < 0)):
                cells = stack[band][t, :: steps[0], :: steps[1]].to_numpy()
                if np.isfinite(cells).any():
                    values[day[t]] = np.nanmean(cells)
        found[name] = ("day", values)
    return found
