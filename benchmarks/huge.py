"""An image as large as the largest that was mapped, 43008 x 36864 px, without labels, to polygons; killed and resumed.

    python benchmarks/huge.py                                    # two strips: the peak of memory knows no height
    python benchmarks/huge.py --full --folder /data/huge         # the whole: 40 GB of disk while it runs
    python benchmarks/huge.py --full --folder /data/huge --minutes 8    # in pieces: the same command goes on

An image of three bands is simulated onto disk, and an `anomaly` net with a small trunk learns from a corner of it. Then
the commands `headscarp predict` and `headscarp vectorize` run as a user runs them, each in a process of its own, whose
peak of resident memory is told, imports included. Each is killed with SIGKILL in the middle and goes on with --resume.
With --minutes the work is also killed when the time is up. Mpx/s counts pixels of the map over the whole of predict.
The share of the matrix peak counts multiplications and additions of the net's layers over all pixels they ran on,
context included, against a large matrix product in float32 measured here, on all cores.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _bench import describe_machine, print_table, verdict
from _image import write_image
from torch.utils.flop_counter import FlopCounterMode
from veneto import matrix_peak

from headscarp.core.bundle import open_bundle
from headscarp.core.machine import cores
from headscarp.core.provenance import read_made
from headscarp.nets import net_from_bundle
from headscarp.nets.batch import Batch
from headscarp.prediction.blockwork import aligned_tiles
from headscarp.tiles.tiling import halo_of
from headscarp.train.config import FitConfig
from headscarp.train.fit import fit

FULL, STRIPS, BANDS = (43008, 36864), ((6144, 6144), (18432, 6144)), 3
PEAK_BYTES, FLAT, TIME_IS_UP = 2e9, 1.1, 3


def main() -> int:
    options = _options()
    print(describe_machine())
    shapes = [(options.height or FULL[0], options.width or FULL[1])] if options.full or options.height else STRIPS
    until = time.monotonic() + 60 * options.minutes if options.minutes else None
    rows = []
    with tempfile.TemporaryDirectory(prefix="headscarp-") as temporary:
        for shape in shapes:
            folder = Path(options.folder or temporary) / f"{shape[0]}x{shape[1]}"
            _check_disk(folder, shape)
            found = to_polygons(folder, shape, options, until)
            if found is None:
                print(f"  time is up; the same command goes on from {folder}")
                return TIME_IS_UP
            rows.append(found)
            if not options.keep:
                shutil.rmtree(folder)
    print_table(rows, title=f"huge, anomaly with a base of {options.base} channels, {cores()} threads")
    peaks = [row["peak GB"] for row in rows]
    bars = [
        (f"{row['image']}: under {PEAK_BYTES / 1e9:g} GB: {row['peak GB']:.2f}", row["peak GB"] < 2) for row in rows
    ]
    if len(peaks) > 1:
        bars.append(
            (f"memory flat: {peaks[1] / peaks[0]:.2f} times that of the lower strip", peaks[1] <= FLAT * peaks[0])
        )
    return verdict(bars)


def to_polygons(folder: Path, shape: tuple[int, int], options: argparse.Namespace, until: float | None):
    """A row of the table; None where the time was up before the polygons were there."""
    stack, bundle = folder / "image.zarr", folder / "anomaly"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "simulated").exists():
        shutil.rmtree(stack, ignore_errors=True)
        before = time.perf_counter()
        write_image(stack, shape, bands=BANDS, workers=cores())
        (folder / "simulated").touch()
        print(f"  {shape[0]} x {shape[1]} simulated in {time.perf_counter() - before:.0f} s")
    if not (bundle / "bundle.json").exists():
        corner = write_image(folder / "corner.zarr", (768, 768), bands=BANDS)
        config = FitConfig(epochs=options.epochs, tile_px=128, net_arguments={"base": options.base})
        fit(corner, net="anomaly", out=bundle, config=config, overwrite=True)
    blocks = -(-shape[0] // options.block_px) * -(-shape[1] // options.block_px)
    map_path, polygons = folder / "map.tif", folder / "slides.gpkg"
    words = ["predict", bundle, stack, "--out", map_path, "--block-px", options.block_px, "--workers", cores()]
    if not run_killed(folder, "predict", words, folder / ".map.tif.journal", blocks // 2, until):
        return None
    words = ["vectorize", map_path, "--out", polygons, "--min-area-m2", 5, "--workers", cores()]
    drawn = -(-shape[0] // 2048) * -(-shape[1] // 2048)
    if not run_killed(folder, "vectorize", words, folder / ".slides.gpkg.pieces" / "journal.jsonl", drawn // 2, until):
        return None
    spent = {name: json.loads((folder / f"{name}.json.spent").read_text()) for name in ("predict", "vectorize")}
    operations, peak = net_operations(bundle, shape, options.block_px), matrix_peak("float32")
    seconds = spent["predict"]["seconds"]
    return {
        "image": f"{shape[0]} x {shape[1]}",
        "predict min": seconds / 60,
        "vectorize min": spent["vectorize"]["seconds"] / 60,
        "starts": f"{spent['predict']['starts']} + {spent['vectorize']['starts']}",
        "Mpx/s": np.prod(shape) / seconds / 1e6,
        "share of matrix peak": operations / seconds / peak,
        "peak GB": max(s["peak_bytes"] for s in spent.values()) / 1e9,
        "predict GB": spent["predict"]["peak_bytes"] / 1e9,
        "polygons": read_made(polygons)["settings"]["polygons"],
    }


def run_killed(folder: Path, name: str, words: list[Any], journal: Path, blocks: int, until: float | None) -> bool:
    """Runs a command, kills it when so many blocks are finished, and lets it go on; whether it came to its end.

    What was spent, over all starts, stands in `<name>.json.spent`, and so is whether the kill lies behind.
    """
    record = folder / f"{name}.json.spent"
    spent = {"seconds": 0.0, "peak_bytes": 0, "starts": 0, "killed": False, "done": False}
    spent = json.loads(record.read_text()) if record.exists() else spent
    while not spent["done"]:
        left = until - time.monotonic() if until else 1e9
        if left < 10:
            return False
        command = [sys.executable, "-m", "headscarp", "--quiet", *words, "--resume"]
        launch = [
            sys.executable,
            "-S",
            "-c",
            _LAUNCHER,
            journal,
            0 if spent["killed"] else max(blocks, 1),
            left,
            *command,
        ]
        done = subprocess.run([str(word) for word in launch], check=True, stdout=subprocess.PIPE, text=True)
        found = json.loads(done.stdout.splitlines()[-1])
        if found["code"] not in (0, -9):
            raise SystemExit(f"{name} ended with exit code {found['code']}")
        spent = {
            "seconds": spent["seconds"] + found["seconds"],
            "peak_bytes": max(spent["peak_bytes"], found["peak_bytes"]),
            "starts": spent["starts"] + 1,
            "killed": spent["killed"] or found["blocks"] >= blocks,
            "done": found["code"] == 0,
        }
        record.write_text(json.dumps(spent))
        print(
            f"  {name}: {'done' if spent['done'] else 'killed'} at {found['blocks']} blocks, {found['seconds']:.0f} s"
        )
    return True


def net_operations(bundle: Path, shape: tuple[int, int], block_px: int) -> float:
    """Floating-point operations of the net's layers over all blocks with their context."""
    net = net_from_bundle(open_bundle(bundle)).eval()
    side = 16 * net.align
    batch = Batch(torch.zeros(1, len(net.bands), side, side), torch.ones(1, side, side, dtype=torch.bool))
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        net.trunk(net.first(net.encode(batch.x)))
    tiles = aligned_tiles(shape, block_px, halo_of(net), net.align)
    pixels = sum(tile.read_window.height * tile.read_window.width for tile in tiles)
    return counter.get_total_flops() / side**2 * pixels


