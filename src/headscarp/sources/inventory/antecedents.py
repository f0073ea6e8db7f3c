"""Days of rain and soil moisture before events of a catalogue: two CSV files of one region, events and days.

The place, trigger and date of each event come from the catalogue's own reader; days are told by their date. The column
that counts days to the landslide is not read: in the published files it runs backwards (7 stands on the day of the
slide). Refuses days of events that are not there, and files without the columns it needs.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from headscarp.core.errors import SourceError
from headscarp.sources.inventory.nasa import read_nasa


@dataclass(frozen=True, eq=False)
class Antecedents:
    """One event a row. ids, causes: (n,) texts, "unknown" where the catalogue does not say. triggers: (n,) its own
    words for what set the event off, "" where it has none. dates: (n,) days.
    latitude, longitude: (n,) degrees. rain_mm_per_day, soil_moisture (m3/m3): (n, days), oldest first, the last one the
    day of the event itself; NaN missing."""

    ids: tuple[str, ...]
    causes: tuple[str, ...]
    triggers: tuple[str, ...]
    dates: NDArray[np.datetime64]
    latitude: NDArray[np.float64]
    longitude: NDArray[np.float64]
    rain_mm_per_day: NDArray[np.float32]
    soil_moisture: NDArray[np.float32]


def read_antecedents(events: str | Path, days: str | Path, *, rain: str, soil_moisture: str) -> Antecedents:
    """The dated events of a file with the days before each, from another. rain, soil_moisture: columns of `days`.

    Events without a date, a place or a day are left out. Raises SourceError.
    """
    catalogue = read_nasa(events).table
    table = catalogue[catalogue["date"].notna() & catalogue.geometry.notna()].drop_duplicates("id")
    told = _read_days(Path(days), ("date", "landslide_id", rain, soil_moisture))
    told["id"] = told["landslide_id"].astype(str)
    lost = sorted(set(told["id"]) - set(catalogue["id"].astype(str)))
    if lost:
        raise SourceError(
            f"{days} has days of {len(lost)} events that {events} lacks, such as {lost[0]}; pair the files"
        )
    table = table[table["id"].astype(str).isin(told["id"])]
    dates = table["date"].dt.normalize().to_numpy("datetime64[D]")
    ids = table["id"].astype(str).tolist()
    row = dict(zip(ids, range(len(ids)), strict=True))
    told = told[told["id"].isin(ids)]
    number = told["id"].map(row).to_numpy()
    before = (dates[number] - told["date"].to_numpy("datetime64[D]")).astype(int)
    kept = (before >= 0) & (before < 365)
    length = int(before[kept].max(initial=0)) + 1
    series = {}
    for column in (rain, soil_moisture):
        series[column] = np.full((len(ids), length), np.nan, np.float32)
        values = pd.to_numeric(told[column], errors="coerce").to_numpy(np.float32)
        series[column][number[kept], length - 1 - before[kept]] = values[kept]
    places = table.geometry
    return Antecedents(
        tuple(ids),
        tuple(table["cause"].astype(str)),
        tuple(table["original_landslide_trigger"].fillna("").astype(str)),
        dates,
        places.y.to_numpy(np.float64),
        places.x.to_numpy(np.float64),
        series[rain],
        series[soil_moisture],
    )


def _read_days(path: Path, needed: tuple[str, ...]) -> pd.DataFrame:
    try:
        table = pd.read_csv(path)
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise SourceError(f"{path} cannot be read as CSV ({error}); check the path") from error
    missing = [column for column in needed if column not in table.columns]
    if missing:
        raise SourceError(f"{path} has no column {missing[0]!r}; it has: {', '.join(map(str, table.columns))}")
    table["date"] = pd.to_datetime(table["date"], errors="coerce", format="mixed").dt.normalize()
    return table[table["date"].notna()].copy()
