"""What the confidence of forecasts is worth: accuracy where only the surest speak, causes, and sets of them by region.

Causes and sets are cut on the validation part, which is of other regions than the test part where one was held out; a
region of the validation part itself is judged by the cut of the others. Refuses nothing.
"""

from collections.abc import Mapping

import numpy as np

from headscarp.core.band import UNLABELLED
from headscarp.core.domains import CAUSES
from headscarp.evaluation.hazards import Floats, cause_cuts, cause_f1
from headscarp.evaluation.intervals import interval_of
from headscarp.evaluation.places import Said, Truth, resamples
from headscarp.evaluation.selective import KEPT, coverage_elsewhere, held, selective, set_cut, set_sizes
from headscarp.evaluation.tables import SUREST, MetricRow, rows_of

Key = tuple[str, str]
"""Who said it, and of which part."""


def confidence_rows(
    said: Mapping[Key, Said], truth: Mapping[str, Truth], kind: str, net: str, *, seed: int = 0
) -> list[MetricRow]:
    """Rows of accuracy and accuracy of the surest for everybody; set_coverage and set_size of the net, of each part and
    of each region of the validation and the test part; set_cut and cause_cut, as fitted on the validation part, and the
    F1 of causes that are said from their cuts on, elsewhere."""
    rows = []
    for (name, part), of_part in said.items():
        right, sure, known = rightness(of_part, truth[part])
        weights = resamples(truth[part], np.random.default_rng(seed))[:, known]
        for metric, kept in zip(("accuracy", *SUREST), KEPT, strict=True):
            values = selective(right, sure, weights, kept)
            rows += rows_of(name, kind, part, {metric: interval_of(float(values[0]), values[1:])})
    cut = cut_of(said, truth, net)
    if cut is None:
        return rows
    rows += rows_of(net, kind, "validation", {"set_cut": cut})
    rows += _said_from_cuts(said, truth, kind, net, seed)
    for part, came in truth.items():
        causes = said[net, part].causes
        if causes is None:
            continue
        rows += set_rows(causes, came, cut, (net, kind, part), seed)
        if part == "test":
            for region in np.unique(came.region):
                here = came.region == region
                those = Truth(*(v[here] for v in vars(came).values()))
                rows += set_rows(causes[here], those, cut, (net, kind, f"region: {region}"), seed)
        if part == "validation":
            for region, (share, _) in coverage_elsewhere(causes, came.causes, came.region).items():
                rows += rows_of(net, kind, f"region: {region}", {"set_coverage": share})
    return rows


def _said_from_cuts(
    said: Mapping[Key, Said], truth: Mapping[str, Truth], kind: str, net: str, seed: int
) -> list[MetricRow]:
    causes = said[net, "validation"].causes
    assert causes is not None
    cuts = cause_cuts(causes, truth["validation"].causes)
    rows = rows_of(net, kind, "validation", {f"cause_cut: {c}": float(v) for c, v in zip(CAUSES, cuts, strict=True)})
    for part, came in truth.items():
        told = said[net, part].causes
        if part == "validation" or told is None:
            continue
        of_cause = cause_f1(told, came.causes, resamples(came, np.random.default_rng(seed)), cuts)  # (R, K)
        there = np.isfinite(of_cause)
        mean = np.where(there, of_cause, 0.0).sum(axis=1) / np.maximum(there.sum(axis=1), 1)
        drawn = {"cause_f1 from cuts": np.where(there.any(axis=1), mean, np.nan)}
        drawn |= {f"cause_f1 from cuts: {c}": of_cause[:, k] for k, c in enumerate(CAUSES) if there[0, k]}
        rows += rows_of(net, kind, part, {name: interval_of(float(v[0]), v[1:]) for name, v in drawn.items()})
    return rows


def rightness(said: Said, truth: Truth) -> tuple[Floats, Floats, np.ndarray]:
    """Within the longest horizon: whether what is likelier came (n,), how sure that was (n,), and which samples it is
    known of (N,). Who tells no confidence is as sure as 1 - 4 p (1 - p)."""
    p, came = said.hazards[:, -1], truth.events[:, -1]
    known = came != UNLABELLED
    sure = 1 - 4 * p * (1 - p) if said.confidence is None else said.confidence
    return ((p >= 0.5) == (came == 1))[known].astype(np.float64), sure[known], known


def cut_of(said: Mapping[Key, Said], truth: Mapping[str, Truth], net: str) -> float | None:
    """From which probability on a cause is in the set of a place, by the validation part; None where that cannot be
    told: no causes are said, or there is no such part."""
    causes = said[net, "validation"].causes if (net, "validation") in said else None
    return None if causes is None else set_cut(causes, truth["validation"].causes)


def set_rows(causes: Floats, truth: Truth, cut: float, at: tuple[str, str, str], seed: int) -> list[MetricRow]:
    """set_coverage and set_size over places of which a cause is known to hold. at: net, split and part of the rows."""
    known = (truth.causes == 1).any(axis=1)
    if not known.any():
        return []
    weights = resamples(truth, np.random.default_rng(seed))[:, known]
    counts = {
        "set_coverage": held(causes[known], truth.causes[known], cut).astype(np.float64),
        "set_size": set_sizes(causes[known], cut).astype(np.float64),
    }
    total = weights.sum(axis=1)
    found = {}
    for name, values in counts.items():
        drawn = np.divide(weights @ values, total, out=np.full(len(total), np.nan), where=total > 0)
        found[name] = interval_of(float(drawn[0]), drawn[1:])
    return rows_of(*at, found)
