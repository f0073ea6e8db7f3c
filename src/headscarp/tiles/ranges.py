"""Are the numbers of a stack those that a bundle was trained on, or 16 bits read as 8?

Looks at a few places and warns; refuses nothing, since another landscape may well have other numbers, and mends
nothing, since a wrong guess would be worse.
"""

import warnings
from collections.abc import Iterator

import numpy as np
import xarray as xr

from headscarp.core.bundle import Bundle
from headscarp.core.errors import HeadscarpWarning
from headscarp.core.samples import has_samples
from headscarp.core.stack import CHUNK
from headscarp.core.tile import Window, windows
from headscarp.tiles.dataset import raster_shape, read_valid, read_window

FACTOR = 16.0
"""Numbers so many times as large, or as small, as in training are on another scale: 16 bits to 8 makes 257, reflectance
times 10000 to 8 bits about 17."""
FAR = 10.0
"""A mean so many standard deviations away from that of training is not the same quantity."""
FLAT = 0.02
"""A band that varies so little, measured by its training, and is 255 or 65535 everywhere was cut off there."""
_LARGEST = (255, 65535)
_PLACES, _LOOKED_AT = 9, 64


def check_ranges(bundle: Bundle, stack: xr.Dataset) -> None:
    """Warns with a HeadscarpWarning that names the bands whose numbers are on another scale than in training.

    Compared are mean and deviation over up to 9 places of 256 x 256 valid pixels. Bundles that do not know the scale
    of their bands are not checked.
    """
    said = []
    scaled = {name: scale for name, scale in bundle.scales.items() if name in stack}
    if not scaled:
        return
    pixels = _sampled(stack, tuple(scaled))
    for name, (mean, std) in scaled.items():
        values = pixels[name]
        if len(values):
            problem = _strange(values, mean, std)
            said += [f"{name!r} {problem}"] if problem else []
    if said:
        warnings.warn(
            f"the stack has numbers on another scale than this bundle was trained on: {'; '.join(said)}. If a file of "
            "16 bits was read as 8 or scaled in another way, build the stack again with the scale of the training; if "
            "the place is so different, trust the map less",
            HeadscarpWarning,
            stacklevel=4,
        )


def _strange(values: np.ndarray, trained_mean: float, trained_std: float) -> str:
    """What is strange about a band's numbers; "" where nothing is."""
    mean, std, largest = float(values.mean()), float(values.std()), float(np.abs(values).max())
    here, there = np.hypot(mean, std), np.hypot(trained_mean, trained_std)
    told = f"is {mean:.4g} +- {std:.2g} here and was {trained_mean:.4g} +- {trained_std:.2g}"
    if here > FACTOR * there:
        return f"{told}: {here / max(there, 1e-30):.0f} times as large"
    if here * FACTOR < there and not _often_nothing(largest, trained_mean, trained_std):
        return f"{told}: {there / max(here, 1e-30):.0f} times as small"
    if abs(mean - trained_mean) > FAR * trained_std:
        return told
    cut_off = std < FLAT * trained_std and round(mean) in _LARGEST
    return f"{told}: cut off at {mean:.0f}" if cut_off else ""


def _often_nothing(largest: float, trained_mean: float, trained_std: float) -> bool:
    """Whether a band is one that is 0 in most places, such as a share of clouds, and all that is said against it is
    that here is less of it than elsewhere: nothing at all, or as much as ever in a few pixels."""
    return trained_mean < trained_std and (largest == 0 or largest >= np.hypot(trained_mean, trained_std))


def _sampled(stack: xr.Dataset, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Valid, finite values of these bands from a few places spread over the stack: (n,) float64 by name."""
    found: dict[str, list[np.ndarray]] = {name: [] for name in names}
    taken = 0
    for sample, window in _spread(stack):
        valid = read_valid(stack, window, sample=sample)
        if not valid.any():
            continue
        for name in names:
            values = read_window(stack[name], window, sample=sample)[..., valid]
            found[name].append(values[np.isfinite(values)].astype(np.float64))
        taken += 1
        if taken == _PLACES:
            break
    return {name: np.concatenate(parts) if parts else np.empty(0) for name, parts in found.items()}


def _spread(stack: xr.Dataset) -> Iterator[tuple[int, Window]]:
    """Up to 64 places, the first ones as far spread as all of them."""
    shape = raster_shape(stack)
    pieces = [window.clip(shape) for window in windows(shape, CHUNK)]
    places = [
        (sample, piece) for sample in range(stack.sizes["sample"] if has_samples(stack) else 1) for piece in pieces
    ]
    step = max(1, len(places) // _LOOKED_AT)
    chosen = places[step // 2 :: step][:_LOOKED_AT]
    golden = [int(i * 0.6180339887 * len(chosen)) % len(chosen) for i in range(len(chosen))]
    yield from (chosen[i] for i in dict.fromkeys([*golden, *range(len(chosen))]))
