"""What befell a place between two frames, or what it is: one class of those that places of a stack are named by.

The net judges places, squares of ground, from their first and their last frame. It is told no date, no position and no
weather: which places were looked at when is no property of the ground. Refuses stacks without frames or classes.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn

from headscarp.core.band import Band
from headscarp.core.errors import RecipeError, StackError
from headscarp.nets.batch import Batch
from headscarp.nets.layers import Encode
from headscarp.nets.net import Net, Output, Schedule, Statistics
from headscarp.nets.places import cut_places, repeat_places, spread_places
from headscarp.nets.unet import batch_norm

_DOWN = 8
_ENOUGH = 8  # places, to fit a temperature on


class Kind(Net):
    """The first and the last frame through the same convolutions; both and their difference through further ones; the
    mean and the maximum over the place decide. It is small, so that few places teach it.

    Bands that a frame lacks count as their mean. Probabilities of classes sum up to 1; one temperature for all of them
    is fitted on the validation part. Confidence is the largest of them.
    """

    schedule = Schedule(
        "adam", 2e-3, epochs=24, batch_size=32, weight_decay=1e-4, schedule="poly", average=0.9, context_px=0,
        sampling="uniform",
    )  # fmt: skip
    needs_labels = False
    frames = "needed"
    judges_classes = True
    temperature: torch.Tensor

    def __init__(
        self,
        bands: Sequence[Band],
        *,
        resolution_m: float,
        statistics: Statistics,
        classes: Sequence[str] | None = None,
        place_px: int = 64,
        channels: int = 24,
        dropout: float = 0.4,
    ) -> None:
        """classes: their names in order; None: those of the training places. place_px: side of a place, a multiple of
        8. channels: of the first layer. Raises RecipeError for what cannot be, StackError without classes."""
        super().__init__(bands, resolution_m=resolution_m, statistics=statistics)
        names = tuple(statistics.classes) if classes is None else tuple(classes)
        if len(names) < 2 or len(set(names)) < len(names):
            raise StackError(
                f"the net kind learns classes of places, and there are {len(names)}: {', '.join(names) or 'none'}; "
                "build a stack whose samples have classes, with [pairs] or [simulate]"
            )
        if place_px < _DOWN or place_px % _DOWN:
            raise RecipeError(f"place_px is {place_px}; it has to be a multiple of {_DOWN}")
        if channels < 1 or not 0 <= dropout < 1:
            raise RecipeError(f"channels is {channels}, dropout {dropout}; needed: at least 1, and from 0 to below 1")
        self.classes, self.place_px = names, int(place_px)
        self.channels, self.dropout = int(channels), float(dropout)
        self.align = self.place_px
        self.outputs = (*(Output(f"kind: {name}") for name in names), Output("confidence"))
        self.encode = Encode(self.bands, statistics)
        wide = self.channels
        self.look = nn.Sequential(*_stage(len(self.encode.names), wide), *_stage(wide, 2 * wide))
        self.compare = nn.Sequential(*_stage(6 * wide, 4 * wide), *_stage(4 * wide, 4 * wide)[:-1])
        self.head = nn.Sequential(nn.Dropout(self.dropout), nn.Linear(8 * wide, len(names)))
        self.register_buffer("temperature", torch.ones(1))

    def losses(self, batch: Batch) -> dict[str, torch.Tensor]:
        """{"nll"}: mean over the places whose class is known, nats."""
        known = self._kind(batch)
        log_p = torch.log_softmax(self._logits(batch), dim=1)
        chosen = log_p.gather(1, known.clamp(min=0)[:, None])[:, 0]
        counts = known >= 0
        return {"nll": -torch.where(counts, chosen, torch.zeros_like(chosen)).sum() / counts.sum().clamp(min=1)}

    def predict(self, batch: Batch) -> torch.Tensor:
        """(B, K + 1, H, W): the probability of each class, and the largest of them, over the pixels of each place."""
        p = torch.softmax(self._logits(batch, whole=False).float() / self.temperature, dim=1)
        told = torch.cat([p, p.amax(dim=1, keepdim=True)], dim=1)
        return spread_places(told, (batch.x.shape[-2], batch.x.shape[-1]), self.place_px)

    def counted(self, batch: Batch) -> torch.Tensor:
        """How many places are of a known class."""
        return (self._kind(batch) >= 0).sum()

    def judged(self, batch: Batch, predicted: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, K) probability of each class, mean over a tile, and whether the place is of it; 255 where not known."""
        kind = self._kind(batch)
        holds = (kind[:, None] == torch.arange(len(self.classes), device=kind.device)).to(torch.uint8)
        holds = torch.where(kind[:, None] >= 0, holds, torch.full_like(holds, 255))
        return predicted[:, : len(self.classes)].mean(dim=(-2, -1)), holds

    def settle(self, batches: Iterable[Batch]) -> None:
        """Fits the temperature on the validation part; it stays 1 where fewer than 8 places are known."""
        with torch.inference_mode():
            pairs = [(self._logits(batch), self._kind(batch)) for batch in batches]
        if not pairs:
            return
        logits, kind = (torch.cat(parts).clone() for parts in zip(*pairs, strict=True))
        logits, kind = logits[kind >= 0].double(), kind[kind >= 0]
        if len(kind) < _ENOUGH:
            return
        steps = torch.linspace(-1.5, 1.5, 121, dtype=torch.float64).exp()
        losses = [float(nn.functional.cross_entropy(logits / step, kind)) for step in steps]
        self.temperature.fill_(float(steps[int(torch.tensor(losses).argmin())]))

    def arguments(self) -> dict[str, Any]:
        names = ("place_px", "channels", "dropout")
        return {"classes": list(self.classes), **{name: getattr(self, name) for name in names}}

    def _logits(self, batch: Batch, *, whole: bool = True) -> torch.Tensor:
        """(B, K) of tiles, the mean over their places; (B * n, K) of places where not `whole`."""
        if batch.x.ndim != 5:
            raise StackError("the net kind reads frames in time, and the stack has none; build a stack of pairs")
        shape = (batch.x.shape[-2], batch.x.shape[-1])
        b, t = batch.x.shape[:2]
        present = torch.ones(b, t, dtype=torch.bool, device=batch.x.device) if batch.present is None else batch.present
        order = torch.arange(t, device=batch.x.device)
        first = torch.where(present, order, t).amin(dim=1).clamp(max=t - 1)
        last = torch.where(present, order, -1).amax(dim=1).clamp(min=0)
        places = cut_places(batch.x, self.place_px)  # (N, T, C, p, p)
        rows = torch.arange(len(places), device=batch.x.device)
        chosen = [places[rows, repeat_places(at, shape, self.place_px)] for at in (first, last)]
        before, after = (self.look(self.encode(frame)) for frame in chosen)
        seen = self.compare(torch.cat([before, after, after - before], dim=1))
        logits: torch.Tensor = self.head(torch.cat([seen.mean(dim=(-2, -1)), seen.amax(dim=(-2, -1))], dim=1))
        return logits.view(b, -1, logits.shape[1]).mean(dim=1) if whole else logits

    def _kind(self, batch: Batch) -> torch.Tensor:
        if batch.kind is None:
            return torch.full((len(batch.x),), -1, dtype=torch.int64, device=batch.x.device)
        return batch.kind


def _stage(features: int, channels: int) -> tuple[nn.Module, ...]:
    """A convolution and, last, pixels of twice the side."""
    layer = nn.Conv2d(features, channels, 3, padding=1, bias=False)
    return (layer, *batch_norm(channels), nn.ReLU(), nn.MaxPool2d(2))
