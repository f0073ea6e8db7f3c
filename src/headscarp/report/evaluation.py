"""The report of one evaluated bundle: figures as PNG, and one self-contained page."""

import csv
from pathlib import Path

import numpy as np
import xarray as xr

from headscarp.core.bundle import open_bundle
from headscarp.core.grid import Grid, true_cell_size_m
from headscarp.core.provenance import read_made
from headscarp.core.samples import has_samples
from headscarp.core.stack import open_stack, stack_grid
from headscarp.core.tile import Window
from headscarp.evaluation.evaluate import Evaluation
from headscarp.evaluation.metrics import METRICS, best_constant_nll
from headscarp.evaluation.scoring import Preview
from headscarp.evaluation.tables import PARTS, MetricRow
from headscarp.report.figures import (
    history_figure,
    partition_figure,
    precision_recall_figure,
    reliability_figure,
    roc_figure,
    save_figure,
    susceptibility_figure,
)
from headscarp.report.page import Page, Section, Table, notice_of, write_page
from headscarp.tiles.splits import Split, read_split


def write_evaluation_report(
    evaluation: Evaluation, bundle: str | Path, stack: str | Path, out: str | Path, *, split: str | Path | None = None
) -> Path:
    """Writes figures and report.html for one evaluation into `out`; returns the page."""
    out, opened = Path(out), open_stack(stack)
    figures = write_curves(evaluation, out)
    maps = [] if has_samples(opened) else _maps(evaluation, opened, split or Path(bundle) / "split.geojson", out)
    history = write_history(Path(bundle), evaluation, out)
    page = Page(
        title=f"How good is {evaluation.net}?",
        lead=(evaluation.text, *advice(evaluation)),
        sections=[
            *([Section("Map and truth", figures=tuple(maps))] if maps else []),
            Section("Figures on each part", table=parts_table(evaluation.rows)),
            Section("Curves", figures=tuple(figures + history)),
        ],
        notice=notice_of(opened.attrs),
        made={**open_bundle(bundle).made, **{f"evaluate {k}": v for k, v in read_made(out).items()}},
    )
    return write_page(page, out / "report.html")


def _maps(evaluation: Evaluation, stack: xr.Dataset, split: str | Path, out: Path) -> list[tuple[Path, str]]:
    """The partition, and the map beside the truth, of a stack of one place."""
    grid, parted = stack_grid(stack), read_split(split)
    elevation = small_band(stack, evaluation.preview.step)
    return [
        (write_partition(parted, evaluation.preview, grid, out), "Which ground trained, which chose, which judged."),
        (
            save_figure(
                susceptibility_figure(
                    {f"{evaluation.net}": evaluation.preview.probability},
                    evaluation.preview.labels,
                    elevation,
                    extent_km(grid),
                ),
                out / "map.png",
            ),
            "The map beside the mapped landslides, in multiples of the average rate.",
        ),
    ]


def write_curves(evaluation: Evaluation, out: Path) -> list[tuple[Path, str]]:
    """ROC, precision-recall and reliability of the parts of one evaluation."""
    roc, pr, bins, areas, precisions = {}, {}, {}, {}, {}
    for part, scores in evaluation.parts.items():
        histogram = scores.histogram
        curve, found = histogram.roc_curve(), histogram.precision_recall_curve()
        roc[part], pr[part] = (curve.x, curve.y), (found.x, found.y)
        areas[part], precisions[part] = histogram.auroc()[0], histogram.average_precision()
        reliability = histogram.reliability_by_mass(20)
        bins[part] = (reliability.predicted, reliability.observed, reliability.n)
    prevalence = evaluation.value("prevalence").value
    return [
        (save_figure(roc_figure(roc, areas), out / "roc.png"), "ROC curve of each part with its AUROC."),
        (
            save_figure(precision_recall_figure(pr, precisions, prevalence), out / "precision_recall.png"),
            "Precision over recall with average precision; the dashed line is what a constant reaches.",
        ),
        (
            save_figure(reliability_figure(bins, prevalence), out / "reliability.png"),
            "Of the pixels given a probability, how many did slide; on the dashed line a probability can be believed.",
        ),
    ]


