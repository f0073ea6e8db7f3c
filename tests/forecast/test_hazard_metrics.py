"""Laws of the metrics of forecasts, and examples worked by hand or by scikit-learn."""

import numpy as np
import pytest
from series_world import series_world
from sklearn.metrics import average_precision_score, roc_auc_score

from headscarp.evaluation.hazards import HAZARD_METRICS, cause_cuts, cause_f1
from headscarp.evaluation.places import Said, hazard_scores, lead, resamples, truth_of
from headscarp.evaluation.tables import MetricRow, read_table, write_table
from headscarp.train.opponents import OPPONENTS, place_table

RNG = np.random.default_rng(0)
P = np.round(RNG.random(400), 2)
Y = (RNG.random(400) < P).astype(float)
ONE = np.ones((1, 400))


def value(name, p=P, y=Y, w=None):
    return float(HAZARD_METRICS[name](p, y, np.ones((1, len(p))) if w is None else w)[0])


def test_ranks_are_those_of_scikit_learn():
    assert value("auroc") == pytest.approx(roc_auc_score(Y, P))
    assert value("average_precision") == pytest.approx(average_precision_score(Y, P))


@pytest.mark.parametrize("name", list(HAZARD_METRICS))
def test_weights_count_as_repetition(name):
    times = RNG.integers(0, 3, 400)
    repeated = np.repeat(P, times), np.repeat(Y, times)
    if name == "ece":
        assert value(name, w=times[None].astype(float)) == pytest.approx(value(name, *repeated), abs=0.03)
        return
    assert value(name, w=times[None].astype(float)) == pytest.approx(value(name, *repeated), rel=1e-6)


def test_true_probabilities_are_calibrated_and_halved_log_odds_are_not():
    rng = np.random.default_rng(1)
    p = rng.uniform(0.02, 0.98, 20000)
    y = (rng.random(20000) < p).astype(float)
    assert value("calibration_slope", p, y) == pytest.approx(1, abs=0.05)
    sharper = 1 / (1 + ((1 - p) / p) ** 2)
    assert value("calibration_slope", sharper, y) == pytest.approx(0.5, abs=0.03)
    assert value("ece", p, y) < 0.02
    assert value("log_skill", p, y) > 0.2


def test_a_constant_has_no_skill():
    p = np.full(400, Y.mean())
    assert value("log_skill", p) == pytest.approx(0, abs=1e-9)
    assert value("auroc", p) == 0.5
    assert value("average_precision", p) == pytest.approx(Y.mean())
    assert value("tss", p) == pytest.approx(0, abs=1e-9)
    assert np.isnan(value("calibration_slope", p))


def test_alarms_by_hand():
    """Of 20 places the likeliest two are alarmed: one of two events is met, one alarm is false."""
    p = np.linspace(1, 0, 20)
    y = np.zeros(20)
    y[[0, 5]] = 1
    found = [value(name, p, y) for name in ("pod", "far", "csi", "tss")]
    assert found == pytest.approx([1 / 2, 1 / 2, 1 / 3, 1 / 2 - 1 / 18])


def test_without_events_nothing_is_known():
    for name in ("average_precision", "auroc", "pod", "far", "csi", "log_skill", "calibration_slope"):
        assert np.isnan(value(name, P, np.zeros(400))), name


def test_causes_are_cut_where_f1_is_highest():
    rng = np.random.default_rng(0)
    p = np.round(rng.random((60, 3)) * 0.4, 2)
    truth = (rng.random((60, 3)) < 1.5 * p).astype(np.uint8)
    truth[:, 2] = 0
    truth[::7] = 255
    once, cuts = np.ones((1, 60)), cause_cuts(p, truth)
    assert cuts[2] == 0.5
    best = cause_f1(p, truth, once, cuts)[0]
    for cut in np.linspace(0, 0.5, 51):
        others = cause_f1(p, truth, once, np.full(3, cut))[0]
        assert (others[:2] <= best[:2] + 1e-12).all()


def test_f1_of_causes_leaves_out_what_is_unknown():
    p = np.array([[0.9, 0.1], [0.8, 0.9], [0.1, 0.6], [0.9, 0.9], [0.9, 0.9]])
    truth = np.array([[1, 255], [0, 1], [1, 0], [0, 0], [255, 255]], np.uint8)  # the last two: no event, unknown
    np.testing.assert_allclose(cause_f1(p, truth, np.ones((1, 5)))[0], [1 / 2, 2 / 3])


def test_places_are_drawn_whole_and_within_their_region():
    truth = truth_of(series_world(36), range(36))
    weights = resamples(truth, np.random.default_rng(0), 20)
    for region in np.unique(truth.region):
        assert (weights[:, truth.region == region].sum(axis=1) == (truth.region == region).sum()).all()
    said = Said(np.tile([0.1, 0.2, 0.3, 0.4, 0.5], (36, 1)))
    scores = hazard_scores(said, truth, np.random.default_rng(0))
    assert scores["brier 30 d"].low <= scores["brier 30 d"].value <= scores["brier 30 d"].high


@pytest.mark.filterwarnings("error")
def test_a_lead_is_that_of_the_same_places():
    truth = truth_of(series_world(36), range(36))
    law = Said(series_world(36)["law"].to_numpy().astype(float))
    noise = np.random.default_rng(1).random((36, 5))
    ahead = lead(law, Said(noise), truth, "average_precision 180 d", np.random.default_rng(0))
    assert 0 < ahead.low < ahead.value < ahead.high
    same = lead(law, law, truth, "log_skill 180 d", np.random.default_rng(0))
    assert same.value == same.low == same.high == 0


def test_every_opponent_gives_hazards_that_rise_with_the_horizon():
    table = place_table(series_world(60))
    train = np.arange(40)
    for name, opponent in OPPONENTS.items():
        hazards = opponent(table, train)
        assert hazards.shape == (60, 5), name
        assert np.isfinite(hazards).all(), name
        assert (np.diff(hazards, axis=1) >= 0).all(), name
        assert hazards.min() >= 0, name
        assert hazards.max() <= 1, name


def test_rows_of_forecasts_read_back(tmp_path):
    rows = [MetricRow("forecast", "regions", "region: india", "average_precision 7 d", 0.5, 0.4, 0.6)]
    rows.append(MetricRow("forecast", "regions", "test", "gap: log_skill 180 d", 0.1))
    write_table(rows, tmp_path)
    assert [(r.part, r.metric) for r in read_table(tmp_path)] == [(r.part, r.metric) for r in rows]
