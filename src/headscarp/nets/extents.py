"""How far a task goes in a place as a whole, as numbers of one scale for all tasks. Refuses nothing."""

import torch
from torch import nn

_LEAST, _MOST = 1e-4, 5.0


class Extents(nn.Module):
    """Means of the planes over a place, in standard deviations from the mean of the training places under the same
    task, so that the shares of a road and of a forest that was felled are told alike.

    Training places are added up step by step; a number that never varies under a task is 0.
    """

    sums: torch.Tensor

    def __init__(self, tasks: int, planes: int) -> None:
        super().__init__()
        self.register_buffer("sums", torch.zeros(3, tasks, planes, dtype=torch.float64))

    def forward(self, planes: torch.Tensor, counts: torch.Tensor, task: torch.Tensor) -> torch.Tensor:
        """planes: (B, K, H, W). counts: (B, 1, H, W), 0 or 1. task: (B,) whole numbers. Returns (B, K, H, W), the same
        at each pixel of a place."""
        means = ((planes * counts).sum(dim=(-2, -1)) / counts.sum(dim=(-2, -1)).clamp(min=1)).double()
        if self.training:
            with torch.no_grad():
                self.sums.index_add_(1, task, torch.stack([torch.ones_like(means), means, means.square()]))
        n, first, second = self.sums[:, task]
        mean = first / n.clamp(min=1)
        spread = (second / n.clamp(min=1) - mean.square()).clamp(min=0).sqrt()
        told = torch.where(spread > _LEAST, (means - mean) / spread.clamp(min=_LEAST), 0.0).clamp(-_MOST, _MOST)
        return told.float()[:, :, None, None].expand(-1, -1, *planes.shape[-2:])
