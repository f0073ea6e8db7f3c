"""Laws of the one loop: everything once, resume does the rest, another job is refused, nothing finished is lost."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass

import pytest

from headscarp.core.blocks import Done, Journal, run_blocks
from headscarp.core.errors import JournalError


@dataclass(frozen=True)
class Named:
    id: str


BLOCKS = [Named(f"b{i}") for i in range(20)]


def double(block: Named) -> Done:
    return Done(checksum=block.id[::-1], facts={"n": int(block.id[1:]) * 2})


@pytest.mark.parametrize("workers", [1, 4])
def test_every_block_is_done_once_and_returned_in_order(workers, tmp_path):
    seen, lock = [], threading.Lock()

    def work(block):
        with lock:
            seen.append(block.id)
        return double(block)

    done = run_blocks(work, BLOCKS, journal=Journal(tmp_path / "j", {"a": 1}), workers=workers)
    assert sorted(seen) == sorted(b.id for b in BLOCKS)
    assert list(done) == [b.id for b in BLOCKS]
    assert done["b7"].facts == {"n": 14}


def test_resume_does_only_what_is_missing_and_returns_the_same(tmp_path):
    whole = run_blocks(double, BLOCKS)

    def fails_late(block):
        if block.id == "b11":
            raise ValueError("broken pixel")
        return double(block)

    with pytest.raises(ValueError, match="broken pixel") as caught:
        run_blocks(fails_late, BLOCKS, journal=Journal(tmp_path / "j", {"a": 1}))
    assert "in block b11" in caught.value.__notes__
    journal = Journal(tmp_path / "j", {"a": 1}, resume=True)
    assert len(journal.done) >= 11
    again = []

    def work(block):
        again.append(block.id)
        return double(block)

    assert run_blocks(work, BLOCKS, journal=journal) == whole
    assert not set(again) & {f"b{i}" for i in range(11)}


def test_the_journal_of_another_job_is_refused_by_name_of_what_differs(tmp_path):
    run_blocks(double, BLOCKS[:3], journal=Journal(tmp_path / "j", {"stack": "x", "seed": 1}))
    with pytest.raises(JournalError, match="differs in: seed"):
        Journal(tmp_path / "j", {"stack": "x", "seed": 2}, resume=True)


def test_a_torn_last_line_is_dropped_and_the_rest_kept(tmp_path):
    run_blocks(double, BLOCKS, journal=Journal(tmp_path / "j", {}))
    data = (tmp_path / "j").read_bytes()
    (tmp_path / "j").write_bytes(data[:-7])
    journal = Journal(tmp_path / "j", {}, resume=True)
    assert len(journal.done) == len(BLOCKS) - 1
    run_blocks(double, BLOCKS, journal=journal)
    assert (tmp_path / "j").read_bytes() == data


def test_without_resume_a_journal_starts_afresh(tmp_path):
    run_blocks(double, BLOCKS, journal=Journal(tmp_path / "j", {}))
    assert Journal(tmp_path / "j", {}).done == {}


def test_keep_forgets_blocks_whose_bytes_changed(tmp_path):
    journal = Journal(tmp_path / "j", {})
    run_blocks(double, BLOCKS, journal=journal)
    journal.keep(lambda block_id, done: block_id != "b3")
    assert "b3" not in journal.done
    assert len(journal.done) == len(BLOCKS) - 1


CHILD = """
import json, signal, sys, time
from dataclasses import dataclass
from headscarp.core.blocks import Done, Journal, run_blocks

@dataclass(frozen=True)
class Named:
    id: str

def work(block):
    time.sleep(0.02)
    return Done(block.id[::-1])

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs begin deaf to it
try:
    run_blocks(work, [Named(f"b{i}") for i in range(40)], journal=Journal(sys.argv[1], {}, resume=True), workers=2)
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_kill_or_ctrl_c_then_resume_gives_the_same_blocks(how, tmp_path):
    path = tmp_path / "j"
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(path)])
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and (not path.exists() or path.read_bytes().count(b"\n") < 8):
        time.sleep(0.01)
    os.kill(child.pid, how)
    code = child.wait(timeout=30)
    assert code == (130 if how == signal.SIGINT else -signal.SIGKILL)
    some = Journal(path, {}, resume=True).done
    assert 5 <= len(some) < 40
    subprocess.run([sys.executable, "-c", CHILD, str(path)], check=True, timeout=60)
    lines = [json.loads(line) for line in path.read_text().splitlines()][1:]
    assert sorted(line["id"] for line in lines) == sorted(f"b{i}" for i in range(40))
    assert all(line["checksum"] == line["id"][::-1] for line in lines)


@pytest.mark.slow
def test_a_cluster_survives_the_loss_of_a_worker(tmp_path):
    distributed = pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        victim = client.submit(os.getpid, pure=False).result()
        killer = threading.Timer(0.5, lambda: os.kill(victim, signal.SIGKILL))
        killer.start()
        done = run_blocks(slow_double, BLOCKS, journal=Journal(tmp_path / "j", {}), workers=client)
        killer.join()
    assert done == run_blocks(double, BLOCKS)


def slow_double(block: Named) -> Done:
    time.sleep(0.15)
    return double(block)
