"""Sixteen futures of a scene by `cgan`, drawn together, against sixteen independent full passes of `predict`.

    python benchmarks/futures.py

A scene of 1024 x 1024 cells and eight bands; weights as they are made, which takes as long as trained ones. Drawn
together, a block is read once and whatever does not depend on z is computed once. One thread, in turn; the bar is on
CPU seconds, files and overviews included. `flow`, whose steps all depend on chance, is timed beside it. Peak memory is
measured in fresh processes: four times the scene, four times the futures. Fails where the pictures differ, where the
ratio is above 0.7 or where memory grows.

HEADSCARP_BENCH_SIDE and HEADSCARP_BENCH_ROUNDS make it shorter.
"""

import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import rasterio
import torch
import xarray as xr
from _bench import alternate, describe_machine, peak_memory_of, print_table, simulated_dem, timed, verdict
from affine import Affine

from headscarp.core.band import Band
from headscarp.core.bundle import Bundle
from headscarp.core.domains import REFLECTANCE
from headscarp.core.grid import Grid
from headscarp.core.stack import VALID, make_stack, open_stack, write_stack
from headscarp.nets import make_net, net_from_bundle, weights_of
from headscarp.nets.futures import FutureNet
from headscarp.nets.net import Statistics
from headscarp.prediction.drawing import draw_futures
from headscarp.prediction.raster import predict

BAR, MEMORY_BAR = 0.7, 1.15
SIDE = int(os.environ.get("HEADSCARP_BENCH_SIDE", "1024"))
ROUNDS = int(os.environ.get("HEADSCARP_BENCH_ROUNDS", "3"))
SAMPLES, BLOCK_PX, FLOWS = 16, 512, 1
BANDS = (
    *(Band(name, "continuous", "1") for name in REFLECTANCE),
    Band("elevation", "continuous", "m"),
    Band("slope", "continuous", "degree"),
)


def main() -> int:
    torch.set_num_threads(1)
    print(f"{SAMPLES} futures of {SIDE} x {SIDE}; {describe_machine()}")
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        for name, side in (("scene", SIDE), ("large", 2 * SIDE)):
            write_stack(scene(side), home / f"{name}.zarr")
        stack, bundle = open_stack(home / "scene.zarr"), bundle_of("cgan")
        found = alternate(
            lambda: together(bundle, stack, home / "together", SAMPLES),
            lambda: one_by_one(bundle, stack, home / "alone", SAMPLES),
            ROUNDS,
            warm_up=False,
        )
        apart = max(largest_gap(*pair) for pair in zip(found["a_result"], found["b_result"], strict=True))
        _, flow_s, _ = timed(lambda: together(bundle_of("flow"), stack, home / "flow", FLOWS))
        peaks = {
            what: peak_memory_of(drawn_in_child, str(home / f"{name}.zarr"), str(home / what), samples)["peak_bytes"]
            for what, name, samples in (("4 futures", "scene", 4), ("16 futures", "scene", 16), ("large", "large", 4))
        }
    each = {"together": found["a_cpu_s"] / SAMPLES, "one by one": found["b_cpu_s"] / SAMPLES, "flow": flow_s / FLOWS}
    rows = [
        {"cgan, CPU s a future": each["together"], "alone": each["one by one"], "ratio": found["cpu_ratio"],
         "wall": found["ratio"], "flow, CPU s a future": each["flow"], "rounds": found["rounds"],
         **{f"MB, {what}": peak / 1e6 for what, peak in peaks.items()}}
    ]  # fmt: skip
    print_table(rows, title="files and overviews included")
    grown = max(peaks["16 futures"], peaks["large"]) / peaks["4 futures"]
    return verdict(
        [
            (f"at most {BAR} of independent passes: {found['cpu_ratio']:.3f}", found["cpu_ratio"] <= BAR),
            (f"the same pictures: largest difference {apart:.1e}", apart <= 1e-4),
            (f"memory flat in scene size and futures, at most {MEMORY_BAR}: {grown:.2f}", grown <= MEMORY_BAR),
        ]
    )


def together(bundle: Bundle, stack: xr.Dataset, folder: Path, samples: int) -> list[Path]:
    paths = [folder / f"{number}.tif" for number in range(samples)]
    net = net_from_bundle(bundle)
    assert isinstance(net, FutureNet)
    draw_futures(bundle, net, stack, paths, block_px=BLOCK_PX, workers=1, overwrite=True)
    return paths


def one_by_one(bundle: Bundle, stack: xr.Dataset, folder: Path, samples: int) -> list[Path]:
    made = []
    for number in range(samples):
        one = replace(bundle, arguments={**bundle.arguments, "future": number})
        made.append(predict(one, stack, folder / f"{number}.tif", block_px=BLOCK_PX, workers=1, overwrite=True))
    return made


def drawn_in_child(stack: str, folder: str, samples: int) -> int:
    return len(together(bundle_of("cgan"), open_stack(stack), Path(folder), samples))


def bundle_of(name: str) -> Bundle:
    torch.manual_seed(0)
    statistics = Statistics({b.name: 0.2 for b in BANDS}, {b.name: 0.1 for b in BANDS})
    statistics = replace(
        statistics,
        mean={**statistics.mean, "elevation": 1000.0, "slope": 10.0},
        std={**statistics.std, "elevation": 200.0, "slope": 8.0},
    )
    net = make_net(name, BANDS, resolution_m=30, statistics=statistics, arguments={"task": "mining"})
    return Bundle(name, net.arguments(), BANDS, 30.0, weights_of(net))


def scene(side: int) -> xr.Dataset:
    dem = simulated_dem(side, side, missing=False)
    generator = np.random.default_rng(0)
    slope = np.degrees(np.arctan(np.hypot(*np.gradient(dem, 30.0)))).astype(np.float32)
    arrays = {b: generator.uniform(0.02, 0.4, (side, side)).astype(np.float32) for b in BANDS[: len(REFLECTANCE)]}
    grid = Grid((side, side), Affine(30, 0, 500_000, 0, -30, 5_000_000), "EPSG:32633")
    valid = {Band(VALID, "mask"): np.ones((side, side), np.uint8)}
    return make_stack(grid, {**arrays, BANDS[-2]: dem, BANDS[-1]: slope, **valid})


def largest_gap(one: Path, other: Path) -> float:
    with rasterio.open(one) as a, rasterio.open(other) as b:
        return float(np.nanmax(np.abs(a.read() - b.read())))


if __name__ == "__main__":
    sys.exit(main())
