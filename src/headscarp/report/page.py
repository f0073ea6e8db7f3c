"""One self-contained HTML page for a run: sentences first, then figures, tables and provenance. No scripts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template, select_autoescape

from headscarp.core.artefact import write_text
from headscarp.report.figures import png_data_uri


@dataclass(frozen=True)
class Table:
    """A table of a page: column heads and rows of text; the first column is the row's name. links: where the names of
    the rows lead to, one each; none by default."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    links: tuple[str, ...] = ()


@dataclass(frozen=True)
class Section:
    """A part of a page: heading, sentences, figures (PNG files, with what they show) and a table."""

    title: str
    text: tuple[str, ...] = ()
    figures: tuple[tuple[Path, str], ...] = ()
    table: Table | None = None


@dataclass(frozen=True)
class Page:
    """A whole page. lead: what a reader must know first. notice: a warning box, e.g. that the data are simulated."""

    title: str
    lead: tuple[str, ...]
    sections: Sequence[Section]
    notice: str = ""
    made: Mapping[str, Any] = field(default_factory=dict)


def notice_of(attrs: Mapping[str, Any]) -> str:
    """The warning that the data are simulated, by the attributes of their stack; "" where they are not."""
    told = attrs.get("simulated", "")
    return "Simulated: no real place or event." if told is True else str(told or "")


def write_page(page: Page, path: str | Path) -> Path:
    """Writes the page as one HTML file with its figures inside."""
    made = [(key, _short(value)) for key, value in page.made.items()]
    return write_text(path, _template().render(page=page, made=made))


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("headscarp.report"), autoescape=select_autoescape(["html"]), undefined=StrictUndefined
    )
    environment.filters["data_uri"] = png_data_uri
    return environment.get_template("page.html")


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) < 400 else text[:400] + " ..."
