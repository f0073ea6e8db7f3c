"""What another hour of labelling would buy: the slope at the upper end of a curve, with its interval, in words.

Between two rungs a score is taken to rise with the logarithm of the hours. The interval resamples squares of test
ground, the same for both rungs; how much two trainings of the same net differ is not in it. Refuses to see a gain where
the interval holds 0.
"""

import math
from collections.abc import Mapping

import numpy as np

from headscarp.core.errors import SplitError
from headscarp.evaluation.intervals import BlockScores, Interval, paired_difference

METRIC = "average_precision"


def gain_of_more(gain: Interval, hours: tuple[float, float], more: float = 1.0) -> Interval:
    """What so many more hours add, if the gain between two rungs goes on as it did.

    gain: of a score from the first to the second of the hours. A gain of b per unit of ln(hours) gives
    b ln((h + more) / h) after h hours; from 0 hours on, where there is no logarithm, it is taken to be even.
    """
    low, high = hours
    share = more / (high - low) if low <= 0 else math.log1p(more / high) / math.log(high / low)
    return Interval(gain.value * share, gain.low * share, gain.high * share, gain.dropped)


def words_of_worth(
    net: str, steps: Mapping[float, tuple[float, BlockScores]], values: Mapping[float, float], *, seed: int = 0
) -> list[str]:
    """One sentence on what another hour would buy this method; [] where fewer than two rungs tell.

    steps: by rising share the hours and the scores of the test part. values: average precision by share.
    """
    told = [share for share in sorted(steps) if math.isfinite(values.get(share, math.nan))]
    told = [s for i, s in enumerate(told) if i + 1 == len(told) or steps[s][0] < steps[told[-1]][0]]
    if len(told) < 2:
        return []
    (low, below), (high, above) = steps[told[-2]], steps[told[-1]]
    pair = (values[told[-1]], values[told[-2]])
    try:
        gain = paired_difference(above, below, METRIC, np.random.default_rng(seed), values=pair)
    except SplitError:
        return []
    change = f"{net}: from {told[-2]:g} % ({low:.1f} h) to {told[-1]:g} % ({high:.1f} h) of the training labels"
    amount = f"average precision changed by {_told(gain)}"
    if not np.isfinite([gain.low, gain.high]).all():
        return [f"{change} average precision changed by {gain.value:+.4f}; the test part is too small for an interval."]
    if gain.low <= 0 <= gain.high:
        return [f"{change} {amount}: within the noise of this test part, so nothing says that another hour would help."]
    if gain.value < 0:
        return [f"{change} {amount}: more labels did not help; look at the labels themselves first."]
    hour, double = (gain_of_more(gain, (low, high), more) for more in (1.0, high))
    return [
        f"{change} {amount}. If it goes on like that, another hour buys about {_told(hour)}, and as many hours again "
        f"{_told(double)}."
    ]


def _told(gain: Interval) -> str:
    return f"{gain.value:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]"
