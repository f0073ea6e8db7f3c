"""The two tables of Kimura (2019) for a comparison on one's own data, each beside the majority class.

Table 1 is of nets that label patches: accuracy, F1, precision and recall on training and test part. Table 2 is of nets
that draw masks: mean IoU on the test part, with the IoU of both classes. It computes no metric but those of the
majority class, and refuses to put patches and pixels into one table.
"""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from headscarp.core.artefact import write_text
from headscarp.evaluation.evaluate import counted_in_words
from headscarp.evaluation.metrics import majority_class
from headscarp.evaluation.tables import MetricRow, markdown_table
from headscarp.report.evaluation import as_cell
from headscarp.report.page import Table
from headscarp.train.results import Comparison

MAJORITY = "majority class"
WORDS = {
    "accuracy": "accuracy",
    "f1": "F1",
    "precision": "precision",
    "recall": "recall",
    "prevalence": "share of landslides",
    "mean_iou": "mean IoU",
    "iou": "IoU landslide",
    "iou_not": "IoU no landslide",
    "average_precision": "average precision",
}
PATCH_METRICS = ("accuracy", "f1", "precision", "recall", "prevalence")
MASK_METRICS = ("mean_iou", "iou", "iou_not", "average_precision", "f1", "prevalence")


@dataclass(frozen=True)
class DetectionTable:
    """One of the tables. name: of its CSV file. lines: (net, split, part) -> rows by metric, majority class first."""

    name: str
    title: str
    metrics: tuple[str, ...]
    lines: Mapping[tuple[str, str, str], Mapping[str, MetricRow]]

    @property
    def table(self) -> Table:
        """As text with intervals, for a page. A split is named where there are several."""
        several = len({split for _, split, _ in self.lines}) > 1
        rows = tuple(
            (f"{net}, {split + ' ' if several else ''}{part}", *(as_cell(found.get(m)) for m in self.metrics))
            for (net, split, part), found in self.lines.items()
        )
        return Table(("", *(WORDS[m] for m in self.metrics)), rows)

    @property
    def markdown(self) -> str:
        """The same for a terminal, values only."""
        rows = [[name, *(cell.partition("  ")[0] for cell in cells)] for name, *cells in self.table.rows]
        return markdown_table(self.table.columns, rows)


def detection_tables(comparison: Comparison) -> list[DetectionTable]:
    """Table 1 for each size of patches that a net of the comparison labels, then Table 2 for the nets of pixels."""
    tables = []
    for stride in sorted(set(comparison.strides.values()), reverse=True):
        nets = [net for net, own in comparison.strides.items() if own == stride]
        counted = counted_in_words(stride)
        if stride > 1:
            lines = _lines(comparison.rows, nets, ("train", "test"))
            title = f"Table 1: classification of {counted}"
            tables.append(DetectionTable("patches", title, PATCH_METRICS, lines))
        else:
            lines = _lines(comparison.rows, nets, ("test",))
            tables.append(DetectionTable("masks", f"Table 2: masks, scored by {counted}", MASK_METRICS, lines))
    return tables


def write_detection_tables(comparison: Comparison, out: str | Path) -> list[Path]:
    """Writes patches.csv and masks.csv, values only, undefined ones empty; returns the paths of those there are."""
    paths = []
    for table in detection_tables(comparison):
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["net", "split", "part", *table.metrics])
        for key, found in table.lines.items():
            values = (found[m].value if m in found else math.nan for m in table.metrics)
            writer.writerow([*key, *("" if math.isnan(v) else repr(v) for v in values)])
        paths.append(write_text(Path(out) / f"{table.name}.csv", text.getvalue()))
    return paths


def _lines(
    rows: Sequence[MetricRow], nets: Sequence[str], parts: Sequence[str]
) -> dict[tuple[str, str, str], dict[str, MetricRow]]:
    """Rows of these nets, behind those of the class that is the commoner one in each part."""
    found: dict[tuple[str, str, str], dict[str, MetricRow]] = {}
    for row in rows:
        if row.net in nets and row.part in parts:
            found.setdefault((row.net, row.split, row.part), {})[row.metric] = row
    majority: dict[tuple[str, str, str], dict[str, MetricRow]] = {}
    for (_, split, part), of_net in found.items():
        share = of_net["prevalence"].value
        values = majority_class(share) if math.isfinite(share) else {}
        line = {metric: MetricRow(MAJORITY, split, part, metric, value) for metric, value in values.items()}
        majority.setdefault((MAJORITY, split, part), line)
    return {**majority, **found}
