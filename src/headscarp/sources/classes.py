"""Class tables: which value of a raster or attribute is which class of a band.

Tables come from the recipe, a CSV code list, the raster attribute table (GDAL's .aux.xml) or the values themselves.
Values that a table does not know become 0, "no value", and are told, never dropped in silence.
"""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from headscarp.core.band import MAX_CLASSES
from headscarp.core.errors import SourceError

_VALUE_USAGE, _NAME_USAGE = "5", "2"
_NAME_COLUMNS = ("description", "label", "class_name", "class_names", "name", "class", "category")


@dataclass(frozen=True)
class ClassTable:
    """codes: the values that are known, as text. position: for each the class, 1 or more. labels: of each class."""

    codes: tuple[str, ...]
    position: tuple[int, ...]
    labels: tuple[str, ...]


def class_table(labels: Mapping[str, str], source: str) -> ClassTable:
    """A table from code -> label, in the order given; codes of equal label become one class. Raises SourceError."""
    names = list(dict.fromkeys(labels.values()))
    if not 1 <= len(names) <= MAX_CLASSES:
        raise SourceError(
            f"{source} has {len(names)} classes; a categorical band holds 1 to {MAX_CLASSES}: give a class table that "
            "merges rare ones (codes with the same label become one class), or make the band continuous"
        )
    codes = tuple(code_text(code) for code in labels)
    return ClassTable(codes, tuple(names.index(label) + 1 for label in labels.values()), tuple(names))


def code_text(value: Any) -> str:
    """A value as the text that tables use for it: whole numbers without a point."""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    text = str(value).strip()
    try:
        return str(int(float(text))) if float(text).is_integer() else text
    except (ValueError, OverflowError):
        return text


def encode(values: NDArray[Any], table: ClassTable) -> tuple[NDArray[np.uint8], dict[str, int]]:
    """(y, x) classes of (y, x) numbers, 0 where missing (NaN) or unknown; and how often each unknown value is there."""
    different, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    position = dict(zip(table.codes, table.position, strict=True))
    lookup = np.zeros(len(different), np.uint8)
    unknown: dict[str, int] = {}
    for i, value in enumerate(different):
        if np.isnan(value):
            continue
        lookup[i] = position.get(code_text(value), 0)
        if not lookup[i]:
            unknown[code_text(value)] = int(counts[i])
    return lookup[inverse].reshape(values.shape), unknown


def values_table(values: Iterable[Any], source: str) -> ClassTable:
    """A table in which each value is its own class: numbers in order of size, then words in order of the alphabet."""
    texts = {code_text(value) for value in values}
    return class_table({text: text for text in sorted(texts, key=_numbers_first)}, source)


def read_code_list(path: str | Path) -> dict[str, str]:
    """code -> label from a CSV with the columns code and label. Raises SourceError."""
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(
            f"the code list {path} cannot be read ({error}); give a CSV with columns code, label"
        ) from error
    if not rows or not {"code", "label"} <= set(rows[0]):
        raise SourceError(f"the code list {path} needs the columns code and label in its first line, and rows below")
    return {row["code"].strip(): row["label"].strip() for row in rows}


def attribute_table(path: str | Path, index: int) -> dict[str, str] | None:
    """code -> label from the raster attribute table beside a raster (FILE.aux.xml), None where there is none.

    The value column is the one that GDAL marks as such (usage MinMax, named "value"), the label column the one marked
    as name, or called description, label, name or class, or else the first text column.
    """
    sidecar = Path(f"{path}.aux.xml")
    if not sidecar.is_file():
        return None
    try:
        root = ElementTree.parse(sidecar).getroot()
    except (ElementTree.ParseError, OSError) as error:
        raise SourceError(f"{sidecar} is not readable XML ({error}); mend it, or give classes in the recipe") from error
    table = root.find(f"./PAMRasterBand[@band='{index}']/GDALRasterAttributeTable")
    if table is None:
        return None
    columns = [(_text(f, "Name").lower(), _text(f, "Type"), _text(f, "Usage")) for f in table.findall("FieldDefn")]
    value = _first(columns, lambda c: c[0] == "value") or _first(columns, lambda c: c[2] == _VALUE_USAGE)
    label = _first(columns, lambda c: c[2] == _NAME_USAGE)
    for name in _NAME_COLUMNS:
        label = label or _first(columns, lambda c, name=name: c[0] == name)
    label = label or _first(columns, lambda c: c[1] == "2")
    if value is None or label is None:
        return None
    rows = [[cell.text or "" for cell in row.findall("F")] for row in table.findall("Row")]
    return {code_text(row[value - 1]): row[label - 1].strip() for row in rows} or None


def _first(columns: list[tuple[str, str, str]], fits: Any) -> int | None:
    """The place, from 1, of the first column that fits."""
    return next((i for i, column in enumerate(columns, start=1) if fits(column)), None)


def _text(element: ElementTree.Element, tag: str) -> str:
    return (element.findtext(tag) or "").strip()


def _numbers_first(text: str) -> tuple[bool, float, str]:
    try:
        return False, float(text), text
    except ValueError:
        return True, 0.0, text
