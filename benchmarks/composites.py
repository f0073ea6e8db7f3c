"""The median of 40 looks x 4 bands x 1024 x 1024 with 40 % missing, and Lee's speckle filter, against numpy and scipy.

    python benchmarks/composites.py

The median against numpy.nanmedian and against the median of xarray, with all cores on our side and with one; Lee's
filter on a 4096 x 4096 scene with 5 % missing against the same formula from scipy.ndimage.uniform_filter. Wall seconds,
warm. Fails (exit 1) where results differ, or where ours is less than 20 times (median, one core), or 5 times (filter,
one core) as fast.
"""

import os
import sys
import warnings

import numpy as np
from _bench import alternate, describe_machine, print_table, verdict
from scipy.ndimage import uniform_filter

from headscarp.imagery import lee, median

SIZE_PX = int(os.environ.get("HEADSCARP_BENCH_PX", "1024"))
LOOKS, BANDS, MISSING = 40, 4, 0.4
SCENE_PX, WINDOW_PX, SCENE_LOOKS = 4 * SIZE_PX, 7, 4.4
BAR_MEDIAN, BAR_LEE = 20.0, 5.0


def main() -> int:
    print(f"composites, {LOOKS} x {BANDS} x {SIZE_PX} x {SIZE_PX} float32; {describe_machine()}")
    rows, medians, same = against_medians()
    more, filters, gap = against_filter()
    print_table([*rows, *more], title="medians of 3 rounds in turn, wall seconds")
    return verdict(
        [
            ("the median has the bits of numpy's and xarray's", same),
            (f"Lee's filter is that of scipy: largest gap {gap:.1e} of the value", gap < 1e-5),
            (f"median on one core at least {BAR_MEDIAN:g} times as fast: {medians:.0f}", medians >= BAR_MEDIAN),
            (f"filter on one core at least {BAR_LEE:g} times as fast: {filters:.1f}", filters >= BAR_LEE),
        ]
    )


def against_medians() -> tuple[list[dict], float, bool]:
    """Rows of the table, the least ratio on one core, and whether all results have the same bits."""
    frames, rows, least, same = looks(), [], np.inf, True
    for name, other in (("numpy.nanmedian", numpy_median), ("xarray median", xarray_median)):
        for threads in (1, None):
            found = alternate(
                lambda other=other: other(frames), lambda threads=threads: median(frames, threads=threads), rounds=3
            )
            same &= bool(np.array_equal(found["a_result"], found["b_result"], equal_nan=True))
            least = min(least, found["ratio"]) if threads else least
            rows.append(row(f"{name} / median", threads, found))
    return rows, least, same


def against_filter() -> tuple[list[dict], float, float]:
    """Rows of the table, the ratio on one core, and the largest gap."""
    scene, rows, gap = speckled(), [], 0.0
    for threads in (None, 1):
        found = alternate(lambda: scipy_lee(scene), lambda threads=threads: lee(scene, threads=threads), rounds=3)
        gap = max(gap, largest_gap(found["a_result"], found["b_result"]))
        rows.append(row("scipy uniform_filter / lee", threads, found))
    return rows, found["ratio"], gap


def row(sides: str, threads: int | None, found: dict) -> dict:
    cores = "one core" if threads else "all cores"
    return {"sides": f"{sides}, {cores}", "theirs s": found["a_s"], "ours s": found["b_s"], "ratio": found["ratio"]}


def looks() -> np.ndarray:
    """(T, B, y, x) reflectances with whole looks and single cells missing."""
    generator = np.random.default_rng(0)
    frames = generator.random((LOOKS, BANDS, SIZE_PX, SIZE_PX), np.float32)
    for frame in frames:
        frame[:, generator.random((SIZE_PX, SIZE_PX), np.float32) < MISSING] = np.nan
    return frames


def speckled() -> np.ndarray:
    generator = np.random.default_rng(1)
    field = np.where(np.arange(SCENE_PX) // 100 % 2 == 0, 0.05, 0.2).astype(np.float32)
    scene = generator.gamma(SCENE_LOOKS, 1 / SCENE_LOOKS, (SCENE_PX, SCENE_PX)).astype(np.float32) * field
    scene[generator.random(scene.shape, np.float32) < 0.05] = np.nan
    return scene


def numpy_median(frames: np.ndarray) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.nanmedian(frames, axis=0)


def xarray_median(frames: np.ndarray) -> np.ndarray:
    import xarray as xr

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return xr.DataArray(frames, dims=("time", "band", "y", "x")).median("time", skipna=True).to_numpy()


def scipy_lee(power: np.ndarray) -> np.ndarray:
    """The formula of `lee`, as one would write it with box means."""
    there = np.isfinite(power)
    value = np.where(there, power, 0).astype(np.float64)
    share, one, two = (
        uniform_filter(a, WINDOW_PX, mode="constant") for a in (there.astype(np.float64), value, value * value)
    )
    with np.errstate(all="ignore"):
        mean = one / share
        variance = two / share - mean * mean
        weight = np.maximum(0, (1 - mean * mean / SCENE_LOOKS / variance) / (1 + 1 / SCENE_LOOKS))
        return np.where(there, mean + weight * (value - mean), np.nan).astype(np.float32)


def largest_gap(one: np.ndarray, two: np.ndarray) -> float:
    """Largest relative difference; infinite where the two do not miss the same cells."""
    if not np.array_equal(np.isnan(one), np.isnan(two)):
        return float("inf")
    return float(np.nanmax(np.abs(one - two) / one))


if __name__ == "__main__":
    sys.exit(main())
