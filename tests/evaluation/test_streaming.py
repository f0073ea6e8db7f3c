"""Streaming equals whole to the last bit; the bound of the area holds; edges, curves and reliability fit the counts."""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as peer

from headscarp.core.errors import StackError
from headscarp.evaluation import _kernels, streaming
from headscarp.evaluation.bins import bin_edges, bin_of_threshold
from headscarp.evaluation.streaming import ScoreHistogram


def pixels(seed, n=5000, spread=2.0):
    rng = np.random.default_rng(seed)
    probability = (1 / (1 + np.exp(-rng.normal(-2, spread, n)))).astype(np.float32)
    label = (rng.random(n) < probability).astype(np.uint8)
    label[rng.random(n) < 0.1] = 255
    return probability, label


def same(a, b):
    first, second = a.to_arrays(), b.to_arrays()
    return all(np.array_equal(first[name], second[name]) for name in first)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), cuts=st.lists(st.integers(0, 5000), max_size=6), turn=st.integers(0, 6))
def test_chunks_merges_and_order_change_no_bit(seed, cuts, turn):
    probability, label = pixels(seed)
    ends = [0, *sorted(cuts), probability.size]
    parts = [slice(a, b) for a, b in pairwise(ends)]
    one, merged = ScoreHistogram(), ScoreHistogram()
    for part in parts[turn:] + parts[:turn]:
        one.update(probability[part], label[part])
        merged.merge(ScoreHistogram.of(probability[part], label[part]))
    whole = ScoreHistogram.of(probability, label)
    assert same(whole, one)
    assert same(whole, merged)
    assert whole.counts().nll_sum == merged.counts().nll_sum


def test_threads_change_no_bit():
    probability, label = pixels(3, n=3_000_000)
    with ThreadPoolExecutor(4) as pool:
        halves = list(pool.map(ScoreHistogram.of, np.array_split(probability, 7), np.array_split(label, 7)))
    for half in halves[1:]:
        halves[0].merge(half)
    assert same(halves[0], ScoreHistogram.of(probability, label))


@pytest.mark.parametrize("spread", [0.0, 0.01, 0.5, 2.0, 8.0, 40.0])
def test_the_bound_of_the_area_holds(spread):
    probability, label = pixels(5, n=50_000, spread=spread)
    value, bound = ScoreHistogram.of(probability, label).auroc()
    seen = label != 255
    assert abs(value - peer.roc_auc_score(label[seen], probability[seen])) <= bound + 1e-12
    assert 0 <= bound <= 0.5


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1, width=32), st.booleans()), min_size=2, max_size=40))
def test_the_bound_holds_on_any_floats(pairs):
    probability = np.array([p for p, _ in pairs], np.float32)
    label = np.array([y for _, y in pairs], np.uint8)
    value, bound = ScoreHistogram.of(probability, label).auroc()
    if label.min() == label.max():
        assert np.isnan(value)
        assert np.isnan(bound)
        return
    assert abs(value - peer.roc_auc_score(label, probability)) <= bound + 1e-12


def test_bins_rise_and_edges_are_the_smallest_of_their_bin():
    edges = bin_edges()
    bins = _kernels.bins_of(edges)
    assert (np.diff(edges) >= 0).all()
    assert bins.max() == edges.size - 1
    assert (bins >= np.arange(edges.size)).all()
    below = np.nextafter(edges[1:], np.float32(-1))
    assert (_kernels.bins_of(below) < np.arange(1, edges.size)).all()


@settings(max_examples=200, deadline=None)
@given(st.floats(0, 1, width=32), st.floats(0, 1, width=32))
def test_bins_never_swap_two_probabilities(a, b):
    low, high = _kernels.bins_of(np.array(sorted([a, b]), np.float32))
    assert low <= high


@pytest.mark.parametrize("threshold", [0.0, 1e-6, 0.013, 0.25, 0.3, 0.5, 0.9, 0.9999, 1.0])
def test_thresholds_land_on_the_nearest_edge(threshold):
    edge = float(bin_edges()[bin_of_threshold(threshold)])
    assert abs(edge - threshold) <= 2**-13 * min(threshold, 1 - threshold) * 1.01 + 2**-25


