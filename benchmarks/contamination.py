"""How much landslide may be in what an anomaly net learns as normal? Average precision against contamination.

The same number of training tiles each time: so many without any landslide, the others those that are covered most, so
that landslides have the wanted share of all their pixels. Labels choose the tiles and judge, and nothing else: the net
sees none. Everything else stays the same: steps, seeds, the tiles that ranks are settled on, and the test part.

Without a stack, on a simulated county. On chips: python benchmarks/contamination.py chips.zarr --out curve/
"""

import argparse
import csv
import sys
import tempfile
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path

import numpy as np
import xarray as xr
from _bench import describe_machine, print_table
from matplotlib.figure import Figure

from headscarp.core.samples import stack_resolution_m
from headscarp.core.stack import feature_bands
from headscarp.evaluation.evaluate import Evaluation, evaluate_predictor
from headscarp.evaluation.scoring import NetPredictor
from headscarp.nets import make_net
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
    parser.add_argument("--levels", default="0,5,10,20,30,50", help="per cent of landslide in the training tiles")
    parser.add_argument("--tiles", type=int, default=512, help="training tiles of each level")
    parser.add_argument("--tile-px", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each level; the table has their means")
    parser.add_argument("--out", type=Path, default=Path("contamination"))
    options = parser.parse_args()
    levels = [float(word) / 100 for word in options.levels.split(",")]
    print(describe_machine())
    with tempfile.TemporaryDirectory() as folder:
        stack = options.stack or simulated()
        ground = open_ground(stack, None, cache=Path(folder) / "cache")
        config = FitConfig(epochs=options.epochs, tile_px=options.tile_px, sampling="uniform")
        found = curve(ground, levels, config, tiles=options.tiles, seeds=options.seeds)
    write(found, ground, options.out)
    return 0


def simulated() -> xr.Dataset:
    """A county whose slides are younger than 20 years; fresh are those of the last one."""
    county = simulate_county(3, count=420, ages_years=(0.05, 20.0), until=date(2019, 6, 1))
    return clear_look(county, datetime(2019, 6, 1))


def curve(
    ground: Ground, levels: list[float], config: FitConfig, *, tiles: int, seeds: int
) -> list[tuple[float, Mixture, list[Evaluation]]]:
    """(level asked for, what it was trained on, an evaluation of the test part for each seed)."""
    lesson = lesson_of(ground, config)
    size = lesson.training[0].window.height
    shares = tile_positives(ground.stack, lesson.training, split=ground.split) / size**2
    found = []
    for level in levels:
        mixture = mix(shares, level, tiles)
        runs = [trained(ground, lesson, mixture, replace(config, seed=seed)) for seed in range(seeds)]
        found.append((level, mixture, runs))
        print(
            f"{level:.0%} asked for, {mixture.share:.1%} of the pixels: "
            f"average precision {np.mean([run.value('average_precision').value for run in runs]):.4f}",
            flush=True,
        )
    return found


def lesson_of(ground: Ground, config: FitConfig) -> Lesson:
    """All tiles of the ground, as for a training of `anomaly`."""
    return make_lesson(ground, new_net(ground), config)


def new_net(ground: Ground):  # type: ignore[no-untyped-def]
    """contamination = 1: no tile is left out for what labels say."""
    bands = feature_bands(ground.stack)
    statistics = training_statistics(with_all_counted(ground.stack), ground.split, bands, workers=2)
    return make_net(
        "anomaly",
        bands,
        resolution_m=stack_resolution_m(ground.stack),
        statistics=statistics,
        arguments={"contamination": 1.0},
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


def trained(ground: Ground, lesson: Lesson, mixture: Mixture, config: FitConfig) -> Evaluation:
    """A net that has learned these tiles, judged on the test part."""
    import torch

    torch.manual_seed(config.seed)
    net = new_net(ground)
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


def write(found: list[tuple[float, Mixture, list[Evaluation]]], ground: Ground, out: Path) -> None:
    """contamination.csv and contamination.png, and the table on the terminal."""
    rows = []
    for level, mixture, runs in found:
        row = {"asked for": level, "landslide pixels": mixture.share, "tiles with landslides": mixture.covered}
        row |= {"tiles": len(mixture.tiles)}
        for metric in METRICS:
            values = [run.value(metric) for run in runs]
            row |= {metric: float(np.mean([v.value for v in values]))}
            row |= {f"{metric} low": float(np.mean([v.low for v in values]))}
            row |= {f"{metric} high": float(np.mean([v.high for v in values]))}
        rows.append(row)
    prevalence = found[0][2][0].value("prevalence").value
    out.mkdir(parents=True, exist_ok=True)
    with (out / "contamination.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    shown = [{k: v for k, v in row.items() if " low" not in k and " high" not in k} for row in rows]
    print_table(shown, title=f"anomaly on the test part; a constant has average precision {prevalence:.4f}")
    save_figure(figure(rows, prevalence), out / "contamination.png")
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
