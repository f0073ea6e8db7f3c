"""The training loop, to be read in one go: epochs of steps, validation, best weights, early stopping.

It is given a net, tiles and settings without gaps, and leaves the net with its best weights. It refuses to go on from
a loss that is not finite. Devices, precision and several processes are Lightning Fabric's.
"""

import functools
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from headscarp.core.band import UNLABELLED
from headscarp.core.errors import TrainingError
from headscarp.core.progress import Progress, log, progress
from headscarp.nets.batch import Batch
from headscarp.nets.memory import Room
from headscarp.nets.net import Net, losses_and_prediction
from headscarp.tiles.sampling import batches
from headscarp.train.averaging import Average
from headscarp.train.checkpoint import load_checkpoint, save_checkpoint
from headscarp.train.config import Settings
from headscarp.train.devices import shared_loss, total, training_share
from headscarp.train.lesson import Lesson, changes_of, drawn_tiles
from headscarp.train.log import EpochLog
from headscarp.train.optimisers import make_optimiser
from headscarp.train.rates import step_rate
from headscarp.train.standing import Standing, Validation, check_finite, goes_on, judge

_REMEDY = "use smaller tiles (tile_px, context_px), precision bf16-mixed, or --accelerator cpu"
_LOOK_EVERY = 10  # steps between looks at the loss; a look makes an accelerator wait


def train(
    net: Net,
    lesson: Lesson,
    settings: Settings,
    *,
    fabric: Fabric,
    folder: Path | None = None,
    told: EpochLog | None = None,
    label: str = "training",
) -> Standing:
    """Trains a net in place; it ends on the CPU with the weights of the epoch of lowest validation NLL, and settled.

    folder: where a checkpoint is kept after each epoch, and looked for first. told: the log. label: of the progress
    bar; "" shows none. Returns where training ended. Raises TrainingError where the loss or the validation NLL is not
    finite, or nothing is labelled.
    """
    plain = make_optimiser(net, settings)
    module, optimiser = fabric.setup(_Losses(net), plain)
    average = Average(net, settings.average)
    average.follow(plain)
    room = Room(label or "training", remedy=_REMEDY)

    def learn(standing: Standing, bar: Progress) -> tuple[float, float]:
        return _learn(module, optimiser, lesson, settings, fabric, standing, bar, room)

    return run_epochs(
        net, learn, lesson, settings, kept=Kept(average, optimiser), fabric=fabric, folder=folder, told=told,
        label=label, room=room,
    )  # fmt: skip


@dataclass(frozen=True)
class Kept:
    """What a checkpoint holds beside where training stands: weights with their average, an optimiser, and more by name
    where a net does not learn alone."""

    average: Average
    optimiser: Any
    beside: Mapping[str, Any] = field(default_factory=dict)


def run_epochs(
    net: Net,
    learn: Callable[[Standing, Progress], tuple[float, float]],
    lesson: Lesson,
    settings: Settings,
    *,
    kept: Kept,
    fabric: Fabric,
    folder: Path | None,
    told: EpochLog | None,
    label: str,
    room: Room | None = None,
    figure: str = "NLL",
) -> Standing:
    """Epochs until training is over: learning, validation, log and checkpoint of each; see `train`.

    learn: one epoch of steps; returns the mean loss and pixels per second. figure: what validation measures, in words.
    """
    average = kept.average
    standing = (folder and load_checkpoint(folder, average, kept.optimiser, beside=kept.beside)) or Standing(
        settings.learning_rate
    )
    tiles = settings.epochs * (len(drawn_tiles(lesson, settings, 1)) + len(lesson.validation))
    with progress(label, tiles) if label else nullcontext(Progress("training", tiles)) as bar:
        bar.advance(tiles / max(settings.epochs, 1) * standing.epoch, "resumed" if standing.epoch else "")
        while goes_on(standing, settings):
            torch.manual_seed(settings.seed * 1_000_003 + standing.epoch)  # chance: the same after a resume
            loss, pixels_per_s = learn(standing, bar)
            with average.in_place():
                found = validate(net, lesson, settings, fabric=fabric, bar=bar, room=room)
                judge(standing, net, settings, loss=loss, found=found)
            bar.advance(0, f"epoch {standing.epoch}: loss {loss:.4f}, validation {figure} {found.nll:.4f}")
            if told and fabric.is_global_zero:
                told.write(standing.history, pixels_per_s)
            if folder and fabric.is_global_zero:
                save_checkpoint(folder, average, kept.optimiser, standing, beside=kept.beside)
            log.info("%s: %s", label or "training", bar.text)
    net.load_state_dict(standing.best or net.state_dict())
    net.to("cpu").eval()
    net.settle(HeldOut(lesson, settings))
    return standing


@dataclass(frozen=True)
class HeldOut:
    """The batches of the validation part, read anew as often as they are asked for."""

    lesson: Lesson
    settings: Settings

    def __iter__(self) -> Iterator[Batch]:
        size, workers = self.settings.batch_size, self.settings.workers
        return batches(self.lesson.reader, self.lesson.validation, batch_size=size, workers=workers)


