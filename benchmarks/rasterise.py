"""A million polygons to a grid of 20000 x 20000 cells: ours in blocks against one rasterize over the whole.

Peer: `rasterio.features.rasterize` (GDAL) on all polygons at once, as its documentation shows it, read with geopandas.
Ours: `load_features` and `burn`, block by block through `run_blocks`. Both read the same GeoPackage and give the same
cells; each runs in a fresh process, so that its peak memory is its own. Bars: the same cells, a tenth of the memory,
not slower.

    python benchmarks/rasterise.py [--polygons 1000000] [--cells 20000] [--rounds 1]
"""

import argparse
import hashlib
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from _bench import describe_machine, peak_memory_of, print_table, verdict
from affine import Affine
from odc.geo.geobox import GeoBox

from headscarp.core.blocks import Done, run_blocks
from headscarp.core.tile import Window
from headscarp.sources.vectors import Vector, burn, load_features

CELL_M, LEFT, TOP, CRS = 10.0, 400_000.0, 5_200_000.0, "EPSG:32633"
BLOCK, THREADS, BATCH = 2000, 2, 20_000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--polygons", type=int, default=1_000_000)
    parser.add_argument("--cells", type=int, default=20_000, help="rows and columns of the grid")
    parser.add_argument("--rounds", type=int, default=1)
    given = parser.parse_args()
    machine = describe_machine()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "polygons.gpkg"
        simulate(path, given.polygons, given.cells)
        in_blocks(str(path), 64)  # compiles and caches the kernels, as an installed package has them
        rounds = []
        for number in range(given.rounds):
            jobs = [("ours", in_blocks), ("rasterio", at_once)]
            rounds.append(
                {name: peak_memory_of(job, str(path), given.cells) for name, job in jobs[:: 1 if number % 2 else -1]}
            )
    return report(rounds, given, machine)


def report(rounds: list[dict], given: argparse.Namespace, machine: str) -> int:
    """Print the table and the bars; returns the exit code."""
    rows = []
    for name in ("ours", "rasterio"):
        mean = {key: float(np.mean([r[name][key] for r in rounds])) for key in ("wall_s", "cpu_s", "peak_bytes")}
        rows.append({"": name, "seconds": mean["wall_s"], "CPU s": mean["cpu_s"], "peak MB": mean["peak_bytes"] / 1e6})
    print_table(rows, title=f"{given.polygons} polygons to {given.cells} x {given.cells} cells; {machine}")
    same = len({r[name]["result"] for r in rounds for name in r}) == 1
    memory, time = (rows[0][key] / rows[1][key] for key in ("peak MB", "seconds"))
    return verdict(
        [
            ("the same cells", same),
            (f"a tenth of the memory: {memory:.3f} of it", memory <= 0.1),
            (f"not slower: {time:.2f} of the time", time <= 1.0),
        ]
    )


def simulate(path: Path, count: int, cells: int) -> None:
    """Slides as polygons of 10 to 24 vertices, longer than wide, each at its own angle, some over others."""
    import geopandas as gpd
    import pyogrio

    generator = np.random.default_rng(0)
    for first in range(0, count, BATCH):
        n = min(BATCH, count - first)
        vertices = generator.integers(10, 25, n)
        slide = np.repeat(np.arange(n), vertices)
        nth = np.arange(len(slide)) - np.repeat(np.cumsum(vertices) - vertices, vertices)
        angle = 2 * np.pi * nth / vertices[slide]
        wobble = generator.uniform(0.7, 1.3, len(slide))
        length_m, width_m = generator.lognormal(np.log(90), 0.6, n), generator.lognormal(np.log(45), 0.5, n)
        along, across = length_m[slide] * np.cos(angle) * wobble, width_m[slide] * np.sin(angle) * wobble
        turn = generator.uniform(0, np.pi, n)[slide]
        place = generator.uniform(0, cells * CELL_M, (n, 2))[slide]
        x = LEFT + place[:, 0] + along * np.cos(turn) - across * np.sin(turn)
        y = TOP - place[:, 1] + along * np.sin(turn) + across * np.cos(turn)
        rings = shapely.linearrings(x, y, indices=slide)
        table = gpd.GeoDataFrame(
            {"cause": generator.integers(1, 8, n).astype(np.int32)}, geometry=shapely.polygons(rings), crs=CRS
        )
        pyogrio.write_dataframe(table, path, append=first > 0)


def grid_of(cells: int) -> GeoBox:
    return GeoBox((cells, cells), Affine(CELL_M, 0, LEFT, 0, -CELL_M, TOP), CRS)


@dataclass(frozen=True)
class Part:
    """One block of the grid."""

    window: Window

    @property
    def id(self) -> str:
        return f"{self.window.row}-{self.window.col}"


def parts(cells: int) -> list[Part]:
    starts = range(0, cells, BLOCK)
    return [Part(Window(r, c, min(BLOCK, cells - r), min(BLOCK, cells - c))) for r in starts for c in starts]


def checksum(values: np.ndarray) -> str:
    return hashlib.blake2b(np.ascontiguousarray(values), digest_size=16).hexdigest()


def in_blocks(path: str, cells: int) -> str:
    """Ours: the checksum of the checksums of all blocks."""
    features = load_features(Vector(path, attribute="cause"), grid_of(cells))
    codes = np.fromiter(features.values, np.uint8, len(features))
    done = run_blocks(lambda part: Done(checksum(burn(features, codes, part.window))), parts(cells), workers=THREADS)
    return checksum(np.array([block.checksum for block in done.values()]))


def at_once(path: str, cells: int) -> str:
    """The peer: the same checksum from one array."""
    import geopandas as gpd
    from rasterio.features import rasterize

    table = gpd.read_file(path)
    burned = rasterize(
        zip(table.geometry, table["cause"], strict=True),
        out_shape=(cells, cells),
        transform=grid_of(cells).affine,
        dtype="uint8",
    )
    return checksum(np.array([checksum(burned[part.window.slices]) for part in parts(cells)]))


if __name__ == "__main__":
    sys.exit(main())
