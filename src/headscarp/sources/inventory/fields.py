"""Any table of landslides into the one schema, by a declared mapping of its columns and values.

Every row that comes in goes out, in the same order: what cannot be used is left empty (NaT, "unknown", no geometry) and
noted with its reason, and the original columns stay beside as original_NAME. Normalising twice changes nothing.
Refuses columns that are not there, words that the schema does not have, and shapes without a CRS.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from headscarp.core.errors import RecipeError, SourceError
from headscarp.sources.inventory.dates import ISO, PARTIAL, Dates, dates_of_parts, read_dates
from headscarp.sources.inventory.schema import (
    COLUMNS,
    DATES,
    NUMBERS,
    ORIGINAL,
    WORDS,
    Inventory,
    Note,
    check_inventory,
    make_notes,
    true_areas_m2,
)

_POLYGONS = (3, 6)


@dataclass(frozen=True)
class Fields:
    """What the columns and values of a table mean.

    columns: schema column -> column of the table; date may be a triple (year, month, day). A table's column with the
    schema's own name needs no entry. values: schema column -> {word of the table: word of the schema}, compared without
    case, with _ and - as spaces; the schema's own words need no entry. constants: schema column -> one value for all
    rows that have no other. formats: of dates, see `dates.read_dates`. source: what the table is. derived: columns that
    a reader made from others, so that they are no originals.
    """

    columns: Mapping[str, str | tuple[str, str, str]] = field(default_factory=dict)
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)
    formats: tuple[str, ...] = (*ISO, *PARTIAL)
    source: str = ""
    derived: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in (*self.columns, *self.values, *self.constants):
            if name not in COLUMNS or name == "geometry":
                raise RecipeError(f"an inventory has no column {name!r}; it has: {', '.join(COLUMNS)}")
        for name, words in self.values.items():
            _check_words(name, words.values())
        for name, word in self.constants.items():
            _check_words(name, [word])


def normalise(table: gpd.GeoDataFrame, fields: Fields | None = None) -> Inventory:
    """The inventory that a table holds: as many rows, in the schema, and notes of all that could not be used.

    Polygons that cross themselves are mended and noted; area_m2 is measured on the ground, and taken from a column only
    for what is no polygon. Raises SourceError.
    """
    fields = fields or Fields()
    _check_columns(table, fields)
    if table.crs is None and not table.geometry.isna().all():
        raise SourceError("the table has no CRS; set it first: table.set_crs('EPSG:4326')")
    table = table.reset_index(drop=True)
    notes: list[Note] = []
    ids = _ids(table, fields)
    shapes = _shapes(table.geometry, ids, notes)
    made: dict[str, Any] = {"id": ids, **_dates(table, fields, ids, notes)}
    for name in ("type", "cause", "certainty"):
        made[name] = _words(name, table, fields, ids, notes)
    made["date_certainty"] = _date_certainty(made, table, fields, ids, notes)
    stated = {name: _numbers(name, table, fields, ids, notes) for name in NUMBERS}
    areas = true_areas_m2(shapes)
    made["area_m2"] = np.where(np.isnan(areas), stated["area_m2"], areas)
    made["radius_m"] = stated["radius_m"]
    made["source"] = _sources(table, fields)
    ordered = {name: made[name] for name in COLUMNS if name != "geometry"}
    kept = _originals(table, ordered, fields)
    out = gpd.GeoDataFrame({**ordered, **kept}, geometry=shapes, crs=table.crs)
    return Inventory(check_inventory(out), make_notes(notes))


def plain_word(value: Any) -> str:
    """A word as mappings compare it: lower case, with spaces for _ and -; "" for what is missing."""
    if value is None or value is pd.NaT or (isinstance(value, float) and np.isnan(value)):
        return ""
    return " ".join(str(value).casefold().replace("_", " ").replace("-", " ").split())


def _check_words(name: str, words: Any) -> None:
    wrong = sorted({word for word in words if word not in WORDS[name]}) if name in WORDS else []
    if wrong:
        raise RecipeError(f"{name} {wrong[0]!r} is not known; use one of: {', '.join(WORDS[name])}")


def _check_columns(table: gpd.GeoDataFrame, fields: Fields) -> None:
    if not isinstance(table, gpd.GeoDataFrame):
        raise SourceError(f"needed: a GeoDataFrame, not {type(table).__name__}; give the table a geometry first")
    for name, column in fields.columns.items():
        for one in (column,) if isinstance(column, str) else column:
            if one not in table.columns:
                raise SourceError(
                    f"the table has no column {one!r} for {name}; it has: {', '.join(map(str, table.columns))}"
                )


def _column(name: str, table: gpd.GeoDataFrame, fields: Fields) -> str | None:
    """The one column of the table that stands for a column of the schema; None where there is none."""
    column = fields.columns.get(name, name if name in table.columns else None)
    return column if isinstance(column, str) else None


def _ids(table: gpd.GeoDataFrame, fields: Fields) -> pd.Series:
    column = _column("id", table, fields)
    rows = pd.Series([str(i) for i in range(len(table))], dtype="str")
    if column is None:
        return rows
    text = table[column].map(lambda v: str(int(v)) if isinstance(v, float) and v.is_integer() else str(v)).astype("str")
    return text.where(table[column].notna() & (text != ""), rows)


def _shapes(shapes: gpd.GeoSeries, ids: pd.Series, notes: list[Note]) -> gpd.GeoSeries:
    """Shapes that are whole and valid; None where there is none."""
    values = shapes.to_numpy().copy()
    nothing = np.array([shape is None or shape.is_empty for shape in values], bool)
    wrong = ~shapely.is_valid(values) & ~nothing
    for i in np.flatnonzero(wrong):
        notes.append((int(i), ids[i], "geometry", shapely.is_valid_reason(values[i])[:80], "invalid shape, mended"))
        values[i] = _mended(values[i])
    for i in np.flatnonzero(nothing):
        values[i] = None
        notes.append((int(i), ids[i], "geometry", "", "no geometry"))
    return gpd.GeoSeries(values, crs=shapes.crs)


def _mended(shape: Any) -> Any:
    """A valid shape; of a polygon its polygons, without the lines that mending leaves."""
    valid = shapely.make_valid(shape)
    if shapely.get_type_id(shape) not in _POLYGONS:
        return valid
    parts = [part for part in shapely.get_parts(valid) if shapely.get_type_id(part) in _POLYGONS]
    return shapely.union_all(parts) if parts else valid


def _dates(table: gpd.GeoDataFrame, fields: Fields, ids: pd.Series, notes: list[Note]) -> dict[str, pd.Series]:
    """date, date_low and date_high: the day's own interval, or the one that other columns name."""
    read = {name: _read(name, table, fields, ids, notes) for name in DATES}
    date = read["date"].date
    low, high = read["date_low"].low.fillna(read["date"].low), read["date_high"].high.fillna(read["date"].high)
    told = read["date"].unreadable
    for wrong, reason in (
        ((date < low) | (date > high), "date outside its interval; the interval is now the day"),
        (date.isna() & (low > high), "interval ends before it begins; left out"),
    ):
        for i in np.flatnonzero(wrong):
            notes.append((int(i), ids[i], "date", f"{low[i]} to {high[i]}", reason))
        low, high = low.mask(wrong, read["date"].low), high.mask(wrong, read["date"].high)
        told = told | wrong
    if any(name in fields.columns or name in table.columns for name in DATES):
        for i in np.flatnonzero(date.isna() & low.isna() & high.isna() & ~told):
            notes.append((int(i), ids[i], "date", "", "no date"))
    return {"date": date, "date_low": low, "date_high": high}


