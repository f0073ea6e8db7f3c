"""Laws of the one mask of a suite: sure futures are their own mask, order means nothing, and no cut overlaps more."""

import numpy as np
import pytest

from headscarp.core.errors import StackError
from headscarp.core.masks import Together, best_mask, least_rank, likely_mask


def suite(seed, futures=16, side=24, *, blur=0.6):
    """(M, y, x) disks about one middle, each of a size and at a place of its own."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] - side / 2
    at, sizes = rng.normal(0, blur * side / 6, (futures, 2)), side / 6 * np.exp(rng.normal(0, blur, futures))
    return np.array([np.hypot(y - a, x - b) < r for (a, b), r in zip(at, sizes, strict=True)])


def overlap(mask, futures):
    """Mean intersection over union with the futures that change anything."""
    return np.mean([(mask & one).sum() / (mask | one).sum() for one in futures if one.any()])


def test_one_future_and_sure_futures_are_their_own_mask():
    one = suite(0, 1)
    assert np.array_equal(best_mask(one), one[0])
    assert np.array_equal(best_mask(np.repeat(one, 7, axis=0)), one[0])


@pytest.mark.parametrize("seed", range(8))
def test_no_other_number_of_futures_overlaps_more(seed):
    futures = suite(seed)
    times = futures.sum(axis=0)
    every = [overlap(times >= enough, futures) for enough in range(1, 17)]
    assert overlap(best_mask(futures), futures) == pytest.approx(max(every))


def test_where_little_is_sure_it_overlaps_more_with_new_futures_than_half_does():
    best, half = [], []
    for seed in range(40):
        futures = suite(seed, 64)
        told, new = futures[:16], futures[16:]
        best.append(overlap(best_mask(told), new))
        half.append(overlap(told.mean(axis=0) >= 0.5, new))
    assert np.mean(best) > np.mean(half) + 0.03


def test_order_and_shape_mean_nothing():
    futures = suite(3)
    mask = best_mask(futures)
    assert np.array_equal(best_mask(futures[::-1]), mask)
    assert np.array_equal(best_mask(futures.reshape(16, -1)), mask.ravel())


def test_counts_of_parts_add_up_to_the_whole():
    futures, parts = suite(5), []
    whole = Together(futures.shape[1:])
    for one in futures:
        whole.add(one)
    for rows in (slice(0, 7), slice(7, 24)):
        part = Together(futures[0, rows].shape)
        for one in futures[:, rows]:
            part.add(one)
        parts.append(part.counts())
    assert parts[0].shape == whole.counts().shape
    assert np.array_equal(parts[0] + parts[1], whole.counts())
    assert whole.counts()[:-1].sum(axis=1).tolist() == futures.sum(axis=(1, 2)).tolist()
    assert whole.counts()[-1].sum() == 24 * 24


def test_futures_without_change_count_only_where_they_are_most():
    futures = suite(1, 8)
    few = np.concatenate([futures, np.zeros((7, 24, 24), bool)])
    assert np.array_equal(best_mask(few), best_mask(futures))
    most = np.concatenate([futures, np.zeros((9, 24, 24), bool)])
    assert not best_mask(most).any()
    assert not best_mask(np.zeros((3, 4, 4), bool)).any()
    assert least_rank(np.zeros((4, 4))) == 4


def test_who_knows_how_likely_pixels_are_says_a_better_mask_than_few_futures_do():
    told, counted, sure = [], [], []
    for seed in range(30):
        futures = suite(seed, 400)
        likely, new = futures[100:].mean(axis=0), futures[4:100]
        told.append(overlap(likely_mask(likely), new))
        counted.append(overlap(best_mask(futures[:4]), new))
        sure.append(overlap(futures[:4].mean(axis=0) >= 0.5, new))
    assert np.mean(told) > np.mean(counted) + 0.02
    assert np.mean(counted) > np.mean(sure)


def test_of_independent_pixels_the_mask_overlaps_most_without_any_future():
    rng = np.random.default_rng(0)
    likely = rng.choice([0.0, 0.03, 0.2, 0.45, 0.8], (40, 40), p=[0.4, 0.2, 0.2, 0.1, 0.1])
    came = rng.random((50, 40, 40)) < np.where(likely > 0.1, likely, 0)
    found = overlap(likely_mask(likely), came)
    every = [overlap(likely >= cut, came) for cut in (0.02, 0.2, 0.45, 0.8)]
    assert found == pytest.approx(max(every), abs=0.005)
    assert found > overlap(likely >= 0.5, came) + 0.02
    assert not likely_mask(np.full((4, 4), 0.04)).any()
    sure = np.where(likely > 0.5, 1.0, np.nan)
    assert np.array_equal(likely_mask(sure), likely > 0.5)


def test_a_suite_without_futures_is_refused():
    with pytest.raises(StackError, match="without a future"):
        best_mask(np.zeros((0, 4, 4), bool))
