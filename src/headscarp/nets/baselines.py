"""Baselines that every net has to beat: the constant, the paper's random guess, and slope alone."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from headscarp.core.band import Band
from headscarp.core.errors import StackError
from headscarp.nets.batch import Batch
from headscarp.nets.draws import uniform_draws
from headscarp.nets.features import log_odds
from headscarp.nets.layers import Encode
from headscarp.nets.net import PixelNet, Schedule, Statistics

_RANDOM_LOW = 0.001


class Prevalence(PixelNet):
    """The prevalence of the training pixels everywhere: the constant with the lowest NLL. Nothing to learn."""

    schedule = Schedule(epochs=0)

    def __init__(self, bands: Sequence[Band], *, resolution_m: float, statistics: Statistics) -> None:
        super().__init__(bands, resolution_m=resolution_m, statistics=statistics)
        self.trunk = _Constant(log_odds(statistics.prevalence))

    def front(self, batch: Batch) -> torch.Tensor:
        return _empty_plane(batch)


class Random(PixelNet):
    """0.999 in a random share of pixels that equals the prevalence, 0.001 elsewhere; a straw man, see `Prevalence`.

    Drawn from sample, row and column of the pixel in the raster, so that tiles give what the whole gives. Without
    tiles in the batch, its first pixel is row 0, column 0. Source: Hajimoradlou, Roberti and Poole (2019).
    """

    schedule = Schedule(epochs=0)
    prevalence: torch.Tensor

    def __init__(self, bands: Sequence[Band], *, resolution_m: float, statistics: Statistics, seed: int = 0) -> None:
        super().__init__(bands, resolution_m=resolution_m, statistics=statistics)
        self.seed = int(seed)
        self.register_buffer("prevalence", torch.tensor([float(statistics.prevalence)]))
        self.trunk = nn.Identity()

    def front(self, batch: Batch) -> torch.Tensor:
        drawn = [uniform_draws(batch, i, seed=self.seed) for i in range(batch.x.shape[0])]
        low = log_odds(_RANDOM_LOW)
        return torch.where(torch.stack(drawn)[:, None] < self.prevalence, -low, low)

    def arguments(self) -> dict[str, Any]:
        return {"seed": self.seed}


class Slope(PixelNet):
    """Logistic regression on slope alone, with a weight that cannot be negative: steeper is never safer."""

    schedule = Schedule("adam", learning_rate=0.125, epochs=10, batch_size=15)

    def __init__(
        self, bands: Sequence[Band], *, resolution_m: float, statistics: Statistics, slope: str = "slope"
    ) -> None:
        """slope: name of the band. Raises StackError where there is none."""
        super().__init__(bands, resolution_m=resolution_m, statistics=statistics)
        names = [band.name for band in self.bands if band.kind == "continuous"]
        if slope not in names:
            raise StackError(
                f"net 'slope' reads band {slope!r}, but the continuous bands are {', '.join(names) or 'none'}; "
                "add slope to the recipe's terrain bands, or name the band that holds it: slope = ..."
            )
        self.slope, self.front_features = slope, (slope,)
        self.at = [band.name for band in self.bands].index(slope)
        self.encode = Encode([replace(self.bands[self.at], optional=False)], statistics)
        self.trunk = _Rising(log_odds(statistics.prevalence))

    def front(self, batch: Batch) -> torch.Tensor:
        encoded: torch.Tensor = self.encode(batch.x[:, self.at : self.at + 1])
        return encoded

    def arguments(self) -> dict[str, Any]:
        return {"slope": self.slope}


class _Constant(nn.Module):
    def __init__(self, bias: float) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.tensor([bias]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.bias


class _Rising(nn.Module):
    """softplus(raw) * x + bias; the weight is 0.1 to begin with."""

    def __init__(self, bias: float) -> None:
        super().__init__()
        self.raw_weight = nn.Parameter(torch.tensor([0.1]).expm1().log())
        self.bias = nn.Parameter(torch.tensor([bias]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.softplus(self.raw_weight) * x + self.bias


def _empty_plane(batch: Batch) -> torch.Tensor:
    """(B, 1, H, W) zeros."""
    return torch.zeros_like(batch.x[:, :1])
