"""A probability map of 20000 x 20000 cells to polygons: ours in blocks against one pass over the whole.

Peer: `rasterio.features.shapes` (GDAL's polygonize) on the mask of the whole map, 4-connected, its outlines to shapely
and through geopandas to a GeoPackage; nothing but area is computed. Ours: `vectorize`, which also counts true areas,
probabilities, lengths and widths, and keeps a journal. Both read the same Cloud-Optimized GeoTIFF, each in a fresh
process, so that its peak memory is its own. Bars: the same polygons, a quarter of the memory, not slower.

    python benchmarks/vectorize.py [--side 20000] [--rounds 1]
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import rasterio
import shapely
from _bench import describe_machine, peak_memory_of, print_table, verdict
from affine import Affine

CELL_M, LEFT, TOP, CRS = 5.0, 400_000.0, 5_200_000.0, "EPSG:32633"
STRIP_PX, THREADS, THRESHOLD = 512, 2, 0.5
SLIDES_PER_MPX = 120
"""At 5 m one slide a square of 450 m, as in a valley after a strong earthquake."""


def main() -> int:
    options = _options()
    machine = describe_machine()
    with tempfile.TemporaryDirectory(prefix="headscarp-", dir=options.folder) as folder:
        path = Path(folder) / "map.tif"
        before = time.perf_counter()
        share = simulate(path, options.side, options.side)
        print(f"  map simulated in {time.perf_counter() - before:.0f} s, {share:.2%} of it landslide")
        small = Path(folder) / "small.tif"
        simulate(small, 600, 600)
        in_blocks(str(small), str(Path(folder) / "small.gpkg"))  # compiles and caches the kernels
        outs = {name: Path(folder) / f"{name}.gpkg" for name in ("ours", "rasterio")}
        rounds = []
        for number in range(options.rounds):
            jobs = [("ours", in_blocks), ("rasterio", at_once)]
            rounds.append(
                {
                    name: peak_memory_of(job, str(path), str(outs[name]))
                    for name, job in jobs[:: 1 if number % 2 else -1]
                }
            )
        same, count = same_polygons(*outs.values())
    rows = []
    for name in outs:
        mean = {key: float(np.mean([r[name][key] for r in rounds])) for key in ("wall_s", "cpu_s", "peak_bytes")}
        rows.append({"": name, "seconds": mean["wall_s"], "CPU s": mean["cpu_s"], "peak MB": mean["peak_bytes"] / 1e6})
    print_table(rows, title=f"{count} polygons from {options.side} x {options.side} cells; {machine}")
    memory, seconds = (rows[0][key] / rows[1][key] for key in ("peak MB", "seconds"))
    return verdict(
        [
            ("the same polygons", same),
            (f"under a quarter of the memory: {memory:.3f} of it", memory < 0.25),
            (f"not slower: {seconds:.2f} of the time", seconds <= 1.0),
        ]
    )


def simulate(path: Path, rows: int, cols: int, *, seed: int = 0) -> float:
    """Writes a map as a net would make it: slides longer than wide, with rough edges and holes, and specks between.

    Sizes are lognormal, as in inventories: the median slide has 60 cells, one in a hundred 3000. In strips, so that
    any size can be made. Returns the share of cells that reach the threshold.
    """
    rng = np.random.default_rng(seed)
    count = int(rows * cols / 1e6 * SLIDES_PER_MPX)
    at = rng.uniform(0, (rows, cols), (count, 2))
    area = rng.lognormal(np.log(60), 1.7, count).clip(4, 60_000)
    stretch, turn = rng.uniform(1.2, 5, count), rng.uniform(0, np.pi, count)
    grain = [_grain(1024, width, rng) for width in (2, 6)]
    landslide = 0
    profile = {"driver": "GTiff", "dtype": "float32", "count": 1, "height": rows, "width": cols, "nodata": np.nan}
    profile |= {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "zstd", "zstd_level": 1}
    place = {"crs": CRS, "transform": Affine(CELL_M, 0, LEFT, 0, -CELL_M, TOP)}
    with rasterio.open(path, "w", **profile, **place, predictor=3, num_threads=THREADS) as file:
        for top in range(0, rows, STRIP_PX):
            height = min(STRIP_PX, rows - top)
            logit = np.full((height, cols), -3.2, np.float32)
            for i in np.flatnonzero(np.abs(at[:, 0] - top - height / 2) < height / 2 + 3 * np.sqrt(area * stretch)):
                _add_slide(logit, at[i] - (top, 0), area[i], stretch[i], turn[i])
            for plane in grain:
                shifted = np.roll(plane, rng.integers(0, 1024, 2), (0, 1))
                logit += np.tile(shifted, (1, cols // 1024 + 1))[:height, :cols]
            made = 1 / (1 + np.exp(-logit))
            made[:, cols // 3 : cols // 3 + cols // 50] = np.nan  # a gap between two images
            landslide += int((made >= THRESHOLD).sum())
            file.write(made, 1, window=rasterio.windows.Window(0, top, cols, height))
    return landslide / (rows * cols)


def _grain(side: int, width: int, rng: np.random.Generator) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    plane = gaussian_filter(rng.normal(size=(side, side)), width, mode="wrap")
    return (0.55 * plane / plane.std()).astype(np.float32)


def _add_slide(logit: np.ndarray, at: np.ndarray, area: float, stretch: float, turn: float) -> None:
    """Raises the log-odds in an ellipse around a place: 0 on its edge, 3 amid it."""
    long, wide = np.sqrt(area * stretch / np.pi), np.sqrt(area / stretch / np.pi)
    reach = int(2 * long) + 2
    row, col = int(at[0]), int(at[1])
    rows = slice(max(0, row - reach), min(logit.shape[0], row + reach + 1))
    cols = slice(max(0, col - reach), min(logit.shape[1], col + reach + 1))
    if rows.start >= rows.stop or cols.start >= cols.stop:
        return
    y, x = np.arange(rows.start, rows.stop)[:, None] - at[0], np.arange(cols.start, cols.stop) - at[1]
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    inside = 6.2 - 3.0 * ((along / long) ** 2 + (across / wide) ** 2)
    np.maximum(logit[rows, cols], (inside - 3.2).astype(np.float32), out=logit[rows, cols])


def in_blocks(path: str, out: str) -> None:
    """Ours."""
    from headscarp.prediction.outlines import Rules
    from headscarp.prediction.vectorize import vectorize

    vectorize(path, out, rules=Rules(THRESHOLD), workers=THREADS, overwrite=True)


def at_once(path: str, out: str) -> None:
    """The peer, as its documentation shows it."""
    import geopandas as gpd
    from rasterio.features import shapes

    with rasterio.open(path, num_threads=THREADS) as file:
        mask = file.read(1) >= np.float32(THRESHOLD)
        found = shapes(mask.astype(np.uint8), mask=mask, connectivity=4, transform=file.transform)
        table = gpd.GeoDataFrame(geometry=[shapely.geometry.shape(shape) for shape, _ in found], crs=file.crs)
    table["area_m2"] = table.area
    table.to_file(out, driver="GPKG", engine="pyogrio")


def same_polygons(ours: Path, theirs: Path) -> tuple[bool, int]:
    """Whether both files hold the same polygons, in whatever order, and how many they are."""
    import pyogrio

    held = []
    for path in (ours, theirs):
        outlines = pyogrio.read_dataframe(path, columns=[]).geometry.to_numpy()
        held.append(np.sort(shapely.to_wkb(shapely.normalize(outlines)).astype(object)))
    return bool(len(held[0]) == len(held[1]) and (held[0] == held[1]).all()), len(held[0])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=20_000, help="rows and columns of the map")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--folder", help="where the simulated map is kept while it is used: 1 GB for 20000 a side")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
