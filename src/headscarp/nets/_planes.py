"""Compiled loops that write dense features, one plane for each class: what is one-hot is never made in two steps.

One thread each, without the interpreter's lock; callers see to arguments.
"""

import numpy as np
from numba import njit

from headscarp.nets._kernels import code_of

_NO_CODE = np.uint8(255)


@njit(nogil=True, cache=True)
def write_features(x, planes, numbers, number_column, out):  # type: ignore[no-untyped-def]
    """Fills the encoded features of a tile into out, (F, H, W).

    planes: (planes, 3) int64: channel in x, classes with "no value", first column. numbers: (N, H, W).
    """
    codes = np.empty(x.shape[2], np.uint8)
    for y in range(x.shape[1]):
        for p in range(planes.shape[0]):
            channel, classes, column = planes[p]
            band = x[channel, y]
            for j in range(codes.shape[0]):
                code = code_of(band[j])
                codes[j] = code if code < classes else np.uint8(0)
            for code in range(classes):
                _write_plane(codes, np.uint8(code), out[column + code, y])
        for n in range(numbers.shape[0]):
            out[number_column[n], y] = numbers[n, y]


@njit(nogil=True, cache=True)
def write_aligned(x, planes, columns, numbers, aligned_numbers, uphill, out):  # type: ignore[no-untyped-def]
    """Fills the aligned features of a tile into out, (ranges, aligned, H, W).

    planes: as above, of the bands with aligned classes. columns: (planes, 256) position of each class among the aligned
    features, -1 for none. aligned_numbers: (index into numbers, position). uphill: drow, dcol, above, (ranges, H, W).
    """
    drow, dcol, above = uphill
    width = x.shape[2]
    codes, rows = np.empty(width, np.uint8), np.empty(width, np.int64)
    for y in range(x.shape[1]):
        for r in range(above.shape[0]):
            for j in range(width):
                rows[j] = (y + drow[r, y, j]) * width + j + dcol[r, y, j]
            up = above[r, y]
            for p in range(planes.shape[0]):
                channel, classes, _ = planes[p]
                band = x[channel].reshape(-1)
                for j in range(width):
                    code = code_of(band[rows[j]])
                    code = code if code < classes else np.uint8(0)
                    codes[j] = code if up[j] else _NO_CODE
                for code in range(classes):
                    if columns[p, code] >= 0:
                        _write_plane(codes, np.uint8(code), out[r, columns[p, code], y])
            for k in range(aligned_numbers.shape[0]):
                number, into = numbers[aligned_numbers[k, 0]].reshape(-1), out[r, aligned_numbers[k, 1], y]
                for j in range(width):
                    into[j] = number[rows[j]] if up[j] else np.float32(0)


@njit(nogil=True, cache=True)
def _write_plane(codes, code, row):  # type: ignore[no-untyped-def]
    """1 where the code is this one, else 0."""
    for j in range(row.shape[0]):
        row[j] = np.float32(codes[j] == code)
