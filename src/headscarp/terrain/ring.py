"""The ring of cells at a radius: which offsets from a cell make up its circle. It knows no DEM."""

import math

import numpy as np
from numpy.typing import NDArray

from headscarp.core.errors import RecipeError

LARGEST_RADIUS_PX = 255


def ring(radius_px: int, *, points: str = "full") -> NDArray[np.int16]:
    """Offsets of the cells on the circle around a cell.

    radius_px: 1 to 255. points: "full", the midpoint circle: 16, 56, 168 cells at radius 3, 10, 30, and the 4
    neighbours at radius 1; or "thinned", the few points of Hajimoradlou, Roberti and Poole (2019): 8, 12, 16 at
    radius 3, 10, 30, four more for each half decade of radius, evenly turned from north, each the nearest cell of
    the full ring.
    Returns (n, 2) int16 (row, column) offsets, rows downward, sorted row by row, each once.
    Raises RecipeError for a radius out of range or an unknown kind of ring.
    Source: the midpoint circle, Foley, van Dam, Feiner and Hughes (1990), Computer Graphics, section 3.3.
    """
    if isinstance(radius_px, bool) or int(radius_px) != radius_px or not 1 <= radius_px <= LARGEST_RADIUS_PX:
        raise RecipeError(f"radius is {radius_px} px, but a whole number from 1 to {LARGEST_RADIUS_PX} is needed.")
    if points not in ("full", "thinned"):
        raise RecipeError(f"ring points {points!r} are unknown; choose 'full' or 'thinned'.")
    circle = _midpoint_circle(int(radius_px))
    return circle if points == "full" else _thinned(circle, int(radius_px))


def _midpoint_circle(radius: int) -> NDArray[np.int16]:
    """In the octant next to the row axis: for each row offset the column nearest to the true circle."""
    octant = []
    for minor in range(radius + 1):
        # sqrt(n) rounded to the nearest whole number, in whole numbers: no tie can occur.
        major = (math.isqrt(4 * (radius * radius - minor * minor)) + 1) // 2
        if major < minor:
            break
        octant.append((major, minor))
    turned = [(a * i, b * j) for p in octant for a, b in (p, p[::-1]) for i in (1, -1) for j in (1, -1)]
    return np.unique(np.array(turned, dtype=np.int16), axis=0)


def _thinned(circle: NDArray[np.int16], radius: int) -> NDArray[np.int16]:
    """Per quadrant 1 + round(2 log10 radius) points of the circle, so that a quarter turn maps it on itself."""
    per_quadrant = 1 + round(2 * math.log10(radius))
    quadrant = []
    for k in range(per_quadrant):
        turn = math.pi / 2 * k / per_quadrant
        exact = np.array([-radius * math.cos(turn), radius * math.sin(turn)])
        quadrant.append(circle[np.argmin(((circle - exact) ** 2).sum(axis=1))])
    turned = [np.array(quadrant)]
    for _ in range(3):
        row, column = turned[-1].T
        turned.append(np.stack([column, -row], axis=1))
    return np.unique(np.concatenate(turned).astype(np.int16), axis=0)
