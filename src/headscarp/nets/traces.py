"""What cells show at the cut-off: felled ground, pits, cuts, scars and ash, learned where somebody has mapped them.

What prepares a slide, and what causes it, is seen long before. With it told, a few thousand events are enough to learn
how such ground behaves, which they are not where it has to be found out from events alone. Refuses nothing; where
nobody has mapped anything, the layers learn from events only.
"""

from collections.abc import Callable

import torch
from torch import nn

from headscarp.core.domains import TRACES
from headscarp.nets.unet import batch_norm

_SELDOM = -3.0  # log-odds of any trace, before it is learned


class Traces(nn.Module):
    """From features of cells (N, F, h, w) to log-odds of each of TRACES (N, K, h, w)."""

    def __init__(self, features: int, channels: int) -> None:
        super().__init__()
        self.see = nn.Sequential(
            *_layer(features, channels, 1), *_layer(channels, channels, 3), *_layer(channels, channels, 3)
        )
        self.say = nn.Conv2d(channels, len(TRACES), 1)
        nn.init.constant_(self.say.bias, _SELDOM)  # type: ignore[arg-type]

    def forward(self, cells: torch.Tensor) -> torch.Tensor:
        said: torch.Tensor = self.say(self.see(cells))
        return said


class TracesAround(nn.Module):
    """The same, from what each cell is like among those up to a whole place away: a small U-shaped net over cells.

    Source: Ronneberger et al. (2015), with two steps down.
    """

    def __init__(self, features: int, channels: int) -> None:
        super().__init__()
        c = channels
        self.near = nn.Sequential(*_layer(features, c, 1), *_layer(c, c, 3))
        self.far, self.farther = (nn.Sequential(nn.AvgPool2d(2), *_layer(c, c, 3), *_layer(c, c, 3)) for _ in range(2))
        self.back, self.see = (nn.Sequential(*_layer(2 * c, c, 3)) for _ in range(2))
        self.say = nn.Conv2d(c, len(TRACES), 1)
        nn.init.constant_(self.say.bias, _SELDOM)  # type: ignore[arg-type]

    def forward(self, cells: torch.Tensor) -> torch.Tensor:
        near = self.near(cells)
        far = self.far(near)
        far = self.back(torch.cat([far, _wider(self.farther(far))], dim=1))
        said: torch.Tensor = self.say(self.see(torch.cat([near, _wider(far)], dim=1)))
        return said


def cells_of_pixels(features: int, channels: int) -> nn.Module:
    """From pictures (N, F, p, p) to (N, channels, p / 2, p / 2): what a cell is like by each of its pixels."""
    return nn.Sequential(nn.Conv2d(features, channels, 2, 2, bias=False), *batch_norm(channels), nn.ReLU())


SIGHTS: dict[str, tuple[Callable[[int, int], nn.Module] | None, Callable[[int, int], nn.Module]]] = {
    "cells": (None, Traces),
    "pixels": (cells_of_pixels, TracesAround),
}
"""How ground is looked at: what is made of single pixels beside the means over cells, and what sees traces."""


def trace_nll(logits: torch.Tensor, shares: torch.Tensor | None) -> torch.Tensor:
    """Mean cross-entropy (nats) of a cell and a trace, against the share of the cell that shows it.

    logits: (N, K, h, w). shares: (N, K, H, W) of pixels, a whole number of them a cell; NaN where unknown, which does
    not count. 0, with a gradient of 0, where nothing counts.
    """
    if shares is None:
        return logits.sum() * 0
    truth = nn.functional.avg_pool2d(shares, shares.shape[-1] // logits.shape[-1])
    known = torch.isfinite(truth)
    losses = nn.functional.binary_cross_entropy_with_logits(logits, torch.nan_to_num(truth), reduction="none")
    return (losses * known).sum() / known.sum().clamp(min=1)


def summary(shown: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """(N, 3 K) what a place shows: where it would slide, where it shows most of it, and on the mean.

    shown: (N, K, h * w) probabilities. share: (N, h * w) of each cell in the hazard of its place.
    """
    return torch.cat([torch.einsum("nc,nkc->nk", share, shown), shown.amax(dim=2), shown.mean(dim=2)], dim=1)


def _layer(features: int, channels: int, side: int) -> tuple[nn.Module, ...]:
    return (nn.Conv2d(features, channels, side, padding=side // 2, bias=False), *batch_norm(channels), nn.ReLU())


def _wider(cells: torch.Tensor) -> torch.Tensor:
    return nn.functional.interpolate(cells, scale_factor=2, mode="nearest")
