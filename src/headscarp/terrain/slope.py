"""Slope and aspect of each cell. Both come from the one pass of `derive`; several at once are cheaper there."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from headscarp.terrain.derive import CellSize, derive


def slope(dem: NDArray[Any], cell_size_m: CellSize, *, method: str = "horn") -> NDArray[np.float32]:
    """Slope of each cell from its 3 x 3 neighbourhood.

    dem: (y, x) metres, row 0 in the north, NaN where missing. cell_size_m: metres, a number, (dy, dx), or two
    arrays of (y,) values for geographic grids. method: "horn" or "zevenbergen_thorne".
    Returns (y, x) float32 degrees in [0, 90); NaN spreads one cell and fills the outermost ring.
    Raises GridError, RecipeError as `derive` does.
    Source: Horn (1981), Proc. IEEE 69, 14-47; Zevenbergen and Thorne (1987), Earth Surf. Process. 12, 47-56.
    """
    return derive(dem, cell_size_m, ["slope"], method=method)["slope"]


def aspect(dem: NDArray[Any], cell_size_m: CellSize, *, method: str = "horn") -> NDArray[np.float32]:
    """Compass direction that each cell faces, downslope: 0 north, 90 east, 180 south, 270 west.

    Arguments as for `slope`. Returns (y, x) float32 degrees in [0, 360); NaN where missing, on the outermost ring
    and on flats (where the gradient is exactly zero: there is no direction).
    """
    return derive(dem, cell_size_m, ["aspect"], method=method)["aspect"]
