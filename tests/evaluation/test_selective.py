"""Laws of confidence: answers that are withheld, and sets that hold the truth as often as was asked for."""

import numpy as np
import pytest

from headscarp.evaluation.selective import (
    coverage_elsewhere,
    held,
    selective,
    selective_curve,
    set_cut,
    set_sizes,
)

ONCE = np.ones((1, 8))
RIGHT = np.array([1, 0, 1, 1, 0, 1, 0, 0.0])


def test_all_answers_have_the_mean_and_equal_confidence_changes_nothing():
    assert selective(RIGHT, np.arange(8.0), ONCE, 1.0)[0] == RIGHT.mean()
    for kept in (0.1, 0.3, 0.75):
        assert selective(RIGHT, np.full(8, 0.3), ONCE, kept)[0] == pytest.approx(RIGHT.mean())


def test_confidence_that_knows_gives_right_answers_only():
    assert selective(RIGHT, RIGHT, ONCE, 0.5)[0] == 1
    assert selective(RIGHT, -RIGHT, ONCE, 0.5)[0] == 0
    assert selective(RIGHT, RIGHT, ONCE, 0.75)[0] == pytest.approx(4 / 6)


def test_a_place_that_counts_twice_is_two_places():
    twice = np.array([2, 1, 1, 1, 1, 1, 1, 2.0])[None]
    told = selective(RIGHT, np.arange(8.0), twice, 0.4)[0]
    spread = np.repeat(np.arange(8), twice[0].astype(int))
    assert told == pytest.approx(selective(RIGHT[spread], spread.astype(float), np.ones((1, 10)), 0.4)[0])


def test_nobody_asked_is_not_a_number():
    assert np.isnan(selective(np.zeros(0), np.zeros(0), np.ones((2, 0)), 0.5)).all()
    assert selective_curve(RIGHT, np.arange(8.0))[1][-1] == RIGHT.mean()


def test_sets_hold_the_truth_as_often_as_was_asked_for():
    """Over many draws, between the share asked for and one more in n + 1: Vovk et al. (2005)."""
    rng, kept = np.random.default_rng(0), []
    for _ in range(400):
        p = rng.dirichlet(np.ones(4), 50)
        kind = np.array([rng.choice(4, p=row) for row in p])
        holds = (kind[:, None] == np.arange(4)).astype(np.uint8)
        cut = set_cut(p[:30], holds[:30], 0.8)
        kept.append(held(p[30:], holds[30:], cut).mean())
    assert 0.8 - 0.015 <= np.mean(kept) <= 0.8 + 1 / 31 + 0.015


def test_sets_hold_every_cause_where_several_hold():
    p = np.array([[0.9, 0.6, 0.1], [0.8, 0.2, 0.7], [0.9, 0.4, 0.3]])
    holds = np.array([[1, 1, 0], [1, 0, 1], [1, 0, 0]], np.uint8)
    cut = set_cut(p, holds, 0.5)
    assert cut == 0.7
    assert held(p, holds, cut).tolist() == [False, True, True]
    assert set_sizes(p, cut).tolist() == [1, 2, 1]


def test_too_few_places_promise_nothing_so_everything_is_in_the_set():
    p = np.full((5, 3), 0.2)
    holds = np.eye(3, dtype=np.uint8)[[0, 1, 2, 0, 1]]
    assert set_cut(p, holds, 0.9) == 0.0
    assert (set_sizes(p, 0.0) == 3).all()
    assert set_cut(p, np.full((5, 3), 255, np.uint8), 0.9) == 0.0


def test_a_region_of_its_own_kind_is_covered_less():
    rng = np.random.default_rng(1)
    region = np.repeat(["a", "b", "odd"], 60)
    p = rng.uniform(0.6, 1.0, (180, 2))
    p[region == "odd"] -= 0.4
    holds = np.ones((180, 2), np.uint8)
    found = coverage_elsewhere(p, holds, region)
    assert found["odd"][0] < 0.5 < found["a"][0]
    assert found["odd"][1] == 60
    assert coverage_elsewhere(p, np.zeros((180, 2), np.uint8), region) == {}