def validate(
    net: Net,
    lesson: Lesson,
    settings: Settings,
    *,
    fabric: Fabric,
    bar: Progress | None = None,
    room: Room | None = None,
) -> Validation:
    """How good the net is on all labelled validation pixels (or squares of its stride), at natural prevalence."""
    net.eval()
    room = room or Room("validation", remedy=_REMEDY)
    # of losses; of labelled, positive, called (probability of 0.5 or more) and rightly called pixels
    sums = torch.zeros(5, dtype=torch.float64, device=fabric.device)
    mine = lesson.validation[fabric.global_rank :: fabric.world_size]
    with torch.no_grad(), fabric.autocast():
        for batch in batches(lesson.reader, mine, batch_size=settings.batch_size, workers=settings.workers):
            for found in room.run(functools.partial(_counts, net), batch.to(fabric.device)):
                sums += found
            if bar:
                bar.advance(len(batch.tiles) * fabric.world_size)
    loss, *pixels = total(fabric, sums).tolist()
    if not pixels[0]:
        raise TrainingError("the validation part of the split has no labelled pixel; use another split or seed")
    return Validation(loss / pixels[0], *pixels)


def _counts(net: Net, batch: Batch) -> torch.Tensor:
    """(5,) of a batch: the loss times labelled pixels; labelled, positive, called and rightly called pixels."""
    losses, predicted = losses_and_prediction(net, batch)
    said, truth = net.judged(batch, predicted)
    labelled, positive = truth != UNLABELLED, truth == 1
    called = (said >= 0.5) & labelled
    counts = [pixels.sum() for pixels in (labelled, positive, called, called & positive)]
    judged = losses["nll"] if "nll" in losses else _sum_of(losses)  # Dice and the like shape training only
    return torch.stack([judged * counts[0], *counts]).double()


class _Losses(torch.nn.Module):
    """The sum of a net's losses as a forward pass, which is what Fabric wraps."""

    def __init__(self, net: Net) -> None:
        super().__init__()
        self.net = net

    def forward(self, batch_of: Callable[[], Batch]) -> torch.Tensor:
        """batch_of: a function, so that Fabric does not round elevations in metres to bfloat16 on their way in."""
        return _sum_of(self.net.losses(batch_of()))


def _learn(
    module: Any,
    optimiser: Any,
    lesson: Lesson,
    settings: Settings,
    fabric: Fabric,
    standing: Standing,
    bar: Progress,
    room: Room,
) -> tuple[float, float]:
    """One epoch of steps; returns the mean loss over labelled pixels, and pixels per second."""
    module.train()
    epoch, started, pixels = standing.epoch + 1, time.monotonic(), 0
    tiles, spare = training_share(drawn_tiles(lesson, settings, epoch), settings.batch_size, fabric)
    size = settings.batch_size // fabric.world_size
    sums = torch.zeros(2, dtype=torch.float64, device=fabric.device)  # of losses, of labelled pixels
    stream = batches(
        lesson.reader,
        tiles,
        batch_size=size,
        augment_seed=(settings.seed, epoch),
        changes=changes_of(settings),
        workers=settings.workers,
    )
    for step, batch in enumerate(stream, start=1):
        batch = batch.to(fabric.device)
        if spare and step * size >= len(tiles):
            batch = batch.without_labels()
        counted = module.net.counted(batch)
        rate = step_rate(settings, standing.learning_rate, standing.epoch + (step - 1) * size / len(tiles))
        for group in optimiser.param_groups:
            group["lr"] = rate
        descend = functools.partial(_descend, module, fabric, counted, len(batch.x))
        loss = functools.reduce(torch.add, room.run(descend, batch, begin=optimiser.zero_grad))
        if settings.clip_norm:
            fabric.clip_gradients(module, optimiser, max_norm=settings.clip_norm, error_if_nonfinite=False)
        optimiser.step()
        sums += torch.stack([loss * counted, counted]).double()
        pixels += sum(t.window.height * t.window.width for t in batch.tiles) * fabric.world_size
        bar.advance(len(batch.tiles) * fabric.world_size)
        if step % _LOOK_EVERY == 0 or step * size >= len(tiles):
            losses, labelled = total(fabric, sums.clone()).tolist()
            check_finite("the loss", losses, standing, settings)
            pixels_per_s = pixels / max(time.monotonic() - started, 1e-9)
            before = f"validation NLL {standing.history[-1]['validation_nll']:.4f}, " if standing.history else ""
            bar.advance(
                0, f"epoch {epoch}: loss {losses / max(labelled, 1):.4f}, {before}{pixels_per_s / 1e6:.2f} Mpx/s"
            )
    if not labelled:
        raise TrainingError("the training part of the split has no labelled pixel; use another split or seed")
    return losses / labelled, pixels_per_s


def _descend(module: Any, fabric: Fabric, counted: torch.Tensor, tiles: int, part: Batch) -> torch.Tensor:
    """Adds the gradient of a part of a step; returns its share of the mean loss over the step's `counted` pixels.

    tiles: of the whole step. Parts add up to the whole but for what looks across tiles: batch normalisation.
    """
    loss = module(lambda: part)
    if len(part.x) < tiles:
        loss = loss * module.net.counted(part) / counted.clamp(min=1)
    fabric.backward(shared_loss(fabric, loss, counted))
    return loss.detach()


def _sum_of(losses: dict[str, torch.Tensor]) -> torch.Tensor:
    return functools.reduce(torch.add, losses.values())
