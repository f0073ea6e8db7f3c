"""What the net forecast says of places: as it is told, and as its layers give it. Holds numbers and nothing else."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Outlook:
    """What the net says of N places. hazards: (N, K) P(event within each horizon). causes: (N, 6) P(cause, given an
    event). where: (N, p, p) P(pixel slides, given an event). traces: (N, L, p, p) P(pixel shows each of TRACES).
    confidence, familiarity: (N,). attention: (N, T) share of what was read that came from each frame."""

    hazards: torch.Tensor
    causes: torch.Tensor
    where: torch.Tensor
    traces: torch.Tensor
    confidence: torch.Tensor
    familiarity: torch.Tensor
    attention: torch.Tensor


@dataclass(frozen=True)
class Raw:
    """Of N places, before calibration. rate, cause: (N, K) raw rates of intervals, log-odds of causes. where, traces:
    see `Ground`. embedding: (N, D) what places are told apart by. attention: (N, T)."""

    rate: torch.Tensor
    cause: torch.Tensor
    where: torch.Tensor
    traces: torch.Tensor
    embedding: torch.Tensor
    attention: torch.Tensor
