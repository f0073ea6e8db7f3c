"""Logistic regression on the features of a pixel, as a net."""

from collections.abc import Sequence

from torch import nn

from headscarp.core.band import Band
from headscarp.nets.features import FeatureNet, log_odds
from headscarp.nets.net import Schedule, Statistics


class LLR(FeatureNet):
    """Logistic regression: one 1x1 convolution. Its weights choose the features that aligned nets read uphill.

    Weights start at 0, so that a class that never occurs in training keeps a weight of 0.
    Source: Hajimoradlou, Roberti and Poole (2019), Table 1.
    """

    schedule = Schedule("adam", learning_rate=0.125, epochs=10, batch_size=15, weight_decay=0.001)

    def __init__(self, bands: Sequence[Band], *, resolution_m: float, statistics: Statistics) -> None:
        super().__init__(bands, resolution_m=resolution_m, statistics=statistics)
        self.first = self.make_first(1, 1)
        nn.init.zeros_(self.first.weight)
        nn.init.constant_(self.first.bias, log_odds(statistics.prevalence))
        self.trunk = nn.Identity()

    def feature_weights(self) -> dict[str, float]:
        """The weight of each feature by name: log-odds per standard deviation, or for belonging to a class."""
        return dict(zip(self.feature_names(), self.first.weight.detach().flatten().tolist(), strict=True))
