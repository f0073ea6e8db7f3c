"""What the one likeliest future is learned by: all that `direct` says, and what `flow` begins from. Refuses nothing."""

from abc import ABC, abstractmethod

import torch

from headscarp.nets.batch import Batch


class Guesses(ABC):
    """Of a net of futures: that it also says how likely each pixel is changed, without drawing any."""

    @abstractmethod
    def likely(self, batch: Batch) -> torch.Tensor:
        """(B, H, W) probabilities."""


def guess_losses(
    said: torch.Tensor, planes: torch.Tensor, counts: torch.Tensor, *, anywhere: torch.Tensor
) -> dict[str, torch.Tensor]:
    """{"change", "done"}: absolute error of the change where there is one, square error of where.

    said, planes: (B, K + 1, H, W) as in `FutureNet`. counts: (B, 1, H, W), 0 or 1. anywhere: (B,) whether all of a tile
    may change.
    """
    there = counts * ((planes[:, -1:] > 0) | anywhere[:, None, None, None])
    change = (said[:, :-1] - planes[:, :-1]).abs().mean(dim=1, keepdim=True)
    done = (said[:, -1:] - planes[:, -1:]).square()
    return {
        "change": (change * there).sum() / there.sum().clamp(min=1),
        "done": (done * counts).sum() / counts.sum().clamp(min=1),
    }


def halved(guess: torch.Tensor) -> torch.Tensor:
    """The planes of a guess, (B, K + 1, H, W), with a gate that is the probability of a change."""
    return torch.cat([guess[:, :-1], guess[:, -1:] / 2], dim=1)
