"""What an inventory of landslides is: one row a slide or part of one, the same columns and words whatever it came from.

An inventory is a GeoDataFrame with the columns below; what else the original held stands beside them as original_NAME.
Refuses a table that is not in this form and says which column is wrong; it never mends one (`fields.normalise` does).
"""

from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from headscarp.core.errors import SourceError

CAUSES = ("eruption", "earthquake", "deforestation", "rain", "mining", "construction", "unknown")
"""The classes of Rangnekar and Hoffman (2019) without thriving forest, which is no event; and unknown."""
TYPES = ("scarp", "deposit", "whole", "unknown")
CERTAINTIES = ("certain", "probable", "questionable", "unknown")

WORDS = {"type": TYPES, "cause": CAUSES, "certainty": CERTAINTIES, "date_certainty": CERTAINTIES}
DATES = ("date", "date_low", "date_high")
NUMBERS = ("area_m2", "radius_m")
COLUMNS = ("id", *DATES, "date_certainty", "type", "cause", "certainty", *NUMBERS, "source", "geometry")
"""date: known to the day at least, else NaT; with the time of day where there is one. date_low, date_high: the first
and last second it may have been, NaT where open. area_m2: true square metres, NaN for what is no polygon. radius_m: how
far the true place may lie from the geometry, NaN where unknown."""
OPTIONAL = ("radius_m",)
ORIGINAL = "original_"

Note = tuple[int, str, str, str, str]
NOTE_COLUMNS = ("row", "id", "column", "value", "reason")
EQUAL_AREA = "EPSG:6933"
"""Cylindrical equal area on the WGS84 ellipsoid: areas are true everywhere, shapes are not."""

_POLYGONS = (3, 6)


@dataclass(frozen=True, eq=False)
class Inventory:
    """table: every row that was read, in its order and in the schema. notes: what could not be used, one row each: row
    (from 0), id, column, value and reason; so that nothing is dropped silently."""

    table: gpd.GeoDataFrame
    notes: pd.DataFrame

    def reasons(self) -> dict[str, int]:
        """How many notes there are of each reason, most frequent first."""
        return {str(reason): int(count) for reason, count in self.notes["reason"].value_counts().items()}


def check_inventory(table: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """The same table when it is an inventory in this schema. Raises SourceError that names what is wrong."""
    if not isinstance(table, gpd.GeoDataFrame):
        raise SourceError(f"an inventory is a GeoDataFrame, not {type(table).__name__}; make one with normalise")
    missing = [name for name in COLUMNS if name not in table.columns and name not in OPTIONAL]
    if missing:
        raise SourceError(
            f"the inventory lacks the columns {', '.join(missing)}; it has: {', '.join(map(str, table.columns))}; "
            "bring it into the schema with normalise"
        )
    for name, words in WORDS.items():
        wrong = sorted({str(value) for value in table[name][~table[name].isin(words)]})
        if wrong:
            raise SourceError(f"column {name!r} holds {', '.join(wrong[:5])}; it may hold: {', '.join(words)}")
    for name in DATES:
        if not pd.api.types.is_datetime64_dtype(table[name]):
            raise SourceError(f"column {name!r} is {table[name].dtype}; it has to be datetime64 without a time zone")
    for name in NUMBERS:
        if name in table.columns and not pd.api.types.is_float_dtype(table[name]):
            raise SourceError(f"column {name!r} is {table[name].dtype}; it has to be float64, NaN where unknown")
    for name in ("id", "source"):
        if not all(isinstance(value, str) for value in table[name]):
            raise SourceError(f"column {name!r} has to hold text")
    _check_dates(table)
    if table.crs is None and not table.geometry.isna().all():
        raise SourceError("the inventory has no CRS; set it: table.set_crs('EPSG:4326')")
    return table


def true_areas_m2(shapes: gpd.GeoSeries) -> NDArray[np.float64]:
    """(n,) areas of polygons on the ground in square metres, whatever the CRS; NaN for points, lines and no shape."""
    out = np.full(len(shapes), np.nan)
    polygon = np.isin(shapely.get_type_id(shapes.to_numpy()), _POLYGONS)
    if polygon.any():
        out[polygon] = shapes[polygon].to_crs(EQUAL_AREA).area.to_numpy()
    return out


def make_notes(rows: list[Note]) -> pd.DataFrame:
    """Notes as a table: row, id, column, value, reason; in the order of the rows."""
    notes = pd.DataFrame(sorted(rows), columns=list(NOTE_COLUMNS))
    return notes.astype({"row": "int64", **dict.fromkeys(NOTE_COLUMNS[1:], "str")})


def notes_of(inventory: Inventory) -> list[Note]:
    """The notes of an inventory one by one, to which a reader adds its own before `make_notes`."""
    columns = (inventory.notes[name].tolist() for name in NOTE_COLUMNS)
    return list(zip(*columns, strict=True))


def _check_dates(table: gpd.GeoDataFrame) -> None:
    date, low, high = (table[name] for name in DATES)
    for wrong, text in (
        (date < low, "a date before date_low"),
        (date > high, "a date after date_high"),
        (low > high, "date_low after date_high"),
    ):
        if wrong.any():
            first = table.loc[wrong, "id"].iloc[0]
            raise SourceError(f"{int(wrong.sum())} rows have {text}, first {first!r}; every date lies in its interval")
