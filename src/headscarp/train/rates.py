"""How the learning rate moves while training, in one visible dict of rules.

A rule is a function of how far the training is, so that a resumed run takes the rates of an uninterrupted one. Halving
moves between epochs only, by what validation says, and stands in `standing`.
"""

from collections.abc import Callable

from headscarp.train.config import Settings

POWER = 0.9
WARM = 0.05
"""Share of the training over which "poly" rises: from fresh weights, large first steps of Adam cost many epochs."""


def step_rate(settings: Settings, halved: float, epochs_done: float) -> float:
    """The learning rate of a step. halved: what halving has left of it. epochs_done: with the share of this epoch."""
    return RATES[settings.schedule](settings, halved, epochs_done)


def _halve(settings: Settings, halved: float, epochs_done: float) -> float:
    """What halving on plateaus has left."""
    return halved


def _poly(settings: Settings, halved: float, epochs_done: float) -> float:
    """learning_rate * (1 - share done) ** 0.9, as in DeepLab (Chen et al. 2018), and a linear rise to begin with."""
    share = min(epochs_done / max(settings.epochs, 1), 1.0)
    warm = min(1.0, share / WARM + 1e-2)
    return settings.learning_rate * warm * (1.0 - share) ** POWER


RATES: dict[str, Callable[[Settings, float, float], float]] = {"halve": _halve, "poly": _poly}
