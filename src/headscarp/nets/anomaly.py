"""Landslides as what a net that removes noise cannot rebuild: no labels needed.

Refuses to call its score a probability: it is a rank among the pixels of held-out normal tiles.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn

from headscarp.core.band import UNLABELLED, Band
from headscarp.core.errors import RecipeError
from headscarp.nets.batch import Batch
from headscarp.nets.draws import normal_draws
from headscarp.nets.layers import Encode
from headscarp.nets.net import Net, Output, Schedule, Statistics
from headscarp.nets.ssim import WINDOW, gaussian_blur, ssim_map
from headscarp.nets.unet import ALIGN, UNetTrunk, batch_norm, unet_reach

QUANTILES = 1025
DATA_RANGE = 6.0
SHRINKAGE = 0.3
"""Of the covariance of residuals towards equal, independent ones, in mean variances; chosen on training chips of
Landslide4Sense and on one simulated county."""
_PER_TILE = 4096
_LOSSES = ("both", "ssim")
_RESIDUALS = ("whitened", "absolute", "ssim")


class Anomaly(Net):
    """A denoising U-Net f, trained to bring x back from x + z, z ~ N(0, sigma), by the loss 1 - SSIM(x, f(x + z)).

    x is encoded and standardised by training pixels, so that sigma counts in standard deviations; the SSIM has a window
    of 11 and takes a range of 6 of them. Where the net fails is abnormal: the residual of a pixel is the length of the
    difference x - f(x + z) as its covariance over held-out pixels measures it, averaged in the same window. So what all
    bands do together, such as light on slopes, counts less than a band that leaves the others.
    Its score is the share of pixels of held-out tiles that have a smaller residual. `settle` fits covariance and table
    on the validation part. Noise of maps is drawn from place and seed, so that tiles give what the whole gives.

    Source: Kimura (2019), with N(0, 1) on unscaled data and no fixed threshold. By default two things differ from it,
    for SSIM hardly says how bright a pixel has to be, and skips at full resolution hand scars on: the mean absolute
    difference is added to the loss (Zhao et al. 2017), and the U-Net has no skips. `skips = 4, loss = "ssim"` is the
    original (docs/detection.md has figures of both).

    Tiles with a larger share of known landslides than `contamination` count for nothing, in training and in `settle`;
    labels are not used otherwise.
    """

    schedule = Schedule(
        "adam", learning_rate=4e-3, epochs=8, batch_size=8, tile_px=128, context_px=0, stop_after=4, average=0.9
    )
    needs_labels = False
    opening_px = 1
    align = ALIGN
    outputs = (Output("anomaly"),)
    quantiles: torch.Tensor
    whiten: torch.Tensor

    def __init__(
        self,
        bands: Sequence[Band],
        *,
        resolution_m: float,
        statistics: Statistics,
        base: int = 16,
        skips: int = 0,
        sigma: float = 1.0,
        loss: str = "both",
        seed: int = 0,
        percentile: float = 95.0,
        contamination: float = 0.5,
        residual: str = "whitened",
    ) -> None:
        """base: channels of the first stage. skips: how many stages up, from the coarsest, have one. sigma: of the
        noise. loss: "both" or "ssim". seed: of the noise in maps. percentile: of normal pixels, from which on a pixel
        is abnormal. residual: "whitened", "absolute" (mean over features of the difference) or "ssim" (1 - SSIM).
        Raises RecipeError for what cannot be."""
        super().__init__(bands, resolution_m=resolution_m, statistics=statistics)
        for name, value, low, high in (
            ("base", base, 1, 1024),
            ("skips", skips, 0, 4),
            ("sigma", sigma, 0, 100),
            ("percentile", percentile, 0, 100),
            ("contamination", contamination, 0, 1),
        ):
            if not low <= value <= high:
                raise RecipeError(f"{name} is {value}; it has to be from {low} to {high}")
        for name, given, known in (("loss", loss, _LOSSES), ("residual", residual, _RESIDUALS)):
            if given not in known:
                raise RecipeError(f"there is no {name} {given!r}; use one of {', '.join(known)}")
        self.base, self.skips, self.sigma, self.seed = int(base), int(skips), float(sigma), int(seed)
        self.percentile, self.contamination = float(percentile), float(contamination)
        self.loss, self.residual = loss, residual
        self.own_threshold = self.percentile / 100
        self.reach = unet_reach() + WINDOW // 2
        self.encode = Encode(self.bands, statistics)
        features, down = len(self.encode.names), [self.base * wider for wider in (1, 2, 4, 8, 8)]
        self.first = nn.Conv2d(features, down[0], 3, padding=1, bias=False)
        self.trunk = UNetTrunk(0.5, down=down, up=down[-2::-1], norm=batch_norm, skips=self.skips)
        self.trunk.last = nn.Conv2d(down[0], features, 1)
        self.register_buffer("whiten", torch.eye(features))
        self.register_buffer("quantiles", torch.linspace(0, 2, QUANTILES))

    def losses(self, batch: Batch) -> dict[str, torch.Tensor]:
        """{"1 - ssim", "difference"}: means over features and over pixels with y != 255, of tiles that are not
        contaminated. The second one is left out where the loss is "ssim"."""
        assert batch.y is not None
        x = self.encode(batch.x)
        rebuilt = self._rebuilt(x, batch)
        counts = self._counted(batch.y)
        lost = {"1 - ssim": 1 - ssim_map(rebuilt, x, data_range=DATA_RANGE).mean(dim=1)}
        if self.loss == "both":
            lost["difference"] = (rebuilt.float() - x).abs().mean(dim=1)
        return {name: (plane * counts).sum() / counts.sum().clamp(min=1) for name, plane in lost.items()}

    def predict(self, batch: Batch) -> torch.Tensor:
        """(B, 1, H, W): the rank of each pixel's residual among normal ones, in [0, 1]."""
        return self._rank(self.residuals(batch))[:, None]

    def residuals(self, batch: Batch) -> torch.Tensor:
        """(B, H, W) float32, at least 0: how badly each pixel is rebuilt."""
        x = self.encode(batch.x)
        rebuilt = self._rebuilt(x, batch).float()
        if self.residual == "ssim":
            return (1 - ssim_map(rebuilt, x, data_range=DATA_RANGE).mean(dim=1)).clamp(min=0)
        difference = x - rebuilt
        if self.residual == "absolute":
            return gaussian_blur(difference.abs().mean(dim=1))
        whitened = torch.einsum("df,bfhw->bdhw", self.whiten, difference)
        return gaussian_blur(whitened.square().mean(dim=1).sqrt())

    def settle(self, batches: Iterable[Batch]) -> None:
        """Fits the covariance of residuals on the pixels that count, and then the table of quantiles on up to 4096
        evenly spread ones of each tile."""
        if self.residual == "whitened":
            self._settle_covariance(batches)
        found = []
        with torch.inference_mode():
            for batch in batches:
                assert batch.y is not None
                for residual, where in zip(self.residuals(batch), self._counted(batch.y), strict=True):
                    chosen = residual[where]
                    found.append(chosen[:: max(1, -(-len(chosen) // _PER_TILE))].cpu())
            normal = torch.cat(found).sort().values if found else torch.empty(0)
        if len(normal):
            at = torch.linspace(0, len(normal) - 1, QUANTILES).round().long()
            self.quantiles.copy_(normal[at])

    def _settle_covariance(self, batches: Iterable[Batch]) -> None:
        """L^-1, where L L' is the mean of r r' over pixels, shrunk: |L^-1 r| is a Mahalanobis distance from 0. Stays as
        it is where no pixel counts or all are rebuilt perfectly."""
        features, pixels = len(self.whiten), 0
        products = torch.zeros(features, features, dtype=torch.float64)
        with torch.inference_mode():
            for batch in batches:
                assert batch.y is not None
                x, counts = self.encode(batch.x), self._counted(batch.y)
                r = (x - self._rebuilt(x, batch)).movedim(1, -1)[counts].double()  # (pixels, F)
                products += r.T @ r
                pixels += len(r)
        covariance = products / max(pixels, 1)
        mean = covariance.trace() / features
        if mean > 0:
            shrunk = covariance + SHRINKAGE * mean * torch.eye(features, dtype=torch.float64)
            self.whiten.copy_(torch.linalg.inv(torch.linalg.cholesky(shrunk)))

    def arguments(self) -> dict[str, Any]:
        names = ("base", "skips", "sigma", "loss", "seed", "percentile", "contamination", "residual")
        return {name: getattr(self, name) for name in names}

    def _rebuilt(self, x: torch.Tensor, batch: Batch) -> torch.Tensor:
        """(B, F, H, W): f(x + z), with fresh noise while training, and noise of the place elsewhere."""
        noise = torch.randn_like(x) if self.training else normal_draws(batch, x.shape[1], seed=self.seed)
        rebuilt: torch.Tensor = self.trunk(self.first(x + self.sigma * noise))
        return rebuilt

    def _counted(self, y: torch.Tensor) -> torch.Tensor:
        """(B, H, W) bool: labelled pixels of tiles that are not contaminated."""
        known, counted = (y == 1).flatten(1).sum(1), (y != UNLABELLED).flatten(1).sum(1)
        return (y != UNLABELLED) & ~(known > self.contamination * counted)[:, None, None]

    def _rank(self, residual: torch.Tensor) -> torch.Tensor:
        """Linear between the quantiles; the middle of a run of equal ones, 0 below all and 1 above."""
        table = self.quantiles
        last = len(table) - 1
        above = torch.searchsorted(table, residual.contiguous()).clamp(1, last)
        low, high = table[above - 1], table[above]
        within = ((residual - low) / (high - low).clamp(min=1e-12)).clamp(0, 1)
        return (above - 1 + within) / last
