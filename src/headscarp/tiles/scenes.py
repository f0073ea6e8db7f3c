"""What goes with the pictures of scenarios: the task of each sample, the numbers that a net is told, and the picture
that a place departs from: of a series the newest clear value of each pixel.

Pixels of tiles are read elsewhere. Refuses what `check_scenarios` refuses.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from headscarp.core.band import Band
from headscarp.core.domains import CLOUD
from headscarp.core.samples import GROUP
from headscarp.core.scenarios import AFTER, check_scenarios, numbers_of, task_codes
from headscarp.core.stack import feature_bands, stack_bands
from headscarp.imagery.clouds import clear_looks, hide
from headscarp.imagery.composites import latest
from headscarp.tiles.series import read_series

QUALITY = "quality"


@dataclass(frozen=True)
class Scenes:
    """task: (S,) place in TASKS. metadata: (S, M) as TOLD, NaN where unknown. targets: names of the bands after."""

    task: NDArray[np.int64]
    metadata: NDArray[np.float32]
    targets: tuple[str, ...]


def read_scenes(stack: xr.Dataset, bands: Sequence[Band]) -> Scenes:
    """The facts of a stack of scenarios. bands: what is read; targets are of those that have one, in their order."""
    check_scenarios(stack)
    targets = tuple(AFTER + band.name for band in bands if AFTER + band.name in stack)
    return Scenes(task_codes(stack), numbers_of(stack), targets)


def quality_band(stack: xr.Dataset) -> Band | None:
    """The band that says where the ground is seen, `quality` or `cloud`; None of a stack that is taken to be clear."""
    return next((b for b in stack_bands(stack) if b.kind == "categorical" and b.name in (QUALITY, CLOUD)), None)


def picture_bands(stack: xr.Dataset) -> tuple[Band, ...]:
    """The bands that nets read which make pictures: of a series all but its quality, which hides what is clouded."""
    quality = quality_band(stack) if "time" in stack.dims else None
    return tuple(band for band in feature_bands(stack) if band != quality)


def picture_before(stack: xr.Dataset, names: Sequence[str], sample: int) -> NDArray[np.float32]:
    """(K, y, x) these bands of a sample before its task: as they stand, or of a series the newest clear value of all
    those in frames, NaN where there is none."""
    arrays = {name: stack[name][sample] for name in names}
    framed = [name for name, array in arrays.items() if "time" in array.dims]
    planes = {name: array.to_numpy() for name, array in arrays.items() if name not in framed}
    if framed:
        one = stack.isel(sample=[sample])
        series = read_series(one)
        order = np.argsort(series.days[0], kind="stable")[: int(series.present[0].sum())]  # NaN, no frame, comes last
        frames = np.stack([arrays[name].to_numpy()[order] for name in framed], axis=1)  # (T, K, y, x)
        quality = quality_band(stack)
        if quality is not None:
            frames = hide(frames, clear_looks(one[quality.name][0].to_numpy()[order], quality))
        newest = latest(frames, threads=1) if len(order) else np.full(frames.shape[1:], np.nan, np.float32)
        planes |= dict(zip(framed, newest, strict=True))
    return np.stack([planes[name] for name in names])


class Places:
    """What the places of a stack of scenarios look like before their tasks; of a series each is put together once."""

    def __init__(self, stack: xr.Dataset, names: Sequence[str]) -> None:
        """names: of the bands."""
        self.stack, self.names, self._series = stack, list(names), "time" in stack.dims
        self._held: dict[str, NDArray[np.float32]] = {}

    def before(self, sample: int) -> NDArray[np.float32]:
        """`picture_before` of a sample."""
        if not self._series:
            return picture_before(self.stack, self.names, sample)
        place = str(self.stack[GROUP][sample].item())
        if place not in self._held:
            self._held[place] = picture_before(self.stack, self.names, sample)
        return self._held[place]

    def seen(self, sample: int) -> NDArray[np.bool_] | None:
        """(y, x) where a series shows a place; None: everywhere."""
        return np.asarray(np.isfinite(self.before(sample)).all(axis=0)) if self._series else None

    def is_seen(self, sample: int) -> bool:
        """Whether anything of a place is."""
        seen = self.seen(sample)
        return seen is None or bool(seen.any())
