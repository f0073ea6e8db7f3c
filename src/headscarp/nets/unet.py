"""A U-Net for landslide probability: the trunk, its receptive field, and the CNN on features of the pixels."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from headscarp.core.band import Band
from headscarp.core.errors import RecipeError
from headscarp.nets.features import FeatureNet, he_, last_layer
from headscarp.nets.net import Schedule, Statistics

DOWN = (16, 32, 64, 128, 128)
UP = (64, 32, 16, 16)
ALIGN = 2 ** (len(DOWN) - 1)

Norm = Callable[[int], list[nn.Module]]
"""What stands between a convolution to so many channels and its ReLU."""


class CNN(FeatureNet):
    """The U-Net on features of the pixels. Source: Hajimoradlou, Roberti and Poole (2019), Table 1."""

    schedule = Schedule("sgd", learning_rate=0.125, epochs=20, batch_size=12)
    align = ALIGN

    def __init__(
        self, bands: Sequence[Band], *, resolution_m: float, statistics: Statistics, dropout: float = 0.0
    ) -> None:
        """dropout: see `UNetTrunk`; the paper has none."""
        super().__init__(bands, resolution_m=resolution_m, statistics=statistics)
        self.dropout = dropout
        self.reach = unet_reach()
        self.first = self.make_first(DOWN[0], 3)
        self.trunk = UNetTrunk(statistics.prevalence, dropout)

    def arguments(self) -> dict[str, Any]:
        return {"dropout": self.dropout}


class UNetTrunk(nn.Module):
    """The U-Net behind its first convolution: two 3x3 convolutions with ReLU a stage, four stages down by max-pooling
    and four up by bilinear interpolation, long skips by concatenation, and a 1x1 convolution to the logit.

    Bilinear interpolation has no checkerboards, and by half-pixel centres it is the same wherever a tile begins, as
    long as that is at a multiple of 16. Without `norm` there is no normalisation over pixels; with one whose statistics
    stand still when maps are made, such as `batch_norm`, the net is as local.
    """

    def __init__(
        self,
        prevalence: float,
        dropout: float = 0.0,
        *,
        down: Sequence[int] = DOWN,
        up: Sequence[int] = UP,
        norm: Norm = lambda channels: [],
        skips: int = len(UP),
    ) -> None:
        """dropout: share of channels left out behind each stage while training; helps where training ground is small.
        down, up: channels of the five and four stages. skips: how many of the stages up, from the coarsest one, have a
        skip. Raises RecipeError unless dropout is in [0, 1)."""
        super().__init__()
        if not 0 <= dropout < 1:
            raise RecipeError(f"dropout is {dropout}; it has to be at least 0 and below 1")
        entry = (*norm(down[0]), nn.ReLU(), *_normed(down[0], down[0], norm), nn.ReLU(inplace=True))
        self.entry = nn.Sequential(*entry)
        self.down = nn.ModuleList(nn.Sequential(nn.MaxPool2d(2), _stage(a, b, norm)) for a, b in pairwise(down))
        coarser, skipped = (down[-1], *up[:-1]), (*down[-2::-1][:skips], *[0] * (len(up) - skips))
        self.skips = skips
        self.up = nn.ModuleList(_stage(a + s, b, norm) for a, s, b in zip(coarser, skipped, up, strict=True))
        self.drop = nn.Dropout2d(dropout)
        self.upsample = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        self.last = last_layer(up[-1], prevalence)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x: (B, down[0], H, W), H and W multiples of 16. Returns (B, 1, H, W) logits."""
        kept, x = [], self.entry(x)
        for stage in self.down:
            kept.append(x)
            x = self.drop(stage(x))
        del kept[: len(kept) - self.skips]
        for level, stage in enumerate(self.up):
            layers = list(stage.children())
            if level < self.skips:
                x = self._joined(layers[0], kept.pop(), x)
            else:
                x = layers[0](self.upsample(x))
            for layer in layers[1:]:
                x = layer(x)
            x = self.drop(x)
        logits: torch.Tensor = self.last(x)
        return logits

    def _joined(self, convolution: Any, skip: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """The convolution over a skip and, behind it, the level below. In float32 the two are never set side by side,
        which saves time and memory; in bfloat16 each half would be rounded on its own."""
        if x.dtype != torch.float32:
            both: torch.Tensor = convolution(torch.cat([skip, self.upsample(x)], dim=1))
            return both
        weight, channels = convolution.weight, skip.shape[1]
        joined = nn.functional.conv2d(skip, weight[:, :channels], convolution.bias, padding=convolution.padding)
        del skip  # where nobody else holds it, its memory is free for what follows
        return joined.add_(nn.functional.conv2d(self.upsample(x), weight[:, channels:], padding=convolution.padding))


def unet_reach(levels: int = len(UP)) -> int:
    """Context in pixels that a U-Net of so many levels, first convolution included, needs around the
    2^levels x 2^levels pixels of its lattice.

    One pixel sees up to 122 pixels away, but the ones that do so stand inside the lattice; windows that begin and end
    at multiples of `ALIGN` need less. By interval arithmetic from each of these places back to the input.
    """
    furthest = 0
    for place in range(2**levels):
        low = high = place
        wanted = []
        for _ in range(levels):
            low, high = low - 2, high + 2  # two convolutions
            wanted.append((low, high))  # of the skip at this level
            low, high = (low - 1) // 2, (high + 1) // 2  # bilinear, from the level below
        low, high = low - 2, high + 2
        for skip_low, skip_high in reversed(wanted):
            low, high = min(2 * low, skip_low), max(2 * high + 1, skip_high)  # max-pooling, or the skip
            low, high = low - 2, high + 2
        furthest = max(furthest, -low, high - (2**levels - 1))
    return furthest


def batch_norm(channels: int) -> list[nn.Module]:
    """Batch normalisation: over the batch while training, by its running mean and variance when maps are made."""
    layer = nn.BatchNorm2d(channels)
    layer.num_batches_tracked = torch.zeros(1, dtype=torch.int64)  # of one dimension, as everything that is saved
    return [layer]


def _stage(channels: int, out: int, norm: Norm) -> nn.Sequential:
    first, second = _normed(channels, out, norm), _normed(out, out, norm)
    return nn.Sequential(*first, nn.ReLU(inplace=True), *second, nn.ReLU(inplace=True))


def _normed(channels: int, out: int, norm: Norm) -> tuple[nn.Module, ...]:
    """A convolution and its normalisation, which takes over the bias."""
    after = norm(out)
    return he_(nn.Conv2d(channels, out, 3, padding=1, bias=not after)), *after
