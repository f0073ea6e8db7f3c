"""Old scars and fresh ones: the change tells them apart, and its holes cost neither the map nor the rest."""

import numpy as np
import pytest

from headscarp.core.band import Band
from headscarp.core.stack import make_stack, stack_grid
from headscarp.tiles.splits import split_blocks
from headscarp.train.tables import fit_table_model

pytestmark = pytest.mark.filterwarnings("ignore:higher probabilities do not go with more landslides")


@pytest.fixture(scope="module")
def scarred(world):
    """Fresh slides, twice as many old scars that look the same after the event, and a swath without a look before."""
    rng = np.random.default_rng(0)
    fresh = rng.random((192, 192)) < 0.05
    old = ~fresh & (rng.random(fresh.shape) < 0.1)
    before = np.where(old, 0.2, 0.8) + rng.normal(0, 0.05, fresh.shape)
    after = np.where(old | fresh, 0.2, 0.8) + rng.normal(0, 0.05, fresh.shape)
    before[np.add.outer(np.arange(192), np.arange(192)) % 160 < 60] = np.nan
    bands = {
        Band("ndvi_change", "continuous", optional=True): after - before,
        Band("after_ndvi", "continuous"): after,
        Band("landslide", "label"): fresh,
        Band("valid", "mask"): np.ones(fresh.shape),
    }
    stack = make_stack(stack_grid(world), bands)
    return stack, split_blocks(stack, block_size_m=480, seed=1)


def test_a_threshold_on_the_change_leaves_old_scars_alone(scarred):
    change, after = (
        fit_table_model("threshold", *scarred, arguments={"band": band}) for band in ("ndvi_change", "after_ndvi")
    )
    assert change.value("precision").value > 0.95
    assert 0.5 < change.value("recall").value < 0.8, "what was not seen before is not found"
    assert after.value("recall").value > 0.95
    assert after.value("precision").value < 0.45, "two of three are old"
    assert change.value("f1").value > after.value("f1").value


@pytest.mark.parametrize("name", ["logistic", "forest"])
def test_what_knows_where_it_was_seen_is_better_than_either_threshold(scarred, name):
    found = fit_table_model(name, *scarred)
    either = [fit_table_model("threshold", *scarred, arguments={"band": b}) for b in ("ndvi_change", "after_ndvi")]
    assert np.isfinite(found.value("nll").value)
    assert found.value("nll").value < min(one.value("nll").value for one in either)
