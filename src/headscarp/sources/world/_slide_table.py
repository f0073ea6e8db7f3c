"""When and why the simulated landslides happened, and the two tables of polygons that a mapper would have drawn.

The columns are those of the inventory schema; what only the simulation knows has the prefix original_.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import geopandas as gpd
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rasterio.features import shapes
from shapely.geometry import shape
from shapely.ops import unary_union

from headscarp.core.errors import RecipeError
from headscarp.core.grid import Grid, window_grid
from headscarp.core.tile import Window
from headscarp.sources.world._slide_shapes import Deposit, Scarp

SOURCE = "simulated by Headscarp (headscarp.sources.world.slides): not a real place"

_RECORDS_YEARS = 70.0  # nothing older has a date
_SKEW = 0.6  # below 1: more old slides than an even spread over the logarithm of age would have
_CAUSES, _SHARES = ("rain", "earthquake", "construction"), (0.8, 0.12, 0.08)
_CERTAIN_YEARS, _PROBABLE_YEARS = 500.0, 6000.0


@dataclass(frozen=True)
class Event:
    """Which slide, how old, on which day (None where nobody saw it), on which at the latest, and why."""

    number: int
    age_years: float
    day: date | None
    latest: date
    cause: str


def draw_events(
    count: int, ages_years: tuple[float, float], until: date, rng: np.random.Generator
) -> tuple[Event, ...]:
    """Ages between the two ends, on a logarithmic scale; those within the last 70 years have a day and a cause.

    Rain fails slopes in the wet half of the year, November to April; one earthquake takes several on its day. Raises
    RecipeError for ages that make no sense.
    """
    youngest, oldest = ages_years
    if not 0.0 <= youngest < oldest:
        raise RecipeError(
            f"ages from {youngest:g} to {oldest:g} years were asked for; 0 <= youngest < oldest is needed"
        )
    if count < 1:
        raise RecipeError(f"{count} landslides were asked for; at least 1 is needed")
    low = max(youngest, 1.0 / 365.25)
    ages = low * (oldest / low) ** (rng.uniform(size=count) ** _SKEW)
    quake_years = min(youngest + 0.3 * min(oldest - youngest, _RECORDS_YEARS), _RECORDS_YEARS)
    quake = until - timedelta(days=int(365.25 * quake_years))
    return tuple(_event(k, float(age), quake, until, rng) for k, age in enumerate(ages))


def _event(number: int, age_years: float, quake: date, until: date, rng: np.random.Generator) -> Event:
    cause, wet = str(rng.choice(_CAUSES, p=_SHARES)), rng.normal(0.0, 35.0)
    if age_years > _RECORDS_YEARS:
        return Event(number, age_years, None, until - timedelta(days=int(365.25 * _RECORDS_YEARS)), "unknown")
    day = until - timedelta(days=round(365.25 * age_years))
    if cause == "rain":
        middle = date(day.year + (day.month > 7), 1, 31)
        day = middle + timedelta(days=int(np.clip(wet, -90, 85)))
        while day > until:
            day = day.replace(year=day.year - 1)
    if cause == "earthquake":
        day = quake
    return Event(number, max((until - day).days, 1) / 365.25, day, day, cause)


def tabulate(
    slides: Sequence[tuple[Event, Scarp, Deposit]], grid: Grid, cell_m2: float
) -> tuple[gpd.GeoDataFrame, gpd.GeoDataFrame]:
    """The tables of scarps and of deposits, in the order of the slides' numbers."""
    ordered = sorted(slides, key=lambda slide: slide[0].number)
    scarps = [_row(event, scarp.rows, scarp.cols, grid, "scarp") for event, scarp, _ in ordered]
    deposits = [_row(event, deposit.rows, deposit.cols, grid, "deposit") for event, _, deposit in ordered]
    known = {
        "original_volume_m3": [float(scarp.depth_m.sum()) * cell_m2 for _, scarp, _ in ordered],
        "original_reach_deg": [float(np.degrees(np.arctan(deposit.reach))) for _, _, deposit in ordered],
    }
    return _table(scarps, known, grid), _table(deposits, known, grid)


def _table(rows: list[dict[str, object]], known: dict[str, list[float]], grid: Grid) -> gpd.GeoDataFrame:
    columns: tuple[str, ...] = (
        "id",
        "date",
        "date_low",
        "date_high",
        "date_certainty",
        "type",
        "cause",
        "certainty",
        "area_m2",
    )
    columns += ("source", "original_slide", "original_age_years", "geometry")
    table = gpd.GeoDataFrame({c: [row[c] for row in rows] for c in columns}, geometry="geometry", crs=str(grid.crs))
    for name in ("date", "date_low", "date_high"):
        table[name] = pd.to_datetime(table[name]).astype("datetime64[ns]")
    for name, values in known.items():
        table.insert(len(table.columns) - 1, name, np.asarray(values, np.float64))
    return table


def _row(event: Event, rows: NDArray[np.int64], cols: NDArray[np.int64], grid: Grid, kind: str) -> dict[str, object]:
    outline = _outline(rows, cols, grid)
    day = None if event.day is None else pd.Timestamp(event.day)
    return {
        "id": f"simulated-{event.number:04d}-{kind}",
        "date": day,
        "date_low": day,
        "date_high": pd.Timestamp(event.latest) + pd.Timedelta(days=1, seconds=-1),
        "date_certainty": "unknown" if day is None else "certain",
        "type": kind,
        "cause": event.cause,
        "certainty": _certainty(event.age_years),
        "area_m2": outline.area,
        "source": SOURCE,
        "original_slide": event.number,
        "original_age_years": event.age_years,
        "geometry": outline,
    }


def _certainty(age_years: float) -> str:
    """What a mapper would note: fresh edges leave no doubt, worn ones do."""
    if age_years < _CERTAIN_YEARS:
        return "certain"
    return "probable" if age_years < _PROBABLE_YEARS else "questionable"


def _outline(rows: NDArray[np.int64], cols: NDArray[np.int64], grid: Grid):  # type: ignore[no-untyped-def]
    """The polygon of some cells, its staircase drawn as slanted lines; never further than a cell from the cells."""
    top, left = int(rows.min()), int(cols.min())
    inside = np.zeros((int(rows.max()) - top + 1, int(cols.max()) - left + 1), np.uint8)
    inside[rows - top, cols - left] = 1
    transform = window_grid(grid, Window(top, left, *inside.shape)).affine
    cells = unary_union([shape(part) for part, value in shapes(inside, transform=transform, connectivity=8) if value])
    smooth = cells.simplify(0.71 * abs(grid.affine.a))
    return smooth if smooth.is_valid and not smooth.is_empty else cells.buffer(0)
