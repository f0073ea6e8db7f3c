"""Suites of futures as rows of a table: each net over all tasks and task by task, and what the first has more than the
others, by the same resamples of places.

Refuses nothing.
"""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from headscarp.core.artefact import write_text
from headscarp.evaluation.suites import Suite, Suites, case_values, suite_scores
from headscarp.evaluation.tables import MetricRow, rows_of
from headscarp.train.cases import Case

DIFFERENCES = "differences.csv"
CERTAIN = ("identity",)
"""Tasks of which there is nothing to say."""

Apart = list[tuple[str, MetricRow]]
"""Rows of what a net has more than another, with the name of the other."""


def suite_rows(
    found: Mapping[str, Suites],
    cases: Sequence[Case],
    kind: str,
    part: str,
    *,
    identity: Callable[[Sequence[tuple[Suite, Suite]], Case], float],
    seed: int,
) -> tuple[list[MetricRow], Apart]:
    """Rows of each name over all tasks but identity, and of the test part task by task; and what the first name has
    more than each other. identity: how far off a suite of that task is."""
    rows: list[MetricRow] = []
    apart: Apart = []
    uncertain = [i for i, case in enumerate(cases) if case.task not in CERTAIN]
    groups = {part: uncertain}
    if part == "test":
        tasks = dict.fromkeys(cases[i].task for i in uncertain)
        groups |= {f"task: {task}": [i for i in uncertain if cases[i].task == task] for task in tasks}
    valued = {name: case_values(suites) for name, suites in found.items()}
    first = next(iter(valued))
    for name, (values, ratios) in valued.items():
        more = {metric: valued[first][0][metric] - of for metric, of in values.items()}
        for group, chosen in groups.items():
            places = [cases[i].place for i in chosen]
            scores = suite_scores(values, ratios, chosen, places, np.random.default_rng(seed))
            rows += rows_of(name, kind, group, scores)
            if name != first:
                scores = suite_scores(more, None, chosen, places, np.random.default_rng(seed))
                apart += [(name, row) for row in rows_of(first, kind, group, scores)]
        suites = found[name]
        same = [identity(suites[i], cases[i]) for i in range(len(cases)) if cases[i].task == "identity"]
        if same:
            rows += rows_of(name, kind, part, {"identity_error": float(np.mean(same))})
    return rows, apart


def write_differences(apart: Apart, folder: Path) -> Path:
    """Writes differences.csv: net, less, part, metric, value, low, high; a negative CRPS means that the net is better.

    Cases in which a metric of either is undefined are left out, and so are metrics that are nowhere defined.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("net", "less", "part", "metric", "value", "low", "high"))
    for other, row in apart:
        if np.isfinite(row.value):
            writer.writerow((row.net, other, row.part, row.metric, row.value, row.low, row.high))
    return write_text(folder / DIFFERENCES, text.getvalue())
