"""The report of evaluated classes of places: sentences, a table beside opponents, who is taken for whom, curves."""

from pathlib import Path

import numpy as np

from headscarp.core.provenance import read_made
from headscarp.evaluation.kinds import kind_confusion
from headscarp.evaluation.selective import COVERAGE, selective_curve
from headscarp.evaluation.tables import KIND_METRICS, SUREST, MetricRow
from headscarp.report.figures import save_figure, selective_figure
from headscarp.report.page import Page, Section, Table, write_page
from headscarp.train.kinds import KindsEvaluation


def write_kinds_report(evaluation: KindsEvaluation, out: str | Path, *, notice: str = "") -> Path:
    """Writes figures and report.html for one evaluation into `out`; returns the page. notice: what stands above all."""
    out = Path(out)
    truth, said = evaluation.truth["test"], evaluation.said[evaluation.net, "test"]
    counts = kind_confusion(said, truth)
    curves, usual = {}, {}
    for name in evaluation.names:
        told = evaluation.said[name, "test"]
        right = (told.said == truth.kind).astype(np.float64)
        curves[name], usual[name] = selective_curve(right, told.confidence), float(right.mean())
    figure = save_figure(selective_figure(curves, usual), out / "selective.png")
    rows = zip(truth.names, counts, strict=True)
    sections = [
        Section("Test part", table=_table(evaluation, KIND_METRICS)),
        Section("Of each class", table=_table(evaluation, [f"{m}: {n}" for m in ("f1", "auroc") for n in truth.names])),
        Section(
            "Who is taken for whom",
            ("Of the places of a class (rows), how many are said to be of each (columns).",),
            table=Table(("is", *truth.names), tuple((name, *map(str, row)) for name, row in rows)),
        ),
        Section(
            "Confidence",
            (
                "If only the surest answers are given, how often they are right. Sets of classes are cut on the "
                f"validation part so that {100 * COVERAGE:.0f} % of them hold the truth; set_coverage above is what "
                "they held here.",
            ),
            table=_table(evaluation, SUREST),
            figures=((figure, "Accuracy of the surest answers, by the share that is given."),),
        ),
    ]
    page = Page(
        title=f"How good is {evaluation.net}?",
        lead=(evaluation.text,),
        sections=sections,
        notice=notice,
        made=read_made(out),
    )
    return write_page(page, out / "report.html")


def _table(evaluation: KindsEvaluation, metrics: "tuple[str, ...] | list[str]") -> Table:
    rows = [(name, *(_cell(evaluation.value(m, net=name)) for m in metrics)) for name in evaluation.names]
    return Table(("", *metrics), tuple(rows))


def _cell(row: MetricRow) -> str:
    if not np.isfinite(row.value):
        return "-"
    if row.metric == "n":
        return f"{row.value:.0f}"
    return f"{row.value:.3f}" + (f" [{row.low:.3f}, {row.high:.3f}]" if np.isfinite(row.low) else "")
