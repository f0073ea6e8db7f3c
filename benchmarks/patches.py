"""A training patch from disk to tensor: our mapped codes against 94 float bands in HDF5 and in a GeoTIFF.

The patch is the paper's: 628 x 628 pixels, 94 features (slope, elevation, and 44 + 5 + 5 + 38 classes one-hot) and 22
of them read uphill at three ranges: 160 channels. Ours keeps six bands on disk and makes the channels when they are
needed; the peers read all 94 as float32, in chunks of 256, and then gather the aligned ones by torch, from where the
same ring search says. All sides use one thread, fill one tensor that is kept from patch to patch, and must give the
same numbers.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

os.environ["GDAL_CACHEMAX"] = "128"  # decoded blocks of a raster of real size do not stay in memory either

import h5py
import numpy as np
import rasterio
import torch
from _bench import alternate, describe_machine, print_table, simulated_dem, verdict
from affine import Affine
from odc.geo.geobox import GeoBox
from rasterio.windows import Window as RasterWindow
from scipy import ndimage

from headscarp.core.band import Band, feature_names
from headscarp.core.grid import grid_to_json
from headscarp.core.stack import feature_bands, make_stack, stack_grid
from headscarp.core.tile import Tile, Window, windows
from headscarp.nets import make_net
from headscarp.nets.features import FeatureNet
from headscarp.nets.net import Statistics
from headscarp.terrain import slope
from headscarp.tiles.dataset import cache_stack
from headscarp.tiles.reader import TileReader, make_batch

CELL_M = 10.0
WINDOW_PX, HALO_PX = 500, 64
CLASSES = {"rock_type": 43, "land_cover": 4, "rock_family": 4, "rock_age": 37}  # and "no value" each
BARS = {"HDF5 (LZF)": 8.0, "GeoTIFF (deflate)": 5.0}

Side = Callable[[Tile], torch.Tensor]


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--size", type=int, default=2048, help="rows and columns of the raster")
    options.add_argument("--rounds", type=int, default=7)
    chosen = options.parse_args()
    torch.set_num_threads(1)
    print(describe_machine())
    with tempfile.TemporaryDirectory() as folder:
        return compare(Path(folder), chosen.size, chosen.rounds)


def compare(folder: Path, size: int, rounds: int) -> int:
    """Writes the three forms of one raster, reads the same patches from each, prints the table."""
    reader, net = our_side(folder, size)
    feature_files = {"HDF5 (LZF)": folder / "features.h5", "GeoTIFF (deflate)": folder / "features.tif"}
    write_features(reader, net, *feature_files.values())
    tiles = some_tiles(size, 6)

    px = WINDOW_PX + 2 * HALO_PX
    patch = torch.empty(len(net.feature_names()), px, px)

    def ours(tile: Tile) -> torch.Tensor:
        return net.dense_features(make_batch([reader.read(tile)], [tile]), out=patch[None])[0]

    our_bytes = sum(path.stat().st_size for path in (folder / "cache").rglob("*.npy"))
    rows, bars = [], []
    for (name, path), side in zip(feature_files.items(), (hdf5_side, geotiff_side), strict=True):
        theirs = side(path, reader, net)
        same = all(torch.equal(ours(tile).clone(), theirs(tile)) for tile in tiles)
        measured = alternate(lambda peer=theirs: read_all(peer, tiles), lambda: read_all(ours, tiles), rounds)
        rows.append(
            {
                "peer": name,
                "peer ms a patch": 1000 * measured["a_s"] / len(tiles),
                "ours ms a patch": 1000 * measured["b_s"] / len(tiles),
                "ratio": measured["ratio"],
                "CPU ratio": measured["cpu_ratio"],
                "same numbers": same,
                "peer MB on disk": path.stat().st_size / 1e6,
                "ours MB on disk": our_bytes / 1e6,
            }
        )
        bar = BARS[name]
        bars.append((f"{measured['ratio']:.1f}x {name}, bar {bar:g}x", measured["ratio"] >= bar))
        bars.append((f"all 160 channels equal those from {name}", same))
    channels = tuple(ours(tiles[0]).shape)
    print_table(rows, title=f"a patch of {channels}, disk to tensor, one thread, median of {rounds} rounds")
    return verdict(bars)


def read_all(side: Side, tiles: list[Tile]) -> None:
    """Every patch made and let go, as a training loop does."""
    for tile in tiles:
        side(tile)


def our_side(folder: Path, size: int) -> tuple[TileReader, FeatureNet]:
    """A stack of six bands in the training cache, its reader, and the net whose features are wanted."""
    grid = GeoBox((size, size), Affine(CELL_M, 0, 600000, 0, -CELL_M, 5200000), "EPSG:32632")
    dem = simulated_dem(size, size, missing=False)
    arrays = {
        Band("slope", "continuous", "degree"): slope(dem, (CELL_M, CELL_M)),
        Band("elevation", "continuous", "m"): dem,
    }
    for seed, (name, count) in enumerate(CLASSES.items()):
        labels = tuple(f"class {i}" for i in range(1, count + 1))
        arrays[Band(name, "categorical", classes=labels)] = patchwork(size, count, seed)
    arrays[Band("valid", "mask")] = np.isfinite(arrays[Band("slope", "continuous", "degree")])
    stack = cache_stack(make_stack(grid, arrays), folder / "cache")
    bands = feature_bands(stack)
    names = feature_names(bands)
    aligned = (*names[:2], *names[3:43:4], *names[47:50], *names[57:92:5])
    assert (len(names), len(aligned)) == (94, 22)
    statistics = Statistics({"slope": 20.0, "elevation": 1000.0}, {"slope": 10.0, "elevation": 300.0}, 0.013)
    net = make_net("sacnn", bands, resolution_m=CELL_M, statistics=statistics, arguments={"aligned": aligned})
    assert isinstance(net, FeatureNet)
    return TileReader(stack, bands), net.eval()


def patchwork(size: int, count: int, seed: int) -> np.ndarray:
    """A map of classes as geologists draw them: areas around random seeds, 0 = no value among them."""
    generator = np.random.default_rng(seed)
    seeds = generator.random((size, size)) < 1 / 60**2
    nearest = ndimage.distance_transform_edt(~seeds, return_distances=False, return_indices=True)
    return generator.integers(0, count + 1, (size, size)).astype(np.uint8)[tuple(nearest)]


def write_features(reader: TileReader, net: FeatureNet, hdf5: Path, geotiff: Path) -> None:
    """The 94 encoded features of the raster as float32 in both files, in chunks of 256."""
    shape, count = reader.shape, len(net.encode.names)
    profile = {"driver": "GTiff", "dtype": "float32", "count": count, "height": shape[0], "width": shape[1]}
    profile |= {"tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "deflate", "interleave": "band"}
    grid = stack_grid(reader.stack)
    profile |= {"crs": grid_to_json(grid)["crs"], "transform": grid.affine}
    with h5py.File(hdf5, "w") as file, rasterio.open(geotiff, "w", **profile) as raster:
        data = file.create_dataset("features", (count, *shape), "f4", chunks=(1, 256, 256), compression="lzf")
        for window in windows(shape, 512):
            window = window.clip(shape)
            x = torch.from_numpy(reader.read(Tile(window)).x[None])
            features = net.encode(x)[0].numpy()
            data[(slice(None), *window.slices)] = features
            raster.write(features, window=RasterWindow(window.col, window.row, window.width, window.height))


def hdf5_side(path: Path, reader: TileReader, net: FeatureNet) -> Side:
    """Features read from HDF5, then aligned."""
    data = h5py.File(path, "r")["features"]

    def read(tile: Tile, features: np.ndarray) -> None:
        data.read_direct(features, np.s_[(slice(None), *tile.read_window.slices)])

    return peer_side(read, reader, net)


def geotiff_side(path: Path, reader: TileReader, net: FeatureNet) -> Side:
    """Features read from the GeoTIFF, then aligned."""
    raster = rasterio.open(path)

    def read(tile: Tile, features: np.ndarray) -> None:
        w = tile.read_window
        raster.read(window=RasterWindow(w.col, w.row, w.width, w.height), out=features)

    return peer_side(read, reader, net)


def peer_side(read: Callable[[Tile, np.ndarray], None], reader: TileReader, net: FeatureNet) -> Side:
    """Features read into the first planes of a kept tensor, the chosen ones gathered uphill into the others."""
    align = net.alignment
    assert align is not None
    own, px = len(net.encode.names), WINDOW_PX + 2 * HALO_PX
    patch = torch.empty(len(net.feature_names()), px, px)
    into = patch[own:].view(len(align.radii), len(align.chosen), px * px)
    chosen, columns = torch.empty(len(align.chosen), px * px), torch.tensor(align.chosen)
    elevation = TileReader(reader.stack, [net.bands[align.elevation_at]])  # the ring search wants metres
    x = torch.full((1, len(net.bands), px, px), torch.nan)

    def side(tile: Tile) -> torch.Tensor:
        read(tile, patch[:own].numpy())
        pixels = elevation.read(tile)
        x[0, align.elevation_at] = torch.from_numpy(pixels.x[0])
        source, above = align.find(x, torch.from_numpy(pixels.valid[None]))
        torch.index_select(patch[:own].view(own, px * px), 0, columns, out=chosen)
        for r, of_range in enumerate(into):
            torch.gather(chosen, 1, source[0, r].view(1, px * px).expand(len(align.chosen), -1), out=of_range)
            of_range *= above[0, r].view(1, px * px)
        return patch

    return side


def some_tiles(size: int, count: int) -> list[Tile]:
    """Tiles at random places, context included on the raster."""
    generator = np.random.default_rng(1)
    places = generator.integers(HALO_PX, size - WINDOW_PX - HALO_PX, (count, 2))
    return [Tile(Window(int(r), int(c), WINDOW_PX, WINDOW_PX), HALO_PX) for r, c in places]


if __name__ == "__main__":
    sys.exit(main())
