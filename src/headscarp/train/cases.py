"""Places under tasks, as suites of futures are judged: each with the samples of the stack that are its futures.

Reads names only, no pixels. Refuses nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import xarray as xr

from headscarp.core.samples import GROUP, SAMPLE
from headscarp.core.scenarios import TASK
from headscarp.tiles.splits import Split


@dataclass(frozen=True)
class Case:
    """A place under a task: samples of the stack that are its futures, rising."""

    place: str
    task: str
    samples: tuple[int, ...]


def cases_of(stack: xr.Dataset, split: Split, part: str) -> list[Case]:
    """The places and tasks of a part, in the order of their first samples."""
    return _held(stack, sorted({p.sample for p in split.part(part)}))


def cases_of_all(stack: xr.Dataset) -> list[Case]:
    """The same of the whole stack."""
    return _held(stack, range(stack.sizes[SAMPLE]))


def _held(stack: xr.Dataset, samples: Iterable[int]) -> list[Case]:
    names, tasks = (stack[name].to_numpy().astype(object) for name in (GROUP, TASK))
    held: dict[tuple[str, str], list[int]] = {}
    for sample in samples:
        held.setdefault((str(names[sample]), str(tasks[sample])), []).append(sample)
    return [Case(place, task, tuple(samples)) for (place, task), samples in held.items()]
