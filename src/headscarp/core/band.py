"""What a band is: its name, kind, units, classes and origin, as plain values that travel in stacks and bundles.

Refuses to hold pixels or to know any array library.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from headscarp.core.errors import StackError

Kind = Literal["continuous", "direction", "categorical", "label", "mask", "target"]
"""continuous: float32, NaN missing. direction: float32 degrees clockwise from north in [0, 360), NaN where there is
none. categorical: uint8 codes, 0 = no value. label: uint8 1 landslide, 0 not, 255 unlabelled. mask: uint8, 1 valid.
target: float32, what a net is to make, NaN unknown; no net reads it."""

NO_VALUE = 0
UNLABELLED = 255
MAX_CLASSES = 254


@dataclass(frozen=True)
class Band:
    """One band of a stack.

    classes: for categorical bands the label of each code in order; code 1 is classes[0], and code 0, "no value",
    is not listed. units: "1" for pure numbers, "degree", "m", "1/m", ... source: file or formula it came from.
    optional: of a continuous band that cells stay valid where it is missing; nets are told where it is there.
    """

    name: str
    kind: Kind
    units: str = "1"
    source: str = ""
    classes: tuple[str, ...] = ()
    optional: bool = False

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise StackError(f"band {self.name!r} has kind {self.kind!r}; use one of {', '.join(get_args(Kind))}")
        if self.kind == "categorical" and not 1 <= len(self.classes) <= MAX_CLASSES:
            raise StackError(
                f"categorical band {self.name!r} has {len(self.classes)} classes; it needs 1 to {MAX_CLASSES}: "
                "merge rare classes or split the band in two"
            )
        if self.optional and self.kind != "continuous":
            raise StackError(
                f"band {self.name!r} is {self.kind} and optional; only continuous bands are, since a missing category "
                "or direction leaves its cell valid anyway: leave optional out"
            )

    @property
    def dtype(self) -> str:
        return "float32" if self.kind in ("continuous", "direction", "target") else "uint8"

    @property
    def is_feature(self) -> bool:
        """True for what a net may read: everything but labels, masks and targets."""
        return self.kind in ("continuous", "direction", "categorical")

    def to_json(self) -> dict[str, Any]:
        """Plain values; `optional` only where it is true, so that all that was written before reads the same."""
        plain = {**asdict(self), "classes": list(self.classes)}
        if not self.optional:
            del plain["optional"]
        return plain

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> "Band":
        return Band(**{**data, "classes": tuple(data.get("classes", ()))})


def feature_names(bands: Sequence[Band]) -> tuple[str, ...]:
    """The names of the features that nets see once the bands are encoded, in order.

    A continuous band gives one feature of its own name, and where it is optional a second one, 1 where it is there and
    0 where not ("ndvi:present"); a direction two ("aspect:north", "aspect:east": cosine and sine); a categorical band
    one per class with "no value" first ("lithology=no value", "lithology=granite", ...).
    """
    names: list[str] = []
    for band in bands:
        if band.kind == "continuous":
            names += [band.name, f"{band.name}:present"] if band.optional else [band.name]
        elif band.kind == "direction":
            names += [f"{band.name}:north", f"{band.name}:east"]
        elif band.kind == "categorical":
            names += [f"{band.name}={label}" for label in ("no value", *band.classes)]
    return tuple(names)
