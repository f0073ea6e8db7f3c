"""uphill on a 4032 x 4032 float32 DEM, full rings of radius 3, 10 and 30, against numpy shift-and-compare.

    python benchmarks/uphill.py

The bar is against numpy as one writes it (for each ring point a shifted view, a comparison and two np.where), one
thread on both sides. Beside it, without a bar: numpy tuned by hand (in-place maximum, numbers of one byte), a
compiled loop cell by cell, and our time on all cores. Fails (exit 1) where any offset differs from any of them or
the median paired ratio is below 50.
"""

import sys

import numpy as np
from _bench import alternate, describe_machine, print_table, simulated_dem, verdict
from numba import njit

from headscarp.terrain import Uphill, ring, uphill

RADII_PX = (3, 10, 30)
SIZE_PX = 4032
BAR = 50.0


def main() -> int:
    print(f"uphill, {SIZE_PX} x {SIZE_PX}, rings of {[len(ring(radius)) for radius in RADII_PX]} points")
    print(describe_machine())
    dem = simulated_dem(SIZE_PX, SIZE_PX)
    cell_by_cell(dem[:9, :9], ring(3))

    def ours(threads: int | None = 1) -> list[Uphill]:
        return [uphill(dem, radius, threads=threads) for radius in RADII_PX]

    plain = alternate(lambda: [shift_and_compare(dem, radius) for radius in RADII_PX], ours)
    tuned = alternate(lambda: [shift_and_compare_tuned(dem, radius) for radius in RADII_PX], ours)
    cores = alternate(lambda: ours(None), ours)
    loop = alternate(lambda: [cell_by_cell(dem, ring(radius)) for radius in RADII_PX], ours, rounds=1, warm_up=False)
    sides = {
        "numpy shift-and-compare": plain,
        "numpy, tuned by hand": tuned,
        "numba, cell by cell": loop,
        "headscarp, all cores": cores,
    }
    rows = [
        {"side": name, "seconds": t["a_s"], "ours beside it, 1 thread": t["b_s"], "paired ratio": t["ratio"]}
        for name, t in sides.items()
    ]
    print_table(rows, title="medians of 5 rounds (cell by cell: 1), each in turn with ours")
    print(f"  numpy's ratios: {', '.join(f'{ratio:.1f}' for ratio in plain['ratios'])}")
    bars = [
        (f"offsets and masks equal those of {name}", equal(t["a_result"], t["b_result"])) for name, t in sides.items()
    ]
    return verdict([*bars, (f"at least {BAR:.0f} times numpy: {plain['ratio']:.1f}", plain["ratio"] >= BAR)])


def shift_and_compare(dem: np.ndarray, radius_px: int) -> Uphill:
    """The same by whole-array numpy: for each ring point a shifted view, compared and kept where higher."""
    height, width = dem.shape
    padded = np.full((height + 2 * radius_px, width + 2 * radius_px), -np.inf, np.float32)
    padded[radius_px:-radius_px, radius_px:-radius_px] = np.where(np.isfinite(dem), dem, -np.inf)
    best = np.full(dem.shape, -np.inf, np.float32)
    which = np.zeros(dem.shape, np.int16)
    offsets = ring(radius_px)
    for number, (row, column) in enumerate(offsets, start=1):
        north, west = radius_px + row, radius_px + column
        shifted = padded[north : north + height, west : west + width]
        higher = shifted > best
        best = np.where(higher, shifted, best)
        which = np.where(higher, np.int16(number), which)
    return unpack(dem, best, which, offsets)


def shift_and_compare_tuned(dem: np.ndarray, radius_px: int) -> Uphill:
    """As above with what numpy still gives: in place, the number of the point in one byte."""
    height, width = dem.shape
    padded = np.full((height + 2 * radius_px, width + 2 * radius_px), -np.inf, np.float32)
    padded[radius_px:-radius_px, radius_px:-radius_px] = np.where(np.isfinite(dem), dem, -np.inf)
    best = np.full(dem.shape, -np.inf, np.float32)
    which = np.zeros(dem.shape, np.uint8)
    higher = np.empty(dem.shape, bool)
    offsets = ring(radius_px)
    for number, (row, column) in enumerate(offsets, start=1):
        north, west = radius_px + row, radius_px + column
        shifted = padded[north : north + height, west : west + width]
        np.greater(shifted, best, out=higher)
        np.maximum(shifted, best, out=best)
        np.copyto(which, np.uint8(number), where=higher)
    return unpack(dem, best, which, offsets)


def unpack(dem: np.ndarray, best: np.ndarray, which: np.ndarray, offsets: np.ndarray) -> Uphill:
    """Number of the winning point (0: none) -> its offset, and whether it is above."""
    missing = ~np.isfinite(dem)
    which[missing] = 0
    drow, dcol = np.concatenate([[[0, 0]], offsets]).astype(np.int16).T
    return Uphill(drow[which], dcol[which], (best > dem) & ~missing)


@njit(nogil=True)
def cell_by_cell(dem, offsets):  # type: ignore[no-untyped-def]
    """The same by a compiled loop over cells and ring points, as one writes it first."""
    height, width = dem.shape
    drow, dcol = np.zeros((height, width), np.int16), np.zeros((height, width), np.int16)
    above = np.zeros((height, width), np.bool_)
    for i in range(height):
        for j in range(width):
            if not np.isfinite(dem[i, j]):
                continue
            best = np.float32(-np.inf)
            for k in range(offsets.shape[0]):
                r, c = i + offsets[k, 0], j + offsets[k, 1]
                if 0 <= r < height and 0 <= c < width and np.isfinite(dem[r, c]) and dem[r, c] > best:
                    best = dem[r, c]
                    drow[i, j], dcol[i, j] = offsets[k, 0], offsets[k, 1]
            above[i, j] = best > dem[i, j]
    return drow, dcol, above


def equal(some: list[Uphill], others: list[Uphill]) -> bool:
    pairs = [pair for one, other in zip(some, others, strict=True) for pair in zip(one, other, strict=True)]
    return all(np.array_equal(a, b) for a, b in pairs)


if __name__ == "__main__":
    sys.exit(main())
