"""A known temperature is found again, every map is monotone and survives JSON, and the likelihood never suffers."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression

from headscarp.core.calibration import (
    CALIBRATIONS,
    FITS,
    Isotonic,
    Temperature,
    Uncalibrated,
    calibration_from_json,
    fit_isotonic,
    fit_platt,
    fit_temperature,
)
from headscarp.core.errors import BundleError, HeadscarpWarning, TrainingError
from headscarp.evaluation.metrics import score
from headscarp.evaluation.streaming import ScoreHistogram


def pixels(scale=1.0, shift=0.0, n=400_000, seed=0):
    """Probabilities that Temperature(scale, shift) puts right."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(-2, 1.5, n)
    return expit((odds - shift) * scale).astype(np.float32), (rng.random(n) < expit(odds)).astype(np.uint8)


def scored(probability, label):
    return score(ScoreHistogram.of(probability, label).counts())


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.5])
def test_a_known_temperature_is_found(scale):
    found = fit_temperature(ScoreHistogram.of(*pixels(scale)))
    assert found.scale == pytest.approx(scale, rel=0.02)
    assert found.shift == 0


@pytest.mark.parametrize(("scale", "shift"), [(1.0, -1.6), (2.0, 0.5), (0.7, 3.0)])
def test_a_known_scale_and_shift_are_found(scale, shift):
    found = fit_platt(ScoreHistogram.of(*pixels(scale, shift)))
    assert found.scale == pytest.approx(scale, rel=0.02)
    assert found.shift == pytest.approx(shift, abs=0.05)


@pytest.mark.parametrize("name", FITS)
def test_the_likelihood_does_not_suffer(name):
    probability, label = pixels(2.0, 1.0)
    calibrated = FITS[name](ScoreHistogram.of(probability, label)).apply(probability)
    before, after = scored(probability, label), scored(calibrated, label)
    assert after["nll"] <= before["nll"] + 1e-9
    assert after["auroc"] == pytest.approx(before["auroc"], abs=1e-3)
    if name in ("platt", "isotonic"):
        assert after["ece"] < 0.004 < before["ece"]


@pytest.mark.parametrize("name", FITS)
def test_any_fit_is_monotone_float32_and_keeps_nan(name):
    found = FITS[name](ScoreHistogram.of(*pixels(0.6, 1.0, n=3000)))
    grid = np.concatenate([[0], np.geomspace(1e-9, 0.5, 3000), 1 - np.geomspace(0.5, 1e-7, 3000), [1]])
    out = found.apply(grid.astype(np.float32).reshape(2, -1))
    assert out.dtype == np.float32
    assert out.shape == (2, grid.size // 2)
    assert (np.diff(out.ravel()) >= 0).all()
    assert out.min() >= 0
    assert out.max() <= 1
    assert np.isnan(found.apply(np.array([np.nan, 0.5], np.float32))).tolist() == [True, False]


@pytest.mark.parametrize("name", FITS)
def test_json_and_back(name):
    found = FITS[name](ScoreHistogram.of(*pixels(1.5, n=3000)))
    assert calibration_from_json(json.loads(json.dumps(found.to_json()))) == found
    assert CALIBRATIONS[found.to_json()["kind"]] is type(found)


def test_nothing_is_no_calibration():
    assert calibration_from_json({}) == Uncalibrated()


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "magic"},
        {"kind": "temperature"},
        {"kind": "temperature", "scale": 1.0, "shift": 0.0, "more": 1},
        {"kind": "temperature", "scale": -1.0, "shift": 0.0},
        {"kind": "isotonic", "predicted": [0.1, 0.1], "observed": [0.1, 0.2]},
        {"kind": "isotonic", "predicted": [0.1, 0.2], "observed": [0.3, 0.2]},
        {"kind": "isotonic", "predicted": [0.1, 0.2], "observed": [0.3, 1.2]},
        {"kind": "isotonic", "predicted": [], "observed": []},
    ],
)
def test_damaged_values_are_refused(values):
    with pytest.raises(BundleError, match="calibration"):
        calibration_from_json(values)


