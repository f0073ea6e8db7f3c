"""The landslide inventory of the California Geological Survey as an inventory of scarps, deposits and whole slides.

The layers of its map services (LandslideInventory_DC1_Younger, _DC1_Older, _DC2) hold one part of a slide each:
"Landslide (Source/Scarp)", "Landslide (Deposit)" and "Landslide (Single Feature)". Their SHAPE areas are of Web
Mercator, 1.6 times too large at 38 degrees north: areas are measured anew. Refuses a table without the survey's fields.
"""

import re
from pathlib import Path

import geopandas as gpd
import pandas as pd

from headscarp.core.errors import SourceError
from headscarp.sources.formats import Vector, read_table
from headscarp.sources.inventory.fields import Fields, normalise, plain_word
from headscarp.sources.inventory.schema import TYPES, Inventory, make_notes, notes_of

SOURCE = "California Geological Survey landslide inventory"

CONFIDENCES = {
    "d": "certain",
    "definite": "certain",
    "p": "probable",
    "probable": "probable",
    "q": "questionable",
    "questionable": "questionable",
}
"""confidence -> certainty: definite, probable, questionable."""

TRIGGER_WORDS: dict[str, str] = {
    r"earthquake|seismic|\beq\b": "earthquake",
    r"\bmin(e|es|ing)\b|quarr": "mining",
    r"construction|grading|excavation": "construction",
    r"\blogging|timber harvest|clear ?cut": "deforestation",
    r"erupt|volcan": "eruption",
    r"\brain|storm|el nino|el niño|atmospheric river|hurricane|precipitation": "rain",
}
"""triggering_event is free text: the first of these that it holds is the cause."""

_FIELDS = ("ls_id", "confidence", "activity", "init_type", "thickness")
_DATE = ("mvmt_date_yr", "mvmt_date_mon", "mvmt_date_day")
_DATE_SHAPEFILE = ("mvmt_date_", "mvmt_dat_1", "mvmt_dat_2")
_PARTS = {"scarp": r"scarp|source", "deposit": r"deposit", "whole": r"single feature|whole"}


def read_cgs(layer: str | Path | gpd.GeoDataFrame, part: str, *, name: str | None = None) -> Inventory:
    """The scarps, deposits or whole slides of one layer: "scarp", "deposit" or "whole", see `part_of_layer`.

    layer: a table, or a vector file (name: its layer). Activity, thickness, movement and the rest stay as original_...
    columns. What the survey has superseded stays and is noted. Raises SourceError.
    """
    if part not in TYPES:
        raise SourceError(f"a layer of the survey holds {', '.join(TYPES[:3])} or unknown parts, not {part!r}")
    table = layer if isinstance(layer, gpd.GeoDataFrame) else read_table(Vector(str(layer), name))
    found = {str(column).casefold(): str(column) for column in table.columns}
    if "confidence" not in found or not any(field in found for field in _FIELDS if field != "confidence"):
        raise SourceError(
            f"this is no layer of the California landslide inventory: needed are confidence and some of "
            f"{', '.join(_FIELDS)}; it has: {', '.join(map(str, table.columns))}"
        )
    table = table.reset_index(drop=True)
    event = found.get("triggering_event", found.get("triggering"))
    said = table if event is None else table.assign(cause=table[event].map(cause_of_event))
    inventory = normalise(said, _fields(found, part))
    return Inventory(inventory.table, _notes(inventory, table, found, event))


def part_of_layer(name: str) -> str:
    """The part of slides that a layer of the survey holds, by its name; "unknown" where that does not say."""
    return next((part for part, words in _PARTS.items() if re.search(words, name.casefold())), "unknown")


def cause_of_event(text: object) -> str:
    """The cause that the free text of a triggering event names; "unknown" where it names none."""
    plain = plain_word(text)
    return next((cause for words, cause in TRIGGER_WORDS.items() if re.search(words, plain)), "unknown")


def _fields(found: dict[str, str], part: str) -> Fields:
    columns: dict[str, str | tuple[str, str, str]] = {"certainty": found["confidence"]}
    if "ls_id" in found:
        columns["id"] = found["ls_id"]
    for names in (_DATE, _DATE_SHAPEFILE):
        if all(name in found for name in names):
            columns["date"] = (found[names[0]], found[names[1]], found[names[2]])
    return Fields(
        columns=columns, values={"certainty": CONFIDENCES}, constants={"type": part}, source=SOURCE, derived=("cause",)
    )


def _notes(inventory: Inventory, table: gpd.GeoDataFrame, found: dict[str, str], event: str | None) -> pd.DataFrame:
    """The notes of the schema, without a line for each of the many slides whose date nobody knows."""
    ids = inventory.table["id"]
    rows = [note for note in notes_of(inventory) if note[4] != "no date"]
    if event is not None:
        causes = inventory.table["cause"]
        for i, text in enumerate(table[event]):
            if plain_word(text) and causes[i] == "unknown":
                rows.append((i, ids[i], "cause", str(text), "triggering event names no known cause"))
    if "superseded" in found:
        for i, text in enumerate(table[found["superseded"]]):
            if plain_word(text) in ("y", "yes"):
                rows.append((i, ids[i], "id", str(text), "superseded by a newer map; kept"))
    return make_notes(rows)
