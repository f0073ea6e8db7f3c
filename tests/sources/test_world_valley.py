"""The simulated valley: a true stack, the same each time, whose law is calibrated and reads what lies uphill."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from headscarp.core.errors import GridError
from headscarp.core.grid import check_metres
from headscarp.core.stack import check_stack, feature_bands, stack_bands, stack_grid
from headscarp.sources.world import simulate_valley
from headscarp.sources.world.law import failure_probability, log_safety
from headscarp.terrain import slope

SHAPE = (256, 224)


@pytest.fixture(scope="module")
def valley():
    return simulate_valley(SHAPE, seed=5)


def test_it_is_a_stack_with_the_promised_bands(valley):
    stack = check_stack(valley.stack)
    check_metres(stack_grid(stack))
    assert [b.name for b in feature_bands(stack)] == ["elevation", "slope", "lithology", "rock_age", "land_cover"]
    assert dict(stack.sizes) == {"y": SHAPE[0], "x": SHAPE[1]}
    for band in stack_bands(stack):
        values = stack[band.name].to_numpy()
        assert np.isfinite(values).all()
        if band.kind == "categorical":
            assert values.min() >= 1
            assert values.max() <= len(band.classes)
    assert len(stack["land_cover"].attrs["classes"]) == 5
    assert 8 <= len(np.unique(stack["lithology"])) <= 13


def test_it_says_that_it_is_simulated(valley):
    assert "not a real place" in valley.stack.attrs["simulated"]
    for band in stack_bands(valley.stack):
        assert "simulated" in band.source


def test_the_same_seed_gives_the_same_valley_and_another_seed_another(valley):
    again, other = simulate_valley(SHAPE, seed=5), simulate_valley(SHAPE, seed=6)
    assert valley.stack.identical(again.stack)
    np.testing.assert_array_equal(valley.law, again.law)
    assert not np.array_equal(valley.stack["elevation"], other.stack["elevation"])


def test_the_slope_band_is_the_slope_of_the_elevation(valley):
    expected = slope(valley.stack["elevation"].to_numpy(), 10.0)
    inner = (slice(1, -1), slice(1, -1))
    np.testing.assert_array_equal(valley.stack["slope"].to_numpy()[inner], expected[inner])
    assert 5 < np.median(expected[inner]) < 40


def test_the_law_has_the_prevalence_and_labels_follow_it_in_every_bin():
    law, label = [], []
    for seed in range(6):
        one = simulate_valley((160, 160), seed=seed, prevalence=0.03)
        assert one.law.mean(dtype=np.float64) == pytest.approx(0.03, rel=1e-4)
        law.append(one.law)
        label.append(one.stack["landslide"].to_numpy())
    p, y = np.concatenate(law, axis=None).astype(np.float64), np.concatenate(label, axis=None)
    assert y.mean() == pytest.approx(0.03, rel=0.25)
    for members in np.array_split(np.argsort(p), 5):
        # Neighbours fall together: a patch of about 20 cells is one draw, so the binomial error is wider by its root.
        error = np.sqrt(20 * (p[members] * (1 - p[members])).sum()) / members.size
        assert abs(y[members].mean() - p[members].mean()) < 4 * error


def test_what_lies_uphill_is_worth_knowing():
    better = []
    for seed in range(3):
        valley = simulate_valley((256, 256), seed=seed, prevalence=0.03)
        planes = [valley.stack[name].to_numpy() for name in ("elevation", "slope", "lithology", "land_cover")]
        here_only = failure_probability(log_safety(*planes, cell_size_m=10.0, creep_m=0.0), 0.03)
        y = valley.stack["landslide"].to_numpy().ravel()
        assert roc_auc_score(y, valley.law.ravel()) > 0.8
        better.append(roc_auc_score(y, valley.law.ravel()) - roc_auc_score(y, here_only.ravel()))
    assert np.mean(better) > 0.02


@pytest.mark.parametrize(("shape", "cell_size_m"), [((32, 40), 10.0), ((64, 48), 30.0), ((48, 48), 2.0)])
def test_small_and_other_cells_work_too(shape, cell_size_m):
    stack = simulate_valley(shape, cell_size_m=cell_size_m).stack
    assert stack["slope"].shape == shape
    assert float(stack["y"][0] - stack["y"][1]) == cell_size_m


def test_a_shape_or_cell_without_sense_is_refused():
    with pytest.raises(GridError, match="at least 32 x 32"):
        simulate_valley((31, 500))
    with pytest.raises(GridError, match=r"0\.1 to 1000 m"):
        simulate_valley((64, 64), cell_size_m=0.0)
