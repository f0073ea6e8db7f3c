"""Laws of radar: mean kept and variance lower, constants and points unchanged, blocks are the whole."""

import warnings

import numpy as np
import pytest
from scipy.ndimage import uniform_filter

from headscarp.core.errors import RecipeError, StackError
from headscarp.imagery import FILTERS, gamma_map, halo_px, lee, log_ratio, multitemporal, to_db, to_power

LOOKS = 4.4


def speckle(shape, seed=0, looks=LOOKS):
    """Speckle of mean 1: gamma distributed with a coefficient of variation of 1 / sqrt(looks)."""
    return np.random.default_rng(seed).gamma(looks, 1 / looks, shape).astype(np.float32)


def patchy(shape=(150, 300), seed=0):
    """Fields of different backscatter, bright points, gaps and a patch of them."""
    generator = np.random.default_rng(seed)
    power = speckle(shape, seed) * np.where(np.arange(shape[1]) > shape[1] // 2, 0.3, 0.05).astype(np.float32)
    power[generator.random(shape) < 0.001] = 20
    power[generator.random(shape) < 0.05] = np.nan
    power[40:70, 100:140] = np.nan
    return power


def test_decibel_and_power_are_each_others_inverse():
    power = np.float32([[1, 10, 0.01, 0.5, np.nan, 0, -1]])
    np.testing.assert_allclose(to_db(power), [[0, 10, -20, -3.0103, np.nan, np.nan, np.nan]], atol=1e-5)
    np.testing.assert_allclose(to_power(to_db(power))[0, :5], power[0, :5], rtol=1e-6)


def test_log_ratio_averages_power_not_decibel():
    before, after = np.float32([1, 3])[:, None, None], np.float32([4, 4, np.nan])[:, None, None]
    np.testing.assert_allclose(log_ratio(to_db(before), to_db(after)), 10 * np.log10(4 / 2), atol=1e-5)


def test_log_ratio_is_zero_without_change_and_turns_sign_with_time():
    before, after = to_db(speckle((6, 2, 20, 30))), to_db(speckle((9, 2, 20, 30), 1) * 3)
    before[:, 0, 2, 2] = np.nan
    changed = log_ratio(before, after)
    assert (np.nan_to_num(log_ratio(before, before)) == 0).all()
    np.testing.assert_array_equal(log_ratio(after, before), -changed)
    assert np.isnan(changed).sum() == 1
    assert np.nanmean(changed) == pytest.approx(10 * np.log10(3), abs=0.1)
    with pytest.raises(StackError, match="the same bands and cells"):
        log_ratio(before, after[..., :-1])


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("window_px", [3, 7, 21])
def test_constants_are_unchanged_gaps_and_edges_too(name, window_px):
    power = np.full((40, 50), 0.1, np.float32)
    power[10:14, 20] = np.nan
    np.testing.assert_array_equal(FILTERS[name](power, window_px=window_px), power)
    dark = np.zeros((9, 9), np.float32)
    np.testing.assert_array_equal(FILTERS[name](dark), dark)


@pytest.mark.parametrize("name", FILTERS)
def test_the_mean_is_kept_and_the_variance_falls(name):
    power = speckle((400, 400)) * np.float32(0.08)
    filtered = FILTERS[name](power)
    # Gamma MAP gives the most likely value, which lies below the mean of a skewed law.
    assert filtered.mean(dtype=float) == pytest.approx(power.mean(dtype=float), rel=0.002 if name == "lee" else 0.02)
    assert filtered.std() < 0.3 * power.std()


@pytest.mark.parametrize("name", FILTERS)
def test_edges_stay_and_points_are_kept(name):
    power = speckle((100, 100)) * np.where(np.arange(100) < 50, 0.05, 0.8).astype(np.float32)
    power[20, 20] = 50
    filtered = FILTERS[name](power)
    assert filtered[20, 20] > 35
    away = filtered[30:, :44].mean(), filtered[30:, 56:].mean()
    np.testing.assert_allclose(away, (0.05, 0.8), rtol=0.05)


@pytest.mark.parametrize("name", FILTERS)
def test_brighter_by_a_factor_comes_out_brighter_by_that_factor(name):
    power = patchy()
    np.testing.assert_allclose(FILTERS[name](power * 8), FILTERS[name](power) * 8, rtol=1e-6)


@pytest.mark.parametrize("name", FILTERS)
def test_missing_stays_missing_does_not_spread_and_is_silent(name):
    power = patchy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        filtered = FILTERS[name](power)
        assert np.isnan(FILTERS[name](np.full((8, 8), np.nan, np.float32))).all()
    np.testing.assert_array_equal(np.isnan(filtered), np.isnan(power))
    np.testing.assert_array_equal(FILTERS[name](np.where(np.isnan(power), np.inf, power))[0], filtered[0])


@pytest.mark.parametrize("name", [*FILTERS, "multitemporal"])
@pytest.mark.parametrize("window_px", [3, 7, 15])
def test_blocks_with_their_halo_and_threads_are_the_whole(name, window_px):
    function = multitemporal if name == "multitemporal" else FILTERS[name]
    power, halo = np.stack([patchy(seed=s) for s in range(3)]), halo_px(window_px)
    whole = function(power, window_px=window_px, threads=3)
    np.testing.assert_array_equal(function(power, window_px=window_px, threads=1), whole)
    for top, left in ((0, 0), (47, 131), (110, 260)):
        north, west = max(0, top - halo), max(0, left - halo)
        block = function(power[:, north : top + 40 + halo, west : left + 60 + halo], window_px=window_px)
        inside = block[:, top - north : top - north + 40, left - west : left - west + 60]
        np.testing.assert_array_equal(inside, whole[:, top : top + 40, left : left + 60])


def test_lee_is_what_scipy_gives_for_the_same_formula():
    power = patchy()
    there = np.isfinite(power)
    value = np.where(there, power, 0).astype(float)
    count, one, two = (uniform_filter(a, 7, mode="constant") for a in (there.astype(float), value, value**2))
    with np.errstate(all="ignore"):
        mean = one / count
        variance = two / count - mean**2
        weight = np.maximum(0, (1 - mean**2 / LOOKS / variance) / (1 + 1 / LOOKS))
        expected = np.where(there, mean + weight * (value - mean), np.nan)
    np.testing.assert_allclose(lee(power, looks=LOOKS), expected, rtol=1e-5)


def test_gamma_map_solves_its_equation_between_its_bounds():
    """Its result is a root of alpha R^2 / m + (L + 1 - alpha) R - L I = 0 where Cu < Ci < sqrt(2) Cu."""
    power = speckle((60, 60)) * np.float32(0.2)
    window = power[20:27, 30:37].astype(float)
    mean, varied = window.mean(), window.var() / window.mean() ** 2
    assert 1 / LOOKS < varied < 2 / LOOKS or np.isclose(gamma_map(power)[23, 33], mean)
    found = 0
    for i in range(3, 57):
        for j in range(3, 57):
            window = power[i - 3 : i + 4, j - 3 : j + 4].astype(float)
            mean, varied = window.mean(), window.var() / window.mean() ** 2
            if 1.02 / LOOKS < varied < 1.98 / LOOKS:
                alpha = (1 + 1 / LOOKS) / (varied - 1 / LOOKS)
                result = float(gamma_map(power[i - 3 : i + 4, j - 3 : j + 4])[3, 3])
                zero = alpha * result**2 / mean + (LOOKS + 1 - alpha) * result - LOOKS * float(power[i, j])
                assert abs(zero) < 1e-3 * LOOKS * mean * max(1, alpha)
                found += 1
    assert found > 20


def test_frames_smooth_each_other_and_keep_their_own_brightness():
    levels = np.float32([0.05, 0.1, 0.4, 0.2, 0.3, 0.08])[:, None, None]
    power = speckle((6, 150, 150)) * levels
    power[2, 3, 4] = np.nan
    smoothed = multitemporal(power)
    np.testing.assert_allclose(np.nanmean(smoothed, axis=(1, 2)), levels[:, 0, 0], rtol=0.02)
    assert (np.nanstd(smoothed, axis=(1, 2)) < 0.55 * np.nanstd(power, axis=(1, 2))).all()
    np.testing.assert_array_equal(np.isnan(smoothed), np.isnan(power))
    constant = np.broadcast_to(levels, (6, 20, 20)).copy()
    np.testing.assert_allclose(multitemporal(constant), constant, rtol=1e-6)


def test_wrong_input_is_refused_with_advice():
    for window_px in (2, 4, 1, 103, 3.5, True):
        with pytest.raises(RecipeError, match="odd whole number from 3 to 101"):
            lee(speckle((9, 9)), window_px=window_px)
    for looks in (0, -1, np.nan, np.inf):
        with pytest.raises(RecipeError, match="positive number"):
            gamma_map(speckle((9, 9)), looks=looks)
    with pytest.raises(StackError, match="linear power"):
        lee(np.ones((4, 4), np.int16))
    with pytest.raises(StackError, match="one polarisation"):
        multitemporal(speckle((9, 9)))
