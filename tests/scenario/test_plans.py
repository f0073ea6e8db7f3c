"""Laws of plans: never over budget, in patches, nothing without gain, the best where budgets fit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import label

from headscarp.core.errors import RecipeError
from headscarp.prediction.plans import choose_cells


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 60), st.integers(1, 8))
def test_a_plan_keeps_its_budget_its_patches_and_its_ground(seed, cells, patch):
    rng = np.random.default_rng(seed)
    gain = rng.normal(0.2, 1.0, (12, 15))
    allowed = rng.random(gain.shape) < 0.7
    if patch > cells:
        with pytest.raises(RecipeError, match="a patch at least"):
            choose_cells(gain, allowed, cells=cells, patch_cells=patch)
        return
    plan = choose_cells(gain, allowed, cells=cells, patch_cells=patch)
    assert plan.sum() <= cells
    assert not (plan & ~allowed).any()
    assert not (plan & (gain <= 0)).any()
    assert np.array_equal(plan, choose_cells(gain, allowed, cells=cells, patch_cells=patch))


def test_patches_are_large_enough_and_the_budget_is_spent():
    gain = np.random.default_rng(3).random((40, 40))
    plan = choose_cells(gain, np.ones(gain.shape, bool), cells=100, patch_cells=6)
    sizes = np.bincount(label(plan, np.ones((3, 3)))[0].ravel())[1:]
    assert sizes.min() >= 6
    assert plan.sum() == 100


def test_the_worthiest_hill_is_planted():
    gain = np.zeros((20, 20))
    gain[3:7, 3:7], gain[12:16, 12:16] = 1.0, 2.0
    plan = choose_cells(gain, np.ones(gain.shape, bool), cells=16, patch_cells=4)
    assert np.array_equal(plan, gain == 2.0)
    assert choose_cells(gain, np.ones(gain.shape, bool), cells=60, patch_cells=4).sum() == 32  # no more has any gain


def test_nothing_gained_is_nothing_planted():
    gain = np.full((5, 5), np.nan)
    gain[2] = -1.0
    assert not choose_cells(gain, np.ones(gain.shape, bool), cells=3).any()


def test_senseless_budgets_are_refused():
    gain, none, few = np.ones((4, 4)), np.zeros((4, 4), bool), np.eye(4, dtype=bool)
    with pytest.raises(RecipeError, match="nowhere to plant"):
        choose_cells(gain, none, cells=3)
    with pytest.raises(RecipeError, match="only 4 can be planted"):
        choose_cells(gain, few, cells=5)
    with pytest.raises(RecipeError, match="larger budget"):
        choose_cells(gain, few, cells=0)
