"""Laws of attribution: exact where a net is linear, complete everywhere, nothing for what a net ignores."""

import numpy as np
import pytest
import torch

from headscarp.core.band import Band
from headscarp.explain.attribution import attribute, feature_owners, known_and_unknown, logits_of
from headscarp.nets import NETS, make_net
from headscarp.nets.batch import Batch
from headscarp.nets.net import PixelNet, Statistics

pytestmark = pytest.mark.usefixtures("one_thread")

BANDS = (
    Band("elevation", "continuous", "m"),
    Band("slope", "continuous", "degree"),
    Band("aspect", "direction", "degree"),
    Band("rock", "categorical", classes=("marl", "limestone", "flysch")),
)
STATISTICS = Statistics({"elevation": 500.0, "slope": 20.0}, {"elevation": 80.0, "slope": 10.0}, prevalence=0.2)
ALIGNED = {"aligned": ["slope", "aspect:north", "rock=marl"], "ranges_m": [30.0]}
ARGUMENTS = {"sann": ALIGNED, "sacnn": ALIGNED, "unet": {"base": 4}}


def new_net(name):
    """A net whose every layer says something: weights that start at 0 are drawn."""
    torch.manual_seed(0)
    net = make_net(name, BANDS, resolution_m=10, statistics=STATISTICS, arguments=ARGUMENTS.get(name)).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.ndim == 4:
                torch.nn.init.kaiming_normal_(parameter)
    return net


def tile(side=64, seed=0):
    g = np.random.default_rng(seed)
    rows, columns = np.mgrid[:side, :side]
    elevation = 500 + 80 * np.sin(rows / 7) * np.cos(columns / 9) + g.normal(0, 3, (side, side))
    x = np.stack([elevation, g.uniform(0, 60, (side, side)), g.uniform(0, 360, (side, side)),
                  g.integers(0, 4, (side, side))]).astype(np.float32)  # fmt: skip
    valid = g.random((side, side)) > 0.05
    x[:3, ~valid], x[3, ~valid] = np.nan, 0
    counted = valid & (rows >= 16) & (rows < side - 16) & (columns >= 16) & (columns < side - 16)
    return Batch(torch.from_numpy(x)[None], torch.from_numpy(valid)[None]), counted


@pytest.mark.parametrize("name", [name for name in NETS if issubclass(NETS[name], PixelNet)])
def test_attributions_sum_up_to_what_changes(name):
    net, (batch, counted) = new_net(name), tile()
    found = attribute(net, batch, counted, steps=32)
    with torch.no_grad():
        known, unknown = known_and_unknown(net, batch)
        s = net.stride
        where = counted.reshape(64 // s, s, 64 // s, s).any(axis=(1, 3))  # squares that hold a counted pixel
        odds = [logits_of(net, features)[0, 0].numpy()[where].mean(dtype=np.float64) for features in (known, unknown)]
        predicted = net.predict(batch)[0, 0].double().numpy()[where]
    reads = len(feature_owners(net)) > 0
    assert np.isfinite(found.planes).all()
    assert reads == (np.abs(found.total).sum() > 0)
    if reads:
        with np.errstate(divide="ignore"):  # a net that is not trained may be sure to the last bit of float32
            said = np.log(predicted / (1 - predicted)).mean()
        if np.isfinite(said):
            assert odds[0] == pytest.approx(said, rel=1e-4, abs=1e-4), "the net that maps use"
        assert found.change == pytest.approx(odds[0] - odds[1], abs=1e-4)
        assert abs(found.total.sum() - found.change) <= max(0.01 * abs(found.change), 0.01)


def test_of_a_linear_net_it_is_weight_times_distance_from_the_unknown():
    net, (batch, counted) = new_net("llr"), tile()
    found = attribute(net, batch, counted, steps=4)
    weights = net.feature_weights()
    x, valid = batch.x[0].numpy(), batch.valid[0].numpy()
    slope = weights["slope"] * (x[1] - 20) / 10
    np.testing.assert_allclose(found.planes[1], np.where(counted & valid, slope, 0), atol=1e-5)
    radians = np.deg2rad(x[2])
    aspect = weights["aspect:north"] * np.cos(radians) + weights["aspect:east"] * np.sin(radians)
    np.testing.assert_allclose(found.planes[2], np.where(counted, aspect, 0), atol=1e-5)
    of_rock = [weights["rock=no value"], *(weights[f"rock={label}"] for label in BANDS[3].classes)]
    rock = np.array(of_rock)[x[3].astype(int)] - of_rock[0]
    np.testing.assert_allclose(found.planes[3], np.where(counted, rock, 0), atol=1e-5)
    assert found.strength[1] == pytest.approx(np.abs(slope[counted]).mean(), rel=1e-5)
    assert abs(found.error) < 1e-6


@pytest.mark.parametrize("name", ["llr", "nn", "sann", "cnn", "sacnn", "unet"])
def test_a_band_that_the_net_ignores_gets_exactly_nothing(name):
    net, (batch, counted) = new_net(name), tile()
    with torch.no_grad():
        net.first.weight[:, feature_owners(net) == 1] = 0
    found = attribute(net, batch, counted, steps=8)
    assert found.strength[1] == 0
    assert found.total[1] == 0
    assert (np.delete(found.strength, 1) > 0).all()


def test_what_is_read_uphill_counts_for_its_band():
    net = new_net("sacnn")
    names = [BANDS[i].name for i in feature_owners(net)]
    assert names == ["elevation", "slope", "aspect", "aspect", *["rock"] * 4, "slope", "aspect", "rock"]
    batch, counted = tile()
    with torch.no_grad():
        net.first.weight[:, : len(net.encode.names)] = 0
    found = attribute(net, batch, counted, steps=8)
    assert found.strength[0] == 0
    assert (found.strength[1:] > 0).all()
