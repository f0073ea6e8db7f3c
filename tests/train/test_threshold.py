"""Laws of the threshold: the best of all cuts on both sides, blind to monotone changes, and said in shares."""

import numpy as np
import pytest

from headscarp.core.errors import RecipeError, TrainingError
from headscarp.train.compare import compare
from headscarp.train.config import FitConfig
from headscarp.train.plan import chosen_configs
from headscarp.train.tables import TABLE_MODELS, fit_table_model
from headscarp.train.threshold import Threshold, best_cut


def f1_of(called, y):
    return 2 * (called & (y == 1)).sum() / max(called.sum() + (y == 1).sum(), 1)


@pytest.mark.parametrize("seed", range(5))
def test_no_cut_is_better(seed):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 12, 200).astype(np.float32)  # with ties
    y = (rng.random(200) < values / 15).astype(np.uint8)
    f1, cut = best_cut(values, y)
    assert f1 == pytest.approx(f1_of(values >= cut, y))
    assert f1 == pytest.approx(max(f1_of(values >= c, y) for c in range(12)))


def test_the_band_and_the_side_that_tell_most_are_chosen():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 3)).astype(np.float32)
    y = (x[:, 1] < -1).astype(np.uint8)
    model = Threshold([0, 1, 2]).fit(x, y)
    assert (model.column, model.above, model.f1) == (1, False, 1.0)
    assert model.shares == (0.0, 1.0)
    assert (model.called(x) == (y == 1)).all()
    steeper = Threshold([1]).fit(np.exp(x), y)
    assert (steeper.called(np.exp(x)) == model.called(x)).all(), "only the order of values counts"
    assert Threshold([0, 2]).fit(x, y).column != 1


def test_probabilities_are_the_shares_on_each_side():
    x = np.float32([[1], [2], [3], [4], [5], [6]])
    y = np.uint8([0, 0, 1, 0, 1, 1])
    model = Threshold([0]).fit(x, y)
    assert model.cut == 3
    np.testing.assert_allclose(model.predict_proba(x)[:, 1], [0, 0, 0.75, 0.75, 0.75, 0.75])
    np.testing.assert_allclose(model.predict_proba(x).sum(axis=1), 1)
    with pytest.raises(TrainingError, match="no training pixel is a landslide"):
        Threshold([0]).fit(x, y * 0)


@pytest.mark.filterwarnings("ignore:higher probabilities do not go with more landslides")  # elevation tells nothing
def test_it_is_scored_beside_the_nets(world, blocks, tmp_path):
    best = fit_table_model("threshold", world, blocks)
    named = fit_table_model("threshold", world, blocks, arguments={"band": "slope"})
    other = fit_table_model("threshold", world, blocks, arguments={"band": "elevation"})
    assert best.value("nll").value == named.value("nll").value < other.value("nll").value
    configs = {"": FitConfig(), "threshold": FitConfig(net_arguments={"band": "elevation"})}
    options = {"block_size_m": 480, "buffer_m": 60, "seed": 1}
    found = compare(
        world,
        ["prevalence", "threshold"],
        out=tmp_path / "c",
        splits=["blocks"],
        split_options=options,
        configs=configs,
    )
    nll = next(r.value for r in found.rows if (r.net, r.part, r.metric) == ("threshold", "test", "nll"))
    assert nll == pytest.approx(other.value("nll").value)


def test_a_band_that_cannot_be_cut_is_refused(world, blocks):
    with pytest.raises(RecipeError, match="unknown band of 'threshold' 'slop'; did you mean 'slope'"):
        fit_table_model("threshold", world, blocks, arguments={"band": "slop"})
    with pytest.raises(RecipeError, match="argument of 'forest' 'band'"):
        fit_table_model("forest", world, blocks, arguments={"band": "slope"})
    assert not TABLE_MODELS["threshold"].thinned, "F1 depends on the prevalence"


def test_its_band_is_named_in_a_file(tmp_path, tiny_world):
    (tmp_path / "train.toml").write_text('[train]\nepochs = 3\n[train.threshold]\nnet_arguments = { band = "slope" }\n')
    configs = chosen_configs(tiny_world, tmp_path / "train.toml")
    assert dict(configs["threshold"].net_arguments) == {"band": "slope"}
    assert dict(configs[""].net_arguments) == {}
