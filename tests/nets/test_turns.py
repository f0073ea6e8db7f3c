"""Laws of maps as means over turns: they turn with the ground, tiled equals whole, engines agree."""

import numpy as np
import pytest
import torch

from headscarp.core.band import Band
from headscarp.core.errors import RecipeError
from headscarp.core.tile import Tile, Window
from headscarp.nets import make_net
from headscarp.nets.batch import Batch
from headscarp.nets.net import Statistics, losses_and_prediction
from headscarp.nets.turns import LOOKS, mean_over_turns, turned
from headscarp.prediction.engines import ENGINES, make_engine
from headscarp.tiles.augment import augment
from headscarp.tiles.reader import TilePixels

pytestmark = pytest.mark.usefixtures("one_thread")

BANDS = (
    Band("elevation", "continuous", "m"),
    Band("aspect", "direction", "degree"),
    Band("rock", "categorical", classes=("marl", "flysch")),
)
STATISTICS = Statistics({"elevation": 500.0}, {"elevation": 80.0}, prevalence=0.3)
ARGUMENTS = {"unet": {"base": 4}, "deeplab": {"window_px": 32, "encoder": "tu-resnet10t", "detail": 4}}
BOTH = pytest.mark.parametrize("name", list(ARGUMENTS))


class Drawn:
    """A generator whose draws are chosen."""

    def __init__(self, *draws):
        self.draws = list(draws)

    def integers(self, _):
        return self.draws.pop(0)


def new_net(name, turns):
    torch.manual_seed(2)
    arguments = {**ARGUMENTS[name], "turns": turns}
    return make_net(name, BANDS, resolution_m=10, statistics=STATISTICS, arguments=arguments).eval()


def ground(height, width, seed=0):
    g = np.random.default_rng(seed)
    layers = g.normal(500, 80, (height, width)), g.uniform(0, 360, (height, width)), g.integers(0, 3, (height, width))
    x, valid = np.stack(layers).astype(np.float32), g.random((height, width)) > 0.05
    x[:2, ~valid], x[2, ~valid] = np.nan, 0
    return x, valid


def batch_of(x, valid, *tiles):
    return Batch(x=torch.from_numpy(x.copy())[None], valid=torch.from_numpy(valid.copy())[None], tiles=tiles)


@BOTH
@pytest.mark.parametrize(("quarter", "flip"), LOOKS[8])
def test_the_map_of_turned_ground_is_the_turned_map(name, quarter, flip):
    net, batch = new_net(name, 8), batch_of(*ground(32, 32))
    with torch.no_grad():
        there = net.predict(turned(batch, BANDS, quarter, flip))
        wanted = net.predict(batch)
    wanted = torch.rot90(wanted.flip(-1) if flip else wanted, quarter, dims=(-2, -1))
    torch.testing.assert_close(there, wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("quarter", "flip"), LOOKS[8])
def test_ground_is_turned_as_training_tiles_are(quarter, flip):
    x, valid = ground(8, 8)
    wanted = augment(TilePixels(x, valid, np.zeros((8, 8), np.uint8)), BANDS, Drawn(quarter, flip))
    found = turned(batch_of(x, valid), BANDS, quarter, flip)
    np.testing.assert_allclose(found.x[0].numpy(), wanted.x, atol=1e-3)
    np.testing.assert_array_equal(found.valid[0].numpy(), wanted.valid)


@pytest.mark.parametrize("turns", list(LOOKS))
def test_what_does_not_care_for_turns_is_itself_and_groups_are_complete(turns):
    batch = batch_of(*ground(16, 32))
    one = mean_over_turns(lambda b: b.x[:, :1], batch, BANDS, turns)
    torch.testing.assert_close(one, batch.x[:, :1], equal_nan=True)
    seen = []
    mean_over_turns(lambda b: (seen.append(b.x[:, :1].nan_to_num().numpy().tobytes()), b.x)[1], batch, BANDS, turns)
    assert len(set(seen)) == len(LOOKS[turns]) == turns


@BOTH
def test_one_look_is_the_net_itself_and_losses_have_one(name):
    one, many = new_net(name, 1), new_net(name, 4)
    x, valid = ground(32, 32)
    batch = batch_of(x, valid)
    labelled = Batch(x=batch.x, valid=batch.valid, y=(batch.valid & (batch.x[:, 2] == 2)).to(torch.uint8))
    with torch.no_grad():
        plain = torch.sigmoid(one.logits(batch))
        assert torch.equal(one.predict(batch), plain)
        assert not torch.equal(many.predict(batch), plain)
        losses, said = losses_and_prediction(many, labelled)
        assert torch.equal(said, plain)
        assert losses["nll"] == one.losses(labelled)["nll"]


@BOTH
@pytest.mark.parametrize("turns", [4, 8])
def test_tiled_equals_whole(name, turns):
    net, (x, valid) = new_net(name, turns), ground(80, 64)
    halo = -(-net.reach // net.align) * net.align
    pad = 3 * halo
    mirrored = np.pad(x, ((0, 0), (pad, pad), (pad, pad)), mode="reflect")
    inside = np.pad(valid, pad)

    def predicted(tile):
        at, inner = tile.read_window, np.s_[0, 0, halo : halo + tile.window.height, halo : halo + tile.window.width]
        part = np.s_[at.row + pad : at.row + pad + at.height, at.col + pad : at.col + pad + at.width]
        return net.predict(batch_of(mirrored[:, *part], inside[part], tile))[inner]

    with torch.no_grad():
        whole = predicted(Tile(Window(0, 0, 80, 64), halo))
        for row, height in ((0, 48), (48, 32)):
            for col in (0, 32):
                made = predicted(Tile(Window(row, col, height, 32), halo))
                torch.testing.assert_close(made, whole[row : row + height, col : col + 32], atol=1e-5, rtol=0)


@BOTH
@pytest.mark.parametrize("engine", sorted(ENGINES))
def test_engines_take_the_same_mean(name, engine):
    net, batch = new_net(name, 8), batch_of(*ground(48, 32))
    with torch.inference_mode():
        wanted = net.predict(batch)[0].numpy()
    found = make_engine(engine, net)(batch)
    np.testing.assert_allclose(found, wanted, atol=1e-3 if engine == "openvino" else 1e-5)


@BOTH
def test_turns_that_are_no_group_are_refused(name):
    with pytest.raises(RecipeError, match="1, 2, 4, 8"):
        new_net(name, 3)
    assert new_net(name, 8).arguments()["turns"] == 8
