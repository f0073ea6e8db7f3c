"""Where a training stands between two epochs, and the rules that move it: best weights, halving, early stopping.

Refuses to go on from numbers that are not finite. Knows no files: `checkpoint` writes it down.
"""

import math
from dataclasses import dataclass, field

import torch

from headscarp.core.errors import TrainingError
from headscarp.train.config import Settings
from headscarp.train.rates import step_rate


@dataclass(frozen=True)
class Validation:
    """What a net reached on the validation part: mean NLL in nats, and pixels: labelled, landslides, called landslides
    at a probability of 0.5 before any calibration, and rightly called so."""

    nll: float
    labelled: float
    positives: float
    called: float
    hits: float

    @property
    def constant(self) -> float:
        """NLL of the constant that predicts the prevalence."""
        share = self.positives / self.labelled
        return -sum(p * math.log(p) for p in (share, 1 - share) if p > 0)

    @property
    def accuracy(self) -> float:
        return 1 - (self.called + self.positives - 2 * self.hits) / self.labelled

    @property
    def precision(self) -> float:
        """NaN where nothing is called."""
        return self.hits / self.called if self.called else math.nan

    @property
    def recall(self) -> float:
        return self.hits / self.positives if self.positives else math.nan

    @property
    def iou(self) -> float:
        union = self.called + self.positives - self.hits
        return self.hits / union if union else math.nan


@dataclass
class Standing:
    """What one epoch hands to the next, beside the weights and the optimiser.

    epoch: finished epochs. best_nll, best_epoch, best: lowest validation NLL so far (nats), where, and its weights.
    learning_rate: what halving has left of it. since_best, since_halving: epochs without improvement, in all and since
    the rate was last halved. history: a row of
    plain numbers for each epoch. Random numbers are drawn from (seed, epoch) and need no place here.
    """

    learning_rate: float
    epoch: int = 0
    best_nll: float = float("inf")
    best_epoch: int = 0
    since_best: int = 0
    since_halving: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    best: dict[str, torch.Tensor] = field(default_factory=dict)


def goes_on(standing: Standing, settings: Settings) -> bool:
    """Whether there is another epoch to come."""
    return standing.epoch < settings.epochs and standing.since_best < settings.stop_after


def judge(standing: Standing, net: torch.nn.Module, settings: Settings, *, loss: float, found: Validation) -> None:
    """Takes a finished epoch into account: its weights where they are the best, else a step nearer to halving."""
    nll, constant = found.nll, found.constant
    check_finite("the validation NLL", nll, standing, settings)
    standing.epoch += 1
    skill = 1 - nll / constant if constant else math.nan
    shares = (found.accuracy, found.precision, found.recall, found.iou)
    rate = step_rate(settings, standing.learning_rate, standing.epoch - 1)
    row = (standing.epoch, rate, loss, nll, constant, skill, *shares)
    standing.history.append(dict(zip(COLUMNS, row, strict=True)))
    if nll < standing.best_nll:
        standing.best_nll, standing.best_epoch = nll, standing.epoch
        standing.best = {name: tensor.detach().cpu().clone() for name, tensor in net.state_dict().items()}
        standing.since_best = standing.since_halving = 0
        return
    standing.since_best += 1
    standing.since_halving += 1
    if settings.schedule == "halve" and standing.since_halving >= settings.patience:
        standing.learning_rate /= 2
        standing.since_halving = 0


def check_finite(what: str, value: float, standing: Standing, settings: Settings) -> None:
    """Raises TrainingError, saying what to try, where `value` is not finite."""
    if math.isfinite(value):
        return
    kept = f"the checkpoint of epoch {standing.epoch} is kept" if standing.epoch else "no epoch was finished"
    clip = "" if settings.clip_norm else " or clip_norm = 1.0"
    raise TrainingError(
        f"{what} became {value} in epoch {standing.epoch + 1} ({settings.optimiser}, learning rate "
        f"{standing.learning_rate:g}); try learning_rate = {settings.learning_rate / 8:g}{clip}, and look for extreme "
        f"values in the stack; {kept}"
    )


COLUMNS = (
    *("epoch", "learning_rate", "loss", "validation_nll", "constant_nll", "skill"),
    *("accuracy", "precision", "recall", "iou"),
)
"""Of a row of the history; NLL in nats per pixel, skill against the constant that predicts the prevalence. The last
four are of the landslides called at a probability of 0.5 on the validation part, NaN where the net calls none."""
