"""Blocks add up to the whole, intervals cover, identical nets do not differ, degenerate draws are counted."""

import numpy as np
import pytest

from headscarp.core.errors import HeadscarpWarning, SplitError, StackError
from headscarp.evaluation.intervals import BlockScores, Interval, block_bootstrap, in_words, paired_difference
from headscarp.evaluation.metrics import METRICS, score
from headscarp.evaluation.streaming import ScoreHistogram


def world(seed, n_blocks=40, size=400, noise=1.0):
    """Blocks with a level of their own, so that pixels of one block are alike. Returns block, odds, label."""
    rng = np.random.default_rng(seed)
    block = np.repeat(np.arange(n_blocks), size)
    odds = rng.normal(-1.5, 1, n_blocks)[block] + rng.normal(0, noise, block.size)
    return block, odds, (rng.random(block.size) < sigmoid(odds)).astype(np.uint8)


def sigmoid(odds):
    return (1 / (1 + np.exp(-odds))).astype(np.float32)


def counted(block, probability, label, threshold=0.5):
    scores = BlockScores(threshold)
    scores.update(block, probability, label)
    return scores


def same(a, b):
    first, second = a.to_arrays(), b.to_arrays()
    return all(np.array_equal(first[name], second[name]) for name in first)


def test_blocks_add_up_to_the_whole():
    block, odds, label = world(0)
    label[::7] = 255
    found = score(counted(block, sigmoid(odds), label, 0.3).counts())
    whole = score(ScoreHistogram.of(sigmoid(odds), label).counts(0.3))
    for name in set(METRICS) - {"auroc", "average_precision"}:
        assert found[name] == pytest.approx(whole[name], abs=2e-9), name
    assert found["auroc"] == pytest.approx(whole["auroc"], abs=1e-3)
    assert found["average_precision"] == pytest.approx(whole["average_precision"], abs=0.02)


def test_any_pieces_in_any_order_change_no_bit():
    block, odds, label = world(1, n_blocks=9)
    whole = counted(block, sigmoid(odds), label)
    by_name, first, second = BlockScores(), BlockScores(), BlockScores()
    for name in reversed(range(9)):
        inside = block == name
        by_name.update(name, sigmoid(odds)[inside], label[inside])
    turn = np.random.default_rng(0).permutation(block.size)
    for part, side in zip(np.array_split(turn, 4), (first, second, first, second), strict=True):
        side.update(block[part], sigmoid(odds)[part], label[part])
    second.merge(first)
    assert same(whole, by_name)
    assert same(whole, second)
    assert same(whole, BlockScores.from_arrays(whole.to_arrays()))


def test_blocks_keep_the_shape_of_a_tile_and_skip_the_unlabelled():
    label = np.array([[0, 1, 255], [255, 255, 255]], np.uint8)
    scores = counted(np.array([[3, 3, 4], [4, 4, 4]]), np.full((2, 3), 0.5), label)
    assert scores.names == [3]
    scores.update(np.zeros(0, int), np.zeros(0), np.zeros(0, np.uint8))
    scores.update("empty", np.full(2, np.nan), np.full(2, 255, np.uint8))
    assert scores.names == [3]


def test_weights_repeat_blocks():
    block, odds, label = world(2, n_blocks=3)
    scores = counted(block, sigmoid(odds), label)
    drawn = np.concatenate([np.flatnonzero(block == name) for name in (0, 0, 2)])
    found = scores.counts(np.array([[2.0, 0.0, 1.0]]))
    direct = counted(block[drawn], sigmoid(odds)[drawn], label[drawn]).counts()
    for metric in METRICS.values():
        assert metric(found)[0] == pytest.approx(float(metric(direct)), rel=1e-12)


def test_memory_per_block_is_small():
    block, odds, label = world(3)
    scores = counted(block, sigmoid(odds), label)
    assert scores.nbytes / len(scores) < 5000  # 40,000 blocks in 200 MB


def test_the_seed_makes_the_interval():
    block, odds, label = world(4)
    scores = counted(block, sigmoid(odds), label)
    first, again, other = (block_bootstrap(scores, np.random.default_rng(s), resamples=300) for s in (1, 1, 2))
    assert first == again
    assert first != other


def test_exact_values_move_the_interval_along():
    block, odds, label = world(5)
    scores = counted(block, sigmoid(odds), label)
    plain = block_bootstrap(scores, np.random.default_rng(0), metrics=["auroc"])["auroc"]
    moved = block_bootstrap(scores, np.random.default_rng(0), metrics=["auroc"], values={"auroc": plain.value + 0.01})[
        "auroc"
    ]
    assert (moved.low, moved.high) == pytest.approx((plain.low + 0.01, plain.high + 0.01))