def write_history(bundle: Path, evaluation: Evaluation, out: Path) -> list[tuple[Path, str]]:
    """Validation curve of a training, where the bundle has one."""
    history = read_history(bundle)
    if not history:
        return []
    constant = best_constant_nll(evaluation.value("prevalence", "validation").value)
    figure = history_figure({evaluation.net: history}, constant)
    return [(save_figure(figure, out / "history.png"), "Validation curve; the dotted line is the constant prevalence.")]


def read_history(bundle: Path) -> dict[str, list[float]]:
    """Columns of a bundle's history.csv; {} where it was not trained by epochs."""
    path = bundle / "history.csv"
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {key: [float(row[key] or "nan") for row in rows] for key in rows[0]} if rows else {}


def write_partition(split: Split, preview: Preview, grid: Grid, out: Path) -> Path:
    """The map of the partition as partition.png."""
    return save_figure(
        partition_figure(small_codes(split, preview.step), preview.labels, extent_km(grid)), out / "partition.png"
    )


def small_codes(split: Split, step: int) -> np.ndarray:
    """Every step-th pixel's part: (rows, cols) uint8, read strip by strip."""
    rows, cols = split.shape
    return np.concatenate([split.codes(Window(row, 0, 1, cols))[:, ::step] for row in range(0, rows, step)])


def small_band(stack, step: int, name: str = "elevation") -> np.ndarray | None:  # type: ignore[no-untyped-def]
    """Every step-th pixel of a band: (rows, cols) float32; None where the stack has no such band."""
    if name not in stack:
        return None
    rows = [stack[name].variable[slice(row, row + 1), :].values[:, ::step] for row in range(0, stack.sizes["y"], step)]
    return np.concatenate(rows).astype("float32")


def extent_km(grid: Grid) -> tuple[float, float]:
    """(width, height) of a grid in km."""
    dy, dx = true_cell_size_m(grid)
    return grid.shape[1] * dx / 1000, grid.shape[0] * dy / 1000


def parts_table(rows: tuple[MetricRow, ...]) -> Table:
    """Metrics down, parts across, with intervals."""
    parts = [part for part in PARTS if any(row.part == part for row in rows)]
    by = {(row.metric, row.part): row for row in rows}
    body = tuple((metric, *(as_cell(by.get((metric, part))) for part in parts)) for metric in METRICS)
    return Table(("", *parts), body)


def as_cell(row: MetricRow | None, digits: int = 3) -> str:
    """A value with its interval, as people read it."""
    if row is None or not np.isfinite(row.value):
        return "-"
    if row.metric == "n":
        return f"{row.value:,.0f}".replace(",", " ")
    digits = 4 if row.metric in ("nll", "brier", "ece", "prevalence") else digits
    interval = f"  [{row.low:.{digits}f}, {row.high:.{digits}f}]" if np.isfinite(row.low) else ""
    return f"{row.value:.{digits}f}{interval}"


def advice(evaluation: Evaluation) -> tuple[str, ...]:
    """What follows from the figures, in plain words."""
    test, train = evaluation.value("auroc", "test"), evaluation.value("auroc", "train")
    said = [
        f"Of two places, one that slid and one that did not, the map gives the higher probability to the one that "
        f"slid in {100 * test.value:.0f} of 100 cases (50 is guessing)."
    ]
    if np.isfinite(train.value) and train.value - test.value > 0.05:
        said.append(
            f"It is much better where it was trained (AUROC {train.value:.3f}) than where it was not "
            f"({test.value:.3f}): more training ground, or a simpler net, would help."
        )
    if evaluation.split == "random":
        said.append(
            "The split is random: test pixels have training pixels as neighbours, so these figures flatter. "
            "For a place that nobody has mapped, trust a blocked split."
        )
    if evaluation.split == "given":
        said.append(
            "The parts are those that the set came with; where its test samples are neighbours of training samples, "
            "these figures flatter."
        )
    return tuple(said)
