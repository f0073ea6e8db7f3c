"""headscarp catalog: from NASA's landslide catalogue to dated events with causes."""

from pathlib import Path
from typing import Annotated

import typer

from headscarp.cli import output
from headscarp.cli.options import Out, Overwrite
from headscarp.cli.output import say, tell


def catalog(
    events: Annotated[Path, typer.Argument(metavar="EVENTS.csv", help="An export of the catalogue, plain or gzipped.")],
    out: Out,
    cause: Annotated[
        list[str] | None,
        typer.Option("--cause", help="TRIGGER=CAUSE: another cause for a trigger. May be given again."),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Turn NASA's Global Landslide Catalog into dated point events with one of seven causes (GeoPackage).

    Every event stays: one without a date or a place is kept without it and told. The table of triggers and causes is
    printed and stands in the documentation of inventories; OUT.json says what made the file and lists all that could
    not be used.

        headscarp catalog events.csv --out events.gpkg
    """
    from headscarp.core.artefact import check_output
    from headscarp.core.provenance import describe_input, made_by
    from headscarp.sources.inventory.files import write_inventory
    from headscarp.sources.inventory.nasa import CITATION, LICENCE, read_nasa, trigger_causes, trigger_table

    for path in (out, out.with_suffix(".json")):
        check_output(path, overwrite=overwrite)
    causes = dict(_pair(text) for text in cause or ())
    inventory = read_nasa(events, causes=causes)
    triggers = trigger_table(inventory)
    inputs = [describe_input(events, licence=LICENCE, citation=CITATION)]
    made = made_by("catalog", settings={"events": events.name, "causes": trigger_causes(causes)}, inputs=inputs)
    write_inventory(inventory, out, made=made, overwrite=overwrite)
    width = max(len(trigger) for trigger, _, _ in triggers) if triggers else 0
    for trigger, name, count in triggers:
        say(f"{trigger or '(empty)':<{max(width, 7)}}  {name:<12} {count:>6}")
    table = inventory.table
    tell(
        events=len(table),
        causes=_counts({str(name): int(count) for name, count in table["cause"].value_counts().items()}),
        without_date=int(table["date"].isna().sum()),
        without_place=int(table.geometry.isna().sum()),
        notes=_counts(inventory.reasons()),
        catalogue=out,
        made=out.with_suffix(".json"),
    )


def _counts(counts: dict[str, int]) -> dict[str, int] | str:
    """How often each is there: plain values for --json, a sentence for people."""
    if output.as_json:
        return counts
    return "; ".join(f"{name}: {count}" for name, count in counts.items()) or "none"


def _pair(text: str) -> tuple[str, str]:
    """TRIGGER=CAUSE as a pair. Raises RecipeError."""
    from headscarp.core.errors import RecipeError

    trigger, sign, cause = text.partition("=")
    if not sign or not trigger.strip():
        raise RecipeError(f"--cause {text!r}; needed: TRIGGER=CAUSE, such as snowfall_snowmelt=rain")
    return trigger.strip(), cause.strip()
