"""Does a bundle fit a stack? What can be mended exactly is mended (the order of classes); the rest is said.

Refuses to guess: bands are taken by name, never by position, and nothing is rescaled or resampled here.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import xarray as xr

from headscarp.core.band import NO_VALUE, Band
from headscarp.core.bundle import Bundle
from headscarp.core.errors import HeadscarpWarning, StackError
from headscarp.core.samples import has_samples, stack_resolution_m
from headscarp.core.scenarios import is_scenarios
from headscarp.core.stack import CHUNK, VALID, feature_bands, stack_bands
from headscarp.core.tile import windows
from headscarp.nets import NETS
from headscarp.tiles.ranges import check_ranges

_RESOLUTION_TOLERANCE = 0.05
_SAME_UNITS = ({"1", "", "dimensionless"}, {"degree", "degrees", "deg"}, {"m", "metre", "metres", "meter", "meters"})


@dataclass(frozen=True)
class Fit:
    """How a stack is read for a bundle: which bands, and which codes mean something else there.

    bands: the stack's bands in the bundle's order. recodes: by position of the band, a (256,) uint8 table from the
    stack's class codes to the bundle's.
    """

    bands: tuple[Band, ...]
    recodes: Mapping[int, np.ndarray] = field(default_factory=dict)

    def recode(self, x: np.ndarray) -> np.ndarray:
        """Pixels ([T,] C, H, W) as the bundle knows them; class codes are changed in place."""
        for index, table in self.recodes.items():
            plane = x[..., index, :, :]
            plane[...] = table[plane.astype(np.uint8)]
        return x


def check_fits(bundle: Bundle, stack: xr.Dataset) -> Fit:
    """How the stack is read for this bundle. Raises StackError where it cannot be: see the message.

    Checked: frames only for a net that reads them; every band of the bundle is there, of the same kind and units; the
    ground resolution differs by at most 5 %; some pixel is valid. Classes are matched by label; those the bundle has
    never seen become "no value", with a HeadscarpWarning that names them; another warns of numbers on another scale
    than in training.
    """
    frames = NETS[bundle.net].reads(bundle.arguments) if bundle.net in NETS else "none"
    if "time" in stack.dims and frames == "none":
        raise StackError("the stack has several frames, and this bundle reads one; take one: stack.isel(time=-1)")
    if "time" not in stack.dims and frames == "needed":
        raise StackError("the stack has no frames in time, which this bundle reads; build domains, or fetch scenes")
    there = {band.name: band for band in feature_bands(stack)}
    missing = [band.name for band in bundle.bands if band.name not in there]
    if missing:
        raise StackError(
            f"the stack has no band {_names(missing)}, which this bundle reads; it has {_names(there)}: "
            "build the stack with the same bands (and names) as the one the bundle was trained on"
        )
    bands = tuple(there[band.name] for band in bundle.bands)
    for theirs, ours in zip(bands, bundle.bands, strict=True):
        _check_band(theirs, ours)
    _check_resolution(bundle, stack)
    _check_some_valid(stack)
    check_ranges(bundle, stack)
    tables = {index: _table(bands[index], ours) for index, ours in enumerate(bundle.bands) if ours.classes}
    return Fit(bands, {index: table for index, table in tables.items() if table is not None})


def check_one_place(stack: xr.Dataset) -> None:
    """Raises StackError for samples that share no grid: a map needs one place."""
    if has_samples(stack):
        raise StackError(
            f"the stack holds {stack.sizes['sample']} samples that share no grid, and a map needs one place; "
            "take one of them first: stack.isel(sample=0)"
        )


def _check_band(theirs: Band, ours: Band) -> None:
    if theirs.kind != ours.kind:
        raise StackError(
            f"band {ours.name!r} is {theirs.kind} in the stack, but this bundle was trained on it as {ours.kind}; "
            "build the stack with the recipe that the bundle was trained with"
        )
    if theirs.units != ours.units and not any({theirs.units, ours.units} <= same for same in _SAME_UNITS):
        raise StackError(
            f"band {ours.name!r} is in {theirs.units!r} in the stack, but this bundle was trained on {ours.units!r}; "
            f"convert the band to {ours.units!r} and build the stack again"
        )
    if theirs.optional and not ours.optional:
        raise StackError(
            f"band {ours.name!r} may be missing in the stack (optional), but this bundle was trained where it never "
            "was; build the stack with optional = false for it, or train a bundle with optional = true"
        )


def _check_resolution(bundle: Bundle, stack: xr.Dataset) -> None:
    resolution_m = stack_resolution_m(stack)
    if abs(resolution_m / bundle.resolution_m - 1) > _RESOLUTION_TOLERANCE:
        raise StackError(
            f"stack is {resolution_m:.4g} m but this bundle was trained at {bundle.resolution_m:.4g} m; "
            f"resample the stack to {bundle.resolution_m:.4g} m or train a bundle at {resolution_m:.4g} m"
        )


def _check_some_valid(stack: xr.Dataset) -> None:
    """Reads the mask from the middle outwards, and only until a valid pixel turns up."""
    if VALID not in stack and ("time" in stack.dims or is_scenarios(stack)):
        return  # what a frame lacks is for the net to bear
    if VALID not in {band.name for band in stack_bands(stack)}:
        raise StackError(f"the stack has no band {VALID!r}, which says where its pixels count; build it again")
    shape = (stack.sizes["y"], stack.sizes["x"])
    middle = (shape[0] // 2, shape[1] // 2)
    pieces = sorted(windows(shape, 8 * CHUNK), key=lambda w: abs(w.row - middle[0]) + abs(w.col - middle[1]))
    samples = range(stack.sizes["sample"]) if has_samples(stack) else (...,)
    places = [(sample, *piece.clip(shape).slices) for sample in samples for piece in pieces]
    if not any(stack[VALID][place].to_numpy().any() for place in places):
        raise StackError(
            "the stack has no valid pixel: some continuous band is missing everywhere, or the study area lies outside; "
            "look at the band 'valid' and at the no-data values in the recipe"
        )


def _table(theirs: Band, ours: Band) -> np.ndarray | None:
    """(256,) uint8 from the stack's codes to the bundle's; None where they are the same."""
    if theirs.classes == ours.classes:
        return None
    code_of = {label: code for code, label in enumerate(ours.classes, start=1)}
    table = np.full(256, NO_VALUE, np.uint8)
    for code, label in enumerate(theirs.classes, start=1):
        table[code] = code_of.get(label, NO_VALUE)
    unknown = [label for label in theirs.classes if label not in code_of]
    if unknown:
        warnings.warn(
            f"band {ours.name!r} has {len(unknown)} of {len(theirs.classes)} classes that this bundle has never seen "
            f"and reads as no value: {_names(unknown)}",
            HeadscarpWarning,
            stacklevel=4,
        )
    return table


def _names(names: object, limit: int = 12) -> str:
    listed = [repr(name) for name in names]  # type: ignore[attr-defined]
    return ", ".join(listed[:limit]) + (f" and {len(listed) - limit} more" if len(listed) > limit else "")
