"""Laws of the scores of suites: proper, fair, and right on examples worked by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest

from headscarp.core.errors import OutputError, StackError
from headscarp.evaluation.suites import (
    SUITE_METRICS,
    Suite,
    case_values,
    covers,
    energy_score,
    fair_crps,
    mask_iou,
    ndvi,
    spread_and_error,
    suite_scores,
    truth_rank,
)
from headscarp.evaluation.tables import MetricRow


def test_crps_by_hand():
    # |0 - 1|, |2 - 1| -> 1; |0 - 2| and |2 - 0| over 2 * 2 * 1 -> 1
    assert fair_crps(np.array([0.0, 2.0]), np.array(1.0)) == pytest.approx(0.0)
    assert fair_crps(np.array([3.0]), np.array(1.0)) == 2.0
    members = np.random.default_rng(0).normal(size=(5, 3, 4))
    apart = np.abs(members[:, None] - members[None]).sum(axis=(0, 1)).mean() / (2 * 5 * 4)
    truth = np.zeros((3, 4))
    assert fair_crps(members, truth) == pytest.approx(np.abs(members).mean() - apart)


def test_the_truth_is_the_best_thing_to_say_whatever_the_number_of_members():
    rng = np.random.default_rng(1)
    truth = rng.normal(size=4000)

    def score(shift, width, count):
        return fair_crps(shift + width * rng.normal(size=(count, 4000)), truth)

    right = {count: score(0.0, 1.0, count) for count in (2, 8)}
    assert right[2] == pytest.approx(right[8], abs=0.03)  # fair
    assert right[8] == pytest.approx(1 / math.sqrt(math.pi), abs=0.03)  # of a standard normal
    assert right[8] < min(score(0.5, 1.0, 8), score(0.0, 0.4, 8), score(0.0, 2.0, 8))


def test_the_energy_score_sees_what_belongs_together():
    rng = np.random.default_rng(2)
    scores = {"together": [], "apart": []}
    for _ in range(300):
        truth = np.repeat(rng.normal(), 10)
        scores["together"].append(energy_score(np.repeat(rng.normal(size=(8, 1)), 10, axis=1), truth))
        scores["apart"].append(energy_score(rng.normal(size=(8, 10)), truth))
    assert np.mean(scores["together"]) < np.mean(scores["apart"]) - 0.05
    assert energy_score(np.array([[3.0, 4.0]]), np.zeros(2)) == pytest.approx(5 / math.sqrt(2))


def test_ranks_are_flat_and_intervals_cover_what_they_say_where_all_are_drawn_alike():
    rng = np.random.default_rng(3)
    drawn = rng.normal(size=(4000, 17))
    ranks = np.bincount([truth_rank(row[1:], row[0], rng) for row in drawn], minlength=17)
    assert ranks.min() > 180
    assert np.mean([covers(row[1:], row[0]) for row in drawn]) == pytest.approx(0.8, abs=0.02)
    assert np.bincount([truth_rank(np.zeros(3), 0.0, rng) for _ in range(400)]).min() > 60  # equals are drawn for
    assert math.isnan(covers(np.zeros(8), 0.0))


def test_masks_and_ndvi_by_hand():
    a, b = np.array([[True, True], [False, False]]), np.array([[True, False], [True, False]])
    assert mask_iou(a, b) == pytest.approx(1 / 3)
    assert math.isnan(mask_iou(~a & a, ~a & a))
    assert ndvi(np.array([0.1, -0.2]), np.array([0.3, 0.4])).tolist() == pytest.approx([0.5, 1.0])


def suite(ndvi_like, changed):
    """Pictures (M, 3, 2, 2) of red, near infrared and changed."""
    m = len(ndvi_like)
    red, nir = np.full((m, 2, 2), 0.1), np.asarray(ndvi_like, float)[:, None, None] * np.ones((2, 2))
    return Suite(np.stack([red, nir, np.asarray(changed, float)[:, None, None] * np.ones((2, 2))], axis=1), 0, 1)


def test_a_perfect_suite_has_no_error():
    came = suite([0.3], [1.0])
    right = {"coverage_80_ndvi": 1, "coverage_80_area": 1, "mask_iou": 1, "mask_iou_half": 1}
    for name, metric in SUITE_METRICS.items():
        assert metric(suite([0.3] * 9, [1.0] * 9), came) == pytest.approx(right.get(name, 0), abs=1e-12), name


def changes(*shares):
    """A suite of one or more pictures (M, 3, 1, 8): how far each pixel is changed."""
    far = np.array(shares, float)[:, None, None]
    return Suite(np.concatenate([np.full((len(far), 2, 1, 8), 0.2), far], axis=1), 0, 1)


def test_a_suite_is_scored_by_the_mask_that_agrees_best_with_it():
    said = changes([1, 1, 0, 0, 0, 0, 0, 0], [0, 0, 1, 1, 0, 0, 0, 0], [0, 0, 0, 0, 1, 1, 0, 0])
    assert said.half.sum() == 0
    assert said.mask.ravel().tolist() == [*[True] * 6, False, False]  # 1/3 with each of the three
    came = changes([1, 1, 1, 0, 0, 0, 0, 0])
    assert SUITE_METRICS["mask_iou"](said, came) == pytest.approx(3 / 6)
    assert SUITE_METRICS["mask_iou_half"](said, came) == 0
    assert math.isnan(SUITE_METRICS["mask_iou"](changes([0] * 8), changes([0] * 8)))


def test_a_single_picture_is_scored_by_what_is_likely():
    likely = np.array([[0.9, 0.4, 0.4, 0.3, 0.02, 0.02, 0.02, 0.02]])
    said = replace(changes([1, 0, 0, 0, 0, 0, 0, 0]), likely=likely)
    came = changes([1, 1, 0, 1, 0, 0, 0, 0])
    assert said.mask.ravel().tolist() == [True, True, True, *[False] * 5]  # 1.7 of 3.3 on the mean
    assert SUITE_METRICS["mask_iou"](said, came) == pytest.approx(2 / 4)
    assert SUITE_METRICS["mask_iou_half"](said, came) == pytest.approx(1 / 3)
    seen = np.array([[True, True, False, True, True, True, True, True]])
    assert replace(said, seen=seen).mask.tolist() == [[True, True, *[False] * 5]]


def test_spread_equals_error_where_truth_is_drawn_like_the_members():
    rng = np.random.default_rng(4)
    pairs = []
    for _ in range(600):
        drawn = rng.uniform(0.2, 0.6, 6)
        pairs.append([(suite(drawn[1:], np.ones(5)), suite(drawn[:1], [1.0]))])
    spread, error = np.mean([spread_and_error(*pair[0]) for pair in pairs], axis=0)
    assert math.sqrt(spread / error) == pytest.approx(1.0, abs=0.06)
    values, ratios = case_values(pairs)
    scores = suite_scores(values, ratios, range(600), [str(i) for i in range(600)], np.random.default_rng(0))
    assert scores["spread_skill_ndvi"].low < 1 < scores["spread_skill_ndvi"].high
    assert scores["crps_ndvi"].low < scores["crps_ndvi"].value < scores["crps_ndvi"].high


def test_nothing_to_score_is_refused_and_tables_know_the_names():
    with pytest.raises(StackError, match="without a picture"):
        fair_crps(np.zeros((0, 2)), np.zeros(2))
    assert MetricRow("flow", "given", "task: mining", "crps_ndvi", 0.1).value == 0.1
    with pytest.raises(OutputError):
        MetricRow("flow", "given", "task: war", "crps_ndvi", 0.1)
