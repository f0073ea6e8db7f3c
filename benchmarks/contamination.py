"""How much landslide may be in what an anomaly net learns as normal? Average precision against contamination.

The same number of training tiles each time: so many without any landslide, the others those that are covered most, so
that landslides have the wanted share of all their pixels. Labels choose the tiles and judge, and nothing else: the net
sees none. Everything else stays the same: steps, seeds, the tiles that ranks are settled on, and the test part.

Without a stack, on a simulated county. On chips: python benchmarks/contamination.py chips.zarr --out curve/
Levels that contamination.csv has already are not measured again with --resume; give the same settings then.
"""

import argparse
import csv
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import partial
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from _bench import describe_machine, print_table
from matplotlib.figure import Figure

from headscarp.core.samples import stack_resolution_m
from headscarp.core.stack import feature_bands
from headscarp.evaluation.evaluate import Evaluation, evaluate_predictor
from headscarp.evaluation.scoring import NetPredictor
from headscarp.nets import make_net
from headscarp.nets.net import Net
from headscarp.report.figures import PALETTE, save_figure
from headscarp.sources.world import clear_look, simulate_county
from headscarp.tiles.sampling import tile_positives
from headscarp.tiles.statistics import training_statistics
from headscarp.tiles.tiling import halo_of, halo_within
from headscarp.train.config import FitConfig
from headscarp.train.devices import start_fabric
from headscarp.train.lesson import Ground, Lesson, make_lesson
from headscarp.train.loop import train
from headscarp.train.stage import open_ground
from headscarp.train.unlabelled import with_all_counted

METRICS = ("average_precision", "auroc", "mean_iou")


@dataclass(frozen=True)
class Mixture:
    """Training tiles of one contamination. tiles: their places in the lesson. share: of landslides in their pixels.

    covered: share of the tiles that hold any.
    """

    tiles: np.ndarray
    share: float
    covered: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stack", nargs="?", type=Path, help="a stack with labels; default: a simulated county")
    parser.add_argument("--levels", default="0,5,10,20,35,50", help="per cent of landslide in the pixels learned from")
    parser.add_argument("--tiles", type=int, default=112, help="training tiles of each level")
    parser.add_argument("--tile-px", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--base", type=int, default=8, help="channels of the first stage")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each level; the table has their means")
    parser.add_argument("--out", type=Path, default=Path("contamination"))
    parser.add_argument("--resume", action="store_true", help="go on with the table in --out")
    options = parser.parse_args()
    levels = [float(word) / 100 for word in options.levels.split(",")]
    print(describe_machine())
    with tempfile.TemporaryDirectory() as folder:
        stack = options.stack or simulated()
        ground = open_ground(stack, None, cache=Path(folder) / "cache")
        config = FitConfig(
            epochs=options.epochs, tile_px=options.tile_px, sampling="uniform", net_arguments={"base": options.base}
        )
        rows = read_rows(options.out) if options.resume else []
        missing = [level for level in levels if level not in [row["asked for"] for row in rows]]
        for row in curve(ground, missing, config, tiles=options.tiles, seeds=options.seeds):
            rows = sorted([*rows, row], key=lambda row: row["asked for"])
            write(rows, options.out)
    show(rows, options.out)
    return 0


def simulated() -> xr.Dataset:
    """A county with 420 slides of the last year, all of them fresh: so many, that they can fill half of the tiles."""
    county = simulate_county(3, count=420, ages_years=(0.05, 1.0), until=date(2019, 6, 1))
    return clear_look(county, datetime(2019, 6, 1))


def curve(
    ground: Ground, levels: list[float], config: FitConfig, *, tiles: int, seeds: int
) -> Iterator[dict[str, float]]:
    """A row of the table for each level: what was learned from, and how good the nets of all seeds are on the test
    part, in means."""
    new_net = net_maker(ground, config)
    lesson = make_lesson(ground, new_net(), config)
    size = lesson.training[0].window.height
    shares = tile_positives(ground.stack, lesson.training, split=ground.split) / size**2
    for level in levels:
        mixture = mix(shares, level, tiles)
        runs = [trained(new_net, ground, lesson, mixture, replace(config, seed=seed)) for seed in range(seeds)]
        row = {"asked for": level, "landslide pixels": mixture.share, "tiles with landslides": mixture.covered}
        row |= {"tiles": len(mixture.tiles), "seeds": seeds, "prevalence": runs[0].value("prevalence").value}
        for metric in METRICS:
            values = [run.value(metric) for run in runs]
            row |= {metric: float(np.mean([v.value for v in values]))}
            row |= {f"{metric} low": float(np.mean([v.low for v in values]))}
            row |= {f"{metric} high": float(np.mean([v.high for v in values]))}
        print(f"{level:.0%} asked for, {mixture.share:.1%} of the pixels: {row[METRICS[0]]:.4f}", flush=True)
        yield row


