"""Bare forwards side by side: what a map cannot do without, for benchmarks of it. It reads and writes nothing."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch

from headscarp.core.machine import cores
from headscarp.prediction.engines import single_threaded_torch


def forwards_of(run: Callable[[Any], Any], batches: Sequence[Any], count: int | None = None) -> Callable[[], None]:
    """A job that runs each batch once on as many threads as there are cores, torch on one each, and drops the results.

    count: how many forwards; where there are fewer batches, these go round again.
    """

    def forward(i: int) -> None:
        torch.set_num_threads(1)  # of the calling thread
        run(batches[i % len(batches)])

    def forwards() -> None:
        with single_threaded_torch(), ThreadPoolExecutor(cores()) as pool:
            list(pool.map(forward, range(len(batches) if count is None else count)))

    return forwards
