"""A whole simulated Veneto through predict: 21005 x 19500 px, 94 features, sacnn, under 2 GB and 15 minutes.

    python benchmarks/veneto.py                     # the whole of it (makes a stack of some gigabytes first)
    python benchmarks/veneto.py --rows 2048         # a strip: the peak of memory does not depend on height

The map is made in a fresh process, whose peak resident memory is told, imports included. Mpx/s counts pixels of the
map. The share of the matrix peak counts multiplications and additions of the trunk over all pixels it ran on, context
included, against a large matrix product in float32 (and, for bf16, in bf16) measured here, on all cores.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from _bench import describe_machine, peak_memory_of, print_table, verdict
from predict import region_bundle
from torch.utils.flop_counter import FlopCounterMode

from headscarp.core.bundle import save_bundle
from headscarp.core.machine import cores
from headscarp.core.stack import open_stack
from headscarp.nets import net_from_bundle
from headscarp.prediction.blockwork import aligned_tiles
from headscarp.prediction.raster import predict
from headscarp.sources.world import VENETO_SHAPE, veneto_like
from headscarp.tiles.tiling import halo_of

PEAK_BYTES, MINUTES = 2e9, 15.0


def main() -> int:
    options = _options()
    print(describe_machine())
    shape = (options.rows or VENETO_SHAPE[0], options.cols or VENETO_SHAPE[1])
    with tempfile.TemporaryDirectory(prefix="headscarp-", dir=options.folder) as temporary:
        folder = Path(options.folder or temporary)
        stack_path = folder / f"veneto-{shape[0]}x{shape[1]}.zarr"
        if not stack_path.exists():
            before = time.perf_counter()
            veneto_like(stack_path, shape, workers=cores())
            print(f"  stack simulated in {time.perf_counter() - before:.0f} s")
        bundle = region_bundle(open_stack(stack_path))
        save_bundle(bundle, Path(temporary) / "sacnn")
        found = peak_memory_of(
            make_map,
            Path(temporary) / "sacnn",
            stack_path,
            Path(temporary) / "map.tif",
            options.engine,
            options.precision,
            options.block_px,
        )
        map_bytes = (Path(temporary) / "map.tif").stat().st_size
    net = net_from_bundle(bundle)
    operations, peak = trunk_operations(net, shape, options.block_px), matrix_peak(options.precision)
    row = {
        "map": f"{shape[0]} x {shape[1]}",
        "engine": f"{options.engine} {options.precision}",
        "minutes": found["wall_s"] / 60,
        "Mpx/s": np.prod(shape) / found["wall_s"] / 1e6,
        "peak GB": found["peak_bytes"] / 1e9,
        "map GB": map_bytes / 1e9,
        "trunk GFLOP/s": operations / found["wall_s"] / 1e9,
        "matrix peak GFLOP/s": peak / 1e9,
        "share of peak": operations / found["wall_s"] / peak,
    }
    print_table([row], title="veneto")
    allowed = MINUTES * np.prod(shape) / np.prod(VENETO_SHAPE)
    return verdict(
        [
            (f"under {PEAK_BYTES / 1e9:g} GB: {found['peak_bytes'] / 1e9:.2f} GB", found["peak_bytes"] < PEAK_BYTES),
            (f"under {allowed:.1f} minutes: {found['wall_s'] / 60:.1f}", found["wall_s"] / 60 < allowed),
        ]
    )


def make_map(bundle: Path, stack: Path, out: Path, engine: str, precision: str, block_px: int) -> None:
    predict(bundle, stack, out, engine=engine, precision=precision, block_px=block_px, workers=cores())


def trunk_operations(net, shape: tuple[int, int], block_px: int) -> float:
    """Floating-point operations of the trunk over all blocks with their context."""
    side = 16 * net.align
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        net.trunk(torch.zeros(1, net.first.bias.shape[0], side, side))
    tiles = aligned_tiles(shape, block_px, halo_of(net), net.align)
    pixels = sum(tile.read_window.height * tile.read_window.width for tile in tiles)
    return counter.get_total_flops() / side**2 * pixels


def matrix_peak(precision: str, side: int = 3072, rounds: int = 5) -> float:
    """Operations a second of the best of some products of two large matrices, on all cores."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    torch.set_num_threads(cores())
    a, b = (torch.randn(side, side).to(dtype) for _ in range(2))
    seconds = []
    for _ in range(rounds + 1):
        before = time.perf_counter()
        a @ b
        seconds.append(time.perf_counter() - before)
    return 2 * side**3 / min(seconds)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, help="height of the map; default: all of it")
    parser.add_argument("--cols", type=int, help="width of the map; default: all of it")
    parser.add_argument("--engine", default="torch")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--block-px", type=int, default=1024)
    parser.add_argument("--folder", help="where the simulated stack is kept for the next time")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
