"""Cases in which a forecast is asked again with less: fewer frames, one sensor, later news, rain from afar, clouds.

A case changes what a net is given and nothing of what came, so that all cases are scored on the same places. Refuses
nothing; what a stack cannot tell (rain from afar) is no case of it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from headscarp.core.band import Band
from headscarp.core.domains import CLOUD, CLOUD_CLASSES, REFLECTANCE, SENSORS
from headscarp.core.tile import Window
from headscarp.nets.batch import Batch
from headscarp.nets.metadata import NAMES
from headscarp.tiles.dataset import raster_shape, read_window
from headscarp.tiles.series import read_series, with_delay

AS_IT_IS = "as it is"
TABLES = ("frames", "sensors", "delay", "rain", "clouds")
FRAMES = (1, 2, 4, 8, 12, 24)
DELAYS_DAYS = (0.0, 15.0)
RAIN_KM = (10, 30)

_CLOUDED = 0.95  # share under cloud from which on a frame is a picture of clouds
_ENOUGH_PICTURES = 40
_BRIGHT = 0.6  # of clouds where no frame shows any

Given = Callable[[Batch], Batch]


@dataclass(frozen=True)
class Case:
    """table: what varies in it and its neighbours. name: of the case. stack: the stack as it is read in it, its pixels
    and what came untouched. given: what is done to each batch before a net sees it; None: nothing."""

    table: str
    name: str
    stack: xr.Dataset
    given: Given | None = None

    @property
    def id(self) -> str:
        return f"{self.table}/{self.name}".replace(" ", "-")


def cases_of(stack: xr.Dataset, bands: Sequence[Band], *, seed: int = 0) -> list[Case]:
    """Every case of a stack of domains, table by table. bands: what the net reads, in its order. seed: of clouds."""
    slots = stack.sizes["time"]
    cases = [Case("frames", f"newest {n}", newest_frames(stack, n)) for n in FRAMES if n < slots]
    cases += [Case("sensors", f"{kept} only", only_sensors(stack, (kept,))) for kept in SENSORS]
    cases += [Case("sensors", "no frames", only_sensors(stack, ()))]
    cases += [Case("delay", f"{days:g} days", with_delay(stack, days)) for days in DELAYS_DAYS]
    cases += [
        Case("rain", f"from {km} km away", stack.assign(rain_mm_per_day=stack[f"rain_{km}km"]))
        for km in RAIN_KM
        if f"rain_{km}km" in stack.variables
    ]
    under = clouds_over(stack, bands, seed=seed)
    cases += [Case("clouds", "Landsat clouded", stack, under)]
    cases += [Case("clouds", "Landsat clouded, no Sentinel-1", only_sensors(stack, ("landsat",)), under)]
    return cases


def newest_frames(stack: xr.Dataset, count: int) -> xr.Dataset:
    """The stack with at most the newest `count` frames of each sample that were published at its cut-off."""
    present = read_series(stack).present
    days = np.where(present, stack["days"].to_numpy(), -np.inf)
    rank = np.argsort(np.argsort(-days, axis=1, kind="stable"), axis=1)  # 0 the newest
    return _hidden(stack, ~(present & (rank < count)))


def only_sensors(stack: xr.Dataset, kept: Sequence[str]) -> xr.Dataset:
    """The stack without the frames of other sensors. kept: names of SENSORS."""
    sensor = stack["sensor"].to_numpy()
    return _hidden(stack, ~np.isin(sensor, [SENSORS.index(name) + 1 for name in kept]))


def clouds_over(stack: xr.Dataset, bands: Sequence[Band], *, seed: int = 0) -> Given:
    """A function that covers every Landsat frame of a batch with clouds.

    The clouds are those of frames of the stack that show little else, one drawn for each frame; where there are none,
    a bright grey. The quality band says cloud, and the cloud share is 1: a net that reads these is told.
    """
    names = [band.name for band in bands]
    optical = [names.index(name) for name in REFLECTANCE if name in names]
    pictures = _pictures(stack, [names[i] for i in optical], seed)
    quality = names.index(CLOUD) if CLOUD in names else None

    def given(batch: Batch) -> Batch:
        x = batch.x.clone()
        seen = torch.isfinite(x[:, :, optical[0]]).flatten(2).any(-1) if optical else x.new_zeros(x.shape[:2]).bool()
        for b, t in seen.nonzero().tolist():
            rng = np.random.default_rng([seed, batch.tiles[b].sample if batch.tiles else b, t])
            picture = pictures[int(rng.integers(len(pictures)))]
            x[b, t, optical] = _fitted(torch.from_numpy(picture), (x.shape[-2], x.shape[-1]))
            if quality is not None:
                x[b, t, quality] = float(CLOUD_CLASSES.index("cloud") + 1)
        if batch.metadata is None:
            return replace(batch, x=x)
        metadata = batch.metadata.clone()
        metadata[..., NAMES.index("cloud_share")][seen] = 1.0
        return replace(batch, x=x, metadata=metadata)

    return given


def _hidden(stack: xr.Dataset, hidden: NDArray[np.bool_]) -> xr.Dataset:
    """The stack with empty slots where `hidden`: (S, T)."""
    days = np.where(hidden, np.float32(np.nan), stack["days"].to_numpy())
    sensor = np.where(hidden, np.uint8(0), stack["sensor"].to_numpy())
    dims = stack["days"].dims
    return stack.assign(days=(dims, days), sensor=(dims, sensor))


def _pictures(stack: xr.Dataset, names: Sequence[str], seed: int) -> NDArray[np.float32]:
    """(P, C, y, x) reflectances of frames that show little but clouds."""
    shape = raster_shape(stack)
    grey = np.full((1, len(names), *shape), _BRIGHT, np.float32)
    if not names or "cloud_share" not in stack.variables:
        return grey
    share = np.where(stack["sensor"].to_numpy() == 1, np.nan_to_num(stack["cloud_share"].to_numpy()), 0.0)
    found = np.random.default_rng(seed).permutation(np.argwhere(share >= _CLOUDED))[:_ENOUGH_PICTURES]
    window = Window(0, 0, *shape)
    pictures = [np.stack([read_window(stack[name], window, sample=s)[t] for name in names]) for s, t in found.tolist()]
    pictures = [picture for picture in pictures if np.isfinite(picture).all()]
    return np.stack(pictures) if pictures else grey


def _fitted(picture: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    """The picture repeated or cut to a shape; clouds have no place of their own."""
    rows, cols = (torch.arange(n) % m for n, m in zip(shape, picture.shape[-2:], strict=True))
    return picture[:, rows][:, :, cols]
