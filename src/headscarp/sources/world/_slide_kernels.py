"""The loop of the simulated landslides that numpy cannot do: a deposit that grows from the foot of its scarp.

Plain arrays in, plain arrays changed or returned. It trusts its callers: no argument is checked here.
"""

import heapq

import numpy as np
from numba import njit

_ROWS = np.array([-1, -1, -1, 0, 0, 1, 1, 1])
_COLS = np.array([-1, 0, 1, -1, 1, -1, 0, 1])


@njit(nogil=True, cache=True)
def grow_deposit(z, closed, seeds, uneven, cell_m, rules):  # type: ignore[no-untyped-def]
    """Cells that a slide's deposit covers, in the order it reaches them, and how dear each was to reach.

    z: (y, x) heights. closed: (y, x) cells that it cannot enter, 1 afterwards where it was (undone by the caller).
    seeds: (n, 2) rows and columns at the foot of the scarp, where it starts. uneven: (y, x) noise in the cost.
    cell_m: (dy, dx). rules: row and column of the crown, its height, tangent of the angle of reach, highest ground
    that it may cover, cells that it covers at most, preference for steep ways, penalty on ways uphill.
    Returns (k,) flat indices and (k,) costs in metres; grows no further at the edge of the raster.
    """
    crown_row, crown_col, crown_m, reach, highest, most, steep, uphill = rules
    height, width = z.shape
    cells, costs = np.empty(int(most), np.int64), np.empty(int(most))
    best = {np.int64(0): 0.0}
    best.clear()
    heap = [(0.0, np.int64(0))]
    heap.pop()
    for k in range(seeds.shape[0]):
        at = np.int64(seeds[k, 0] * width + seeds[k, 1])
        best[at] = 0.0
        heapq.heappush(heap, (0.0, at))
    count = 0
    while len(heap) > 0 and count < most:
        cost, at = heapq.heappop(heap)
        if cost > best[at]:
            continue
        row, col = at // width, at % width
        if not closed[row, col]:
            cells[count], costs[count] = at, cost
            closed[row, col] = 1
            count += 1
        for j in range(8):
            r, c = row + _ROWS[j], col + _COLS[j]
            if r < 0 or c < 0 or r >= height or c >= width or closed[r, c]:
                continue
            run = np.hypot((r - crown_row) * cell_m[0], (c - crown_col) * cell_m[1])
            # The line from the crown to the tip is nowhere flatter than the angle of reach (Heim 1932).
            if z[r, c] > highest or crown_m - z[r, c] < reach * run:
                continue
            step = np.hypot(_ROWS[j] * cell_m[0], _COLS[j] * cell_m[1])
            fall = (z[row, col] - z[r, c]) / step
            way = step * np.exp(0.25 * uneven[r, c]) * (np.exp(-steep * fall) if fall > 0.0 else 1.0 - uphill * fall)
            to = np.int64(r * width + c)
            if to not in best or cost + way < best[to]:
                best[to] = cost + way
                heapq.heappush(heap, (cost + way, to))
    return cells[:count], costs[:count]
