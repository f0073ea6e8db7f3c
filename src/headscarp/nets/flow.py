"""Many futures of a place: a conditional flow from noise to the change that a task makes.

Refuses to call one future a forecast: each is one of many that could be.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from headscarp.core.band import Band
from headscarp.core.errors import RecipeError
from headscarp.core.scenarios import TASKS, task_code
from headscarp.nets.areas import REACH, Areas, asked_share, known_areas, meeting, strengths
from headscarp.nets.batch import Batch
from headscarp.nets.draws import normal_draws, smooth_draws, smooth_fresh
from headscarp.nets.extents import Extents
from headscarp.nets.flowsteps import ahead, cropped, halo_of_all, triples
from headscarp.nets.guess import Guesses, guess_losses, halved
from headscarp.nets.layers import mean_within
from headscarp.nets.net import Schedule, Statistics
from headscarp.nets.told import OF_TASK
from headscarp.nets.turns import checked_turns

MOST_STEPS = 100
_CELL_PX, _PLACE_PX, _SHARE_PX = 16, 64, 256
_EXTENTS_WEIGHT = 0.3
_WAVES = 4
_TIMES = 8
_EVERY = 3
_STREAM = 7_919  # apart from each other, the seeds of futures


class Flow(Guesses):
    """Flow matching on the planes of `FutureNet`: x_t = (1 - t) noise + t planes, and the U-Net says from x_t, the
    bands and the task what the planes are, which is the same as to say the velocity. Sources: Lipman et al. (2023);
    Liu, Gong and Liu (2023).

    Before any noise a second U-Net of the same kind makes a **guess**, all that `direct` says, and the U-Net of the
    flow reads it beside the bands, and its mean over 24 pixels to each side: regression first, chance for what is left
    (Mardani et al. 2023). Gradients of the flow do not reach it. Any number of futures shares one guess.

    A future begins as noise and goes to t = 1 in `steps` steps, at t = (k / steps)^2 so that what is large and decided
    first gets its share of them. Steps are of second order and ask the U-Net once each: they go on from how what it
    says has changed since the last one (Adams and Bashforth; Lu et al. 2022, DPM-Solver++). As many Euler steps make
    futures too alike, by a seventh to a quarter of their deviation. The last step lands on what the U-Net says, so no
    noise is left. Half of the variance of the noise is smooth over 16 pixels. Noise belongs to places (`nets.draws`),
    so tiles of a map fit together.

    Beside the planes go as many **extents**: how far the task goes in the place as a whole (`nets.extents`), from noise
    that is smooth over 64 pixels. A mean over a thousand noisy pixels is hard to read for a net that sees a few of them
    at a time; as planes of their own extents are told at each pixel, and planes follow them, though loosely. Where
    there are `areas` of a task each future is **asked for a share** of the ground (`nets.areas`): the extent of what is
    done is that from the first step on, and at every third step, the last one too, planes are moved until they meet it.
    At the end all bands of a future change more or less strongly than was said, by chance smooth over 256 pixels too.
    """

    schedule = Schedule(
        "adam", 1e-3, epochs=30, batch_size=16, context_px=0, stop_after=30, schedule="poly", average=0.995,
        sampling="uniform",
    )  # fmt: skip
    by_chance = True
    chances = ("planes", "extents")
    told_more = 2 * _WAVES

    def __init__(
        self,
        bands: Sequence[Band],
        *,
        resolution_m: float,
        statistics: Statistics,
        base: int = 32,
        levels: int = 2,
        steps: int = 12,
        frames: int = 0,
        change: Sequence[str] | None = None,
        around: Sequence[str] = (),
        relief: bool = False,
        spread: Mapping[str, Sequence[float]] | None = None,
        shrink: Mapping[str, float] | None = None,
        areas: Mapping[str, Sequence[float]] | None = None,
        turns: int = 1,
        task: str = "identity",
        after_days: float | None = None,
        day_of_year: float | None = None,
        latitude: float | None = None,
        future: int = 0,
    ) -> None:
        """steps: from noise to a future, 1 to 100. spread: by task, what the noise of the planes and that of the
        extents is multiplied by where futures are drawn, see `FutureNet.spread_of`. shrink: by task, how far extents
        follow all training places instead of what is seen of this one, 0 to 1, see `Extents.usual`. areas: by task,
        how large a share is asked for and how far strengths go apart, see `nets.areas`. These three are chosen after
        training. turns: see `Guesses`. future: which of the many, 0 and up. Others: see `FutureNet`."""
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
            under_way=2,
            beside=2,
            spread=spread,
        )
        if not 1 <= steps <= MOST_STEPS:
            raise RecipeError(f"steps is {steps}; it has to be from 1 to {MOST_STEPS}")
        self.steps, self.future = int(steps), int(future)
        self.shrink = {name: float(share) for name, share in (shrink or {}).items()}
        for name, share in self.shrink.items():
            if task_code(name) >= 0 and not 0 <= share <= 1:
                raise RecipeError(f"shrink of {name} is {share}; it has to be from 0 to 1")
        self.far = -(-REACH // self.align) * self.align
        self.turns = checked_turns(turns)
        self.keep_areas(known_areas(areas or {}))
        self.guess = self.make_unet(0, len(self.change) + 1, OF_TASK)
        self.extents = Extents(len(TASKS), len(self.change) + 1)

    def keep_areas(self, areas: Areas) -> None:
        """What futures are asked for from now on."""
        self.areas = areas
        self.reach = self.first_reach + self.far + self.one_reach + self._context(self.steps)

    def share_around(self, batch: Batch) -> torch.Tensor:
        """(B, 1, H, W) the share of the ground around each pixel that the guess says is changed; about 0 to 1."""
        return (self._certain(batch, self.told(batch))[:, -1:] + 1) / 2

    def share_chance(self, batch: Batch, number: int) -> torch.Tensor:
        """(B, 1, H, W) from N(0, 1), smooth and belonging to places: how large a share this future is asked for."""
        return smooth_draws(batch, 1, seed=number * _STREAM + 3, cell_px=_SHARE_PX)

    def losses(self, batch: Batch) -> dict[str, torch.Tensor]:
        """{"planes", "extents", "change", "done"}: mean square of what the U-Net misses the planes by, and the extents,
        at times drawn at random; while judging, at times spread evenly, with noise that belongs to places. And what the
        guess is learned by, see `guess_losses`."""
        batch = self.as_picture(batch)
        planes, counts = self.planes_of(batch)
        features, told, k = self.features(batch), self.told(batch), planes.shape[1]
        self.remember(batch, features)
        guess = self.guess(features, told).float()
        wanted = torch.cat([planes, self.extents(planes, counts, self.tasks_of(batch))], dim=1)
        if self.training:
            t = torch.rand(len(planes), device=planes.device) ** 2
            noise = self._fresh_noise(planes)
        else:
            t = ((torch.arange(len(planes), device=planes.device) % 8 + 0.5) / 8) ** 2
            noise = self._noise(batch, 0)
        moved = torch.lerp(noise, wanted, t[:, None, None, None])
        certain = self._beside(batch, features, guess.detach())
        missed = (self._step(certain, told, moved, t) - wanted).square() * counts
        n = counts.sum().clamp(min=1)
        return {
            "planes": missed[:, :k].mean(dim=1).sum() / n,
            "extents": _EXTENTS_WEIGHT * missed[:, k:].mean(dim=1).sum() / n,
            **guess_losses(guess, planes, counts, anywhere=self.anywhere(batch)),
        }

    def imagined(self, batch: Batch, numbers: Sequence[int]) -> Iterator[torch.Tensor]:
        told = self.told(batch)
        certain = self._certain(batch, told)
        return (self._one(batch, certain, told, number) for number in numbers)

    def glance(self, batch: Batch) -> torch.Tensor:
        """What the guess says: its gate is the probability of a change, and lets that share of it through."""
        batch = self.as_picture(batch)
        guess = self.guess(self.features(batch), self.told(batch)).float()
        return self.composed(batch, halved(guess))

    def guessed(self, features: torch.Tensor, told: torch.Tensor) -> torch.Tensor:
        return self.guess(features, told).float()

    def evidence(self, batch: Batch) -> torch.Tensor:
        """See `FutureNet`; at eight times with noise that belongs to places, so that tasks meet the same chance. Of the
        planes alone: extents have another scale under each task."""
        batch = self.as_picture(batch)
        planes, counts = self.planes_of(batch)
        told, k = self.told(batch), planes.shape[1]
        certain = self._certain(batch, told)
        wanted = torch.cat([planes, self.extents(planes, counts, self.tasks_of(batch))], dim=1)
        pixels = counts.sum(dim=(1, 2, 3)).clamp(min=1)
        missed = torch.zeros(len(planes), device=planes.device)
        for number in range(_TIMES):
            t = torch.full((len(planes),), ((number + 0.5) / _TIMES) ** 2, device=planes.device)
            moved = torch.lerp(self._noise(batch, number), wanted, t[:, None, None, None])
            said = self._step(certain, told, moved, t)[:, :k]
            missed += ((said - planes).square().mean(dim=1, keepdim=True) * counts).sum(dim=(1, 2, 3)) / pixels
        return -missed / _TIMES

    def arguments(self) -> dict[str, Any]:
        more: dict[str, Any] = {"shrink": self.shrink} if self.shrink else {}
        more |= {"areas": self.areas} if self.areas else {}
        more |= {"turns": self.turns} if self.turns > 1 else {}
        return {**self.own_arguments(), **more, "steps": self.steps, "future": self.future}

    def _certain(self, batch: Batch, told: torch.Tensor) -> torch.Tensor:
        """(B, F + 2 (K + 1), H, W) what does not depend on chance."""
        features = self.features(batch)
        return self._beside(batch, features, self.guess(features, told).float())

    def _beside(self, batch: Batch, features: torch.Tensor, guess: torch.Tensor) -> torch.Tensor:
        """The features, the guess, and the mean over those around of what it makes probable: how far a task is likely
        to go in the place as a whole."""
        through = self.gate(batch, halved(guess))[1]
        probable = torch.cat([guess[:, :-1] * through, guess[:, -1:]], dim=1)
        return torch.cat([features, guess, mean_within(probable, REACH)], dim=1)

    def _one(self, batch: Batch, certain: torch.Tensor, told: torch.Tensor, number: int) -> torch.Tensor:
        """(B, K + 1, H, W) planes of the future of this number."""
        x = self._noise(batch, number) * self._noise_scale(batch)
        asked = self._asked(batch, certain, number) if self.areas else x[:, :0]
        times = [(k / self.steps) ** 2 for k in range(self.steps + 1)]
        cut, last = 0, x
        for left, (before, now, then) in zip(range(self.steps, 0, -1), triples(times), strict=True):
            spare = halo_of_all(batch) - self._context(left) - cut  # that no step to come looks at
            if spare > 0:
                x, certain, last, asked = (cropped(of, spare) for of in (x, certain, last, asked))
                cut += spare
            said = self._step(certain, told, x, torch.full((len(x),), now, device=x.device))
            said = self._shrunk(batch, x, said, now)
            if self.areas:
                said = meeting(said, certain, asked, last=left == 1, planes=left % _EVERY == 1)
            x = torch.lerp(x, said, (then - now) / (1 - now))
            if before is not None and then < 1:
                x += ahead(before, now, then) * (said - last)
            last = said
        planes = x[:, : len(self.change) + 1]
        planes = torch.nn.functional.pad(planes, [cut] * 4, value=-1.0) if cut else planes
        return self._stronger(batch, planes, number) if self.areas else planes

    def _step(self, certain: torch.Tensor, told: torch.Tensor, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        angle = t.sqrt()[:, None] * math.pi * torch.arange(1, _WAVES + 1, device=t.device) / 2
        told = torch.cat([told, angle.sin(), angle.cos()], dim=1)
        said: torch.Tensor = self.unet(torch.cat([certain, x], dim=1), told).float()
        return said

    def _shrunk(self, batch: Batch, x: torch.Tensor, said: torch.Tensor, t: float) -> torch.Tensor:
        """What is said, with extents that follow all training places as far as `shrink` says."""
        if not self.shrink:
            return said
        k, task = len(self.change) + 1, self.tasks_of(batch)
        share = torch.tensor([self.shrink.get(name, 0.0) for name in TASKS], device=x.device)[task]
        usual = self.extents.usual(x[:, k:], task, t)
        return torch.cat([said[:, :k], torch.lerp(said[:, k:], usual, share[:, None, None, None])], dim=1)

    def _asked(self, batch: Batch, certain: torch.Tensor, number: int) -> torch.Tensor:
        """(B, 2, H, W) the share of the ground that this future is asked for, and the extent that says so."""
        task = self.tasks_of(batch)
        share = asked_share(self.areas, task, (certain[:, -1:] + 1) / 2, self.share_chance(batch, number))
        return torch.cat([share, self.extents.of_plane(2 * share - 1, task)], dim=1)

    def _stronger(self, batch: Batch, planes: torch.Tensor, number: int) -> torch.Tensor:
        """The planes, with bands that change more or less than was said, all alike."""
        chance = smooth_draws(batch, 1, seed=number * _STREAM + 4, cell_px=_SHARE_PX)
        return torch.cat([planes[:, :-1] * strengths(self.areas, self.tasks_of(batch), chance), planes[:, -1:]], dim=1)

    def _context(self, left: int) -> int:
        """Pixels on each side that so many steps look at."""
        return left * self.one_reach + (-(-left // _EVERY) * self.far if self.areas else 0)

    def _noise(self, batch: Batch, number: int) -> torch.Tensor:
        """(B, 2 (K + 1), H, W) where the future of this number begins; that of the extents is smooth alone."""
        planes, seed = len(self.change) + 1, number * _STREAM + 1
        white = normal_draws(batch, planes, seed=seed)
        near = smooth_draws(batch, planes, seed=seed, cell_px=_CELL_PX)
        far = smooth_draws(batch, planes, seed=seed + 1, cell_px=_PLACE_PX)
        return torch.cat([(white + near) * math.sqrt(0.5), far], dim=1)

    def _noise_scale(self, batch: Batch) -> torch.Tensor:
        """(B, 2 (K + 1), 1, 1) by how much the noise of a future is wider than that of the training."""
        planes = len(self.change) + 1
        return self.spread_of(batch).repeat_interleave(planes, dim=1)[:, :, None, None]

    def _fresh_noise(self, planes: torch.Tensor) -> torch.Tensor:
        """The like of it for training, drawn faster, and belonging to nowhere."""
        near, far = smooth_fresh(planes, _CELL_PX), smooth_fresh(planes, _PLACE_PX)
        return torch.cat([(torch.randn_like(planes) + near) * math.sqrt(0.5), far], dim=1)
