"""Which cells to plant: the best within a budget, in patches of a least size. Plain arrays in, a mask out.

Refuses budgets that are larger than what can be planted.
"""

import heapq

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label, uniform_filter

from headscarp.core.errors import RecipeError

_AROUND = 3
_TOUCH = np.ones((3, 3), int)


def choose_cells(
    gain: NDArray[np.floating], allowed: NDArray[np.bool_], *, cells: int, patch_cells: int = 1
) -> NDArray[np.bool_]:
    """(y, x) at most `cells` of the allowed cells, none in a patch of fewer than `patch_cells`, with much gain.

    gain: (y, x), NaN counts as none; cells without any are left out, so the plan may be smaller than the budget. Cells
    are taken by the mean of their gain and that of the 3 x 3 cells about them; patches that stay too small
    are dropped; what is left of the budget goes to neighbours of the plan. Raises RecipeError for a budget of nothing,
    one larger than what is allowed, or smaller than a patch.
    """
    there = int(allowed.sum())
    if there == 0:
        raise RecipeError("there is nowhere to plant: no cell of open ground is allowed; give other --candidates")
    if cells > there:
        raise RecipeError(f"the budget is {cells} cells, but only {there} can be planted; give at most as many")
    if not 1 <= patch_cells <= cells:
        raise RecipeError(f"the budget is {cells} cells and a patch at least {patch_cells}; give a larger budget")
    worth = np.where(allowed & np.isfinite(gain), np.maximum(np.nan_to_num(gain), 0.0), 0.0)
    useful = worth > 0
    around = uniform_filter(worth, _AROUND, mode="constant")
    near = np.where(useful, (worth + around) / 2, -np.inf)
    order = np.argsort(-near, axis=None, kind="stable")[: int(useful.sum())]
    if not order.size:
        return np.zeros(gain.shape, np.bool_)
    low, high = 0, order.size  # a longer list only lets patches grow, so the size of the plan rises with it
    while low < high:
        middle = (low + high + 1) // 2
        if int(_patches(order[:middle], gain.shape, patch_cells).sum()) <= cells:
            low = middle
        else:
            high = middle - 1
    chosen = _patches(order[:low], gain.shape, patch_cells)
    if not chosen.any():
        chosen = _patch_about(int(order[0]), near, patch_cells)
    return _grown(chosen, near, cells)


def _patches(order: NDArray[np.int64], shape: tuple[int, ...], least: int) -> NDArray[np.bool_]:
    """The cells of those patches that are large enough."""
    mask = np.zeros(shape, np.bool_)
    mask.ravel()[order] = True
    patches, _ = label(mask, _TOUCH)
    sizes = np.bincount(patches.ravel())
    keep = sizes >= least
    keep[0] = False
    return np.asarray(keep[patches])


def _patch_about(cell: int, near: NDArray[np.floating], least: int) -> NDArray[np.bool_]:
    start = np.zeros(near.shape, np.bool_)
    start.ravel()[cell] = True
    return _grown(start, near, least)


def _grown(chosen: NDArray[np.bool_], near: NDArray[np.floating], cells: int) -> NDArray[np.bool_]:
    """The plan with the best neighbours that it has, until the budget is spent."""
    out, (rows, cols) = chosen.copy(), chosen.shape
    heap: list[tuple[float, int, int]] = []
    seen = out.copy()

    def look(i: int, j: int) -> None:
        for a in range(max(0, i - 1), min(rows, i + 2)):
            for b in range(max(0, j - 1), min(cols, j + 2)):
                if not seen[a, b] and np.isfinite(near[a, b]):
                    seen[a, b] = True
                    heapq.heappush(heap, (-float(near[a, b]), a, b))

    for i, j in zip(*np.nonzero(out), strict=True):
        look(int(i), int(j))
    left = cells - int(out.sum())
    while left > 0 and heap:
        _, i, j = heapq.heappop(heap)
        out[i, j] = True
        left -= 1
        look(i, j)
    return out
