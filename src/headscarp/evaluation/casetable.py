"""What a forecast loses in each case of `cases`: tidy rows with intervals, and sentences that say what costs most.

All cases are scored on the same places and the same resamples, so that what one costs has an interval of its own. It
runs no net.
"""

import csv
import io
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace

import numpy as np

from headscarp.core.domains import HORIZONS_DAYS
from headscarp.core.errors import HeadscarpWarning
from headscarp.evaluation.cases import AS_IT_IS
from headscarp.evaluation.intervals import Interval, interval_of
from headscarp.evaluation.places import Floats, Said, Truth, hazard_values, resamples
from headscarp.nets.metadata import CHOICES

METRICS = ("average_precision", "log_skill", "calibration_slope", "ece")
SHOWN_DAYS = 30


@dataclass(frozen=True)
class CaseRow:
    """One metric within one horizon in one case, with its 95 % interval. loss: that of the bundle as it is minus this,
    on the same resamples, with its interval; NaN of metrics that are not better when higher."""

    table: str
    case: str
    metric: str
    days: int
    value: float
    low: float
    high: float
    loss: float = math.nan
    loss_low: float = math.nan
    loss_high: float = math.nan


@dataclass(frozen=True)
class Ablation:
    """What was found. rows: of all cases; the table "" holds the bundle as it is, the constant and, where the
    world is simulated, its law. sentences: what is worth saying first. samples, events: of the part, the latter within
    SHOWN_DAYS."""

    net: str
    part: str
    rows: tuple[CaseRow, ...]
    sentences: tuple[str, ...]
    samples: int
    events: int

    @property
    def tables(self) -> list[str]:
        """The tables that vary something, in their order."""
        return [table for table in dict.fromkeys(row.table for row in self.rows) if table]

    def row(self, table: str, case: str, metric: str, days: int) -> CaseRow | None:
        """One row, None where there is none."""
        asked = (table, case, metric, days)
        return next((r for r in self.rows if (r.table, r.case, r.metric, r.days) == asked), None)

    def cases(self, table: str) -> list[str]:
        """The cases of a table, in their order."""
        return list(dict.fromkeys(row.case for row in self.rows if row.table == table))


def summarised(
    net: str,
    part: str,
    said: Mapping[tuple[str, str], Said],
    truth: Truth,
    known: Mapping[str, Floats],
    *,
    seed: int,
) -> Ablation:
    """The rows and sentences of all cases.

    said: by table and case, ("", AS_IT_IS) among them. known: what needs no net, such as the law. seed: of resamples.
    """
    weights = resamples(truth, np.random.default_rng(seed))
    drawn = {key: hazard_values(of_case, truth, weights, metrics=METRICS) for key, of_case in said.items()}
    drawn |= {("", name): hazard_values(Said(p), truth, weights, metrics=METRICS) for name, p in known.items()}
    usual, rows = drawn["", AS_IT_IS], []
    for (table, case), values in drawn.items():
        for metric in METRICS:
            for days in HORIZONS_DAYS:
                name = f"{metric} {days} d"
                found, lost = _interval(values[name]), Interval(math.nan, math.nan, math.nan)
                if table and metric in ("average_precision", "log_skill"):
                    lost = _interval(usual[name] - values[name])
                numbers = (found.value, found.low, found.high, lost.value, lost.low, lost.high)
                rows.append(CaseRow(table, case, metric, days, *numbers))
    events = int((truth.events[:, HORIZONS_DAYS.index(SHOWN_DAYS)] == 1).sum())
    made = Ablation(net, part, tuple(rows), (), len(truth.sample), events)
    return replace(made, sentences=(*_costs(made), *place_learned(drawn)))


def _costs(ablation: Ablation) -> list[str]:
    """For each table the case that costs most, or that none costs anything beyond the interval."""
    told, metric = [], "average_precision"
    for table in ablation.tables:
        rows = [ablation.row(table, case, metric, SHOWN_DAYS) for case in ablation.cases(table)]
        costly = [row for row in rows if row is not None and row.loss_low > 0]
        if not costly:
            told.append(f"{table}: no case costs average precision within {SHOWN_DAYS} days beyond the interval.")
            continue
        worst = max(costly, key=lambda row: row.loss)
        told.append(
            f"{table}: {worst.case} costs most, {worst.loss:.3f} [{worst.loss_low:.3f}, {worst.loss_high:.3f}] of "
            f"average precision within {SHOWN_DAYS} days."
        )
    return told


def place_learned(drawn: Mapping[tuple[str, str], Mapping[str, Floats]]) -> list[str]:
    """A warning where a net that knows the position beats one that knows no numbers, and all of them add nothing."""
    if not {("metadata", choice) for choice in CHOICES} <= set(drawn):
        return []
    name = f"average_precision {SHOWN_DAYS} d"
    none, position, whole = (drawn["metadata", choice][name] for choice in ("none", "position", "all"))
    gained, left = _interval(position - none), _interval(whole - position)
    if gained.low <= 0 or left.low > 0:
        return []
    said = (
        f"position alone explains the score: it adds {gained.value:.3f} [{gained.low:.3f}, {gained.high:.3f}] of "
        f"average precision within {SHOWN_DAYS} days, and weather and view add nothing to it for sure. The net has "
        "learned the places and not what happens there; judge it in a region that it has not seen"
    )
    warnings.warn(said, HeadscarpWarning, stacklevel=2)
    return [f"{said[0].upper()}{said[1:]}."]


def _interval(values: Floats) -> Interval:
    return interval_of(float(values[0]), values[1:])


def as_csv(rows: Sequence[CaseRow]) -> str:
    """The rows as CSV, a missing number as an empty field."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([f.name for f in fields(CaseRow)])
    for row in rows:
        values = asdict(row).values()
        writer.writerow(["" if isinstance(v, float) and math.isnan(v) else v for v in values])
    return text.getvalue()
