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
        self.register_buffer("distances", torch.full((_RANKS,), torch.finfo(torch.float32).max))

    def fit(self, embeddings: torch.Tensor) -> None:
        """embeddings: (N, D). Every second one makes the cloud, the others rank; with fewer than 8, all do both."""
        held = embeddings.double()
        cloud, ranked = (held[::2], held[1::2]) if len(held) >= 8 else (held, held)
        apart = cloud - cloud.mean(dim=0)
        self.fit_cloud(cloud.mean(dim=0), apart.T @ apart / max(len(cloud) - 1, 1), ranked)

    def fit_cloud(self, mean: torch.Tensor, covariance: torch.Tensor, ranked: torch.Tensor) -> None:
        """mean (D,) and covariance (D, D) of places that are known. ranked: (N, D) others, held out."""
        ridge = _RIDGE * covariance.diagonal().mean() + 1e-6
        covariance = covariance.double() + ridge * torch.eye(len(mean), dtype=torch.float64)
        self.mean.copy_(mean)
        self.whitening.copy_(torch.linalg.inv(torch.linalg.cholesky(covariance)))
        distances = self._distance(ranked.float()).sort().values
        at = torch.linspace(0, len(distances) - 1, _RANKS).round().long()
        self.distances.copy_(distances[at])

    def forward(self, embeddings: torch.Tensor) -> torch.Tensor:
        """(N, D) -> (N,) in [0, 1]."""
        nearer = torch.searchsorted(self.distances, self._distance(embeddings.float()).contiguous())
        return 1 - nearer / _RANKS

    def beyond(self, embeddings: torch.Tensor) -> torch.Tensor:
        """(N,) how many times as far from the cloud as the furthest held-out place; 0 until it is fitted."""
        return (self._distance(embeddings.float()) / self.distances[-1].clamp(min=1e-9)).sqrt()

    def _distance(self, embeddings: torch.Tensor) -> torch.Tensor:
        return ((embeddings - self.mean) @ self.whitening.T).square().sum(dim=1)


class KnownPlaces(Familiarity):
    """A familiarity whose cloud are the training places, added up step by step, and whose ranks are those held out.

    sums: how many there were, sums and products of their numbers. place_px: side of what was seen at once.
    """

    sums: torch.Tensor
    place_px: torch.Tensor

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.register_buffer("sums", torch.zeros(channels + 1, channels + 1, dtype=torch.float64))
        self.register_buffer("place_px", torch.zeros(1, dtype=torch.int64))

    @torch.no_grad()
    def remember(self, embeddings: torch.Tensor, place_px: int) -> None:
        """embeddings: (N, D) of training places."""
        more = torch.nn.functional.pad(embeddings.double(), (0, 1), value=1.0)
        self.sums += more.T @ more
        self.place_px.fill_(place_px)

    def settle(self, held_out: torch.Tensor) -> None:
        """held_out: (N, D) of the validation part. Nothing changes before anything was remembered."""
        count = self.sums[-1, -1]
        if count > 0:
            mean = self.sums[-1, :-1] / count
            self.fit_cloud(mean, self.sums[:-1, :-1] / count - mean[:, None] * mean, held_out)


def looks_of(features: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """(B, 2 F) what each tile looks like before anything is done: mean and spread of its features where valid."""
    features, there = features.float(), valid[:, None].float()
    n = there.sum(dim=(-2, -1)).clamp(min=1)
    mean = (features * there).sum(dim=(-2, -1)) / n
    square = (features.square() * there).sum(dim=(-2, -1)) / n
    return torch.cat([mean, (square - mean.square()).clamp(min=0).sqrt()], dim=1)
