"""A U-Net that is steered by numbers: what it is told scales and shifts the channels behind every convolution.

It goes in two halves, so that what is told late costs the second one only. Refuses nothing; it knows no bands and no
tasks.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn

from headscarp.nets.features import he_


@dataclass(frozen=True)
class Seen:
    """What the way down leaves: the coarsest features, and of each level, from the finest one, what its stage on the
    way up will add of the skip. told: (B, told) what steered it."""

    coarsest: torch.Tensor
    skips: tuple[torch.Tensor, ...]
    told: torch.Tensor


class SteeredUNet(nn.Module):
    """Two 3x3 convolutions with ReLU a stage, going down by max-pooling and up by bilinear interpolation as `UNetTrunk`
    does, and a 1x1 convolution to the outputs. Behind each convolution stands c * (1 + scale) + shift, both from what
    is told (Perez et al. 2018, FiLM). No normalisation over pixels, so it is local: see `unet.unet_reach`. Numbers that
    are told late steer the way up alone.
    """

    def __init__(self, inputs: int, outputs: int, told: int, *, base: int, levels: int, late: int = 0) -> None:
        """told: length of what steers it. base: channels at full resolution, doubled at each of so many levels. late:
        how many numbers are told late."""
        super().__init__()
        wide = [base * 2**level for level in range(levels + 1)]
        steer = 2 * base
        self.read = _reader(told, steer)
        self.read_late = _reader(told + late, steer) if late else None
        self.entry = _Stage(inputs, base, steer)
        self.down = nn.ModuleList(_Stage(a, b, steer) for a, b in pairwise(wide))
        self.up = nn.ModuleList(_Stage(a + b, a, steer) for a, b in reversed(list(pairwise(wide))))
        self.pool = nn.MaxPool2d(2)
        self.upsample = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        self.last = nn.Conv2d(base, outputs, 1)

    def forward(self, x: torch.Tensor, told: torch.Tensor, late: torch.Tensor | None = None) -> torch.Tensor:
        """x: (B, inputs, H, W), sides multiples of 2^levels. told: (B, told). late: (B, late). Returns (B, outputs, H,
        W)."""
        return self.finish(self.look(x, told), late)

    @torch.no_grad()
    def forget(self, inputs: slice) -> None:
        """Lets some of the inputs count for nothing until it is learned what they are worth."""
        self.entry.first.weight[:, inputs] = 0.0

    def look(self, x: torch.Tensor, told: torch.Tensor) -> Seen:
        """The way down, and of the way up whatever does not depend on what is told late."""
        steer = self.read(told)
        kept = [self.entry(x, steer)]
        for stage in self.down:
            kept.append(stage(self.pool(kept[-1]), steer))
        coarsest = kept.pop()
        stages = reversed(list(self.up))
        return Seen(coarsest, tuple(s.of_skip(skip) for s, skip in zip(stages, kept, strict=True)), told)  # type: ignore[operator]

    def finish(self, seen: Seen, late: torch.Tensor | None = None) -> torch.Tensor:
        """The way up. late: (B, late), where anything is told late."""
        if self.read_late is None or late is None:
            steer = self.read(seen.told)
        else:
            steer = self.read_late(torch.cat([seen.told, late], dim=1))
        x = seen.coarsest
        for stage, skip in zip(self.up, reversed(seen.skips), strict=True):
            x = stage.joined(skip, self.upsample(x), steer)  # type: ignore[operator]
        made: torch.Tensor = self.last(x)
        return made


class _Stage(nn.Module):
    def __init__(self, channels: int, out: int, steer: int) -> None:
        super().__init__()
        self.first, self.second = he_(nn.Conv2d(channels, out, 3, 1, 1)), he_(nn.Conv2d(out, out, 3, 1, 1))
        self.steer = nn.Linear(steer, 4 * out)

    def forward(self, x: torch.Tensor, steer: torch.Tensor) -> torch.Tensor:
        return self._steered(self.first(x), steer)

    def of_skip(self, skip: torch.Tensor) -> torch.Tensor:
        """The share of a skip in the first convolution over it and, behind it, the level below."""
        weight = self.first.weight[:, : skip.shape[1]]
        return nn.functional.conv2d(skip, weight, self.first.bias, padding=1)

    def joined(self, of_skip: torch.Tensor, below: torch.Tensor, steer: torch.Tensor) -> torch.Tensor:
        """The stage over both, of which the share of the skip is there already."""
        weight = self.first.weight[:, -below.shape[1] :]
        return self._steered(nn.functional.conv2d(below, weight, padding=1).add_(of_skip), steer)

    def _steered(self, x: torch.Tensor, steer: torch.Tensor) -> torch.Tensor:
        scales, shifts = self.steer(steer)[:, :, None, None].chunk(2, dim=1)
        (scale, again), (shift, and_again) = scales.chunk(2, dim=1), shifts.chunk(2, dim=1)
        x = (x * (1 + scale)).add_(shift).relu_()  # in place: memory is what it waits for
        return (self.second(x) * (1 + again)).add_(and_again).relu_()


def _reader(told: int, steer: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(told, steer), nn.ReLU(), nn.Linear(steer, steer), nn.ReLU())
