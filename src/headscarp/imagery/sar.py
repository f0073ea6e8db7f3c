"""Radar backscatter: decibel and power, the change between two periods, and less speckle.

Speckle multiplies, so everything here averages power, never decibel. Filters take power (linear, gamma0 or sigma0),
NaN where missing: missing cells take no part and stay missing. A block with `halo_px` cells of context on each side
has the bits of the whole. Refuses even windows.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headscarp.core.errors import RecipeError, StackError
from headscarp.imagery._speckle import filtered, local_means
from headscarp.imagery.composites import mean

SENTINEL1_LOOKS = 4.4
"""Equivalent number of looks of Sentinel-1 IW GRD, high resolution (Sentinel-1 Product Definition, ESA)."""

_LARGEST_WINDOW_PX = 101


def to_db(power: NDArray[Any]) -> NDArray[np.float32]:
    """Backscatter in decibel, 10 log10(power), float32; NaN where power is missing, zero or less."""
    positive = np.where(power > 0, power, np.nan)
    return np.asarray(10 * np.log10(positive), np.float32)


def to_power(db: NDArray[Any]) -> NDArray[np.float32]:
    """Backscatter as power from decibel, 10^(db / 10), float32; NaN stays."""
    return np.asarray(10 ** (np.asarray(db, np.float64) / 10), np.float32)


def log_ratio(before_db: NDArray[Any], after_db: NDArray[Any]) -> NDArray[np.float32]:
    """Change of backscatter between two periods: the ratio of their mean powers, in decibel.

    before_db, after_db: (T, [B,] y, x) decibel, NaN = missing; the two T may differ. Use one orbit direction: slopes
    look different from the other side. Returns ([B,] y, x) float32: positive where it is brighter after; NaN where
    a period has no look. Source: Rignot and van Zyl (1993), IEEE Trans. Geosci. Remote Sens. 31, 896-906.
    """
    if before_db.shape[1:] != after_db.shape[1:]:
        raise StackError(f"the periods are {before_db.shape} and {after_db.shape}; needed: the same bands and cells")
    return to_db(mean(to_power(after_db))) - to_db(mean(to_power(before_db)))


def halo_px(window_px: int) -> int:
    """Cells of context that a block needs on each side for a window of this many cells. Raises RecipeError."""
    if isinstance(window_px, bool) or window_px not in range(3, _LARGEST_WINDOW_PX + 1, 2):
        raise RecipeError(f"the window is {window_px} px; an odd whole number from 3 to {_LARGEST_WINDOW_PX} is needed")
    return int(window_px) // 2


def lee(
    power: NDArray[Any], *, window_px: int = 7, looks: float = SENTINEL1_LOOKS, threads: int | None = None
) -> NDArray[np.float32]:
    """Lee's filter: between the local mean and the cell, nearer to the cell the more the window varies beyond speckle.

    power: (..., y, x), NaN = missing, each plane alone. window_px: odd, 3 to 101. looks: equivalent number of looks;
    speckle then has a coefficient of variation Cu = 1 / sqrt(looks). threads: default all cores; no matter for the
    result. With the mean m and the coefficient of variation Ci of what is there in the window:
    m + w (cell - m), w = (1 - Cu^2 / Ci^2) / (1 + Cu^2), at least 0. Returns float32 of the same shape.
    Raises RecipeError for a window or looks out of range. Source: Lee (1980), IEEE Trans. Pattern Anal. Mach. Intell.
    2, 165-168, as Lopes, Touzi and Nezry (1990), IEEE Trans. Geosci. Remote Sens. 28, 992-1000, write it.
    """
    return filtered(_planes(power), halo_px(window_px), _checked_looks(looks), "lee", threads).reshape(power.shape)


def gamma_map(
    power: NDArray[Any], *, window_px: int = 7, looks: float = SENTINEL1_LOOKS, threads: int | None = None
) -> NDArray[np.float32]:
    """The Gamma MAP filter: the likeliest backscatter where both it and the speckle are gamma distributed.

    Arguments and result as for `lee`. The mean where Ci <= Cu, the cell itself where Ci >= sqrt(2) Cu (points, edges),
    between them the maximum a posteriori. Smooths even ground more than `lee` and keeps points as they are.
    Source: Lopes, Nezry, Touzi and Laur (1990), Proc. IGARSS 3, 2409-2412.
    """
    return filtered(_planes(power), halo_px(window_px), _checked_looks(looks), "gamma_map", threads).reshape(
        power.shape
    )


def multitemporal(power: NDArray[Any], *, window_px: int = 7, threads: int | None = None) -> NDArray[np.float32]:
    """Speckle averaged over time, each frame keeping its own brightness and detail where it is not speckle.

    power: (T, y, x), frames on one grid from one orbit direction, NaN = missing.
    Frame k becomes m_k times the mean over frames of (cell / m), m being the local means in a window of window_px.
    Returns (T, y, x) float32; NaN where the frame is. Source: Quegan and Yu (2001), IEEE Trans. Geosci. Remote Sens.
    39, 2373-2379, equation for uncorrelated speckle.
    """
    if power.ndim != 3:
        raise StackError(f"the frames are {power.shape}; (time, y, x) of one polarisation is needed")
    frames = _planes(power)
    means = local_means(frames, halo_px(window_px), threads)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.asarray(frames / means, np.float32)
    smoothed = means * mean(ratios, threads=threads)
    return np.where(np.isfinite(frames), smoothed, np.float32(np.nan)).astype(np.float32, copy=False)


FILTERS: dict[str, Callable[..., NDArray[np.float32]]] = {"lee": lee, "gamma_map": gamma_map}
"""Speckle filters of single frames by name."""


def _planes(power: NDArray[Any]) -> NDArray[np.float32]:
    if power.ndim < 2 or power.dtype.kind != "f" or 0 in power.shape:
        raise StackError(f"backscatter is {power.shape} {power.dtype}; floating (..., y, x) in linear power is needed")
    return np.ascontiguousarray(power, np.float32).reshape(-1, *power.shape[-2:])


def _checked_looks(looks: float) -> float:
    if not 0 < looks < np.inf:
        raise RecipeError(f"looks is {looks}; a positive number is needed ({SENTINEL1_LOOKS} for Sentinel-1 IW GRD)")
    return float(looks)
