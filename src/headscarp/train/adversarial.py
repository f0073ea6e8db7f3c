"""The training loop of `cgan`, to be read in one go: a generator and a critic in turn, after BicycleGAN.

Epochs, validation, best weights, log and checkpoints are those of `loop`; what is its own is the step. It refuses
several devices, and to go on from a loss that is not finite.
"""

import functools
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from headscarp.core.errors import RecipeError, TrainingError
from headscarp.core.progress import Progress
from headscarp.nets.batch import Batch
from headscarp.nets.cgan import CGAN
from headscarp.nets.critic import Critic, Encoder
from headscarp.nets.joint import ForecastJudge
from headscarp.nets.net import Net
from headscarp.tiles.sampling import batches
from headscarp.train.averaging import Average
from headscarp.train.config import Settings
from headscarp.train.joint import judge_beside
from headscarp.train.lesson import Lesson, changes_of, drawn_tiles
from headscarp.train.log import EpochLog
from headscarp.train.loop import Kept, run_epochs
from headscarp.train.rates import step_rate
from headscarp.train.standing import Standing, check_finite

BETAS = (0.5, 0.999)
_LOOK_EVERY = 10


def train_adversarially(
    net: Net,
    lesson: Lesson,
    settings: Settings,
    *,
    fabric: Fabric,
    folder: Path | None = None,
    told: EpochLog | None = None,
    label: str = "training",
) -> Standing:
    """Trains a generator in place, as `loop.train` does any other net, against a critic and beside an encoder that are
    forgotten in the end. It keeps the average weights of the epoch of lowest fair CRPS on the validation part.

    Raises RecipeError for several devices, TrainingError where a loss is not finite or nothing counts.
    """
    assert isinstance(net, CGAN)
    if fabric.world_size > 1:
        raise RecipeError(
            f"an adversarial net trains on one device, and there are {fabric.world_size}; say devices = 1"
        )
    if settings.optimiser != "adam":
        raise RecipeError(f"an adversarial net trains with adam, not {settings.optimiser}; leave optimiser out")
    play = make_play(net, lesson, settings, fabric)
    average = Average(net, settings.average)
    average.follow(play.by_generator)

    def learn(standing: Standing, bar: Progress) -> tuple[float, float]:
        return _learn(play, lesson, settings, fabric, standing, bar)

    kept = Kept(average, play.by_generator, play.beside)
    return run_epochs(
        net, learn, lesson, settings, kept=kept, fabric=fabric, folder=folder, told=told, label=label, figure="CRPS"
    )


@dataclass(frozen=True)
class Play:
    """Who plays: the generator, the encoder that learns with it, the critic, and the optimiser of each side. judge: a
    forecast that learns nothing; None: none."""

    net: CGAN
    encoder: Encoder
    critic: Critic
    by_generator: torch.optim.Optimizer
    by_critic: torch.optim.Optimizer
    judge: ForecastJudge | None = None

    @property
    def beside(self) -> dict[str, Any]:
        """What a checkpoint keeps beside the generator and its optimiser."""
        return {"encoder": self.encoder, "critic": self.critic, "by_critic": self.by_critic}


def make_play(net: CGAN, lesson: Lesson, settings: Settings, fabric: Fabric) -> Play:
    """All sides, fresh but for the generator, on the device; random numbers are torch's own."""
    first = next(iter(batches(lesson.reader, list(lesson.training[:1]), batch_size=1)))
    with torch.no_grad():
        told, inputs = net.told(first).shape[1], net.features(first).shape[1] + len(net.change) + 1
    encoder = Encoder(inputs, told, net.latents, base=net.base).to(fabric.device)
    critic = Critic(inputs, told, base=net.base).to(fabric.device)
    net.to(fabric.device)
    sides = ([*net.parameters(), *encoder.parameters()], list(critic.parameters()))
    by_generator, by_critic = (torch.optim.Adam(s, settings.learning_rate, betas=BETAS) for s in sides)
    return Play(net, encoder, critic, by_generator, by_critic, judge_beside(net, first, fabric.device))


