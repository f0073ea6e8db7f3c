"""The training loop beside a bare torch loop: the same net, the same tiles in the same order, the same weights after.

    python benchmarks/train.py

A simulated valley: one epoch of a U-Net (cnn), two of a tiny net (llr). The loop has Fabric, the
progress, the watch over the loss, TensorBoard, history and a checkpoint; the bare one has forward, backward, clipping
and step, and reads through the same reader. What reading costs is told beside it: a bare loop on batches that lie ready
in memory. One torch thread, and the bars are on CPU seconds: threads that wait for each other on a busy machine burn
several times the work. Fails when the weights differ.
"""

import copy
import logging
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import torch
from _bench import alternate, describe_machine, print_table, verdict

from headscarp.nets.batch import Batch
from headscarp.nets.net import Net
from headscarp.sources.world import simulate_valley
from headscarp.tiles.sampling import batches
from headscarp.tiles.splits import split_blocks
from headscarp.train.config import FitConfig, Settings
from headscarp.train.devices import start_fabric
from headscarp.train.lesson import Lesson, drawn_tiles, make_lesson
from headscarp.train.log import EpochLog
from headscarp.train.loop import train
from headscarp.train.stage import Ground, trained_net

BARS = {"cnn": 1.02, "llr": 1.15}
ROUNDS = {"cnn": 7, "llr": 15}
EPOCHS = {"cnn": 1, "llr": 2}
CONFIG = FitConfig(tile_px=128, patience=9, batch_size=4)
SIDE = {"cnn": 384, "llr": 1024}


def main() -> int:
    logging.getLogger("headscarp").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    print(describe_machine())
    rows, bars = [], []
    with tempfile.TemporaryDirectory() as folder:
        for name, bar in BARS.items():
            row, difference = measure(name, Path(folder))
            rows.append(row)
            ratio = row["loop / bare, CPU"]
            bars.append((f"{name}: {ratio:.3f} x the bare loop, at most {bar}", ratio <= bar))
            bars.append(
                (f"{name}: the weights of both loops differ by at most 1e-6: {difference:.1e}", difference <= 1e-6)
            )
    print_table(rows, title="training")
    return verdict(bars)


def measure(name: str, folder: Path) -> tuple[dict[str, object], float]:
    """The row of one net, and how far the weights of the two loops are apart."""
    stack = simulate_valley((SIDE[name], SIDE[name]), cell_size_m=10, seed=0).stack
    ground = Ground(stack, split_blocks(stack, block_size_m=1280, seed=0))
    fabric = start_fabric(CONFIG)
    new, _ = trained_net(ground, name, replace(CONFIG, epochs=0), fabric=fabric)
    lesson, settings = (
        make_lesson(ground, new, CONFIG),
        replace(CONFIG, epochs=EPOCHS[name]).for_loop(type(new).schedule),
    )
    run = [0]

    def loop() -> Net:
        run[0] += 1
        net, here = copy.deepcopy(new), folder / f"{name}-{run[0]}"
        told = EpochLog(here)
        train(net, lesson, settings, fabric=fabric, folder=here / ".checkpoint", told=told, label=name)
        told.close()
        return net

    ready = [tuple(map(list, epoch)) for epoch in streams(lesson, settings)]
    beside = alternate(loop, lambda: bare(new, settings, streams(lesson, settings)), ROUNDS[name])
    reading = alternate(loop, lambda: bare(new, settings, ready), ROUNDS[name])
    ends = [net.state_dict() for net in (beside["a_result"], beside["b_result"])]
    difference = max(float((ends[0][key] - ends[1][key]).abs().max()) for key in ends[0])
    row = {
        "net": name,
        "epochs": settings.epochs,
        "steps": sum(len(learn) for learn, _ in ready),
        "loop CPU s": beside["a_cpu_s"],
        "bare CPU s": beside["b_cpu_s"],
        "loop / bare, CPU": beside["cpu_ratio"],
        "wall": beside["ratio"],
        "on ready batches, CPU": reading["cpu_ratio"],
        "rounds": ROUNDS[name],
    }
    return row, difference


def bare(new: Net, settings: Settings, epochs: Iterable[tuple[Iterable[Batch], Iterable[Batch]]]) -> Net:
    """The shortest loop that gives the same weights, those of the epoch of lowest validation NLL."""
    net, best, best_nll = copy.deepcopy(new), {}, float("inf")
    weights = list(net.parameters())
    make = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}[settings.optimiser]
    optimiser = make(weights, settings.learning_rate, weight_decay=settings.weight_decay)
    for learn, judge in epochs:
        net.train()
        for batch in learn:
            optimiser.zero_grad()
            net.losses(batch)["nll"].backward()
            torch.nn.utils.clip_grad_norm_(weights, settings.clip_norm)
            optimiser.step()
        net.eval()
        nll = labelled = 0.0
        with torch.no_grad():
            for batch in judge:
                count = (batch.y != 255).sum().item()
                nll += net.losses(batch)["nll"].item() * count
                labelled += count
        if nll / labelled < best_nll:
            best, best_nll = {key: tensor.clone() for key, tensor in net.state_dict().items()}, nll / labelled
    net.load_state_dict(best)
    return net


def streams(lesson: Lesson, settings: Settings) -> Iterator[tuple[Iterator[Batch], Iterator[Batch]]]:
    """The training and validation batches of each epoch, as the loop reads them."""
    for epoch in range(1, settings.epochs + 1):
        tiles, size = drawn_tiles(lesson, settings, epoch), settings.batch_size
        learn = batches(lesson.reader, tiles, batch_size=size, augment_seed=(settings.seed, epoch))
        yield learn, batches(lesson.reader, lesson.validation, batch_size=size)


if __name__ == "__main__":
    sys.exit(main())
