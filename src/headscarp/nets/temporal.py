"""Layers over frames: attention that ignores what is not there, a convolutional LSTM, and the encoding of days.

Frames may stand in any order with any gaps: what counts is the day of each. Refuses nothing; where no frame is there,
attention rests on one learned token that means "nothing seen".
"""

import math
from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable

_LONGEST_DAYS = 1000.0


def encode_days(days: torch.Tensor, channels: int) -> torch.Tensor:
    """(..., channels) sines and cosines of days, from days to about 3 years; 0 where days are NaN.

    The day offset of L-TAE (Garnot and Landrieu 2020) in place of the position in the sequence.
    """
    steps = torch.arange(channels // 2, device=days.device, dtype=torch.float32)
    rate = torch.exp(-math.log(_LONGEST_DAYS) * 2 * steps / channels)
    angles = torch.nan_to_num(days)[..., None] * rate
    encoded = torch.cat([angles.sin(), angles.cos()], dim=-1)
    return torch.where(torch.isnan(days)[..., None], torch.zeros_like(encoded), encoded)


class FrameAttention(nn.Module):
    """Lightweight temporal attention: a learned query a head, keys from the frames, values their own channels.

    Each head reads its share of the channels. A further token that stands for no frame is always there, so that the
    weights of frames need not sum up to 1. Source: Garnot and Landrieu (2020), L-TAE, with d_k = 4.
    """

    def __init__(self, channels: int, *, heads: int = 4, d_k: int = 4) -> None:
        super().__init__()
        self.heads, self.d_k = heads, d_k
        self.nothing = nn.Parameter(torch.zeros(channels))
        self.query = nn.Parameter(torch.randn(heads, d_k) / math.sqrt(d_k))
        self.norm = nn.LayerNorm(channels)
        self.keys = nn.Linear(channels, heads * d_k)
        self.out = nn.Sequential(nn.Linear(channels, channels), nn.LayerNorm(channels), nn.ReLU())

    def forward(
        self, values: torch.Tensor, tokens: torch.Tensor, present: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """values: (N, T, D) of the frames. tokens: (N, T, D), what to add to them (days, metadata). present: (N, T).

        Returns (N, D), and the weights (N, heads, T), 0 where no frame is; what is left of 1 rests on "nothing".
        """
        n, t, d = values.shape
        seen = torch.cat([values + tokens, self.nothing.expand(n, 1, d)], dim=1)  # (N, T + 1, D)
        seen = self.norm(seen)
        scores = nn.functional.linear(seen, *self._asked()).transpose(1, 2)  # (N, heads, T + 1)
        there = torch.cat([present, torch.ones_like(present[:, :1])], dim=1)
        weights = scores.masked_fill(~there[:, None], float("-inf")).softmax(dim=-1)
        parts = seen.masked_fill(~there[..., None], 0.0).view(n, t + 1, self.heads, d // self.heads)
        read = torch.einsum("nht,nthc->nhc", weights, parts).reshape(n, d)
        out: torch.Tensor = self.out(read)
        return out, weights[..., :t]

    def _asked(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Weights (heads, D) and bias (heads,) of what each query makes of the key of a frame, in one product: the
        query is the same for every frame."""
        asked = self.query / math.sqrt(self.d_k)
        keys, bias = self.keys.weight.view(self.heads, self.d_k, -1), self.keys.bias.view(self.heads, self.d_k)
        return torch.einsum("hk,hkd->hd", asked, keys), (asked * bias).sum(dim=1)


def mixed(weights: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
    """(N, heads, D, h, w): the sum over T of weights (N, heads, T, h, w) times frames (N, T, D, h, w).

    Frame by frame on whole planes: for a handful of frames a product of tiny matrices at every pixel takes twice as
    long. It can be differentiated once.
    """
    found: torch.Tensor = _Mixed.apply(weights, frames)
    return found


class _Mixed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weights: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(weights, frames)
        found = weights[:, :, 0, None] * frames[:, None, 0]
        for t in range(1, frames.shape[1]):
            found.addcmul_(weights[:, :, t, None], frames[:, None, t])
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        weights, frames = ctx.saved_tensors
        of_weights, of_frames = (torch.empty_like(one, dtype=grad.dtype) for one in (weights, frames))
        for t in range(frames.shape[1]):
            torch.sum(grad * frames[:, None, t], dim=2, out=of_weights[:, :, t])
            torch.sum(grad * weights[:, :, t, None], dim=1, out=of_frames[:, t])
        return of_weights.to(weights.dtype), of_frames.to(frames.dtype)


class ConvLSTM(nn.Module):
    """A convolutional LSTM over frames in the order of their days; frames that are not there leave its state alone.

    Source: Shi et al. (2015).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gates = nn.Conv2d(2 * channels, 4 * channels, 3, padding=1)

    def forward(self, frames: torch.Tensor, days: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        """frames: (B, T, D, h, w). days: (B, T). present: (B, T). Returns the last hidden state, (B, D, h, w)."""
        order = torch.where(present, torch.nan_to_num(days), float("-inf")).argsort(dim=1, stable=True)
        hidden = torch.zeros_like(frames[:, 0])
        cell = torch.zeros_like(hidden)
        rows = torch.arange(len(frames), device=frames.device)
        for step in range(frames.shape[1]):
            at = order[:, step]
            gates = self.gates(torch.cat([frames[rows, at], hidden], dim=1))
            i, f, o, g = gates.chunk(4, dim=1)
            new_cell = torch.sigmoid(f + 1) * cell + torch.sigmoid(i) * torch.tanh(g)
            new_hidden = torch.sigmoid(o) * torch.tanh(new_cell)
            there = present[rows, at].view(-1, 1, 1, 1)
            cell, hidden = torch.where(there, new_cell, cell), torch.where(there, new_hidden, hidden)
        return hidden
