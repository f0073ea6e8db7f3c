"""What this machine has, as far as the work needs to know, and how its memory is asked for.

Where `HEADSCARP_MEMORY=system` is set, or the C library is not glibc, memory is left to the system.
"""

import ctypes
import math
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
"""Parameters of mallopt(3); their values at the start are 128 KiB and 65536, and eight arenas a core."""

_GROWTH, _PIECES = 1.1, 4
_LOCK = threading.Lock()
_keeping = 0
_pieces = 0
_settled = math.inf


def cores() -> int:
    """Processor cores that this process may use."""
    return max(1, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def share_one_heap() -> None:
    """All threads take memory from one heap from now on; has to come before the first of them asks for any.

    Without it each thread has a heap of its own, made of pieces of 64 MB that go back to the system when they are
    empty, whatever `keep_freed_memory` says.
    """
    if (libc := _glibc()) is not None:
        libc.mallopt(_ARENA_MAX, 1)


@contextmanager
def keep_freed_memory() -> Iterator[None]:
    """Freed memory stays with the process inside, and goes back to the system at the end.

    For work that asks for blocks of the same few sizes again and again, as a net does that sees window after window:
    else the system maps each block anew, page by page, a tenth of the time. Where sizes differ or are large, memory
    would grow by what lies between them; `give_back_growth` after each piece of work holds it.
    """
    global _keeping, _pieces, _settled
    libc = _glibc()
    if libc is None:
        yield
        return
    with _LOCK:
        _keeping += 1
        libc.mallopt(_MMAP_MAX, 0)
        libc.mallopt(_TRIM_THRESHOLD, 2**31 - 1)
    try:
        yield
    finally:
        with _LOCK:
            _keeping -= 1
            if not _keeping:
                _pieces, _settled = 0, math.inf
                libc.mallopt(_MMAP_MAX, 65536)
                libc.mallopt(_TRIM_THRESHOLD, 128 << 10)
                libc.malloc_trim(0)


def give_back_growth() -> None:
    """What is free goes back to the system where the process takes a tenth more memory than after its first pieces of
    work; to be called after each of them. Nothing happens outside `keep_freed_memory`.

    A heap that never gives back creeps: a hole in it is at times too small for what it held before, since blocks begin
    at addresses of their own (posix_memalign), and the next one is touched beside it. What is given back has to be
    touched anew, so at most every fourth piece of each thread is followed by it: a hundredth of the time.
    """
    global _pieces, _settled
    libc = _glibc()
    if libc is None or not _keeping:
        return
    with _LOCK:
        _pieces += 1
        if _pieces < _PIECES * cores():
            return
        if math.isinf(_settled):
            _settled = _resident_bytes()
        if _resident_bytes() > _GROWTH * _settled:
            libc.malloc_trim(0)
            _pieces = 0


def keeps_freed_memory() -> bool:
    """Whether this process is inside `keep_freed_memory`, and that has an effect."""
    return _keeping > 0


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@cache
def _glibc() -> ctypes.CDLL | None:
    if sys.platform != "linux" or os.environ.get("HEADSCARP_MEMORY") == "system":
        return None
    libc = ctypes.CDLL(None)
    return libc if all(hasattr(libc, name) for name in ("mallopt", "malloc_trim", "gnu_get_libc_version")) else None
