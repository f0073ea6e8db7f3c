"""As many tiles at once as memory holds: where an accelerator runs out, a batch is halved, and that is said.

Refuses to go on where even one tile does not fit.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import torch

from headscarp.core.errors import DeviceError
from headscarp.nets.batch import Batch

log = logging.getLogger("headscarp")

T = TypeVar("T")


class Room:
    """How many tiles of a batch fit into memory at once: all, until it turns out otherwise.

    most: tiles at once, None before memory ran out for the first time. It only falls, so a job halves a few times at
    its beginning and goes on so.
    """

    def __init__(self, what: str, *, remedy: str) -> None:
        """what: is done, for the log: "training". remedy: what to do where one tile does not fit."""
        self.what, self.remedy = what, remedy
        self.most: int | None = None

    def run(self, work: Callable[[Batch], T], batch: Batch, *, begin: Callable[[], Any] | None = None) -> list[T]:
        """What `work` gives on a batch, or on its parts in order where it does not fit.

        begin: called before the first part, and again whenever the batch is begun anew in smaller parts. Raises
        DeviceError where a single tile does not fit.
        """
        tiles = len(batch.x)
        while True:
            size = tiles if self.most is None else min(self.most, tiles)
            if begin:
                begin()
            try:
                return [work(part_of(batch, first, size)) for first in range(0, tiles, size)]
            except RuntimeError as error:  # torch.OutOfMemoryError is one; on CPUs it is a plain one
                if not ran_out_of_memory(error):
                    raise
                said = str(error).splitlines()[0][:200]
            self._halve(size, said)  # out here, where the error no longer holds on to the tensors of the failed step

    def _halve(self, size: int, said: str) -> None:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if size == 1:
            raise DeviceError(f"{self.what}: one tile does not fit into memory ({said}); {self.remedy}")
        self.most = size // 2
        log.warning("%s: memory ran out with %d tiles at once; going on with %d at once", self.what, size, self.most)


def part_of(batch: Batch, first: int, size: int) -> Batch:
    """So many tiles of a batch, from one on; the batch itself where that is all of it."""
    if first == 0 and size >= len(batch.x):
        return batch
    cut = slice(first, first + size)
    parts = {name: value[cut] for name, value in vars(batch).items() if value is not None and len(value)}
    return replace(batch, **parts)


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether torch says so, on whatever device."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
