"""The patch classifier: one label for each square of ground, by an encoder of timm.

It gives one probability a patch, which maps repeat over the pixels of that patch. Refuses to say where in a patch a
landslide is.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from headscarp.core.band import UNLABELLED, Band, feature_names
from headscarp.core.errors import RecipeError, StackError
from headscarp.nets.batch import Batch
from headscarp.nets.features import log_odds
from headscarp.nets.layers import Encode
from headscarp.nets.net import PixelNet, Schedule, Statistics
from headscarp.nets.pretrained import Pretrained, timm_encoder

PATCH_SIZES = (16, 32, 64)


class Patch(PixelNet):
    """A residual net that says of each patch of a lattice whether there is a landslide in it.

    A landslide patch is one where more than `share` of the labelled pixels are landslides (at 0: any); it does not
    count where none is labelled. Patches begin at multiples of `patch_px` from the raster's first pixel and see nothing
    beyond themselves. Source: Kimura (2019), with ResNet50.
    """

    schedule = Schedule(
        "adam", learning_rate=3e-4, epochs=30, batch_size=16, weight_decay=1e-4, context_px=0, stop_after=8
    )

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
        patch_px: int = 32,
        share: float = 0.0,
    ) -> None:
        """encoder: a name of timm, "resnet50" in the paper. weights: None from scratch, the path of a local file, or
        "imagenet" from the hub. weights_licence, weights_source: of that file, where it says nothing itself. patch_px:
        side of a patch, 16, 32 or 64. share: of a patch's labelled pixels, above which it is a landslide patch. Raises
        RecipeError for what cannot be, SourceError for weights that cannot be had."""
        super().__init__(bands, resolution_m=resolution_m, statistics=statistics)
        if patch_px not in PATCH_SIZES:
            raise RecipeError(f"patch_px is {patch_px}; use one of {', '.join(map(str, PATCH_SIZES))}")
        if not 0 <= share < 1:
            raise RecipeError(f"share is {share}; it has to be at least 0 and below 1")
        self.encoder, self.patch_px, self.share = encoder, int(patch_px), float(share)
        self.align = self.stride = self.patch_px
        self.encode = Encode(self.bands, statistics)
        self.front_features = tuple(band.name for band in self.bands for _ in feature_names([band]))
        said = Pretrained(weights, weights_licence, weights_source)
        classifier, self.pretrained = timm_encoder(encoder, said, channels=len(self.encode.names), classes=1)
        head = classifier.get_classifier()  # type: ignore[operator]
        if isinstance(head, nn.Linear):
            nn.init.constant_(head.bias, log_odds(statistics.prevalence))
        self.trunk = _Patchwise(classifier, self.patch_px)

    def front(self, batch: Batch) -> torch.Tensor:
        height, width = batch.x.shape[-2:]
        if height % self.align or width % self.align:
            raise StackError(
                f"a tile is {height} x {width} px, but patches are {self.patch_px} px; choose a multiple of that"
            )
        encoded: torch.Tensor = self.encode(batch.x)
        return encoded

    def targets(self, y: torch.Tensor) -> torch.Tensor:
        """(B, H / patch_px, W / patch_px) uint8: the label of each patch, see `patch_labels`."""
        return patch_labels(y, self.patch_px, share=self.share)

    def arguments(self) -> dict[str, Any]:
        """Without `weights`: a trained net brings its own."""
        return {"encoder": self.encoder, "patch_px": self.patch_px, "share": self.share}


def patch_labels(y: torch.Tensor, patch_px: int, *, share: float = 0.0) -> torch.Tensor:
    """(B, H / patch_px, W / patch_px) uint8: 1 where more than `share` of a patch's labelled pixels are landslides, 255
    where none is labelled, else 0. y: (B, H, W) uint8, 1, 0 or 255."""
    b, h, w = y.shape
    patches = y.view(b, h // patch_px, patch_px, w // patch_px, patch_px).transpose(2, 3).flatten(3)
    labelled, positive = (patches != UNLABELLED).sum(-1), (patches == 1).sum(-1)
    found = (positive > share * labelled).to(torch.uint8)
    return torch.where(labelled > 0, found, torch.full_like(found, UNLABELLED))


class _Patchwise(nn.Module):
    """A classifier of images as a layer over patches: (B, F, H, W) -> (B, 1, H / patch_px, W / patch_px)."""

    def __init__(self, classifier: nn.Module, patch_px: int) -> None:
        super().__init__()
        self.classifier, self.patch_px = classifier, patch_px

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b, f, h, w = x.shape
        p = self.patch_px
        patches = x.reshape(b, f, h // p, p, w // p, p).permute(0, 2, 4, 1, 3, 5).reshape(-1, f, p, p)
        logits: torch.Tensor = self.classifier(patches)
        return logits.reshape(b, 1, h // p, w // p)
