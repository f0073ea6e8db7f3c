"""The metrics of forecasts: of rare events at places, from a probability and what came, for many resamples at once.

Pure functions of a few thousand numbers; pixels are counted in `metrics`. Undefined values are NaN: all that rests on
events where none came, ranks where all came.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
ALARM_BUDGET = 0.1
"""Share of places and dates that may be under alarm."""

_SMALLEST = 1e-7
_BINS = 10


def average_precision(p: Floats, y: Floats, w: Floats) -> Floats:
    """Precision at each threshold weighted by the recall gained there, ties called together; in [0, 1]."""
    hits, calls = _called(p, y, w)
    gained = np.diff(hits, prepend=0.0)
    return _ratio((gained * hits / np.maximum(calls, _SMALLEST)).sum(axis=-1), hits[..., -1])


def log_skill(p: Floats, y: Floats, w: Floats) -> Floats:
    """1 - NLL / NLL of the best constant on these very places; 0 is no better than knowing how common events are."""
    share = _mean(y, w)
    q = np.clip(p, _SMALLEST, 1 - _SMALLEST)
    nll = -_mean(np.where(y == 1, np.log(q), np.log1p(-q)), w)
    with np.errstate(divide="ignore", invalid="ignore"):
        constant = -(share * np.log(share) + (1 - share) * np.log1p(-share))
    return 1 - _ratio(nll, np.nan_to_num(constant))


def brier(p: Floats, y: Floats, w: Floats) -> Floats:
    """Mean squared distance of the probability from what came; in [0, 1]."""
    return _mean((p - y) ** 2, w)


def calibration_slope(p: Floats, y: Floats, w: Floats) -> Floats:
    """Slope of a logistic regression of what came on the log-odds; 1 is calibrated, below 1 too sure. NaN where it
    cannot be fitted: one class only, or the same probability everywhere."""
    share = _mean(y, w)
    q = np.clip(p, _SMALLEST, 1 - _SMALLEST)
    z = np.log(q) - np.log1p(-q)
    z = z - (z.mean() if len(z) else 0.0)
    fits = (share > 0) & (share < 1)
    if not len(z) or np.ptp(z) < 1e-9 or not fits.any():
        return np.full(len(w), np.nan)
    a = np.where(fits, np.log(np.clip(share, 1e-9, 1 - 1e-9) / np.clip(1 - share, 1e-9, 1)), 0.0)
    b = np.zeros_like(a)
    for _ in range(25):
        fitted = 1 / (1 + np.exp(-np.clip(a[:, None] + b[:, None] * z, -30, 30)))  # (R, N)
        apart = w * (y - fitted)
        spread = w * np.maximum(fitted * (1 - fitted), 1e-9)
        g0, g1 = apart.sum(axis=1), apart @ z
        s0, s1, s2 = spread.sum(axis=1), spread @ z, spread @ (z * z)
        determinant = s0 * s2 - s1 * s1
        fits &= determinant > 1e-12 * s0 * s2
        safe = np.where(fits, determinant, 1.0)
        a_step = np.clip((s2 * g0 - s1 * g1) / safe, -2, 2)
        b_step = np.clip((s0 * g1 - s1 * g0) / safe, -2, 2)
        a, b = a + a_step, b + b_step
        if np.abs(b_step[fits]).max(initial=0.0) < 1e-6:
            break
    return np.where(fits, b, np.nan)


def ece(p: Floats, y: Floats, w: Floats) -> Floats:
    """Mean distance of the probability from the share that came, over 10 bins with as many places each; in [0, 1]."""
    order = np.argsort(p, kind="stable")
    w = w[:, order]
    total = np.maximum(w.sum(axis=1, keepdims=True), _SMALLEST)
    bins = np.minimum((_BINS * (np.cumsum(w, axis=1) - w / 2) / total).astype(int), _BINS - 1)
    apart = w * (p - y)[order]
    sums = np.stack([np.where(bins == k, apart, 0.0).sum(axis=1) for k in range(_BINS)], axis=1)
    return np.asarray(np.abs(sums).sum(axis=1) / total[:, 0])


def tss(p: Floats, y: Floats, w: Floats) -> Floats:
    """True skill statistic, the likeliest ALARM_BUDGET of places being alarmed: share of events alarmed minus share of
    non-events alarmed; in [-1, 1]."""
    hits, false, events = _alarmed(p, y, w)
    return _ratio(hits, events) - _ratio(false, w.sum(axis=1) - events)


def pod(p: Floats, y: Floats, w: Floats) -> Floats:
    """Share of events that came under an alarm, at that budget (probability of detection)."""
    hits, _, events = _alarmed(p, y, w)
    return _ratio(hits, events)


def far(p: Floats, y: Floats, w: Floats) -> Floats:
    """Share of alarms that no event followed, at that budget (false alarm ratio)."""
    hits, false, events = _alarmed(p, y, w)
    return np.where(events > 0, _ratio(false, hits + false), np.nan)


def csi(p: Floats, y: Floats, w: Floats) -> Floats:
    """Hits over hits, misses and false alarms, at that budget (critical success index)."""
    hits, false, events = _alarmed(p, y, w)
    return np.where(events > 0, _ratio(hits, events + false), np.nan)


def auroc(p: Floats, y: Floats, w: Floats) -> Floats:
    """Chance that a place with an event is ranked above one without, ties counted half; in [0, 1]."""
    hits, calls = _called(p, y, w)
    false = calls - hits
    pairs = np.diff(false, prepend=0.0) * (hits - np.diff(hits, prepend=0.0) / 2)
    return _ratio(pairs.sum(axis=-1), hits[:, -1] * false[:, -1])


def events(p: Floats, y: Floats, w: Floats) -> Floats:
    """Places and dates that an event followed."""
    return w @ y


def n(p: Floats, y: Floats, w: Floats) -> Floats:
    """Places and dates of which it is known."""
    return np.asarray(w.sum(axis=1))


HazardMetric = Callable[[Floats, Floats, Floats], Floats]
HAZARD_METRICS: dict[str, HazardMetric] = {
    "average_precision": average_precision,
    "log_skill": log_skill,
    "brier": brier,
    "calibration_slope": calibration_slope,
    "ece": ece,
    "tss": tss,
    "pod": pod,
    "far": far,
    "csi": csi,
    "auroc": auroc,
    "events": events,
    "n": n,
}
"""p, y: (N,) probability, and 1 or 0. w: (R, N) how often each place counts in each resample. Returns (R,)."""


def cause_f1(p: Floats, truth: NDArray[np.uint8], w: Floats, cuts: Floats | float = 0.5) -> Floats:
    """(R, K) F1 of each cause, over the samples where a cause is known to hold; NaN where it holds nowhere.

    p: (N, K), given an event. truth: (N, K) 1, 0 or 255, which does not count. w: (R, N). cuts: (K,) from which
    probability on each is said.
    """
    counts = (truth != 255) & (truth == 1).any(axis=1, keepdims=True)
    said, holds = (p >= cuts) & counts, truth == 1
    hits, called, held = (w @ mask.astype(np.float64) for mask in (said & holds, said, holds))
    return np.where(held > 0, _ratio(2 * hits, called + held), np.nan)


def cause_cuts(p: Floats, truth: NDArray[np.uint8]) -> Floats:
    """(K,) the cuts with the highest F1 of each cause over these samples, the highest of equal ones; 0.5 for a cause
    that holds nowhere. A cause of one event in five is seldom likelier than not: said at 0.5, it is hardly ever said.
    """
    cuts = np.full(p.shape[1], 0.5)
    known = (truth == 1).any(axis=1)
    for k in np.flatnonzero((truth == 1).any(axis=0)):
        counts = known & (truth[:, k] != 255)
        order = np.argsort(-p[counts, k], kind="stable")
        said, holds = p[counts, k][order], truth[counts, k][order] == 1
        f1 = 2 * np.cumsum(holds) / (np.arange(1, len(holds) + 1) + holds.sum())
        ends = np.flatnonzero(np.append(np.diff(said) != 0, True))  # equal ones are said together
        cuts[k] = said[ends[int(np.argmax(f1[ends]))]]
    return cuts


def _called(p: Floats, y: Floats, w: Floats) -> tuple[Floats, Floats]:
    """(R, M) weights of hits and of calls from each distinct threshold on, falling; ties fall together."""
    if not len(p):
        return np.zeros((len(w), 1)), np.zeros((len(w), 1))
    order = np.argsort(-p, kind="stable")
    ends = np.append(np.diff(p[order]) != 0, True)
    held = w[:, order]
    return np.cumsum(held * y[order], axis=1)[:, ends], np.cumsum(held, axis=1)[:, ends]


def _alarmed(p: Floats, y: Floats, w: Floats) -> tuple[Floats, Floats, Floats]:
    """(R,) hits, false alarms and events where the likeliest share is alarmed; of equal ones each by the same part."""
    hits, calls = (np.concatenate([np.zeros((len(w), 1)), v], axis=1) for v in _called(p, y, w))
    budget = ALARM_BUDGET * calls[:, -1]
    rows = np.arange(len(w))
    after = np.minimum((calls <= budget[:, None]).sum(axis=1), calls.shape[1] - 1)
    low, high = calls[rows, after - 1], calls[rows, after]
    part = np.nan_to_num(_ratio(budget - low, high - low))
    found = hits[rows, after - 1] + part * (hits[rows, after] - hits[rows, after - 1])
    return found, budget - found, hits[:, -1]


def _mean(values: Floats, w: Floats) -> Floats:
    return _ratio(w @ values, w.sum(axis=1))


def _ratio(above: Floats, below: Floats) -> Floats:
    """above / below, NaN where below is not above 0."""
    above, below = np.asarray(above, np.float64), np.asarray(below, np.float64)
    return np.divide(above, below, out=np.full(np.broadcast(above, below).shape, np.nan), where=below > 0)
