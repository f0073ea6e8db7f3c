"""What a recipe or a command wants fetched: the tables [[source]], references to their results, and periods.

It contacts nobody; options are checked against what the sources know.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import date
from typing import Any

from headscarp.assemble.keys import as_table, make, nearest, plain
from headscarp.core.errors import RecipeError

SOURCE = "source:"
"""What a reference to a fetched result begins with: "source:NAME" (shapes) or "source:NAME/BAND"."""


@dataclass(frozen=True)
class SourceRecipe:
    """A source of the data layer. name: of its result. service, address, hosts: ask there instead of the usual place.

    dates: first and last day, both included. options: the source's own keys.
    """

    name: str
    source: str
    service: str | None = None
    address: str | None = None
    hosts: tuple[str, ...] = ()
    dates: tuple[date, date] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def as_table(self) -> dict[str, Any]:
        """The table that a recipe would say it with, defaults left out where TOML has no word for them."""
        said = {"service": self.service, "address": self.address, "hosts": list(self.hosts)}
        dates = {"dates": "/".join(str(day) for day in self.dates)} if self.dates else {}
        kept = {key: value for key, value in said.items() if value}
        return {"name": self.name, "source": self.source, **kept, **dates, **plain(dict(self.options))}


def source_name(reference: str) -> str:
    """The source that a reference such as "source:dem/elevation" means; "" for any other reference."""
    return reference.removeprefix(SOURCE).partition("/")[0] if reference.startswith(SOURCE) else ""


def parse_dates(text: str | None) -> tuple[date, date] | None:
    """The first and last day of "2019-01-01/2020-12-31", or a single day twice. Raises RecipeError."""
    if text is None:
        return None
    try:
        days = [date.fromisoformat(part.strip()) for part in text.split("/")]
    except ValueError as error:
        raise RecipeError(f"dates are {text!r} ({error}); needed: FIRST/LAST, e.g. 2019-01-01/2020-12-31") from error
    if len(days) > 2:
        raise RecipeError(f"dates are {text!r}; needed: FIRST/LAST, e.g. 2019-01-01/2020-12-31")
    return days[0], days[-1]


def source_from_table(table: Any, number: int) -> SourceRecipe:
    """A [[source]]: the keys of SourceRecipe, and the options of the source beside them. Raises RecipeError."""
    from headscarp.sources.registry import SOURCES  # heavy, and most recipes have no source

    where = (
        f"[[source]] {table.get('name', number + 1)!r}" if isinstance(table, Mapping) else f"[[source]] {number + 1}"
    )
    table = dict(as_table(table, where))
    table.setdefault("source", table.get("name"))
    nearest(str(table["source"]), SOURCES, "source", where)
    table.setdefault("name", table["source"])
    known = SOURCES[table["source"]].options
    options = {key: table.pop(key) for key in list(table) if key in known}
    own = [f.name for f in fields(SourceRecipe) if f.name != "options"]
    for key in table:
        nearest(str(key), (*own, *known), "key", where)
    dates = parse_dates(table.pop("dates", None))
    if "/" in str(table["name"]) or str(table["name"]).startswith("."):
        raise RecipeError(f"{where} has a name that cannot be that of a file; use letters, digits, - and _")
    made: SourceRecipe = make(SourceRecipe, table, where)
    return replace(made, dates=dates, options=options)