def test_temperature_worked_by_hand():
    # logit(0.8) = log 4; halved log 2; sigmoid 2/3
    assert Temperature(2.0).apply(np.array([0.8])) == pytest.approx([2 / 3], abs=1e-6)
    assert Temperature(1.0, float(np.log(2))).apply(np.array([0.5])) == pytest.approx([2 / 3], abs=1e-6)


def test_isotonic_worked_by_hand():
    found = Isotonic((0.25, 0.75), (0.1, 0.5)).apply(np.array([0.0, 0.25, 0.5, 0.75, 1.0]))
    assert found == pytest.approx([0.1, 0.1, 0.3, 0.5, 0.5])


def test_isotonic_follows_scikit_learn():
    probability, label = pixels(2.0, 1.0)
    found = fit_isotonic(ScoreHistogram.of(probability, label))
    peer = IsotonicRegression(out_of_bounds="clip").fit(probability, label).predict(probability)
    assert len(found.predicted) <= 32
    assert np.abs(found.apply(probability) - peer).mean() < 0.005


def test_isotonic_never_says_never():
    probability, label = np.array([0.1, 0.2, 0.8, 0.9], np.float32), np.array([0, 0, 1, 1], np.uint8)
    found = fit_isotonic(ScoreHistogram.of(probability, label))
    assert 0 < found.observed[0] < found.observed[-1] < 1


def test_classes_that_do_not_overlap_stay_finite():
    probability, label = np.linspace(0.01, 0.99, 200), np.arange(200) >= 100
    for fit in (fit_temperature, fit_platt):
        found = fit(ScoreHistogram.of(probability, label))
        assert 1e-3 <= found.scale < 1
        assert np.isfinite(found.shift)


def test_a_net_that_ranks_backwards_is_told():
    probability, label = pixels(n=2000)
    with pytest.warns(HeadscarpWarning, match="higher probabilities"):
        fit_platt(ScoreHistogram.of(1 - probability, label))


def test_a_constant_net_keeps_its_scale_and_gets_its_mean():
    label = (np.arange(1000) % 10 == 0).astype(np.uint8)
    scores = ScoreHistogram.of(np.full(1000, 0.5), label)
    assert fit_platt(scores).apply(np.array([0.5])) == pytest.approx([0.1], abs=2e-3)
    assert fit_isotonic(scores).apply(np.array([0.5])) == pytest.approx([0.1], abs=2e-3)


@pytest.mark.parametrize("name", ["temperature", "platt", "isotonic"])
@pytest.mark.parametrize("label", [0, 1])
def test_one_class_cannot_calibrate(name, label):
    with pytest.raises(TrainingError, match="both classes"):
        FITS[name](ScoreHistogram.of(np.full(5, 0.5), np.full(5, label, np.uint8)))


@settings(max_examples=40, deadline=None)
@given(
    pairs=st.lists(st.tuples(st.floats(0, 1, width=32), st.booleans()), min_size=2, max_size=60),
    max_knots=st.integers(1, 10),
)
def test_isotonic_is_monotone_on_anything(pairs, max_knots):
    probability = np.array([p for p, _ in pairs], np.float32)
    label = np.array([y for _, y in pairs], np.uint8)
    if label.min() == label.max():
        return
    found = fit_isotonic(ScoreHistogram.of(probability, label), max_knots=max_knots)
    assert 1 <= len(found.predicted) <= max_knots
    out = found.apply(np.sort(probability))
    assert (np.diff(out) >= 0).all()


@settings(max_examples=60, deadline=None)
@given(st.floats(1e-3, 1e3), st.floats(-20, 20), st.lists(st.floats(0, 1, width=32), min_size=2, max_size=30))
def test_temperature_is_monotone_on_anything(scale, shift, values):
    out = Temperature(scale, shift).apply(np.sort(np.array(values, np.float32)))
    assert (np.diff(out) >= 0).all()


def test_identity_changes_nothing_away_from_the_ends():
    probability = np.linspace(0.001, 0.999, 999, dtype=np.float32)
    np.testing.assert_allclose(Temperature(1.0).apply(probability), probability, rtol=1e-6)
    assert float(logit(Temperature(1.0).apply(np.zeros(1)))[0]) == pytest.approx(float(logit(1e-7)), rel=1e-5)