@pytest.mark.parametrize("threshold", [0.0, 0.125, 0.25, 0.5, 0.625, 0.75, 0.875, 0.9375, 1.0])
def test_binary_fractions_are_edges(threshold):
    assert bin_edges()[bin_of_threshold(threshold)] == threshold


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan")])
def test_thresholds_out_of_range_are_refused(threshold):
    with pytest.raises(StackError, match="threshold"):
        ScoreHistogram().counts(threshold)


def test_sums_of_probabilities_are_exact():
    probability, label = pixels(8, n=200_000, spread=6.0)
    label[:] = 0
    bins = _kernels.bins_of(probability)
    sums = np.bincount(bins, probability.astype(np.float64), minlength=bin_edges().size)
    found = ScoreHistogram.of(probability, label).predicted_sums()
    np.testing.assert_allclose(found, sums, rtol=1e-12, atol=1e-11)


def test_losses_at_the_ends_are_clipped():
    scores = ScoreHistogram.of(np.array([0, 1, 0, 1], np.float32), np.array([0, 1, 1, 0], np.uint8))
    expected = -2 * np.log(1e-7) - 2 * np.log1p(-1e-7)
    assert float(scores.counts().nll_sum) == pytest.approx(expected, abs=1e-10)
    assert float(scores.counts().brier_sum) == pytest.approx(2, abs=1e-10)


@settings(max_examples=100, deadline=None)
@given(st.floats(1e-7, 1 - 1e-7))
def test_the_logarithm_is_right(x):
    p = np.float32(x)
    if 1e-7 <= float(p) <= 1 - 1e-7:
        found = float(ScoreHistogram.of(np.array([p]), np.array([1], np.uint8)).counts().nll_sum)
        assert found == pytest.approx(-np.log(float(p)), abs=1e-11)


@pytest.mark.parametrize("spread", [0.01, 2.0, 8.0])
def test_losses_are_those_of_the_pixels(spread):
    probability, label = pixels(16, n=200_000, spread=spread)
    p, y = probability[label != 255].astype(np.float64), label[label != 255]
    counts = ScoreHistogram.of(probability, label).counts()
    assert float(counts.nll_sum) == pytest.approx(
        peer.log_loss(y, np.clip(p, 1e-7, 1 - 1e-7), normalize=False), rel=1e-8
    )
    assert float(counts.brier_sum) == pytest.approx(((p - y) ** 2).sum(), rel=1e-8)


def test_unlabelled_pixels_do_not_count_whatever_their_probability():
    scores = ScoreHistogram.of(np.array([np.nan, 7.0, 0.5]), np.array([255, 255, 1]))
    assert scores.n == 1


@pytest.mark.parametrize(
    ("probability", "label"),
    [
        ([0.5, np.nan], [0, 1]),
        ([0.5, 1.5], [0, 1]),
        ([0.5, -0.1], [0, 1]),
        ([0.5, np.inf], [0, 1]),
        ([0.5, 0.5], [0, 2]),
        ([0.5, 0.5], [0, -1]),
        ([0.5, 0.5], [0.0, 0.5]),
        ([0.5, 0.5], [0, 1, 1]),
    ],
)
def test_bad_pixels_are_refused_and_nothing_is_counted(probability, label):
    scores = ScoreHistogram()
    with pytest.raises(StackError):
        scores.update(np.array(probability), np.array(label))
    assert scores.n == 0
    assert same(scores, ScoreHistogram())


@pytest.mark.parametrize("bits", [23, 6])
def test_a_bad_pixel_far_behind_takes_back_what_was_counted_before_it(bits, monkeypatch):
    monkeypatch.setattr(streaming, "_CARRIED_BITS", bits)
    probability, label = pixels(14, n=2_500_000)
    scores, wanted = ScoreHistogram.of(*pixels(15)), ScoreHistogram.of(*pixels(15))
    probability[2_400_000], label[2_400_000] = np.nan, 1
    with pytest.raises(StackError, match="1 of 2500000 pixels"):
        scores.update(probability, label)
    assert same(scores, wanted)


