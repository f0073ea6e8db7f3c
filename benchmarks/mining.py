"""A mining dossier for 1,000 simulated pairs of 48 x 48 cells with six bands: pairs per second, and memory.

    python benchmarks/mining.py

Pairs are made from three planted laws (a pit, a burn, nothing), a small `flow` learns them for one epoch, and
`headscarp mining` measures, ranks and writes a page for each: three tasks, eight futures each. Fails (exit 1) where
1,000 pairs take more than 100 MB above what 200 take, or where a run that is resumed measures anything again. Set
HEADSCARP_BENCH_PAIRS for another number of pairs.
"""

import os
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np
from _bench import describe_machine, peak_memory_of, print_table, timed, verdict

from headscarp.assemble.domain_recipe import domains_recipe_from_dict
from headscarp.assemble.domains import build_domains
from headscarp.cli import main as command
from headscarp.train.config import FitConfig
from headscarp.train.fit import fit

PAIRS = int(os.environ.get("HEADSCARP_BENCH_PAIRS", "1000"))
FEWER = max(40, PAIRS // 5)
MARGIN_MB = 100.0
BANDS = ("blue", "green", "red", "nir", "swir1", "swir2")
GREEN, PIT, BURN = (
    (300, 500, 400, 3000, 1500, 700),
    (900, 1400, 2000, 2600, 3500, 3000),
    (300, 400, 500, 900, 1200, 1100),
)
SIDE, LEARN, FUTURES = 48, 48, 8


def main() -> int:
    print(f"mining dossiers of {PAIRS} pairs, {SIDE} x {SIDE} cells; {describe_machine()}")
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        few, many = (build(home / f"{count}", count) for count in (FEWER, PAIRS))
        config = FitConfig(epochs=1, batch_size=16, workers=1, net_arguments={"base": 16})
        fit(few, net="flow", out=home / "flow", config=config)
        rows, memory = [], {}
        for stack, count in ((few, FEWER), (many, PAIRS)):
            out = home / f"evidence-{count}"
            found = peak_memory_of(dossiers, home / "flow", stack, out, False)
            memory[count] = found["peak_bytes"] / 1e6
            rows.append(
                {
                    "pairs": count,
                    "measured": count + LEARN,
                    "measured per s": (count + LEARN) / found["wall_s"],
                    "per CPU s": (count + LEARN) / found["cpu_s"],
                    "MB": memory[count],
                }
            )
        print_table(rows, title="scores, ranks, pages, index and GeoJSON, files and all")
        journal = (home / f"evidence-{PAIRS}" / ".scores.journal").read_bytes()
        again_s = timed(lambda: peak_memory_of(dossiers, home / "flow", many, home / f"evidence-{PAIRS}", True))[0]
        same = (home / f"evidence-{PAIRS}" / ".scores.journal").read_bytes() == journal
    grown = memory[PAIRS] - memory[FEWER]
    return verdict(
        [
            (
                f"memory grows by at most {MARGIN_MB:g} MB from {FEWER} to {PAIRS} pairs: {grown:+.0f}",
                grown <= MARGIN_MB,
            ),
            (f"what is finished is kept: resumed in {again_s:.0f} s, nothing measured again", same),
        ]
    )


def dossiers(bundle: Path, stack: Path, out: Path, resume: bool) -> None:
    """`headscarp mining`, in this process."""
    words = ["mining", bundle, stack, "--out", out, "--samples", FUTURES, *(["--resume"] if resume else [])]
    sys.argv = ["headscarp", "-q", *map(str, words)]
    try:
        command()
    except SystemExit as done:
        if done.code:
            raise RuntimeError(f"headscarp mining ended with {done.code}") from done


def build(home: Path, count: int) -> Path:
    """A stack of so many pairs to rank, and LEARN more to learn from and to fit on."""
    home.mkdir()
    rng = np.random.default_rng(0)
    lines = ["sample_id,category,longitude,latitude,t0_start,t0_end,t1_start,t1_end"]
    for part, size in (("train", 2 * LEARN), ("test", count)):
        kind = rng.integers(0, 3, size)
        x = np.array(GREEN)[:, None, None] + rng.normal(0, 80, (size, 2, len(BANDS), SIDE, SIDE))
        for i, k in enumerate(kind):
            row, col, side = *rng.integers(0, SIDE - 20, 2), int(rng.integers(8, 20))
            if k < 2:
                x[i, 1, :, row : row + side, col : col + side] += (np.array((PIT, BURN)[k]) - GREEN)[:, None, None]
        ids = [f"{part}_{i}" for i in range(size)]
        with h5py.File(home / f"{part}.h5", "w") as file:
            file["sample_id"], file["x"] = np.array(ids, "S20"), np.maximum(x, 1).astype(np.int16)
        for one, k in zip(ids, kind, strict=True):
            place = f"{rng.uniform(-70, -50):.4f},{rng.uniform(-12, 2):.4f}"
            lines.append(f"{one},{('pit', 'burn', 'quiet')[k]},{place},2019-01-01,2019-12-31,2021-01-01,2021-12-31")
    (home / "places.csv").write_text("\n".join(lines) + "\n")
    table = {
        "table": "places.csv",
        "bands": list(BANDS),
        "scale": 0.0001,
        "validation_share": 0.5,
        "tasks": {"pit": "mining", "burn": "construction", "quiet": "no_change"},
        "files": [{"images": f"{part}.h5", "part": part} for part in ("train", "test")],
    }
    recipe = domains_recipe_from_dict({"name": "bench", "pairs": table}, folder=home)
    build_domains(recipe, home / "pairs.zarr", workers=2)
    return home / "pairs.zarr"


if __name__ == "__main__":
    sys.exit(main())