def test_the_interval_covers_the_truth_where_pixels_alone_would_not():
    truth_nll = float(np.mean([_mean_nll(seed) for seed in range(1000, 1200)]))
    inside = inside_pixels = 0
    for seed in range(120):
        block, odds, label = world(seed, n_blocks=40, size=60, noise=0.2)
        scores = counted(block, sigmoid(odds), label)
        found = block_bootstrap(scores, np.random.default_rng(seed), metrics=["nll"], resamples=300)["nll"]
        inside += found.low <= truth_nll <= found.high
        loss = -np.where(label == 1, np.log(sigmoid(odds)), np.log1p(-sigmoid(odds)))
        half = 1.96 * loss.std() / np.sqrt(loss.size)
        inside_pixels += abs(loss.mean() - truth_nll) <= half
    assert 0.87 <= inside / 120 <= 0.99
    assert inside_pixels / 120 < 0.8


def _mean_nll(seed):
    _, odds, label = world(seed, n_blocks=40, size=60, noise=0.2)
    return -np.where(label == 1, np.log(sigmoid(odds)), np.log1p(-sigmoid(odds))).mean()


@pytest.mark.parametrize("metric", METRICS)
def test_identical_nets_do_not_differ(metric):
    block, odds, label = world(6)
    first, second = counted(block, sigmoid(odds), label), counted(block, sigmoid(odds), label)
    found = paired_difference(first, second, metric, np.random.default_rng(0), resamples=100)
    assert found == Interval(0.0, 0.0, 0.0)
    assert "do not differ" in in_words(metric, found, "a", "b")


@pytest.mark.parametrize("metric", ["nll", "skill", "auroc", "average_precision", "brier"])
def test_the_better_net_is_named(metric):
    block, odds, label = world(7)
    good = counted(block, sigmoid(odds), label)
    poor = counted(block, sigmoid(odds + np.random.default_rng(1).normal(0, 2, odds.size)), label)
    found = paired_difference(good, poor, metric, np.random.default_rng(0), resamples=200)
    assert "good is better than poor" in in_words(metric, found, "good", "poor")
    turned = paired_difference(poor, good, metric, np.random.default_rng(0), resamples=200)
    assert turned.value == -found.value
    assert "good is better than poor" in in_words(metric, turned, "poor", "good")


def test_pairing_sees_more_than_two_intervals():
    block, odds, label = world(8)
    first, second = counted(block, sigmoid(odds), label), counted(block, sigmoid(odds * 0.8), label)
    alone = block_bootstrap(first, np.random.default_rng(0), metrics=["nll"])["nll"]
    paired = paired_difference(first, second, "nll", np.random.default_rng(0))
    assert paired.high - paired.low < 0.3 * (alone.high - alone.low)


def test_other_ground_is_refused():
    block, odds, label = world(9)
    first = counted(block, sigmoid(odds), label)
    with pytest.raises(SplitError, match="not the same"):
        paired_difference(first, counted(block + 1, sigmoid(odds), label), "nll", np.random.default_rng(0))
    label[0] = 255
    with pytest.raises(SplitError, match="different pixels"):
        paired_difference(first, counted(block, sigmoid(odds), label), "nll", np.random.default_rng(0))


def test_draws_without_a_positive_are_dropped_and_counted():
    label = np.array([1, 0, 0, 0, 0, 0, 0, 0], np.uint8)
    scores = counted(np.arange(4).repeat(2), np.linspace(0.1, 0.8, 8), label)
    with pytest.warns(HeadscarpWarning, match="resamples"):
        found = block_bootstrap(scores, np.random.default_rng(0), resamples=2000)
    assert found["auroc"].dropped / 2000 == pytest.approx((3 / 4) ** 4, abs=0.04)
    assert found["nll"].dropped == 0
    assert np.isfinite(found["auroc"].low)


def test_one_block_or_none_has_no_interval():
    for scores in (counted(np.zeros(8, int), np.full(8, 0.5), np.arange(8) % 2), BlockScores()):
        found = block_bootstrap(scores, np.random.default_rng(0), resamples=10)
        assert np.isnan([found["nll"].low, found["nll"].high]).all()
    assert "cannot be compared" in in_words("nll", found["nll"], "a", "b")


def test_other_thresholds_and_shapes_are_refused():
    with pytest.raises(StackError, match="threshold"):
        BlockScores(0.5).merge(BlockScores(0.2))
    with pytest.raises(StackError, match="shape"):
        BlockScores().update(np.zeros(3, int), np.zeros(4), np.zeros(4, np.uint8))
