"""Laws of the autoencoder: it rebuilds what it has seen, a sensor that is missing counts for nothing, and the bound
is a bound."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from series_world import series_world

from headscarp.core.errors import RecipeError
from headscarp.core.stack import feature_bands
from headscarp.nets import make_net
from headscarp.nets.losses import elbo_terms
from headscarp.tiles.reader import TileReader, make_batch
from headscarp.tiles.statistics import training_statistics
from headscarp.tiles.tiling import score_tiles
from headscarp.train.unlabelled import with_all_counted

pytestmark = pytest.mark.usefixtures("one_thread")

SIDE = 16
BANDS = feature_bands(series_world(6))


def batch_of(seed, count=24):
    stack = with_all_counted(series_world(count, seed=seed))
    tiles = [replace(score_tiles((SIDE, SIDE), SIDE, 0)[0], sample=i) for i in range(count)]
    reader = TileReader(stack, BANDS)
    return make_batch([reader.read(tile) for tile in tiles], tiles)


@pytest.fixture(scope="module")
def trained():
    torch.manual_seed(0)
    statistics = training_statistics(series_world(24), None, BANDS)
    arguments = {"place_px": SIDE, "base": 8, "latents": 4, "beta": 0.2, "frames_per_place": 0}
    net = make_net("vae", BANDS, resolution_m=30, statistics=statistics, arguments=arguments).train()
    optimiser = torch.optim.Adam(net.parameters(), 5e-3)
    batch = batch_of(0)
    for _ in range(80):
        loss = sum(net.losses(batch).values())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    net.eval()
    net.settle([batch_of(1)])
    return net


def test_held_out_frames_are_rebuilt_better_than_by_the_mean(trained):
    images, _ = trained.images(batch_of(2))
    with torch.no_grad():
        rebuilt = trained.decoded(trained.encoded(images)[0])
    there = torch.isfinite(images)
    nir = [BANDS[i].name for i in trained.read].index("nir")
    error = ((images - rebuilt)[:, nir][there[:, nir]] ** 2).mean()
    assert error < 0.5 * images[:, nir][there[:, nir]].var()


def test_a_frame_that_is_not_there_and_bands_that_are_missing_count_for_nothing(trained):
    batch = batch_of(3, 4)
    garbage = replace(batch, x=torch.where(batch.present[..., None, None, None], batch.x, 55.0))
    with torch.no_grad():
        plain, dirty = (trained.losses(b) for b in (batch, garbage))
        assert all(torch.equal(plain[name], dirty[name]) for name in plain)
        x = torch.randn(2, 3, 4, 4)
        gap = x.clone()
        gap[:, 1] = torch.nan
        rebuilt, variance, z = torch.randn(2, 3, 4, 4), torch.zeros(3), (torch.zeros(2, 2), torch.zeros(2, 2))
        two = elbo_terms(x[:, [0, 2]], rebuilt[:, [0, 2]], variance[[0, 2]], z)[0]
        torch.testing.assert_close(elbo_terms(gap, rebuilt, variance, z)[0], two)


def test_strange_ground_stands_out(trained):
    batch = batch_of(4)
    strange = replace(batch, x=batch.x + 0.3 * torch.randn(batch.x.shape))
    with torch.no_grad():
        usual, odd = (trained.predict(b)[:, 0, 0, 0] for b in (batch, strange))
    assert odd.min() > 0.9
    assert 0.2 < usual.mean() < 0.8


def test_the_kl_of_the_prior_is_nothing():
    x = torch.zeros(1, 1, 2, 2)
    log_density, kl = elbo_terms(x, x, torch.zeros(1), (torch.zeros(1, 5), torch.zeros(1, 5)))
    assert kl.item() == 0
    assert log_density.item() == pytest.approx(-4 * 0.5 * np.log(2 * np.pi), rel=1e-6)
    one = elbo_terms(x, x, torch.zeros(1), (torch.ones(1, 5), torch.zeros(1, 5)))[1]
    assert one.item() == pytest.approx(2.5)


def test_what_cannot_be_is_refused():
    statistics = training_statistics(series_world(6), None, BANDS)
    with pytest.raises(RecipeError, match="place_px"):
        make_net("vae", BANDS, resolution_m=30, statistics=statistics, arguments={"place_px": 20})
