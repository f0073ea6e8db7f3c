"""The verb predict with DeepLabv3+ on a scene of six bands, beside the bare forwards of its windows and MONAI's.

    python benchmarks/scene.py                                      # 2048 x 2048 px, ResNet-18 and ResNet-50
    python benchmarks/scene.py --side 8192                          # full size; hours on two cores
    python benchmarks/scene.py --encoders resnet18 --rounds 5            # one of them

DeepLab sees a whole window at once, so maps are blended from windows of 128 px that overlap by a quarter. Bare: the
same windows, read and cut out before the clock starts, through the same net in batches of the same size and as many
threads, the result thrown away; in a process of its own that asks for memory as torch does by itself, and so is
MONAI's side. What predict adds is reading, encoding, blending, calibration, checksums, journal, the
Cloud-Optimized GeoTIFF with its overviews, style and STAC item. MONAI's side reads all bands into memory and runs its
sliding window with the same windows, overlap and batches, blended by constant weights, on all cores; it then writes a
plain tiled GeoTIFF without overviews. Then two strips, the second three times as high, each in a fresh process: their
peaks of memory.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from itertools import count
from pathlib import Path

import numpy as np
import rasterio
import torch
from _bench import Elsewhere, describe_machine, peak_memory_of, print_table, take_turns, verdict
from _forwards import forwards_of
from _image import write_image
from predict import write_plain

from headscarp.core.bundle import Bundle, open_bundle, save_bundle
from headscarp.core.machine import cores
from headscarp.core.stack import feature_bands, open_stack
from headscarp.core.tile import Tile, Window
from headscarp.nets import make_net, net_from_bundle, weights_of
from headscarp.nets.batch import Batch
from headscarp.nets.net import Statistics
from headscarp.nets.windows import windows_at_once
from headscarp.prediction.engines import ENGINES
from headscarp.prediction.raster import predict
from headscarp.tiles.reader import TileReader

BANDS, WINDOW_PX, OVERLAP = 6, 128, 0.25
BAR, FLAT = 1.08, 1.1
STRIPS = (4096, 12288)
"""Rows of 1024 columns: with a few blocks memory has not been asked for in full."""


def main() -> int:
    options = _options()
    print(describe_machine())
    rows, bars = [], []
    with tempfile.TemporaryDirectory(prefix="headscarp-", dir=options.folder) as folder:
        stack = write_image(Path(folder) / "scene.zarr", (options.side, options.side), bands=BANDS)
        for encoder in options.encoders.split(","):
            bundle = save_bundle(deeplab_bundle(stack, encoder), Path(folder) / encoder)
            row, bar = beside(bundle, stack, encoder, options)
            rows.append(row)
            bars += bar
        print_table(rows, title=f"scene, deeplab, {options.side} x {options.side} x {BANDS} px, {cores()} threads")
        if not options.skip_memory:
            bars.append(flat_memory(Path(folder), options.encoders.split(",")[0]))
    return verdict(bars)


def deeplab_bundle(stack: Path, encoder: str) -> Bundle:
    """An untrained net, which changes no time."""
    bands = feature_bands(open_stack(stack))
    names = [band.name for band in bands]
    statistics = Statistics(dict.fromkeys(names, 95.0), dict.fromkeys(names, 30.0), 0.05)
    torch.manual_seed(0)
    arguments = {"encoder": encoder, "window_px": WINDOW_PX}
    net = make_net("deeplab", bands, resolution_m=0.5, statistics=statistics, arguments=arguments)
    return Bundle("deeplab", net.arguments(), bands, 0.5, weights_of(net))


def beside(bundle: Path, stack: Path, encoder: str, options: argparse.Namespace):
    """A row of the table and the bars of one encoder: three sides in turn, after one round that is not counted."""
    names = (stack.with_name(f"{encoder}-{i}.tif") for i in count())
    with Elsewhere(bare_windows, bundle, stack) as bare, Elsewhere(monai_side, bundle, stack) as monai:
        jobs = {
            "predict": lambda: predict(bundle, stack, next(names), block_px=options.block_px),
            "bare": bare,
            "monai": monai,
        }
        found = take_turns(jobs, options.rounds)
    wall, cpu = ({name: one[of] for name, one in found.items()} for of in ("wall_s", "cpu_s"))
    with rasterio.open(found["predict"]["result"]) as ours, rasterio.open(found["monai"]["result"]) as theirs:
        change = np.abs(ours.read(1) - theirs.read(1))
    row = {
        "encoder": encoder,
        **{f"{name} s": float(np.median(seconds)) for name, seconds in wall.items()},
        "of bare": float(np.median(wall["predict"] / wall["bare"])),
        "CPU, of bare": float(np.median(cpu["predict"] / cpu["bare"])),
        "of monai": float(np.median(wall["predict"] / wall["monai"])),
        "CPU, of monai": float(np.median(cpu["predict"] / cpu["monai"])),
        "Mpx/s": change.size / float(np.median(wall["predict"])) / 1e6,
    }
    alone = float(np.nanquantile(change, 0.25))  # four ninths of the pixels lie in one window only
    return row, [
        (f"{encoder}: at most {BAR}x the bare forwards: {row['of bare']:.3f}x", row["of bare"] <= BAR),
        (f"{encoder}: ahead of monai: {row['of monai']:.3f} of its time", row["of monai"] < 1),
        (f"{encoder}: where windows do not overlap, the same as monai: {alone:.1e}", alone < 1e-5),
    ]


def bare_windows(bundle: Path, stack: Path) -> Callable[[], None]:
    """The forwards of the windows that hold a pixel, each once."""
    net = net_from_bundle(open_bundle(bundle)).eval()
    reader = TileReader(stack, net.bands)
    held, step = [], WINDOW_PX - int(WINDOW_PX * OVERLAP)
    own = slice(WINDOW_PX - step, step)
    for row in range(0, reader.shape[0], step):
        for col in range(0, reader.shape[1], step):
            tile = Tile(Window(row, col, WINDOW_PX, WINDOW_PX))
            pixels = reader.read(tile)
            if pixels.valid[own, own].any():
                held.append((torch.from_numpy(pixels.x), torch.from_numpy(pixels.valid), tile))
    at_once = windows_at_once(WINDOW_PX)
    groups = []
    for first in range(0, len(held), at_once):
        x, valid, tiles = zip(*held[first : first + at_once], strict=True)
        groups.append(Batch(x=torch.stack(x), valid=torch.stack(valid), tiles=tiles))
    run = ENGINES["torch"](net, "float32", cores())
    return forwards_of(run, groups)


def monai_side(bundle: Path, stack: Path) -> Callable[[], Path]:
    """MONAI, from the stack to a plain GeoTIFF, whose path it returns: all bands in memory."""
    from monai.inferers import sliding_window_inference

    def run() -> Path:
        net = net_from_bundle(open_bundle(bundle))
        pixels = TileReader(stack, net.bands).read(Tile(Window(0, 0, *_shape(stack))))
        torch.set_num_threads(cores())
        with torch.inference_mode():
            front = net.front(Batch(x=torch.from_numpy(pixels.x)[None], valid=torch.from_numpy(pixels.valid)[None]))
            made = sliding_window_inference(
                front,
                roi_size=(WINDOW_PX, WINDOW_PX),
                sw_batch_size=windows_at_once(WINDOW_PX),
                predictor=lambda part: torch.sigmoid(net.trunk(part)),
                overlap=OVERLAP,
                mode="constant",
            )
        out = bundle.with_name(f"{bundle.name}-monai.tif")
        write_plain(out, open_stack(stack), np.where(pixels.valid, made[0, 0].numpy(), np.nan))
        return out

    return run


def flat_memory(folder: Path, encoder: str) -> tuple[str, bool]:
    """The bar that a strip three times as high takes no more memory."""
    peaks = []
    for height in STRIPS:
        strip = write_image(folder / f"strip-{height}.zarr", (height, 1024), bands=BANDS)
        found = peak_memory_of(make_map, folder / encoder, strip, folder / f"strip-{height}.tif", 512)
        peaks.append(found["peak_bytes"])
    ratio = peaks[1] / peaks[0]
    told = f"memory flat: {peaks[0] / 1e6:.0f} MB with {STRIPS[0]} rows, {ratio:.2f} times that with {STRIPS[1]}"
    return told, ratio <= FLAT


def make_map(bundle: Path, stack: Path, out: Path, block_px: int) -> None:
    predict(bundle, stack, out, block_px=block_px)


def _shape(stack: Path) -> tuple[int, int]:
    opened = open_stack(stack)
    return opened.sizes["y"], opened.sizes["x"]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=2048, help="rows and columns; 8192 is the full size")
    parser.add_argument("--block-px", type=int, default=1024, help="of predict; 512 where the side is 1024")
    parser.add_argument("--encoders", default="resnet18,resnet50")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--skip-memory", action="store_true", help="leave the strips out")
    parser.add_argument("--folder", help="where the simulated scene is kept while it is used")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