_LAUNCHER = """
import json, os, resource, signal, subprocess, sys, time
journal, blocks, left = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
finished = lambda: open(journal, "rb").read().count(b"\\n") - 1 if os.path.exists(journal) else 0
before, process, seen = time.perf_counter(), subprocess.Popen(sys.argv[4:], stdout=subprocess.DEVNULL), 0
while process.poll() is None:
    time.sleep(0.05)
    seen = max(seen, finished())
    if (blocks and seen >= blocks) or time.perf_counter() - before > left:
        process.send_signal(signal.SIGKILL)
        process.wait()
used = resource.getrusage(resource.RUSAGE_CHILDREN)
peak = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
print(json.dumps(dict(code=process.returncode, seconds=time.perf_counter() - before, peak_bytes=peak, blocks=seen)))
"""


def _check_disk(folder: Path, shape: tuple[int, int]) -> None:
    """The image at worst, the work file and the map: 25 bytes a pixel."""
    there = folder
    while not there.exists():
        there = there.parent
    free, needed = shutil.disk_usage(there).free, 0 if (folder / "simulated").exists() else 25 * int(np.prod(shape))
    if free < needed:
        raise SystemExit(
            f"{there} has {free / 1e9:.0f} GB free and {needed / 1e9:.0f} are needed; give another --folder"
        )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="the whole image instead of two strips")
    parser.add_argument("--height", type=int, help="rows of one image of another size")
    parser.add_argument("--width", type=int, help="its columns")
    parser.add_argument("--base", type=int, default=4, help="channels of the net's first stage")
    parser.add_argument("--epochs", type=int, default=4, help="of its training on a corner")
    parser.add_argument("--block-px", type=int, default=1024)
    parser.add_argument("--minutes", type=float, help="stop by then; the same command goes on")
    parser.add_argument("--folder", help="where image, map and polygons are kept until all is done")
    parser.add_argument("--keep", action="store_true", help="do not delete them then")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
