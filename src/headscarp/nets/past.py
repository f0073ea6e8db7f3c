"""A series of past frames as a net that makes pictures reads it: the newest clear value of each pixel, and what the
frames show over time.

Missing values (clouds, slots without a frame, what was not seen yet) change nothing, and neither does the order of
slots. Every pixel stands alone, so tiles fit together. Nothing here is learned. Refuses stacks without bands in frames.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import nn

from headscarp.core.band import Band
from headscarp.core.errors import StackError
from headscarp.nets.batch import Batch
from headscarp.nets.look import medians, over_time
from headscarp.nets.net import Statistics

_PIXELS_AT_ONCE = 1 << 16  # of a tile, so that sorting frames takes little memory
_MOST_COUNTED = 4.0


class Past(nn.Module):
    """Bands that stand in frames (continuous and optional) become their newest clear value; others stay.

    channels: of what the frames show beside it: mean and deviation over time, and the median of the newer half minus
    that of the older one, all in standard deviations of each band; how old the newest value is (hundreds of days), and
    how many there are (in threes).
    """

    usual: torch.Tensor
    wide: torch.Tensor

    def __init__(self, bands: Sequence[Band], statistics: Statistics, *, needed: Sequence[str]) -> None:
        """bands: what x holds, in order. needed: those without which a pixel counts as not seen. Raises StackError
        where one of these does not stand in frames."""
        super().__init__()
        self.framed = [i for i, band in enumerate(bands) if band.kind == "continuous" and band.optional]
        names = [bands[i].name for i in self.framed]
        still = [name for name in needed if name not in names]
        if still:
            raise StackError(
                f"{', '.join(still)} of the stack has no frames; build scenarios with frames in [scenarios]"
            )
        self.needed = [names.index(name) for name in needed]
        self.register_buffer("usual", torch.tensor([float(statistics.mean[n]) for n in names])[:, None, None])
        self.register_buffer("wide", torch.tensor([float(statistics.std[n]) for n in names])[:, None, None])
        self.channels = 3 * len(self.framed) + 2

    @torch.no_grad()
    def forward(self, batch: Batch) -> Batch:
        """The batch of a series, x (B, T, C, H, W), as one of pictures: x (B, C, H, W), valid where a frame shows the
        ground, past (B, channels, H, W). Numbers of frames are gone; those of the task stay."""
        b, t = batch.x.shape[:2]
        present = torch.ones(b, t, dtype=torch.bool, device=batch.x.device) if batch.present is None else batch.present
        days = batch.days if batch.days is not None else torch.zeros(b, t, device=batch.x.device)
        step = max(1, _PIXELS_AT_ONCE // batch.x.shape[-1])
        rows = [self._rows(batch.x[..., start : start + step, :], days, present) for start in _steps(batch.x, step)]
        newest, shown = (torch.cat(parts, dim=-2) for parts in zip(*rows, strict=True))
        x = batch.x[:, 0].clone()
        x[:, self.framed] = newest
        told = batch.metadata if batch.metadata is not None and batch.metadata.ndim == 2 else None
        seen = torch.isfinite(newest[:, self.needed]).all(dim=1)
        return replace(batch, x=x, valid=batch.valid & seen, past=shown, days=None, present=None, metadata=told)

    def _rows(self, x: torch.Tensor, days: torch.Tensor, present: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Newest values (B, K, h, W), NaN where there is none, and what is shown over time."""
        framed = x[:, :, self.framed]
        newest, _, mean, deviation, age, count = over_time(framed, days, present)
        seen = count > 0
        _, newer, older = medians(framed, days, present)
        planes = [
            torch.where(seen, (mean - self.usual) / self.wide, 0.0),
            deviation / self.wide,
            torch.nan_to_num((newer - older) / self.wide),
            age.mean(dim=1, keepdim=True),
            count.mean(dim=1, keepdim=True).clamp(max=_MOST_COUNTED),
        ]
        return torch.where(seen, newest, torch.nan), torch.cat(planes, dim=1)


def _steps(x: torch.Tensor, step: int) -> range:
    return range(0, x.shape[-2], step)
