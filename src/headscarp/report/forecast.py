"""The report of an evaluated forecast: sentences, the table beside its opponents, regions, causes, warnings, curves."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from headscarp.core.domains import CAUSES, HORIZONS_DAYS
from headscarp.core.provenance import read_made
from headscarp.core.stack import open_stack
from headscarp.evaluation.hazards import Floats
from headscarp.evaluation.places import Said, Truth
from headscarp.evaluation.selective import COVERAGE, selective_curve
from headscarp.evaluation.tables import SUREST, MetricRow
from headscarp.report.figures import PALETTE, intervals_figure, save_figure, selective_figure
from headscarp.report.page import Page, Section, Table, notice_of, write_page
from headscarp.train.confidence import rightness
from headscarp.train.judging import GAP_METRICS, PlacesEvaluation, cause_confusion

SHOWN = ("average_precision", "log_skill", "brier", "calibration_slope", "ece", "tss", "pod", "far", "csi", "auroc")
_BESIDE = ("prevalence", "all_trees", "law")
LEVELS = (0.01, 0.05, 0.2)
"""Edges of the levels of a warning, as probabilities: none, watch, warning, alarm."""
LEVEL_NAMES = ("none: under 1 %", "watch: 1 to 5 %", "warning: 5 to 20 %", "alarm: over 20 %")


def write_places_report(evaluation: PlacesEvaluation, stack: str | Path, out: str | Path) -> Path:
    """Writes figures and report.html for one evaluation into `out`; returns the page."""
    out, opened = Path(out), open_stack(stack)
    net, truth, said = evaluation.net, evaluation.truth["test"], evaluation.said[evaluation.net, "test"]
    sections = [
        *(Section(f"Within {days} days, test part", table=horizon_table(evaluation, days)) for days in HORIZONS_DAYS),
        Section(
            "Lead over opponents",
            ("The net minus each of them on the same resamples; above 0 in the whole interval it is ahead.",),
            table=lead_table(evaluation),
        ),
        Section("Regions", (_gap_words(evaluation),), table=region_table(evaluation)),
        Section("Causes", _cause_words(evaluation), table=_causes(said, truth, evaluation.cause_cuts)),
        Section(
            "Warnings",
            ("Of the samples at each level, the share that an event followed.",),
            table=_warnings(said, truth),
        ),
        Section("Confidence", _confidence_words(evaluation), table=surest_table(evaluation)),
        Section("Sets of causes", _set_words(evaluation), table=set_table(evaluation)),
        Section("Figures", figures=tuple(_figures(evaluation, out))),
    ]
    page = Page(
        title=f"How good is {net}?",
        lead=(evaluation.text,),
        sections=sections,
        notice=notice_of(opened.attrs),
        made=read_made(out),
    )
    return write_page(page, out / "report.html")


def horizon_table(evaluation: PlacesEvaluation, days: int, part: str = "test") -> Table:
    """The net, its opponents and the law by metric, within so many days."""
    rows = [
        (name, *(_cell(evaluation.value(f"{metric} {days} d", net=name, part=part)) for metric in SHOWN))
        for name in evaluation.names
    ]
    return Table(("", *SHOWN), tuple(rows))


def lead_table(evaluation: PlacesEvaluation) -> Table:
    """How far the net is ahead of each opponent, by metric and horizon."""
    rows: dict[str, list[str]] = {}
    for metric in ("average_precision", "log_skill"):
        for days in HORIZONS_DAYS:
            for name, v in evaluation.leads(f"{metric} {days} d").items():
                told = f"{v.value:+.3f} [{v.low:+.3f}, {v.high:+.3f}]" if np.isfinite(v.value) else "-"
                rows.setdefault(f"{name}: {metric}", []).append(told)
    return Table(("", *(f"{days} d" for days in HORIZONS_DAYS)), tuple((k, *v) for k, v in rows.items()))


def region_table(evaluation: PlacesEvaluation, days: int = 30) -> Table:
    """The net by region, within so many days; regions of the validation part, then those of the test part."""
    parts = dict.fromkeys(row.part for row in evaluation.rows if row.part.startswith("region: "))
    shown = (*SHOWN[:5], "auroc", "events", "n")
    rows = [
        (part.removeprefix("region: "), *(_cell(evaluation.value(f"{metric} {days} d", part=part)) for metric in shown))
        for part in parts
    ]
    return Table((f"{days} d", *shown), tuple(rows))


def surest_table(evaluation: PlacesEvaluation) -> Table:
    """Who is right how often within the longest horizon, if only the surest answers are given."""
    shown = ("accuracy", *SUREST)
    rows = [(name, *(_cell(evaluation.value(m, net=name)) for m in shown)) for name in evaluation.names]
    return Table(("", *shown), tuple(rows))


def set_table(evaluation: PlacesEvaluation) -> Table:
    """By region, how often the net's set of causes holds all that held, and how many causes are in it."""
    parts = dict.fromkeys(row.part for row in evaluation.rows if row.metric == "set_coverage")
    shown = ("set_coverage", "set_size")
    rows = [(part, *(_cell(evaluation.value(metric, part=part)) for metric in shown)) for part in parts]
    return Table(("", *shown), tuple(rows))


def _confidence_words(evaluation: PlacesEvaluation) -> tuple[str, ...]:
    return (
        f"Said is whether it slides within {HORIZONS_DAYS[-1]} days, at 0.5. If only the surest answers are given, "
        "this is how often they are right; who tells no confidence is as sure as the probability is far from 0.5.",
    )