def test_more_pixels_than_a_record_holds_change_nothing(monkeypatch):
    wanted = [ScoreHistogram.of(*pixels(seed, n=3000, spread=0.001)) for seed in range(6)]
    for scores in wanted[1:]:
        wanted[0].merge(scores)
    monkeypatch.setattr(streaming, "_CARRIED_BITS", 4)
    first, merged = ScoreHistogram(), ScoreHistogram()
    for seed in range(6):
        first.update(*pixels(seed, n=3000, spread=0.001))
        merged.merge(ScoreHistogram.of(*pixels(seed, n=3000, spread=0.001)))
    assert same(first, wanted[0])
    assert same(merged, wanted[0])
    assert first.nbytes < 8e6
    assert same(ScoreHistogram.from_arrays(first.to_arrays()), wanted[0])


def test_arrays_hold_everything(tmp_path):
    scores = ScoreHistogram.of(*pixels(9))
    np.savez(tmp_path / "scores.npz", **scores.to_arrays())
    with np.load(tmp_path / "scores.npz") as stored:
        assert same(scores, ScoreHistogram.from_arrays(stored))


def test_arrays_of_another_layout_are_refused():
    arrays = ScoreHistogram().to_arrays() | {"layout": np.array(99)}
    with pytest.raises(StackError, match="layout"):
        ScoreHistogram.from_arrays(arrays)


def test_memory_is_small_and_fixed():
    assert ScoreHistogram().nbytes < 8e6


def test_roc_curve_holds_the_area_and_the_ends():
    scores = ScoreHistogram.of(*pixels(10, n=100_000))
    curve = scores.roc_curve(300)
    assert curve.x.size <= 300
    assert (curve.x[0], curve.y[0], curve.x[-1], curve.y[-1]) == (0, 0, 1, 1)
    assert (np.diff(curve.x) >= 0).all()
    assert (np.diff(curve.threshold) < 0).all()
    assert np.trapezoid(curve.y, curve.x) == pytest.approx(scores.auroc()[0], abs=1e-3)


def test_precision_recall_curve_equals_scikit_learn_on_ties():
    rng = np.random.default_rng(11)
    probability = rng.integers(1, 16, 4000) / np.float32(16)
    label = (rng.random(4000) < probability).astype(np.uint8)
    curve = ScoreHistogram.of(probability, label).precision_recall_curve()
    precision, recall, threshold = peer.precision_recall_curve(label, probability)
    np.testing.assert_allclose(curve.y[::-1], precision)
    np.testing.assert_allclose(curve.x[::-1], recall)
    np.testing.assert_allclose(curve.threshold[:0:-1], threshold)


def test_reliability_sums_to_the_whole():
    probability, label = pixels(12, n=100_000)
    scores = ScoreHistogram.of(probability, label)
    seen = label != 255
    for found in (scores.reliability(), scores.reliability_by_mass(), scores.reliability(7)):
        assert found.n.sum() == seen.sum()
        full = found.n > 0
        total = (found.n * found.predicted)[full].sum()
        assert total == pytest.approx(probability[seen].sum(dtype=np.float64), rel=1e-9)
        assert (found.n * found.observed)[full].sum() == pytest.approx((label == 1).sum())
        assert (found.predicted[full] >= found.low[full] - 1e-12).all()
        assert (found.predicted[full] <= found.high[full] + 1e-12).all()


def test_cells_of_equal_mass_are_about_equal():
    found = ScoreHistogram.of(*pixels(13, n=100_000)).reliability_by_mass(10)
    assert found.n.min() > 0.98 * found.n.mean()


def test_reliability_of_one_value_is_one_cell():
    found = ScoreHistogram.of(np.full(10, 0.25), np.zeros(10, np.uint8)).reliability_by_mass(5)
    assert sorted(found.n) == [0, 0, 0, 0, 10]
