"""A forecast for ground where landslides are rarer or commoner than in the collection it was calibrated on.

Collections hold far more events than the world does. What is known of a place does not change with that; how likely a
slide is there to begin with does. Refuses shares that no place can have, and bundles that do not tell their own.
"""

import math
from dataclasses import replace

import numpy as np

from headscarp.core.bundle import Bundle
from headscarp.core.errors import BundleError, RecipeError

_SHIFT = "calibration"
"""Weights of forecasts: power and shift of the rate of each place."""


def with_prevalence(bundle: Bundle, share: float, days: int) -> Bundle:
    """The same bundle for ground where this share of places, of the size it judges, slides within so many days.

    The rate of every place is multiplied by one number, so ranks stay, and hazards of all horizons change together; for
    rare events this is the correction of odds by Elkan (2001), and unlike it keeps longer horizons the likelier ones.
    The share that it was calibrated on is that of its validation part. Raises RecipeError, BundleError.
    """
    if not 0 < share < 1:
        raise RecipeError(f"the prevalence is {share:g}; give the share of places that slide, above 0 and below 1")
    known = calibrated_share(bundle, days)
    keys = [key for key in bundle.weights if key == _SHIFT or key.endswith(f".{_SHIFT}")]
    if not keys or not 0 < known < 1:
        raise BundleError(
            f"the bundle of a net {bundle.net!r} does not tell how common events within {days} d were where it was "
            "calibrated, so its prevalence cannot be changed; train it again on samples with and without events"
        )
    factor = np.log1p(-share) / np.log1p(-known)
    weights = dict(bundle.weights)
    for key in keys:
        weights[key] = np.array([weights[key][0], weights[key][1] + np.log(factor)], weights[key].dtype)
    threshold = float(-np.expm1(np.log1p(-min(bundle.threshold, 1 - 1e-7)) * factor))
    return replace(bundle, weights=weights, threshold=threshold)


def calibrated_share(bundle: Bundle, days: int) -> float:
    """The share of places, of the size that the bundle judges, that an event followed within so many days in its
    validation part; NaN where it does not say. Of a sample of several places the rate is shared out."""
    of_validation = {str(row["metric"]): row["value"] for row in bundle.metrics if row.get("part") == "validation"}
    events, n = (of_validation.get(f"{name} {days} d") for name in ("events", "n"))
    if events is None or not n:
        return float("nan")
    side = int(bundle.arguments.get("place_px", 1))
    places = math.prod(-(-int(size) // side) for size in bundle.split.get("shape", (side, side)))
    share = min(float(events) / float(n), 1 - 1e-7)
    return float(-np.expm1(np.log1p(-share) / places))
