"""Small nets that see one pixel, alone (NN) or with the ground uphill of it (SANN)."""

from collections.abc import Sequence
from typing import Any

from torch import nn

from headscarp.core.band import Band
from headscarp.nets.features import FeatureNet, he_, last_layer
from headscarp.nets.layers import Align
from headscarp.nets.net import Schedule, Statistics

_HIDDEN = (32, 4)


class NN(FeatureNet):
    """1x1 convolutions to 32, 4 and 1 channels with ReLU between. Source: Hajimoradlou et al. (2019), Table 1."""

    schedule = Schedule("adam", learning_rate=0.125, epochs=10, batch_size=13)

    def __init__(self, bands: Sequence[Band], *, resolution_m: float, statistics: Statistics) -> None:
        super().__init__(bands, resolution_m=resolution_m, statistics=statistics)
        self.first = self.make_first(_HIDDEN[0], 1)
        self.trunk = _pixel_trunk(statistics)


class SANN(FeatureNet):
    """The NN on features of the pixel and on chosen ones read uphill. Source: Hajimoradlou et al. (2019), Table 1."""

    schedule = Schedule("adam", learning_rate=0.0156, epochs=15, batch_size=10)
    aligned_from = "llr"

    def __init__(
        self,
        bands: Sequence[Band],
        *,
        resolution_m: float,
        statistics: Statistics,
        aligned: Sequence[str],
        ranges_m: Sequence[float] = (30, 100, 300),
        elevation: str = "elevation",
        points: str = "full",
    ) -> None:
        """aligned, ranges_m, elevation, points: see `Align`."""
        super().__init__(bands, resolution_m=resolution_m, statistics=statistics)
        self.alignment = Align(
            self.bands, aligned, resolution_m=resolution_m, ranges_m=ranges_m, elevation=elevation, points=points
        )
        self.reach = self.alignment.reach
        self.first = self.make_first(_HIDDEN[0], 1)
        self.trunk = _pixel_trunk(statistics)

    def arguments(self) -> dict[str, Any]:
        return self.aligned_arguments()


def _pixel_trunk(statistics: Statistics) -> nn.Sequential:
    hidden = he_(nn.Conv2d(*_HIDDEN, 1))
    return nn.Sequential(nn.ReLU(), hidden, nn.ReLU(), last_layer(_HIDDEN[1], statistics.prevalence))
