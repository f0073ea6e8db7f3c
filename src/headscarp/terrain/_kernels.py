"""Compiled loops for everything that comes from a 3 x 3 neighbourhood: gradient, slope, aspect, curvatures.

It works on a few rows at a time and knows no files, grids or units beyond metres per cell; callers check their
arguments. Every operation is plain IEEE arithmetic in a fixed order (no fused or reordered maths), so a cell gets
the same bits wherever its row or column falls in a block.

The window is numbered as Zevenbergen and Thorne (1987) do, row 0 to the north: a = (z1 z2 z3), b = (z4 z5 z6),
c = (z7 z8 z9). Differences come before sums: the elevations of neighbours are close, so nothing is lost.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

SLOPE, ASPECT, PLAN, PROFILE, TOTAL = range(5)

# Columns worked on together: seven buffers of this many float64 stay in a 48 KB first-level cache.
_COLUMNS = 512

_DEGREES = 180.0 / math.pi
_TAN_PI_8 = math.sqrt(2.0) - 1.0
_BELOW_90 = float(np.nextafter(np.float32(90), np.float32(0)))

# arctan(t) = t * polynomial(t * t) for |t| <= tan(pi / 8): interpolation at Chebyshev nodes, error below 1e-12.
_ARCTAN = tuple(
    float(c)
    for c in np.polynomial.Chebyshev.interpolate(
        lambda u: np.arctan(np.sqrt(u)) / np.sqrt(u), 9, domain=[1e-12, _TAN_PI_8**2]
    )
    .convert(kind=np.polynomial.Polynomial)
    .coef
)
_C0, _C1, _C2, _C3, _C4, _C5, _C6, _C7, _C8, _C9 = _ARCTAN


@njit(nogil=True, cache=True, error_model="numpy")
def derive_rows(
    z: NDArray[np.floating],
    cell_y_m: NDArray[np.float64],
    cell_x_m: NDArray[np.float64],
    horn: bool,
    out: tuple[NDArray[np.float32], ...],
    wanted: tuple[bool, ...],
) -> None:
    """Fill rows of the wanted outputs in one pass.

    z: (n + 2, w) elevations, NaN or infinite = missing. cell_y_m, cell_x_m: (n,) metres. out: five float32 arrays
    (slope, aspect, plan, profile, total), (n, w) where wanted, else of any size. The first and the last column
    become NaN.
    """
    n, w = z.shape[0] - 2, z.shape[1]
    curved = wanted[PLAN] or wanted[PROFILE] or wanted[TOTAL]
    east, north = np.empty(_COLUMNS), np.empty(_COLUMNS)
    xx, yy, xy = np.empty(_COLUMNS), np.empty(_COLUMNS), np.empty(_COLUMNS)
    for i in range(n):
        for start in range(0, w - 2, _COLUMNS):
            m = min(_COLUMNS, w - 2 - start)
            a, b, c = z[i, start : start + m + 2], z[i + 1, start : start + m + 2], z[i + 2, start : start + m + 2]
            if horn:
                _gradient_horn(a, b, c, cell_y_m[i], cell_x_m[i], east[:m], north[:m])
            else:
                _gradient_zevenbergen_thorne(a, b, c, cell_y_m[i], cell_x_m[i], east[:m], north[:m])
            if curved:
                _second_derivatives(a, b, c, cell_y_m[i], cell_x_m[i], xx[:m], yy[:m], xy[:m])
            inside = slice(start + 1, start + 1 + m)
            if wanted[SLOPE]:
                _slope(east[:m], north[:m], out[SLOPE][i, inside])
            if wanted[ASPECT]:
                _aspect(east[:m], north[:m], out[ASPECT][i, inside])
            if wanted[PLAN]:
                _plan(east[:m], north[:m], xx[:m], yy[:m], xy[:m], out[PLAN][i, inside])
            if wanted[PROFILE]:
                _profile(east[:m], north[:m], xx[:m], yy[:m], xy[:m], out[PROFILE][i, inside])
            if wanted[TOTAL]:
                _total(east[:m], xx[:m], yy[:m], xy[:m], out[TOTAL][i, inside])
        for k in range(5):
            if wanted[k]:
                out[k][i, 0] = np.nan
                out[k][i, w - 1] = np.nan


@njit(nogil=True, cache=True, error_model="numpy")
def _gradient_horn(a, b, c, cell_y_m, cell_x_m, east, north):  # type: ignore[no-untyped-def]
    """Horn (1981): dz/d(east), dz/d(north), weights 1 2 1. NaN or infinity in any of the nine gives NaN in both."""
    over_x, over_y = 1.0 / (8.0 * cell_x_m), 1.0 / (8.0 * cell_y_m)
    for j in range(east.shape[0]):
        z1, z2, z3 = np.float64(a[j]), np.float64(a[j + 1]), np.float64(a[j + 2])
        z4, z5, z6 = np.float64(b[j]), np.float64(b[j + 1]), np.float64(b[j + 2])
        z7, z8, z9 = np.float64(c[j]), np.float64(c[j + 1]), np.float64(c[j + 2])
        p = ((z3 - z1) + (z9 - z7) + 2.0 * (z6 - z4)) * over_x
        q = ((z1 - z7) + (z3 - z9) + 2.0 * (z2 - z8)) * over_y
        missing = (p + q + z5) * 0.0
        east[j], north[j] = p + missing, q + missing


@njit(nogil=True, cache=True, error_model="numpy")
def _gradient_zevenbergen_thorne(a, b, c, cell_y_m, cell_x_m, east, north):  # type: ignore[no-untyped-def]
    """Zevenbergen and Thorne (1987): central differences. Missing cells as for Horn, corners too."""
    over_x, over_y = 1.0 / (2.0 * cell_x_m), 1.0 / (2.0 * cell_y_m)
    for j in range(east.shape[0]):
        z2, z4, z6, z8 = np.float64(a[j + 1]), np.float64(b[j]), np.float64(b[j + 2]), np.float64(c[j + 1])
        corners = np.float64(a[j]) + np.float64(a[j + 2]) + np.float64(c[j]) + np.float64(c[j + 2])
        p, q = (z6 - z4) * over_x, (z2 - z8) * over_y
        missing = (p + q + corners + np.float64(b[j + 1])) * 0.0
        east[j], north[j] = p + missing, q + missing


@njit(nogil=True, cache=True, error_model="numpy")
def _second_derivatives(a, b, c, cell_y_m, cell_x_m, xx, yy, xy):  # type: ignore[no-untyped-def]
    """Second derivatives of the Zevenbergen-Thorne surface at the centre: east-east, north-north, east-north."""
    over_xx, over_yy = 1.0 / (cell_x_m * cell_x_m), 1.0 / (cell_y_m * cell_y_m)
    over_xy = 1.0 / (4.0 * cell_x_m * cell_y_m)
    for j in range(xx.shape[0]):
        z5 = np.float64(b[j + 1])
        xx[j] = ((np.float64(b[j]) - z5) + (np.float64(b[j + 2]) - z5)) * over_xx
        yy[j] = ((np.float64(a[j + 1]) - z5) + (np.float64(c[j + 1]) - z5)) * over_yy
        z1, z3, z7, z9 = np.float64(a[j]), np.float64(a[j + 2]), np.float64(c[j]), np.float64(c[j + 2])
        xy[j] = ((z3 - z1) + (z7 - z9)) * over_xy


@njit(nogil=True, cache=True, error_model="numpy")
def _slope(east, north, out):  # type: ignore[no-untyped-def]
    for j in range(out.shape[0]):
        steepest = math.sqrt(east[j] * east[j] + north[j] * north[j])
        degrees = _arctan_of_ratio(steepest, 1.0) * _DEGREES
        out[j] = np.float32(_BELOW_90 if degrees > _BELOW_90 else degrees)


@njit(nogil=True, cache=True, error_model="numpy")
def _aspect(east, north, out):  # type: ignore[no-untyped-def]
    for j in range(out.shape[0]):
        e, n = -east[j], -north[j]
        # Angle from the north-south axis, then the quadrant; 0 / 0 on flats and on missing cells gives NaN.
        acute = _arctan_of_ratio(abs(e), abs(n)) * _DEGREES
        half = 180.0 - acute if n < 0.0 else acute
        degrees = np.float32(360.0 - half if e < 0.0 else half)
        out[j] = np.float32(0.0) if degrees >= np.float32(360.0) else degrees


@njit(nogil=True, cache=True, error_model="numpy")
def _arctan_of_ratio(y, x):  # type: ignore[no-untyped-def]
    """arctan(y / x) for y, x >= 0, in [0, pi / 2], free of branches and calls so that loops over it vectorise."""
    low, high = (x, y) if y > x else (y, x)
    folded = low > _TAN_PI_8 * high
    t = ((low - high) if folded else low) / ((low + high) if folded else high)
    u = t * t
    series = _C9
    series = series * u + _C8
    series = series * u + _C7
    series = series * u + _C6
    series = series * u + _C5
    series = series * u + _C4
    series = series * u + _C3
    series = series * u + _C2
    series = series * u + _C1
    series = series * u + _C0
    angle = t * series + (math.pi / 4 if folded else 0.0)
    return math.pi / 2 - angle if y > x else angle


@njit(nogil=True, cache=True, error_model="numpy")
def _plan(east, north, xx, yy, xy, out):  # type: ignore[no-untyped-def]
    for j in range(out.shape[0]):
        p, q = east[j], north[j]
        g = p * p + q * q
        below = g * math.sqrt(g)
        bend = -(xx[j] * q * q + yy[j] * p * p - 2.0 * xy[j] * p * q)
        out[j] = np.float32(0.0 if below == 0.0 else bend / below)


@njit(nogil=True, cache=True, error_model="numpy")
def _profile(east, north, xx, yy, xy, out):  # type: ignore[no-untyped-def]
    for j in range(out.shape[0]):
        p, q = east[j], north[j]
        g = p * p + q * q
        below = g * (1.0 + g) * math.sqrt(1.0 + g)
        bend = -(xx[j] * p * p + yy[j] * q * q + 2.0 * xy[j] * p * q)
        out[j] = np.float32(0.0 if below == 0.0 else bend / below)


@njit(nogil=True, cache=True, error_model="numpy")
def _total(east, xx, yy, xy, out):  # type: ignore[no-untyped-def]
    for j in range(out.shape[0]):
        bend = xx[j] * xx[j] + yy[j] * yy[j] + 2.0 * xy[j] * xy[j]
        out[j] = np.float32(bend + east[j] * 0.0)
