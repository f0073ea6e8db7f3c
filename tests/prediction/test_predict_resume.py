"""predict survives: kill -9 at any moment, a full disk, a lost worker; the bytes are those of an undisturbed run."""

import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from headscarp.core.bundle import save_bundle
from headscarp.core.errors import JournalError, OutputError, RecipeError
from headscarp.core.stack import open_stack, write_stack
from headscarp.prediction.raster import predict

RUN = "import sys; from headscarp import predict; predict(*sys.argv[1:4], block_px=512, resume=sys.argv[4] == 'resume')"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.fixture
def saved(world, bundle_of, tmp_path):
    """Paths of a bundle and a stack of nine blocks, and the bytes of the map that they make."""
    stack = world(1050, 1100)
    bundle = save_bundle(bundle_of("sann", stack), tmp_path / "bundle")
    write_stack(stack, tmp_path / "stack.zarr")
    whole = predict(bundle, tmp_path / "stack.zarr", tmp_path / "whole.tif", block_px=512)
    return bundle, tmp_path / "stack.zarr", whole.read_bytes()


def start(bundle, stack, out, how="fresh", code=RUN, **options):
    command = [sys.executable, "-c", code, str(bundle), str(stack), str(out), how]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT, **options)


def finished_blocks(out):
    journal = out.with_name(f".{out.name}.journal")
    return journal.read_bytes().count(b"\n") - 1 if journal.exists() else -1


def changed_at(path):
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def kill_when(process, reached):
    """kill -9 as soon as `reached()`, or not at all where the process was faster."""
    deadline = time.monotonic() + 60
    while process.poll() is None and not reached() and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stderr.close()


def test_kill_at_random_moments_then_resume(saved, tmp_path):
    bundle, stack, wanted = saved
    out = tmp_path / "map.tif"
    rng = random.Random(5)
    for blocks in (0, 2, 6):
        assert not out.exists()
        process = start(bundle, stack, out, "resume" if blocks else "fresh")
        wait = rng.uniform(0, 0.05)
        kill_when(process, lambda blocks=blocks: finished_blocks(out) >= blocks)
        time.sleep(wait)
    assert 6 <= finished_blocks(out) <= 9 or out.exists()
    predict(bundle, stack, out, block_px=512, resume=True)
    assert out.read_bytes() == wanted
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".map.tif")]


@pytest.mark.slow
def test_ten_kills_at_random_moments_then_the_same_bytes(saved, tmp_path):
    """From the first file to the last rename; a run that is faster than its kill is checked, and begun afresh. More
    than ten where all fell on the same two moments."""
    bundle, stack, wanted = saved
    out = tmp_path / "map.tif"
    server = multiprocessing.get_context("forkserver")  # torch is loaded once, not once a run
    server.set_forkserver_preload(["headscarp.prediction.raster"])
    partial = out.with_name(f".{out.name}.partial")
    rng, left = random.Random(11), []
    while len(left) < 10 or (len(set(left)) < 3 and len(left) < 60):
        process = server.Process(target=predict, args=(bundle, stack, out), kwargs={"block_px": 512, "resume": True})
        before = changed_at(partial)
        process.start()
        blocks, deadline = finished_blocks(out) + rng.randint(1, 3), time.monotonic() + 60
        while process.is_alive() and finished_blocks(out) < blocks and time.monotonic() < deadline:
            if changed_at(partial) not in (0, before):
                break
            time.sleep(0.001)
        process.join(rng.uniform(0, 0.05))
        if process.is_alive():
            process.kill()
            left.append(finished_blocks(out))
        process.join()
        if out.exists():
            assert out.read_bytes() == wanted
            for path in tmp_path.glob("*map*"):
                path.unlink()
    assert len(set(left)) > 2, f"all kills fell on the same moments: {left}"
    predict(bundle, stack, out, block_px=512, resume=True)
    assert out.read_bytes() == wanted
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".map.tif")]


def test_kill_while_the_map_is_put_together_then_resume(saved, tmp_path):
    bundle, stack, wanted = saved
    out = tmp_path / "map.tif"
    partial = out.with_name(f".{out.name}.partial")
    kill_when(start(bundle, stack, out), partial.exists)
    predict(bundle, stack, out, block_px=512, resume=True)
    assert out.read_bytes() == wanted


def test_a_block_that_changed_under_the_journal_is_done_again(saved, tmp_path):
    bundle, stack, wanted = saved
    out = tmp_path / "map.tif"
    kill_when(start(bundle, stack, out), lambda: finished_blocks(out) >= 4)
    work = out.with_name(f".{out.name}.work")
    with work.open("r+b") as file:
        file.write(b"\x01" * 4096)
    predict(bundle, stack, out, block_px=512, resume=True)
    assert out.read_bytes() == wanted


def test_a_journal_of_another_job_is_refused(saved, bundle_of, world, tmp_path):
    bundle, stack, _ = saved
    out = tmp_path / "map.tif"
    kill_when(start(bundle, stack, out), lambda: finished_blocks(out) >= 1)
    with pytest.raises(JournalError, match="bundle"):
        predict(bundle_of("llr", world(8, 8)), stack, out, block_px=512, resume=True)
    assert finished_blocks(out) >= 1


