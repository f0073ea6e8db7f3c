"""Places under tasks, as suites of futures are judged: each with the samples of the stack that are its futures.

Reads names only, no pixels. Refuses nothing.
"""

from dataclasses import dataclass

import xarray as xr

from headscarp.core.samples import GROUP
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
    names, tasks = (stack[name].to_numpy().astype(object) for name in (GROUP, TASK))
    held: dict[tuple[str, str], list[int]] = {}
    for sample in sorted({p.sample for p in split.part(part)}):
        held.setdefault((str(names[sample]), str(tasks[sample])), []).append(sample)
    return [Case(place, task, tuple(samples)) for (place, task), samples in held.items()]
