"""How far a task goes in a place as a whole, as numbers of one scale for all tasks. Refuses nothing."""

from typing import Any

import torch
from torch import nn

_LEAST, _MOST = 1e-4, 5.0


class Extents(nn.Module):
    """Means of the planes over a place, in standard deviations from the mean of the training places under the same
    task, so that the shares of a road and of a forest that was felled are told alike.

    Training places are added up step by step; a number that never varies under a task is 0. products: how numbers go
    together, for `usual`; bundles from before do not have them, there numbers go each for itself.
    """

    sums: torch.Tensor
    products: torch.Tensor

    def __init__(self, tasks: int, planes: int) -> None:
        super().__init__()
        self.register_buffer("sums", torch.zeros(3, tasks, planes, dtype=torch.float64))
        self.register_buffer("products", torch.zeros(tasks, planes, planes, dtype=torch.float64))

    def forward(self, planes: torch.Tensor, counts: torch.Tensor, task: torch.Tensor) -> torch.Tensor:
        """planes: (B, K, H, W). counts: (B, 1, H, W), 0 or 1. task: (B,) whole numbers. Returns (B, K, H, W), the same
        at each pixel of a place."""
        means = ((planes * counts).sum(dim=(-2, -1)) / counts.sum(dim=(-2, -1)).clamp(min=1)).double()
        if self.training:
            with torch.no_grad():
                self.sums.index_add_(1, task, torch.stack([torch.ones_like(means), means, means.square()]))
                self.products.index_add_(0, task, means[:, :, None] * means[:, None])
        mean, spread = self._scale(task)
        told = torch.where(spread > _LEAST, (means - mean) / spread.clamp(min=_LEAST), 0.0).clamp(-_MOST, _MOST)
        return told.float()[:, :, None, None].expand(-1, -1, *planes.shape[-2:])

    def of_plane(self, mean: torch.Tensor, task: torch.Tensor) -> torch.Tensor:
        """(B, 1, H, W) the extent of the last plane where its mean around is that. mean: the same. task: (B,)."""
        usual, spread = (of[:, -1].float()[:, None, None, None] for of in self._scale(task))
        return torch.where(spread > _LEAST, (mean - usual) / spread.clamp(min=_LEAST), 0.0).clamp(-_MOST, _MOST)

    def usual(self, x: torch.Tensor, task: torch.Tensor, t: float) -> torch.Tensor:
        """(B, K, H, W) what extents are likely to be that were mixed with noise into x = (1 - t) noise + t extents, if
        nothing is known but how they are among all training places of the task, as a normal distribution."""
        held = self._together(task)
        mixed = t**2 * held + (1 - t) ** 2 * torch.eye(held.shape[-1], dtype=held.dtype, device=held.device)
        likely = torch.linalg.solve(mixed, t * held)  # (B, K, K); both are symmetric and go together
        with torch.autocast(x.device.type, enabled=False):
            return torch.einsum("bkj,bjhw->bkhw", likely.float(), x.float())

    def _together(self, task: torch.Tensor) -> torch.Tensor:
        """(B, K, K) correlations of the extents; 0 of one that never varies."""
        mean, spread = self._scale(task)
        n = self.sums[0, task].clamp(min=1)[:, :, None]
        varies = spread > _LEAST
        scaled = spread.clamp(min=_LEAST)
        apart = self.products[task] / n - mean[:, :, None] * mean[:, None]
        one = torch.eye(mean.shape[1], dtype=mean.dtype, device=mean.device)
        known = self.products[task].flatten(1).any(dim=1)[:, None, None]
        held = torch.where(known, apart / (scaled[:, :, None] * scaled[:, None]), one)
        return held * (varies[:, :, None] & varies[:, None])

    def _scale(self, task: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, K) mean and standard deviation among training places."""
        n, first, second = self.sums[:, task]
        mean = first / n.clamp(min=1)
        return mean, (second / n.clamp(min=1) - mean.square()).clamp(min=0).sqrt()

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        state_dict.setdefault(prefix + "products", torch.zeros_like(self.products))
        super()._load_from_state_dict(state_dict, prefix, *args)
