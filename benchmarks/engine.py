"""The engines of predict on this processor beside plain float32 torch, on a trained sacnn.

    python benchmarks/engine.py
    python benchmarks/engine.py --bundle sacnn/ --stack stack.zarr    # your own

Plain: the net as it is written down, dense one-hot features, float32, torch with all cores. Engines: the fast first
layer, then the trunk by torch or OpenVINO in float32 or bfloat16, one block a core side by side, as predict runs them.
Without --bundle a sacnn is trained for a few epochs on a simulated valley first, so that probabilities spread
as in use. Fails when the best engine is below 3x, or changes any probability by more than 0.005.
"""

import argparse
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from _bench import alternate, describe_machine, print_table, verdict

from headscarp.core.bundle import open_bundle
from headscarp.core.machine import cores
from headscarp.core.stack import write_stack
from headscarp.nets import net_from_bundle
from headscarp.nets.batch import Batch
from headscarp.prediction.blockwork import aligned_tiles
from headscarp.prediction.engines import PRECISIONS, make_engine, single_threaded_torch
from headscarp.sources.world import simulate_valley
from headscarp.tiles.reader import TileReader
from headscarp.tiles.tiling import halo_of
from headscarp.train.config import FitConfig
from headscarp.train.fit import fit

FASTER, CHANGE = 3.0, 0.005
SIDE = 768


def main() -> int:
    options = _options()
    print(describe_machine())
    with tempfile.TemporaryDirectory(prefix="headscarp-") as folder:
        bundle_path, stack_path = options.bundle, options.stack
        if bundle_path is None:
            bundle_path, stack_path = trained(Path(folder), options.epochs)
        bundle = open_bundle(bundle_path)
        net, plain = net_from_bundle(bundle), net_from_bundle(bundle)
        plain.front_dense = True
        batches = blocks(net, stack_path, options.block_px)
        rows = [row(net, plain, batches, *engine.split("-"), options.rounds) for engine in options.engines.split(",")]
    print_table(rows, title=f"sacnn, blocks of {options.block_px} px and their context, {cores()} threads")
    good = [r for r in rows if r["largest change"] <= CHANGE]
    best = max(good, key=lambda r: r["times faster"], default={"times faster": 0.0, "engine": "none"})
    text = f"{best['engine']} {best.get('precision', '')}: {best['times faster']:.2f}x plain float32"
    return verdict([(f"at least {FASTER:g}x within {CHANGE}: {text}", best["times faster"] >= FASTER)])


def row(net, plain, batches: list[Batch], engine: str, precision: str, rounds: int) -> dict[str, object]:
    """One engine beside the plain net, on the same blocks."""
    run = make_engine(engine, net, precision, threads=cores())

    def ours() -> list[np.ndarray]:
        with (
            single_threaded_torch(),
            ThreadPoolExecutor(cores(), initializer=torch.set_num_threads, initargs=(1,)) as pool,
        ):
            return list(pool.map(lambda batch: run(batch).copy(), batches))

    def theirs() -> list[np.ndarray]:
        with torch.inference_mode():
            return [plain.predict(batch)[0].numpy() for batch in batches]

    found = alternate(theirs, ours, rounds)
    pairs = list(zip(found["a_result"], found["b_result"], strict=True))
    return {
        "engine": engine,
        "precision": precision,
        "plain s": found["a_s"],
        "engine s": found["b_s"],
        "times faster": found["ratio"],
        "Mpx/s with context": sum(b.x.shape[-1] * b.x.shape[-2] for b in batches) / found["b_s"] / 1e6,
        "largest change": max(float(np.abs(a - b).max()) for a, b in pairs),
        "highest probability": max(float(a.max()) for a, _ in pairs),
    }


def blocks(net, stack_path: Path, block_px: int) -> list[Batch]:
    """As many blocks with context as there are cores, twice."""
    reader = TileReader(stack_path, net.bands)
    tiles = aligned_tiles(reader.shape, block_px, halo_of(net), net.align)
    batches = []
    for i in range(2 * cores()):
        pixels = reader.read(tiles[i % len(tiles)])
        batches.append(Batch(x=torch.from_numpy(pixels.x)[None], valid=torch.from_numpy(pixels.valid)[None]))
    return batches


def trained(folder: Path, epochs: int) -> tuple[Path, Path]:
    """Paths of a sacnn trained on a simulated valley, and of the valley."""
    valley = simulate_valley((SIDE, SIDE), prevalence=0.05)
    write_stack(valley.stack, folder / "valley.zarr")
    config = FitConfig(epochs=epochs, tile_px=256, batch_size=4, sampling="uniform")
    fit(folder / "valley.zarr", net="sacnn", out=folder / "sacnn", config=config)
    return folder / "sacnn", folder / "valley.zarr"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, help="a trained bundle; default: one is trained first")
    parser.add_argument("--stack", type=Path, help="the stack that it is for")
    parser.add_argument("--epochs", type=int, default=4, help="of that training")
    parser.add_argument("--block-px", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--engines", default=",".join(f"{e}-{p}" for e in ("torch", "openvino") for p in PRECISIONS), help="with commas"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
