"""Progress of long work: a bar where somebody watches a terminal, a log line now and then where nobody does."""

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger("headscarp")

_LOG_EVERY_S = 20.0


class Progress:
    """Counts finished units of work. `advance` after each; `note` changes the text behind the bar."""

    def __init__(self, label: str, total: float) -> None:
        self.label, self.total, self.done, self.text = label, total, 0.0, ""
        self.started = self._logged = time.monotonic()

    def advance(self, units: float = 1.0, text: str | None = None) -> None:
        self.done += units
        if text is not None:
            self.text = text
        now = time.monotonic()
        if now - self._logged > _LOG_EVERY_S:
            self._logged = now
            left = (now - self.started) * (self.total - self.done) / max(self.done, 1e-9)
            log.info("%s: %.0f of %.0f, about %.0f s left %s", self.label, self.done, self.total, left, self.text)


class _BarProgress(Progress):
    def __init__(self, label: str, total: float) -> None:
        super().__init__(label, total)
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )
        from rich.progress import Progress as RichProgress

        self.bar = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[text]}"),
            console=Console(stderr=True),
        )
        self.task = self.bar.add_task(label, total=total, text="")

    def advance(self, units: float = 1.0, text: str | None = None) -> None:
        super().advance(units, text)
        self.bar.update(self.task, completed=self.done, text=self.text)


@contextmanager
def progress(label: str, total: float) -> Iterator[Progress]:
    """A Progress for `total` units, shown as a bar on a terminal's stderr, else logged every 20 seconds."""
    if not sys.stderr.isatty():
        yield Progress(label, total)
        return
    shown = _BarProgress(label, total)
    with shown.bar:
        yield shown
