"""How a net is trained: one frozen record, beside the loop that reads it. Refuses unknown keys and senseless values.

What is None here is decided by the net's own Schedule (paper, Table 1) or by the size of the raster.
"""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from headscarp.core.errors import RecipeError
from headscarp.nets.net import Schedule

OPTIMISERS = ("adam", "sgd")
SCHEDULES = ("halve", "poly")
PRECISIONS = ("32-true", "bf16-mixed")
CALIBRATION_CHOICES = ("temperature", "platt", "isotonic", "none")

_SILENT = ("workers",)  # decides how fast a result comes, never which


@dataclass(frozen=True)
class FitConfig:
    """Settings of one training.

    epochs, batch_size, learning_rate, optimiser, weight_decay, schedule, average, tile_px, context_px, stop_after,
        sampling: None takes the net's Schedule. batch_size counts tiles of one step over all devices together.
        weight_decay is the L2 penalty of torch.optim.
    schedule: "halve": the learning rate is halved on plateaus; "poly": it rises over the first twentieth and falls to 0
        by the last epoch. average: decay a step of the moving average of the weights that is judged and kept, such as
        0.99; 0: the weights themselves.
    momentum: of SGD; the paper says only "SGD", so 0. clip_norm: gradients longer than this are scaled back to it,
        which keeps the paper's large learning rates stable; None leaves them.
    patience: epochs without a lower validation NLL after which "halve" halves the learning rate. stop_after: ... after
        which training ends; 3 * patience where the Schedule has none; with "poly" never, unless told.
    tile_px: side of a training tile, context not counted; where the Schedule has none, the largest of 512, 256, 128
        that gives 64 training tiles, else 128. context_px: context on each side; nets that reach less far read less.
    sampling: a name of headscarp.tiles.sampling.STRATEGIES. augment: flips and quarter turns of training tiles. zoom:
        they are also magnified or shrunk by up to this factor; 1: not. light, light_bands: contrast and brightness of
        these bands vary from tile to tile, see `tiles.augment.relit`; 0: not.
    precision: "32-true" or "bf16-mixed". accelerator, devices: as in Lightning Fabric. workers: reading threads.
    calibration: "temperature", "platt", "isotonic" or "none", fitted on validation pixels.
    allow_generated: learn from bands that a net has made, too.
    net_arguments: the net's own keyword arguments.
    """

    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    optimiser: str | None = None
    weight_decay: float | None = None
    schedule: str | None = None
    average: float | None = None
    momentum: float = 0.0
    clip_norm: float | None = 1.0
    patience: int = 2
    stop_after: int | None = None
    tile_px: int | None = None
    context_px: int | None = None
    sampling: str | None = None
    augment: bool = True
    zoom: float = 1.0
    light: float = 0.0
    light_bands: Sequence[str] = ()
    seed: int = 0
    precision: str = "32-true"
    accelerator: str = "cpu"
    devices: int = 1
    workers: int = 2
    calibration: str = "temperature"
    allow_generated: bool = False
    net_arguments: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if value is not None and not value >= least:
                raise RecipeError(f"{name} is {value}; it has to be at least {least}")
        for name, above in {"learning_rate": 0.0, "clip_norm": 0.0}.items():
            value = getattr(self, name)
            if value is not None and not value > above:
                raise RecipeError(f"{name} is {value}; it has to be greater than {above:g}")
        if self.average is not None and not 0 <= self.average < 1:
            raise RecipeError(f"average is {self.average}; it has to be at least 0 and below 1, such as 0.99")
        if bool(self.light) != bool(self.light_bands):
            raise RecipeError(
                f"light is {self.light:g} and light_bands are {list(self.light_bands)}; give both, such as light = 0.2 "
                'and light_bands = ["red", "green", "blue"], or none'
            )
        check_choice("optimiser", self.optimiser or "adam", OPTIMISERS)
        check_choice("schedule", self.schedule or "halve", SCHEDULES)
        check_choice("precision", self.precision, PRECISIONS)
        check_choice("calibration", self.calibration, CALIBRATION_CHOICES)

    @staticmethod
    def from_dict(settings: Mapping[str, Any]) -> "FitConfig":
        """The settings of a recipe. Raises RecipeError for an unknown key, with the nearest known one."""
        known = [f.name for f in fields(FitConfig)]
        for key in settings:
            check_choice("setting of training", key, known)
        return FitConfig(**settings)

    def resolved(self, schedule: Schedule) -> "FitConfig":
        """The same settings with every None that the net's Schedule decides filled in."""
        taken = {f.name: getattr(schedule, f.name) for f in fields(schedule) if getattr(self, f.name) is None}
        whole = replace(self, **taken)
        if self.stop_after is not None:
            return whole
        if whole.schedule == "poly":  # its last epochs are its best ones
            return replace(whole, stop_after=max(1, whole.epochs or 0))
        return replace(whole, stop_after=schedule.stop_after or 3 * self.patience)

    def for_loop(self, schedule: Schedule) -> "Settings":
        """What the loop needs, without gaps."""
        whole = self.resolved(schedule)
        return Settings(**{f.name: getattr(whole, f.name) for f in fields(Settings)})

    def to_json(self) -> dict[str, Any]:
        """Plain values of all settings that decide the result; the number of reading threads does not."""
        return {name: value for name, value in asdict(self).items() if name not in _SILENT}


@dataclass(frozen=True)
class Settings:
    """The settings of a FitConfig that the training loop needs, with no gaps left."""

    epochs: int
    batch_size: int
    learning_rate: float
    optimiser: str
    weight_decay: float
    schedule: str
    average: float
    momentum: float
    clip_norm: float | None
    patience: int
    stop_after: int
    sampling: str
    augment: bool
    zoom: float
    light: float
    light_bands: Sequence[str]
    seed: int
    workers: int


_LEAST: dict[str, float] = {
    "epochs": 0,
    "batch_size": 1,
    "weight_decay": 0,
    "momentum": 0,
    "patience": 1,
    "stop_after": 1,
    "tile_px": 1,
    "context_px": 0,
    "devices": 1,
    "workers": 1,
    "zoom": 1,
    "light": 0,
}


def check_choice(what: str, given: str, known: Any) -> None:
    """Raises RecipeError, with the nearest known name, unless `given` is among `known`."""
    if given in known:
        return
    near = difflib.get_close_matches(str(given), list(known), n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise RecipeError(f"unknown {what} {given!r}; {hint}known: {', '.join(known)}")
