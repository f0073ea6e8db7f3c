"""The page of an ablation: for each table what a forecast is worth with less to read, and what that costs.

It computes nothing.
"""

import math
from pathlib import Path

import xarray as xr

from headscarp.core.domains import HORIZONS_DAYS
from headscarp.core.provenance import read_made
from headscarp.core.stack import open_stack
from headscarp.evaluation.casetable import Ablation, CaseRow
from headscarp.report.page import Page, Section, Table, notice_of, write_page

TITLES = {
    "frames": "Fewer frames: only the newest ones that were published",
    "sensors": "One sensor, or no frames at all",
    "delay": "Everything published at once, or 15 days late",
    "rain": "Rain as told from afar; soil moisture stays that of the place",
    "clouds": "Every Landsat frame under clouds",
    "metadata": "Other numbers of frames, each a training of its own",
}
SHOWN = {"average_precision": "Average precision", "log_skill": "Log skill"}


def write_ablation_page(ablation: Ablation, stack: str | Path | xr.Dataset, out: str | Path) -> Path:
    """Writes ablation.html into a folder; returns it."""
    opened = stack if isinstance(stack, xr.Dataset) else open_stack(stack)
    sections = [Section("As it is", table=reference_table(ablation))]
    for table in ablation.tables:
        for metric, words in SHOWN.items():
            title = f"{TITLES.get(table, table)}: {words.lower()}"
            sections.append(Section(title, table=case_table(ablation, table, metric)))
        sections.append(Section(f"{TITLES.get(table, table)}: what it costs", table=loss_table(ablation, table)))
    lead = (
        f"{ablation.net} on the {ablation.part} part: {ablation.samples} samples, {ablation.events} of which were "
        "followed by a landslide within 30 days. In brackets are 95 % intervals, from resampled places.",
        *ablation.sentences,
    )
    page = Page(
        title=f"What the skill of {ablation.net} rests on",
        lead=lead,
        sections=sections,
        notice=notice_of(opened.attrs),
        made=read_made(Path(out)),
    )
    return write_page(page, Path(out) / "ablation.html")


def reference_table(ablation: Ablation) -> Table:
    """The bundle as it is and the law, by metric and horizon."""
    metrics = list(dict.fromkeys(row.metric for row in ablation.rows))
    rows = [
        (f"{case}: {metric}", *(_cell(ablation.row("", case, metric, days)) for days in HORIZONS_DAYS))
        for case in ablation.cases("")
        for metric in metrics
    ]
    return Table(_heads(), tuple(rows))


def case_table(ablation: Ablation, table: str, metric: str) -> Table:
    """One metric by case and horizon; first what it is with nothing changed, last what the law reaches."""
    keys = [("", ablation.cases("")[0]), *((table, case) for case in ablation.cases(table))]
    keys += [("", case) for case in ablation.cases("")[1:]]
    rows = [(case, *(_cell(ablation.row(name, case, metric, days)) for days in HORIZONS_DAYS)) for name, case in keys]
    return Table(_heads(), tuple(rows))


def loss_table(ablation: Ablation, table: str) -> Table:
    """What each case costs, in both metrics, by horizon."""
    rows = [
        (f"{case}: {words.lower()}", *(_lost(ablation.row(table, case, metric, days)) for days in HORIZONS_DAYS))
        for case in ablation.cases(table)
        for metric, words in SHOWN.items()
    ]
    return Table(_heads(), tuple(rows))


def _heads() -> tuple[str, ...]:
    return ("", *(f"{days} d" for days in HORIZONS_DAYS))


def _cell(row: CaseRow | None) -> str:
    return "-" if row is None else _told(row.value, row.low, row.high)


def _lost(row: CaseRow | None) -> str:
    return "-" if row is None else _told(row.loss, row.loss_low, row.loss_high)


def _told(value: float, low: float, high: float) -> str:
    if math.isnan(value):
        return "-"
    return f"{value:.3f}" + (f" [{low:.3f}, {high:.3f}]" if math.isfinite(low) else "")
