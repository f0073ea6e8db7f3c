"""A risk map of a scene: 1024 x 1024 px, 24 frames of two sensors, `headscarp forecast` beside the bare forwards.

    python benchmarks/riskmap.py
    python benchmarks/riskmap.py --side 512 --frames 8 --rounds 1     # quick

The scene is noise in stacks as `headscarp fetch` leaves them (Landsat with quality, Sentinel-1, elevation, daily
rain); the net has the weights it was born with, which take as long as any. Bare: the same blocks, read before the
clock starts, through the same net on as many threads, the result thrown away; in a process of its own that asks for
memory as torch does by itself. "pieces": the same, cut into the squares that forecast cuts them into, which is the
least that can be done. What forecast adds is laying the frames side by side, reading, sums of rain, checksums,
journal, the Cloud-Optimized GeoTIFF with its overviews, style and STAC item. Then strips of 512 columns and a quarter
of the frames, the second three times as high, each in a fresh process: their peaks of memory. Fails where forecast
takes more than 1.08 times the bare forwards, or where the higher strip takes over 1.1 times the memory.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _bench import Elsewhere, describe_machine, peak_memory_of, print_table, take_turns, verdict
from _forwards import forwards_of
from affine import Affine

from headscarp.core.band import Band
from headscarp.core.bundle import Bundle, open_bundle, save_bundle
from headscarp.core.domains import REFLECTANCE, domain_bands
from headscarp.core.grid import Grid
from headscarp.core.machine import cores
from headscarp.core.stack import make_stack, write_stack
from headscarp.nets import make_net, net_from_bundle, weights_of
from headscarp.nets.net import Statistics
from headscarp.prediction.blockwork import aligned_tiles
from headscarp.prediction.engines import ENGINES, make_engine
from headscarp.prediction.frames import forecast, frames_before
from headscarp.tiles.reader import TileReader, make_batch

DATE, BLOCK_PX, CELL_M, RAIN_DAYS = "2020-08-01", 512, 30, 90
BAR, FLAT = 1.08, 1.1
STRIP_ROWS = 6144  # its bands fill the cache of the writer (128 MB), whatever comes behind it


def main() -> int:
    options = _options()
    print(describe_machine())
    with tempfile.TemporaryDirectory(prefix="headscarp-", dir=options.folder) as name:
        folder = Path(name)
        bundle = save_bundle(born(options.encoder), folder / "bundle")
        stacks = write_scene(folder / "scene", (options.side, options.side), options.frames)
        whole = partial(risk_map, bundle, stacks, folder / "risk.tif", options.frames)
        with (
            Elsewhere(bare_blocks, bundle, stacks, options.frames) as bare,
            Elsewhere(bare_blocks, bundle, stacks, options.frames, True) as pieces,
        ):
            found = take_turns({"forecast": whole, "bare": bare, "pieces": pieces}, options.rounds)
        row: dict[str, Any] = {f"{name} s": float(np.median(taken["wall_s"])) for name, taken in found.items()}
        for name in ("bare", "pieces"):
            row[f"/ {name}"] = _ratio(found, name, "wall_s")
            row[f"CPU / {name}"] = _ratio(found, name, "cpu_s")
        row["Mpx of frames/s"] = options.side**2 * options.frames / 1e6 / row["forecast s"]
        row["rounds"] = options.rounds
        title = f"{options.encoder}, {options.side} x {options.side} px, {options.frames} frames, {cores()} threads"
        print_table([row], title=title)
        bars = [(f"at most {BAR}x the bare forwards: {row['/ bare']:.3f}x", row["/ bare"] <= BAR)]
        if not options.skip_memory:
            bars.append(flat_memory(folder, bundle, options))
    return verdict(bars)


def born(encoder: str) -> Bundle:
    """A forecast net before any training, as a bundle."""
    torch.manual_seed(0)
    bands = tuple(band for band in domain_bands("benchmark") if band.is_feature)
    scales = {band.name: 1.0 for band in bands if band.kind == "continuous"}
    statistics = Statistics(dict.fromkeys(scales, 0.0), scales)
    arguments = {"place_px": 32, "encoder": encoder, "leave_out": []}
    net = make_net("forecast", bands, resolution_m=CELL_M, statistics=statistics, arguments=arguments).eval()
    return Bundle("forecast", net.arguments(), bands, float(CELL_M), weights_of(net))


def write_scene(folder: Path, shape: tuple[int, int], frames: int) -> list[Path]:
    """Landsat and Sentinel-1 in turn, 5 days apart, elevation and daily rain, as stacks on disk."""
    rng = np.random.default_rng(0)
    grid = Grid(shape, Affine(CELL_M, 0, 500_000, 0, -CELL_M, 2_100_000), "EPSG:32643")
    day, cut = np.timedelta64(86_400, "s"), np.datetime64(DATE, "ns")
    when = cut - 5 * day * np.arange(frames, 0, -1)

    def planes(count: int, low: float, high: float) -> np.ndarray:
        return rng.uniform(low, high, (count, *shape)).astype(np.float32)

    optical, radar = when[::2], when[1::2]
    quality = Band("quality", "categorical", classes=("clear", "cloud", "cloud shadow"))
    landsat = {Band(name, "continuous"): planes(len(optical), 0.02, 0.5) for name in REFLECTANCE}
    landsat[quality] = rng.integers(1, 4, (len(optical), *shape)).astype(np.uint8)
    echoes = {Band(name, "continuous", "dB"): planes(len(radar), -18, -6) for name in ("vv", "vh")}
    rows, cols = (np.arange(n, dtype=np.float32) for n in shape)
    height = {Band("elevation", "continuous", "m"): 9 * rows[:, None] + 200 * np.sin(cols / 40)}
    wet = cut - day * np.arange(RAIN_DAYS, -1, -1)
    rain = {Band("rain_1d_mm", "continuous", "mm"): np.ones((len(wet), *shape), np.float32)}
    made = {"landsat": (landsat, optical), "sentinel1": (echoes, radar), "weather": (rain, wet)}
    paths = [write_stack(make_stack(grid, bands, time=t), folder / f"{n}.zarr") for n, (bands, t) in made.items()]
    return [*paths, write_stack(make_stack(grid, height), folder / "dem.zarr")]


def risk_map(bundle: Path, stacks: list[Path], out: Path, frames: int) -> None:
    forecast(bundle, stacks, out, date=DATE, horizon="7d", frames=frames, block_px=BLOCK_PX, overwrite=True)


def bare_blocks(bundle: Path, stacks: list[Path], frames: int, pieces: bool = False) -> Callable[[], None]:
    """The forwards of all blocks, which lie ready in memory; in pieces as forecast runs them, or each at once."""
    net = net_from_bundle(open_bundle(bundle)).eval()
    stack = frames_before(stacks, DATE, bands=net.bands, frames=frames)
    reader = TileReader(stack, net.bands)
    tiles = aligned_tiles(reader.shape, BLOCK_PX, 0, net.align)
    held = [make_batch([reader.read(tile)], [tile]) for tile in tiles]
    run = make_engine("torch", net, threads=cores()) if pieces else ENGINES["torch"](net, "float32", cores())
    return forwards_of(run, held)


def _ratio(found: Mapping[str, Any], name: str, what: str) -> float:
    return float(np.median(found["forecast"][what] / found[name][what]))


def flat_memory(folder: Path, bundle: Path, options: argparse.Namespace) -> tuple[str, bool]:
    """The bar that a strip three times as high takes no more memory."""
    peaks, frames, rows = [], max(2, options.frames // 4), STRIP_ROWS
    for height in (rows, 3 * rows):
        stacks = write_scene(folder / f"strip-{height}", (height, BLOCK_PX), frames)
        found = peak_memory_of(risk_map, bundle, stacks, folder / f"strip-{height}.tif", frames)
        peaks.append(found["peak_bytes"])
    ratio = peaks[1] / peaks[0]
    told = f"memory flat: {peaks[0] / 1e6:.0f} MB with {rows} rows, {ratio:.2f} times that with {3 * rows}"
    return told, ratio <= FLAT


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=1024, help="rows and columns")
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--encoder", default="ltae")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--skip-memory", action="store_true", help="leave the strips out")
    parser.add_argument("--folder", help="where the scene is kept while it is used")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