def net_maker(ground: Ground, config: FitConfig) -> Callable[[], Net]:
    """Makes new nets for this ground. contamination = 1: no tile is left out for what labels say."""
    bands = feature_bands(ground.stack)
    return partial(
        make_net,
        "anomaly",
        bands,
        resolution_m=stack_resolution_m(ground.stack),
        statistics=training_statistics(with_all_counted(ground.stack), ground.split, bands, workers=2),
        arguments={"contamination": 1.0, **config.net_arguments},
    )


def mix(shares: np.ndarray, level: float, count: int) -> Mixture:
    """The most covered tiles, as few as give the level, and tiles without landslide; fewer of both where there are not
    so many. Where even the most covered ones do not reach it, those."""
    clean = np.random.default_rng(0).permutation(np.flatnonzero(shares == 0))
    order = np.argsort(-shares, kind="stable")
    count = min(count, len(clean), int((shares > 0).sum()))
    reached = np.concatenate([[0.0], np.cumsum(shares[order[:count]])]) / count
    covered = min(int(np.searchsorted(reached, level)), count)
    chosen = np.concatenate([order[:covered], clean[: count - covered]])
    return Mixture(chosen, float(shares[chosen].mean()), covered / count)


def trained(
    new_net: Callable[[], Net], ground: Ground, lesson: Lesson, mixture: Mixture, config: FitConfig
) -> Evaluation:
    """A net that has learned these tiles, judged on the test part."""
    torch.manual_seed(config.seed)
    net = new_net()
    own = replace(lesson, training=[lesson.training[i] for i in mixture.tiles], positives=[0] * len(mixture.tiles))
    train(net, own, config.for_loop(net.schedule), fabric=start_fabric(config), label="")
    predictor = NetPredictor(net)
    return evaluate_predictor(
        predictor,
        ground.stack,
        ground.split,
        bands=net.bands,
        halo_px=halo_within(halo_of(net), ground.stack, 512),
        name="anomaly",
        threshold=float(net.own_threshold or 0.5),
        probabilities=False,
        parts=("test",),
        workers=2,
    )


def read_rows(out: Path) -> list[dict[str, float]]:
    """The table that is there already, or none."""
    path = out / "contamination.csv"
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def write(rows: list[dict[str, float]], out: Path) -> None:
    """contamination.csv and contamination.png."""
    out.mkdir(parents=True, exist_ok=True)
    with (out / "contamination.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    save_figure(figure(rows, rows[0]["prevalence"]), out / "contamination.png")


def show(rows: list[dict[str, float]], out: Path) -> None:
    """The table on the terminal."""
    shown = [{k: v for k, v in row.items() if " low" not in k and " high" not in k} for row in rows]
    print_table(shown, title="anomaly on the test part; a constant has the prevalence as its average precision")
    print(f"table and figure in {out}/")


def figure(rows: list[dict], prevalence: float) -> Figure:
    """Average precision and mean IoU over the share of landslides in what was learned, with intervals."""
    made = Figure(figsize=(8.6, 3.6), layout="constrained")
    x = 100 * np.array([row["landslide pixels"] for row in rows])
    floors = {"average_precision": (prevalence, "a constant"), "mean_iou": ((1 - prevalence) / 2, "majority class")}
    for axis, (metric, (floor, name)), colour in zip(made.subplots(1, 2), floors.items(), PALETTE, strict=False):
        value, low, high = (np.array([row[metric + end] for row in rows]) for end in ("", " low", " high"))
        axis.errorbar(x, value, yerr=np.clip([value - low, high - value], 0, None), fmt="o-", capsize=2, color=colour)
        axis.axhline(floor, color="#999999", lw=1, ls="--", label=name)
        axis.set_xlabel("Landslide in the training tiles (% of pixels)")
        axis.set_ylabel(metric.replace("_", " ").replace("iou", "IoU"))
        axis.set_ylim(0, None)
        axis.legend(frameon=False, fontsize=8)
        axis.grid(color="#eeeeee")
    return made


if __name__ == "__main__":
    sys.exit(main())
