"""What roots hold: cohesion from their strength and number, and how much of it stands so many years after planting.

Plain numbers from the literature. It knows no species: who has counted roots gives their strength and share.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headscarp.core.errors import RecipeError

WU = 1.2
"""Factor of Wu et al. (1979) for how roots that cross a shear plane are bent: 1.0 to 1.3 for usual friction."""
ROOTS_MPA, ROOT_SHARE = (20.0,), (0.0003,)
"""A round middle of what is told of trees: 20 MPa of tensile strength over 0.03 % of the shear plane."""
# Sidle (1991): R(t) = 1 / (a + b exp(-k t)) + c, t in years, of the roots of planted conifers.
_A, _B, _C, _K = 0.952, 19.05, -0.05, 0.25


def root_cohesion_kpa(tensile_mpa: Sequence[float] = ROOTS_MPA, area_share: Sequence[float] = ROOT_SHARE) -> float:
    """Cohesion that roots add: c_r = 1.2 sum T_r A_r / A, kPa (Wu, McKinnell and Swanston 1979).

    tensile_mpa, area_share: of each class of roots, its tensile strength and the share of the shear plane that it
    crosses. An upper bound, since not all roots break at once (Pollen and Simon 2005). Raises RecipeError.
    """
    if len(tensile_mpa) != len(area_share) or not len(tensile_mpa):
        raise RecipeError(
            f"{len(tensile_mpa)} strengths and {len(area_share)} shares of roots; give one of each a class"
        )
    if min(tensile_mpa) < 0 or min(area_share) < 0 or sum(area_share) > 1:
        raise RecipeError("strengths of roots are 0 or more, and their shares together at most 1")
    return WU * sum(1000.0 * t * a for t, a in zip(tensile_mpa, area_share, strict=True))


def root_growth(years: ArrayLike) -> NDArray[np.float64]:
    """Share of the full strength of roots so many years after planting, [0, 1]: 0 at once, half after 12 years.

    Source: Sidle (1991), planted conifers; sprouting trees are faster.
    """
    t = np.maximum(np.asarray(years, np.float64), 0.0)
    return np.asarray(np.clip(1.0 / (_A + _B * np.exp(-_K * t)) + _C, 0.0, 1.0))
