"""The main job on the embedded default: a simulated valley whose law is known, so that skill has a ceiling."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from headscarp.core.stack import open_stack, write_stack
from headscarp.nets.batch import Batch
from headscarp.report.run import RunPlan, RunResult, run_stack, start_folder
from headscarp.sources.world import simulate_valley
from headscarp.train.config import FitConfig

NETS = ("prevalence", "slope", "llr", "nn", "sacnn")
LAW = "law"


class LawPredictor:
    """The law that the landslides were drawn from, as a predictor: nobody can do better on average."""

    def __init__(self, law: np.ndarray) -> None:
        self.law = law

    def __call__(self, batch: Batch) -> np.ndarray:
        found = np.zeros((len(batch.tiles), *batch.x.shape[-2:]), np.float32)
        for plane, tile in zip(found, batch.tiles, strict=True):
            inside = tile.read_window.clip(self.law.shape)
            row, col = inside.row - tile.read_window.row, inside.col - tile.read_window.col
            plane[row : row + inside.height, col : col + inside.width] = self.law[inside.slices]
        return found


def run_demo(
    out: str | Path, *, seed: int = 0, workers: int | None = None, resume: bool = False, overwrite: bool = False
) -> RunResult:
    """Simulates a valley and does the whole job on it in the folder `out`."""
    out = start_folder(out, resume=resume, overwrite=overwrite)
    valley = simulate_valley(seed=seed)
    if not (out / "stack.zarr").exists():
        write_stack(valley.stack, out / "stack.zarr")
    plan = RunPlan(
        title="A valley that does not exist: susceptibility, end to end",
        net="sacnn",
        nets=NETS,
        split_options={"block_size_m": 1000.0, "seed": seed},
        configs=demo_configs(seed),
        ceiling=LAW,
        lead=(
            "The valley is simulated and its landslides are drawn from a known physical law, so the last row of the "
            "table, the law itself, is the best that any map can reach.",
        ),
    )
    result = run_stack(
        open_stack(out / "stack.zarr"),
        out / "stack.zarr",
        out,
        plan,
        known={LAW: LawPredictor(valley.law)},
        workers=workers,
    )
    return result


def demo_configs(seed: int) -> dict[str, FitConfig]:
    """Settings that let five nets train on both splits in minutes on two cores."""
    quick = FitConfig(seed=seed, epochs=8, learning_rate=0.03, tile_px=128, batch_size=4, sampling="uniform")
    deep = replace(quick, epochs=16, learning_rate=0.002, context_px=32, net_arguments={"dropout": 0.1})
    return {"": quick, "sacnn": deep}
