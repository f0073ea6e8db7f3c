"""What a net that makes pictures is told beside them: the task, and numbers of when and where. Refuses nothing; what is
not known is told as such.
"""

import math
from collections.abc import Mapping

import torch

from headscarp.core.dates import TURN_PER_DAY
from headscarp.core.scenarios import TASKS, TOLD
from headscarp.nets.batch import Batch

_DROPPED = 0.1  # share of the numbers that are left untold in training, so that a net bears not knowing them

OF_TASK = len(TASKS) + 2 * len(TOLD)
"""How many numbers `told` gives."""


def told(batch: Batch, task: torch.Tensor, numbers: Mapping[str, float | None], *, training: bool) -> torch.Tensor:
    """(B, N) the task (B,), the numbers of TOLD scaled, and which of these are known.

    numbers: after_days, day_of_year and latitude, None where unknown, for batches that do not say. training: some are
    left out by chance.
    """
    said = _numbers(batch, numbers)
    known = torch.isfinite(said)
    if training:
        known = known & (torch.rand(known.shape, device=known.device) > _DROPPED)
    scale = torch.tensor(list(TOLD.values()), device=said.device)
    of_task = torch.nn.functional.one_hot(task, len(TASKS)).float()
    return torch.cat([of_task, torch.where(known, said / scale, 0.0), known.float()], dim=1)


def _numbers(batch: Batch, numbers: Mapping[str, float | None]) -> torch.Tensor:
    if batch.metadata is not None:
        return batch.metadata
    after, day, latitude = (
        math.nan if numbers[name] is None else float(numbers[name] or 0.0)
        for name in ("after_days", "day_of_year", "latitude")
    )
    turn = TURN_PER_DAY * day
    of_all = torch.tensor([after, math.sin(turn), math.cos(turn), latitude], device=batch.x.device)
    return of_all.expand(len(batch.x), -1)
