"""What images of places have in common: a variational autoencoder of single frames, with nothing told but pixels.

Its latents show what images alone separate, such as regions or seasons. Refuses to call its score a probability: it is
a rank among held-out places.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn

from headscarp.core.band import Band
from headscarp.core.errors import RecipeError, StackError
from headscarp.nets.batch import Batch
from headscarp.nets.layers import Encode
from headscarp.nets.losses import elbo_terms
from headscarp.nets.net import Net, Output, Schedule, Statistics
from headscarp.nets.places import cut_places, spread_places

_DOWN = 8
_QUANTILES = 257
_LOG_VARIANCE = (-6.0, 2.0)


class VAE(Net):
    """Convolutions down to z, and back to the continuous bands of the frame, by the evidence lower bound.

    log p(x | z) is normal with a variance of each band that is learned; bands that a frame does not have, such as those
    of the other sensor, count for nothing. loss = -(log p(x | z) - beta KL) per pixel of a place, in nats. Frames are
    images of their own: no dates, no positions, no weather. The map is the rank of a place's loss among those of the
    validation part, 1 for the strangest. Sources: Kingma and Welling (2014); Higgins et al. (2017) for beta.
    """

    schedule = Schedule("adam", 1e-3, epochs=20, batch_size=16, context_px=0, stop_after=4, sampling="uniform")
    needs_labels = False
    frames = "any"
    outputs = (Output("strangeness"),)
    own_threshold = 0.95
    quantiles: torch.Tensor

    def __init__(
        self,
        bands: Sequence[Band],
        *,
        resolution_m: float,
        statistics: Statistics,
        beta: float = 1.0,
        latents: int = 32,
        base: int = 32,
        place_px: int = 64,
        frames_per_place: int = 4,
        leave_out: Sequence[str] = ("cloud",),
    ) -> None:
        """beta: weight of the KL term. latents: numbers a frame is squeezed into. base: channels of the first layer.
        place_px: side of a place, a multiple of 8. frames_per_place: drawn from each place in a training step; 0: all.
        leave_out: bands that are not read. Raises RecipeError for what cannot be."""
        super().__init__(bands, resolution_m=resolution_m, statistics=statistics)
        for name, value, least in (("beta", beta, 0), ("latents", latents, 1), ("base", base, 1)):
            if not value >= least:
                raise RecipeError(f"{name} is {value}; it has to be at least {least}")
        if place_px < _DOWN or place_px % _DOWN:
            raise RecipeError(f"place_px is {place_px}; it has to be a multiple of {_DOWN}")
        self.beta, self.latents, self.base, self.place_px = float(beta), int(latents), int(base), int(place_px)
        self.frames_per_place, self.leave_out = int(frames_per_place), tuple(leave_out)
        self.align = self.place_px
        self.read = [i for i, b in enumerate(self.bands) if b.kind == "continuous" and b.name not in self.leave_out]
        if not self.read:
            raise StackError("the net vae rebuilds continuous bands, and the stack has none; add one")
        read = [self.bands[i] for i in self.read]
        self.encode = Encode(read, statistics)
        wide, side = 2 * self.base, self.place_px // _DOWN
        self.down = nn.Sequential(
            nn.Conv2d(len(self.encode.names), self.base, 3, 2, 1), nn.ReLU(),
            nn.Conv2d(self.base, wide, 3, 2, 1), nn.ReLU(),
            nn.Conv2d(wide, wide, 3, 2, 1), nn.ReLU(), nn.Flatten(),
        )  # fmt: skip
        self.moments = nn.Linear(wide * side * side, 2 * self.latents)
        self.lift = nn.Linear(self.latents, wide * side * side)
        self.up = nn.Sequential(
            nn.Unflatten(1, (wide, side, side)), nn.ReLU(),
            nn.Upsample(scale_factor=2), nn.Conv2d(wide, wide, 3, 1, 1), nn.ReLU(),
            nn.Upsample(scale_factor=2), nn.Conv2d(wide, self.base, 3, 1, 1), nn.ReLU(),
            nn.Upsample(scale_factor=2), nn.Conv2d(self.base, len(read), 3, 1, 1),
        )  # fmt: skip
        self.log_variance = nn.Parameter(torch.zeros(len(read)))
        self.register_buffer("quantiles", torch.linspace(0, 1, _QUANTILES))

    def losses(self, batch: Batch) -> dict[str, torch.Tensor]:
        """{"reconstruction", "kl"}: nats per pixel of a frame, mean over the frames that are there, of places with a
        pixel that counts."""
        assert batch.y is not None
        images, owner = self.images(batch, drawn=self.frames_per_place if self.training else 0)
        counts = (cut_places(batch.y, self.place_px) != 255).flatten(1).any(1)[owner]  # (F,)
        reconstruction, kl = self._terms(images)
        pixels = self.place_px**2
        share = counts / (counts.sum().clamp(min=1) * pixels)
        return {"reconstruction": -(reconstruction * share).sum(), "kl": self.beta * (kl * share).sum()}

    def predict(self, batch: Batch) -> torch.Tensor:
        """(B, 1, H, W): the rank of each place among held-out ones, by the mean loss of its frames; 0 without any."""
        table = self.quantiles
        rank = torch.searchsorted(table, self._strangeness(batch).contiguous()).float() / len(table)
        return spread_places(rank[:, None], (batch.x.shape[-2], batch.x.shape[-1]), self.place_px)

    def settle(self, batches: Iterable[Batch]) -> None:
        """Fits the table of ranks on the validation part."""
        with torch.inference_mode():
            found = [self._strangeness(batch) for batch in batches]
        if found:
            held = torch.cat(found)
            held = held[held.isfinite()].sort().values
            if len(held):
                self.quantiles.copy_(held[torch.linspace(0, len(held) - 1, _QUANTILES).round().long()])

    def images(self, batch: Batch, *, drawn: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
        """The frames that are there as single images (F, C, p, p), bands that are read in raw units, and the place of
        each, (F,). drawn: at most so many of each place, at random; 0: all."""
        x = batch.x if batch.x.ndim == 5 else batch.x[:, None]
        present = batch.present if batch.present is not None else x.new_ones(x.shape[:2], dtype=torch.bool)
        if drawn:
            order = torch.where(present, torch.rand(present.shape, device=x.device), 2.0).argsort(dim=1).argsort(dim=1)
            present = present & (order < drawn)
        places = cut_places(x[:, :, self.read], self.place_px)  # (N, T, C, p, p)
        there = present.repeat_interleave(len(places) // len(x), dim=0)
        return places[there], there.nonzero()[:, 0]

    def encoded(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(F, Z) mean and (F, Z) log variance of the latents of images (F, C, p, p)."""
        mean, log_variance = self.moments(self.down(self.encode(images))).chunk(2, dim=1)
        return mean, log_variance.clamp(-12, 6)

    def decoded(self, latents: torch.Tensor) -> torch.Tensor:
        """(F, C, p, p) bands in raw units from latents (F, Z)."""
        made = self.up(self.lift(latents))
        raw: torch.Tensor = made * self.encode.std[:, None, None] + self.encode.mean[:, None, None]
        return raw

    def elbo(self, images: torch.Tensor) -> torch.Tensor:
        """(F,) evidence lower bound of each image, beta 1, nats per pixel, at the mean of its latents in evaluation."""
        reconstruction, kl = self._terms(images)
        return (reconstruction - kl) / self.place_px**2

    def arguments(self) -> dict[str, Any]:
        names = ("beta", "latents", "base", "place_px", "frames_per_place")
        return {**{name: getattr(self, name) for name in names}, "leave_out": list(self.leave_out)}

    def _terms(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mean, log_variance = self.encoded(images)
        z = mean + torch.randn_like(mean) * (log_variance / 2).exp() if self.training else mean
        scaled = (images - self.encode.mean[:, None, None]) / self.encode.std[:, None, None]
        return elbo_terms(scaled, self.up(self.lift(z)), self.log_variance.clamp(*_LOG_VARIANCE), (mean, log_variance))

    def _strangeness(self, batch: Batch) -> torch.Tensor:
        """(N,) mean negative ELBO of the frames of each place, nats per pixel; -inf without a frame."""
        images, owner = self.images(batch)
        count = (batch.x.shape[-2] // self.place_px) * (batch.x.shape[-1] // self.place_px) * len(batch.x)
        sums, held = images.new_zeros(count), images.new_zeros(count)
        if len(images):
            sums.index_add_(0, owner, -self.elbo(images))
            held.index_add_(0, owner, torch.ones_like(owner, dtype=sums.dtype))
        return torch.where(held > 0, sums / held.clamp(min=1), torch.full_like(sums, float("-inf")))
