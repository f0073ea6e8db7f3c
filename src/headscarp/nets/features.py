"""What the nets over features share: encode, align, first layer, trunk.

A net says which features are aligned and how wide the first layer is, and brings a trunk of plain layers.
"""

import math
from abc import ABC
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from headscarp.core.band import Band
from headscarp.nets.batch import Batch
from headscarp.nets.coded import CodedConv2d
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

    def dense_features(self, batch: Batch) -> torch.Tensor:
        """(B, F, H, W) float32: encoded bands, then aligned features range by range; finite everywhere."""
        features = self.encode(batch.x)
        if self.alignment is None:
            return features
        return torch.cat([features, self.alignment(batch.x, batch.valid, features)], dim=1)

    def front(self, batch: Batch) -> torch.Tensor:
        out: torch.Tensor = self.first(self.dense_features(batch))
        return out

    def make_first(self, out: int, kernel: int) -> CodedConv2d:
        """The first layer, its weights scaled to the number of features at work in a pixel."""
        active = sum(1 for _ in self.bands)
        if self.alignment is not None:
            planes = {name.split("=")[0] for name in self.alignment.aligned}
            active += len(planes) * len(self.alignment.radii)
        return CodedConv2d(len(self.feature_names()), out, kernel, active=active)

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
    """The 1x1 convolution to the logit: at the start it says the prevalence, plus little."""
    layer = nn.Conv2d(channels, 1, 1)
    nn.init.normal_(layer.weight, std=0.1 / math.sqrt(channels))
    nn.init.constant_(layer.bias, log_odds(prevalence))  # type: ignore[arg-type]
    return layer
