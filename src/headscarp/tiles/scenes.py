"""What goes with the pictures of scenarios: the task of each sample, and the numbers that a net is told.

Small arrays of a whole stack, made once; pixels are read elsewhere. Refuses what `check_scenarios` refuses.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from headscarp.core.band import Band
from headscarp.core.scenarios import AFTER, check_scenarios, numbers_of, task_codes


@dataclass(frozen=True)
class Scenes:
    """task: (S,) place in TASKS. metadata: (S, M) as TOLD, NaN where unknown. targets: names of the bands after."""

    task: NDArray[np.int64]
    metadata: NDArray[np.float32]
    targets: tuple[str, ...]


def read_scenes(stack: xr.Dataset, bands: Sequence[Band]) -> Scenes:
    """The facts of a stack of scenarios. bands: what is read; targets are of those that have one, in their order."""
    check_scenarios(stack)
    targets = tuple(AFTER + band.name for band in bands if AFTER + band.name in stack)
    return Scenes(task_codes(stack), numbers_of(stack), targets)
