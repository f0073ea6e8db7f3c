"""The report of a comparison: Table 2 for this data, curves of the nets side by side, maps, and sentences."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from headscarp.core.provenance import read_made
from headscarp.core.samples import has_samples
from headscarp.core.stack import stack_grid
from headscarp.evaluation.metrics import best_constant_nll
from headscarp.evaluation.streaming import ScoreHistogram
from headscarp.report.detection import detection_tables, write_detection_tables
from headscarp.report.evaluation import as_cell, extent_km, read_history, small_band, small_codes
from headscarp.report.figures import (
    history_figure,
    intervals_figure,
    partition_figure,
    precision_recall_figure,
    reliability_figure,
    roc_figure,
    save_figure,
    susceptibility_figure,
)
from headscarp.report.page import Page, Section, Table, notice_of, write_page
from headscarp.tiles.splits import PARTS, Split, read_split
from headscarp.train.results import Comparison, RunScores

MAPS = 3
FLAT = ("prevalence", "random")
"""Nets whose map and curves tell nothing."""


def write_comparison_report(
    comparison: Comparison,
    stack: xr.Dataset,
    out: str | Path,
    *,
    title: str = "Which net, and how sure?",
    lead: Sequence[str] = (),
    notice: str = "",
) -> Path:
    """Writes figures, patches.csv, masks.csv and report.html for a comparison into `out`; returns the page."""
    out = Path(out)
    write_detection_tables(comparison, out)
    splits = list(dict.fromkeys(row.split for row in comparison.rows))
    page = Page(
        title=title,
        lead=(*lead, *comparison.sentences[:1]),
        sections=[
            Section(
                "All nets",
                text=(
                    "Negative log-likelihood (nll, lower is better), log-skill against the best constant (0 is the "
                    "constant, 1 is perfect) and AUROC on the test part, with 95 % intervals from a block bootstrap.",
                ),
                table=comparison_table(comparison, splits),
                figures=tuple(_interval_figures(comparison, splits, out)),
            ),
            *[Section(one.title, table=one.table) for one in detection_tables(comparison)],
            Section("In words", text=comparison.sentences),
            *[_split_section(comparison, stack, split, out) for split in splits],
        ],
        notice=notice or notice_of(stack.attrs),
        made=read_made(out),
    )
    return write_page(page, out / "report.html")


def comparison_table(comparison: Comparison, splits: Sequence[str]) -> Table:
    """A row a net; for each split NLL, skill and AUROC of the test part, and NLL of the training part."""
    columns = [
        (s, m, p) for s in splits for m, p in (("nll", "test"), ("skill", "test"), ("auroc", "test"), ("nll", "train"))
    ]
    by = {(r.net, r.split, r.metric, r.part): r for r in comparison.rows}
    nets = list(dict.fromkeys(row.net for row in comparison.rows))
    rows = tuple((net, *(as_cell(by.get((net, *column))) for column in columns)) for net in nets)
    return Table(("", *(f"{s} {m} {p}" for s, m, p in columns)), rows)


def _interval_figures(comparison: Comparison, splits: Sequence[str], out: Path) -> list[tuple[Path, str]]:
    figures = []
    for metric in ("skill", "auroc"):
        values: dict[str, dict[str, tuple[float, float, float]]] = {}
        for row in comparison.rows:
            if row.metric == metric and row.part == "test" and np.isfinite(row.value) and row.net != "random":
                values.setdefault(row.split, {})[row.net] = (row.value, row.low, row.high)
        if values:  # nothing where a class is missing in all test parts
            path = save_figure(intervals_figure(values, metric), out / f"{metric}.png")
            figures.append((path, f"Test {metric} of each net; the random split beside the blocked one."))
    return figures


def _split_section(comparison: Comparison, stack: xr.Dataset, split: str, out: Path) -> Section:
    folds = sorted({fold for s, fold, _ in comparison.runs if s == split})
    nets = [net for s, fold, net in comparison.runs if s == split and fold == folds[0]]
    pooled = {net: _pooled([comparison.runs[split, f, net] for f in folds]) for net in nets}
    shown = [net for net in nets if net not in FLAT]
    ranks = [net for net in nets if not comparison.runs[split, folds[0], net].probabilities]
    first = comparison.runs[split, folds[0], nets[0]]
    figures = [
        *_curves({net: pooled[net] for net in shown}, ranks, out, split),
        *_histories(comparison, split, folds[0], shown, out),
    ]
    several = f", {len(folds)} folds; curves pool the test parts" if len(folds) > 1 else ""
    if has_samples(stack):
        return Section(f"The {split} split{several}", figures=tuple(figures))
    grid = stack_grid(stack)
    codes = [small_codes(split_of_fold, first.preview.step) for split_of_fold in _splits(out, split, folds, nets)]
    if codes:
        partition = partition_figure(codes[0], first.preview.labels, extent_km(grid))
        figures.append((save_figure(partition, out / f"{split}-partition.png"), "The partition of the first fold."))
    best = sorted(shown, key=lambda net: _test_nll(comparison, split, net))[:MAPS]
    maps = {net: _map_of([comparison.runs[split, f, net] for f in folds], codes) for net in best}
    figure = susceptibility_figure(maps, first.preview.labels, small_band(stack, first.preview.step), extent_km(grid))
    where = "each place by the fold that had it as test ground" if len(codes) > 1 else "training ground included"
    caption = f"Maps of the best nets beside the mapped landslides, in multiples of the average rate; {where}."
    figures.insert(0, (save_figure(figure, out / f"{split}-maps.png"), caption))
    return Section(f"The {split} split{several}", figures=tuple(figures))


def _curves(
    pooled: Mapping[str, ScoreHistogram], ranks: Collection[str], out: Path, split: str
) -> list[tuple[Path, str]]:
    """ranks: nets that give no probabilities, which have no reliability."""
    roc = {net: (c.x, c.y) for net, h in pooled.items() for c in [h.roc_curve()]}
    recall = {net: (c.x, c.y) for net, h in pooled.items() for c in [h.precision_recall_curve()]}
    sure = {net: h for net, h in pooled.items() if net not in ranks}
    bins = {net: (r.predicted, r.observed, r.n) for net, h in sure.items() for r in [h.reliability_by_mass(20)]}
    any_histogram = next(iter(pooled.values()))
    prevalence = float(any_histogram.positives.sum() / max(any_histogram.n, 1))
    areas = {net: h.auroc()[0] for net, h in pooled.items()}
    precisions = {net: h.average_precision() for net, h in pooled.items()}
    return [
        (save_figure(roc_figure(roc, areas), out / f"{split}-roc.png"), "ROC on test pixels."),
        (
            save_figure(precision_recall_figure(recall, precisions, prevalence), out / f"{split}-precision_recall.png"),
            "Precision over recall on test pixels; the dashed line is what a constant reaches.",
        ),
        (
            save_figure(reliability_figure(bins, prevalence), out / f"{split}-reliability.png"),
            "Reliability on test pixels: on the dashed line a probability can be believed.",
        ),
    ]


def _histories(comparison: Comparison, split: str, fold: int, nets: Sequence[str], out: Path) -> list[tuple[Path, str]]:
    histories = {net: h for net in nets if (h := read_history(out / "runs" / f"{split}-{fold}" / net))}
    if not histories:
        return []
    scores = comparison.runs[split, fold, next(iter(histories))].parts["validation"].histogram
    constant = best_constant_nll(float(scores.positives.sum() / max(scores.n, 1)))
    path = save_figure(history_figure(histories, constant), out / f"{split}-history.png")
    return [(path, "Validation curves of the first fold; the dotted line is the constant prevalence.")]


def _pooled(runs: Sequence[RunScores]) -> ScoreHistogram:
    total = ScoreHistogram()
    for run in runs:
        total.merge(run.parts["test"].histogram)
    return total


def _splits(out: Path, split: str, folds: Sequence[int], nets: Sequence[str]) -> list[Split]:
    """The split of each fold, from the bundles of the nets that have one; [] where none has."""
    paths = [[out / "runs" / f"{split}-{fold}" / net / "split.geojson" for net in nets] for fold in folds]
    found = [next((path for path in of_fold if path.is_file()), None) for of_fold in paths]
    return [read_split(path) for path in found if path] if all(found) else []


def _map_of(runs: Sequence[RunScores], codes: Sequence[np.ndarray]) -> np.ndarray:
    """The small map; where there are several folds, each place as the fold saw it that had it as test ground."""
    whole = runs[0].preview.probability.copy()
    if len(codes) > 1:
        whole[:] = np.nan
        for run, of_fold in zip(runs, codes, strict=True):
            test = of_fold == PARTS.index("test") + 1
            whole[test] = run.preview.probability[test]
    return whole


def _test_nll(comparison: Comparison, split: str, net: str) -> float:
    """NLL of the test part; infinite for ranks, which have none."""
    value = next(r.value for r in comparison.rows if (r.net, r.split, r.part, r.metric) == (net, split, "test", "nll"))
    return value if np.isfinite(value) else np.inf
