"""Killed at random moments, training goes on to the same bytes. Real processes, forked from one that has torch."""

import json
import multiprocessing
import random
import time
from pathlib import Path

import pytest

from headscarp.core.bundle import open_bundle
from headscarp.train.config import FitConfig

MOMENTS = 10
CONFIG = FitConfig(epochs=3, tile_px=32, batch_size=4, net_arguments={"ranges_m": (30,)})


def train_in_child(folder: str, out: str) -> None:
    from headscarp.core.stack import open_stack
    from headscarp.train.fit import fit

    stack = open_stack(Path(folder) / "stack.zarr")
    split = Path(folder) / "split.geojson"
    fit(stack, net="sann", split=split, out=out, config=CONFIG, cache=Path(folder) / "cache", resume=True)


@pytest.fixture(scope="module")
def processes():
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["headscarp.train.fit", "headscarp.nets", "torch.utils.tensorboard"])
    return context


@pytest.fixture(scope="module")
def folder(tiny_world, tmp_path_factory):
    from headscarp.core.stack import stack_grid, write_stack
    from headscarp.tiles.dataset import cache_stack
    from headscarp.tiles.splits import split_blocks, write_split

    folder = tmp_path_factory.mktemp("killed")
    write_stack(tiny_world, folder / "stack.zarr")
    split = split_blocks(tiny_world, block_size_m=480, seed=1)
    write_split(split, folder / "split.geojson", stack_grid(tiny_world))
    cache_stack(folder / "stack.zarr", folder / "cache")
    return folder


def run(processes, folder: Path, out: Path, kill_after_s: float | None = None) -> tuple[bool, float]:
    """Trains in a process of its own; whether it ended by itself, and seconds."""
    child = processes.Process(target=train_in_child, args=(str(folder), str(out)))
    started = time.monotonic()
    child.start()
    child.join(kill_after_s)
    if child.is_alive():
        child.kill()
    child.join()
    assert child.exitcode in (0, -9)
    return child.exitcode == 0, time.monotonic() - started


def of_bundle(out: Path) -> dict[str, object]:
    """All bytes but the commit, which moves while somebody works on the code."""
    record = json.loads((out / "bundle.json").read_text())
    record["made"].pop("commit")
    files = {name: (out / name).read_bytes() for name in ("weights.safetensors", "split.geojson", "history.csv")}
    return {**files, "bundle.json": json.dumps(record)}


def test_kill_minus_nine_at_random_moments(processes, folder):
    _, _ = run(processes, folder, folder / "first")  # the fork server wakes up
    _, whole_s = run(processes, folder, folder / "whole")
    rng = random.Random()
    moments = [rng.uniform(0.05, 1.0) * whole_s for _ in range(MOMENTS)]
    number, killed = 0, 0
    while moments or (killed < MOMENTS // 2 and number < 4 * MOMENTS):  # a resumed run may end before its moment
        moments = moments or [rng.uniform(0.05, 1.0) * whole_s]
        out, ended = folder / f"run-{number}", False
        while not ended:
            ended, _ = run(processes, folder, out, moments.pop() if moments else None)
            killed += not ended
        assert of_bundle(out) == of_bundle(folder / "whole"), f"killed at other moments of {whole_s:.1f} s"
        open_bundle(out)
        number += 1
    assert killed >= MOMENTS // 2
