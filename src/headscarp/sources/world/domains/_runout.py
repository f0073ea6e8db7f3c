"""The loop that lets simulated slides run: many walkers down from each source, slowed by friction and by drag.

Two friction terms as for avalanches (Perla, Cheng and McClung 1980), ways by chance as for debris flows (Gamma 2000).
Plain arrays in, an array filled. It trusts its callers: no argument is checked here.
"""

import numpy as np
from numba import njit

_GRAVITY = 9.81
_RISE = 0.06  # what moves goes over ground that rises by as much
_STARTS = 1.0  # m2/s2: a slide that has come loose moves


@njit(nogil=True, cache=True)
def run_walkers(ground, cells, drawn, cell_m, friction, mass_over_drag_m, buried):  # type: ignore[no-untyped-def]
    """Marks in buried (y, x) what walkers from each of cells (n,) cross. ground: (y, x) metres. drawn: (n, walkers,
    steps) in [0, 1). friction: tangent at which a walker keeps its speed, were there no drag."""
    rows, cols = ground.shape
    weight = np.empty(8)
    for k in range(cells.size):
        for w in range(drawn.shape[1]):
            i, j = divmod(cells[k], cols)
            buried[i, j] = True
            speed2, came = _STARTS, -1
            for s in range(drawn.shape[2]):
                total = 0.0
                for n in range(8):
                    weight[n] = 0.0
                    a, b = i + _DI[n], j + _DJ[n]
                    if 0 <= a < rows and 0 <= b < cols:
                        way = cell_m * _WAY[n]
                        down = (ground[i, j] - ground[a, b]) / way + _RISE
                        turn = 0 if came < 0 else min((n - came) % 8, (came - n) % 8)
                        if down > 0.0 and turn < 3:
                            weight[n] = down * down * _TURN[turn]
                    total += weight[n]
                if total <= 0.0:
                    break
                left, n = drawn[k, w, s] * total, 0
                while n < 7 and left >= weight[n]:
                    left -= weight[n]
                    n += 1
                way = cell_m * _WAY[n]
                a, b = i + _DI[n], j + _DJ[n]
                tangent = (ground[i, j] - ground[a, b]) / way
                length = way * np.sqrt(1.0 + tangent * tangent)
                push = _GRAVITY * (tangent - friction) / np.sqrt(1.0 + tangent * tangent)
                kept = np.exp(-2.0 * length / mass_over_drag_m)
                speed2 = push * mass_over_drag_m * (1.0 - kept) + speed2 * kept
                if speed2 <= 0.0:
                    break
                i, j, came = a, b, n
                buried[i, j] = True


_DI = np.array([-1, -1, 0, 1, 1, 1, 0, -1])
_DJ = np.array([0, 1, 1, 1, 0, -1, -1, -1])
_WAY = np.array([1.0, np.sqrt(2.0)] * 4)
_TURN = np.array([1.0, 0.6, 0.1])  # by eighths of a turn: what moves goes on as it went
