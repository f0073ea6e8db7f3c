"""What a training tells while it runs: TensorBoard scalars and history.csv. Refuses to decide anything.

Pixels per second go to TensorBoard only, so that history.csv is the same after every run of the same training.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headscarp.core.artefact import clear_os_errors, write_text
from headscarp.train.standing import COLUMNS

HISTORY, EVENTS = "history.csv", "log"


class EpochLog:
    """The log of one training in its folder; close it in the end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._events: Any = None

    def write(self, history: Sequence[Mapping[str, float]], pixels_per_s: float) -> None:
        """Adds the last epoch of a history; rows have the keys of COLUMNS."""
        row = history[-1]
        with clear_os_errors(self._folder):
            events = self._open(int(row["epoch"]))
            for name in COLUMNS[1:]:
                events.add_scalar(name, row[name], int(row["epoch"]))
            events.add_scalar("pixels_per_second", pixels_per_s, int(row["epoch"]))
            events.flush()
        text = io.StringIO()
        table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(history)
        write_text(self._folder / HISTORY, text.getvalue())

    def close(self) -> None:
        if self._events:
            self._events.close()

    def _open(self, epoch: int) -> Any:
        """The events from this epoch on: what an interrupted run told of it before no longer counts."""
        if self._events is None:
            from torch.utils.tensorboard import SummaryWriter  # slow to import, and a search has no need of it

            self._events = SummaryWriter(str(self._folder / EVENTS), purge_step=epoch)
        return self._events
