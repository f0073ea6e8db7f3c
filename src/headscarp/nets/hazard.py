"""When: the hazard of a place as cumulated rates over horizons, its likelihood, and its calibration.

A rate is never negative, so the probability never falls with the horizon, by construction; rates of places side by
side add up, so that a larger place is likelier to slide. Refuses nothing; unknown events do not count.
"""

from collections.abc import Sequence

import torch

from headscarp.core.band import UNLABELLED

_LEAST = 1e-6  # of a rate, so that logarithms stay finite
_ENOUGH_EVENTS = 5


def probability_of(cumulated: torch.Tensor) -> torch.Tensor:
    """P(event within h) = 1 - exp(-rate cumulated to h), of any shape."""
    return -torch.expm1(-cumulated)


def rates_of(raw: torch.Tensor) -> torch.Tensor:
    """Rates of the intervals between horizons, above 0, from any numbers (..., K)."""
    return torch.nn.functional.softplus(raw) + _LEAST


def survival_nll(rates: torch.Tensor, event_days: torch.Tensor, horizons_days: Sequence[float]) -> torch.Tensor:
    """Mean negative log-likelihood (nats a place) of the interval that the next event falls into, or of none.

    rates: (B, K) of the intervals up to each horizon. event_days: (B,), inf for none, NaN does not count. 0, with a
    gradient of 0, where nothing counts. Source: discrete-time survival, as in Gensheimer and Narasimhan (2019).
    """
    counts = ~torch.isnan(event_days)
    edges = torch.tensor(horizons_days, dtype=torch.float32, device=rates.device)
    later = event_days[:, None] > edges  # (B, K): still standing at the end of the interval
    before = (rates * later).sum(dim=1)
    falls = ~later & torch.cat([torch.ones_like(later[:, :1]), later[:, :-1]], dim=1)  # the first it does not survive
    fell = torch.where(falls, torch.log(-torch.expm1(-rates)), torch.zeros_like(rates)).sum(dim=1)
    losses = torch.where(counts, before - fell, torch.zeros_like(before))
    return losses.sum() / counts.sum().clamp(min=1)


def within(event_days: torch.Tensor, horizons_days: Sequence[float]) -> torch.Tensor:
    """(B, K) uint8: 1 where the event comes within the horizon, 0 where not, 255 unknown."""
    edges = torch.tensor(horizons_days, dtype=torch.float32, device=event_days.device)
    found = (event_days[:, None] <= edges).to(torch.uint8)
    return torch.where(torch.isnan(event_days)[:, None], torch.full_like(found, UNLABELLED), found)


def fit_scale(cumulated: torch.Tensor, labels: torch.Tensor) -> tuple[float, float]:
    """(power, shift) so that exp(shift) * rate ** power fits labels best over all horizons; power above 0.

    cumulated: (N, K). labels: (N, K) uint8, 255 does not count. One map for all horizons, so that none overtakes
    another. The power stays 1 where fewer than 5 events or non-events count, and both where there is neither. A normal
    prior (deviation 0.5 of the logarithm of the power, 1 of the shift) keeps few places from bending it far.
    """
    counted = labels != UNLABELLED
    positives = int(((labels == 1) & counted).any(dim=1).sum())
    negatives = int(((labels == 0) & counted).any(dim=1).sum())
    if not positives or not negatives:
        return 1.0, 0.0
    log_rate, truth = cumulated.clamp(min=_LEAST).double().log()[counted], (labels == 1)[counted].double()
    free = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    mask = torch.tensor([float(min(positives, negatives) >= _ENOUGH_EVENTS), 1.0], dtype=torch.float64)
    prior = torch.tensor([2.0, 0.5], dtype=torch.float64) / len(cumulated)
    optimiser = torch.optim.LBFGS([free], max_iter=50, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        power, shift = (free * mask).clamp(-3, 3).unbind()
        p = probability_of((power.exp() * log_rate + shift).exp()).clamp(1e-7, 1 - 1e-7)
        loss = torch.nn.functional.binary_cross_entropy(p, truth) + (free.square() * prior).sum()
        loss.backward()
        return loss

    with torch.enable_grad():
        optimiser.step(closure)
    power, shift = (free.detach() * mask).clamp(-3, 3).tolist()
    return float(torch.tensor(power).exp()), shift
