"""NASA's Global Landslide Catalog as an inventory: dated point events with one of the seven causes.

Reads the exports up to 2016 (`trigger`), those since (`landslide_trigger`) and COOLR's (`ls_trig`), plain or gzipped.
Every event stays: without a date it has NaT, without a place no geometry, and a note says why. Refuses a CSV that is
none of these and names the columns that it has. Events: Kirschbaum et al. (2010, 2015); most were reported by media,
and in some countries far more than in others.
"""

import warnings
from collections.abc import Mapping
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from headscarp.core.errors import HeadscarpWarning, RecipeError, SourceError
from headscarp.sources.inventory.dates import ISO, read_dates
from headscarp.sources.inventory.fields import Fields, normalise, plain_word
from headscarp.sources.inventory.schema import CAUSES, ORIGINAL, Inventory, make_notes, notes_of

SOURCE = "NASA Global Landslide Catalog"
LICENCE = "NASA open data"
CITATION = "Kirschbaum et al. (2010) Nat. Hazards 52:561-575; Kirschbaum, Stanley, Zhou (2015) Geomorphology 249:4-15"

TRIGGERS: dict[str, str] = {
    "downpour": "rain",
    "rain": "rain",
    "continuous rain": "rain",
    "monsoon": "rain",
    "tropical cyclone": "rain",
    "flooding": "rain",
    "earthquake": "earthquake",
    "volcano": "eruption",
    "mining": "mining",
    "mining digging": "mining",
    "construction": "construction",
    # Water, but not of rain: the rain of the days before says nothing about them.
    "snowfall snowmelt": "unknown",
    "freeze thaw": "unknown",
    # Man-made, but whether by mining, construction, traffic or rain on an old dam is not said.
    "dam embankment collapse": "unknown",
    "leaking pipe": "unknown",
    "vibration": "unknown",
    "no apparent trigger": "unknown",
    "other": "unknown",
    "unknown": "unknown",
    "": "unknown",
}
"""Trigger -> cause, compared without case and with spaces for _. No trigger stands for deforestation: the catalogue
tells a slope without forest only as the setting (original_landslide_setting, deforested_slope), whatever set it off."""

ACCURACIES: dict[str, tuple[float, str]] = {
    "exact": (0.0, "certain"),
    "known exactly": (0.0, "certain"),
    "1km": (1e3, "certain"),
    "known within 1 km": (1e3, "certain"),
    "5km": (5e3, "probable"),
    "known within 5 km": (5e3, "probable"),
    "10km": (10e3, "probable"),
    "known within 10 km": (10e3, "probable"),
    "25km": (25e3, "questionable"),
    "known within 25 km": (25e3, "questionable"),
    "50km": (50e3, "questionable"),
    "known within 50 km": (50e3, "questionable"),
    "100km": (100e3, "questionable"),
    "known within 100 km": (100e3, "questionable"),
    "250km": (250e3, "questionable"),
    "known within 250 km": (250e3, "questionable"),
    "unknown": (np.nan, "unknown"),
    "": (np.nan, "unknown"),
}
"""location_accuracy -> radius in metres within which the place lies, and how certain the place is."""

FORMATS: tuple[str, ...] = (
    "%m/%d/%Y %I:%M:%S %p",
    "%m/%d/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M",
    "%m/%d/%Y",
    "%m/%d/%y %H:%M",
    "%m/%d/%y",
)
FORMATS += (*ISO, "%Y-%m-%d %H:%M:%S.%f", "%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%dT%H:%M:%S.%fZ")

_ALIASES = {
    "id": ("event_id", "ev_id", "landslide_id", "id"),
    "date": ("event_date", "ev_date", "date"),
    "trigger": ("landslide_trigger", "ls_trig", "trigger"),
    "longitude": ("longitude", "lon", "glc_lon"),
    "latitude": ("latitude", "lat", "glc_lat"),
    "time": ("event_time", "ev_time", "time"),
    "accuracy": ("location_accuracy", "loc_acc"),
    "category": ("landslide_category", "ls_cat", "landslide_type"),
}
_NEEDED = ("date", "trigger", "longitude", "latitude")


