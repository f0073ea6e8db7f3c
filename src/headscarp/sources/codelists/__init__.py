"""Code lists of INSPIRE with English labels, for class tables: a recipe says codes = "inspire:lithology".

Small CSV files with the columns code and label stand beside this one. Codes are the last part of a code's address
(`sources.formats.code_of`); labels are the codes in words.
- lithology: LithologyValue of Regulation (EU) 1253/2013 and the Technical Guidelines D2.8.II.4 3.0, as public
  copies of the register of May 2025 have it; misspelt codes that it still holds are here under the label of the right
  one. http://inspire.ec.europa.eu/codelist/LithologyValue
- age: GeochronologicEraValue of the same date: the chart of 2010, numbered divisions of the Precambrian, and the
  Pleistocene of northern Europe. http://inspire.ec.europa.eu/codelist/GeochronologicEraValue
- landcover: CORINE Land Cover, the 44 classes of level 3 (2018), by their number; the list that most INSPIRE land cover
  refers to. Pure land cover components are not here.
Refuses lists that are not here.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from headscarp.core.errors import SourceError
from headscarp.sources.classes import code_text, read_code_list

PREFIX = "inspire:"
CODE_LISTS = ("lithology", "age", "landcover")


def code_list(name: str) -> Mapping[str, str]:
    """code -> English label, in the order of the list. name: "inspire:lithology", "inspire:age", "inspire:landcover".

    Raises SourceError that names the lists there are.
    """
    bare = name.removeprefix(PREFIX)
    if bare not in CODE_LISTS:
        known = ", ".join(PREFIX + each for each in CODE_LISTS)
        raise SourceError(f"there is no code list {name!r}; there are: {known}; or give a CSV with columns code, label")
    return read_code_list(Path(__file__).parent / f"{bare}.csv")


def labels_present(name: str, values: Iterable[Any]) -> dict[str, str]:
    """The part of a code list that occurs among values, in the order of the list: what a class table is made of.

    A whole list may have more labels than a band has room for. Raises SourceError where none of the values is a code.
    """
    present = {code_text(value) for value in values if value is not None}
    found = {code: label for code, label in code_list(name).items() if code in present}
    if not found:
        shown = ", ".join(sorted(present)[:5]) or "nothing"
        raise SourceError(
            f"none of the values is a code of {name} (they are: {shown}); choose the attribute that holds the code, or "
            "give classes in the recipe"
        )
    return found
