"""Noise that any window of an endless plane can compute for itself: gradient noise on hashed lattices.

A cell's value depends on its own row, column and seed only, never on the window that it was asked for in.
"""

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def uniform_at(row, col, seed):  # type: ignore[no-untyped-def]
    """A number in [0, 1) that looks random, from three integers (finaliser of splitmix64, Steele et al. 2014)."""
    mixed = np.uint64(row) * np.uint64(0x9E3779B97F4A7C15) ^ np.uint64(col) * np.uint64(0xC2B2AE3D27D4EB4F)
    mixed ^= np.uint64(seed) * np.uint64(0x165667B19E3779F9)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return np.float64(mixed >> np.uint64(11)) / 9007199254740992.0


@njit(nogil=True, cache=True)
def add_noise(out, row, col, wavelength, seed, amplitude, ridged):  # type: ignore[no-untyped-def]
    """Adds one octave of gradient noise (Perlin 2002) to out, whose upper left cell is (row, col).

    Values within about +-amplitude, over a lattice with points `wavelength` cells apart; ridged folds them at 0 into
    crests.
    """
    place, fade = np.empty(wavelength), np.empty(wavelength)
    for k in range(wavelength):
        t = place[k] = (k + 0.5) / wavelength
        fade[k] = t * t * t * (t * (t * 6.0 - 15.0) + 10.0)
    for i in range(out.shape[0]):
        lattice_row = (row + i) // wavelength
        v = place[(row + i) - lattice_row * wavelength]
        down = fade[(row + i) - lattice_row * wavelength]
        j = 0
        while j < out.shape[1]:
            lattice_col = (col + j) // wavelength
            stop = min(out.shape[1], (lattice_col + 1) * wavelength - col)
            a, ax = _gradient(lattice_row, lattice_col, v, seed)
            b, bx = _gradient(lattice_row, lattice_col + 1, v, seed)
            c, cx = _gradient(lattice_row + 1, lattice_col, v - 1.0, seed)
            d, dx = _gradient(lattice_row + 1, lattice_col + 1, v - 1.0, seed)
            # Along a row each corner's plane is a straight line, and so is their blend down the column.
            left, left_x = a + (c - a) * down, ax + (cx - ax) * down
            right, right_x = b + (d - b) * down, bx + (dx - bx) * down
            start = j + col - lattice_col * wavelength
            for k in range(stop - j):
                u = place[start + k]
                near, far = left + left_x * u, right + right_x * (u - 1.0)
                value = 1.5 * (near + (far - near) * fade[start + k])
                out[i, j + k] += amplitude * ((1.0 - 2.0 * abs(value)) if ridged else value)
            j = stop


@njit(nogil=True, cache=True)
def _gradient(row, col, v, seed):  # type: ignore[no-untyped-def]
    """The plane of a lattice point at distance v below it: its height there, and its rise per step to the right."""
    angle = 2.0 * np.pi * uniform_at(row, col, seed)
    return v * np.sin(angle), np.cos(angle)


@njit(nogil=True, cache=True)
def uniform_plane(out, row, col, size, seed):  # type: ignore[no-untyped-def]
    """Fills out with one number in [0, 1) for each square of `size` cells."""
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = uniform_at((row + i) // size, (col + j) // size, seed)
