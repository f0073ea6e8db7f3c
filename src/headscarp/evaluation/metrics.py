"""The metrics of a probability map against labels, each a pure function of counts.

Every metric is written over leading axes, so the same line serves one whole evaluation and a thousand bootstrap
resamples at once. All are of the positive class (landslide) unless their name says otherwise; nothing is pooled over
classes, which would let 99 % of easy negatives hide a net that finds nothing. Nothing here reads pixels: `streaming`
and `intervals` do.

Undefined values are NaN, never 0 or 1: precision where nothing is predicted positive, recall, f1, iou, auroc and
average precision where there is no positive, auroc and iou_not where there is no negative, skill and mean_iou where one
class is missing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from headscarp.evaluation.streaming import ScoreHistogram


@dataclass(frozen=True)
class Counts:
    """What metrics are made of; `...` stands for any leading axes (none, or bootstrap resamples).

    negatives, positives: (..., K) pixels per bin of probability, bins rising. cells: (..., C, 3) pixels, positives and
    sum of predicted probability in C bins of reliability. nll_sum, brier_sum: (...) sums over pixels, natural
    logarithm, probabilities kept in [1e-7, 1 - 1e-7]. true_positives, false_positives: (...) pixels at or above the
    threshold.
    """

    negatives: np.ndarray
    positives: np.ndarray
    cells: np.ndarray
    nll_sum: np.ndarray
    brier_sum: np.ndarray
    true_positives: np.ndarray
    false_positives: np.ndarray

    @property
    def n_positive(self) -> np.ndarray:
        """(...) labelled pixels with a landslide."""
        return self.positives.sum(axis=-1)

    @property
    def n_negative(self) -> np.ndarray:
        """(...) labelled pixels without."""
        return self.negatives.sum(axis=-1)


def nll(counts: Counts) -> np.ndarray:
    """Mean negative log-likelihood of the labels, in nats per pixel, >= 0; lower is better."""
    return _ratio(counts.nll_sum, n(counts))


def skill(counts: Counts) -> np.ndarray:
    """1 - nll / nll of the best constant, which predicts the prevalence of these very pixels.

    1 is perfect, the constant scores 0, and anything below 0 is worse than knowing nothing but the prevalence.
    NaN where one class is missing.
    """
    share = prevalence(counts)
    with np.errstate(divide="ignore", invalid="ignore"):
        constant = -(share * np.log(share) + (1 - share) * np.log1p(-share))
    return 1 - _ratio(nll(counts), constant)


def best_constant_nll(share: float) -> float:
    """NLL of the constant that predicts a prevalence, on pixels of that prevalence: its entropy in nats."""
    return float(-(share * np.log(share) + (1 - share) * np.log1p(-share))) if 0 < share < 1 else 0.0


def auroc(counts: Counts) -> np.ndarray:
    """Chance that a random positive is ranked above a random negative, ties counted half; in [0, 1]."""
    return area(counts.negatives, counts.positives)


def average_precision(counts: Counts) -> np.ndarray:
    """Precision at each threshold, weighted by the recall gained there (no interpolation); in [0, 1]."""
    positives, negatives = counts.positives[..., ::-1], counts.negatives[..., ::-1]
    true = np.cumsum(positives, axis=-1, dtype=np.float64)
    called = true + np.cumsum(negatives, axis=-1, dtype=np.float64)
    gained = positives * np.divide(true, called, out=np.zeros_like(true), where=called > 0)
    return _ratio(gained.sum(axis=-1), counts.n_positive)


def brier(counts: Counts) -> np.ndarray:
    """Mean squared difference of probability and label, in [0, 1]; lower is better. Brier (1950)."""
    return _ratio(counts.brier_sum, n(counts))


def ece(counts: Counts) -> np.ndarray:
    """Expected calibration error: |mean predicted - observed share| over the cells, weighted by pixels; in [0, 1].

    Naeini et al. (2015), with the probability of the positive class; lower is better.
    """
    gap = np.abs(counts.cells[..., 2] - counts.cells[..., 1]).sum(axis=-1)
    return _ratio(gap, n(counts))


def accuracy(counts: Counts) -> np.ndarray:
    """Share of pixels on the right side of the threshold, in [0, 1]; read it beside 1 - prevalence."""
    right = counts.true_positives + counts.n_negative - counts.false_positives
    return _ratio(right, n(counts))


def precision(counts: Counts) -> np.ndarray:
    """Share of the pixels called positive that are; NaN where none is called."""
    return _ratio(counts.true_positives, counts.true_positives + counts.false_positives)


def recall(counts: Counts) -> np.ndarray:
    """Share of the positive pixels that are called; NaN where there is no positive."""
    return _ratio(counts.true_positives, counts.n_positive)


def f1(counts: Counts) -> np.ndarray:
    """Harmonic mean of precision and recall, 2 TP / (2 TP + FP + FN); 0 where no positive is found."""
    called = counts.true_positives + counts.false_positives
    return np.where(counts.n_positive > 0, _ratio(2 * counts.true_positives, called + counts.n_positive), np.nan)


def iou(counts: Counts) -> np.ndarray:
    """Intersection over union of called and true positives, TP / (TP + FP + FN); 0 where no positive is found."""
    union = counts.false_positives + counts.n_positive
    return np.where(counts.n_positive > 0, _ratio(counts.true_positives, union), np.nan)


def iou_not(counts: Counts) -> np.ndarray:
    """Intersection over union of the other class, "no landslide": TN / (TN + FP + FN); NaN where there is none."""
    missed = counts.n_positive - counts.true_positives
    right = counts.n_negative - counts.false_positives
    return np.where(counts.n_negative > 0, _ratio(right, counts.n_negative + missed), np.nan)


def mean_iou(counts: Counts) -> np.ndarray:
    """Mean of `iou` and `iou_not`, each class counting the same; NaN where one class is missing.

    Always saying "no landslide" has (1 - prevalence) / 2 here: about one half where landslides are rare.
    """
    return (iou(counts) + iou_not(counts)) / 2


def prevalence(counts: Counts) -> np.ndarray:
    """Share of positives among the labelled pixels."""
    return _ratio(counts.n_positive, n(counts))


def n(counts: Counts) -> np.ndarray:
    """Labelled pixels."""
    return counts.n_positive + counts.n_negative


METRICS: dict[str, Callable[[Counts], np.ndarray]] = {
    "nll": nll,
    "skill": skill,
    "auroc": auroc,
    "average_precision": average_precision,
    "brier": brier,
    "ece": ece,
    "accuracy": accuracy,
    "precision": precision,
    "recall": recall,
    "f1": f1,
    "iou": iou,
    "iou_not": iou_not,
    "mean_iou": mean_iou,
    "prevalence": prevalence,
    "n": n,
}

LOWER_IS_BETTER = frozenset({"nll", "brier", "ece"})
OF_PROBABILITIES = frozenset({"nll", "skill", "brier", "ece"})  # undefined for ranks and other scores in [0, 1]
DESCRIPTIVE = frozenset({"prevalence", "n"})  # of the data, not of the net: neither high nor low is better


def score(counts: Counts) -> dict[str, float]:
    """All metrics of one evaluation, by name; undefined ones are NaN."""
    return {name: float(metric(counts)) for name, metric in METRICS.items()}


def majority_class(share: float) -> dict[str, float]:
    """What always saying the commoner class reaches where positives have this share: by metric, undefined ones NaN."""
    says_positive, nan = share > 0.5, float("nan")
    there = share > 0
    return {
        "accuracy": max(share, 1 - share),
        "precision": share if says_positive else nan,
        "recall": float(says_positive) if there else nan,
        "f1": (2 * share / (1 + share) if says_positive else 0.0) if there else nan,
        "iou": (share if says_positive else 0.0) if there else nan,
        "iou_not": (0.0 if says_positive else 1 - share) if share < 1 else nan,
        "mean_iou": max(share, 1 - share) / 2 if 0 < share < 1 else nan,
        "average_precision": share if there else nan,
        "prevalence": share,
    }


def best_f1_threshold(scores: "ScoreHistogram") -> float:
    """The probability at or above which calling pixels positive gives the highest f1; choose it on validation.

    Exact for the pixels that were counted: it is the lower edge of a bin. Of equal f1 the highest threshold wins
    (the fewest calls). NaN where there is no positive.
    """
    negatives, positives = scores.negatives, scores.positives
    if positives.sum() == 0:
        return float("nan")
    true = np.cumsum(positives[::-1])
    called = true + np.cumsum(negatives[::-1])
    best = int(np.argmax(2 * true / (called + positives.sum())))
    return float(scores.edges[positives.size - 1 - best])


def area(negatives: np.ndarray, positives: np.ndarray) -> np.ndarray:
    """(...) area under the ROC curve of (..., K) pixels per bin, bins rising."""
    below = np.cumsum(negatives, axis=-1, dtype=np.float64) - 0.5 * negatives
    pairs = positives.sum(axis=-1).astype(np.float64) * negatives.sum(axis=-1)
    return _ratio((below * positives).sum(axis=-1), pairs)


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """above / below, NaN where below is not above 0."""
    above, below = np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64)
    return np.divide(above, below, out=np.full(np.broadcast(above, below).shape, np.nan), where=below > 0)