def test_resume_of_a_finished_map_leaves_it_alone(saved, tmp_path):
    bundle, stack, wanted = saved
    out = tmp_path / "whole.tif"
    before = out.stat().st_mtime_ns
    assert predict(bundle, stack, out, block_px=512, resume=True) == out
    assert (out.stat().st_mtime_ns, out.read_bytes()) == (before, wanted)
    with pytest.raises(OutputError, match="--overwrite"):
        predict(bundle, stack, out, block_px=1024, resume=True)


def mounts_work():
    command = ["unshare", "-rm", "sh", "-c", "mount -t tmpfs -o size=1m tmpfs /mnt"]
    return shutil.which("unshare") is not None and subprocess.run(command, capture_output=True).returncode == 0


@pytest.mark.parametrize("size_k", [3000, 8000])
def test_disk_full_then_resume(size_k, saved, tmp_path):
    """At 3 MB the work file does not fit, at 8 MB the map beside it does not."""
    if not mounts_work():
        pytest.skip("small file systems cannot be mounted here")
    bundle, stack, wanted = saved
    small = tmp_path / "small"
    small.mkdir()
    script = f"""
        mount -t tmpfs -o size={size_k}k tmpfs {small} || exit 90
        "$@" 2> {tmp_path}/full.txt && exit 91
        ls -A {small} > {tmp_path}/kept.txt
        mount -o remount,size=40m {small} || exit 92
        "$@" || exit 93
        cp {small}/map.tif {tmp_path}/copied.tif
    """
    run = [sys.executable, "-c", RUN, str(bundle), str(stack), str(small / "map.tif"), "resume"]
    command = ["unshare", "-rm", "sh", "-c", textwrap.dedent(script), "sh", *run]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    said = (tmp_path / "full.txt").read_text().splitlines()
    assert any("OutputError" in line and "--resume" in line for line in said), said[-3:]
    kept = (tmp_path / "kept.txt").read_text().split()
    assert ".map.tif.journal" in kept
    assert "map.tif" not in kept
    assert (tmp_path / "copied.tif").read_bytes() == wanted


CLUSTER = """
import os, signal, sys, threading, time
from pathlib import Path
from distributed import Client, LocalCluster
from headscarp import predict

def main():
    bundle, stack, out, _ = sys.argv[1:]
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        victim = cluster.workers[0].pid
        journal = Path(out).with_name("." + Path(out).name + ".journal")

        def kill_one_in_the_middle():
            while not finished.is_set() and (not journal.exists() or journal.read_bytes().count(b"\\n") < 3):
                time.sleep(0.002)
            if not finished.is_set():
                os.kill(victim, signal.SIGKILL)
                print("killed", flush=True)

        finished = threading.Event()
        killer = threading.Thread(target=kill_one_in_the_middle)
        killer.start()
        predict(bundle, stack, out, block_px=512, scheduler=cluster.scheduler_address)
        finished.set()
        killer.join()

if __name__ == "__main__":
    main()
"""


@pytest.mark.slow
def test_the_same_bytes_from_a_cluster_that_loses_a_worker(saved, bundle_of, tmp_path):
    pytest.importorskip("distributed")
    _, stack, _ = saved
    bundle = save_bundle(bundle_of("cnn", open_stack(stack)), tmp_path / "cnn")  # slow enough to be caught at work
    wanted = predict(bundle, stack, tmp_path / "threads.tif", block_px=512).read_bytes()
    script = tmp_path / "cluster.py"
    script.write_text(CLUSTER)
    out = tmp_path / "map.tif"
    command = [sys.executable, str(script), str(bundle), str(stack), str(out), "fresh"]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=200)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "killed" in done.stdout
    assert out.read_bytes() == wanted


def test_a_cluster_needs_a_stack_that_its_workers_can_read(world, bundle_of, tmp_path):
    stack = world(60, 50)
    with pytest.raises(RecipeError, match="write_stack"):
        predict(bundle_of("llr", stack), stack, tmp_path / "map.tif", scheduler="tcp://127.0.0.1:1")


def test_no_scheduler_at_the_address(saved, tmp_path, monkeypatch):
    monkeypatch.setattr("headscarp.prediction.raster._SCHEDULER_ANSWERS_WITHIN", "1s")
    bundle, stack, _ = saved
    with pytest.raises(RecipeError, match="no dask scheduler answers"):
        predict(bundle, stack, tmp_path / "map.tif", scheduler="tcp://127.0.0.1:9")


def test_the_journal_tells_the_job(saved, tmp_path):
    bundle, stack, _ = saved
    out = tmp_path / "map.tif"
    kill_when(start(bundle, stack, out), lambda: finished_blocks(out) >= 1)
    first = json.loads(Path(out.with_name(f".{out.name}.journal")).read_text().splitlines()[0])
    assert set(first["job"]) == {"bundle", "stack", "engine", "precision", "block_px", "version"}
