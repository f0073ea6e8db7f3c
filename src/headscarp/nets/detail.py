"""A last stage at full resolution behind an encoder and decoder that end at a stride of 4.

Landslides a few pixels wide lose their outlines at a stride of 4, and a net trained from scratch for minutes never gets
them back. Knows plain layers only.
"""

import torch
from torch import nn

from headscarp.nets.features import he_, last_layer
from headscarp.nets.unet import batch_norm


class Detailed(nn.Module):
    """An encoder and a decoder, whose result is brought back to every pixel beside a convolution of the input itself.

    The decoder's channels are reduced to `channels` and interpolated; the input has one 3x3 convolution to as many; two
    3x3 convolutions see both, as the last stage of a U-Net does, and a 1x1 convolution gives the logit.
    """

    def __init__(
        self, encoder: nn.Module, decoder: nn.Module, *, widths: tuple[int, int], channels: int, prevalence: float
    ) -> None:
        """widths: channels of the input, and of the decoder's result."""
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.coarse = _layer(widths[1], channels, 1)
        self.fine = _layer(widths[0], channels, 3)
        self.both = nn.Sequential(_layer(2 * channels, channels, 3), _layer(channels, channels, 3))
        self.last = last_layer(channels, prevalence)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x: (B, F, H, W). Returns (B, 1, H, W) logits."""
        coarse = self.coarse(self.decoder(self.encoder(x)))
        coarse = nn.functional.interpolate(coarse, size=x.shape[-2:], mode="bilinear", align_corners=False)
        logits: torch.Tensor = self.last(self.both(torch.cat([coarse, self.fine(x)], dim=1)))
        return logits


def _layer(channels: int, out: int, side: int) -> nn.Sequential:
    convolution = he_(nn.Conv2d(channels, out, side, padding=side // 2, bias=False))
    return nn.Sequential(convolution, *batch_norm(out), nn.ReLU(inplace=True))
