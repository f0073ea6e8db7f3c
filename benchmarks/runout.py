"""Runouts from many sources, against the flow kernel of AvaFrame's FlowPy (com4FlowPy) at the same travel angle.

    python -m venv flowpy && flowpy/bin/pip install "avaframe==2.1" "numpy<2"
    python benchmarks/runout.py --peer flowpy/bin/python

AvaFrame needs numpy < 2, so it runs in an environment of its own; only its `calculation` is timed there, on arrays in
memory, without files or processes, imports and a first small call left out. Both sides take the same DEM, the same
source cells and one angle, on one core. Reach is the farthest cell of each source, asked of each source alone. Fails
(exit 1) where ours is less than 50 times as fast, or the reach differs by more than 2 cells at the median.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from _bench import describe_machine, print_table, simulated_dem, verdict

from headscarp.terrain.derive import derive
from headscarp.terrain.runout import runout

SIDE, CELL_M, ANGLE_DEG, SOURCES = 500, 5.0, 25.0, 40
BAR, CELLS = 50.0, 2.0

PEER = """
import json, logging, sys, time
from pathlib import Path
import numpy as np
from avaframe.com4FlowPy.flowCore import calculation
logging.disable(logging.CRITICAL)
folder, angle, cell = Path(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
dem, cells = np.load(folder / "dem.npy"), np.load(folder / "cells.npy")
flags = {"varUmaxBool": False, "varUmaxArray": None, "varAlphaBool": False, "varAlphaArray": None,
         "varExponentBool": False, "varExponentArray": None}
def run(chosen):
    release = np.zeros(dem.shape, np.float32)
    release.ravel()[chosen] = 1
    made = calculation([dem, None, release, angle, 8.0, 3e-4, 8848.0, -9999.0, cell, False, False, flags, False, False,
                        None, None, ["zDelta"], {"relIdBool": False, "relIdArray": None}])
    return made[2] > 0  # how often each cell is hit
run(cells[:1])
times = []
for _ in range(int(sys.argv[4])):
    before = time.perf_counter()
    union = run(cells)
    times.append(time.perf_counter() - before)
np.save(folder / "union.npy", union)
np.save(folder / "each.npy", np.stack([np.packbits(run(np.array([c]))) for c in cells]))
print(json.dumps({"seconds": sorted(times)[len(times) // 2]}))
"""


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--peer", type=Path, required=True, help="the interpreter of an environment with avaframe")
    arguments.add_argument("--rounds", type=int, default=3)
    told = arguments.parse_args()
    print(f"{SOURCES} sources on {SIDE} x {SIDE} cells of {CELL_M:g} m, {ANGLE_DEG:g} degrees; {describe_machine()}")
    dem, cells = ground()
    sources = np.zeros(dem.shape, np.bool_)
    sources.ravel()[cells] = True
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "dem.npy", dem)
        np.save(Path(folder) / "cells.npy", cells)
        words = [told.peer, "-c", PEER, folder, str(ANGLE_DEG), str(CELL_M), str(told.rounds)]
        theirs_s = json.loads(subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout)["seconds"]
        union = np.load(Path(folder) / "union.npy")
        packed = np.load(Path(folder) / "each.npy")
    runout(dem, sources, CELL_M, angle_deg=ANGLE_DEG)
    times = []
    for _ in range(max(5, told.rounds)):
        before = time.perf_counter()
        ours = runout(dem, sources, CELL_M, angle_deg=ANGLE_DEG)
        times.append(time.perf_counter() - before)
    ours_s = sorted(times)[len(times) // 2]
    reach = []
    for k, cell in enumerate(cells):
        alone = np.zeros(dem.shape, np.bool_)
        alone.ravel()[cell] = True
        mask = np.unpackbits(packed[k], count=dem.size).reshape(dem.shape).astype(np.bool_)
        reach.append((farthest(runout(dem, alone, CELL_M, angle_deg=ANGLE_DEG), cell), farthest(mask, cell)))
    far = np.array(reach)
    gap = np.abs(far[:, 0] - far[:, 1])
    overlap = (ours & union).sum() / (ours | union).sum()
    rows = [
        {
            "side": "FlowPy",
            "seconds": theirs_s,
            "cells reached": int(union.sum()),
            "median reach, cells": float(np.median(far[:, 1])),
        },
        {
            "side": "headscarp",
            "seconds": ours_s,
            "cells reached": int(ours.sum()),
            "median reach, cells": float(np.median(far[:, 0])),
        },
    ]
    print_table(rows, title=f"median of the rounds; overlap of what is reached (IoU) {overlap:.2f}")
    ratio = theirs_s / ours_s
    return verdict(
        [
            (f"at least {BAR:g} times as fast: {ratio:.0f}", ratio >= BAR),
            (
                f"reach differs by at most {CELLS:g} cells at the median: {np.median(gap):.1f} "
                f"(9 of 10 by at most {np.quantile(gap, 0.9):.1f}, mean {(far[:, 0] - far[:, 1]).mean():+.1f})",
                float(np.median(gap)) <= CELLS,
            ),
        ]
    )


def ground() -> tuple[np.ndarray, np.ndarray]:
    """A DEM and flat numbers of steep source cells, away from the edge."""
    dem = simulated_dem(SIDE, SIDE, missing=False)
    slope = derive(dem, CELL_M, ["slope"])["slope"]
    steep = np.nan_to_num(slope) > 28.0
    edge = SIDE // 8
    inner = np.zeros_like(steep)
    inner[edge:-edge, edge:-edge] = True
    cells = np.flatnonzero(steep & inner)
    return dem, np.sort(np.random.default_rng(2).choice(cells, SOURCES, replace=False))


def farthest(mask: np.ndarray, cell: int) -> float:
    """Cells from a source to the farthest that is reached."""
    row, col = divmod(int(cell), mask.shape[1])
    y, x = np.nonzero(mask)
    return float(np.hypot(y - row, x - col).max()) if y.size else 0.0


if __name__ == "__main__":
    sys.exit(main())
