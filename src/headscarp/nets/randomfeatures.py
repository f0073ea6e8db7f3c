"""Features of a picture from convolutions that nobody has trained: a plain opponent of what nets have learned.

Refuses nothing. The same seed gives the same features.
"""

from itertools import pairwise

import torch
from torch import nn

_CHANNELS = (24, 32, 48)


class RandomFeatures(nn.Module):
    """Three 3x3 convolutions with ReLU and weights after He et al. (2015), each half as wide in pixels as the one
    before; mean and deviation over the place of each channel of each (Rahimi and Recht 2007 for why random will do)."""

    def __init__(self, bands: int, *, seed: int = 0) -> None:
        """bands: planes of a picture, scaled to mean 0 and deviation 1."""
        super().__init__()
        chance = torch.Generator().manual_seed(seed)
        self.layers = nn.ModuleList()
        for wide, wider in pairwise((bands, *_CHANNELS)):
            layer = nn.Conv2d(wide, wider, 3, 2, 1, bias=False)
            with torch.no_grad():
                layer.weight.copy_(torch.randn(layer.weight.shape, generator=chance) * (2 / (9 * wide)) ** 0.5)
            self.layers.append(layer.requires_grad_(False))

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """(B, F) of pictures (B, C, H, W); missing pixels count as 0."""
        x, found = torch.nan_to_num(pictures), []
        for layer in self.layers:
            x = torch.relu(layer(x))
            found += [x.mean(dim=(-2, -1)), x.std(dim=(-2, -1), correction=0)]
        return torch.cat(found, dim=1)
