"""The one tidy table of metrics: net, split, part, metric, value, low, high; on disk as CSV and JSON, and in print.

It computes no metric. Missing numbers are an empty field in CSV, null in JSON, NaN here.
"""

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from headscarp.core.artefact import write_json, write_text
from headscarp.core.domains import CAUSES, HORIZONS_DAYS
from headscarp.core.errors import OutputError
from headscarp.core.scenarios import TASKS
from headscarp.evaluation.hazards import HAZARD_METRICS
from headscarp.evaluation.intervals import Interval
from headscarp.evaluation.metrics import METRICS
from headscarp.evaluation.selective import KEPT
from headscarp.evaluation.suites import FIXED_METRICS, RATIO_METRICS, SUITE_METRICS

PARTS = ("train", "validation", "test")
OBJECT_SPLITS = ("objects", "area")
"""What stands in place of a split where polygons are scored against polygons; parts are classes of size, or all."""
OBJECT_PARTS = ("all", "<1e3", "1e3-1e4", "1e4-1e5", ">1e5")
OBJECT_METRICS = (
    *("precision", "recall", "f1", "iou", "matched_precision", "matched_recall", "matched_f1"),
    *("n_true", "n_found", "n_missed", "n_mapped", "n_false", "coverage", "area_error"),
    *("true_m2", "mapped_m2", "both_m2"),
)
HORIZON_NAMES = tuple(f" {days} d" for days in HORIZONS_DAYS)
"""Where places were judged, metrics end in a horizon, parts may be one region, and "gap" goes before a metric."""
CAUSE_METRICS = (
    *("cause_f1", *(f"cause_f1: {cause}" for cause in CAUSES)),
    *("cause_f1 from cuts", *(f"cause_f1 from cuts: {cause}" for cause in CAUSES)),
    *(f"cause_cut: {cause}" for cause in CAUSES),
)
"""Of forecasts: the F1 of causes that are said at 0.5, or from cuts on that were fitted on the validation part."""
KIND_METRICS = ("macro_f1", "accuracy", "auroc", "nll", "ece", "set_coverage", "set_size", "set_cut", "n")
"""Of classes of places; auroc is the mean over classes, each against all others. Also those of one class ("f1: mining",
"auroc: mining"), and SUREST. Of forecasts accuracy and SUREST are of the longest horizon, sets are of causes."""
PLAN_METRICS = ("risk_reduction", "promised", "of_best")
"""Of plans of planting: true share of the risk of a place that is taken away, the share that was promised, and the true
reduction over that of the best plan."""
SUREST = tuple(f"accuracy of the surest {100 * kept:.0f} %" for kept in KEPT[1:])
SITE_METRICS = (
    *("auroc", "average_precision", "sensitivity_99", "precision_at_prevalence", "n", "looked_for"),
    *("gain: auroc", "gain: average_precision"),
)
"""Of sites that are looked for among others, see headscarp.evaluation.sites; net is the score."""
CSV_NAME, JSON_NAME = "metrics.csv", "metrics.json"
_OF_SUITES = (*SUITE_METRICS, *RATIO_METRICS, *FIXED_METRICS, *PLAN_METRICS)
_TASK_PARTS = tuple(f"task: {task}" for task in TASKS)
_MISSING = float("nan")


@dataclass(frozen=True)
class MetricRow:
    """One metric of one net on one part of one split. low, high: its 95 % interval, NaN where there is none.

    part: train, validation or test. metric: a name in METRICS. Where polygons were scored, split is "objects" or
    "area", part one of OBJECT_PARTS and metric one of OBJECT_METRICS. Of forecasts metric is a name in HAZARD_METRICS
    and a horizon ("average_precision 7 d"), "gap: " before it, or one of CAUSE_METRICS; part may be a region
    ("region: india"). Of classes of places, and of confidence, see KIND_METRICS. Of suites of futures metric is a name
    in headscarp.evaluation.suites; part may be a task ("task: mining"). Of sites it is one of SITE_METRICS, of plans
    one of PLAN_METRICS. Raises OutputError on other names.
    """

    net: str
    split: str
    part: str
    metric: str
    value: float
    low: float = _MISSING
    high: float = _MISSING

    def __post_init__(self) -> None:
        if self.metric in _OF_SUITES and (self.part in PARTS or self.part in _TASK_PARTS):
            return
        if (_is_forecast(self.metric) or _is_kind(self.metric)) and (
            self.part in PARTS or self.part.startswith("region: ")
        ):
            return
        if self.metric in SITE_METRICS and (self.part in PARTS or self.part.startswith("region: ")):
            return
        polygons = self.split in OBJECT_SPLITS
        parts, metrics = (OBJECT_PARTS, OBJECT_METRICS) if polygons else (PARTS, tuple(METRICS))
        if self.part not in parts:
            raise OutputError(f"part is {self.part!r}; a table of metrics knows {', '.join(parts)}")
        if self.metric not in metrics:
            raise OutputError(f"metric is {self.metric!r}; a table of metrics knows {', '.join(metrics)}")


COLUMNS = tuple(field.name for field in fields(MetricRow))


