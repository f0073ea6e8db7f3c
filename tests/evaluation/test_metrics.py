"""Every metric against an example worked by hand and against scikit-learn; what is undefined is NaN."""

import warnings

import numpy as np
import pytest
from sklearn import metrics as peer

from headscarp.evaluation.metrics import METRICS, best_f1_threshold, majority_class, score
from headscarp.evaluation.streaming import ScoreHistogram

# Six pixels, all probabilities binary fractions, so that sums are exact.
PROBABILITY = np.array([0.125, 0.25, 0.5, 0.5, 0.75, 0.875], np.float32)
LABEL = np.array([0, 0, 1, 0, 0, 1], np.uint8)

BY_HAND = {
    # -(log .875 + log .75 + log .5 + log .5 + log .25 + log .875) / 6 = -log(0.875^2 * 0.75 * 0.5^2 * 0.25) / 6
    "nll": -np.log(0.875**2 * 0.75 * 0.25 * 0.25) / 6,
    # the constant 1/3 has -(log(1/3) + 2 log(2/3)) / 3
    "skill": 1 - (-np.log(0.875**2 * 0.75 * 0.25 * 0.25) / 6) / (-(np.log(1 / 3) + 2 * np.log(2 / 3)) / 3),
    # 0.5 beats two of four negatives and ties with one, 0.875 beats all four: (2.5 + 4) / 8
    "auroc": 6.5 / 8,
    # 0.875: precision 1, recall 1/2; at 0.5 both are called among 4: precision 1/2, recall + 1/2
    "average_precision": 0.75,
    "brier": (0.125**2 + 0.25**2 + 0.25 + 0.25 + 0.75**2 + 0.125**2) / 6,
    # cells of 1/15: 0.125, 0.25, {0.5, 0.5}, 0.75, 0.875 -> gaps .125, .25, |1 - 1|, .75, .125, over 6
    "ece": 1.25 / 6,
    "accuracy": 4 / 6,
    "precision": 2 / 4,
    "recall": 1.0,
    "f1": 2 * 0.5 / 1.5,
    "iou": 2 / 4,
    # of the four negatives two are called negative, and nothing else is: 2 / (2 + 2 + 0)
    "iou_not": 2 / 4,
    "mean_iou": (2 / 4 + 2 / 4) / 2,
    "prevalence": 2 / 6,
    "n": 6,
}


@pytest.mark.parametrize("name", METRICS)
def test_worked_by_hand(name):
    found = score(ScoreHistogram.of(PROBABILITY, LABEL).counts(0.5))
    assert found[name] == pytest.approx(BY_HAND[name], abs=1e-10)


def test_names_are_the_public_ones():
    assert list(METRICS) == list(BY_HAND)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_equals_scikit_learn(seed, ties):
    rng = np.random.default_rng(seed)
    odds = rng.normal(-1, 2, 20_000)
    probability = (1 / (1 + np.exp(-odds))).astype(np.float32)
    if ties:
        probability = np.round(probability * 16).clip(1, 15).astype(np.float32) / 16
    label = (rng.random(odds.size) < probability**1.3).astype(np.uint8)
    found = score(ScoreHistogram.of(probability, label).counts(0.375))
    called, double = probability >= 0.375, probability.astype(np.float64)
    # Single pixels decide less than 1e-8 of tied pairs; neighbours in a bin are tied here and not there.
    near = 1e-12 if ties else 2e-6
    assert found["auroc"] == pytest.approx(peer.roc_auc_score(label, probability), abs=near)
    assert found["average_precision"] == pytest.approx(
        peer.average_precision_score(label, probability), abs=1e-12 if ties else 1e-3
    )
    assert found["nll"] == pytest.approx(peer.log_loss(label, double), abs=1e-8)
    assert found["brier"] == pytest.approx(peer.brier_score_loss(label, double), abs=1e-9)
    assert found["accuracy"] == peer.accuracy_score(label, called)
    assert found["precision"] == peer.precision_score(label, called)
    assert found["recall"] == peer.recall_score(label, called)
    assert found["f1"] == pytest.approx(peer.f1_score(label, called))
    assert found["iou"] == pytest.approx(peer.jaccard_score(label, called))
    assert found["iou_not"] == pytest.approx(peer.jaccard_score(label, called, pos_label=0))
    assert found["mean_iou"] == pytest.approx(peer.jaccard_score(label, called, average="macro"))


