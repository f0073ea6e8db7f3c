"""Laws of the spectral score: a share of the ground, the lowest rank of what is there, and nothing of holes."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from headscarp.core.band import Band
from headscarp.core.errors import RecipeError, StackError
from headscarp.nets.batch import Batch
from headscarp.nets.net import Statistics
from headscarp.nets.spectral import Spectral

BANDS = (
    Band("ndvi_change", "continuous", optional=True),
    Band("rock", "categorical", classes=("marl",)),
    Band("after_redness", "continuous"),
)
STATISTICS = Statistics({"ndvi_change": -0.1, "after_redness": 0.3}, {"ndvi_change": 0.2, "after_redness": 0.1})
BOTH = ("-ndvi_change", "after_redness")


def ground(seed=0, holes=0.3):
    """Two tiles of 40 x 50 with some ground that is not valid, and holes in the change."""
    g = np.random.default_rng(seed)
    x = np.stack([g.normal(-0.1, 0.2, (2, 40, 50)), g.integers(0, 2, (2, 40, 50)), g.gamma(2, 0.1, (2, 40, 50))], 1)
    x[:, 0][g.random((2, 40, 50)) < holes] = np.nan
    valid = g.random((2, 40, 50)) > 0.1
    x[:, ::2].swapaxes(0, 1)[:, ~valid] = np.nan
    return Batch(torch.from_numpy(x.astype("float32")), torch.from_numpy(valid))


def settled(batch, of=BOTH, **options):
    net = Spectral(BANDS, resolution_m=10, statistics=STATISTICS, of=of, **options).eval()
    net.settle([batch])
    return net


def score(net, batch):
    with torch.no_grad():
        return net.predict(batch)[:, 0]


def test_the_score_is_the_share_of_the_ground_that_stands_out_less():
    batch = ground()
    found = score(settled(batch), batch)[batch.valid].numpy()
    for share in (0.1, 0.5, 0.9, 0.99):
        assert (found < share).mean() == pytest.approx(share, abs=0.01)


def test_fewer_bands_make_no_higher_score():
    batch = ground()
    unseen = ~batch.x[:, 0].isfinite()
    found = score(settled(batch), batch)
    shares = [float((found[where & batch.valid] > 0.9).float().mean()) for where in (unseen, ~unseen)]
    assert shares == pytest.approx([0.1, 0.1], abs=0.03)


def test_standing_out_more_never_lowers_the_score():
    batch = ground()
    net = settled(batch)
    for channel, step in ((0, -0.05), (2, 0.05)):
        more = batch.x.clone()
        more[:, channel] += step
        gain = score(net, replace(batch, x=more)) - score(net, batch)
        assert gain[batch.valid].min() >= 0
        assert gain.max() > 0


def test_where_the_change_was_not_seen_the_rest_decides():
    batch = ground()
    net = settled(batch)
    hole = ~batch.x[:, 0].isfinite() & batch.valid
    for value in (torch.nan, torch.inf, -torch.inf):
        other = batch.x.clone()
        other[:, 0] = torch.where(hole, value, other[:, 0])
        assert torch.equal(score(net, replace(batch, x=other)), score(net, batch))
    alone = score(settled(batch, ["after_redness"]), batch)
    assert (score(net, batch) - alone)[hole].abs().max() < 2e-3
    seen = batch.x.clone()
    seen[:, 0][hole] = 1e3
    assert (score(net, replace(batch, x=seen))[hole] == 0).all()


def test_units_and_signs_do_not_matter():
    batch = ground()
    turned = batch.x.clone()
    turned[:, 0] = 5 - 3 * turned[:, 0]
    turned[:, 2] *= 1e4
    other = replace(batch, x=turned)
    same = score(settled(other, ("ndvi_change", "after_redness")), other) - score(settled(batch), batch)
    assert same.abs().max() < 1e-3


def test_where_nothing_is_there_nothing_stands_out():
    batch = ground()
    found = score(settled(batch), replace(batch, x=torch.full_like(batch.x, torch.nan)))
    assert (found == 0).all()


def test_before_any_pixel_is_seen_ranks_are_those_of_the_normal_distribution():
    net = Spectral(BANDS, resolution_m=10, statistics=STATISTICS, of=["after_redness"])
    net.settle([])
    at = torch.tensor([0.3, 0.3 - 0.1, 0.3 + 0.1])
    x = torch.zeros(1, 3, 1, 3)
    x[0, 2, 0] = at
    expected = torch.distributions.Normal(0.0, 1.0).cdf((at - 0.3) / 0.1)
    assert (score(net, Batch(x, torch.ones(1, 1, 3, dtype=torch.bool)))[0, 0] - expected).abs().max() < 1e-3


def test_bands_that_change_are_taken_where_none_is_named():
    net = Spectral(BANDS, resolution_m=10, statistics=STATISTICS, percentile=90)
    assert net.arguments() == {"of": ["ndvi_change"], "percentile": 90.0}
    assert net.own_threshold == 0.9
    with pytest.raises(StackError, match=r"reads bands that end in _change.*after_redness"):
        Spectral(BANDS[1:], resolution_m=10, statistics=STATISTICS)
    with pytest.raises(StackError, match=r"reads -rock"):
        Spectral(BANDS, resolution_m=10, statistics=STATISTICS, of=["-rock"])
    with pytest.raises(RecipeError, match="at most 6"):
        Spectral(BANDS, resolution_m=10, statistics=STATISTICS, of=["after_redness"] * 7)
    with pytest.raises(RecipeError, match="0 to 100"):
        Spectral(BANDS, resolution_m=10, statistics=STATISTICS, percentile=101)
