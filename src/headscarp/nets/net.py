"""The one contract that every net keeps, and the pixel net that most of them are.

Nets know tensors and bands; refuse to know files, grids or coordinate systems.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar, Literal, final

import torch
from torch import nn

from headscarp.core.band import UNLABELLED, Band
from headscarp.nets.batch import Batch
from headscarp.nets.blend import blend_windows
from headscarp.nets.losses import Objective, likelihood
from headscarp.nets.turns import mean_over_turns


@dataclass(frozen=True)
class Output:
    """One band that a net predicts: its name, unit and range."""

    name: str
    unit: str = "1"
    low: float = 0.0
    high: float = 1.0


@dataclass(frozen=True)
class Schedule:
    """Hyper-parameters that a net is trained with unless the user says otherwise. epochs 0: nothing to learn.

    tile_px, context_px: side of a training tile, and the context read around it; tile_px None: by the size of the
    raster. stop_after: epochs without improvement after which training ends; None: 3 * patience. schedule: how the
    learning rate moves, "halve" or "poly". average: decay of the moving average of the weights; 0: none. sampling:
    which tiles an epoch repeats, a name of headscarp.tiles.sampling.STRATEGIES.
    """

    optimiser: Literal["adam", "sgd"] = "adam"
    learning_rate: float = 1e-3
    epochs: int = 10
    batch_size: int = 8
    weight_decay: float = 0.0
    tile_px: int | None = None
    context_px: int = 64
    stop_after: int | None = None
    schedule: Literal["halve", "poly"] = "halve"
    average: float = 0.0
    sampling: str = "repeat_positive"


@dataclass(frozen=True)
class Statistics:
    """What the training pixels say, and nothing else: the scale of the bands and how common landslides are.

    mean, std: by name of the continuous bands; std is never 0. prevalence: share of landslides among labelled pixels.
    metadata: by name of the numbers of frames, (mean, largest distance from it), for nets over time; never 0.
    classes: by name of the classes of places, in their order, the share of training places that are of each.
    """

    mean: Mapping[str, float] = field(default_factory=dict)
    std: Mapping[str, float] = field(default_factory=dict)
    prevalence: float = 0.5
    metadata: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    classes: Mapping[str, float] = field(default_factory=dict)


class Net(nn.Module, ABC):
    """A net under the contract: losses, predict, outputs, and what tiling has to know.

    reach: context pixels needed on each side. align: read windows begin and end at multiples of this. stride: side in
    pixels of the squares of ground that get one value each, a divisor of align. local: False where a layer sees the
    whole tile.
    """

    schedule: ClassVar[Schedule] = Schedule()
    aligned_from: ClassVar[str | None] = None
    """Name of the net whose trained weights choose this net's aligned features, where they are not named."""
    reach: int = 0
    align: int = 1
    stride: int = 1
    local: bool = True
    window_px: int | None = None
    needs_labels: ClassVar[bool] = True
    """False where losses are of all valid pixels, so that y is 1 on known landslides and 0 on all others that count."""
    own_threshold: float | None = None
    opening_px: ClassVar[int] = 0
    """Radius in pixels of the opening that takes specks off a map before polygons are drawn from it."""
    pretrained: Mapping[str, str] = MappingProxyType({})
    """Where weights came from that it began with: source, sha256 of a file, licence. A bundle keeps it."""
    frames: ClassVar[Literal["none", "needed", "any"]] = "none"
    """Whether x has frames in time, (B, T, C, H, W)."""

    @classmethod
    def reads(cls, arguments: Mapping[str, Any]) -> Literal["none", "needed", "any"]:
        """`frames` of the net that these arguments make."""
        return cls.frames

    judges_places: ClassVar[bool] = False
    """True where what is judged is a place as a whole, by what came after its cut-off, and not each of its pixels."""
    judges_classes: ClassVar[bool] = False
    """True where what is judged is the class of a place as a whole."""
    makes_pictures: ClassVar[bool] = False
    """True where what is predicted is a picture that nobody took, one of many that could be: it is judged by suites of
    them, and whatever it writes says that it was generated."""
    outputs: tuple[Output, ...] = (Output("probability"),)

    def __init__(self, bands: Sequence[Band], *, resolution_m: float, statistics: Statistics) -> None:
        """bands: what x holds, in order. resolution_m: side of a cell. Subclasses add their own keyword arguments."""
        super().__init__()
        self.bands = tuple(bands)
        self.resolution_m = float(resolution_m)
        self.statistics = statistics

    @abstractmethod
    def losses(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Named losses, each a scalar with a gradient; training minimises their sum. y == 255 never counts."""

    @abstractmethod
    def predict(self, batch: Batch) -> torch.Tensor:
        """(B, K, H / stride, W / stride) float32, one band for each of `outputs`, halo included; the caller crops."""

    def targets(self, y: torch.Tensor) -> torch.Tensor:
        """What the net is to say of labels y (B, H, W): (B, H / stride, W / stride) uint8, 1, 0 or 255; y itself at
        stride 1. Losses and scores count each of these once."""
        return y

    def counted(self, batch: Batch) -> torch.Tensor:
        """How many labels of a batch count for its losses, a scalar: of pixels, unless said otherwise."""
        assert batch.y is not None
        return (self.targets(batch.y) != UNLABELLED).sum()

    def judged(self, batch: Batch, predicted: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Probabilities that training is judged by, and their labels (1, 0; 255 does not count), of equal shape.

        predicted: what `predict` gave for the batch. For most nets its first output and the labels of pixels.
        """
        assert batch.y is not None
        return predicted[:, 0], self.targets(batch.y)

    def glance(self, batch: Batch) -> torch.Tensor:
        """What `judged` is given while training goes on, as from `predict`, for nets that have something cheaper."""
        return self.predict(batch)

    def settle(self, batches: Iterable[Batch]) -> None:
        """Called once when training has ended, on the CPU in evaluation mode, with the tiles of the validation part.

        batches: can be gone through more than once."""

    def arguments(self) -> dict[str, Any]:
        """The net's own keyword arguments as plain values: NETS[name](bands, ..., **arguments) is the same net."""
        return {}


class PixelNet(Net):
    """A net that gives every pixel, or every square of `stride` pixels, one landslide probability: front, trunk,
    sigmoid, negative log-likelihood.

    The front turns bands into a dense tensor (encoding, alignment, first layer); the trunk maps it to a logit and
    is plain layers only, so that inference engines can take it as it is.
    """

    trunk: nn.Module
    objective: Objective = staticmethod(likelihood)
    turns: int = 1
    """Over how many flips and turns of the ground a map is a mean, see `mean_over_turns`. Losses have one look."""
    front_features: tuple[str, ...] = ()
    """Bands that the planes of the front stand for, where they are no output of a layer over features."""

    @abstractmethod
    def front(self, batch: Batch) -> torch.Tensor:
        """(B, F, H, W) float32, finite everywhere, from bands as they stand in the stack."""

    def logits(self, batch: Batch) -> torch.Tensor:
        """(B, 1, H / stride, W / stride) log-odds of a landslide."""
        logits: torch.Tensor = self.trunk(self.front(batch))
        return logits

    @final
    def losses(self, batch: Batch) -> dict[str, torch.Tensor]:
        return self.losses_of(self.logits(batch), batch)

    @final
    def losses_of(self, logits: torch.Tensor, batch: Batch) -> dict[str, torch.Tensor]:
        """The losses of log-odds that are there already."""
        assert batch.y is not None
        return self.objective(logits[:, 0], self.targets(batch.y), batch.valid)

    @final
    def predict(self, batch: Batch) -> torch.Tensor:
        def one_look(part: Batch) -> torch.Tensor:
            return torch.sigmoid(self.logits(part).float())

        def at_once(part: Batch) -> torch.Tensor:
            return mean_over_turns(one_look, part, self.bands, self.turns)

        return at_once(batch) if self.window_px is None else blend_windows(at_once, batch, self.window_px)


def losses_and_prediction(net: Net, batch: Batch) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """What net.losses(batch) and net.predict(batch) give, from one pass where both come from the same log-odds.

    What a pixel net predicts has one look then, whatever its `turns`: training is judged by it, maps are not.
    """
    blended = net.window_px is not None and max(batch.x.shape[-2:]) > net.window_px
    if not isinstance(net, PixelNet) or batch.y is None or blended:
        return net.losses(batch), net.glance(batch)
    logits = net.logits(batch)
    return net.losses_of(logits, batch), torch.sigmoid(logits.float())