@dataclass(frozen=True)
class Judged:
    """What was found of a net on samples. rows: the tidy table, the net's own first."""

    net: str
    split: str
    rows: tuple[MetricRow, ...]

    def value(self, metric: str, *, net: str | None = None, part: str = "test") -> MetricRow:
        """One row of the table; NaN where there is none."""
        asked = (net or self.net, part, metric)
        found = (row for row in self.rows if (row.net, row.part, row.metric) == asked)
        return next(found, MetricRow(asked[0], self.split, part, metric, float("nan")))


def rows_of(net: str, split: str, part: str, scores: Mapping[str, float | Interval]) -> list[MetricRow]:
    """Rows of one evaluation. scores: by metric, plain values (no interval) or Intervals."""
    return [
        MetricRow(net, split, part, metric, score.value, score.low, score.high)
        if isinstance(score, Interval)
        else MetricRow(net, split, part, metric, float(score))
        for metric, score in scores.items()
    ]


def write_table(rows: Iterable[MetricRow], folder: str | Path) -> tuple[Path, Path]:
    """Writes metrics.csv and metrics.json into a folder, each whole or not at all, replacing what was there.

    Returns the two paths. Numbers are written so that they read back exactly.
    """
    rows, folder = list(rows), Path(folder)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow([value if isinstance(value, str) else _as_text(value) for value in asdict(row).values()])
    return write_text(folder / CSV_NAME, text.getvalue()), write_json(folder / JSON_NAME, [asdict(row) for row in rows])


def read_table(folder: str | Path) -> list[MetricRow]:
    """The rows that write_table has written, from metrics.json, else metrics.csv. Raises OutputError on others."""
    folder = Path(folder)
    path = next((folder / name for name in (JSON_NAME, CSV_NAME) if (folder / name).exists()), None)
    if path is None:
        raise OutputError(f"{folder} holds no {CSV_NAME}; give the folder that evaluate or compare has written")
    text = path.read_text(encoding="utf-8")
    try:
        records = json.loads(text) if path.suffix == ".json" else list(csv.DictReader(io.StringIO(text)))
        return [_row_of(record) for record in records]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise OutputError(
            f"{path} is not a table of metrics with the columns {', '.join(COLUMNS)}; evaluate again"
        ) from error


def pivot(
    rows: Iterable[MetricRow], *, metrics: Sequence[str] = ("nll", "auroc"), parts: Sequence[str] = ("test", "train")
) -> tuple[list[tuple[str, str, str]], dict[str, list[MetricRow | None]]]:
    """The tidy table on its side, as in Table 2 of Hajimoradlou et al. (2019).

    Returns the columns, (split, metric, part) in order of first sight, and by net one row per column, None where
    missing. Columns without any row are left out.
    """
    rows = list(rows)
    splits = dict.fromkeys(row.split for row in rows)
    nets = dict.fromkeys(row.net for row in rows)
    found = {(row.net, row.split, row.metric, row.part): row for row in rows}
    held = {key[1:] for key in found}
    columns = [(split, metric, part) for split in splits for metric in metrics for part in parts]
    columns = [column for column in columns if column in held]
    return columns, {net: [found.get((net, *column)) for column in columns] for net in nets}


def as_markdown(
    rows: Iterable[MetricRow],
    *,
    metrics: Sequence[str] = ("nll", "auroc"),
    parts: Sequence[str] = ("test", "train"),
    digits: int = 3,
) -> str:
    """A table for people: a row per net, a column per split, metric and part, intervals in brackets."""
    columns, nets = pivot(rows, metrics=metrics, parts=parts)
    heads = ["net", *(f"{split} {metric} {part}" for split, metric, part in columns)]
    return markdown_table(heads, [[net, *(_as_cell(row, digits) for row in line)] for net, line in nets.items()])


def markdown_table(heads: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A table in Markdown, columns as wide as they have to be; the first one stands left, the others right."""
    widths = [max(len(line[i]) for line in [heads, *body]) for i in range(len(heads))]
    rule = ["-" * width if i == 0 else "-" * (width - 1) + ":" for i, width in enumerate(widths)]
    lines = [
        [
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        for line in [heads, rule, *body]
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _is_forecast(metric: str) -> bool:
    name = metric.removeprefix("gap: ")
    of_horizon = any(name == known + days for known in HAZARD_METRICS for days in HORIZON_NAMES)
    return of_horizon or name in CAUSE_METRICS


def _is_kind(metric: str) -> bool:
    return metric in (*KIND_METRICS, *SUREST) or metric.startswith(("f1: ", "auroc: "))


def _row_of(record: Mapping[str, object]) -> MetricRow:
    if set(record) != set(COLUMNS):
        raise KeyError(", ".join(map(str, record)))
    net, split, part, metric = (str(record[name]) for name in COLUMNS[:4])
    value, low, high = (_as_number(record[name]) for name in COLUMNS[4:])
    return MetricRow(net, split, part, metric, value, low, high)


def _as_number(field: object) -> float:
    return _MISSING if field in (None, "") else float(str(field))


def _as_text(value: float) -> str:
    return "" if math.isnan(value) else repr(float(value))


def _as_cell(row: MetricRow | None, digits: int) -> str:
    if row is None or math.isnan(row.value):
        return "-"
    if row.metric == "n":
        return f"{row.value:.0f}"
    if math.isnan(row.low) or math.isnan(row.high):
        return f"{row.value:.{digits}f}"
    return f"{row.value:.{digits}f} [{row.low:.{digits}f}, {row.high:.{digits}f}]"