def test_the_constant_prevalence_has_no_skill_and_no_ranking():
    label = np.array([1, 0, 0, 0, 0, 0, 0, 0], np.uint8)
    found = score(ScoreHistogram.of(np.full(8, 0.125, np.float32), label).counts())
    assert found["skill"] == pytest.approx(0, abs=1e-10)
    assert found["auroc"] == 0.5
    assert found["average_precision"] == found["prevalence"] == 0.125
    assert found["ece"] == 0


def test_worse_than_the_constant_is_below_zero():
    label = np.array([1, 0, 0, 0], np.uint8)
    assert score(ScoreHistogram.of(np.full(4, 0.75, np.float32), label).counts())["skill"] < 0


UNDEFINED = {
    "nothing called": (np.full(4, 0.25), [0, 0, 1, 1], {"precision"}),
    "no positive": (
        np.full(4, 0.75),
        [0, 0, 0, 0],
        {"skill", "auroc", "average_precision", "recall", "f1", "iou", "mean_iou"},
    ),
    "no negative": (np.full(4, 0.75), [1, 1, 1, 1], {"skill", "auroc", "iou_not", "mean_iou"}),
    "no pixel": (np.full(4, 0.75), [255, 255, 255, 255], set(METRICS) - {"n"}),
}


@pytest.mark.parametrize("case", UNDEFINED)
def test_undefined_is_nan(case):
    probability, label, nan = UNDEFINED[case]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = score(ScoreHistogram.of(probability.astype(np.float32), np.array(label, np.uint8)).counts())
    assert {name for name, value in found.items() if np.isnan(value)} == nan


def test_best_f1_threshold_is_the_best_of_all():
    rng = np.random.default_rng(4)
    probability = rng.random(500).astype(np.float32) ** 2
    label = (rng.random(500) < probability).astype(np.uint8)
    scores = ScoreHistogram.of(probability, label)
    best = best_f1_threshold(scores)
    every = [peer.f1_score(label, probability >= t) for t in np.unique(probability)]
    assert peer.f1_score(label, probability >= best) == pytest.approx(max(every))
    assert score(scores.counts(best))["f1"] == pytest.approx(max(every))


def test_mean_iou_worked_by_hand_where_one_landslide_is_missed():
    # TP 1, FP 1, FN 1, TN 5: landslide 1/3, the other class 5/7
    label = np.array([1, 1, 0, 0, 0, 0, 0, 0], np.uint8)
    found = score(ScoreHistogram.of(np.array([0.75, 0.25, 0.75, 0, 0, 0, 0, 0], np.float32), label).counts())
    assert found["iou"] == pytest.approx(1 / 3)
    assert found["iou_not"] == pytest.approx(5 / 7)
    assert found["mean_iou"] == pytest.approx((1 / 3 + 5 / 7) / 2)
    assert found["f1"] == pytest.approx(2 * found["iou"] / (1 + found["iou"])), "of the class alone, never pooled"


@pytest.mark.parametrize("positives", [0, 2, 4, 6, 8])
def test_the_majority_class_scores_what_its_map_scores(positives):
    label = np.repeat(np.array([1, 0], np.uint8), [positives, 8 - positives])
    says = np.full(8, 0.75 if positives > 4 else 0.25, np.float32)
    found = score(ScoreHistogram.of(says, label).counts(0.5))
    for name, value in majority_class(positives / 8).items():
        assert value == pytest.approx(found[name], nan_ok=True), name


def test_no_threshold_without_a_positive():
    assert np.isnan(best_f1_threshold(ScoreHistogram.of(np.full(3, 0.5), np.zeros(3, np.uint8))))
