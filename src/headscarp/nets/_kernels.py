"""Compiled loops of the nets: codes and numbers of a tile, the first layer over them and its gradient, and the dense
features. One thread each, without the interpreter's lock; callers see to arguments and run several tiles side by side.

Sums run in one fixed order for every pixel, wherever its tile begins.
"""

import math

import numpy as np
from numba import njit

from headscarp.nets._lanes import LANES, add, load, multiply_add, store

_NO_CODE = np.uint8(255)
_FLUSH_ROWS = 64


@njit(nogil=True, cache=True)
def code_of(value):  # type: ignore[no-untyped-def]
    """A class code as it stands in x -> 0 to 255; missing and impossible ones are 0, "no value"."""
    return np.uint8(value + np.float32(0.5)) if value >= np.float32(0.5) and value < np.float32(254.5) else np.uint8(0)


@njit(nogil=True, cache=True)
def read_codes(x, plane_channel, plane_group, plane_row, codes):  # type: ignore[no-untyped-def]
    """x: (C, H, W). Fills codes, (groups, H, W) int32: the row of each group's table."""
    codes[:] = 0
    for p in range(plane_channel.shape[0]):
        rows = plane_row[p]
        for i in range(x.shape[1]):
            band, into = x[plane_channel[p], i], codes[plane_group[p], i]
            for j in range(x.shape[2]):
                into[j] += rows[code_of(band[j])]


@njit(nogil=True, cache=True, error_model="numpy")
def read_numbers(x, channel, kind, mean, std, numbers):  # type: ignore[no-untyped-def]
    """x: (C, H, W). kind: 0 standardised, 1 cosine, 2 sine of degrees. Fills numbers, (N, H, W), 0 where missing."""
    for n in range(channel.shape[0]):
        for i in range(x.shape[1]):
            band, into = x[channel[n], i], numbers[n, i]
            if kind[n] == 0:
                for j in range(x.shape[2]):
                    z = (band[j] - mean[n]) / std[n]
                    into[j] = z if abs(z) < np.float32(np.inf) else np.float32(0)
            else:
                for j in range(x.shape[2]):
                    turn = math.radians(band[j])
                    z = math.cos(turn) if kind[n] == 1 else math.sin(turn)
                    into[j] = np.float32(z) if abs(z) <= 1.0 else np.float32(0)


@njit(nogil=True, cache=True)
def convolve(tile, plan, weights, size, out):  # type: ignore[no-untyped-def]
    """The first layer over a tile, zero-padded.

    tile: (codes (groups, H, W), numbers (N, H, W), drow, dcol, above (ranges, H, W)). plan: (groups that are not
    aligned, first row of each lookup's table, numbers that are aligned). weights: (tables, number weights, bias), flat
    float32. size: (k, lanes, channels). out: flat, (H, W, channels).
    """
    kernel, lanes, channels = size
    tables, of_numbers, bias = weights
    height, width = tile[0].shape[1:]
    pad, step = kernel // 2, kernel * kernel * lanes
    rows, values = _row_buffers(tile, plan, kernel)
    for y in range(-pad, pad):
        _read_row(y, tile, plan, step, rows[y % kernel], values[y % kernel], pad)
    spare = np.empty(LANES, np.float32)
    for y in range(height):
        last = y + pad
        _read_row(last, tile, plan, step, rows[last % kernel], values[last % kernel], pad)
        for lane in range(0, lanes, LANES):
            start = load(bias, lane)
            for x in range(0, width - width % 4, 4):
                # Four pixels at a time: their sums do not wait for each other, and they share the number weights.
                a, b, c, d = start, start, start, start
                for i in range(kernel):
                    row, value = rows[(y - pad + i) % kernel], values[(y - pad + i) % kernel]
                    for j in range(kernel):
                        tap, at = (i * kernel + j) * lanes + lane, x + j
                        for k in range(row.shape[1]):
                            a = add(a, load(tables, row[at, k] + tap))
                            b = add(b, load(tables, row[at + 1, k] + tap))
                            c = add(c, load(tables, row[at + 2, k] + tap))
                            d = add(d, load(tables, row[at + 3, k] + tap))
                        for k in range(value.shape[1]):
                            weight = load(of_numbers, k * step + tap)
                            a = multiply_add(a, weight, value[at, k])
                            b = multiply_add(b, weight, value[at + 1, k])
                            c = multiply_add(c, weight, value[at + 2, k])
                            d = multiply_add(d, weight, value[at + 3, k])
                at = y * width + x
                _write(out, at, lane, channels, a, spare)
                _write(out, at + 1, lane, channels, b, spare)
                _write(out, at + 2, lane, channels, c, spare)
                _write(out, at + 3, lane, channels, d, spare)
            for x in range(width - width % 4, width):
                a = start
                for i in range(kernel):
                    row, value = rows[(y - pad + i) % kernel], values[(y - pad + i) % kernel]
                    for j in range(kernel):
                        tap = (i * kernel + j) * lanes + lane
                        for k in range(row.shape[1]):
                            a = add(a, load(tables, row[x + j, k] + tap))
                        for k in range(value.shape[1]):
                            a = multiply_add(a, load(of_numbers, k * step + tap), value[x + j, k])
                _write(out, y * width + x, lane, channels, a, spare)


