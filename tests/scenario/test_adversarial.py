"""Laws of the generator that is trained against a critic: a planted task in the right place and nowhere else, z that
says what kind of outcome it is, and a training that goes on to the same bytes wherever it was cut."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from test_future_nets import RAIN, new_net, world

from headscarp.core.errors import RecipeError
from headscarp.nets.cgan import CGAN
from headscarp.nets.critic import Critic
from headscarp.train.adversarial import make_play, step
from headscarp.train.averaging import Average
from headscarp.train.checkpoint import load_checkpoint, save_checkpoint
from headscarp.train.config import FitConfig
from headscarp.train.devices import start_fabric
from headscarp.train.standing import Standing

pytestmark = pytest.mark.usefixtures("one_thread")

FABRIC = start_fabric(FitConfig())
SETTINGS = replace(FitConfig(learning_rate=2e-3).for_loop(CGAN.schedule), average=0.9)


class OneTile:
    """A lesson whose first tile is a given batch."""

    training = (None,)
    reader = None


def new_play(monkeypatch, **more):
    monkeypatch.setattr("headscarp.train.adversarial.batches", lambda *_, **__: iter([world(1, 0)]))
    net = new_net("cgan", **more).train()
    return make_play(net, OneTile(), SETTINGS, FABRIC)


def learn(play, steps, first=0):
    for number in range(first, first + steps):
        torch.manual_seed(number)
        step(play, both_tasks(number), FABRIC, 1.0)


def both_tasks(number):
    """Twelve places that are mined and four where rain does nothing."""
    mined, rained = world(12, number), world(4, number + 5_000, RAIN)
    joined = {
        name: torch.cat([value, getattr(rained, name)])
        for name, value in vars(mined).items()
        if isinstance(value, torch.Tensor)
    }
    return replace(mined, **joined, tiles=mined.tiles + rained.tiles)


@pytest.fixture(scope="module")
def learned():
    with pytest.MonkeyPatch.context() as patch:
        torch.set_num_threads(1)
        play = new_play(patch, base=8, latents=2, kl=0.3)
        average = Average(play.net, 0.97)
        average.follow(play.by_generator)
        learn(play, 200)
    play.net.load_state_dict(average.weights)
    return play.net.eval()


def test_changing_the_task_changes_the_right_place_and_nowhere_else(learned):
    batch = world(24, 10_001)
    with torch.no_grad():
        mined = torch.stack(list(learned.pictures(batch, range(8)))).mean(dim=0)
        rained = torch.stack(list(learned.pictures(replace(batch, task=torch.full((24,), RAIN)), range(8)))).mean(dim=0)
    rise = mined[:, 0] - batch.x[:, 0]
    assert rise[:, -2:].mean() > 0.05
    assert rise[:, :2].abs().mean() < 0.02
    assert (rained[:, :2] - batch.x[:, :2]).abs().mean() < 0.02


def test_the_same_z_is_the_same_kind_of_outcome_at_different_places(learned):
    """Of two places, what goes far in one goes far in the other: areas rise and fall together from future to future."""
    batch = world(24, 10_001)
    with torch.no_grad():
        areas = torch.stack([(p[:, -1] >= 0.5).float().mean((1, 2)) for p in learned.pictures(batch, range(24))])
    apart = areas - areas.mean(dim=0)  # (futures, places)
    assert apart.std() > 0.02
    shared = apart.mean(dim=1).var() / apart.var()
    assert shared > 0.5


def test_the_critic_is_held_by_its_norm_and_sees_two_scales():
    torch.manual_seed(0)
    critic = Critic(5, 4, base=8).train()
    for _ in range(30):
        said = critic(torch.randn(2, 5, 32, 32), torch.zeros(2, 4))
    assert said[0].shape[-1] > said[1].shape[-1]
    convolutions = [m for m in critic.modules() if isinstance(m, torch.nn.Conv2d)]
    assert len(convolutions) == 8
    for layer in convolutions:
        assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1, abs=0.05)


def test_the_latent_loss_moves_the_generator_and_not_the_encoder(monkeypatch):
    play = new_play(monkeypatch, l1=0.0, kl=0.0, latent_l1=1e6)
    torch.manual_seed(0)
    step(play, world(4, 0), FABRIC, None)
    of_generator = max(float(p.grad.abs().max()) for p in play.net.parameters() if p.grad is not None)
    of_encoder = max(float(p.grad.abs().max()) for p in play.encoder.parameters())
    assert of_generator > 10
    assert of_encoder < 10


def test_all_sides_go_on_from_a_checkpoint_to_the_same_bytes(monkeypatch, tmp_path):
    whole, cut, again = (new_play(monkeypatch) for _ in range(3))
    averages = [Average(play.net, 0.9) for play in (whole, cut, again)]
    for play, average in zip((whole, cut, again), averages, strict=True):
        average.follow(play.by_generator)
    learn(whole, 4)
    learn(cut, 2)
    save_checkpoint(tmp_path, averages[1], cut.by_generator, Standing(1e-3), beside=cut.beside)
    load_checkpoint(tmp_path, averages[2], again.by_generator, beside=again.beside)
    learn(again, 2, first=2)
    for name in ("net", "encoder", "critic"):
        theirs, ours = (getattr(play, name).state_dict() for play in (whole, again))
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs), name
    assert all(torch.equal(averages[2].weights[key], averages[0].weights[key]) for key in averages[0].weights)


def test_what_cannot_be_is_refused():
    with pytest.raises(RecipeError, match="latents is 0"):
        new_net("cgan", latents=0)
    with pytest.raises(RecipeError, match="l1 is -1"):
        new_net("cgan", l1=-1)
    several = SimpleNamespace(world_size=2)
    from headscarp.train.adversarial import train_adversarially

    with pytest.raises(RecipeError, match="on one device, and there are 2"):
        train_adversarially(new_net("cgan"), OneTile(), SETTINGS, fabric=several)
    with pytest.raises(RecipeError, match="adam, not sgd"):
        train_adversarially(new_net("cgan"), OneTile(), replace(SETTINGS, optimiser="sgd"), fabric=FABRIC)


def test_the_generator_is_judged_by_a_score_that_the_truth_wins():
    """Fair CRPS: two draws of the truth are ahead of two futures that are too alike, and of two that are too far."""
    net, batch = new_net("cgan"), world(200, 3)
    planes, counts = net.pictured_of(batch)
    rng = np.random.default_rng(0)
    order = [torch.from_numpy(rng.permutation(200)) for _ in range(2)]
    truth = net.crps([planes[k] for k in order], planes, counts)
    middle = planes.mean(dim=0, keepdim=True).expand_as(planes)
    assert truth < net.crps([middle, middle], planes, counts)
    assert truth < net.crps([planes[k] * 2 for k in order], planes, counts)
