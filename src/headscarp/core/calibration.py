"""Calibration: a monotone map from the probability a net gives to the share of landslides seen at that probability.

Fitted on validation, never on test, from a histogram of scores, so any number of pixels will do. It changes no ranking
but may join neighbours; it never sees inputs or places. Guo et al. (2017) for temperature, Platt (1999) with its
softened targets for the shift, Zadrozny and Elkan (2002) for isotonic regression.
"""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any, Protocol, Self

import numpy as np
from scipy.optimize import isotonic_regression, minimize
from scipy.special import expit, logit, xlogy

from headscarp.core.errors import BundleError, HeadscarpWarning, TrainingError

SMALLEST = 1e-7  # probabilities are kept this far from 0 and 1 before their logit is taken
_GENTLEST, _STEEPEST = 1e-3, 1e3  # of 1 / scale
_FARTHEST = 30.0  # of the shift, in logits
_STRIP = 1 << 14  # numbers at a time, so that they stay in the cache between one step and the next


class Scores(Protocol):
    """What a histogram of scores has to tell; `evaluation.streaming.ScoreHistogram` does.

    negatives, positives: (bins,) pixels, probabilities rising. predicted_sums: (bins,) sum of the probabilities.
    """

    @property
    def negatives(self) -> np.ndarray: ...

    @property
    def positives(self) -> np.ndarray: ...

    def predicted_sums(self) -> np.ndarray: ...


class Calibration(ABC):
    """The contract: frozen, monotone, and plain values on disk."""

    @abstractmethod
    def apply(self, probability: np.ndarray) -> np.ndarray:
        """Any shape, [0, 1] -> float32 of the same shape in [0, 1], never falling with p; NaN stays NaN."""

    def to_json(self) -> dict[str, Any]:
        """Plain values for a bundle: the kind (a name in CALIBRATIONS) and the fields."""
        kind = next(name for name, known in CALIBRATIONS.items() if known is type(self))
        fields_of = {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]
        return {"kind": kind, **{name: list(v) if isinstance(v, tuple) else v for name, v in fields_of.items()}}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of to_json. Raises BundleError where fields are missing or unknown."""
        known = {field.name for field in fields(cls)}  # type: ignore[arg-type]
        given = {name: value for name, value in values.items() if name != "kind"}
        if set(given) != known:
            raise BundleError(
                f"calibration has {sorted(given)}, {cls.__name__} needs {sorted(known)}; the bundle is damaged or newer"
            )
        return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in given.items()})


@dataclass(frozen=True)
class Uncalibrated(Calibration):
    """The net's own probability, as it is."""

    def apply(self, probability: np.ndarray) -> np.ndarray:
        """Any shape -> the same numbers as float32."""
        return np.asarray(probability, dtype=np.float32)


@dataclass(frozen=True)
class Temperature(Calibration):
    """logit(p) / scale + shift, back through the sigmoid.

    scale > 0: above 1 softens a net that is too sure, below 1 sharpens it. shift: 0 for temperature alone; with it
    this is Platt scaling, which also mends a wrong mean (as after training on repeated positive tiles).
    """

    scale: float
    shift: float = 0.0

    def __post_init__(self) -> None:
        if not (np.isfinite([self.scale, self.shift]).all() and self.scale > 0):
            raise BundleError(f"calibration has scale {self.scale} and shift {self.shift}; scale must be above 0")

    def apply(self, probability: np.ndarray) -> np.ndarray:
        """As the contract says; p is kept in [1e-7, 1 - 1e-7] before its logit is taken."""
        p = np.ascontiguousarray(probability, dtype=np.float32)
        flat, out = p.reshape(-1), np.empty(p.size, np.float32)
        room = np.empty((2, min(p.size, _STRIP)))
        with np.errstate(over="ignore"):  # exp of a far logit: 1 / inf is the 0 that is meant
            for start in range(0, p.size, _STRIP):
                strip = flat[start : start + _STRIP]
                z, rest = room[:, : strip.size]
                np.clip(strip, SMALLEST, 1 - SMALLEST, out=z, dtype=np.float64)
                np.subtract(1.0, z, out=rest)
                np.log(np.divide(rest, z, out=z), out=z)  # minus the logit
                z *= 1 / self.scale
                z -= self.shift
                np.add(np.exp(z, out=z), 1.0, out=z)
                np.divide(1.0, z, out=out[start : start + _STRIP], casting="same_kind")
        return out.reshape(np.shape(probability))


@dataclass(frozen=True)
class Isotonic(Calibration):
    """Straight lines between a few knots; constant beyond the first and the last.

    predicted: rising probabilities of the net. observed: never falling, in [0, 1]; one per knot.
    """

    predicted: tuple[float, ...]
    observed: tuple[float, ...]

    def __post_init__(self) -> None:
        x, y = np.asarray(self.predicted, np.float64), np.asarray(self.observed, np.float64)
        fits = x.ndim == 1 and x.shape == y.shape and x.size > 0
        if not (fits and (np.diff(x) > 0).all() and (np.diff(y) >= 0).all() and y[0] >= 0 and y[-1] <= 1):
            raise BundleError(
                f"calibration has {len(self.predicted)} knots and {len(self.observed)} values; as many are needed, "
                "rising, with values in [0, 1]"
            )

    def apply(self, probability: np.ndarray) -> np.ndarray:
        """As the contract says."""
        return np.interp(np.asarray(probability, dtype=np.float32), self.predicted, self.observed).astype(np.float32)


CALIBRATIONS: dict[str, type[Calibration]] = {
    "none": Uncalibrated,
    "temperature": Temperature,
    "isotonic": Isotonic,
}


