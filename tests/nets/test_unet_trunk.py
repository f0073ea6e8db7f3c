"""The U-Nets' receptive field is exactly as far as their tiles assume, and their shapes are those of their sources."""

import pytest
import torch
from torch import nn

from headscarp.core.band import Band
from headscarp.core.errors import RecipeError, StackError
from headscarp.nets import make_net
from headscarp.nets.batch import Batch
from headscarp.nets.net import Statistics
from headscarp.nets.unet import ALIGN, DOWN, UP, UNetTrunk, batch_norm, unet_reach


@pytest.mark.parametrize(
    "settings",
    [{}, {"down": (2, 4, 8, 16, 32), "up": (16, 8, 4, 2), "norm": batch_norm}, {"skips": 0}],
    ids=["cnn", "unet", "no skips"],
)
def test_the_reach_is_how_far_the_gradient_gets(settings):
    """With weights above 0 and averages for maxima, nothing cancels: what has a gradient is what is seen."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    trunk = UNetTrunk(0.1, **settings).double().eval()
    first = nn.Conv2d(1, settings.get("down", DOWN)[0], 3, padding=1).double()
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


def test_the_unet_is_that_of_the_dem_workflow():
    net = make_net("unet", [Band("rock", "categorical", classes=("a",))], resolution_m=10, statistics=Statistics())
    assert [m.out_channels for m in net.trunk.modules() if isinstance(m, nn.Conv2d)] == [
        32, 64, 64, 128, 128, 256, 256, 512, 512, 256, 256, 128, 128, 64, 64, 32, 32, 1,
    ]  # fmt: skip
    convolutions = [m for m in net.trunk.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
    norms = [m for m in net.trunk.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) == 1 + len(convolutions), "one behind each 3x3 convolution, the first layer included"
    assert all(m.bias is None for m in convolutions)
    with pytest.raises(RecipeError, match="base is 0"):
        make_net("unet", net.bands, resolution_m=10, statistics=Statistics(), arguments={"base": 0})


def test_what_stands_under_invalid_pixels_leaves_the_batch_statistics_alone():
    """The reader wipes them: in training as in maps only where they are can be seen, never what they held."""
    band = Band("slope", "continuous", "degree")
    statistics = Statistics({"slope": 20.0}, {"slope": 10.0}, 0.3)
    torch.manual_seed(0)
    x = 20 + 10 * torch.randn(2, 1, 32, 32)
    valid = torch.rand(2, 32, 32) > 0.2
    y = torch.where(valid, (torch.rand(2, 32, 32) < 0.3).byte(), 255)
    wiped = torch.where(valid[:, None], x, torch.nan)
    mean = torch.where(valid[:, None], x, torch.tensor(20.0))
    losses, means = [], []
    for pixels in (wiped, mean):
        torch.manual_seed(1)
        net = make_net("unet", [band], resolution_m=10, statistics=statistics, arguments={"base": 2}).train()
        losses.append(sum(net.losses(Batch(pixels, valid, y)).values()).item())
        means.append(torch.cat([m.running_mean for m in net.modules() if isinstance(m, nn.BatchNorm2d)]))
    assert losses[0] == losses[1]
    assert torch.equal(*means)


def test_a_tile_that_does_not_halve_four_times_is_refused():
    net = make_net("cnn", [Band("rock", "categorical", classes=("a",))], resolution_m=10, statistics=Statistics())
    with pytest.raises(StackError, match="multiples of 16"):
        net.predict(Batch(torch.zeros(1, 1, 40, 48), torch.ones(1, 40, 48, dtype=torch.bool)))
