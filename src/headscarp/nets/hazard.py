"""When: the hazard of a place as cumulated rates over horizons, its likelihood, and its calibration.

A rate is never negative, so the probability never falls with the horizon, by construction; rates of places side by
side add up, so that a larger place is likelier to slide. Refuses nothing; unknown events do not count.
"""

from collections.abc import Sequence

import torch

from headscarp.core.band import UNLABELLED

_LEAST = 1e-6  # of a rate, so that logarithms stay finite
_ENOUGH_EVENTS = 5
_NEAR = 0.1  # by the likelihood in places, and in a known region, that the calibration was not fitted on


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


class Odds(torch.nn.Module):
    """The calibration of each horizon: its log-odds times a power, and a shift of them.

    numbers: (K, 2) power and shift; 1 and 0 until `fit`. Sources: Platt (1999) for the map; the prior is ours.
    """

    numbers: torch.Tensor

    def __init__(self, horizons: int) -> None:
        super().__init__()
        self.register_buffer("numbers", torch.tensor([1.0, 0.0]).repeat(horizons, 1))

    def forward(self, cumulated: torch.Tensor) -> torch.Tensor:
        """(..., K) rates cumulated to each horizon, before and behind; none falls below that of a shorter horizon."""
        power, shift = self.numbers.unbind(dim=1)
        return torch.nn.functional.softplus(power * log_odds(cumulated) + shift).cummax(dim=-1).values

    def fit(self, cumulated: torch.Tensor, labels: torch.Tensor) -> None:
        """Takes what fits labels best: as `fit_odds`."""
        self.numbers.copy_(fit_odds(cumulated, labels))

    def _load_from_state_dict(self, state_dict: dict[str, torch.Tensor], prefix: str, *args: object) -> None:
        """Bundles from before do not have the numbers, and were calibrated without."""
        state_dict.setdefault(f"{prefix}numbers", torch.tensor([1.0, 0.0]).repeat(len(self.numbers), 1))
        super()._load_from_state_dict(state_dict, prefix, *args)


def log_odds(cumulated: torch.Tensor) -> torch.Tensor:
    """log(p / (1 - p)) of p = 1 - exp(-cumulated), of any shape, finite for rates from 0 to infinity (exclusive)."""
    rate = cumulated.clamp(min=_LEAST)
    return rate + torch.log(-torch.expm1(-rate))


def fit_odds(cumulated: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """(K, 2) float32: power and shift of the log-odds of each horizon that fit labels best; powers are above 0.

    cumulated: (N, K). labels: (N, K) uint8, 255 does not count. Powers stay 1 where fewer than 5 events or non-events
    count, and shifts 0 where there is neither. Short horizons have few events, and what is wrong with one is mostly
    wrong with all: normal priors draw the logarithm of each power and each shift to common ones (deviation _NEAR),
    these to 0 (0.5 and 1).
    """
    horizons = labels.shape[1]
    counted = labels != UNLABELLED
    positives = int(((labels == 1) & counted).any(dim=1).sum())
    negatives = int(((labels == 0) & counted).any(dim=1).sum())
    if not positives or not negatives:
        return torch.tensor([1.0, 0.0]).repeat(horizons, 1)
    z, truth = log_odds(cumulated.double()), (labels == 1).double()
    free = torch.zeros(1 + horizons, 2, dtype=torch.float64, requires_grad=True)  # common ones, then of each horizon
    mask = torch.tensor([float(min(positives, negatives) >= _ENOUGH_EVENTS), 1.0], dtype=torch.float64)
    prior = torch.tensor([2.0, 0.5], dtype=torch.float64)
    optimiser = torch.optim.LBFGS([free], max_iter=100, line_search_fn="strong_wolfe")

    def numbers() -> torch.Tensor:
        power, shift = ((free[0] + free[1:]) * mask).clamp(-3, 3).unbind(dim=1)
        return torch.stack([power.exp(), shift], dim=1)

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        power, shift = numbers().unbind(dim=1)
        losses = torch.nn.functional.binary_cross_entropy_with_logits(power * z + shift, truth, reduction="none")
        drawn = (free[0].square() * prior).sum() + free[1:].square().sum() / (2 * _NEAR**2)
        loss = (losses * counted).sum() / counted.sum() + drawn / len(cumulated)
        loss.backward()
        return loss

    with torch.enable_grad():
        optimiser.step(closure)
    return numbers().detach().float()