def read_nasa(path: str | Path, *, causes: Mapping[str, str] | None = None) -> Inventory:
    """The events of a catalogue as points (EPSG:4326), as many as the CSV has rows.

    causes: {trigger: cause} beside TRIGGERS, or instead of it. Unknown triggers are a warning and become "unknown".
    Raises SourceError for a file that is no such catalogue, RecipeError for a cause that there is not.
    """
    table = _read_csv(Path(path))
    names = _layout(table, path)
    known = trigger_causes(causes)
    lon, lat, notes = _places(table, names)
    points = np.array([None if np.isnan(x) else shapely.Point(x, y) for x, y in zip(lon, lat, strict=True)], object)
    trigger = table[names["trigger"]].map(plain_word)
    _warn_unknown(trigger[~trigger.isin(list(known))], path)
    original = table.add_prefix(ORIGINAL)
    made = {"cause": trigger.map(known).fillna("unknown"), **_columns(table, names)}
    said = gpd.GeoDataFrame(original.assign(**made), geometry=points, crs="EPSG:4326")
    inventory = normalise(said, Fields(constants={"type": "whole"}, source=SOURCE, derived=tuple(made)))
    return Inventory(inventory.table, _notes(inventory, notes, trigger, table, names))


def trigger_causes(causes: Mapping[str, str] | None = None) -> dict[str, str]:
    """TRIGGERS with other causes where `causes` names them. Raises RecipeError for a cause that there is not."""
    for trigger, cause in (causes or {}).items():
        if cause not in CAUSES:
            raise RecipeError(f"there is no cause {cause!r} (for {trigger!r}); use one of: {', '.join(CAUSES)}")
    return {**TRIGGERS, **{plain_word(trigger): cause for trigger, cause in (causes or {}).items()}}


def trigger_table(inventory: Inventory) -> list[tuple[str, str, int]]:
    """(trigger, cause, events) of each trigger of a catalogue, most frequent first; "" is an empty trigger."""
    names = {str(column).casefold(): str(column) for column in inventory.table.columns}
    column = next(names[ORIGINAL + alias] for alias in _ALIASES["trigger"] if ORIGINAL + alias in names)
    counts = inventory.table.groupby([inventory.table[column].map(plain_word), "cause"]).size()
    rows = [(str(trigger), str(cause), int(count)) for (trigger, cause), count in counts.items()]
    return sorted(rows, key=lambda row: (-row[2], row[0]))