def _read(name: str, table: gpd.GeoDataFrame, fields: Fields, ids: pd.Series, notes: list[Note]) -> Dates:
    parts = fields.columns.get(name)
    if isinstance(parts, tuple):
        found = dates_of_parts(*(table[part] for part in parts))
        shown = pd.Series(["-".join(map(str, row)) for row in table[list(parts)].itertuples(index=False)], dtype="str")
    else:
        column = _column(name, table, fields)
        shown = pd.Series(None, index=table.index, dtype=object) if column is None else table[column]
        found = read_dates(shown, fields.formats)
    for i in np.flatnonzero(found.unreadable):
        notes.append((int(i), ids[i], name, str(shown[i]), "unreadable date"))
    return found


def _words(
    name: str, table: gpd.GeoDataFrame, fields: Fields, ids: pd.Series, notes: list[Note], default: Any = "unknown"
) -> pd.Series:
    """The schema's words for a column; the default where the table says nothing or something that is not known."""
    default = fields.constants.get(name, default)
    default = default if isinstance(default, pd.Series) else pd.Series(default, index=table.index, dtype="str")
    column = _column(name, table, fields)
    if column is None:
        return default
    known = {word: word for word in WORDS[name]} | {plain_word(k): v for k, v in fields.values.get(name, {}).items()}
    plain = table[column].map(plain_word)
    words = plain.map(known)
    for i in np.flatnonzero(words.isna() & (plain != "")):
        notes.append((int(i), ids[i], name, str(table[column][i]), f"{name} not known; now {default[i]}"))
    return words.fillna(default).astype("str")


