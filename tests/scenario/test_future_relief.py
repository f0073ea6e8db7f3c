"""Laws of how the ground lies: shares by hand, the same at any height, and tiles that equal the whole."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from test_future_nets import BANDS, STATISTICS, world

from headscarp.core.band import Band
from headscarp.core.errors import StackError
from headscarp.core.tile import Tile, Window
from headscarp.nets import make_net
from headscarp.nets.net import Statistics
from headscarp.nets.relief import Relief, share_lower

pytestmark = pytest.mark.usefixtures("one_thread")

EACH = pytest.mark.parametrize("name", ["flow", "direct", "cgan"])
HILLY = (*BANDS, Band("elevation", "continuous", "m"))
HEIGHTS = Statistics({**STATISTICS.mean, "elevation": 500.0}, {**STATISTICS.std, "elevation": 400.0})


def new_net(name, bands=HILLY, **more):
    torch.manual_seed(1)
    steps = {"steps": 2} if name == "flow" else {}
    return make_net(
        name, bands, resolution_m=30, statistics=HEIGHTS, arguments={"base": 8, "levels": 1, **steps, **more}
    ).eval()


def hills(side, seed=0):
    rough = torch.randn(1, 1, side, side, generator=torch.Generator().manual_seed(seed)).cumsum(2).cumsum(3)
    return rough / rough.std()


def hilly(batch):
    z = 800 + 150 * hills(batch.x.shape[-1])
    return replace(batch, x=torch.cat([batch.x, z.expand(len(batch.x), -1, -1, -1).float()], dim=1))


def test_the_share_that_is_lower_is_that_by_hand():
    z = hills(12)
    made = share_lower(z, 6, every=3, level=torch.tensor([1e-6]))[0, 0]
    for row, col in ((0, 0), (5, 7), (11, 3)):
        around = [z[0, 0, row + i, col + j] for i in range(-6, 7, 3) for j in range(-6, 7, 3)
                  if 0 <= row + i < 12 and 0 <= col + j < 12]  # fmt: skip
        here = z[0, 0, row, col]
        assert made[row, col].item() == pytest.approx(
            np.mean([torch.sign(here - other).item() for other in around]), abs=1e-5
        )


def test_of_a_whole_place_it_is_the_rank_of_each_height():
    z = hills(32)
    made = (share_lower(z, 33, every=3, level=torch.tensor([1e-6])) + 1) / 2
    rank = (z.flatten()[:, None] > z.flatten()).float().mean(dim=1).view(32, 32)
    assert (made[0, 0] - rank).abs().mean() < 0.03


def test_the_ground_lies_the_same_at_the_sea_and_on_a_plateau_and_level_ground_nowhere():
    layer, z = Relief(0, 400.0), hills(40) * 0.5
    assert torch.allclose(layer(z), layer(z + 7), atol=2e-2)
    level = layer(torch.full((1, 1, 40, 40), 3.0))
    assert level[:, [0, 9, 10]].abs().max() < 1e-5


def test_a_pit_lies_below_what_is_near_and_a_peak_above():
    z = torch.zeros(1, 1, 60, 60)
    z[0, 0, 20, 20], z[0, 0, 40, 40] = -0.1, 0.1
    made = Relief(0, 400.0)(z)[0]
    assert made.shape == (Relief.planes, 60, 60)
    assert (made[-2:, 20, 20] < -1).all()
    assert (made[-2:, 40, 40] > 1).all()


@EACH
def test_tiles_equal_the_whole_where_relief_is_read(name):
    net, whole = new_net(name, relief=True), hilly(world(1, 0, side=216))
    assert net.arguments()["relief"] is True
    tile = Tile(Window(100, 100, 16, 16), 96, sample=0)
    cut = replace(whole, x=whole.x[..., 4:212, 4:212], valid=whole.valid[..., 4:212, 4:212], tiles=(tile,))
    assert net.reach <= 96
    with torch.no_grad():
        one, other = net.picture(whole, 2)[..., 100:116, 100:116], net.picture(cut, 2)[..., 96:112, 96:112]
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@EACH
def test_relief_is_read_only_where_asked_for_and_needs_heights(name):
    plain, reads = new_net(name), new_net(name, relief=True)
    batch = hilly(world(1, 0, side=40))
    assert "relief" not in plain.arguments()
    assert not any(key.startswith("relief") for key in plain.state_dict())
    assert reads.features(batch).shape[1] == plain.features(batch).shape[1] + Relief.planes
    with pytest.raises(StackError, match="relief is read from a band 'elevation'"):
        new_net(name, bands=BANDS, relief=True)
