"""The U-Net of the automated DEM workflow: one mask, such as scarps or deposits, from 64-cell tiles.

It shares the trunk of the CNN. Refuses to learn several masks at once: each has a net of its own, from fresh weights.
"""

from collections.abc import Sequence
from typing import Any

from headscarp.core.band import Band
from headscarp.core.errors import RecipeError
from headscarp.nets.features import FeatureNet
from headscarp.nets.losses import make_objective
from headscarp.nets.net import Schedule, Statistics
from headscarp.nets.turns import checked_turns
from headscarp.nets.unet import ALIGN, UNetTrunk, batch_norm, unet_reach

_WIDER = (1, 2, 4, 8, 16)


class UNet(FeatureNet):
    """A U-Net with 32-64-128-256-512 channels, batch normalisation behind each 3x3 convolution, and dropout by choice.

    Source: Redick, "Using Machine Learning to Identify Landslides"; 64-cell tiles, Adam, binary cross-entropy, stopped
    after 2 epochs without improvement. Bilinear interpolation with the convolutions after it goes up, since transposed
    convolutions leave checkerboards. Bands are standardised by training pixels (the original scaled to [0, 1] by all,
    the test included). Training tiles have 32 cells of context that are not judged, so that fewer pixels see a border
    that maps do not have.

    While training, batch normalisation counts all pixels that are read: valid ones, context, and those that are not
    valid, which count as missing (0 and "no value") and cannot bring in values of their own. For maps its statistics
    stand still, so that every pixel depends on its surroundings only. On several devices each takes its own share.
    """

    schedule = Schedule("adam", learning_rate=1e-3, epochs=50, batch_size=16, tile_px=64, context_px=32, stop_after=2)
    align = ALIGN

    def __init__(
        self,
        bands: Sequence[Band],
        *,
        resolution_m: float,
        statistics: Statistics,
        base: int = 32,
        dropout: float = 0.0,
        loss: str = "nll",
        prior: float | None = None,
        turns: int = 1,
    ) -> None:
        """base: channels of the first stage; each further one has twice as many. dropout: see `UNetTrunk`. loss, prior:
        see `make_objective`. turns: 2, 4 or 8: maps are means over flips and turns. Raises RecipeError for a base below
        1, and for losses and turns that cannot be."""
        super().__init__(bands, resolution_m=resolution_m, statistics=statistics)
        if base < 1:
            raise RecipeError(f"base is {base}; a U-Net needs at least 1 channel, and the original has 32")
        self.base, self.dropout, self.loss, self.prior = int(base), dropout, loss, prior
        self.objective, self.turns = make_objective(loss, prior), checked_turns(turns)
        self.reach = unet_reach()
        down = [self.base * wider for wider in _WIDER]
        self.first = self.make_first(down[0], 3, bias=False)
        self.trunk = UNetTrunk(statistics.prevalence, dropout, down=down, up=down[-2::-1], norm=batch_norm)

    def arguments(self) -> dict[str, Any]:
        own = {"base": self.base, "dropout": self.dropout, "loss": self.loss, "prior": self.prior}
        return {**own, "turns": self.turns}
