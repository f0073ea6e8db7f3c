"""Features of a pixel together with what its neighbourhood looks like: local means and deviations at several radii.

They let a model that sees one row at a time, such as a forest, tell a rough hillside from a smooth field. Refuses
nothing; where nothing is known within a radius its features are NaN.
"""

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import uniform_filter

from headscarp.core.band import Band
from headscarp.tiles.statistics import encoded

RADII_PX = (1, 3, 7)


class MultiscaleFeatures:
    """The encoded bands of each pixel, then mean and standard deviation of each continuous band in squares around it.

    halo_px: context that is read on each side, the largest radius. A radius r takes (2 r + 1) x (2 r + 1) cells.
    """

    halo_px = max(RADII_PX)

    def __init__(self, bands: Sequence[Band]) -> None:
        self.bands = tuple(bands)

    def __call__(self, x: np.ndarray, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
        """(n, F) float32. x: (C, H, W) as read, halo included. rows, cols: (n,) places in it, off the halo."""
        columns = [encoded(x[:, rows, cols], self.bands)]
        for plane, band in zip(x, self.bands, strict=True):
            if band.kind == "continuous":
                columns += [np.stack([p[rows, cols] for p in local_statistics(plane, r)], axis=1) for r in RADII_PX]
        return np.concatenate(columns, axis=1, dtype=np.float32)


def local_statistics(plane: np.ndarray, radius_px: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and population standard deviation of the finite cells in the square around each cell.

    plane: (H, W), NaN where missing. Returns two (H, W) float32 in its units, NaN where the square holds no finite
    cell; squares are cut at the edges.
    """
    there = np.isfinite(plane)
    if not there.any():
        return np.full(plane.shape, np.nan, np.float32), np.full(plane.shape, np.nan, np.float32)
    centre = plane[there].mean(dtype=np.float64)  # squares of numbers near 0 keep their digits
    values = np.where(there, plane - centre, 0.0)
    share, total, squares = (_mean_of_square(v, radius_px) for v in (there.astype(np.float64), values, values**2))
    known = share > 0.5 / (2 * radius_px + 1) ** 2
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(known, total / share, np.nan)
        deviation = np.where(known, np.sqrt(np.maximum(squares / share - mean**2, 0)), np.nan)
    return (mean + centre).astype(np.float32), deviation.astype(np.float32)


def _mean_of_square(plane: np.ndarray, radius_px: int) -> np.ndarray:
    """Mean over the square around each cell, nothing (0) beyond the edges."""
    return np.asarray(uniform_filter(plane, 2 * radius_px + 1, mode="constant"))