def _read_csv(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise SourceError(f"there is no catalogue at {path}; check the path")
    try:
        # "NA" is Namibia here, not a missing value.
        return pd.read_csv(path, keep_default_na=False, na_values=[""], low_memory=False, encoding="utf-8-sig")
    except UnicodeDecodeError:
        warnings.warn(f"{path} is not UTF-8; its texts are read as Windows-1252", HeadscarpWarning, stacklevel=3)
        return pd.read_csv(
            path, keep_default_na=False, na_values=[""], low_memory=False, encoding="cp1252", encoding_errors="replace"
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError, OSError, EOFError) as error:
        raise SourceError(f"{path} cannot be read as CSV ({error}); download it again") from error


def _layout(table: pd.DataFrame, path: str | Path) -> dict[str, str]:
    """Which column of the file holds what. Raises SourceError with what was found and what is needed."""
    found = {str(column).strip().casefold(): str(column) for column in table.columns}
    names = {what: found[alias] for what, some in _ALIASES.items() for alias in reversed(some) if alias in found}
    missing = [" or ".join(_ALIASES[what]) for what in _NEEDED if what not in names]
    if missing:
        raise SourceError(
            f"{path} is no Global Landslide Catalog: it lacks {'; '.join(missing)}. It has the columns: "
            f"{', '.join(map(str, table.columns))}"
        )
    return names


def _places(table: pd.DataFrame, names: Mapping[str, str]) -> tuple[np.ndarray, np.ndarray, list[tuple[int, str, str]]]:
    """Longitude and latitude, NaN in both where there is no place; and (row, value, reason) of those without."""
    given = [table[names[what]] for what in ("longitude", "latitude")]
    lon, lat = (pd.to_numeric(values, errors="coerce").to_numpy("float64", copy=True) for values in given)
    empty = (given[0].isna() | given[1].isna()).to_numpy()
    unreadable = (np.isnan(lon) | np.isnan(lat)) & ~empty
    beyond = (np.abs(lon) > 180) | (np.abs(lat) > 90)
    null = (lon == 0) & (lat == 0)
    notes = []
    for wrong, reason in (
        (empty, "no coordinates"),
        (unreadable, "unreadable coordinates"),
        (beyond, "coordinates outside the world"),
        (null, "coordinates are 0, 0: a place that was not found"),
    ):
        notes += [(int(i), f"{given[0][i]}, {given[1][i]}", reason) for i in np.flatnonzero(wrong)]
        lon[wrong] = lat[wrong] = np.nan
    return lon, lat, notes


def _columns(table: pd.DataFrame, names: Mapping[str, str]) -> dict[str, pd.Series]:
    """id, date, radius_m and certainty of each event, in the schema's own words."""
    none = pd.Series("", index=table.index)
    accuracy = (table[names["accuracy"]] if "accuracy" in names else none).map(plain_word)
    columns = {
        "date": _dates(table[names["date"]], table[names["time"]] if "time" in names else none),
        "radius_m": accuracy.map({word: radius for word, (radius, _) in ACCURACIES.items()}).astype("float64"),
        "certainty": accuracy.map({word: certainty for word, (_, certainty) in ACCURACIES.items()}).fillna("unknown"),
    }
    return columns | ({"id": table[names["id"]]} if "id" in names else {})


def _dates(given: pd.Series, times: pd.Series) -> pd.Series:
    """Dates as ISO text; what cannot be read stays as it is. The time of day is that of the date, which has minutes,
    else that of the column of times, which is rounded to hours."""
    date = read_dates(given, FORMATS).date
    clock = times.map(lambda value: "" if pd.isna(value) else str(value).strip())
    later = pd.to_timedelta((clock + ":00").where(clock.str.fullmatch(r"([01]?\d|2[0-3]):[0-5]\d")), errors="coerce")
    midnight = date == date.dt.normalize()
    date = date.where(~midnight | later.isna(), date + later)
    return date.dt.strftime("%Y-%m-%d %H:%M:%S").astype(object).where(date.notna(), given)


def _notes(
    inventory: Inventory,
    places: list[tuple[int, str, str]],
    trigger: pd.Series,
    table: pd.DataFrame,
    names: Mapping[str, str],
) -> pd.DataFrame:
    """The notes of the schema, with the reasons why a place is missing, and what is no landslide."""
    ids = inventory.table["id"]
    rows = [note for note in notes_of(inventory) if note[2] != "geometry"]
    rows += [(row, ids[row], "geometry", value, reason) for row, value, reason in places]
    if "accuracy" in names:
        accuracy = table[names["accuracy"]].map(plain_word)
        for i in np.flatnonzero(~accuracy.isin(list(ACCURACIES))):
            rows.append((int(i), ids[i], "radius_m", accuracy[i], "location accuracy not known"))
    if "category" in names:
        for i in np.flatnonzero(table[names["category"]].map(plain_word) == "snow avalanche"):
            rows.append((int(i), ids[i], "type", "snow avalanche", "a snow avalanche, no landslide; kept"))
    return make_notes(rows)


def _warn_unknown(triggers: pd.Series, path: str | Path) -> None:
    if len(triggers):
        named = ", ".join(f"{trigger!r} ({count})" for trigger, count in triggers.value_counts().items())
        warnings.warn(
            f"{path} has triggers that the table of causes does not know: {named}; they become 'unknown'. Name their "
            "cause with --cause TRIGGER=CAUSE",
            HeadscarpWarning,
            stacklevel=3,
        )
