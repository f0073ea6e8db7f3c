"""The one future that a net without chance says: what `flow` has to beat. Refuses to say that it could be otherwise."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from headscarp.core.band import Band
from headscarp.nets.batch import Batch
from headscarp.nets.guess import Guesses, guess_losses
from headscarp.nets.net import Schedule, Statistics
from headscarp.nets.turns import checked_turns


class Direct(Guesses):
    """The U-Net of `flow` in one pass, without noise: the change of each band where the task is done, by its absolute
    error, and where it is done, by its square error."""

    schedule = Schedule(
        "adam", 1e-3, epochs=20, batch_size=16, context_px=0, stop_after=20, schedule="poly", average=0.995,
        sampling="uniform",
    )  # fmt: skip

    def __init__(
        self,
        bands: Sequence[Band],
        *,
        resolution_m: float,
        statistics: Statistics,
        base: int = 32,
        levels: int = 2,
        frames: int = 0,
        change: Sequence[str] | None = None,
        around: Sequence[str] = (),
        relief: bool = False,
        turns: int = 1,
        task: str = "identity",
        after_days: float | None = None,
        day_of_year: float | None = None,
        latitude: float | None = None,
    ) -> None:
        """turns: see `Guesses`. Others: see `FutureNet`."""
        super().__init__(
            bands,
            resolution_m=resolution_m,
            statistics=statistics,
            base=base,
            levels=levels,
            frames=frames,
            change=change,
            around=around,
            relief=relief,
            task=task,
            numbers={"after_days": after_days, "day_of_year": day_of_year, "latitude": latitude},
        )
        self.turns = checked_turns(turns)
        self.reach = self.first_reach + self.one_reach

    def losses(self, batch: Batch) -> dict[str, torch.Tensor]:
        """{"change", "done"}: see `guess_losses`."""
        batch = self.as_picture(batch)
        planes, counts = self.planes_of(batch)
        features = self.features(batch)
        self.remember(batch, features)
        said = self.unet(features, self.told(batch)).float()
        return guess_losses(said, planes, counts, anywhere=self.anywhere(batch))

    def imagined(self, batch: Batch, numbers: Sequence[int] = (0,)) -> Iterator[torch.Tensor]:
        """(B, K + 1, H, W) planes of the one future, whatever its number."""
        planes = self.guessed(self.features(batch), self.told(batch))
        return (planes for _ in numbers)

    def guessed(self, features: torch.Tensor, told: torch.Tensor) -> torch.Tensor:
        return self.unet(features, told).float()

    def arguments(self) -> dict[str, Any]:
        return {**self.own_arguments(), **({"turns": self.turns} if self.turns > 1 else {})}
