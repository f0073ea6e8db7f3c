"""Laws of how bands stand among those around: by hand, whatever the units, in tiles as in the whole."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from test_future_nets import BANDS, STATISTICS, new_net, world

from headscarp.core.errors import StackError
from headscarp.core.tile import Tile, Window
from headscarp.nets.layers import StandsAround, mean_within

pytestmark = pytest.mark.usefixtures("one_thread")

EACH = pytest.mark.parametrize("name", ["flow", "direct", "cgan"])


def test_means_within_squares_are_those_by_hand_and_are_cut_at_the_edges():
    z = np.random.default_rng(0).normal(size=(9, 7))
    made = mean_within(torch.tensor(z)[None, None], 2)[0, 0].numpy()
    for row, col in ((0, 0), (4, 3), (8, 6), (1, 5)):
        square = z[max(row - 2, 0) : row + 3, max(col - 2, 0) : col + 3]
        assert made[row, col] == pytest.approx(square.mean())


def test_what_is_highest_here_stands_high_in_whatever_units_and_flat_ground_stands_nowhere():
    z = torch.zeros(1, 2, 40, 40)
    z[0, 1, 20, 20] = 3.0
    stands = StandsAround([0, 1])
    made = stands(z)
    assert made.shape == (1, 4, 40, 40)
    assert made[0, [0, 2]].abs().max() < 1e-6
    assert made[0, 1].argmax() == made[0, 3].argmax() == 20 * 40 + 20
    assert made[0, 1, 20, 20] > 20  # alone among 1600
    other = stands(z * 10 + 500)
    torch.testing.assert_close(other[0, 1, 20, 20], made[0, 1, 20, 20], rtol=0.25, atol=0)


@EACH
def test_tiles_equal_the_whole_with_bands_that_stand_around(name):
    net, whole = new_net(name, around=["red", "slope"]), world(1, 0, side=216)
    assert net.arguments()["around"] == ["red", "slope"]
    assert net.reach <= 96
    tile = Tile(Window(100, 100, 16, 16), 96, sample=0)
    cut = replace(whole, x=whole.x[..., 4:212, 4:212], valid=whole.valid[..., 4:212, 4:212], tiles=(tile,))
    with torch.no_grad():
        one, other = net.picture(whole, 2)[..., 100:116, 100:116], net.picture(cut, 2)[..., 96:112, 96:112]
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@EACH
def test_nothing_stands_around_unless_asked_for_and_only_what_is_there(name):
    plain, reads = new_net(name), new_net(name, around=["nir"])
    assert "around" not in plain.arguments()
    assert plain.state_dict().keys() == reads.state_dict().keys()
    assert reads.features(world(1, 0)).shape[1] == plain.features(world(1, 0)).shape[1] + 2
    assert {band.name for band in BANDS} == set(STATISTICS.mean)
    with pytest.raises(StackError, match="around names blue"):
        new_net(name, around=["blue"])
