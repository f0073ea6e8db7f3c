"""The metrics of scored polygons as rows of the tidy table, with intervals by resampling squares of ground.

Every metric is a function of sums over squares, so one line serves the value and a thousand resamples. An object
belongs to the square of its centroid. Undefined values are NaN, never 0 or 1.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headscarp.evaluation.intervals import Interval, drawn_weights, interval_of
from headscarp.evaluation.objects import SIZE_CLASSES, ObjectScores
from headscarp.evaluation.tables import OBJECT_SPLITS, MetricRow, rows_of

Sums = Mapping[str, NDArray[np.float64]]
"""By name: (...) sums over squares; `...` are resamples, or nothing."""
RESAMPLES = 1000


def object_rows(scores: ObjectScores, name: str, *, seed: int = 0, resamples: int = RESAMPLES) -> list[MetricRow]:
    """The tidy table of an inventory: split "objects" for all and each class of size, then split "area".

    name: of the inventory. Classes without an object on either side are left out. Intervals are of 95 %.
    """
    objects, area = OBJECT_SPLITS
    rng = np.random.default_rng(seed)
    parts: dict[str, int | None] = {"all": None, **{size: i for i, size in enumerate(SIZE_CLASSES)}}
    sums = {(objects, part): _object_sums(scores, size) for part, size in parts.items()}
    sums[area, "all"] = dict(zip(("mapped_m2", "true_m2", "both_m2"), scores.areas.T, strict=True))
    sums = {key: by for key, by in sums.items() if any(values.any() for values in by.values())}
    draws: dict[tuple[str, str, str], list[NDArray[np.float64]]] = {}
    blocks = len(scores.areas)
    for weights in drawn_weights(blocks, rng, resamples) if blocks > 1 else ():
        for key, by in sums.items():
            drawn = {what: weights @ values for what, values in by.items()}
            for metric, function in _METRICS[key[0]].items():
                draws.setdefault((*key, metric), []).append(function(drawn))
    rows: list[MetricRow] = []
    for key, by in sums.items():
        whole = {what: values.sum() for what, values in by.items()}
        found: dict[str, float | Interval] = {}
        for metric, function in _METRICS[key[0]].items():
            value, seen = float(function(whole)), draws.get((*key, metric))
            found[metric] = value if seen is None else interval_of(value, np.concatenate(seen))
        rows += rows_of(name, *key, found)
    return rows


def _object_sums(scores: ObjectScores, size: int | None) -> dict[str, NDArray[np.float64]]:
    """What objects of a class of size (None: all) add up to in each square of ground: (blocks,) by name."""
    true, mapped, rules = scores.truth, scores.mapped, scores.rules
    found = true["covered"] >= rules.found_share
    false = mapped["covered"] < rules.false_share
    counted: dict[str, tuple[Mapping[str, NDArray[Any]], NDArray[Any]]] = {
        "n_true": (true, np.ones(len(found))),
        "n_found": (true, found),
        "matched_true": (true, true["matched"]),
        "true_m2": (true, true["area_m2"]),
        "covered_m2": (true, true["area_m2"] * true["covered"]),
        "n_mapped": (mapped, np.ones(len(false))),
        "n_false": (mapped, false),
        "matched_mapped": (mapped, mapped["matched"]),
        "mapped_m2": (mapped, mapped["area_m2"]),
    }
    sums = {}
    for what, (objects, values) in counted.items():
        kept = np.ones(len(values), bool) if size is None else objects["size"] == size
        blocks = len(scores.areas)
        added = np.bincount(objects["block"][kept], values[kept].astype(np.float64), minlength=blocks)
        sums[what] = added.astype(np.float64)
    return sums


def _ratio(above: Any, below: Any) -> NDArray[np.float64]:
    """above / below, NaN where below is 0."""
    above, below = np.asarray(above, np.float64), np.asarray(below, np.float64)
    return np.divide(above, below, out=np.full(np.broadcast(above, below).shape, np.nan), where=below > 0)


def _f1(precision: NDArray[np.float64], recall: NDArray[np.float64]) -> NDArray[np.float64]:
    """The harmonic mean; 0 where both are 0, recall where nothing is mapped."""
    precision = np.where(np.isnan(precision) & np.isfinite(recall), 0.0, precision)
    return np.where(precision + recall == 0, 0.0, _ratio(2 * precision * recall, precision + recall))


def _precision(s: Sums) -> NDArray[np.float64]:
    return 1 - _ratio(s["n_false"], s["n_mapped"])


def _recall(s: Sums) -> NDArray[np.float64]:
    return _ratio(s["n_found"], s["n_true"])


def _matched_precision(s: Sums) -> NDArray[np.float64]:
    return _ratio(s["matched_mapped"], s["n_mapped"])


def _matched_recall(s: Sums) -> NDArray[np.float64]:
    return _ratio(s["matched_true"], s["n_true"])


def _sum(what: str) -> Callable[[Sums], NDArray[np.float64]]:
    return lambda s: np.asarray(s[what], np.float64)


_METRICS: dict[str, dict[str, Callable[[Sums], NDArray[np.float64]]]] = {
    "objects": {
        "precision": _precision,
        "recall": _recall,
        "f1": lambda s: _f1(_precision(s), _recall(s)),
        "matched_precision": _matched_precision,
        "matched_recall": _matched_recall,
        "matched_f1": lambda s: _f1(_matched_precision(s), _matched_recall(s)),
        "n_true": _sum("n_true"),
        "n_found": _sum("n_found"),
        "n_missed": lambda s: s["n_true"] - s["n_found"],
        "n_mapped": _sum("n_mapped"),
        "n_false": _sum("n_false"),
        "coverage": lambda s: _ratio(s["covered_m2"], s["true_m2"]),
        "area_error": lambda s: _ratio(s["mapped_m2"], s["true_m2"]) - 1,
    },
    "area": {
        "precision": lambda s: _ratio(s["both_m2"], s["mapped_m2"]),
        "recall": lambda s: _ratio(s["both_m2"], s["true_m2"]),
        "f1": lambda s: _ratio(2 * s["both_m2"], s["mapped_m2"] + s["true_m2"]),
        "iou": lambda s: _ratio(s["both_m2"], s["mapped_m2"] + s["true_m2"] - s["both_m2"]),
        "mapped_m2": _sum("mapped_m2"),
        "true_m2": _sum("true_m2"),
        "both_m2": _sum("both_m2"),
    },
}
