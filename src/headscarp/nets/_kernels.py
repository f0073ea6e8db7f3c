"""Compiled loops of the nets: codes and numbers of a tile, the first layer over them and its gradient.

One thread each, without the interpreter's lock; callers see to arguments and run several tiles side by side.

Sums run in one fixed order for every pixel, wherever its tile begins.
"""

import math

import numpy as np
from numba import njit

from headscarp.nets._lanes import LANES, add, load, multiply_add, store

_NOTHING = np.uint64(2**63)
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
    """x: (C, H, W). kind: 0 standardised, 1 cosine, 2 sine of degrees, 3 present. Fills numbers, (N, H, W), 0 where
    missing."""
    for n in range(channel.shape[0]):
        for i in range(x.shape[1]):
            band, into = x[channel[n], i], numbers[n, i]
            if kind[n] == 0:
                for j in range(x.shape[2]):
                    z = (band[j] - mean[n]) / std[n]
                    into[j] = z if abs(z) < np.float32(np.inf) else np.float32(0)
            elif kind[n] == 3:
                for j in range(x.shape[2]):
                    into[j] = np.float32(abs(band[j]) < np.float32(np.inf))
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
    slots = np.empty(kernel, np.int64)
    for y in range(-pad, pad):
        read_row(y, tile, plan, step, rows[y % kernel], values[y % kernel], pad)
    spare = np.empty(LANES, np.float32)
    for y in range(height):
        last = y + pad
        read_row(last, tile, plan, step, rows[last % kernel], values[last % kernel], pad)
        for i in range(kernel):
            slots[i] = (y - pad + i) % kernel
        for lane in range(0, lanes, LANES):
            start = load(bias, lane)
            for x in range(0, width - width % 4, 4):
                # Four pixels at a time: their sums do not wait for each other, and they share the number weights.
                a, b, c, d = start, start, start, start
                for i in range(kernel):
                    row, value = rows[slots[i]], values[slots[i]]
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
                    row, value = rows[slots[i]], values[slots[i]]
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
    slots = np.empty(kernel, np.int64)
    tables = np.zeros(totals[0].shape, np.float32)
    of_numbers = np.zeros(totals[1].shape, np.float32)
    bias = np.zeros(totals[2].shape, np.float32)
    for y in range(-pad, pad):
        read_row(y, tile, plan, step, rows[y % kernel], values[y % kernel], pad)
    for y in range(height):
        last = y + pad
        read_row(last, tile, plan, step, rows[last % kernel], values[last % kernel], pad)
        for i in range(kernel):
            slots[i] = (y - pad + i) % kernel
        for lane in range(0, lanes, LANES):
            for x in range(width):
                g = load(gradient, (y * width + x) * lanes + lane)
                store(bias, lane, add(load(bias, lane), g))
                for i in range(kernel):
                    row, value = rows[slots[i]], values[slots[i]]
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
def _row_buffers(tile, plan, kernel):  # type: ignore[no-untyped-def]
    """Room for what `kernel` rows of pixels look up, and what they multiply."""
    width = tile[0].shape[2] + kernel - 1
    numbers = tile[1].shape[0] + tile[4].shape[0] * plan[2].shape[0]
    return np.zeros((kernel, width, plan[1].shape[0]), np.int64), np.zeros((kernel, width, numbers), np.float32)


@njit(nogil=True, cache=True)
def read_row(y, tile, plan, step, rows, values, pad):  # type: ignore[no-untyped-def]
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
    for g in range(groups):
        _look_up(codes[g, y], first_rows[g], step, rows[pad:, g])
    for n in range(numbers.shape[0]):
        values[pad : pad + codes.shape[2], n] = numbers[n, y]
    # Unsigned indices, since signed ones bring a test for negative numbers; an index of its own for "nothing uphill".
    source = np.empty(codes.shape[2], np.uint64)
    at_row, at_value = groups, numbers.shape[0]
    for r in range(above.shape[0]):
        _find_source(y, drow[r, y], dcol[r, y], above[r, y], source)
        for g in range(aligned_groups):
            flat = codes[groups + g].reshape(-1)
            _look_up_uphill(flat, source, first_rows[at_row + g], step, rows[pad:, at_row + g])
        for n in range(aligned_numbers):
            flat_numbers = numbers[aligned_number[n]].reshape(-1)
            _take_uphill(flat_numbers, source, values[pad:, at_value + n])
        at_row += aligned_groups
        at_value += aligned_numbers


@njit(nogil=True, cache=True)
def _find_source(y, drow, dcol, above, source):  # type: ignore[no-untyped-def]
    """Flat index of the pixel that each pixel of row y reads uphill, _NOTHING where there is none."""
    width = source.shape[0]
    for j in range(np.uint64(width)):
        at = np.uint64((y + np.int64(drow[j])) * width + np.int64(j) + np.int64(dcol[j]))
        source[j] = at if above[j] else _NOTHING


@njit(nogil=True, cache=True)
def _look_up(codes, first_row, step, rows):  # type: ignore[no-untyped-def]
    for j in range(np.uint64(codes.shape[0])):
        rows[j] = (first_row + codes[j]) * step


@njit(nogil=True, cache=True)
def _look_up_uphill(codes, source, first_row, step, rows):  # type: ignore[no-untyped-def]
    for j in range(np.uint64(source.shape[0])):
        at = source[j]
        rows[j] = (first_row + codes[at]) * step if at != _NOTHING else 0


@njit(nogil=True, cache=True)
def _take_uphill(numbers, source, values):  # type: ignore[no-untyped-def]
    for j in range(np.uint64(source.shape[0])):
        at = source[j]
        values[j] = numbers[at] if at != _NOTHING else np.float32(0)


@njit(nogil=True, cache=True, inline="always")
def _write(out, pixel, lane, channels, lanes, spare):  # type: ignore[no-untyped-def]
    """Inlined, since a call would pass the lanes through memory, which takes longer than their sum."""
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