def calibration_from_json(values: Mapping[str, Any]) -> Calibration:
    """Any calibration from what its to_json gave; an empty mapping is none. Raises BundleError on an unknown kind."""
    kind = values.get("kind", "none")
    if kind not in CALIBRATIONS:
        raise BundleError(f"calibration is {kind!r}, this version knows {', '.join(CALIBRATIONS)}; update headscarp")
    return CALIBRATIONS[kind].from_json(values)


def fit_none(scores: Scores) -> Uncalibrated:
    """No calibration, whatever the scores."""
    return Uncalibrated()


def fit_temperature(scores: Scores) -> Temperature:
    """The one temperature that minimises the negative log-likelihood; shift 0.

    Raises TrainingError where a class is missing; warns where the net ranks backwards.
    """
    return _fitted(scores, farthest=0.0)


def fit_platt(scores: Scores) -> Temperature:
    """The temperature and shift that minimise the negative log-likelihood. Raises as fit_temperature."""
    return _fitted(scores, farthest=_FARTHEST)


def fit_isotonic(scores: Scores, *, max_knots: int = 32) -> Isotonic:
    """The monotone map nearest to the observed shares, by pooling of adjacent violators, joined to a few knots.

    Neighbouring pools are joined where that costs least log-likelihood until max_knots are left; each knot stands at
    the mean probability of its pool, with one pixel at the overall prevalence added so that no share is 0 or 1.
    Raises TrainingError where a class is missing.
    """
    predicted, n, positives = _pooled_by_bin(scores)
    pools = isotonic_regression(positives / n, weights=n).blocks[:-1]
    sums = np.add.reduceat(np.stack([n, positives, predicted * n], axis=1), pools, axis=0)
    n, positives, predicted_sum = _joined(sums, max_knots).T
    observed = (positives + positives.sum() / n.sum()) / (n + 1)
    predicted = predicted_sum / n
    return Isotonic(tuple(predicted.tolist()), tuple(np.maximum.accumulate(observed).tolist()))


FITS: dict[str, Callable[[Scores], Calibration]] = {
    "none": fit_none,
    "temperature": fit_temperature,
    "platt": fit_platt,
    "isotonic": fit_isotonic,
}


def _fitted(scores: Scores, *, farthest: float) -> Temperature:
    """The best 1 / scale and shift, the shift at most so far from 0; the loss is convex in both."""
    predicted, n, positives = _pooled_by_bin(scores)
    total, weight, z = positives.sum(), n / n.sum(), _logits(predicted)
    # Platt's softened targets keep the fit finite where the classes do not overlap.
    soft_positive, soft_negative = (total + 1) / (total + 2), 1 / (n.sum() - total + 2)
    target = (positives * soft_positive + (n - positives) * soft_negative) / n.sum()

    def loss(found: np.ndarray) -> tuple[float, np.ndarray]:
        s = found[0] * z + found[1]
        excess = weight * expit(s) - target
        return float((weight * np.logaddexp(0, s) - target * s).sum()), np.array([(excess * z).sum(), excess.sum()])

    bounds = [(_GENTLEST, _STEEPEST), (-farthest, farthest)]
    options = {"ftol": 1e-15, "gtol": 1e-9, "maxiter": 1000}
    slope, shift = minimize(loss, [1.0, 0.0], jac=True, method="L-BFGS-B", bounds=bounds, options=options).x
    if slope <= _GENTLEST:
        warnings.warn(
            f"higher probabilities do not go with more landslides in the {int(n.sum())} pixels of calibration; the "
            f"temperature was held at {1 / _GENTLEST:.0f}. Do not trust this net's map",
            HeadscarpWarning,
            stacklevel=3,
        )
    return Temperature(float(1 / slope), float(shift))


def _pooled_by_bin(scores: Scores) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean probability, pixels and positives of each bin in use, float64, probabilities rising."""
    positives = scores.positives.astype(np.float64)
    n = positives + scores.negatives
    if not 0 < positives.sum() < n.sum():
        raise TrainingError(
            f"calibration got {int(n.sum())} pixels, {int(positives.sum())} of them positive; it needs both classes: "
            "use a validation part that has landslides and stable ground"
        )
    used = n > 0
    return scores.predicted_sums()[used] / n[used], n[used], positives[used]


def _joined(sums: np.ndarray, at_most: int) -> np.ndarray:
    """(pools, 3) sums of pixels, positives and probability, neighbours joined until so few are left."""
    pools = list(sums)
    costs = [_cost(a, b) for a, b in pairwise(pools)]
    while len(pools) > at_most:
        i = int(np.argmin(costs))
        pools[i] = pools[i] + pools[i + 1]
        del pools[i + 1], costs[i]
        if i > 0:
            costs[i - 1] = _cost(pools[i - 1], pools[i])
        if i + 1 < len(pools):
            costs[i] = _cost(pools[i], pools[i + 1])
    return np.array(pools)


def _cost(a: np.ndarray, b: np.ndarray) -> float:
    """Log-likelihood lost when two pools share one probability."""
    return _log_likelihood(a) + _log_likelihood(b) - _log_likelihood(a + b)


def _log_likelihood(pool: np.ndarray) -> float:
    n, positives = pool[0], pool[1]
    return float(xlogy(positives, positives / n) + xlogy(n - positives, 1 - positives / n))


def _logits(probability: np.ndarray) -> np.ndarray:
    return logit(np.clip(probability.astype(np.float64), SMALLEST, 1 - SMALLEST))
