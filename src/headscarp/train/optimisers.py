"""The optimisers, in one visible dict, with the settings that each of them takes."""

from collections.abc import Callable

import torch

from headscarp.train.config import Settings


def make_optimiser(net: torch.nn.Module, settings: Settings) -> torch.optim.Optimizer:
    """The optimiser that the settings name, over all weights of a net."""
    return MAKERS[settings.optimiser](net, settings)


def _adam(net: torch.nn.Module, settings: Settings) -> torch.optim.Optimizer:
    """Kingma and Ba (2015); weight decay as an L2 penalty."""
    return torch.optim.Adam(net.parameters(), settings.learning_rate, weight_decay=settings.weight_decay, fused=True)


def _sgd(net: torch.nn.Module, settings: Settings) -> torch.optim.Optimizer:
    """Stochastic gradient descent, without momentum unless the settings give one."""
    return torch.optim.SGD(
        net.parameters(), settings.learning_rate, momentum=settings.momentum, weight_decay=settings.weight_decay
    )


MAKERS: dict[str, Callable[[torch.nn.Module, Settings], torch.optim.Optimizer]] = {"adam": _adam, "sgd": _sgd}
