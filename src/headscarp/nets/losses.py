"""What nets minimise: the likelihood of labels, a risk for labels that say only where landslides are, and the ELBO.

Unlabelled pixels never count as negative. Refuses nothing but names and priors that cannot be.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from headscarp.core.band import UNLABELLED
from headscarp.core.errors import RecipeError

Objective = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], dict[str, torch.Tensor]]
"""Logits (B, H, W), y (B, H, W) uint8, valid (B, H, W) bool -> named losses, each a scalar with a gradient."""

LOSSES = ("nll", "dice", "lovasz", "nnpu")


def make_objective(loss: str, prior: float | None = None) -> Objective:
    """The objective of this name. prior: of "nnpu", see `nnpu`. Raises RecipeError for what cannot be."""
    if loss not in LOSSES:
        raise RecipeError(f"there is no loss {loss!r}; use one of {', '.join(LOSSES)}")
    if loss != "nnpu":
        if prior is not None:
            raise RecipeError(f"prior is {prior}, but loss {loss!r} has none; set loss = 'nnpu', or leave prior out")
        return {"nll": likelihood, "dice": with_dice, "lovasz": with_lovasz}[loss]
    if prior is None or not 0 < prior < 1:
        raise RecipeError(
            f"prior is {prior}; loss 'nnpu' needs the share of landslides among the unlabelled pixels, between 0 and 1"
        )
    return PositiveUnlabelled(float(prior))


def likelihood(logits: torch.Tensor, y: torch.Tensor, valid: torch.Tensor) -> dict[str, torch.Tensor]:
    """{"nll": `nll`}: every labelled pixel counts the same."""
    del valid  # pixels that are not valid are not labelled either
    return {"nll": nll(logits, y)}


def with_dice(logits: torch.Tensor, y: torch.Tensor, valid: torch.Tensor) -> dict[str, torch.Tensor]:
    """{"nll": `nll`, "dice": `dice`}: overlap counts beside likelihood."""
    return {**likelihood(logits, y, valid), "dice": dice(logits, y)}


def with_lovasz(logits: torch.Tensor, y: torch.Tensor, valid: torch.Tensor) -> dict[str, torch.Tensor]:
    """{"nll": `nll`, "lovasz": `lovasz`}: intersection over union counts beside likelihood."""
    return {**likelihood(logits, y, valid), "lovasz": lovasz(logits, y)}


@dataclass(frozen=True)
class PositiveUnlabelled:
    """{"nnpu": `nnpu`} with its prior."""

    prior: float

    def __call__(self, logits: torch.Tensor, y: torch.Tensor, valid: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"nnpu": nnpu(logits, y, valid, prior=self.prior)}


def nll(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Mean negative log-likelihood (nats) of labels y (1, 0; 255 does not count) under logits of the same shape.

    0, with a gradient of 0, where no pixel counts.
    """
    counts = y != UNLABELLED
    losses = nn.functional.binary_cross_entropy_with_logits(logits.float(), (y == 1).float(), reduction="none")
    return (losses * counts).sum() / counts.sum().clamp(min=1)