def _set_words(evaluation: PlacesEvaluation) -> tuple[str, ...]:
    rows = [row for row in evaluation.rows if row.metric == "set_coverage" and row.part.startswith("region: ")]
    cut = evaluation.value("set_cut", part="validation").value
    if not rows or not np.isfinite(cut):
        return ("No causes are known in the validation part, so there are no sets.",)
    worst = min(rows, key=lambda row: row.value)
    return (
        f"A cause is in the set of a place where its probability is {cut:.3f} or more; so cut, {100 * COVERAGE:.0f} % "
        "of the validation places would have all their causes in it. A region of the validation part is judged by the "
        f"cut of the others. Worst region: {worst.part.removeprefix('region: ')}, {100 * worst.value:.0f} %.",
    )


def _gap_words(evaluation: PlacesEvaluation) -> str:
    gaps = [evaluation.value(f"gap: {metric} 30 d") for metric in GAP_METRICS]
    if not any(np.isfinite(row.value) for row in gaps):
        return "No region was held out, so there is no gap to tell."
    told = [
        f"{metric.replace('_', ' ')} {100 * row.value:.0f} % [{100 * row.low:.0f}, {100 * row.high:.0f}]"
        for metric, row in zip(GAP_METRICS, gaps, strict=True)
        if np.isfinite(row.value)
    ]
    return (
        f"From known regions (their validation places) to the held-out one, within 30 days, the loss is: "
        f"{', '.join(told)}. The validation places have chosen weights and calibration, so the gap is rather too large."
    )


def _cause_words(evaluation: PlacesEvaluation) -> tuple[str, ...]:
    cuts = ", ".join(f"{cause} {cut:.2f}" for cause, cut in zip(CAUSES, evaluation.cause_cuts, strict=True))
    scores = [evaluation.value(name) for name in ("cause_f1 from cuts", "cause_f1")]
    told = [f"{_cell(row)} {at}" for row, at in zip(scores, ("so", "at 0.5"), strict=True) if np.isfinite(row.value)]
    return (
        f"A cause is said from a probability on that has the best F1 in the validation part: {cuts}.",
        f"Macro F1: {', '.join(told) or 'unknown'}.",
        "Of the samples where a cause holds, how often each is said:",
    )


def _causes(said: Said, truth: Truth, cuts: Floats) -> Table:
    counts = cause_confusion(said, truth, cuts)
    return Table(("holds", *CAUSES, "none"), tuple((c, *map(str, row)) for c, row in zip(CAUSES, counts, strict=True)))


def _warnings(said: Said, truth: Truth) -> Table:
    rows = []
    for level, name in enumerate(LEVEL_NAMES):
        cells = []
        for k in range(len(HORIZONS_DAYS)):
            known = truth.events[:, k] != 255
            here = (np.digitize(said.hazards[:, k], LEVELS) == level) & known
            came = int((truth.events[here, k] == 1).sum())
            cells.append(f"{came} of {here.sum()}" + (f" ({100 * came / here.sum():.1f} %)" if here.any() else ""))
        rows.append((name, *cells))
    return Table(("", *(f"{days} d" for days in HORIZONS_DAYS)), tuple(rows))


def _figures(evaluation: PlacesEvaluation, out: Path) -> list[tuple[Path, str]]:
    found = []
    for metric in ("average_precision", "log_skill"):
        of_net = {}
        for name in evaluation.names:
            row = evaluation.value(f"{metric} 30 d", net=name)
            if np.isfinite(row.value):
                of_net[name] = (row.value, row.low, row.high)
        if of_net:
            figure = intervals_figure({"within 30 d": of_net}, metric)
            found.append((save_figure(figure, out / f"{metric}.png"), f"{metric} within 30 days, by who says it."))
    said, truth = evaluation.said[evaluation.net, "test"], evaluation.truth["test"]
    shown = [name for name in evaluation.names if name in (evaluation.net, *_BESIDE)]
    told = {name: rightness(evaluation.said[name, "test"], truth)[:2] for name in shown}
    told = {name: pair for name, pair in told.items() if len(pair[0])}
    curves = {name: selective_curve(*pair) for name, pair in told.items()}
    figure = selective_figure(curves, {name: float(right.mean()) for name, (right, _) in told.items()})
    found.append((save_figure(figure, out / "selective.png"), "Accuracy of the surest answers, by the share given."))
    found.append((save_figure(reliability(said, truth), out / "reliability.png"), "What came at each probability."))
    return found


def reliability(said: Said, truth: Truth, bins: int = 10) -> Figure:
    """Share of events over probability for each horizon, in bins with as many samples each."""
    figure = Figure(figsize=(4.6, 4.6), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="#bbbbbb", lw=1, ls="--", label="calibrated")
    for k, days in enumerate(HORIZONS_DAYS):
        known = truth.events[:, k] != 255
        p, y = said.hazards[known, k], truth.events[known, k]
        groups = np.array_split(np.argsort(p), min(bins, max(len(p), 1)))
        points = np.array([(p[g].mean(), y[g].mean()) for g in groups if len(g)]).reshape(-1, 2)
        axes.plot(points[:, 0], points[:, 1], "o-", ms=4, lw=1.2, color=PALETTE[k], label=f"{days} d")
    axes.set(xlabel="Predicted probability", ylabel="Share that came", title="Reliability, test part")
    axes.legend(frameon=False, fontsize=8)
    return figure


def _cell(row: MetricRow) -> str:
    if not np.isfinite(row.value):
        return "-"
    if row.metric.startswith(("n ", "events ")):
        return f"{row.value:.0f}"
    return f"{row.value:.3f}" + (f" [{row.low:.3f}, {row.high:.3f}]" if np.isfinite(row.low) else "")
