"""How like the places that a net was judged by a new one is: a rank of its distance from their cloud.

Refuses to call that a probability of being right; it says only how many held-out places were as far off.
"""

import torch
from torch import nn

_RANKS = 257
_RIDGE = 0.1  # share of the mean variance that is added to each, so that few places make a cloud


class Familiarity(nn.Module):
    """Mahalanobis distance of an embedding from a cloud, as the share of held-out places that are at least as far.

    1 until it is fitted. Source: Lee et al. (2018) for the distance.
    """

    mean: torch.Tensor
    whitening: torch.Tensor
    distances: torch.Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("whitening", torch.zeros(channels, channels))
        self.register_buffer("distances", torch.full((_RANKS,), float("inf")))

    def fit(self, embeddings: torch.Tensor) -> None:
        """embeddings: (N, D). Every second one makes the cloud, the others rank; with fewer than 8, all do both."""
        held = embeddings.double()
        cloud, ranked = (held[::2], held[1::2]) if len(held) >= 8 else (held, held)
        mean = cloud.mean(dim=0)
        apart = cloud - mean
        covariance = apart.T @ apart / max(len(cloud) - 1, 1)
        ridge = _RIDGE * covariance.diagonal().mean() + 1e-6
        covariance = covariance + ridge * torch.eye(len(mean), dtype=torch.float64)
        root = torch.linalg.inv(torch.linalg.cholesky(covariance))
        self.mean.copy_(mean)
        self.whitening.copy_(root)
        distances = self._distance(ranked.float()).sort().values
        at = torch.linspace(0, len(distances) - 1, _RANKS).round().long()
        self.distances.copy_(distances[at])

    def forward(self, embeddings: torch.Tensor) -> torch.Tensor:
        """(N, D) -> (N,) in [0, 1]."""
        nearer = torch.searchsorted(self.distances, self._distance(embeddings.float()).contiguous())
        return 1 - nearer / _RANKS

    def _distance(self, embeddings: torch.Tensor) -> torch.Tensor:
        return ((embeddings - self.mean) @ self.whitening.T).square().sum(dim=1)
