"""Frames through an encoder of timm that was trained elsewhere, such as on SSL4EO-L, beside the net's own convolutions.

Such an encoder is shown reflectance as it knows it: its bands in its order and on its scale. Radar and the ground are
left to the net's own layers. Refuses encoders that cannot see a place, and bands that nobody has named.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from headscarp.core.band import Band
from headscarp.core.domains import REFLECTANCE
from headscarp.core.errors import RecipeError, StackError
from headscarp.nets._torchvision import import_with_torchvision
from headscarp.nets.frames import DOWN, ENCODERS, FrameEncoder, Seen, attended, down_of, each_frame, stem_of
from headscarp.nets.look import Look
from headscarp.nets.pretrained import IMAGENET, Pretrained, timm_encoder
from headscarp.nets.temporal import FrameAttention
from headscarp.nets.unet import batch_norm

_BLUE, _GREEN, _RED, _NIR, _SWIR1, _SWIR2 = REFLECTANCE
_UNKNOWN = ""
_STANDS_FOR = {"coastal": _BLUE}


@dataclass(frozen=True)
class Layout:
    """What the first layer of an encoder reads: bands in order, "" for one that stacks do not have and that counts as
    0. full: the reflectance that is 1 to it; 0 and below is 0. mean, std: of each band on that scale, taken off."""

    bands: tuple[str, ...]
    full: float = 0.3
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)


LAYOUTS = {
    "oli_sr": Layout(("coastal", *REFLECTANCE)),
    "etm_sr": Layout(REFLECTANCE),
    "oli_tirs_toa": Layout(("coastal", *REFLECTANCE, *4 * (_UNKNOWN,)), full=0.4),
    "etm_toa": Layout((_BLUE, _GREEN, _RED, _NIR, _SWIR1, _UNKNOWN, _UNKNOWN, _SWIR2, _UNKNOWN), full=0.4),
    "tm_toa": Layout((_BLUE, _GREEN, _RED, _NIR, _SWIR1, _UNKNOWN, _SWIR2), full=0.4),
    "rgb": Layout((_RED, _GREEN, _BLUE), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
}
"""By name. The first five are the sensors and products of SSL4EO-L (Stewart et al. 2023, arXiv 2306.09424), in the
order that TorchGeo tells (torchgeo.models.ResNet18_Weights) and on the scale that it was stored with
(experiments/ssl4eo/landsat/compress_*.sh of TorchGeo): reflectance of 0 to 0.3 at the surface, of 0 to 0.4 at the top
of the atmosphere. "rgb" is that of ImageNet."""


class Reflectance(nn.Module):
    """The reflectance of a frame as an encoder knows it: (N, C, p, p) bands to (N, K, p, p) from 0 to 1 in the order of
    a layout, 0 where missing. What shows "coastal" where the stack does not have it is blue."""

    def __init__(self, bands: Sequence[Band], layout: Layout) -> None:
        """Raises RecipeError for a band that is named and is not there, StackError where none of them is."""
        super().__init__()
        at = {band.name: i for i, band in enumerate(bands) if band.kind == "continuous"}
        shown = [name if name in at else _STANDS_FOR.get(name, name) for name in layout.bands]
        absent = [name for name in shown if name and name not in at]
        if absent and not set(REFLECTANCE) & set(at):
            raise StackError(
                f"the stack has no reflectance ({', '.join(REFLECTANCE)}), which an encoder of timm reads; use one of "
                "the net's own encoders"
            )
        if absent:
            raise RecipeError(
                f"weights_bands names {absent[0]!r}, which is no continuous band that is read of the stack "
                f"({', '.join(at)}); name one of these, or put {_UNKNOWN!r} in its place, which counts as 0"
            )
        self.full, self.count = layout.full, len(shown)
        self.known = [k for k, name in enumerate(shown) if name]
        self.chosen = [at[name] for name in shown if name]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        planes = x.new_zeros(len(x), self.count, *x.shape[2:])
        planes[:, self.known] = torch.nan_to_num(x[:, self.chosen] / self.full).clamp(0, 1)
        return planes


class Borrowed(FrameEncoder):
    """Each frame through an encoder of timm and through convolutions of the net's own; attention over their sum.

    What the encoder makes of reflectance, at every stage with pixels of 8 times the side or more, is joined and weighed
    by a convolution. The net's own layers see all that other encoders see, so radar frames, the ground and fine detail
    are theirs alone. Frames without any reflectance cost nothing here.
    """

    reads: Reflectance

    def __init__(self, features: int, channels: int, eye: "Eye", reads: Reflectance) -> None:
        super().__init__()
        half = channels // 2
        self.features, self.reads, self.eye = features, reads, eye
        self.stem, self.down = stem_of(features, half), down_of(half, channels)
        self.attention = FrameAttention(channels)
        self.fine_channels = self.attention.heads * half

    def forward(self, x: torch.Tensor, tokens: torch.Tensor, days: torch.Tensor, present: torch.Tensor) -> Seen:
        own, planes = x[:, :, : self.features], x[:, :, self.features :]
        fine, coarse = each_frame(own, present, self.stem, self.down)
        lit = present & planes.flatten(2).any(dim=2)
        borrowed = each_frame(planes, lit, self.eye)[0] * lit[..., None, None, None]
        return attended(self.attention, fine, coarse + borrowed, tokens, present)


class Eye(nn.Module):
    """(M, K, p, p) reflectance as `Reflectance` gives it to (M, channels, p / 8, p / 8) features.

    frozen: the encoder keeps its weights and its statistics; what weighs its features learns all the same.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, encoder: nn.Module, layout: Layout, channels: int, *, place_px: int, frozen: bool) -> None:
        """Raises RecipeError for an encoder that cannot be shown a place or does not tell its stages."""
        super().__init__()
        self.encoder, self.frozen = encoder, frozen
        self.register_buffer("mean", torch.tensor(layout.mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(layout.std).view(-1, 1, 1))
        if frozen:
            encoder.requires_grad_(False)
        facts: Any = encoder.feature_info
        last = {fact["reduction"]: i for i, fact in enumerate(facts)}
        self.stages = [i for reduction, i in sorted(last.items()) if reduction >= DOWN]
        try:
            with torch.no_grad():
                shown = self.stages_of(torch.zeros(1, len(layout.bands), place_px, place_px))
        except Exception as error:  # of many kinds, each encoder has its own
            raise RecipeError(
                f"the encoder cannot be shown places of {place_px} px ({error}); choose a ResNet, or another place_px"
            ) from error
        wide = sum(stage.shape[1] for stage in shown)
        self.weigh = nn.Sequential(nn.Conv2d(wide, channels, 1, bias=False), *batch_norm(channels), nn.ReLU())

    def stages_of(self, planes: torch.Tensor) -> list[torch.Tensor]:
        """What the encoder's own stages make of the planes, (M, C, h, w) each, from the finest on."""
        alone = len(planes) == 1  # one frame has no statistics
        self.encoder.train(self.training and not self.frozen and not alone)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            seen: list[torch.Tensor] = self.encoder.forward_intermediates(  # type: ignore[operator]
                (planes - self.mean) / self.std, indices=self.stages, norm=True, intermediates_only=True
            )
        return seen

    def forward(self, planes: torch.Tensor) -> torch.Tensor:
        size = (planes.shape[-2] // DOWN, planes.shape[-1] // DOWN)
        stages = self.stages_of(planes)
        wide = [nn.functional.interpolate(s, size=size, mode="bilinear", align_corners=False) for s in stages]
        weighed: torch.Tensor = self.weigh(torch.cat(wide, dim=1))
        return weighed


@dataclass(frozen=True)
class Chosen:
    """An encoder of frames by name, of ENCODERS or of timm. bands: what the first layer of one of timm reads, a name of
    LAYOUTS or bands in order. frozen: that one does not learn."""

    name: str
    pretrained: Pretrained
    bands: str | tuple[str, ...] | None
    frozen: bool

    def make(
        self, look: Look, bands: Sequence[Band], *, channels: int, place_px: int
    ) -> tuple[FrameEncoder, dict[str, str]]:
        """The encoder, and where its weights come from. bands: of the frames that `look` looks at. Raises RecipeError,
        SourceError or StackError for what cannot be."""
        if self.bands is None:
            return ENCODERS[self.name](len(look.names), channels), {}
        layout = LAYOUTS[self.bands] if isinstance(self.bands, str) else Layout(self.bands)
        reads, names = Reflectance(bands, layout), layout.bands
        made, origin = timm_encoder(self.name, self.pretrained, channels=len(names), classes=0, reads=names)
        eye = Eye(made, layout, channels, place_px=place_px, frozen=self.frozen)
        return Borrowed(len(look.names), channels, eye, reads), origin

    def arguments(self) -> dict[str, Any]:
        """What makes it again, without the weights that it began with: a trained net brings its own."""
        own = (
            {}
            if self.bands is None
            else {"weights_bands": self.bands if isinstance(self.bands, str) else list(self.bands)}
        )
        return {"encoder": self.name, **own}


def chosen_encoder(name: str, pretrained: Pretrained, bands: str | Sequence[str] | None, *, frozen: bool) -> Chosen:
    """A choice that can be. bands: None for what follows from the weights. Raises RecipeError that says what to do."""
    if name not in ENCODERS and not import_with_torchvision("timm").is_model(name):
        raise RecipeError(f"there is no encoder {name!r}; use one of {', '.join(ENCODERS)}, or of timm, as resnet18")
    if name in ENCODERS:
        if pretrained != Pretrained() or bands is not None or frozen:
            raise RecipeError(
                f"encoder {name!r} is the net's own and begins anew; leave weights and what belongs to it out, or name "
                "an encoder of timm, such as resnet18"
            )
        return Chosen(name, pretrained, None, frozen)
    if bands is None and pretrained.weights not in (None, IMAGENET):
        raise RecipeError(
            f"weights is {pretrained.weights}, and weights_bands is not given; say what its first layer reads, one of "
            f"{', '.join(LAYOUTS)} or bands in their order: oli_sr for Landsat 8 surface reflectance"
        )
    if bands is None:
        bands = "etm_sr" if pretrained.weights is None else "rgb"
    if isinstance(bands, str) and bands not in LAYOUTS:
        raise RecipeError(f"there are no weights_bands {bands!r}; use one of {', '.join(LAYOUTS)}, or a list of bands")
    if frozen and pretrained.weights is None:
        raise RecipeError("frozen is true, but there are no weights to keep; give weights, or leave frozen out")
    return Chosen(name, pretrained, bands if isinstance(bands, str) else tuple(bands), frozen)
