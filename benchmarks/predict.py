"""The verb predict, from a stack on disk to a finished map, beside the bare forwards it cannot do without, and peers.

    python benchmarks/predict.py                    # 4096 x 4096 px, sacnn, 94 features
    python benchmarks/predict.py --size 8192
    python benchmarks/predict.py --peers            # also against MONAI and a grid loop

Bare: the same blocks, read and encoded as bands before the clock starts, through the same engine in as many threads,
the result thrown away; in a process of its own that asks for memory as torch does by itself. "Large": the same
forwards in this process, where torch asks for large pages because Headscarp told it to. What predict adds is reading,
calibration, holes, checksums, journal, the Cloud-Optimized GeoTIFF with its overviews, style and STAC item. Peers run
the same net in float32 on torch with all cores: monai.inferers.sliding_window_inference (constant blending) on all
bands in memory, and a plain loop over the chips of a grid as torchgeo's GridGeoSampler gives them (torchgeo itself
needs another torch here); both then write a plain tiled GeoTIFF without overviews. Fails when a bar is missed or
predict differs from the bare forwards.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np
import rasterio
import torch
from _bench import Elsewhere, describe_machine, print_table, take_turns, verdict
from _forwards import forwards_of

from headscarp.core.band import feature_names
from headscarp.core.bundle import Bundle, open_bundle, save_bundle
from headscarp.core.machine import cores
from headscarp.core.stack import VALID, feature_bands, open_stack, stack_grid
from headscarp.nets import make_net, net_from_bundle, weights_of
from headscarp.nets.batch import Batch
from headscarp.nets.net import Statistics
from headscarp.prediction.blockwork import aligned_tiles
from headscarp.prediction.engines import make_engine
from headscarp.prediction.raster import predict
from headscarp.sources.world import veneto_like
from headscarp.tiles.reader import TileReader
from headscarp.tiles.tiling import halo_of

BLOCK_PX = 1024
BARS = {"float32": 1.05, "bf16": 1.10}
AT_ONCE = 16  # blocks of the bare side that are held in memory; larger maps go through them again


def main() -> int:
    options = _options()
    print(describe_machine())
    with tempfile.TemporaryDirectory(prefix="headscarp-") as folder:
        stack_path, bundle_path = Path(folder) / "region.zarr", Path(folder) / "sacnn"
        stack = veneto_like(stack_path, (options.size, options.size), workers=cores())
        save_bundle(region_bundle(stack), bundle_path)
        rows, bars = [], []
        for engine in options.engines.split(","):
            for precision in options.precisions.split(","):
                row, bar = beside_bare(bundle_path, stack_path, engine, precision, options.rounds)
                rows.append(row)
                bars += bar
        print_table(rows, title=f"predict, sacnn, {options.size} x {options.size} px, {cores()} threads")
        if options.peers:
            bars += beside_peers(bundle_path, stack_path, options.rounds)
    return verdict(bars)


def region_bundle(stack) -> Bundle:
    """A sacnn for a simulated region with 22 aligned features; untrained, which changes no time."""
    bands = feature_bands(stack)
    names = feature_names(bands)
    aligned = ("slope", *names[4:14], *names[48:51], *names[52:55], *names[60:65])
    statistics = Statistics({"slope": 20.0, "elevation": 800.0}, {"slope": 10.0, "elevation": 400.0}, 0.013)
    torch.manual_seed(0)
    net = make_net("sacnn", bands, resolution_m=10.0, statistics=statistics, arguments={"aligned": aligned})
    return Bundle(
        "sacnn", net.arguments(), bands, 10.0, weights_of(net), {"kind": "temperature", "scale": 1, "shift": 0}
    )


def beside_bare(bundle_path: Path, stack_path: Path, engine: str, precision: str, rounds: int):
    """A row of the table and the bars of one engine and precision."""
    names = (stack_path.with_name(f"map-{engine}-{precision}-{i}.tif") for i in count())
    forwards, check = bare_forwards(bundle_path, stack_path, engine, precision)

    def whole() -> Path:
        return predict(bundle_path, stack_path, next(names), engine=engine, precision=precision)

    with Elsewhere(bare_side, bundle_path, stack_path, engine, precision) as bare:
        found = take_turns({"predict": whole, "bare": bare, "large": forwards}, rounds)
    wall, cpu = ({name: one[of] for name, one in found.items()} for of in ("wall_s", "cpu_s"))
    ratio = float(np.median(wall["predict"] / wall["bare"]))
    difference = check(found["predict"]["result"])
    bar = BARS[precision]
    row = {
        "engine": engine,
        "precision": precision,
        **{f"{name} s": float(np.median(seconds)) for name, seconds in wall.items()},
        "of bare": ratio,
        "CPU": float(np.median(cpu["predict"] / cpu["bare"])),
        "of large": float(np.median(wall["predict"] / wall["large"])),
        "CPU of large": float(np.median(cpu["predict"] / cpu["large"])),
        "Mpx/s": np.prod(_shape(stack_path)) / np.median(wall["predict"]) / 1e6,
    }
    bars = [(f"{engine} {precision}: same pixels as the bare forwards: {difference:.1e}", difference <= 1e-6)]
    if engine == "torch":
        bars += [(f"{engine} {precision}: at most {bar:.2f}x the bare forwards: {ratio:.3f}x", ratio <= bar)]
    return row, bars


def bare_side(bundle_path: Path, stack_path: Path, engine: str, precision: str) -> Callable[[], None]:
    """The forwards alone."""
    return bare_forwards(bundle_path, stack_path, engine, precision)[0]


def bare_forwards(
    bundle_path: Path, stack_path: Path, engine: str, precision: str
) -> tuple[Callable[[], None], Callable[[Path], float]]:
    """The forwards alone, and a check that a map holds what they give."""
    net = net_from_bundle(open_bundle(bundle_path))
    reader = TileReader(stack_path, net.bands)
    tiles = aligned_tiles(reader.shape, BLOCK_PX, halo_of(net), net.align)
    with_land = [tile for tile in tiles if open_stack(stack_path)[VALID][tile.window.clip(reader.shape).slices].any()]
    held = []
    for tile in with_land[:AT_ONCE]:
        pixels = reader.read(tile)
        held.append(
            Batch(x=torch.from_numpy(pixels.x)[None], valid=torch.from_numpy(pixels.valid)[None], tiles=(tile,))
        )
    run = make_engine(engine, net, precision, threads=cores())

    def check(path: Path) -> float:
        with rasterio.open(path) as data:
            batch = held[len(held) // 2]
            (tile,) = batch.tiles
            inside = tile.window.clip(reader.shape)
            there = data.read(1, window=rasterio.windows.Window(inside.col, inside.row, inside.width, inside.height))
        made = run(batch)[0, tile.halo : tile.halo + inside.height, tile.halo : tile.halo + inside.width]
        return float(np.nanmax(np.abs(there - made)))

    return forwards_of(run, held, len(with_land)), check


def beside_peers(bundle_path: Path, stack_path: Path, rounds: int):
    """Prints the peers, each in a process that asks for memory as torch does by itself, and returns their bars."""
    rows, bars = [], []
    for name, peer in (("monai sliding window", monai_window), ("grid loop", grid_loop)):
        maps = (stack_path.with_name(f"beside-{peer.__name__}-{i}.tif") for i in count())
        their_out = stack_path.with_name(f"{peer.__name__}.tif")
        with Elsewhere(partial, peer, bundle_path, stack_path, their_out) as theirs:
            jobs = {"predict": lambda maps=maps: predict(bundle_path, stack_path, next(maps)), "peer": theirs}
            found = take_turns(jobs, rounds)
        seconds = {side: one["wall_s"] for side, one in found.items()}
        ratio = float(np.median(seconds["predict"] / seconds["peer"]))
        with rasterio.open(found["predict"]["result"]) as a, rasterio.open(their_out) as b:
            change = np.abs(a.read(1) - b.read(1))
        rows.append(
            {
                "peer": name,
                "predict s": float(np.median(seconds["predict"])),
                "peer s": float(np.median(seconds["peer"])),
                "ratio": ratio,
                "pixels that differ by over 0.01": f"{np.mean(change[np.isfinite(change)] > 0.01):.2%}",
            }
        )
        bars.append((f"faster than {name}: {ratio:.2f}x its time", ratio < 1))
    print_table(rows, title="predict beside peers, float32, torch")
    return bars


def monai_window(bundle_path: Path, stack_path: Path, out: Path) -> None:
    """All bands in memory, then MONAI's sliding window with constant blending; windows as large as ours with halo."""
    from monai.inferers import sliding_window_inference

    net, stack = net_from_bundle(open_bundle(bundle_path)), open_stack(stack_path)
    x = torch.from_numpy(np.stack([_float(stack[band.name].to_numpy()) for band in net.bands]))
    valid = torch.from_numpy(stack[VALID].to_numpy() == 1)
    side = BLOCK_PX + 2 * halo_of(net)

    def window(piece: torch.Tensor) -> torch.Tensor:
        return net.predict(Batch(x=piece[:, :-1], valid=piece[:, -1] > 0.5))

    with torch.inference_mode():
        made = sliding_window_inference(
            torch.cat([x, valid[None].float()])[None],
            roi_size=(side, side),
            sw_batch_size=1,
            predictor=window,
            overlap=1 - BLOCK_PX / side,
            mode="constant",
        )
    write_plain(out, stack, np.where(valid.numpy(), made[0, 0].numpy(), np.nan))


