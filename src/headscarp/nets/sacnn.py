"""The self-aligned convolutional net: the U-Net on features of the pixels and on chosen ones read uphill."""

from collections.abc import Sequence
from typing import Any

from headscarp.core.band import Band
from headscarp.nets.features import FeatureNet
from headscarp.nets.layers import Align
from headscarp.nets.net import Schedule, Statistics
from headscarp.nets.unet import ALIGN, DOWN, UNetTrunk, unet_reach


class SACNN(FeatureNet):
    """The CNN on the aligned stack. Source: Hajimoradlou, Roberti and Poole (2019), arXiv 1911.04651, Table 1."""

    schedule = Schedule("adam", learning_rate=0.001, epochs=30, batch_size=9)
    aligned_from = "llr"
    align = ALIGN

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
        dropout: float = 0.0,
    ) -> None:
        """aligned, ranges_m, elevation, points: see `Align`. dropout: see `UNetTrunk`; the paper has none."""
        super().__init__(bands, resolution_m=resolution_m, statistics=statistics)
        self.alignment = Align(
            self.bands, aligned, resolution_m=resolution_m, ranges_m=ranges_m, elevation=elevation, points=points
        )
        self.reach = unet_reach() + self.alignment.reach
        self.first = self.make_first(DOWN[0], 3)
        self.dropout = dropout
        self.trunk = UNetTrunk(statistics.prevalence, dropout)

    def arguments(self) -> dict[str, Any]:
        return {**self.aligned_arguments(), "dropout": self.dropout}
