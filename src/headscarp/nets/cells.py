"""How readily each cell of a place slides, and what follows for the place: its rate, and where in it a slide would be.

The hazard of a place is the mean over its cells, so one picture answers both, and outlines of slides and times of
events teach the same numbers. Refuses nothing.
"""

import math
from dataclasses import dataclass

import torch
from torch import nn

from headscarp.core.domains import TRACES
from headscarp.nets.frames import DOWN, Seen
from headscarp.nets.traces import SIGHTS, summary
from headscarp.nets.unet import batch_norm

CELL_PX = 2
_USUAL = -3.0  # logarithm of slides a pixel in a place that slides, before it is learned


@dataclass(frozen=True)
class Ground:
    """level: (N, 1) logarithm of how readily a place slides, the mean of its cells. where: (N, p, p) log-odds that a
    pixel slides, given an event in the place. like: (N, D) what the ground is like where it would slide, and what it
    shows there and elsewhere. traces: (N, K, p / 2, p / 2) log-odds that a cell shows each of TRACES."""

    level: torch.Tensor
    where: torch.Tensor
    like: torch.Tensor
    traces: torch.Tensor


class Cells(nn.Module):
    """From what an encoder saw, still pictures and the numbers of a place to its `Ground`."""

    def __init__(
        self, features: int, pictures: int, channels: int, place_features: int, *, dropout: float, sight: str = "cells"
    ) -> None:
        """features: of what was seen. pictures: of the still pictures. place_features: of the numbers of a place.
        sight: a name of SIGHTS."""
        super().__init__()
        wide = 2 * channels
        of_pixels, sees_traces = SIGHTS[sight]
        self.pixels = None if of_pixels is None else of_pixels(pictures, wide)
        features = features + pictures + (0 if self.pixels is None else wide)
        self.of_like = channels + 3 * len(TRACES)
        self.traces = sees_traces(features, wide)
        features = features + len(TRACES)
        self.cell = nn.Sequential(nn.Conv2d(features, wide, 1, bias=False), *batch_norm(wide), nn.ReLU())
        self.told = nn.Linear(place_features, wide)
        self.around = nn.Sequential(nn.Dropout2d(dropout), nn.Conv2d(wide, channels, 3, padding=1), nn.ReLU())
        self.ground = nn.Conv2d(channels, 1, 1)
        self.size = nn.Parameter(torch.tensor([_USUAL]))

    def forward(self, seen: Seen, picture: torch.Tensor, place: torch.Tensor) -> Ground:
        """picture: (N, F, p, p), features that need no attention. place: (N, P)."""
        coarse = nn.functional.interpolate(
            seen.coarse, scale_factor=DOWN // CELL_PX, mode="bilinear", align_corners=False
        )
        single = [] if self.pixels is None else [self.pixels(picture)]
        looks = torch.cat([coarse, seen.fine, *single, nn.functional.avg_pool2d(picture, CELL_PX)], dim=1)
        traces = self.traces(looks)
        shown = torch.sigmoid(traces)
        cells = self.cell(torch.cat([looks, shown], dim=1)) + self.told(place)[..., None, None]
        cells = self.around(torch.relu(cells))
        ground = self.ground(cells)  # (N, 1, p / 2, p / 2)
        flat = ground.flatten(1)
        level = torch.logsumexp(flat, dim=1, keepdim=True) - math.log(flat.shape[1])
        share = flat.softmax(dim=1)
        like = torch.cat([torch.einsum("nc,ndc->nd", share, cells.flatten(2)), summary(shown.flatten(2), share)], dim=1)
        return Ground(level, self._where(ground - level[..., None, None]), like, traces)

    def _where(self, above: torch.Tensor) -> torch.Tensor:
        """(N, p, p) log-odds of a slide at each pixel, of a mean number of them that fall by the hazard of cells.

        above: (N, 1, p / 2, p / 2) logarithm of a cell's hazard, above that of the mean cell.
        """
        whole = nn.functional.interpolate(above, scale_factor=CELL_PX, mode="bilinear", align_corners=False)[:, 0]
        count = torch.exp((whole + self.size).clamp(-14.0, 4.0))
        return count + torch.log(-torch.expm1(-count))
