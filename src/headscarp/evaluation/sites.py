"""How well a score finds sites of one kind among others: ranks, and what a search at some prevalence would bring.

Plain functions of a few hundred sites, for many resamples at once. NaN where one of both kinds is missing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from headscarp.evaluation.hazards import Floats, auroc, average_precision
from headscarp.evaluation.intervals import Interval, interval_of
from headscarp.evaluation.places import resamples

SPECIFICITY, FOUND = 0.99, 0.8
"""Share of the other sites that may not be called; share of the sites looked for that are to be found."""


@dataclass(frozen=True)
class SiteTruth:
    """What N sites are. holds: (N,) 1 for the kind looked for, else 0. region: (N,) text; place: (N,) number of the
    neighbourhood: intervals come from resampling these."""

    holds: Floats
    region: NDArray[np.str_]
    place: NDArray[np.int64]

    def take(self, at: NDArray[np.bool_]) -> "SiteTruth":
        """Those of them where `at` is true."""
        return SiteTruth(self.holds[at], self.region[at], self.place[at])


def sensitivity_at_specificity(p: Floats, y: Floats, w: Floats) -> Floats:
    """Share of the sites looked for that score above all but 1 in 100 of the others; below 100 others, above all."""
    found, false = _rates(p, y, w)
    return np.where(np.isnan(found[:, -1]), np.nan, np.where(false <= 1 - SPECIFICITY + 1e-12, found, 0.0).max(axis=1))


def precision_at_prevalence(p: Floats, y: Floats, w: Floats, *, prevalence: float) -> Floats:
    """Of the sites called when 80 % of those looked for are found, the share that is of them, were `prevalence` of all
    sites of that kind. 1 where no other site is called, which few others do not prove."""
    found, false = _rates(p, y, w)
    at = (found >= FOUND - 1e-12).argmax(axis=1)
    rows = np.arange(len(w))
    hits, alarms = prevalence * found[rows, at], (1 - prevalence) * false[rows, at]
    return np.asarray(hits / (hits + alarms))


def site_metrics(prevalence: float) -> dict[str, Callable[[Floats, Floats, Floats], Floats]]:
    """The metrics by name: of scores (N,), truth (N,) and weights (R, N)."""
    return {
        "auroc": auroc,
        "average_precision": average_precision,
        "sensitivity_99": sensitivity_at_specificity,
        "precision_at_prevalence": partial(precision_at_prevalence, prevalence=prevalence),
    }


def site_scores(score: Floats, truth: SiteTruth, prevalence: float, rng: np.random.Generator) -> dict[str, Interval]:
    """Every metric with its 95 % interval: neighbourhoods resampled within regions, 300 times; then how many sites."""
    weights = resamples(truth, rng)
    found = {}
    for name, metric in site_metrics(prevalence).items():
        values = metric(score, truth.holds, weights)
        found[name] = interval_of(float(values[0]), values[1:])
    for name, value in (("n", len(truth.holds)), ("looked_for", truth.holds.sum())):
        found[name] = Interval(float(value), float("nan"), float("nan"))
    return found


def site_gains(ours: Floats, theirs: Floats, truth: SiteTruth, rng: np.random.Generator) -> dict[str, Interval]:
    """AUROC and average precision of ours minus that of theirs, on the same sites and resamples."""
    weights, gains = resamples(truth, rng), {}
    for name, metric in (("auroc", auroc), ("average_precision", average_precision)):
        values = metric(ours, truth.holds, weights) - metric(theirs, truth.holds, weights)
        gains[f"gain: {name}"] = interval_of(float(values[0]), values[1:])
    return gains


def both_kinds(holds: Sequence[float] | Floats) -> bool:
    """Whether there is a site of each kind."""
    return 0 < float(np.sum(holds)) < len(holds)


def _rates(p: Floats, y: Floats, w: Floats) -> tuple[Floats, Floats]:
    """(R, M) share of the sites looked for, and of the others, that are called from each distinct score on, falling."""
    order = np.argsort(-p, kind="stable")
    ends = np.append(np.diff(p[order]) != 0, True)
    held = w[:, order]
    hits, calls = (np.cumsum(v, axis=1)[:, ends] for v in (held * y[order], held))
    false = calls - hits
    with np.errstate(invalid="ignore"):
        return hits / hits[:, -1:], false / false[:, -1:]
