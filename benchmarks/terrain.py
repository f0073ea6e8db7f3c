"""Slope, aspect, plan and profile curvature of an 8000 x 8000 float32 DEM, against gdaldem and xarray-spatial.

    python benchmarks/terrain.py

Against gdaldem from file to files: ours reads a GeoTIFF strip by strip and writes four, gdaldem writes one, its
slope. Against xarray-spatial from array to arrays: ours makes four, xarray-spatial slope and curvature. CPU seconds
count all cores and children; peak memory is that of a fresh process for each, reading the file included. Fails
(exit 1) where slopes differ, where ours takes more than 2.3 times the CPU seconds of gdaldem's one slope, or more
than xarray-spatial's, or more than 0.8 GB from file to files.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import rasterio
from _bench import alternate, describe_machine, peak_memory_of, print_table, simulated_dem, verdict
from rasterio.windows import Window

from headscarp.terrain import derive, halo_px

NAMES = ("slope", "aspect", "plan_curvature", "profile_curvature")
SIZE_PX = int(os.environ.get("HEADSCARP_BENCH_PX", "8000"))
CELL_M = 10.0
STRIP_ROWS = 512
BAR_GDALDEM, BAR_BYTES = 2.3, 0.8e9
# gdaldem adds up elevations in float32, which costs it a thousandth of a degree on rough ground at 1000 m.
BAR_DEG = 2e-3


def main() -> int:
    if shutil.which("gdaldem") is None:
        print("gdaldem is not installed (Debian: gdal-bin), so there is nothing to compare with.")
        return 1
    print(f"terrain, {SIZE_PX} x {SIZE_PX} float32; {describe_machine()}")
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "dem.tif"), Path(folder, "gdaldem_slope.tif")
        write_dem(source)
        gdaldem = ["gdaldem", "slope", str(source), str(target), "-q"]
        files = alternate(lambda: subprocess.run(gdaldem, check=True), lambda: ours(str(source), folder))
        peaks = [
            peak_memory_of(gdaldem),
            peak_memory_of(ours, str(source), folder),
            peak_memory_of(xarray_spatial_from, str(source)),
            peak_memory_of(ours_from, str(source)),
        ]
        slope_deg = read(Path(folder, "slope.tif"))
        gap_deg = largest_gap(slope_deg, read(target), same_missing=True)
        dem = read(source)
    arrays = alternate(lambda: xarray_spatial(dem), lambda: derive(dem, CELL_M, NAMES))
    gap_arrays_deg = largest_gap(arrays["b_result"]["slope"], arrays["a_result"], same_missing=False)
    same_ours = np.array_equal(arrays["b_result"]["slope"], slope_deg, equal_nan=True)
    names = (
        "gdaldem: file -> slope file",
        "headscarp: file -> 4 files",
        "xarray-spatial: array -> slope, curvature",
        "headscarp: array -> 4 arrays",
    )
    times = [(t[f"{side}_cpu_s"], t[f"{side}_s"]) for t in (files, arrays) for side in "ab"]
    print_table(
        [
            {"side": name, "CPU s": cpu_s, "wall s": wall_s, "peak GB": peak["peak_bytes"] / 1e9}
            for name, (cpu_s, wall_s), peak in zip(names, times, peaks, strict=True)
        ],
        title=f"medians of {files['rounds']} rounds in turn",
    )
    of_gdaldem, of_xarray = 1 / files["cpu_ratio"], 1 / arrays["cpu_ratio"]
    peak = peaks[1]["peak_bytes"]
    return verdict(
        [
            (f"slope as gdaldem's, and missing where its is: largest gap {gap_deg:.1e} degrees", gap_deg < BAR_DEG),
            (f"slope as xarray-spatial's: largest gap {gap_arrays_deg:.1e} degrees", gap_arrays_deg < BAR_DEG),
            ("ours by strips is ours at once, bit by bit", same_ours),
            (f"at most {BAR_GDALDEM} times the CPU of gdaldem's slope: {of_gdaldem:.2f}", of_gdaldem <= BAR_GDALDEM),
            (f"less CPU than xarray-spatial: {of_xarray:.2f} of it", of_xarray < 1),
            (f"under {BAR_BYTES / 1e9:.1f} GB: {peak / 1e9:.2f} GB", peak < BAR_BYTES),
        ]
    )


def ours(source: str, folder: str) -> None:
    """Strips with their halo read, derived, cropped and written: memory does not grow with the raster's height."""
    halo = max(halo_px(name) for name in NAMES)
    with rasterio.Env(GDAL_CACHEMAX=64 << 20), rasterio.open(source) as dem:
        height, width = dem.shape
        targets = {name: rasterio.open(Path(folder, f"{name}.tif"), "w", **dem.profile) for name in NAMES}
        for first in range(0, height, STRIP_ROWS):
            last = min(first + STRIP_ROWS, height)
            north, south = max(0, first - halo), min(height, last + halo)
            strip = dem.read(1, window=Window(0, north, width, south - north))
            for name, band in derive(strip, CELL_M, NAMES).items():
                cropped = band[first - north : last - north]
                targets[name].write(cropped, 1, window=Window(0, first, width, last - first))
        for target in targets.values():
            target.close()


def xarray_spatial(dem: np.ndarray) -> np.ndarray:
    """Slope (returned) and curvature of an array."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import xarray
        from xrspatial import curvature, slope

        rows, columns = (np.arange(size) * CELL_M for size in dem.shape)
        raster = xarray.DataArray(dem, dims=("y", "x"), coords={"y": -rows, "x": columns}, attrs={"res": CELL_M})
        steepness = slope(raster).data
        curvature(raster)
    return steepness


def xarray_spatial_from(source: str) -> None:
    xarray_spatial(read(Path(source)))


def ours_from(source: str) -> None:
    derive(read(Path(source)), CELL_M, NAMES)


def write_dem(path: Path) -> None:
    transform = rasterio.Affine(CELL_M, 0, 500_000, 0, -CELL_M, 5_000_000)
    profile = {"driver": "GTiff", "height": SIZE_PX, "width": SIZE_PX, "count": 1, "dtype": "float32"}
    with rasterio.open(path, "w", **profile, crs="EPSG:32632", transform=transform, nodata=np.nan) as raster:
        raster.write(simulated_dem(SIZE_PX, SIZE_PX), 1)


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as raster:
        return raster.read(1, masked=True).filled(np.nan)


def largest_gap(one: np.ndarray, two: np.ndarray, *, same_missing: bool) -> float:
    """Largest difference in degrees; infinite where the two should miss the same cells and do not."""
    if same_missing and not np.array_equal(np.isnan(one), np.isnan(two)):
        return float("inf")
    return float(np.nanmax(np.abs(one - two)))


if __name__ == "__main__":
    sys.exit(main())
