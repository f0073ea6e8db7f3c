"""What the nets over features share: encode, align, first layer, trunk.

A net says which features are aligned and how wide the first layer is, and brings a trunk of plain layers.
"""

import math
from abc import ABC
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from headscarp.core.band import Band
from headscarp.core.errors import StackError
from headscarp.nets.batch import Batch
from headscarp.nets.coded import CodedConv2d, dense_features, read_tile, side_by_side
from headscarp.nets.codes import Layout
from headscarp.nets.layers import Align, Encode
from headscarp.nets.net import PixelNet, Statistics


class FeatureNet(PixelNet, ABC):
    """A pixel net whose first layer is a convolution over encoded bands and, where there are any, aligned features.

    front_dense: True makes the first layer go through the dense features always; for comparison.
    """

    front_dense: bool = False

    def __init__(self, bands: Sequence[Band], *, resolution_m: float, statistics: Statistics) -> None:
        super().__init__(bands, resolution_m=resolution_m, statistics=statistics)
        self.encode = Encode(self.bands, statistics)
        self.alignment: Align | None = None
        self.first: CodedConv2d

    def feature_names(self) -> tuple[str, ...]:
        """Names of what the first layer reads, in its order."""
        return (*self.encode.names, *(self.alignment.names if self.alignment else ()))

    def dense_features(self, batch: Batch, *, out: torch.Tensor | None = None) -> torch.Tensor:
        """(B, F, H, W) float32: encoded bands, then aligned features range by range; finite everywhere.

        out: room for the result, on the CPU, used again where many are made: new memory costs more than the work.
        """
        if batch.x.device.type == "cpu" and not batch.x.requires_grad:
            return dense_features(batch.x, batch.valid, self.first.layout, self.encode, self.alignment, out=out)
        return self.dense_features_anywhere(batch)

    def dense_features_anywhere(self, batch: Batch) -> torch.Tensor:
        """The same by torch alone: on any device, and with a gradient to x."""
        features: torch.Tensor = self.encode(batch.x)
        if self.alignment is None:
            return features
        return torch.cat([features, self.alignment(batch.x, batch.valid, features)], dim=1)

    def front(self, batch: Batch) -> torch.Tensor:
        height, width = batch.x.shape[-2:]
        if height % self.align or width % self.align:
            raise StackError(
                f"a tile with its context is {height} x {width} px, but this net needs multiples of {self.align}; "
                f"choose a tile size that is a multiple of {self.align}"
            )
        out: torch.Tensor
        if self.front_dense or not _from_codes(batch, self.first):
            out = self.first(self.dense_features(batch))
        else:
            out = self.first.coded(self._read_tiles(batch))
        return out

    def make_first(self, out: int, kernel: int, *, bias: bool = True) -> CodedConv2d:
        """The first layer over the features of this net; call it when the alignment stands."""
        return CodedConv2d(Layout(self.encode, self.alignment), out, kernel, bias=bias)

    def _read_tiles(self, batch: Batch) -> list[tuple[np.ndarray, ...]]:
        def one(i: int) -> tuple[np.ndarray, ...]:
            return read_tile(batch.x[i], batch.valid[i], self.first.layout, self.encode, self.alignment)

        return side_by_side(one, len(batch.x))

    def aligned_arguments(self) -> dict[str, Any]:
        """The arguments of the alignment as plain values."""
        if self.alignment is None:
            return {}
        return {
            "aligned": list(self.alignment.aligned),
            "ranges_m": list(self.alignment.ranges_m),
            "elevation": self.alignment.elevation,
            "points": self.alignment.points,
        }


def _from_codes(batch: Batch, first: CodedConv2d) -> bool:
    """Whether the first layer can be looked up: on the CPU, in float32, with no gradient of x asked for."""
    return first.weight.device.type == "cpu" and first.weight.dtype == torch.float32 and not batch.x.requires_grad


def log_odds(prevalence: float) -> float:
    """The logit of a share, kept within 1e-6 of 0 and 1."""
    p = min(max(prevalence, 1e-6), 1 - 1e-6)
    return math.log(p / (1 - p))


def he_(layer: nn.Conv2d) -> nn.Conv2d:
    """A convolution that a ReLU follows, with weights after He et al. (2015) and no bias to begin with."""
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def last_layer(channels: int, prevalence: float) -> nn.Conv2d:
    """The 1x1 convolution to the logit: at the start it says the prevalence, more or less."""
    layer = nn.Conv2d(channels, 1, 1)
    nn.init.normal_(layer.weight, std=1 / math.sqrt(channels))
    nn.init.constant_(layer.bias, log_odds(prevalence))  # type: ignore[arg-type]
    return layer
