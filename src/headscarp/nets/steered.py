"""A U-Net that is steered by numbers: what it is told scales and shifts the channels behind every convolution.

Refuses nothing; it knows no bands and no tasks.
"""

from itertools import pairwise

import torch
from torch import nn

from headscarp.nets.features import he_


class SteeredUNet(nn.Module):
    """Two 3x3 convolutions with ReLU a stage, going down by max-pooling and up by bilinear interpolation as `UNetTrunk`
    does, and a 1x1 convolution to the outputs. Behind each convolution stands c * (1 + scale) + shift, both from what
    is told (Perez et al. 2018, FiLM). No normalisation over pixels, so it is local: see `unet.unet_reach`.
    """

    def __init__(self, inputs: int, outputs: int, told: int, *, base: int, levels: int) -> None:
        """told: length of what steers it. base: channels at full resolution, doubled at each of so many levels."""
        super().__init__()
        wide = [base * 2**level for level in range(levels + 1)]
        steer = 2 * base
        self.read = nn.Sequential(nn.Linear(told, steer), nn.ReLU(), nn.Linear(steer, steer), nn.ReLU())
        self.entry = _Stage(inputs, base, steer)
        self.down = nn.ModuleList(_Stage(a, b, steer) for a, b in pairwise(wide))
        self.up = nn.ModuleList(_Stage(a + b, a, steer) for a, b in reversed(list(pairwise(wide))))
        self.pool = nn.MaxPool2d(2)
        self.upsample = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        self.last = nn.Conv2d(base, outputs, 1)

    def forward(self, x: torch.Tensor, told: torch.Tensor) -> torch.Tensor:
        """x: (B, inputs, H, W), sides multiples of 2^levels. told: (B, told). Returns (B, outputs, H, W)."""
        steer = self.read(told)
        kept = [self.entry(x, steer)]
        for stage in self.down:
            kept.append(stage(self.pool(kept[-1]), steer))
        x = kept.pop()
        for stage in self.up:
            x = stage(torch.cat([kept.pop(), self.upsample(x)], dim=1), steer)
        made: torch.Tensor = self.last(x)
        return made


class _Stage(nn.Module):
    def __init__(self, channels: int, out: int, steer: int) -> None:
        super().__init__()
        self.first, self.second = he_(nn.Conv2d(channels, out, 3, 1, 1)), he_(nn.Conv2d(out, out, 3, 1, 1))
        self.steer = nn.Linear(steer, 4 * out)

    def forward(self, x: torch.Tensor, steer: torch.Tensor) -> torch.Tensor:
        scales, shifts = self.steer(steer)[:, :, None, None].chunk(2, dim=1)
        (scale, again), (shift, and_again) = scales.chunk(2, dim=1), shifts.chunk(2, dim=1)
        x = torch.relu(self.first(x) * (1 + scale) + shift)
        return torch.relu(self.second(x) * (1 + again) + and_again)
