"""What the one likeliest future is learned by: all that `direct` says, and what `flow` begins from. Refuses nothing."""

from abc import abstractmethod

import torch

from headscarp.nets.batch import Batch
from headscarp.nets.futures import FutureNet
from headscarp.nets.turns import mean_over_looks

NORTH = ":north"


class Guesses(FutureNet):
    """A net of futures that also says how likely each pixel is changed, without drawing any.

    turns: over how many flips and turns of the ground that is a mean, 1, 2, 4 or 8, see `nets.turns`. With 8 it turns
    with the ground. The guess itself has one look, while training and where futures begin from it."""

    turns: int = 1

    @abstractmethod
    def guessed(self, features: torch.Tensor, told: torch.Tensor) -> torch.Tensor:
        """(B, K + 1, H, W) planes of the guess, from what `features` and `told` give."""

    def likely(self, batch: Batch) -> torch.Tensor:
        """(B, H, W) probabilities."""
        batch = self.as_picture(batch)
        told = self.told(batch)

        def run(features: torch.Tensor) -> torch.Tensor:
            return self.gate(batch, halved(self.guessed(features, told)))[0]

        directions = [i for i, name in enumerate(self.encode.names) if name.endswith(NORTH)]
        return mean_over_looks(run, self.features(batch), directions, self.turns)[:, 0]


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