def _date_certainty(
    made: Mapping[str, Any], table: gpd.GeoDataFrame, fields: Fields, ids: pd.Series, notes: list[Note]
) -> pd.Series:
    """Certain where the table says nothing else and there is a date or an interval, else unknown."""
    dated = made["date_low"].notna() | made["date_high"].notna()
    default = dated.map({True: "certain", False: "unknown"}).astype("str")
    return _words("date_certainty", table, fields, ids, notes, default).where(dated, "unknown")


def _numbers(name: str, table: gpd.GeoDataFrame, fields: Fields, ids: pd.Series, notes: list[Note]) -> pd.Series:
    column = _column(name, table, fields)
    if column is None:
        return pd.Series(np.nan, index=table.index)
    numbers = pd.to_numeric(table[column], errors="coerce").astype("float64")
    for i in np.flatnonzero(numbers.isna() & table[column].notna() & (table[column].map(str).str.strip() != "")):
        notes.append((int(i), ids[i], name, str(table[column][i]), "not a number"))
    return numbers.where(numbers >= 0)


def _sources(table: gpd.GeoDataFrame, fields: Fields) -> pd.Series:
    column = _column("source", table, fields)
    if column is None:
        return pd.Series(fields.constants.get("source", fields.source), index=table.index, dtype="str")
    return table[column].fillna("").astype("str")


def _originals(table: gpd.GeoDataFrame, made: Mapping[str, Any], fields: Fields) -> dict[str, pd.Series]:
    """The columns of the table, each under original_NAME, but for those that the schema took over unchanged."""
    kept: dict[str, pd.Series] = {}
    taken = {name.casefold() for name in COLUMNS}
    for column in table.columns:
        name = str(column)
        if (
            column == table.geometry.name
            or name in fields.derived
            or (name in made and _same(table[column], pd.Series(made[name])))
        ):
            continue
        name = name if name.startswith(ORIGINAL) else ORIGINAL + name
        while name.casefold() in taken:  # databases do not tell "Date" from "date"
            name += "_"
        taken.add(name.casefold())
        kept[name] = table[column]
    return kept


def _same(ours: pd.Series, theirs: pd.Series) -> bool:
    """Whether two columns hold the same values, missing ones included."""
    for kind in (pd.api.types.is_datetime64_any_dtype, pd.api.types.is_numeric_dtype):
        if kind(ours) != kind(theirs):
            return False
    return bool(((ours == theirs) | (ours.isna() & theirs.isna())).all())
