"""Infinite-slope Monte Carlo, against LandslideProbability of landlab on the same cells and distributions.

    python -m venv landlab && landlab/bin/pip install "landlab==2.9.2"
    python benchmarks/slope.py --peer landlab/bin/python

landlab runs in an environment of its own; only `calculate_landslide_probability` is timed there, and its first run of a
few cells is left out. Same slopes, areas, ranges (its own: friction -18 / +32 %, depth and transmissivity -30 /
+10 %) and 250 draws a cell; ours on a grid 100 times as large, per cell. landlab draws recharge once for
all cells, so its mean over the map moves with the seed: three seeds are run. Fails (exit 1) where ours is less than 100
times as fast a cell on one core, where the means over the cells differ by more than 0.005, or
where single cells differ by more than 5 standard errors of shares of 250 draws.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from _bench import describe_machine, print_table, verdict

from headscarp.terrain.stability import WATER_KN_PER_M3, Soil, failure_probability

SIDE, DRAWS, BAR = 120, 250, 100.0
COHESION_PA, FRICTION_DEG, DEPTH_M, T_M2 = (1000.0, 3000.0, 8000.0), 32.0, 1.2, 30.0
RECHARGE_MM = (20.0, 120.0)

PEER = """
import json, sys, time
from pathlib import Path
import numpy as np
from landlab import RasterModelGrid
from landlab.components.landslides import LandslideProbability
folder, draws = Path(sys.argv[1]), int(sys.argv[2])
tangent, area = np.load(folder / "tangent.npy"), np.load(folder / "area.npy")
told = json.loads(sys.argv[3])
def run(rows, seed):
    grid = RasterModelGrid((rows, tangent.shape[1]), 10.0)
    n = grid.number_of_nodes
    def put(name, values):
        grid.at_node[name] = np.broadcast_to(np.asarray(values, float), n).copy()
    put("topographic__slope", tangent[:rows].ravel())
    put("topographic__specific_contributing_area", area[:rows].ravel())
    put("soil__transmissivity", told["t"])
    for key, value in zip(("minimum", "mode", "maximum"), told["c"]):
        put(f"soil__{key}_total_cohesion", value)
    put("soil__internal_friction_angle", told["phi"])
    put("soil__density", 2000.0)
    put("soil__thickness", told["z"])
    put("soil__saturated_hydraulic_conductivity", 0.0)  # so that transmissivity is drawn for itself
    made = LandslideProbability(grid, number_of_iterations=draws, groundwater__recharge_distribution="uniform",
        groundwater__recharge_min_value=told["r"][0], groundwater__recharge_max_value=told["r"][1], seed=seed)
    before = time.perf_counter()
    made.calculate_landslide_probability()
    took = time.perf_counter() - before
    return took, grid.core_nodes.size, grid.at_node["landslide__probability_of_failure"].reshape(rows, -1)
run(4, 1)
runs = [run(tangent.shape[0], seed) for seed in range(1, 4)]
np.save(folder / "found.npy", np.stack([found for _, _, found in runs]))
print(json.dumps({"seconds": sorted(took for took, _, _ in runs)[1], "cells": int(runs[0][1])}))
"""


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--peer", type=Path, required=True, help="the interpreter of an environment with landlab")
    told = arguments.parse_args()
    print(f"infinite slopes, {DRAWS} draws a cell; {describe_machine()}")
    rng = np.random.default_rng(0)
    slope = rng.uniform(15.0, 50.0, (SIDE, SIDE)).astype(np.float32)
    area = np.exp(rng.uniform(2.3, 6.0, slope.shape)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "tangent.npy", np.tan(np.radians(slope.astype(np.float64))))
        np.save(Path(folder) / "area.npy", area.astype(np.float64))
        soil = json.dumps({"c": COHESION_PA, "phi": FRICTION_DEG, "z": DEPTH_M, "t": T_M2, "r": RECHARGE_MM})
        words = [told.peer, "-W", "ignore", "-c", PEER, folder, str(DRAWS), soil]
        peer = json.loads(subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])
        theirs = np.load(Path(folder) / "found.npy")[:, 1:-1, 1:-1]
    ours = ours_of(slope, area)[1:-1, 1:-1]
    large, large_area = np.tile(slope, (10, 10)), np.tile(area, (10, 10))
    times = []
    for _ in range(5):
        before = time.perf_counter()
        failure_probability(large, large_area, soil_of(), draws=DRAWS, threads=1)
        times.append(time.perf_counter() - before)
    ours_us, theirs_us = 1e6 * sorted(times)[2] / large.size, 1e6 * peer["seconds"] / peer["cells"]
    each = theirs.mean(axis=(1, 2))  # of a seed, all whose cells share their draws of recharge
    error = float(each.std(ddof=1) / np.sqrt(len(each)))
    p = np.clip((ours + theirs.mean(axis=0)) / 2, 1 / DRAWS, 1 - 1 / DRAWS)
    apart = np.abs(ours - theirs.mean(axis=0)) / np.sqrt((1 + 1 / len(each)) * p * (1 - p) / DRAWS)
    rows = [
        {"side": "landlab 2.9.2", "microseconds a cell": theirs_us, "mean probability": float(theirs.mean())},
        {"side": "headscarp, one core", "microseconds a cell": ours_us, "mean probability": float(ours.mean())},
    ]
    print_table(rows, title=f"{peer['cells']} cells of landlab, {large.size} of ours (median of 5)")
    ratio, gap = theirs_us / ours_us, float(abs(ours.mean() - theirs.mean()))
    return verdict(
        [
            (f"at least {BAR:g} times as fast: {ratio:.0f}", ratio >= BAR),
            (
                f"mean probabilities differ by at most 0.005: {gap:.4f} (standard error of its seeds {error:.4f})",
                gap <= 0.005,
            ),
            (
                f"cells differ by at most 5 standard errors: {apart.max():.1f}, at the median {np.median(apart):.2f}",
                float(apart.max()) <= 5.0,
            ),
        ]
    )


def soil_of() -> Soil:
    """The distributions of landlab, whose mode is told and whose ends are shares of it; cohesion in kPa.

    landlab takes depth across the soil and lets water be half as heavy as soil.
    """
    return Soil(
        cohesion_kpa=tuple(c / 1000 for c in COHESION_PA),
        friction_deg=(0.82 * FRICTION_DEG, FRICTION_DEG, 1.32 * FRICTION_DEG),
        depth_m=(0.7 * DEPTH_M, DEPTH_M, 1.1 * DEPTH_M),
        transmissivity_m2_per_day=(0.7 * T_M2, T_M2, 1.1 * T_M2),
        recharge_m_per_day=(RECHARGE_MM[0] / 1000, sum(RECHARGE_MM) / 2000, RECHARGE_MM[1] / 1000),
        weight_kn_per_m3=2 * WATER_KN_PER_M3,
    )


def ours_of(slope: np.ndarray, area: np.ndarray) -> np.ndarray:
    """Ours, a band of slopes at a time: our depth is vertical, so that of landlab is divided by the cosine."""
    out = np.empty(slope.shape, np.float32)
    degrees = np.floor(slope * 10) / 10 + 0.05
    soil = soil_of()
    for degree in np.unique(degrees):
        there = degrees == degree
        tilt = float(np.cos(np.radians(degree)))
        depth = tuple(d / tilt for d in soil.depth_m)
        upright = Soil(**{**vars(soil), "depth_m": depth})
        out[there] = failure_probability(
            np.ascontiguousarray(slope[there])[None], area[there][None], upright, draws=DRAWS, seed=int(10 * degree)
        )[0]
    return out


if __name__ == "__main__":
    sys.exit(main())
