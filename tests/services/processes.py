"""Processes on this machine that serve tests: started apart, waited for, stopped by their number.

Refuses to wait for ever: a service that does not answer in time is an error that shows its log.
"""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_process(words: Sequence[str], *, env: Mapping[str, str] | None = None, log: Path | None = None) -> int:
    """Starts a command in a session of its own and returns its process number; `services` can be imported in it."""
    tests = str(Path(__file__).parents[1])
    path = os.pathsep.join(filter(None, [tests, os.environ.get("PYTHONPATH", "")]))
    with open(log or os.devnull, "ab") as out:  # noqa: PTH123  (os.devnull is no path of ours)
        child = subprocess.Popen(
            list(words),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env={**os.environ, "PYTHONPATH": path, **(env or {})},
            start_new_session=True,
        )
    child.returncode = 0  # Nobody waits for it here: it outlives us, and `stop_process` ends it.
    return child.pid


def wait_for(place: tuple[str, int], pid: int, *, seconds: float = 60, log: Path | None = None) -> None:
    """Returns when something listens at the place. Raises RuntimeError when the process has ended or time is up."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            socket.create_connection(place, timeout=1).close()
            return
        except OSError:
            if not alive(pid):
                break
            time.sleep(0.05)
    said = log.read_text()[-2000:] if log and log.exists() else ""
    raise RuntimeError(f"nothing listens at {place[0]}:{place[1]} (process {pid}); its log ends with: {said}")


def alive(pid: int) -> bool:
    """Whether a process runs; one of ours that has ended is let go."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def stop_process(pid: int) -> None:
    """Asks a process to end, and ends it after five seconds."""
    for sign, seconds in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
        if not alive(pid):
            return
        os.kill(pid, sign)
        end = time.monotonic() + seconds
        while alive(pid) and time.monotonic() < end:
            time.sleep(0.02)
