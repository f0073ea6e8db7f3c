"""The loops of the simulated valley that numpy cannot do: erosion along streams, creep of soil, tracing downhill.

Plain arrays in, plain arrays changed or returned. They trust their callers: no argument is checked here.
"""

import numpy as np
from numba import njit

_ROWS = np.array([-1, -1, -1, 0, 0, 1, 1, 1])
_COLS = np.array([-1, 0, 1, -1, 1, -1, 0, 1])
_DIAGONAL = np.array([True, False, True, False, False, True, False, True])
_SQRT2 = np.sqrt(2.0)


@njit(nogil=True, cache=True)
def upslope_cells(below, order):  # type: ignore[no-untyped-def]
    """How many cells drain through each cell, itself included. below: flat index of the cell each drains to, itself at
    an outlet; order: flat indices from outlets upstream."""
    cells = np.ones(below.size)
    for k in range(order.size - 1, -1, -1):
        cell = order[k]
        if below[cell] != cell:
            cells[below[cell]] += cells[cell]
    return cells


@njit(nogil=True, cache=True)
def erode(z, below, order, gradient, limit, width, cell_size_m, relax):  # type: ignore[no-untyped-def]
    """Moves each cell of z (flat, in place) towards the height that its stream's gradient asks for, outlets first.

    gradient: drop per metre to the cell below; limit: the steepest drop that holds; relax in (0, 1].
    """
    for k in range(order.size):
        cell = order[k]
        to = below[cell]
        if to == cell:
            continue
        step = cell_size_m * (1.0 if cell // width == to // width or cell % width == to % width else _SQRT2)
        aim = z[to] + step * min(gradient[cell], limit[cell])
        height = z[cell] + relax * (aim - z[cell])
        z[cell] = max(z[to] + 1e-3 * step, min(height, z[to] + step * limit[cell]))


@njit(nogil=True, cache=True)
def creep(z, highest_first, cell_size_m, carried, keep_m):  # type: ignore[no-untyped-def]
    """Upslope area and the soil that creep brings, spread over all lower neighbours (Quinn et al. 1991; Freeman 1991).

    z: (y, x). highest_first: flat indices by falling z. carried: (n, k) what each cell's own rock gives, changed to
    the mean over what is there and what came from uphill, which fades with exp(-distance / keep_m).
    Returns upslope area in cells (n,).
    """
    height, width = z.shape
    area, amount = np.ones(z.size), np.ones(z.size)
    share = np.zeros(8)
    fade = np.exp(-cell_size_m / keep_m) if keep_m > 0.0 else 0.0
    fade_diagonal = np.exp(-cell_size_m * _SQRT2 / keep_m) if keep_m > 0.0 else 0.0
    for k in range(highest_first.size):
        cell = highest_first[k]
        row, col = cell // width, cell % width
        total = 0.0
        for j in range(8):
            r, c = row + _ROWS[j], col + _COLS[j]
            share[j] = 0.0
            if r < 0 or r >= height or c < 0 or c >= width:
                continue
            drop = z[row, col] - z[r, c]
            if drop <= 0.0:
                continue
            if _DIAGONAL[j]:
                share[j] = (drop / (cell_size_m * _SQRT2)) ** 1.1 * 0.354
            else:
                share[j] = (drop / cell_size_m) ** 1.1 * 0.5
            total += share[j]
        for j in range(8):
            if share[j] == 0.0:
                continue
            to = (row + _ROWS[j]) * width + col + _COLS[j]
            part = share[j] / total
            area[to] += part * area[cell]
            part *= fade_diagonal if _DIAGONAL[j] else fade
            amount[to] += part * amount[cell]
            for i in range(carried.shape[1]):
                carried[to, i] += part * carried[cell, i]
    for cell in range(z.size):
        for i in range(carried.shape[1]):
            carried[cell, i] /= amount[cell]
    return area


@njit(nogil=True, cache=True)
def smear_downhill(noise, east, north, taper, correlation):  # type: ignore[no-untyped-def]
    """Noise averaged along the line of steepest slope through each cell, scaled back to variance one exactly.

    noise: (y, x), variance one, correlation[|dy|] * correlation[|dx|] between cells. east, north: unit vector uphill,
    0 on flats. taper: weights from the centre outwards, on both sides. Lines end at the raster's edge.
    """
    height, width = noise.shape
    reach = taper.size
    out = np.empty_like(noise)
    rows, cols = np.empty(2 * reach, np.int64), np.empty(2 * reach, np.int64)
    weights = np.empty(2 * reach)
    for row in range(height):
        for col in range(width):
            n = 0
            for side in range(2):
                y, x = row + 0.5, col + 0.5
                for k in range(reach):
                    r, c = int(y), int(x)
                    if y < 0.0 or x < 0.0 or r >= height or c >= width:
                        break
                    if k > 0 or side == 0:
                        rows[n], cols[n], weights[n] = r, c, taper[k]
                        n += 1
                    sign = 1.0 - 2.0 * side
                    y -= sign * north[r, c]
                    x += sign * east[r, c]
            total, variance = 0.0, 0.0
            for i in range(n):
                total += weights[i] * noise[rows[i], cols[i]]
                for j in range(n):
                    dy, dx = abs(rows[i] - rows[j]), abs(cols[i] - cols[j])
                    if dy < correlation.size and dx < correlation.size:
                        variance += weights[i] * weights[j] * correlation[dy] * correlation[dx]
            out[row, col] = total / np.sqrt(variance)
    return out
