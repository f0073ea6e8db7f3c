"""What a generator is trained against and beside: a critic of pictures at two scales, and an encoder of what happened.

Neither is kept in a bundle. They know planes and what is told; refuse nothing.
"""

import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from headscarp.nets.features import he_

_SLOPE = 0.2


class Critic(nn.Module):
    """How real the patches of a picture look, at full and at half resolution: PatchGAN (Isola et al. 2017) over two
    scales (Wang et al. 2018). Each convolution has a spectral norm of 1 (Miyato et al. 2018), which keeps it from
    running ahead of the generator; what is told scales and shifts channels, as in the generator."""

    def __init__(self, inputs: int, told: int, *, base: int) -> None:
        super().__init__()
        self.scales = nn.ModuleList(_Patches(inputs, told, base) for _ in range(2))
        self.halve = nn.AvgPool2d(2)

    def forward(self, x: torch.Tensor, told: torch.Tensor) -> list[torch.Tensor]:
        """x: (B, inputs, H, W) features before and planes after, sides of 16 or more. told: (B, told). Returns
        (B, 1, h, w) of each scale, 1 for real."""
        fine, coarse = self.scales
        return [fine(x, told), coarse(self.halve(x), told)]


class Encoder(nn.Module):
    """What a picture before and one after say of z: mean and log-variance of each of its numbers."""

    def __init__(self, inputs: int, told: int, latents: int, *, base: int) -> None:
        super().__init__()
        wide = (base, 2 * base, 4 * base)
        self.layers = nn.ModuleList(
            _Steered(he_(nn.Conv2d(a, b, 3, 2, 1)), b, told) for a, b in zip((inputs, *wide[:-1]), wide, strict=True)
        )
        self.last = nn.Linear(wide[-1] + told, 2 * latents)

    def forward(self, x: torch.Tensor, told: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """x: (B, inputs, H, W). told: (B, told). Returns mean and log-variance, (B, latents) each."""
        for layer in self.layers:
            x = layer(x, told)
        mean, spread = self.last(torch.cat([x.mean(dim=(-2, -1)), told], dim=1)).float().chunk(2, dim=1)
        return mean, spread.clamp(-10, 4)


class _Patches(nn.Module):
    def __init__(self, inputs: int, told: int, base: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            _Steered(spectral_norm(nn.Conv2d(a, b, 4, stride, 1)), b, told)
            for a, b, stride in ((inputs, base, 2), (base, 2 * base, 2), (2 * base, 4 * base, 1))
        )
        self.last = spectral_norm(nn.Conv2d(4 * base, 1, 3, 1, 1))

    def forward(self, x: torch.Tensor, told: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer(x, told)
        said: torch.Tensor = self.last(x).float()
        return said


class _Steered(nn.Module):
    """A convolution, scaled and shifted by what is told, and a leaky ReLU."""

    def __init__(self, convolution: nn.Module, out: int, told: int) -> None:
        super().__init__()
        self.convolution, self.steer = convolution, nn.Linear(told, 2 * out)

    def forward(self, x: torch.Tensor, told: torch.Tensor) -> torch.Tensor:
        scale, shift = self.steer(told)[:, :, None, None].chunk(2, dim=1)
        return nn.functional.leaky_relu(self.convolution(x) * (1 + scale) + shift, _SLOPE)
