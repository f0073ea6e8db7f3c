"""Windows of a raster run in batches of one size, by all threads that work on its tiles.

Kernels round a batch of one size in another way than one of another size (oneDNN takes others from 16 on, a tenth
faster), and which windows come together depends on who is first. So batches are always full: windows of several tiles
fill them up, and at the very end one of them stands in several times. Refuses nothing.
"""

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import cycle, islice

import numpy as np
import torch

from headscarp.core.pages import long_lived
from headscarp.core.tile import Tile, Window
from headscarp.nets.batch import Batch
from headscarp.nets.memory import Room

Run = Callable[[Batch], torch.Tensor]
"""Batch of windows -> (B, K, H, W)."""

_AT_ONCE_PX = 1 << 18
_SHARED_BYTES = 64 << 20


def windows_at_once(window_px: int) -> int:
    """How many windows fill a processor: more gain nothing and cost memory."""
    return max(1, _AT_ONCE_PX // window_px**2)


@dataclass(eq=False)
class _Wish:
    """A window that a tile has asked for. shared: others may ask for it too."""

    part: Callable[[], Batch]
    shared: bool
    made: "Future[torch.Tensor]" = field(default_factory=Future)


@dataclass
class Windows:
    """How windows are run, and what they gave where another tile asks for the same: nothing is run twice.

    at_once: windows in a batch, halved where memory runs out. Tiles of one raster share what stands here, from several
    threads; when it is full, what was made first goes, and would be run again to the same numbers.
    """

    at_once: int = 1
    room: Room = field(default_factory=lambda: Room("prediction", remedy="predict with a bundle of smaller windows"))
    _wishes: list[_Wish] = field(default_factory=list)
    _held: dict[tuple[int, Window], "Future[torch.Tensor]"] = field(default_factory=dict)
    _bytes: int = 0
    _inside: int = 0
    _idle: int = 0
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def run(self, run: Run, parts: Mapping[Window, Callable[[], Batch]], tile: Tile) -> dict[Window, torch.Tensor]:
        """What windows of a tile give, each (K, side, side) float32.

        The calling thread runs whatever was asked for first, by any thread, until its own windows are there and the
        others have a batch each left. Raises what `run` raises; windows that others wait for are theirs to run then.
        """
        wishes, asked = self._ask(parts, tile)
        try:
            while group := self._next(asked.values()):
                self._make(run, group)
        finally:
            with self._changed:
                self._inside -= 1
                given_up = {wish for wish in wishes if not wish.shared and not wish.made.done()}
                self._wishes = [wish for wish in self._wishes if wish not in given_up] if given_up else self._wishes
                self._changed.notify_all()
        return {window: made.result() for window, made in asked.items()}

    def _ask(
        self, parts: Mapping[Window, Callable[[], Batch]], tile: Tile
    ) -> tuple[list[_Wish], dict[Window, "Future[torch.Tensor]"]]:
        wishes, asked = [], {}
        with self._changed:
            for window, part in parts.items():
                made = self._held.get((tile.sample, window))
                if made is None:
                    wishes.append(_Wish(part, shared=not _lies_in(window, tile.window)))
                    made = wishes[-1].made
                    if wishes[-1].shared:
                        self._held[tile.sample, window] = made
                asked[window] = made
            self._wishes += wishes
            self._inside += 1
            self._changed.notify_all()
        return wishes, asked

    def _next(self, asked: Collection["Future[torch.Tensor]"]) -> list[_Wish]:
        """The next batch; none where all that was asked for is there, and those who go on have enough to do."""
        with self._changed:
            while True:
                ready = all(made.done() for made in asked)
                if ready and len(self._wishes) < self.at_once * self._inside:
                    return []
                all_wait = self._idle + 1 == self._inside  # nobody will ask for more before something is run
                if len(self._wishes) >= self.at_once or (self._wishes and all_wait):
                    group, self._wishes = self._wishes[: self.at_once], self._wishes[self.at_once :]
                    return group
                self._idle += 1
                self._changed.wait()
                self._idle -= 1

    def _make(self, run: Run, group: Sequence[_Wish]) -> None:
        try:
            batch = _joined([wish.part() for wish in islice(cycle(group), self.at_once)])
            made = _apart(torch.cat(self.room.run(run, batch)))
        except BaseException:
            with self._changed:
                self._wishes = [*group, *self._wishes]
                self._changed.notify_all()
            raise
        with self._changed:
            for wish, one in zip(group, made, strict=False):
                kept = _apart(one) if wish.shared else one  # alone, without the batch that it was made in
                self._bytes += kept.nbytes if wish.shared else 0
                wish.made.set_result(kept)
            for key in [key for key, one in self._held.items() if one.done()] if self._bytes > _SHARED_BYTES else ():
                self._bytes -= self._held.pop(key).result().nbytes
                if self._bytes <= _SHARED_BYTES // 2:
                    break
            self._changed.notify_all()


def _apart(made: torch.Tensor) -> torch.Tensor:
    """The same numbers, float32, on the CPU where they will stand for longer than a batch."""
    if made.device.type != "cpu":
        return made.float()
    return torch.from_numpy(long_lived(tuple(made.shape), np.float32)).copy_(made)


def _joined(parts: Sequence[Batch]) -> Batch:
    if len(parts) == 1:
        return parts[0]
    x, valid = torch.cat([part.x for part in parts]), torch.cat([part.valid for part in parts])
    return Batch(x=x, valid=valid, tiles=tuple(tile for part in parts for tile in part.tiles))


def _lies_in(window: Window, outer: Window) -> bool:
    bottom, right = outer.row + outer.height - window.height, outer.col + outer.width - window.width
    return outer.row <= window.row <= bottom and outer.col <= window.col <= right
