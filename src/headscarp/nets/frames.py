"""What reads the frames of a place: encoders from pixels over time to one picture of features, in one dict.

All take the same and give the same, so a net names one. Frames that are not there change nothing, and neither does the
order of slots.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from headscarp.nets.temporal import ConvLSTM, FrameAttention, mixed
from headscarp.nets.unet import batch_norm

DOWN = 8
"""Pixels of a place per cell of what encoders give."""


@dataclass(frozen=True)
class Seen:
    """What an encoder saw. coarse: (N, D, p / 8, p / 8). fine: (N, E, p / 2, p / 2), for the map of pixels.

    attention: (N, T) share of what was read that came from each frame, 0 where no frame is; sums up to 1 at most.
    look: (N, D) mean of the frames before any is preferred to another.
    """

    coarse: torch.Tensor
    fine: torch.Tensor
    attention: torch.Tensor
    look: torch.Tensor


class FrameEncoder(nn.Module, ABC):
    """From encoded frames to `Seen`. reads: makes further features of the bands of a frame (N, C, p, p) as they are,
    which stand behind the encoded ones; None: there are none."""

    fine_channels: int
    reads: nn.Module | None

    def __init__(self) -> None:
        super().__init__()
        self.reads = None

    @abstractmethod
    def forward(self, x: torch.Tensor, tokens: torch.Tensor, days: torch.Tensor, present: torch.Tensor) -> Seen:
        """x: (N, T, F, p, p), finite. tokens: (N, T, D), days and metadata. days, present: (N, T)."""


class SpaceFirst(FrameEncoder):
    """Each frame through the same convolutions, then attention over frames at every cell (as in U-TAE)."""

    def __init__(self, features: int, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.stem, self.down = stem_of(features, half), down_of(half, channels)
        self.attention = FrameAttention(channels)
        self.fine_channels = self.attention.heads * half

    def forward(self, x: torch.Tensor, tokens: torch.Tensor, days: torch.Tensor, present: torch.Tensor) -> Seen:
        fine, coarse = each_frame(x, present, self.stem, self.down)
        return attended(self.attention, fine, coarse, tokens, present)


class TimeFirst(FrameEncoder):
    """Attention over frames at every 4 x 4 pixels, then convolutions over what it read."""

    def __init__(self, features: int, channels: int) -> None:
        super().__init__()
        self.fine_channels = channels
        self.lift = nn.Sequential(nn.AvgPool2d(4), nn.Conv2d(features, channels, 1), nn.ReLU())
        self.attention = FrameAttention(channels)
        self.down = stem_of(channels, channels)

    def forward(self, x: torch.Tensor, tokens: torch.Tensor, days: torch.Tensor, present: torch.Tensor) -> Seen:
        n, t = present.shape
        lifted = each_frame(x, present, self.lift)[0]
        read, weights = _attend(self.attention, lifted, tokens, present)
        fine = nn.functional.interpolate(read, scale_factor=2, mode="bilinear", align_corners=False)
        return Seen(self.down(read), fine, weights.mean(dim=(1, -2, -1)).view(n, t), _look(lifted, present))


class Recurrent(FrameEncoder):
    """Each frame through the same convolutions, then a convolutional LSTM in the order of days.

    It has no attention: what it tells as such is the last frame.
    """

    def __init__(self, features: int, channels: int) -> None:
        super().__init__()
        self.fine_channels = channels // 2
        self.stem, self.down = stem_of(features, self.fine_channels), down_of(self.fine_channels, channels)
        self.lstm = ConvLSTM(channels)

    def forward(self, x: torch.Tensor, tokens: torch.Tensor, days: torch.Tensor, present: torch.Tensor) -> Seen:
        fine, coarse = each_frame(x, present, self.stem, self.down)
        read = self.lstm(coarse + tokens[..., None, None], days, present)
        newest = torch.where(present, torch.nan_to_num(days), float("-inf")).argmax(dim=1)
        last = nn.functional.one_hot(newest, present.shape[1]).to(fine.dtype) * present
        return Seen(read, torch.einsum("nt,ntchw->nchw", last, fine), last, _look(coarse, present))


class Stills(FrameEncoder):
    """No attention and no convolutions: the mean over frames of what every 8 x 8 pixels are like.

    What is known of single pixels is left to the still pictures, so that there is little to learn by heart.
    """

    def __init__(self, features: int, channels: int) -> None:
        super().__init__()
        self.fine_channels = 0
        self.lift = nn.Sequential(nn.AvgPool2d(DOWN), nn.Conv2d(features, channels, 1), nn.ReLU())

    def forward(self, x: torch.Tensor, tokens: torch.Tensor, days: torch.Tensor, present: torch.Tensor) -> Seen:
        lifted = each_frame(x, present, self.lift)[0]
        share = present.to(x.dtype) / present.sum(dim=1, keepdim=True).clamp(min=1)
        told = torch.relu(lifted + tokens[..., None, None]) * present[..., None, None, None]
        coarse = torch.einsum("nt,ntchw->nchw", share, told)
        fine = x.new_zeros(len(x), 0, x.shape[-2] // 2, x.shape[-1] // 2)
        return Seen(coarse, fine, share, _look(lifted, present))


ENCODERS: dict[str, Callable[[int, int], FrameEncoder]] = {
    "ltae": SpaceFirst,
    "temporal_first": TimeFirst,
    "convlstm": Recurrent,
    "stills": Stills,
}


def attended(
    attention: FrameAttention, fine: torch.Tensor, coarse: torch.Tensor, tokens: torch.Tensor, present: torch.Tensor
) -> Seen:
    """Frames by attention at every cell: fine (N, T, E, p / 2, p / 2) by the weights that coarse (N, T, D, p / 8,
    p / 8) got."""
    n, t = present.shape
    read, weights = _attend(attention, coarse, tokens, present)
    wide = nn.functional.interpolate(weights.flatten(1, 2), size=fine.shape[-2:], mode="bilinear")
    chosen = mixed(wide.unflatten(1, weights.shape[1:3]), fine).flatten(1, 2)
    shares = weights.mean(dim=(1, -2, -1)).view(n, t)
    return Seen(read, chosen, shares, _look(coarse, present))


def each_frame(x: torch.Tensor, present: torch.Tensor, *layers: nn.Module) -> list[torch.Tensor]:
    """What each of the layers, one after the other, makes of the frames that are there; 0 elsewhere: (N, T, ...)."""
    made = []
    if not present.any():  # normalisation wants a frame; nobody reads it
        present = torch.zeros_like(present).index_fill(0, torch.zeros(1, dtype=torch.long, device=present.device), True)
    all_there = bool(present.all())
    held = x.flatten(0, 1) if all_there else x[present]
    for layer in layers:
        held = layer(held)
        if all_there:
            made.append(held.unflatten(0, present.shape))
            continue
        whole = held.new_zeros((*present.shape, *held.shape[1:]))
        whole[present] = held
        made.append(whole)
    return made


def _look(frames: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
    """(N, T, D, h, w) -> (N, D): the mean over what is there, 0 without a frame."""
    there = present[..., None].to(frames.dtype)
    return (frames.mean(dim=(-2, -1)) * there).sum(dim=1) / there.sum(dim=1).clamp(min=1)


def _attend(
    attention: FrameAttention, frames: torch.Tensor, tokens: torch.Tensor, present: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """frames: (N, T, D, h, w). Returns (N, D, h, w), and the weights (N, heads, T, h, w)."""
    n, t, d, h, w = frames.shape
    values = frames.permute(0, 3, 4, 1, 2).reshape(n * h * w, t, d)
    spread = tokens[:, None].expand(n, h * w, t, d).reshape(n * h * w, t, d)
    there = present[:, None].expand(n, h * w, t).reshape(n * h * w, t)
    read, weights = attention(values, spread, there)
    heads = weights.shape[1]
    return (
        read.view(n, h, w, d).permute(0, 3, 1, 2),
        weights.view(n, h, w, heads, t).permute(0, 3, 4, 1, 2),
    )


def stem_of(features: int, channels: int) -> nn.Module:
    """A convolution to pixels of twice the side."""
    return nn.Sequential(nn.Conv2d(features, channels, 3, 2, 1, bias=False), *batch_norm(channels), nn.ReLU())


def down_of(channels: int, wider: int) -> nn.Module:
    """From pixels of twice the side to those of eight times."""
    return nn.Sequential(stem_of(channels, wider), stem_of(wider, wider))
