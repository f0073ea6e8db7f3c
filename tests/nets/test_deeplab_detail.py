"""The last stage at full resolution: what is one pixel wide can be told, and every weight learns."""

import numpy as np
import pytest
import torch

from headscarp.core.band import Band
from headscarp.core.errors import RecipeError
from headscarp.nets import make_net
from headscarp.nets.batch import Batch
from headscarp.nets.net import Statistics

BANDS = (Band("red", "continuous"),)


def net_with(detail):
    torch.manual_seed(0)
    arguments = {"window_px": 32, "detail": detail}
    statistics = Statistics({"red": 0.0}, {"red": 1.0}, prevalence=0.5)
    return make_net("deeplab", BANDS, resolution_m=10, statistics=statistics, arguments=arguments)


def speckles(seed=0):
    """Chips of single pixels that their neighbours do not tell, and their signs as labels."""
    x = np.random.default_rng(seed).choice([-1.0, 1.0], size=(4, 1, 32, 32)).astype(np.float32)
    batch_y = torch.from_numpy((x[:, 0] > 0).astype(np.uint8))
    return Batch(torch.from_numpy(x), torch.ones(4, 32, 32, dtype=torch.bool), batch_y)


def test_single_pixels_are_told_with_it_and_not_without():
    net, x = net_with(8), speckles()
    turned = torch.where(torch.arange(32 * 32).view(32, 32) == 16 * 32 + 17, -x.x, x.x)
    with torch.no_grad():
        change = (net.eval().logits(x) - net.logits(Batch(turned, x.valid)))[:, 0].abs()
        plain = net_with(0).eval()
        coarse = (plain.logits(x) - plain.logits(Batch(turned, x.valid)))[:, 0].abs()
    near, wide = (slice(None), slice(14, 19), slice(15, 20)), (slice(None), slice(0, 8))
    assert change[near].mean() > 20 * change[wide].mean()
    assert coarse[near].mean() < 5 * coarse[wide].mean()


def test_every_weight_learns_and_the_last_layers_begin_at_the_prevalence():
    net = net_with(8)
    sum(net.losses(speckles()).values()).backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []
    assert net.arguments()["detail"] == 8
    again = make_net(
        "deeplab", BANDS, resolution_m=10, statistics=Statistics({"red": 0}, {"red": 1}), arguments=net.arguments()
    )
    again.load_state_dict(net.state_dict())
    with torch.no_grad():
        assert torch.equal(again.eval().predict(speckles()), net.eval().predict(speckles()))


def test_a_negative_detail_is_refused():
    with pytest.raises(RecipeError, match="detail is -1"):
        net_with(-1)
