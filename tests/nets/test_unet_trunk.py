"""The U-Net's receptive field is exactly as far as its tiles assume, and its shape is the paper's."""

import pytest
import torch
from torch import nn

from headscarp.core.band import Band
from headscarp.core.errors import StackError
from headscarp.nets import make_net
from headscarp.nets.batch import Batch
from headscarp.nets.net import Statistics
from headscarp.nets.unet import ALIGN, DOWN, UP, UNetTrunk, unet_reach


def test_the_reach_is_how_far_the_gradient_gets():
    """With weights above 0 and averages for maxima, nothing cancels: what has a gradient is what is seen."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    first, trunk = nn.Conv2d(1, DOWN[0], 3, padding=1).double(), UNetTrunk(0.1).double()
    for stage in trunk.down:
        stage[0] = nn.AvgPool2d(2)
    for parameter in (*first.parameters(), *trunk.parameters()):
        parameter.data.abs_()
    side, furthest = 2 * 128 + ALIGN, 0
    x = torch.rand(1, 1, side, side, dtype=torch.float64, requires_grad=True)
    logits = trunk(first(x))
    for place in (0, 3, 12, 15):
        (gradient,) = torch.autograd.grad(logits[0, 0, 128 + place, 128 + place], x, retain_graph=True)
        seen = (gradient[0, 0] != 0).nonzero()
        assert 0 < seen.min() < seen.max() < side - 1, "the test's tile is too small"
        furthest = max(furthest, 128 - int(seen.min()), int(seen.max()) - (128 + ALIGN - 1))
    torch.set_num_threads(before)
    assert furthest == unet_reach()


def test_the_stages_are_those_of_the_paper():
    trunk = UNetTrunk(0.1)
    assert (DOWN, UP) == ((16, 32, 64, 128, 128), (64, 32, 16, 16))
    assert [m.out_channels for m in trunk.modules() if isinstance(m, nn.Conv2d)] == [
        16, 32, 32, 64, 64, 128, 128, 128, 128, 64, 64, 32, 32, 16, 16, 16, 16, 1,
    ]  # fmt: skip
    assert trunk(torch.zeros(1, 16, 32, 48)).shape == (1, 1, 32, 48)


def test_a_tile_that_does_not_halve_four_times_is_refused():
    net = make_net("cnn", [Band("rock", "categorical", classes=("a",))], resolution_m=10, statistics=Statistics())
    with pytest.raises(StackError, match="multiples of 16"):
        net.predict(Batch(torch.zeros(1, 1, 40, 48), torch.ones(1, 40, 48, dtype=torch.bool)))
