"""The page of regions held out one by one: what a forecast is worth in each, what it loses there, and the curve.

It computes nothing.
"""

from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from headscarp.core.domains import HORIZONS_DAYS
from headscarp.core.provenance import read_made
from headscarp.core.stack import open_stack
from headscarp.evaluation.selective import COVERAGE
from headscarp.evaluation.tables import MetricRow
from headscarp.report.figures import PALETTE, save_figure
from headscarp.report.page import Page, Section, Table, notice_of, write_page
from headscarp.train.judging import LAW
from headscarp.train.leaveout import METRICS, LeftOut, from_regions

SHOWN_DAYS = (30, 180)


def write_regions_page(found: LeftOut, stack: str | Path | xr.Dataset, out: str | Path) -> Path:
    """Writes regions.html, and regions.png where there is a curve, into a folder; returns the page."""
    out, opened = Path(out), stack if isinstance(stack, xr.Dataset) else open_stack(stack)
    sections = [
        Section(f"{metric.replace('_', ' ')} in a region that it has not seen", table=region_table(found, metric))
        for metric in METRICS
    ]
    words = "(known - held out) / known; the known regions are validation places, which have chosen weights."
    sections += [
        Section(f"What is lost of {metric.replace('_', ' ')}, relative", (words,), table=gap_table(found, metric))
        for metric in METRICS
    ]
    sections.append(
        Section("Sets of causes in a region that it has not seen", set_words(found), table=set_table(found))
    )
    if found.curve:
        figure = save_figure(curve_figure(found), out / "regions.png")
        sections.append(Section("More training regions", figures=((figure, curve_words(found)),)))
    page = Page(
        title=f"Does {found.net} hold in another region?",
        lead=gap_words(found),
        sections=sections,
        notice=notice_of(opened.attrs),
        made=read_made(out),
    )
    return write_page(page, out / "regions.html")


def gap_words(found: LeftOut) -> tuple[str, ...]:
    """A sentence for each horizon that is shown: the mean gap over regions, beside the law's."""
    said = []
    for days in SHOWN_DAYS:
        name = f"gap: average_precision {days} d"
        ours, law = (found.value(who, "test", name) for who in (found.net, LAW))
        if ours is not None and np.isfinite(ours.value):
            beside = f"; the law itself loses {_percent(law)}" if law is not None else ""
            said.append(
                f"Within {days} days average precision is {_percent(ours)} lower where no training place is, on the "
                f"mean of {len(found.regions)} regions{beside}."
            )
    return tuple(said) or ("One region was held out, so there is no mean over regions.",)


def region_table(found: LeftOut, metric: str) -> Table:
    """A metric in each region that was held out, by horizon, the law below."""
    return _table(found, found.regions, lambda days: f"{metric} {days} d")


def gap_table(found: LeftOut, metric: str) -> Table:
    """What is lost of a metric in each region, and on their mean."""
    return _table(found, (*found.regions, ""), lambda days: f"gap: {metric} {days} d")


def set_words(found: LeftOut) -> tuple[str, ...]:
    """What was asked of the sets, and where they hold least."""
    rows = [found.value(found.net, f"region: {region}", "set_coverage") for region in found.regions]
    known = [row for row in rows if row is not None and np.isfinite(row.value)]
    if not known:
        return ("No causes are known, so there are no sets.",)
    worst = min(known, key=lambda row: row.value)
    return (
        f"Sets were cut on validation places of the other regions so that {100 * COVERAGE:.0f} % of them hold every "
        f"cause that holds. Worst region: {worst.part.removeprefix('region: ')}, {_percent(worst)}.",
    )


def set_table(found: LeftOut) -> Table:
    """By region held out, how often its sets of causes hold all that held, and how many causes are in them."""
    shown = ("set_coverage", "set_size")
    rows = [(r, *(_cell(found.value(found.net, f"region: {r}", m)) for m in shown)) for r in found.regions]
    return Table(("", *shown), tuple(rows))


def curve_words(found: LeftOut) -> str:
    """What the figure shows."""
    return (
        f"In {found.curve_region}, by the number of regions that {found.net} has learned from, each with all of its "
        "places: more regions are more places, too. Bars: places resampled."
    )


def curve_figure(found: LeftOut) -> Figure:
    """Average precision in one region over the number of training regions."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    part = f"region: {found.curve_region}"
    for number, days in enumerate(SHOWN_DAYS):
        points = [
            (k, found.value(from_regions(found.net, k), part, f"average_precision {days} d")) for k in found.curve
        ]
        whole = found.value(found.net, part, f"average_precision {days} d")
        points += [(max(found.curve) + 1, whole)] if whole is not None else []
        there = [(k, row) for k, row in points if row is not None and np.isfinite(row.value)]
        value = np.array([row.value for _, row in there])
        errors = np.abs(np.array([[row.value - row.low, row.high - row.value] for _, row in there])).T
        x = [k + 0.04 * number for k, _ in there]
        axes.errorbar(x, value, yerr=errors, fmt="o-", capsize=2, color=PALETTE[number], label=f"within {days} d")
    axes.set(xlabel="Training regions", ylabel=f"Average precision in {found.curve_region}")
    axes.legend(frameon=False, fontsize=8)
    return figure


def _table(found: LeftOut, regions, name_of) -> Table:  # type: ignore[no-untyped-def]
    whos = [who for who in (found.net, LAW) if any(row.net == who for row in found.rows)]
    rows = []
    for region in regions:
        part = f"region: {region}" if region else "test"
        for who in whos:
            cells = [_cell(found.value(who, part, name_of(days))) for days in HORIZONS_DAYS]
            rows.append((f"{region or 'mean'}: {who}", *cells))
    return Table(("", *(f"{days} d" for days in HORIZONS_DAYS)), tuple(rows))


def _cell(row: MetricRow | None) -> str:
    if row is None or not np.isfinite(row.value):
        return "-"
    return f"{row.value:.3f}" + (f" [{row.low:.3f}, {row.high:.3f}]" if np.isfinite(row.low) else "")


def _percent(row: MetricRow) -> str:
    return f"{100 * row.value:.0f} % [{100 * row.low:.0f}, {100 * row.high:.0f}]"
