"""Laws of the anomaly net: what it has not learned stands out, by a rank among normal ground; labels are not used."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from headscarp.core.band import Band
from headscarp.core.errors import RecipeError
from headscarp.core.tile import Tile, Window
from headscarp.nets import make_net
from headscarp.nets.batch import Batch
from headscarp.nets.net import Statistics

BANDS = (Band("a", "continuous"), Band("b", "continuous"))
STATISTICS = Statistics({"a": 0.0, "b": 0.0}, {"a": 1.0, "b": 1.0}, 0.5)
SIDE = 64


def new_net(**arguments):
    torch.manual_seed(0)
    arguments = {"base": 4, "sigma": 0.3, **arguments}
    return make_net("anomaly", BANDS, resolution_m=10.0, statistics=STATISTICS, arguments=arguments)


def waves(seed, count=4):
    """Two bands of smooth waves; where they come from is all that is normal here."""
    rng = np.random.default_rng(seed)
    row, col = np.mgrid[:SIDE, :SIDE] / 8.0
    x = np.stack(
        [
            [np.sin(row + p) + np.cos(col + q), np.sin(row + p) - np.cos(col + q)]
            for p, q in rng.uniform(0, 6, (count, 2))
        ]
    )
    tiles = tuple(Tile(Window(0, SIDE * i, SIDE, SIDE), id=str(i)) for i in range(count))
    valid = torch.ones(count, SIDE, SIDE, dtype=torch.bool)
    return Batch(torch.tensor(x, dtype=torch.float32), valid, torch.zeros(count, SIDE, SIDE, dtype=torch.uint8), tiles)


ORIGINAL = {"skips": 4, "loss": "ssim", "residual": "ssim"}


@pytest.fixture(scope="module", params=[{}, {"residual": "absolute"}, ORIGINAL], ids=["ours", "absolute", "original"])
def trained(request):
    net = new_net(**request.param).train()
    optimiser = torch.optim.Adam(net.parameters(), 5e-3)
    for step in range(60):
        loss = sum(net.losses(waves(step)).values())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    net.eval()
    net.settle([waves(1000), waves(1001)])
    return net


def test_what_is_planted_stands_out(trained):
    """A square that is too bright by differences; one of another texture by SSIM, which is made for it."""
    batch = waves(2000)
    texture = torch.tensor(np.random.default_rng(0).normal(0, 1.5, (4, 2, 16, 16)), dtype=torch.float32)
    batch.x[:, :, 20:36, 20:36] = texture if trained.residual == "ssim" else 5.0
    with torch.no_grad():
        score = trained.predict(batch)[:, 0]
    planted = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    planted[22:34, 22:34] = True
    far = torch.ones(SIDE, SIDE, dtype=torch.bool)
    far[10:46, 10:46] = False
    assert score[:, planted].mean() > score[:, far].mean() + 0.3
    assert (score >= trained.own_threshold)[:, planted].float().mean() > 0.5


def test_scores_of_normal_ground_are_ranks(trained):
    with torch.no_grad():
        score = trained.predict(waves(1000))
    shares = [(score <= level).float().mean().item() for level in (0.25, 0.5, 0.75)]
    assert np.allclose(shares, (0.25, 0.5, 0.75), atol=0.12)


def test_what_all_bands_do_together_counts_less_than_a_band_that_leaves_the_others():
    """A net that gives 0 has x itself for a residual. Light is shared by both bands, up to a tenth of it."""
    rng = np.random.default_rng(0)
    batch = waves(0)
    light = torch.tensor(rng.normal(0, 1, (4, 1, SIDE, SIDE)), dtype=torch.float32)
    batch.x[:] = light + 0.1 * torch.tensor(rng.normal(0, 1, batch.x.shape), dtype=torch.float32)
    together, apart = torch.tensor([1.0, 1.0]), torch.tensor([1.0, -1.0])
    planted = [replace(batch, x=batch.x + shift[None, :, None, None]) for shift in (together, apart)]
    found = {}
    for residual in ("whitened", "absolute"):
        net = new_net(residual=residual).eval()
        net.trunk.last.weight.data.zero_()
        net.trunk.last.bias.data.zero_()
        net.settle([batch])
        with torch.no_grad():
            found[residual] = [net.residuals(b).mean().item() for b in (*planted, batch)]
    assert found["whitened"][1] > 1.2 * found["whitened"][0] > 1.2 * found["whitened"][2]
    assert found["absolute"][1] == pytest.approx(found["absolute"][0], rel=0.02)


def test_whitened_residuals_have_a_mean_square_just_below_one():
    """By shrinkage; without it, it would be 1 on what it was settled on."""
    batch, net = waves(0), new_net().eval()
    net.settle([batch])
    with torch.no_grad():
        difference = net.encode(batch.x) - net._rebuilt(net.encode(batch.x), batch)
        squares = torch.einsum("df,bfhw->bdhw", net.whiten, difference).square().mean().item()
    assert 0.5 < squares < 1


def test_without_skips_all_that_is_rebuilt_comes_from_the_coarsest_stage():
    net, batch = new_net().eval(), waves(0)
    net.trunk.down[-1].register_forward_hook(lambda module, given, made: torch.zeros_like(made))
    with torch.no_grad():
        rebuilt = net._rebuilt(net.encode(batch.x), batch)
        with_skips = new_net(skips=1).eval()
        with_skips.trunk.down[-1].register_forward_hook(lambda module, given, made: torch.zeros_like(made))
        assert with_skips._rebuilt(with_skips.encode(batch.x), batch)[0].std() > 0
    torch.testing.assert_close(rebuilt[0], rebuilt[1])


def test_labels_only_tell_which_tiles_are_contaminated():
    net, batch = new_net().eval(), waves(0)
    plain = net.losses(batch)["1 - ssim"]
    batch.y[0, :8] = 1
    assert torch.equal(net.losses(batch)["1 - ssim"], plain), "a few known slides change nothing"
    batch.y[0] = 1
    assert not torch.equal(net.losses(batch)["1 - ssim"], plain), "a tile full of them counts for nothing"
    batch.y[:] = 1
    assert net.losses(batch)["1 - ssim"] == 0


def test_what_cannot_be_is_refused():
    with pytest.raises(RecipeError, match="percentile"):
        new_net(percentile=120)
    with pytest.raises(RecipeError, match="skips"):
        new_net(skips=5)
    with pytest.raises(RecipeError, match="loss"):
        new_net(loss="mse")
    with pytest.raises(RecipeError, match="residual"):
        new_net(residual="squared")
