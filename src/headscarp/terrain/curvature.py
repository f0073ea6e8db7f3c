"""Plan, profile and total curvature from the surface that Zevenbergen and Thorne (1987) fit to 3 x 3 cells.

With p, q the slopes to the east and north, and r, t, s the second derivatives east-east, north-north, east-north.
The signs are SAGA's: convex is positive. `method` chooses the slopes p, q only (central differences, or Horn's);
r, t, s are always those of Zevenbergen and Thorne. There are a dozen other curvatures of the same names: see
Florinsky (2017), Progress in Physical Geography 41, 723-752, before comparing with another program.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from headscarp.terrain.derive import CellSize, derive


def plan_curvature(dem: NDArray[Any], cell_size_m: CellSize, *, method: str = "horn") -> NDArray[np.float32]:
    """Curvature of the contour line through each cell: positive on ridges, negative in hollows.

    -(r q^2 + t p^2 - 2 s p q) / (p^2 + q^2)^1.5, 1/m; 0 on flats, and without bound where it is nearly flat.
    Arguments, missing cells and errors as for `slope`. Returns (y, x) float32.
    """
    return derive(dem, cell_size_m, ["plan_curvature"], method=method)["plan_curvature"]


def profile_curvature(dem: NDArray[Any], cell_size_m: CellSize, *, method: str = "horn") -> NDArray[np.float32]:
    """Curvature of the vertical section down the slope: positive where it steepens downhill, negative at its foot.

    -(r p^2 + t q^2 + 2 s p q) / ((p^2 + q^2) (1 + p^2 + q^2)^1.5), 1/m; 0 on flats.
    Arguments, missing cells and errors as for `slope`. Returns (y, x) float32.
    """
    return derive(dem, cell_size_m, ["profile_curvature"], method=method)["profile_curvature"]


def total_curvature(dem: NDArray[Any], cell_size_m: CellSize, *, method: str = "horn") -> NDArray[np.float32]:
    """How much the surface bends in all directions together, never negative, and the same for both methods.

    r^2 + 2 s^2 + t^2, 1/m^2 (Wilson and Gallant 2000, Terrain Analysis, eq. 3.12: the bending that a thin plate
    resists); 0 on planes. Arguments, missing cells and errors as for `slope`. Returns (y, x) float32.
    """
    return derive(dem, cell_size_m, ["total_curvature"], method=method)["total_curvature"]