def dice(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """1 - 2 sum(p y) / (sum(p^2) + sum(y)), from 0 to 1, over the labelled pixels of a batch; p by the sigmoid.

    The whole batch is one set, so that tiles without a landslide need no rule of their own. Where no pixel is a
    landslide it is 0, with a gradient of 0. Source: Milletari, Navab and Ahmadi (2016), V-Net.
    """
    counts, truth = y != UNLABELLED, (y == 1).float()
    if not truth.any():
        return logits.sum() * 0
    p = torch.sigmoid(logits.float()) * counts
    return 1 - 2 * (p * truth).sum() / (p.square().sum() + truth.sum())


def lovasz(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The Lovasz extension of 1 - intersection over union at the errors |y - p|, over the labelled pixels of a batch.

    From 0 to 1; where every p is 0 or 1 it is 1 - intersection over union itself. Where no pixel is a landslide it is
    0, with a gradient of 0. Source: Berman, Triki and Blaschko (2018), the Lovasz-softmax loss of one class.
    """
    counts = y != UNLABELLED
    truth = (y[counts] == 1).float()
    if not truth.any():
        return logits.sum() * 0
    errors = (truth - torch.sigmoid(logits[counts].float())).abs()
    errors, order = torch.sort(errors, descending=True)
    truth = truth[order]
    union = truth.sum() + (1 - truth).cumsum(0)
    jaccard = 1 - (truth.sum() - truth.cumsum(0)) / union
    return (errors * torch.diff(jaccard, prepend=jaccard.new_zeros(1))).sum()


def nnpu(logits: torch.Tensor, y: torch.Tensor, valid: torch.Tensor, *, prior: float) -> torch.Tensor:
    """The non-negative risk of positive and unlabelled pixels (nats), logistic loss.

    prior: share of landslides among the unlabelled pixels. Positive: y == 1; unlabelled: y == 255 where valid. The risk
    is prior * R+(positive) + max(0, R-(unlabelled) - prior * R-(positive)); where the second part is below 0 its
    gradient is turned round, which undoes overfitting. Where some pixels are known to be none (y == 0), the second part
    is the mean of that estimate and of (1 - prior) * R-(known), after Sakai et al. (2017). 0, with a gradient of 0,
    where no pixel is a landslide, since nothing is known there of what sets landslides apart.
    Source: Kiryo, Niu, du Plessis and Sugiyama (2017), with beta = 0 and gamma = 1.
    """
    logits = logits.float()
    as_positive, as_negative = nn.functional.softplus(-logits), nn.functional.softplus(logits)
    positive, negative, unlabelled = y == 1, y == 0, (y == UNLABELLED) & valid
    if not positive.any():
        return logits.sum() * 0
    risk = prior * _mean(as_positive, positive)
    parts = []
    if unlabelled.any():
        hidden = _mean(as_negative, unlabelled) - prior * _mean(as_negative, positive)
        parts.append(_turned_below_zero(hidden))
    if negative.any():
        parts.append((1 - prior) * _mean(as_negative, negative))
    return risk + sum(parts) / len(parts) if parts else risk


def _turned_below_zero(value: torch.Tensor) -> torch.Tensor:
    """max(0, value), with the gradient of -value where it is below 0."""
    return torch.where(value >= 0, value, value.detach() - value)


def _mean(losses: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    return (losses * where).sum() / where.sum()


def elbo_terms(
    x: torch.Tensor, rebuilt: torch.Tensor, log_variance: torch.Tensor, latents: tuple[torch.Tensor, torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """The two terms of the evidence lower bound of each image: log p(x | z), and KL(q(z | x) || N(0, 1)); nats.

    x, rebuilt: (F, C, H, W); where x is not finite it was not observed and counts for nothing. log_variance: (C,) of
    the normal noise of each band. latents: mean and log variance of q, (F, Z) each. Returns (F,), (F,).
    Source: Kingma and Welling (2014).
    """
    there = torch.isfinite(x)
    apart = torch.where(there, x, rebuilt) - rebuilt
    spread = log_variance[:, None, None]
    density = -0.5 * (apart.square() * torch.exp(-spread) + spread + math.log(2 * math.pi))
    mean, log_var = latents
    kl = 0.5 * (mean.square() + log_var.exp() - 1 - log_var).sum(dim=1)
    return (density * there).sum(dim=(1, 2, 3)), kl


def cause_nll(causes: torch.Tensor, truth: torch.Tensor | None) -> torch.Tensor:
    """Mean cross-entropy (nats, summed over causes) of places where a cause is known to hold; 0 where there is none.

    causes: (B, K) probabilities. truth: (B, K) uint8, 1, 0 or 255, which does not count.
    """
    if truth is None:
        return causes.sum() * 0
    counts = (truth != UNLABELLED) & (truth == 1).any(dim=1, keepdim=True)
    p = causes.float().clamp(1e-6, 1 - 1e-6)
    losses = -torch.where(truth == 1, p.log(), torch.log1p(-p))
    return (losses * counts).sum() / counts.sum().clamp(min=1)
