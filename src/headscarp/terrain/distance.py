"""Distance from every cell to the nearest feature. It needs the whole raster: a far feature may lie in any block."""

import warnings

import numpy as np
from numpy.typing import NDArray

from headscarp.core.errors import GridError, HeadscarpWarning
from headscarp.terrain.derive import CellSize, cell_size_per_row

_EVEN = 0.01


def distance_to(mask: NDArray[np.bool_], cell_size_m: CellSize) -> NDArray[np.float32]:
    """Straight-line distance from the centre of each cell to the centre of the nearest True cell, exact.

    mask: (y, x) bool, True on the feature (a road, a fault, a river). cell_size_m: metres, a number, (dy, dx), or
    arrays (y,) per row: then the middle row's size is used for all, with a HeadscarpWarning where rows differ by
    more than 1 % (project the grid first for exact distances).
    Returns (y, x) float32 metres, 0 on the feature; nothing is missing. Memory: about 30 bytes a cell.
    Raises GridError where no cell of the mask is True: there is nothing to measure to.
    Source: Maurer, Qi and Raghavan (2003), IEEE TPAMI 25, 265-270, through scipy.
    """
    # scipy takes its time to import, and most derivations do without.
    from scipy.ndimage import distance_transform_edt

    if mask.ndim != 2 or mask.dtype != np.bool_:
        raise GridError(f"mask is {mask.shape} {mask.dtype}, but (y, x) bool is needed; compare it with its value.")
    if not mask.any():
        raise GridError("no cell of the mask is True, so there is no feature to measure to; check that it overlaps.")
    sides = cell_size_per_row(cell_size_m, mask.shape[0])
    for side, name in zip(sides, ("north-south", "east-west"), strict=True):
        uneven = side.max() / side.min() - 1
        if uneven > _EVEN:
            warnings.warn(
                f"{name} cell size differs by {uneven:.1%} between rows; distances use the middle row's "
                f"{side[len(side) // 2]:.2f} m. Project the grid for exact distances.",
                HeadscarpWarning,
                stacklevel=2,
            )
    sampling = [side[len(side) // 2] for side in sides]
    return distance_transform_edt(~mask, sampling=sampling).astype(np.float32)
