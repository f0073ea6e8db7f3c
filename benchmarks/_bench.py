"""Shared by all benchmarks: alternate two sides, measure peak memory in a child, print a table.

It measures and prints; it decides nothing about what is compared. A benchmark says `from _bench import ...`
(`python benchmarks/uphill.py` puts this folder on the path) and ends with `sys.exit(verdict(bars))`.
"""

import json
import multiprocessing
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def alternate(a: Callable[[], Any], b: Callable[[], Any], rounds: int = 5, *, warm_up: bool = True) -> dict[str, Any]:
    """Time a and b in turn (a b, b a, a b, ...), so that whatever else runs on the machine hits both.

    warm_up: call each once before the clock starts (compiles kernels, fills the page cache); the results of
    these calls are returned, else those of the last round.
    Returns a_s, b_s (median wall seconds), a_cpu_s, b_cpu_s (median CPU seconds, finished children included),
    ratio, cpu_ratio (median over rounds of a / b, each pair from one round), ratios (all of them), rounds,
    a_result and b_result.
    """
    results = {"a": a() if warm_up else None, "b": b() if warm_up else None}
    wall: dict[str, list[float]] = {"a": [], "b": []}
    cpu: dict[str, list[float]] = {"a": [], "b": []}
    for i in range(rounds):
        for name, job in (("a", a), ("b", b)) if i % 2 == 0 else (("b", b), ("a", a)):
            wall_s, cpu_s, result = timed(job)
            wall[name].append(wall_s)
            cpu[name].append(cpu_s)
            if not warm_up:
                results[name] = result
    ratios = [p / q for p, q in zip(wall["a"], wall["b"], strict=True)]
    cpu_ratios = [p / max(q, 1e-9) for p, q in zip(cpu["a"], cpu["b"], strict=True)]
    return {
        "a_s": statistics.median(wall["a"]),
        "b_s": statistics.median(wall["b"]),
        "a_cpu_s": statistics.median(cpu["a"]),
        "b_cpu_s": statistics.median(cpu["b"]),
        "ratio": statistics.median(ratios),
        "cpu_ratio": statistics.median(cpu_ratios),
        "ratios": ratios,
        "rounds": rounds,
        "a_result": results["a"],
        "b_result": results["b"],
    }


def timed(job: Callable[[], Any]) -> tuple[float, float, Any]:
    """Wall seconds, CPU seconds (this process and its finished children) and the result of one call."""
    cpu_before, before = _cpu_s(), time.perf_counter()
    result = job()
    return time.perf_counter() - before, _cpu_s() - cpu_before, result


def take_turns(jobs: dict[str, Callable[[], Any]], rounds: int = 5) -> dict[str, dict[str, Any]]:
    """Time several jobs in turn, after one round that is not counted; every second round goes backwards.

    Returns for each its wall_s and cpu_s, (rounds,) arrays, and the result of its last call. A job may be an
    `Elsewhere`; its seconds are measured in its own process.
    """
    found: dict[str, list[tuple[float, float, Any]]] = {name: [] for name in jobs}
    for i in range(rounds + 1):
        for name, job in list(jobs.items())[:: 1 if i % 2 else -1]:
            found[name].append(job.timed() if isinstance(job, Elsewhere) else timed(job))
    return {
        name: {
            "wall_s": np.array([wall for wall, _, _ in taken[1:]]),
            "cpu_s": np.array([cpu for _, cpu, _ in taken[1:]]),
            "result": taken[-1][2],
        }
        for name, taken in found.items()
    }


_PLAIN_MEMORY = {"THP_MEM_ALLOC_ENABLE": "0", "HEADSCARP_MEMORY": "system"}


