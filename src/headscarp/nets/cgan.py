"""Many futures of a place at once: a conditional generator (picture, task, numbers, z) -> future.

It is trained against a critic by a loop of its own, `train.adversarial`. Refuses to call one future a forecast.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from headscarp.core.band import Band
from headscarp.core.errors import RecipeError
from headscarp.nets.batch import Batch
from headscarp.nets.futures import IDENTITY, FutureNet
from headscarp.nets.net import Schedule, Statistics
from headscarp.nets.steered import Seen

_STREAM = 104_729  # apart from each other, the seeds of futures
_GLANCES = 4


class CGAN(FutureNet):
    """The U-Net of `FutureNet`, told z late: z steers the way up, so that the way down and what its skips add are
    computed once for any number of futures. z are `latents` numbers from N(0, 1) that follow from the number of the
    future alone: the same future is the same kind of outcome at every place, and tiles of a map fit together. Losses
    and encoder are those of BicycleGAN (Zhu et al. 2017), see `train.adversarial`; upsampling is bilinear, there are no
    transposed convolutions.
    """

    schedule = Schedule(
        "adam", 2e-4, epochs=40, batch_size=8, context_px=0, stop_after=40, schedule="poly", average=0.999,
        sampling="uniform",
    )  # fmt: skip
    by_chance = True

    def __init__(
        self,
        bands: Sequence[Band],
        *,
        resolution_m: float,
        statistics: Statistics,
        base: int = 32,
        levels: int = 2,
        latents: int = 8,
        frames: int = 0,
        change: Sequence[str] | None = None,
        around: Sequence[str] = (),
        relief: bool = False,
        l1: float = 10.0,
        latent_l1: float = 0.5,
        kl: float = 0.01,
        crps: float = 0.0,
        forecast: str | None = None,
        joint: float = 1.0,
        spread: Mapping[str, Sequence[float]] | None = None,
        task: str = "identity",
        after_days: float | None = None,
        day_of_year: float | None = None,
        latitude: float | None = None,
        future: int = 0,
    ) -> None:
        """latents: length of z, 1 to 256. l1, latent_l1, kl: weights of the losses beside the adversarial one, those of
        BicycleGAN. Its small weight of kl lets z hide what is told, so that futures ignore the task: 0.3 forbids that.
        crps: weight of the fair CRPS of two futures, which BicycleGAN does not have. forecast: the bundle of a forecast
        that judges futures while training, see `train.joint`; None: none does. joint: weight of what it says. Neither
        is an argument of what was trained. spread: by task, what z is multiplied by where futures are drawn, see
        `FutureNet.spread_of`. future: which of the many, 0 and up. Others: see `FutureNet`."""
        if not 1 <= latents <= 256:
            raise RecipeError(f"latents is {latents}; it has to be from 1 to 256, such as 8")
        weights = {"l1": l1, "latent_l1": latent_l1, "kl": kl, "crps": crps}
        for name, weight in (weights | {"joint": joint}).items():
            if not 0 <= weight < float("inf"):
                raise RecipeError(f"{name} is {weight}; a weight of a loss has to be 0 or more")
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
            late=latents,
            spread=spread,
        )
        self.latents, self.future = int(latents), int(future)
        self.weights = {name: float(weight) for name, weight in weights.items()}
        self.forecast, self.joint = None if forecast is None else str(forecast), float(joint)
        self.reach = self.first_reach + self.one_reach

    def losses(self, batch: Batch) -> dict[str, torch.Tensor]:
        """{"crps"}: the fair CRPS of two futures, mean over planes: what the generator is judged by while training,
        whatever it is trained by. Of one place it may be below 0, on average it is not."""
        batch = self.as_picture(batch)
        planes, counts = self.pictured_of(batch)
        seen = self.look(batch)
        b = len(planes)
        if self.training:
            draws = torch.randn(2, b, self.latents, device=planes.device)
        else:
            draws = torch.stack([self.z(number).to(planes.device).expand(b, -1) for number in (0, 1)])
        return {"crps": self.crps([self.pictured(batch, self.finish(seen, z)) for z in draws], planes, counts)}

    def crps(self, said: Sequence[torch.Tensor], planes: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        """Of two futures, as `pictured`: mean absolute error less half of how far they are apart (Ferro 2014)."""
        one, other = said
        error = ((one - planes).abs() + (other - planes).abs() - (one - other).abs()).mean(dim=1, keepdim=True) / 2
        return (error * counts).sum() / counts.sum().clamp(min=1)

    def look(self, batch: Batch) -> Seen:
        """What does not depend on z."""
        return self.unet.look(self.features(batch), self.told(batch))

    def finish(self, seen: Seen, z: torch.Tensor) -> torch.Tensor:
        """(B, K + 1, H, W) planes of futures from z (B, latents); that of the gate within [-1, 1]."""
        planes = self.unet.finish(seen, z).float()
        return torch.cat([planes[:, :-1], torch.tanh(planes[:, -1:])], dim=1)

    def imagined(self, batch: Batch, numbers: Sequence[int]) -> Iterator[torch.Tensor]:
        seen, wider = self.look(batch), self.spread_of(batch)
        return (self.finish(seen, self.z(number).to(batch.x.device) * wider) for number in numbers)

    def z(self, number: int) -> torch.Tensor:
        """(latents,) of a future, from N(0, 1), on the CPU."""
        return torch.randn(self.latents, generator=torch.Generator().manual_seed(number * _STREAM + 1))

    def pictured(self, batch: Batch, planes: torch.Tensor) -> torch.Tensor:
        """The planes of a future as they show: changes where the gate lets them through, and the gate."""
        gate = self.gate(batch, planes)[1]
        return torch.cat([planes[:, :-1] * gate, planes[:, -1:]], dim=1)

    def shown(self, batch: Batch, pictured: torch.Tensor) -> torch.Tensor:
        """(B, K, H, W) the bands that change in their units, from the planes of a future as `pictured`."""
        x = batch.x[:, self.at]
        return torch.where(torch.isfinite(x), x, self._mean) + self._std * pictured[:, :-1]

    def pictured_of(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """The same of what came, and where it counts: see `planes_of`. The task "identity" has nothing to learn."""
        planes, counts = self.planes_of(batch)
        return planes, counts * (self.tasks_of(batch) != IDENTITY)[:, None, None, None]

    def glance(self, batch: Batch) -> torch.Tensor:
        """The mean of four futures: its gate is about the probability of a change."""
        return torch.stack(list(self.pictures(batch, range(_GLANCES)))).mean(dim=0)

    def arguments(self) -> dict[str, Any]:
        return {**self.own_arguments(), "latents": self.latents, **self.weights, "future": self.future}
