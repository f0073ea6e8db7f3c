"""DeepLabv3+ for any number of bands, with a ResNet or another encoder of segmentation-models-pytorch.

Image pooling sees the whole window, so maps are blended from windows of the training size. Refuses to load weights
that are not its encoder's.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from headscarp.core.band import Band, feature_names
from headscarp.core.errors import RecipeError, SourceError, StackError
from headscarp.nets._torchvision import import_with_torchvision
from headscarp.nets.batch import Batch
from headscarp.nets.detail import Detailed
from headscarp.nets.features import log_odds
from headscarp.nets.layers import Encode
from headscarp.nets.losses import make_objective
from headscarp.nets.net import PixelNet, Schedule, Statistics
from headscarp.nets.pretrained import IMAGENET, Pretrained, flat_counters, load_encoder
from headscarp.nets.turns import checked_turns

ALIGN = 16
HUB = "not said by segmentation-models-pytorch; see the model's page on its hub"


class DeepLab(PixelNet):
    """DeepLabv3+: output stride 16, ASPP rates 6, 12, 18 with image pooling, decoder skip of 48 channels at stride 4.

    Source: Chen et al. (2018), arXiv 1802.02611, as Kimura (2019) uses it with ResNet encoders. Bands are encoded and
    standardised by training pixels before the encoder, also before a pretrained one.
    """

    schedule = Schedule(
        "adam", learning_rate=3e-4, epochs=50, batch_size=8, weight_decay=1e-4, context_px=0, stop_after=10
    )
    align = ALIGN
    local = False

    def __init__(
        self,
        bands: Sequence[Band],
        *,
        resolution_m: float,
        statistics: Statistics,
        encoder: str = "resnet18",
        weights: str | None = None,
        weights_licence: str = "",
        weights_source: str = "",
        window_px: int = 128,
        loss: str = "nll",
        prior: float | None = None,
        detail: int = 0,
        turns: int = 1,
    ) -> None:
        """encoder: a name of segmentation-models-pytorch, "resnet50" in the paper. weights: None from scratch, the path
        of a local file (see `load_encoder`), or "imagenet" from the hub. weights_licence, weights_source: of that file,
        where it says nothing itself. window_px: side of the windows that it sees, a multiple of 16. loss, prior: see
        `make_objective`. detail: channels of a last stage at full resolution, see `Detailed`; 0: none, as in the paper.
        turns: 2, 4 or 8: maps are means over flips and turns. Raises RecipeError for what cannot be, SourceError for
        weights that cannot be had."""
        super().__init__(bands, resolution_m=resolution_m, statistics=statistics)
        if window_px < 2 * ALIGN or window_px % ALIGN:
            raise RecipeError(f"window_px is {window_px}; DeepLab needs a multiple of {ALIGN} from {2 * ALIGN} on")
        if detail < 0:
            raise RecipeError(f"detail is {detail}; it has to be 0 for none, or a number of channels such as 16")
        self.encoder, self.loss, self.prior, self.detail = encoder, loss, prior, int(detail)
        self.window_px = self.reach = int(window_px)
        self.turns = checked_turns(turns)
        self.objective = make_objective(loss, prior)
        self.encode = Encode(self.bands, statistics)
        self.front_features = tuple(band.name for band in self.bands for _ in feature_names([band]))
        said = Pretrained(weights, weights_licence, weights_source)
        self.trunk, self.pretrained = _make_trunk(encoder, len(self.encode.names), said, statistics.prevalence)
        if self.detail:
            self.trunk = _detailed(self.trunk, self.detail, statistics.prevalence)

    def front(self, batch: Batch) -> torch.Tensor:
        height, width = batch.x.shape[-2:]
        if height % ALIGN or width % ALIGN:
            raise StackError(
                f"a tile is {height} x {width} px, but DeepLab needs multiples of {ALIGN}; choose such a size"
            )
        encoded: torch.Tensor = self.encode(batch.x)
        return encoded

    def arguments(self) -> dict[str, Any]:
        """Without `weights`: a trained net brings its own."""
        own = {"encoder": self.encoder, "window_px": self.window_px, "loss": self.loss, "prior": self.prior}
        return {**own, "detail": self.detail, "turns": self.turns}


def _make_trunk(encoder: str, channels: int, said: Pretrained, prevalence: float) -> tuple[nn.Module, dict[str, str]]:
    """The trunk, and where its weights come from."""
    weights = said.weights
    smp = import_with_torchvision("segmentation_models_pytorch")
    if encoder not in smp.encoders.encoders and not encoder.startswith("tu-"):
        raise RecipeError(
            f"there is no encoder {encoder!r} in segmentation-models-pytorch; use one such as resnet18, resnet50, or "
            "tu-NAME for one of timm"
        )
    try:
        trunk: Any = smp.DeepLabV3Plus(
            encoder,
            encoder_weights=IMAGENET if weights == IMAGENET else None,
            encoder_output_stride=ALIGN,
            decoder_atrous_rates=(6, 12, 18),
            in_channels=channels,
            classes=1,
        )
    except Exception as error:  # of hubs and of encoders that cannot be dilated, of many kinds
        if weights != IMAGENET:
            raise RecipeError(f"DeepLab cannot use encoder {encoder!r} ({error}); use a ResNet") from error
        raise SourceError(
            f"the ImageNet weights of {encoder!r} cannot be fetched ({_first_line(error)}); where there is no network, "
            "fetch the file elsewhere and give its path as weights, or leave weights out to train from scratch"
        ) from error
    origin: dict[str, str] = {}
    if weights == IMAGENET:
        source = said.source or f"{IMAGENET} weights of {encoder} by the hub"
        origin = {"source": source, "licence": said.licence or HUB}
    elif weights is not None:
        origin = load_encoder(trunk.encoder, said)
    pooling = trunk.decoder.aspp[0].convs[-1]
    pooling[2] = _PooledNorm.like(pooling[2])
    nn.init.constant_(trunk.segmentation_head[0].bias, log_odds(prevalence))
    return flat_counters(trunk), origin


def _detailed(trunk: Any, channels: int, prevalence: float) -> nn.Module:
    """The trunk with a last stage at full resolution in place of its head."""
    inputs = next(layer for layer in trunk.encoder.modules() if isinstance(layer, nn.Conv2d)).in_channels
    widths = (inputs, trunk.segmentation_head[0].in_channels)
    return Detailed(trunk.encoder, trunk.decoder, widths=widths, channels=channels, prevalence=prevalence)


class _PooledNorm(nn.BatchNorm2d):
    """Batch normalisation that goes by its running statistics where a batch has one value a channel only: the image
    pooling of a last batch of one tile."""

    @staticmethod
    def like(norm: nn.BatchNorm2d) -> "_PooledNorm":
        return _PooledNorm(norm.num_features, norm.eps, norm.momentum)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training and x.numel() == x.shape[1]:
            return nn.functional.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
            )
        return super().forward(x)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
