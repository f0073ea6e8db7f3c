"""What nets that make pictures of the future have in common: bands, a task and numbers in; bands after it out.

What the task does not touch stays as it is: a gate, one of the planes that a net makes, lets changes through. Refuses
tasks that nobody knows.
"""

import math
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch

from headscarp.core.band import Band
from headscarp.core.domains import REFLECTANCE
from headscarp.core.errors import RecipeError, StackError
from headscarp.core.scenarios import EVERYWHERE, GENERATED, TASKS, task_code
from headscarp.nets.batch import Batch
from headscarp.nets.familiarity import KnownPlaces, looks_of
from headscarp.nets.layers import Encode, HeightAround, StandsAround
from headscarp.nets.net import Net, Output, Statistics
from headscarp.nets.past import Past
from headscarp.nets.relief import Relief
from headscarp.nets.steered import SteeredUNet
from headscarp.nets.told import OF_TASK, told
from headscarp.nets.unet import unet_reach

CHANGED = f"{GENERATED}: changed"
_WIDEST = 10.0
ELEVATION = "elevation"
IDENTITY = TASKS.index("identity")


class FutureNet(Net):
    """A net from bands before to the same bands after a task. Planes that it makes: the change of each band in its
    standard deviations, and one that is 1 where the task was done and -1 elsewhere.

    after = before + change * gate, with gate = clip(plane + 1/2, 0, 1). Tasks in EVERYWHERE have a gate of 1; the task
    "identity" has one of 0, so it returns its input whatever was learned. Missing input stands as the training mean.
    Of a series of frames the newest clear value of each pixel is before, and the net sees what else they show (`Past`).
    """

    needs_labels = False
    frames = "any"
    makes_pictures = True
    by_chance: ClassVar[bool] = False
    """Whether there is more than one future."""
    chances: ClassVar[tuple[str, ...]] = ("z",)
    """The kinds of chance that a future begins with; each is made wider by a factor of its own."""
    future: int = 0
    seen: torch.Tensor

    def __init__(
        self,
        bands: Sequence[Band],
        *,
        resolution_m: float,
        statistics: Statistics,
        base: int,
        levels: int,
        change: Sequence[str] | None,
        around: Sequence[str],
        task: str,
        numbers: dict[str, float | None],
        relief: bool = False,
        frames: int = 0,
        under_way: int = 0,
        beside: int = 0,
        late: int = 0,
        spread: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        """frames: slots of the series that it learns from; 0: single pictures. base, levels, late: see `SteeredUNet`.
        under_way: how many times K + 1 planes it sees beside the bands, and makes. beside: how many times it only sees
        such. change: bands that change; None: reflectance. around: continuous bands of which is also read how they
        stand among those around, see `StandsAround`. relief: whether how the ground lies is, see `Relief`. task,
        numbers: what is done where a batch does not say, and after_days, day_of_year, latitude; None: unknown. spread:
        by task, a factor for each of `chances`, see `spread_of`. Raises RecipeError, StackError."""
        super().__init__(bands, resolution_m=resolution_m, statistics=statistics)
        for name, value, most in (("base", base, 1024), ("levels", levels, 6)):
            if not 1 <= value <= most:
                raise RecipeError(f"{name} is {value}; it has to be from 1 to {most}")
        task_code(task)
        named = [band.name for band in self.bands if band.kind == "continuous"]
        self.change = [name for name in named if name in REFLECTANCE] if change is None else list(change)
        unknown = [name for name in self.change if name not in named]
        if unknown or not self.change:
            raise StackError(
                f"{', '.join(unknown) or 'no band of reflectance'} is not among the continuous bands of the stack "
                f"({', '.join(named) or 'none'}); build scenarios, or name bands: net_arguments = {{ change = [...] }}"
            )
        self.slots = int(frames)
        self.past = Past(self.bands, statistics, needed=self.change) if self.slots else None
        self.spread = _known_spread(spread or {}, len(self.chances))
        self.base, self.levels, self.task, self.numbers = int(base), int(levels), task, dict(numbers)
        self.at = [[band.name for band in self.bands].index(name) for name in self.change]
        self.scaled_at = [named.index(name) for name in self.change]
        self.encode = Encode(self.bands, statistics)
        self.align = 2**self.levels
        self.one_reach = -(-unet_reach(self.levels) // self.align) * self.align
        heights = [i for i, name in enumerate(named) if name == ELEVATION]
        self.height = HeightAround(self.encode.names.index(ELEVATION), statistics.std[ELEVATION]) if heights else None
        self.around = self._known(around, named)
        self.stands = StandsAround([self.encode.names.index(name) for name in self.around]) if self.around else None
        if relief and self.height is None:
            raise StackError(f"relief is read from a band {ELEVATION!r}; add it to the stack, or leave relief out")
        self.relief = Relief(self.height.plane, statistics.std[ELEVATION]) if relief and self.height else None
        furthest = max(layer.reach if layer else 0 for layer in (self.height, self.stands, self.relief))
        self.first_reach = -(-furthest // self.align) * self.align
        self.outputs = tuple(
            Output(f"{GENERATED}: {name}", _unit(self.bands, name), -math.inf, math.inf) for name in self.change
        )
        self.outputs += (Output(CHANGED),)
        planes = len(self.change) + 1
        stood = (self.height is not None) + 2 * len(self.around) + (Relief.planes if self.relief else 0)
        self.looked = len(self.encode.names) + stood
        more, outputs = (under_way + beside) * planes, max(under_way, 1) * planes
        self.unet = self.make_unet(more, outputs, OF_TASK + self.told_more, late=late)
        self.familiarity = KnownPlaces(2 * self.looked)
        self.register_buffer("seen", torch.zeros(len(TASKS)))

    told_more: int = 0
    """How many numbers the U-Net is told besides the task and what `TOLD` names."""

    def make_unet(self, more: int, outputs: int, told: int, *, late: int = 0) -> SteeredUNet:
        """One that reads the features and so many more planes; what past frames show counts for nothing at first."""
        past = self.past.channels if self.past else 0
        unet = SteeredUNet(self.looked + past + more, outputs, told, base=self.base, levels=self.levels, late=late)
        unet.forget(slice(self.looked, self.looked + past))
        return unet

    @abstractmethod
    def imagined(self, batch: Batch, numbers: Sequence[int]) -> Iterator[torch.Tensor]:
        """(B, K + 1, H, W) planes of the futures of these numbers, one after the other; what does not depend on chance
        is computed once."""

    @classmethod
    def reads(cls, arguments: Mapping[str, Any]) -> Literal["none", "needed", "any"]:
        return "needed" if arguments.get("frames") else "none"

    def as_picture(self, batch: Batch) -> Batch:
        """The batch of a series with one picture in place of the frames, see `Past`; one of pictures itself."""
        if batch.x.ndim == 4 and (self.past is None or batch.past is not None):
            return batch
        if self.past is None or batch.x.ndim == 4:
            there, needed = ("one", "frames in time") if self.past else ("frames in time", "one picture")
            raise StackError(f"the stack has {there} and this net reads {needed}; give it a stack like its training's")
        made: Batch = self.past(batch)
        return made

    def features(self, batch: Batch) -> torch.Tensor:
        """(B, F, H, W) the bands as features, how high each pixel stands among those around, how bright and steep and
        how the ground lies where the net reads that, and what past frames show beside the newest."""
        batch = self.as_picture(batch)
        features: torch.Tensor = self.encode(batch.x)
        more = [layer(features) for layer in (self.height, self.stands, self.relief) if layer is not None]
        return torch.cat([features, *more] if batch.past is None else [features, *more, batch.past], dim=1)

    def predict(self, batch: Batch) -> torch.Tensor:
        """(B, K + 1, H, W): bands after the task in their units, and how far each pixel is changed by it, 0 to 1."""
        return self.picture(batch, self.future)

    def picture(self, batch: Batch, number: int) -> torch.Tensor:
        """`predict` of the future of this number."""
        return next(self.pictures(batch, (number,)))

    def pictures(self, batch: Batch, numbers: Sequence[int]) -> Iterator[torch.Tensor]:
        """`predict` of the futures of these numbers, one after the other."""
        batch = self.as_picture(batch)
        return (self.composed(batch, planes) for planes in self.imagined(batch, numbers))

    def evidence(self, batch: Batch) -> torch.Tensor | None:
        """(B,) how well the task of each tile explains what came after, higher is better: of a flow minus its loss,
        which up to the weights of the times is a bound of the log likelihood (Kingma and Gao 2023). None: the net has
        none."""
        return None

    def judged(self, batch: Batch, predicted: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """How far each pixel is changed, and whether the task was done there."""
        assert batch.y is not None
        return predicted[:, -1], batch.y

    def settle(self, batches: Iterable[Batch]) -> None:
        """Keeps which tasks there were, and how far from the training places those of the validation part are."""
        looks = []
        with torch.no_grad():
            for batch in map(self.as_picture, batches):
                self.seen[self.tasks_of(batch)] = 1.0
                looks.append(self._looks(batch, self.features(batch)))
        if looks:
            self.familiarity.settle(torch.cat(looks))

    def remember(self, batch: Batch, features: torch.Tensor) -> None:
        """Keeps what training places look like, while training."""
        if self.training:
            self.familiarity.remember(self._looks(batch, features), batch.x.shape[-1])

    def how_strange(self, batch: Batch) -> torch.Tensor:
        """(B,) how many times as far from the training places a tile is as the furthest held-out place; 0: unknown."""
        batch = self.as_picture(batch)
        return self.familiarity.beyond(self._looks(batch, self.features(batch)))

    @property
    def known_tasks(self) -> tuple[str, ...]:
        """What the net was trained for; identity always."""
        return tuple(t for i, t in enumerate(TASKS) if self.seen[i] > 0 or i == IDENTITY)

    def planes_of(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """The planes that what came after is, (B, K + 1, H, W), and where they count, (B, 1, H, W) as 0 and 1."""
        if batch.y is None or batch.after is None:
            raise StackError(
                "the stack does not say what places look like after a task; build scenarios: headscarp domains build "
                "recipes/scenarios.toml"
            )
        change = (batch.after - batch.x[:, self.at]) / self._std
        done = (batch.y == 1).float() * 2 - 1
        counts = (batch.y != 255) & torch.isfinite(change).all(1)
        return torch.cat([torch.nan_to_num(change), done[:, None]], dim=1), counts[:, None].float()

    def composed(self, batch: Batch, planes: torch.Tensor) -> torch.Tensor:
        """`predict` from the planes of a future."""
        x = batch.x[:, self.at]
        before = torch.where(torch.isfinite(x), x, self._mean)
        gate, through = self.gate(batch, planes)
        return torch.cat([before + self._std * planes[:, :-1].float() * through, gate], dim=1)

    def gate(self, batch: Batch, planes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, 1, H, W) how far each pixel is changed, 0 to 1, and how much of a change is let through."""
        task = self.tasks_of(batch)
        gate = (planes[:, -1:].float() + 0.5).clamp(0, 1)
        gate = torch.where((task == IDENTITY)[:, None, None, None], torch.zeros_like(gate), gate)
        return gate, torch.where(self.anywhere(batch)[:, None, None, None], torch.ones_like(gate), gate)

    def anywhere(self, batch: Batch) -> torch.Tensor:
        """(B,) whether any pixel of a tile may differ, though nothing was done to it."""
        task = self.tasks_of(batch)
        return torch.isin(task, torch.tensor([TASKS.index(t) for t in EVERYWHERE], device=task.device))

    def tasks_of(self, batch: Batch) -> torch.Tensor:
        """(B,) the task of each tile."""
        if batch.task is not None:
            return batch.task
        return torch.full((len(batch.x),), TASKS.index(self.task), device=batch.x.device)

    def spread_of(self, batch: Batch) -> torch.Tensor:
        """(B, chances) how many times as wide as in training chance is where futures are drawn, by the task of each
        tile; 1 where nothing was said. It is chosen after training, on places of the validation part: see
        `train.spread`."""
        same = [1.0] * len(self.chances)
        factors = torch.tensor([self.spread.get(task, same) for task in TASKS], device=batch.x.device)
        return factors[self.tasks_of(batch)]

    def told(self, batch: Batch) -> torch.Tensor:
        """(B, N) what the U-Net is told, see `nets.told`."""
        return told(batch, self.tasks_of(batch), self.numbers, training=self.training)

    def own_arguments(self) -> dict[str, Any]:
        """What `arguments` of every such net holds."""
        more: dict[str, Any] = {"frames": self.slots} if self.slots else {}
        more |= {"around": self.around} if self.around else {}
        more |= {"relief": True} if self.relief else {}
        more |= {"spread": self.spread} if self.spread else {}
        of_task = {"task": self.task, **self.numbers}
        return {"base": self.base, "levels": self.levels, "change": self.change, **more, **of_task}

    def _looks(self, batch: Batch, features: torch.Tensor) -> torch.Tensor:
        """What each tile looks like before anything is done, whatever the number of its frames."""
        return looks_of(features[:, : self.looked], batch.valid)

    def _known(self, around: Sequence[str], named: Sequence[str]) -> list[str]:
        unknown = [name for name in around if name not in named]
        if unknown:
            raise StackError(
                f"around names {', '.join(unknown)}, which is not among the continuous bands of the stack "
                f"({', '.join(named)}); name some of these"
            )
        return list(around)

    @property
    def _std(self) -> torch.Tensor:
        return self.encode.std[self.scaled_at][:, None, None]

    @property
    def _mean(self) -> torch.Tensor:
        return self.encode.mean[self.scaled_at][:, None, None]


def _unit(bands: Sequence[Band], name: str) -> str:
    return next(band.units for band in bands if band.name == name)


def _known_spread(spread: Mapping[str, Sequence[float]], chances: int) -> dict[str, list[float]]:
    for name, factors in spread.items():
        if task_code(name) >= 0 and (len(factors) != chances or not all(0 <= f <= _WIDEST for f in factors)):
            wanted = f"give {chances} number(s) from 0 to {_WIDEST:g}, of which 1 leaves futures as they were learned"
            raise RecipeError(f"spread of {name} is {list(factors)}; {wanted}")
    return {name: [float(f) for f in factors] for name, factors in spread.items()}
