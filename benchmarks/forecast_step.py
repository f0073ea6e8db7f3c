"""The training step of the forecast net beside a ConvLSTM of as many weights, by number of frames; its loop beside
bare torch; and how long training waits for data.

    python benchmarks/forecast_step.py

Random frames of six places a step, t = 6, 12 and 24 of them. The ConvLSTM is the same net with another encoder
(`encoder = "convlstm"`), as wide as gives the same number of weights; `stills` stands beside both. One torch thread,
the encoders in turn. Then an epoch on simulated places: the loop has Fabric, progress, the watch over the loss,
TensorBoard, history and a checkpoint; the bare one has forward, backward, clipping and step, reads through the same
reader, and both validate and settle in the same way. Fails when the step is not faster than the ConvLSTM's, when its
cost is not linear in t, when the loop costs more than 1.02 times the bare one, or when their weights differ.
"""

import argparse
import copy
import logging
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from _bench import alternate, describe_machine, print_table, timed, verdict

from headscarp.assemble.domain_recipe import domains_recipe_from_dict
from headscarp.assemble.domains import build_domains
from headscarp.core.band import Band
from headscarp.core.domains import CAUSES, domain_bands
from headscarp.nets import make_net
from headscarp.nets.batch import Batch
from headscarp.nets.metadata import FEATURES
from headscarp.nets.net import Net, Statistics, losses_and_prediction
from headscarp.tiles.dataset import cache_stack
from headscarp.tiles.sampling import batches
from headscarp.tiles.splits import SPLITS
from headscarp.train.config import FitConfig, Settings
from headscarp.train.devices import start_fabric
from headscarp.train.lesson import Ground, Lesson, drawn_tiles, make_lesson
from headscarp.train.log import EpochLog
from headscarp.train.loop import train
from headscarp.train.stage import trained_net

FRAMES = (6, 12, 24)
PLACES, SIDE_PX, CHANNELS = 6, 32, 24
LINEAR, LOOP_BAR = 2.2, 1.02
CONFIG = FitConfig(
    epochs=1,
    tile_px=SIDE_PX,
    batch_size=16,
    schedule="halve",
    average=0.0,
    patience=9,
    workers=1,
    net_arguments={"place_px": SIDE_PX, "metadata": "weather"},
)


def main() -> int:
    options = _options()
    logging.getLogger("headscarp").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    print(describe_machine())
    rows, bars = steps(options.rounds)
    print_table(rows, title=f"a training step of {PLACES} places of {SIDE_PX} px, CPU ms, one thread")
    with tempfile.TemporaryDirectory() as folder:
        row, found = loops(Path(folder), options)
    print_table([row], title="an epoch on simulated places, one torch thread, CPU s")
    return verdict(bars + found)


def steps(rounds: int) -> tuple[list[dict[str, object]], list[tuple[str, bool]]]:
    """The table of steps, and whether it holds what was asked."""
    ours = a_net("ltae", CHANNELS)
    rival = min(
        (a_net("convlstm", channels) for channels in range(4, 33, 4)), key=lambda net: abs(weights(net) - weights(ours))
    )
    nets = {"ltae": ours, "convlstm": rival, "stills": a_net("stills", CHANNELS)}
    ms: dict[str, list[float]] = {name: [] for name in nets}
    for frames in FRAMES:
        batch = a_batch(ours.bands, frames)
        jobs = {name: _step(net, batch) for name, net in nets.items()}
        for job in jobs.values():
            job()
        drawn = [{name: timed(job)[1] for name, job in jobs.items()} for _ in range(rounds)]
        for name in nets:
            ms[name].append(1e3 * float(np.median([one[name] for one in drawn])))
    rows = [
        {"encoder": name, "weights": weights(net), **{f"t = {t}": v for t, v in zip(FRAMES, ms[name], strict=True)}}
        for name, net in nets.items()
    ]
    faster = [a / b for a, b in zip(ms["ltae"], ms["convlstm"], strict=True)]
    growth = [b / a for a, b in zip(ms["ltae"], ms["ltae"][1:], strict=False)]
    alike, told = weights(rival) / weights(ours), [", ".join(f"{v:.2f}" for v in of) for of in (faster, growth)]
    return rows, [
        (f"as many weights within a tenth: {alike:.2f}", abs(alike - 1) < 0.1),
        (f"faster than the ConvLSTM: {told[0]} of its time", max(faster) < 1),
        (f"linear in t: twice the frames take {told[1]} times as long", max(growth) <= LINEAR),
    ]


def a_net(encoder: str, channels: int) -> Net:
    torch.manual_seed(0)
    bands = tuple(band for band in domain_bands("benchmark") if band.is_feature)
    scales = {band.name: 1.0 for band in bands if band.kind == "continuous"}
    statistics = Statistics(dict.fromkeys(scales, 0.0), scales)
    arguments = {"place_px": SIDE_PX, "channels": channels, "encoder": encoder, "drop_frames": 0.0}
    return make_net("forecast", bands, resolution_m=30, statistics=statistics, arguments=arguments).train()


def weights(net: Net) -> int:
    return sum(p.numel() for p in net.parameters())