def step(play: Play, batch: Batch, fabric: Fabric, clip_norm: float | None) -> torch.Tensor:
    """One step of the generator and its encoder, then one of the critic; returns the generator's loss.

    Both ways of BicycleGAN: what came is encoded and made again from its z (L1, KL), and from a z out of nothing comes
    a future whose z is to be found again (the encoder holds still for that). Critics are judged by squares (LSGAN).
    Of two futures from nothing also the CRPS counts, and that of what a forecast says of them, where these have weight.
    """
    net, critic, given, batch = play.net, play.critic, batch, play.net.as_picture(batch)
    with fabric.autocast():
        planes, counts = net.pictured_of(batch)
        features, told = net.features(batch), net.told(batch)
        net.remember(batch, features)
        seen = net.unet.look(features, told)
        mean, spread = play.encoder(torch.cat([features, planes], dim=1), told)
        z = mean + torch.randn_like(mean) * (spread / 2).exp()
        drawn = torch.randn_like(mean)
        again, free = (net.pictured(batch, net.finish(seen, one)) for one in (z, drawn))
        fakes = [torch.cat([features, made * counts], dim=1) for made in (again, free)]
        for weight in critic.parameters():
            weight.requires_grad_(False)
        fooled = sum((_square(critic(fake, told), 1.0) for fake in fakes), torch.zeros((), device=planes.device))
        for weight in critic.parameters():
            weight.requires_grad_(True)
        loss = fooled + net.weights["l1"] * _mean((again - planes).abs(), counts)
        loss = loss + net.weights["kl"] * (mean.square() + spread.exp() - 1 - spread).sum(dim=1).mean() / 2
        if net.weights["latent_l1"]:
            still = {name: weight.detach() for name, weight in play.encoder.named_parameters()}
            found, _ = torch.func.functional_call(play.encoder, still, (fakes[1], told))
            loss = loss + net.weights["latent_l1"] * (found - drawn).abs().mean()
        if net.weights["crps"] or play.judge is not None:
            other = net.pictured(batch, net.finish(seen, torch.randn_like(drawn)))
            loss = loss + net.weights["crps"] * net.crps([free, other], planes, counts)
        if play.judge is not None:
            futures = (net.shown(batch, free), net.shown(batch, other))
            loss = loss + net.joint * play.judge.crps(given, batch, futures, counts)
    play.by_generator.zero_grad()
    fabric.backward(loss)
    _move(play.by_generator, clip_norm)
    with fabric.autocast():
        real = torch.cat([features, planes * counts], dim=1)
        lost = 2 * _square(critic(real, told), 1.0)
        lost = lost + sum((_square(critic(fake.detach(), told), 0.0) for fake in fakes), torch.zeros_like(lost))
    play.by_critic.zero_grad()
    fabric.backward(lost / 2)
    _move(play.by_critic, clip_norm)
    return loss.detach()


def _learn(
    play: Play, lesson: Lesson, settings: Settings, fabric: Fabric, standing: Standing, bar: Progress
) -> tuple[float, float]:
    """One epoch of steps; returns the mean loss of the generator, and pixels per second."""
    for side in (play.net, play.encoder, play.critic):
        side.train()
    tiles, size = drawn_tiles(lesson, settings, standing.epoch + 1), settings.batch_size
    started, pixels, steps = time.monotonic(), 0, 0
    total = torch.zeros((), dtype=torch.float64, device=fabric.device)
    stream = functools.partial(batches, augment_seed=(settings.seed, standing.epoch + 1), changes=changes_of(settings))
    for batch in stream(lesson.reader, tiles, batch_size=size, workers=settings.workers):
        rate = step_rate(settings, standing.learning_rate, standing.epoch + steps * size / len(tiles))
        for optimiser in (play.by_generator, play.by_critic):
            for group in optimiser.param_groups:
                group["lr"] = rate
        total += step(play, batch.to(fabric.device), fabric, settings.clip_norm)
        steps += 1
        pixels += sum(t.window.height * t.window.width for t in batch.tiles)
        bar.advance(len(batch.tiles))
        if steps % _LOOK_EVERY == 0 or steps * size >= len(tiles):
            loss, pixels_per_s = float(total) / steps, pixels / max(time.monotonic() - started, 1e-9)
            check_finite("the loss", loss, standing, settings)
            bar.advance(0, f"epoch {standing.epoch + 1}: loss {loss:.4f}, {pixels_per_s / 1e6:.2f} Mpx/s")
    if not steps:
        raise TrainingError("the training part of the split has no tile; use another split or seed")
    return loss, pixels_per_s


def _move(optimiser: torch.optim.Optimizer, clip_norm: float | None) -> None:
    if clip_norm:
        torch.nn.utils.clip_grad_norm_([w for group in optimiser.param_groups for w in group["params"]], clip_norm)
    optimiser.step()


def _square(said: list[torch.Tensor], wanted: float) -> torch.Tensor:
    """Least squares, mean over the scales (Mao et al. 2017)."""
    return torch.stack([(scale - wanted).square().mean() for scale in said]).mean()


def _mean(planes: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    return (planes.mean(dim=1, keepdim=True) * counts).sum() / counts.sum().clamp(min=1)