class Elsewhere:
    """A job that is made once, in a process of its own, and run there as often as it is asked for.

    make: a function at the top of an importable module, called with `arguments` (all must pickle); it returns the
    job. The process asks for memory as torch does by itself (_PLAIN_MEMORY), as a program does that knows nothing of
    Headscarp. A context manager: the process ends with it.
    """

    def __init__(self, make: Callable[..., Callable[[], Any]], *arguments: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self._here, there = context.Pipe()
        before = {name: os.environ.get(name) for name in _PLAIN_MEMORY}
        os.environ.update(_PLAIN_MEMORY)
        try:
            self._process = context.Process(target=_serve, args=(there, make, arguments), daemon=True)
            self._process.start()
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value
        there.close()
        self._here.recv()

    def timed(self) -> tuple[float, float, Any]:
        """Wall seconds, CPU seconds and the result of one call."""
        self._here.send(True)
        return self._here.recv()

    def __enter__(self) -> "Elsewhere":
        return self

    def __exit__(self, *_: Any) -> None:
        self._here.close()
        self._process.join(timeout=10)
        self._process.terminate()


def _serve(pipe: Any, make: Callable[..., Callable[[], Any]], arguments: tuple[Any, ...]) -> None:
    job = make(*arguments)
    pipe.send("ready")
    try:
        while pipe.recv():
            pipe.send(timed(job))
    except EOFError:
        return


def peak_memory_of(job: Callable[..., Any] | Sequence[str], *arguments: Any) -> dict[str, Any]:
    """Run a job in a fresh process and return its peak resident memory and times.

    job: a function at the top of an importable module, called with `arguments` (all must pickle), or the words of
    a command line. The fresh process imports what it needs, so imports count in the peak; for a
    function the wall and CPU seconds are those of the call alone.
    Returns peak_bytes, wall_s, cpu_s and result (for a command: its exit code).
    """
    if callable(job):
        context = multiprocessing.get_context("spawn")
        with context.Pool(1) as pool:
            return pool.apply(_measured_call, (job, arguments))
    # A process counts its parent's memory at the fork as its own peak: a small launcher between the two.
    words = [sys.executable, "-S", "-c", _LAUNCHER, *map(str, (*job, *arguments))]
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def print_table(rows: Sequence[dict[str, Any]], *, title: str = "") -> None:
    """Print rows (dicts of the same keys: the headings) as an aligned table, floats with 4 digits."""
    if title:
        print(f"\n{title}")
    heads = list(rows[0])
    cells = [[_as_text(row.get(head, "")) for head in heads] for row in rows]
    widths = [max(len(line[i]) for line in [heads, *cells]) for i in range(len(heads))]
    for line in [heads, ["-" * width for width in widths], *cells]:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def verdict(bars: Sequence[tuple[str, bool]]) -> int:
    """Print each bar (what was asked and found, held or not); return the exit code: 0 if all held, else 1."""
    print()
    for text, held in bars:
        print(f"  {'ok  ' if held else 'FAIL'}  {text}")
    return 0 if all(held for _, held in bars) else 1


def simulated_dem(height: int, width: int, *, seed: int = 0, missing: bool = True) -> NDArray[np.float32]:
    """Hills that are cheap to make: (height, width) float32 metres, no two cells alike, a lake of NaN if asked."""
    generator = np.random.default_rng(seed)
    dem = generator.normal(0, 0.3, (height, width)).astype(np.float32)
    for wave_px in (2000, 700, 230, 80, 30):
        north, east = (np.arange(n) / wave_px + generator.uniform(0, 6) for n in (height, width))
        bend = (np.sin(north * 2.3) * 0.8, np.cos(east * 1.7) * 0.8)
        across = np.sin(2 * np.pi * (north + bend[0]))[:, None] * np.cos(2 * np.pi * (east + bend[1]))
        dem += (across * wave_px / 6).astype(np.float32)
    if missing:
        dem[height // 3 : height // 3 + height // 10, width // 5 : width // 4] = np.nan
    return dem + np.float32(1000)


def describe_machine() -> str:
    """One line: processor, cores, load, Python; a figure without its machine means little."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        named = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = named[0].split(":", 1)[1].strip() if named else model
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    return f"{model}, {os.cpu_count()} cores, load {load:.1f} at the start, Python {platform.python_version()}"


_LAUNCHER = """
import json, os, resource, subprocess, sys, time
before = time.perf_counter()
code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)
wall_s = time.perf_counter() - before
used = resource.getrusage(resource.RUSAGE_CHILDREN)
peak_bytes = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
cpu_s = used.ru_utime + used.ru_stime
print(json.dumps(dict(peak_bytes=peak_bytes, wall_s=wall_s, cpu_s=cpu_s, result=code)))
"""


def _measured_call(job: Callable[..., Any], arguments: tuple[Any, ...]) -> dict[str, Any]:
    wall_s, cpu_s, result = timed(lambda: job(*arguments))
    return {"peak_bytes": _own_peak_bytes(), "wall_s": wall_s, "cpu_s": cpu_s, "result": result}


def _own_peak_bytes() -> int:
    status = Path("/proc/self/status")
    if status.exists():
        line = next(text for text in status.read_text().splitlines() if text.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _cpu_s() -> float:
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def _as_text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