def a_batch(bands: tuple[Band, ...], frames: int) -> Batch:
    """Random frames with events at every second place."""
    rng = np.random.default_rng(0)
    x = rng.normal(0, 1, (PLACES, frames, len(bands), SIDE_PX, SIDE_PX)).astype(np.float32)
    return Batch(
        x=torch.from_numpy(x),
        valid=torch.ones(PLACES, SIDE_PX, SIDE_PX, dtype=torch.bool),
        y=torch.from_numpy((rng.random((PLACES, SIDE_PX, SIDE_PX)) < 0.03).astype(np.uint8)),
        days=-torch.arange(frames, 0, -1, dtype=torch.float32).expand(PLACES, frames) * 9,
        present=torch.ones(PLACES, frames, dtype=torch.bool),
        metadata=torch.from_numpy(rng.normal(0, 1, (PLACES, frames, len(FEATURES))).astype(np.float32)),
        event_days=torch.tensor([12.0, float("inf")] * (PLACES // 2)),
        causes=torch.ones(PLACES, len(CAUSES), dtype=torch.uint8),
    )


def _step(net: Net, batch: Batch) -> Callable[[], None]:
    optimiser = torch.optim.Adam(net.parameters(), 1e-4, fused=True)

    def step() -> None:
        optimiser.zero_grad()
        sum(net.losses(batch).values()).backward()  # type: ignore[union-attr]
        optimiser.step()

    return step


def loops(folder: Path, options: argparse.Namespace) -> tuple[dict[str, object], list[tuple[str, bool]]]:
    """The loop beside a bare one: the row, and whether it holds what was asked."""
    told = {"samples_per_region": options.places, "frames": 8, "side_px": SIDE_PX, "regions": ["america", "china"]}
    recipe = domains_recipe_from_dict({"name": "bench", "seed": 1, "simulate": told})
    stack = cache_stack(build_domains(recipe, folder / "domains.zarr"), folder / "cache")
    ground = Ground(stack, SPLITS["regions"](stack, hold_out="china", seed=0))
    fabric = start_fabric(CONFIG)
    new, _ = trained_net(ground, "forecast", replace(CONFIG, epochs=0), fabric=fabric)
    lesson, settings = make_lesson(ground, new, CONFIG), CONFIG.for_loop(type(new).schedule)
    run = [0]

    def loop() -> Net:
        run[0] += 1
        net, here = copy.deepcopy(new), folder / f"run-{run[0]}"
        log = EpochLog(here)
        train(net, lesson, settings, fabric=fabric, folder=here / ".checkpoint", told=log, label="forecast")
        log.close()
        return net

    waits: list[float] = []
    found = alternate(loop, lambda: bare(new, lesson, settings, waits), options.rounds)
    ends = [net.state_dict() for net in (found["a_result"], found["b_result"])]
    apart = max(float((ends[0][key].double() - ends[1][key].double()).abs().max()) for key in ends[0])
    ratio, share = found["cpu_ratio"], float(np.median(waits))
    row = {
        "places": len(lesson.training),
        "loop": found["a_cpu_s"],
        "bare": found["b_cpu_s"],
        "loop / bare, CPU": ratio,
        "wall": found["ratio"],
        "wall share waiting for data": share,
        "rounds": options.rounds,
    }
    return row, [
        (f"{ratio:.3f} x the bare loop, at most {LOOP_BAR}", ratio <= LOOP_BAR),
        (f"the weights of both loops differ by at most 1e-6: {apart:.1e}", apart <= 1e-6),
    ]


def bare(new: Net, lesson: Lesson, settings: Settings, waits: list[float]) -> Net:
    """The shortest loop that gives the same weights after one epoch; waits: gets the share of its steps' time spent
    waiting for the next batch."""
    net = copy.deepcopy(new).train()
    torch.manual_seed(settings.seed * 1_000_003)
    optimiser = torch.optim.Adam(
        net.parameters(), settings.learning_rate, weight_decay=settings.weight_decay, fused=True
    )
    waited, started = [0.0], time.perf_counter()
    read = {"batch_size": settings.batch_size, "workers": settings.workers}
    stream = batches(lesson.reader, drawn_tiles(lesson, settings, 1), augment_seed=(settings.seed, 1), **read)
    for batch in _clocked(stream, waited):
        optimiser.zero_grad()
        sum(net.losses(batch).values()).backward()  # type: ignore[union-attr]
        torch.nn.utils.clip_grad_norm_(net.parameters(), settings.clip_norm)
        optimiser.step()
    waits.append(waited[0] / (time.perf_counter() - started))
    net.eval()
    with torch.no_grad():
        for batch in batches(lesson.reader, lesson.validation, **read):
            net.judged(batch, losses_and_prediction(net, batch)[1])
    net.settle(batches(lesson.reader, lesson.validation, **read))
    return net


def _clocked(stream: Iterable[Batch], waited: list[float]) -> Iterator[Batch]:
    turns = iter(stream)
    while True:
        before = time.perf_counter()
        batch = next(turns, None)
        waited[0] += time.perf_counter() - before
        if batch is None:
            return
        yield batch


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--places", type=int, default=420, help="simulated places of each of two regions")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
