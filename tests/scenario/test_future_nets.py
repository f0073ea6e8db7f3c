"""Laws of nets that make pictures: identity, gates, chance that belongs to places, a planted task that is learned."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from headscarp.core.band import Band
from headscarp.core.errors import RecipeError, StackError
from headscarp.core.scenarios import GENERATED, TASKS
from headscarp.core.tile import Tile, Window
from headscarp.nets import make_net
from headscarp.nets.batch import Batch
from headscarp.nets.draws import normal_draws, smooth_draws
from headscarp.nets.net import Statistics
from headscarp.nets.unet import unet_reach
from headscarp.tiles.augment import Changes, changed
from headscarp.tiles.reader import TilePixels

pytestmark = pytest.mark.usefixtures("one_thread")

BANDS = (Band("red", "continuous"), Band("nir", "continuous"), Band("slope", "continuous", "degree"))
STATISTICS = Statistics({"red": 0.1, "nir": 0.3, "slope": 20.0}, {"red": 0.05, "nir": 0.1, "slope": 10.0})
SMALL = {"base": 8, "levels": 1}
MINING, IDENTITY, NO_CHANGE, RAIN = (TASKS.index(t) for t in ("mining", "identity", "no_change", "rain"))
EACH = pytest.mark.parametrize("name", ["flow", "direct", "cgan"])
BY_CHANCE = pytest.mark.parametrize("name", ["flow", "cgan"])


def new_net(name, **more):
    torch.manual_seed(1)
    steps = {"steps": 3} if name == "flow" else {}
    return make_net(name, BANDS, resolution_m=30, statistics=STATISTICS, arguments={**SMALL, **steps, **more}).eval()


def world(count, seed, task=MINING, side=16):
    """Places whose steep ground is mined down to a slope that is drawn: there red rises and near infrared falls."""
    rng = np.random.default_rng(seed)
    slope = (
        rng.normal(20, 10, (count, 1, 1)) + np.linspace(-15, 15, side)[None, :, None] + np.zeros((count, side, side))
    )
    red, nir = 0.1 + 0.03 * rng.normal(size=slope.shape), 0.3 + 0.05 * rng.normal(size=slope.shape)
    done = slope > slope.mean(axis=(1, 2), keepdims=True) + rng.uniform(-10, 10, (count, 1, 1))
    done &= np.full((count, 1, 1), task == MINING)
    after = np.stack([red + 0.1 * done, nir - 0.15 * done], axis=1)
    x = np.stack([red, nir, slope], axis=1)
    tiles = tuple(Tile(Window(0, 0, side, side), 0, sample) for sample in range(count))
    return Batch(
        torch.tensor(x, dtype=torch.float32), torch.ones(slope.shape, dtype=torch.bool),
        y=torch.tensor(done.astype(np.uint8)), tiles=tiles, after=torch.tensor(after, dtype=torch.float32),
        task=torch.full((count,), task), metadata=torch.full((count, 4), float("nan")),
    )  # fmt: skip


@EACH
def test_identity_returns_its_input_whatever_was_learned(name):
    net, batch = new_net(name), world(2, 0, IDENTITY)
    with torch.no_grad():
        made = net.predict(batch)
    assert torch.equal(made[:, :2], batch.x[:, :2])
    assert made[:, 2].max() == 0


@EACH
def test_what_the_gate_holds_back_stays_and_what_was_not_there_is_the_mean(name):
    net, batch = new_net(name), world(1, 0)
    batch.x[0, 0, 3, 3] = float("nan")
    planes = torch.ones(1, 3, 16, 16)
    planes[:, 2, :8], planes[:, 2, 8:] = -1.0, 1.0
    made = net.composed(batch, planes)
    assert torch.equal(made[:, 1, :8], batch.x[:, 1, :8])
    assert torch.allclose(made[:, 1, 8:], batch.x[:, 1, 8:] + 0.1)
    assert made[0, 0, 3, 3] == pytest.approx(0.1)
    anywhere = net.composed(replace(batch, task=torch.tensor([NO_CHANGE])), planes)
    assert torch.allclose(anywhere[:, 1], batch.x[:, 1] + 0.1)


@EACH
def test_outputs_say_that_they_were_generated(name):
    assert all(output.name.startswith(f"{GENERATED}: ") for output in new_net(name).outputs)


@BY_CHANCE
def test_futures_differ_by_number_and_come_again_alone_or_beside_others(name):
    net, batch = new_net(name), world(2, 0)
    with torch.no_grad():
        alone, many = net.picture(batch, 2), list(net.pictures(batch, (0, 2, 5)))
    assert torch.equal(alone, many[1])
    assert not torch.equal(many[0], many[1])


def test_futures_of_flow_differ_by_place_and_those_of_cgan_are_of_one_kind():
    z = [new_net("cgan").z(number) for number in (0, 1, 0)]
    assert torch.equal(z[0], z[2])
    assert not torch.equal(z[0], z[1])
    net, batch = new_net("flow"), world(2, 0)
    batch = replace(batch, x=batch.x[:1].repeat(2, 1, 1, 1))
    with torch.no_grad():
        first, again, other = net.picture(batch, 0), net.picture(batch, 0), net.picture(batch, 1)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first[0], first[1])


@BY_CHANCE
def test_the_task_and_the_numbers_steer(name):
    net, batch = new_net(name), world(1, 0)
    with torch.no_grad():
        mined, rained = net.picture(batch, 0), net.picture(replace(batch, task=torch.tensor([RAIN])), 0)
        told = net.picture(replace(batch, metadata=torch.tensor([[300.0, 0.0, 1.0, 40.0]])), 0)
    assert not torch.equal(mined, rained)
    assert not torch.equal(mined, told)


def test_smooth_draws_belong_to_places_and_have_one_variance():
    def of(window, sample=0):
        x = torch.zeros(1, 1, window.height, window.width)
        return smooth_draws(Batch(x, x[:, 0] > 0, tiles=(Tile(window, 0, sample),)), 2, seed=4, cell_px=8)

    whole, part = of(Window(-5, 0, 60, 60)), of(Window(7, 20, 20, 30))
    assert torch.allclose(whole[..., 12:32, 20:50], part, atol=1e-6)
    assert not torch.allclose(of(Window(7, 20, 20, 30), 1), part)
    many = torch.cat([of(Window(0, 0, 24, 24), sample) for sample in range(600)])
    assert many.std(dim=0).sub(1).abs().max() < 0.2
    assert many.mean().abs() < 0.05
    assert (many[..., 3, 3] * many[..., 3, 5]).mean() > 0.5  # neighbours are alike


def test_draws_of_a_batch_are_those_of_each_of_its_tiles():
    x = torch.zeros(4, 1, 12, 20)
    places = (
        (Window(0, 0, 12, 20), 3),
        (Window(-5, 30, 12, 20), 0),
        (Window(0, 0, 12, 20), 8),
        (Window(7, 2, 12, 20), 3),
    )
    tiles = tuple(Tile(window, 0, sample) for window, sample in places)
    whole = Batch(x, x[:, 0] > 0, tiles=tiles)
    for draws in (partial(normal_draws, seed=4), partial(smooth_draws, seed=4, cell_px=8)):
        alone = [draws(Batch(x[:1], x[:1, 0] > 0, tiles=(tile,)), 3) for tile in tiles]
        assert torch.equal(draws(whole, 3), torch.cat(alone))
        assert not torch.equal(alone[0], alone[2])  # another sample


def test_reach_is_that_of_all_steps():
    assert new_net("direct").reach == -(-unet_reach(1) // 2) * 2
    assert new_net("flow").reach == 24 + 4 * new_net("direct").reach  # three steps and the guess, with those around
    assert unet_reach() == 110


def test_unknown_tasks_bands_and_numbers_are_refused():
    with pytest.raises(RecipeError, match="known: identity"):
        new_net("flow", task="war")
    with pytest.raises(StackError, match="swir9 is not among"):
        new_net("direct", change=["swir9"])
    with pytest.raises(RecipeError, match="steps is 0"):
        new_net("flow", steps=0)
    with pytest.raises(StackError, match="build scenarios"):
        new_net("flow").losses(replace(world(1, 0), after=None))
    with pytest.raises(StackError, match="no band of reflectance"):
        make_net("flow", BANDS[2:], resolution_m=30, statistics=STATISTICS)


@EACH
def test_a_bundle_knows_the_tasks_it_was_judged_by(name):
    net = new_net(name)
    assert net.known_tasks == ("identity",)
    net.settle([world(2, 0), world(1, 0, RAIN)])
    assert net.known_tasks == ("identity", "mining", "rain")


def learned(name, steps):
    net = new_net(name).train()
    optimiser = torch.optim.Adam(net.parameters(), lr=3e-3)
    for step in range(steps):
        batch = world(16, step, MINING if step % 4 else RAIN)
        optimiser.zero_grad()
        sum(net.losses(batch).values()).backward()
        optimiser.step()
    return net.eval()


def test_a_planted_task_is_learned_where_it_is_done_and_nowhere_else():
    net, batch = learned("direct", 160), world(24, 10_001)
    with torch.no_grad():
        said, other = net.predict(batch), net.predict(replace(batch, task=torch.full((24,), RAIN)))
    steep, flat = batch.x[:, 2] > 32, batch.x[:, 2] < 8
    rise = said[:, 0] - batch.x[:, 0]
    top = rise[:, -3:].mean()
    assert top > 0.05
    assert rise[:, :3].abs().mean() < 0.02
    assert (other[:, :2] - batch.x[:, :2]).abs().mean() < 0.02
    assert steep.any()
    assert flat.any()


def test_futures_of_a_planted_task_spread_as_the_truth_does():
    net = learned("flow", 260)
    batch = world(24, 10_001)
    with torch.no_grad():
        areas = torch.stack([(net.picture(batch, number)[:, -1] >= 0.5).float().mean((1, 2)) for number in range(8)])
    truth = torch.cat([(world(24, seed).y == 1).float().mean((1, 2)) for seed in range(20_000, 20_010)])
    assert areas.mean() == pytest.approx(truth.mean().item(), abs=0.12)
    assert 0.4 * truth.std() < areas.std() < 1.6 * truth.std()
    assert areas.std(dim=0).mean() > 0.35 * truth.std()  # of one place, not only between places


@pytest.mark.parametrize("wide", [1.0, 0.5])
def test_futures_are_as_wide_as_what_the_net_knows_of_chance(wide, monkeypatch):
    def step(certain, told, x, t):  # the mean of N(0, wide^2) under noise, which is all that there is to say
        t = t[:, None, None, None]
        return x * t * wide**2 / (t**2 * wide**2 + (1 - t) ** 2)

    net = new_net("flow", steps=12)
    monkeypatch.setattr(net, "_step", step)
    with torch.no_grad():
        drawn = torch.cat(list(net.imagined(world(24, 0), range(4))))
        noise = torch.cat([net._noise(world(24, 0), number)[:, :3] for number in range(4)])
    assert (drawn.std() / noise.std()).item() == pytest.approx(wide, rel=0.08)


def test_a_guess_is_the_same_for_all_futures_and_futures_do_not_change_what_it_learns():
    net, batch = new_net("flow"), world(2, 0)
    looks = []
    net.guess.register_forward_hook(lambda *_: looks.append(1))
    with torch.no_grad():
        list(net.pictures(batch, range(3)))
    assert len(looks) == 1
    losses = net.losses(batch)
    (losses["planes"] + losses["extents"]).backward()
    assert all(weight.grad is None for weight in net.guess.parameters())


def test_pictures_before_and_after_turn_together_and_are_changed_in_no_other_way():
    batch = world(1, 3)
    pixels = TilePixels(
        batch.x[0].numpy(), batch.valid[0].numpy(), batch.y[0].numpy(), after=batch.after[0].numpy(),
        task=np.int64(MINING), metadata=np.full(4, np.nan, np.float32),
    )  # fmt: skip
    for seed in range(8):
        turned = changed(pixels, BANDS, Changes(), np.random.default_rng(seed))
        rise = turned.after[0] - turned.x[0]
        assert np.array_equal(rise > 0.05, turned.y == 1)
    for changes in (Changes(zoom=1.2), Changes(light=0.1, light_bands=("red",))):
        with pytest.raises(RecipeError, match="turned and nothing else"):
            changed(pixels, BANDS, changes, np.random.default_rng(0))
