"""Making nets by name, what is refused, and what the baselines promise."""

import numpy as np
import pytest
import torch

from headscarp.core.band import Band
from headscarp.core.bundle import Bundle
from headscarp.core.errors import BundleError, RecipeError, StackError
from headscarp.core.tile import Tile, Window
from headscarp.nets import NETS, make_net, net_from_bundle, weights_of
from headscarp.nets.batch import Batch
from headscarp.nets.net import Statistics

BANDS = (Band("elevation", "continuous"), Band("slope", "continuous"), Band("rock", "categorical", classes=("a", "b")))
STATISTICS = Statistics({"elevation": 0.0, "slope": 20.0}, {"elevation": 1.0, "slope": 10.0}, 0.013)


def new_net(name, *, bands=BANDS, **arguments):
    return make_net(name, bands, resolution_m=10, statistics=STATISTICS, arguments=arguments)


def batch_at(window=None, size=64):
    x = torch.zeros(1, 3, size, size)
    tiles = (Tile(window),) if window else ()
    return Batch(x, torch.ones(1, size, size, dtype=torch.bool), tiles=tiles)


def test_unknown_names_get_the_nearest():
    with pytest.raises(RecipeError, match="nearest is 'sacnn'"):
        new_net("sacn")
    with pytest.raises(RecipeError, match="no argument 'ranges'; it takes aligned, ranges_m"):
        new_net("sann", aligned=("slope",), ranges=(30,))
    with pytest.raises(RecipeError, match="needs aligned"):
        new_net("sacnn")
    with pytest.raises(RecipeError, match="takes none"):
        new_net("llr", depth=3)


def test_slope_needs_its_band_and_says_so():
    with pytest.raises(StackError, match="slope = "):
        new_net("slope", bands=BANDS[::2])
    with pytest.raises(StackError, match="'rock'"):
        new_net("slope", slope="rock")


def test_a_bundle_that_does_not_match_is_refused():
    net = new_net("llr")
    weights = weights_of(net)
    with pytest.raises(BundleError, match="cannot be made"):
        net_from_bundle(Bundle("llr", {}, BANDS[:2], 10, weights))
    with pytest.raises(BundleError, match="no net"):
        net_from_bundle(Bundle("lrr", {}, BANDS, 10, weights))


def test_weights_are_copies_of_their_own():
    net = new_net("llr")
    weights = weights_of(net)
    weights["first.weight"][:] = 9
    assert net.first.weight.abs().max() == 0
    assert all(array.ndim > 0 for name in ("llr", "random", "slope") for array in weights_of(new_net(name)).values())


def test_making_a_net_from_a_bundle_leaves_the_random_numbers_alone():
    bundle = Bundle("nn", {}, BANDS, 10, weights_of(new_net("nn")))
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    net_from_bundle(bundle)
    assert torch.equal(torch.rand(3), expected)


def test_nets_begin_at_the_prevalence():
    torch.manual_seed(0)
    for name in ("prevalence", "llr"):
        assert new_net(name).predict(batch_at()).mean().item() == pytest.approx(0.013, rel=1e-4)
    for prevalence, expected in ((0.0, 1e-6), (1.0, 1 - 1e-6)):
        net = make_net("prevalence", BANDS, resolution_m=10, statistics=Statistics(prevalence=prevalence))
        assert net.predict(batch_at()).mean().item() == pytest.approx(expected)


def test_random_is_the_papers_straw_man():
    net = new_net("random")
    p = net.predict(batch_at(Window(5, 7, 1000, 1000), size=1000)).numpy()
    assert np.allclose(np.unique(p), [0.001, 0.999], atol=1e-6)
    assert (p > 0.5).mean() == pytest.approx(0.013, abs=4 * np.sqrt(0.013 / 1e6))
    truth = np.random.default_rng(0).random(p.shape) < 0.013
    assert -np.log(np.where(truth, p, 1 - p)).mean() == pytest.approx(0.1782, abs=0.005)
    part = net.predict(batch_at(Window(105, 207, 64, 64))).numpy()
    assert np.array_equal(part[0, 0], p[0, 0, 100:164, 200:264])
    other = new_net("random", seed=1).predict(batch_at(Window(5, 7, 1000, 1000), size=1000)).numpy()
    assert 0 < (other > 0.5)[p > 0.5].mean() < 0.05


def test_random_has_no_pattern_along_rows_and_columns():
    make = make_net("random", BANDS, resolution_m=10, statistics=Statistics(prevalence=0.5))
    drawn = (make.predict(batch_at(size=512))[0, 0] > 0.5).float() - 0.5
    for shift in ((0, 1), (1, 0), (1, 1), (0, 256), (256, 0)):
        assert abs((drawn * drawn.roll(shift, (0, 1))).mean()) < 0.25 * 4 / 512


def test_steeper_is_never_safer():
    net = new_net("slope")
    with torch.no_grad():
        net.trunk.raw_weight.fill_(-3)
    batch = batch_at()
    batch.x[0, 1] = torch.linspace(0, 89, 64)
    p = net.predict(batch)[0, 0].detach()
    assert (p[:, 1:] > p[:, :-1]).all()


def test_logistic_regression_tells_its_weights_by_name():
    net = new_net("llr")
    with torch.no_grad():
        net.first.weight[0, :, 0, 0] = torch.arange(5.0)
    expected = {"elevation": 0, "slope": 1, "rock=no value": 2, "rock=a": 3, "rock=b": 4}
    assert net.feature_weights() == expected


def test_schedules_are_those_of_the_papers_table_1():
    table = {
        "llr": ("adam", 0.125, 10, 15, 0.001),
        "nn": ("adam", 0.125, 10, 13, 0),
        "sann": ("adam", 0.0156, 15, 10, 0),
        "cnn": ("sgd", 0.125, 20, 12, 0),
        "sacnn": ("adam", 0.001, 30, 9, 0),
    }
    for name, row in table.items():
        s = NETS[name].schedule
        assert (s.optimiser, s.learning_rate, s.epochs, s.batch_size, s.weight_decay) == row
    assert all(NETS[name].schedule.epochs == 0 for name in ("prevalence", "random"))
    assert [name for name in NETS if NETS[name].aligned_from] == ["sann", "sacnn"]