@njit(nogil=True, cache=True)
def convolve_gradient(tile, plan, gradient, size, totals):  # type: ignore[no-untyped-def]
    """Adds to totals, flat float64 (tables, number weights, bias), the gradient of a loss with respect to them.

    gradient: flat, (H, W, lanes), of the loss with respect to the layer's output; lanes without a channel are 0. size:
    (k, lanes). Sums are float32 within a strip of rows and float64 over strips. Row 0 of the tables gets rubbish.
    """
    kernel, lanes = size
    height, width = tile[0].shape[1:]
    pad, step = kernel // 2, kernel * kernel * lanes
    rows, values = _row_buffers(tile, plan, kernel)
    tables = np.zeros(totals[0].shape, np.float32)
    of_numbers = np.zeros(totals[1].shape, np.float32)
    bias = np.zeros(totals[2].shape, np.float32)
    for y in range(-pad, pad):
        _read_row(y, tile, plan, step, rows[y % kernel], values[y % kernel], pad)
    for y in range(height):
        last = y + pad
        _read_row(last, tile, plan, step, rows[last % kernel], values[last % kernel], pad)
        for lane in range(0, lanes, LANES):
            for x in range(width):
                g = load(gradient, (y * width + x) * lanes + lane)
                store(bias, lane, add(load(bias, lane), g))
                for i in range(kernel):
                    row, value = rows[(y - pad + i) % kernel], values[(y - pad + i) % kernel]
                    for j in range(kernel):
                        tap = (i * kernel + j) * lanes + lane
                        for k in range(row.shape[1]):
                            at = row[x + j, k] + tap
                            store(tables, at, add(load(tables, at), g))
                        for k in range(value.shape[1]):
                            at = k * step + tap
                            store(of_numbers, at, multiply_add(load(of_numbers, at), g, value[x + j, k]))
        if (y + 1) % _FLUSH_ROWS == 0 or y + 1 == height:
            _flush(tables, totals[0])
            _flush(of_numbers, totals[1])
            _flush(bias, totals[2])


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


@njit(nogil=True, cache=True)
def _row_buffers(tile, plan, kernel):  # type: ignore[no-untyped-def]
    """Room for what `kernel` rows of pixels look up, and what they multiply."""
    width = tile[0].shape[2] + kernel - 1
    numbers = tile[1].shape[0] + tile[4].shape[0] * plan[2].shape[0]
    return np.zeros((kernel, width, plan[1].shape[0]), np.int64), np.zeros((kernel, width, numbers), np.float32)


@njit(nogil=True, cache=True)
def _read_row(y, tile, plan, step, rows, values, pad):  # type: ignore[no-untyped-def]
    """What the pixels of row y look up and multiply, into rows (W + 2 pad, lookups) and values (W + 2 pad, numbers).

    rows: positions in the flat tables, 0 (where there are zeros) outside the tile and where nothing is uphill.
    """
    codes, numbers, drow, dcol, above = tile
    groups, first_rows, aligned_number = plan
    aligned_groups, aligned_numbers = codes.shape[0] - groups, aligned_number.shape[0]
    if y < 0 or y >= codes.shape[1]:
        rows[:] = 0
        values[:] = 0
        return
    for j in range(codes.shape[2]):
        row, value = rows[j + pad], values[j + pad]
        for g in range(groups):
            row[g] = (first_rows[g] + codes[g, y, j]) * step
        for n in range(numbers.shape[0]):
            value[n] = numbers[n, y, j]
        at_row, at_value = groups, numbers.shape[0]
        for r in range(above.shape[0]):
            up = above[r, y, j]
            i2, j2 = y + drow[r, y, j], j + dcol[r, y, j]
            for g in range(aligned_groups):
                row[at_row + g] = (first_rows[at_row + g] + codes[groups + g, i2, j2]) * step if up else 0
            for n in range(aligned_numbers):
                value[at_value + n] = numbers[aligned_number[n], i2, j2] if up else np.float32(0)
            at_row += aligned_groups
            at_value += aligned_numbers


@njit(nogil=True, cache=True)
def _write(out, pixel, lane, channels, lanes, spare):  # type: ignore[no-untyped-def]
    if lane + LANES <= channels:
        store(out, pixel * channels + lane, lanes)
        return
    store(spare, 0, lanes)
    for c in range(lane, channels):
        out[pixel * channels + c] = spare[c - lane]


@njit(nogil=True, cache=True)
def _flush(part, total):  # type: ignore[no-untyped-def]
    for k in range(part.shape[0]):
        total[k] += part[k]
        part[k] = 0