def grid_loop(bundle_path: Path, stack_path: Path, out: Path) -> None:
    """Chips of a regular grid with overlap, read one after the other, the middle of each kept, stitched in memory."""
    net, stack = net_from_bundle(open_bundle(bundle_path)), open_stack(stack_path)
    shape, halo = _shape(stack_path), halo_of(net)
    made = np.full(shape, np.nan, np.float32)
    for tile in aligned_tiles(shape, BLOCK_PX, halo, net.align):
        outer, inside = tile.read_window.clip(shape), tile.window.clip(shape)
        x = np.stack([_float(stack[band.name][outer.slices].to_numpy()) for band in net.bands])
        valid = stack[VALID][outer.slices].to_numpy() == 1
        batch = Batch(x=torch.from_numpy(x)[None], valid=torch.from_numpy(valid)[None])
        with torch.inference_mode():
            chip = net.predict(batch)[0, 0].numpy()
        chip = np.where(valid, chip, np.nan)
        top, left = inside.row - outer.row, inside.col - outer.col
        made[inside.slices] = chip[top : top + inside.height, left : left + inside.width]
    write_plain(out, stack, made)


def write_plain(path: Path, stack, made: np.ndarray) -> None:
    """Writes a map as a tiled GeoTIFF without overviews."""
    grid = stack_grid(stack)
    profile = {"driver": "GTiff", "dtype": "float32", "count": 1, "height": made.shape[0], "width": made.shape[1]}
    profile |= {
        "tiled": True,
        "blockxsize": 512,
        "blockysize": 512,
        "compress": "zstd",
        "zstd_level": 1,
        "predictor": 3,
    }
    with rasterio.open(
        path, "w", **profile, crs=grid.crs.to_wkt(), transform=grid.affine, nodata=np.nan, num_threads="all_cpus"
    ) as data:
        data.write(made.astype(np.float32), 1)


def _float(pixels: np.ndarray) -> np.ndarray:
    return pixels.astype(np.float32)


def _shape(stack_path: Path) -> tuple[int, int]:
    stack = open_stack(stack_path)
    return stack.sizes["y"], stack.sizes["x"]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=4096, help="side of the map in pixels")
    parser.add_argument("--engines", default="torch", help="torch, openvino, or both with a comma")
    parser.add_argument("--precisions", default="float32,bf16")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", action="store_true", help="also MONAI and a grid loop")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
