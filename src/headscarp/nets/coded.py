"""The first layer of a net: a convolution over encoded and aligned features."""

import math

import torch
from torch import nn


class CodedConv2d(nn.Module):
    """A convolution over features, zero-padded so that it keeps the shape.

    weight: (out, F, k, k), features in the order of `Encode`, then those of `Align`. bias: (out,).
    """

    def __init__(self, features: int, out: int, kernel: int, *, active: float | None = None) -> None:
        """active: how many features are at work in a pixel, of one-hot planes only one; the weights start with a
        variance of 2 / (active * k * k), He et al. (2015)."""
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out, features, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(out))
        nn.init.normal_(self.weight, std=math.sqrt(2 / ((active or features) * kernel**2)))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """features: (B, F, H, W). Returns (B, out, H, W)."""
        return nn.functional.conv2d(features, self.weight, self.bias, padding=self.weight.shape[-1] // 2)
