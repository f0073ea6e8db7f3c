"""What a forecast says of one place, how far its members or its dropout masks are apart, and which frames it read.

Of places of a stack of domains. Refuses bundles that do not forecast. Intervals tell what the data did not teach the
net; they hold nothing of the weather to come, and do not promise to hold the true probability.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import nn

from headscarp.core.bundle import Bundle, as_bundle
from headscarp.core.errors import BundleError
from headscarp.core.tile import Tile, Window
from headscarp.nets import net_from_bundle
from headscarp.nets.batch import Batch
from headscarp.nets.ensemble import Ensemble
from headscarp.nets.forecast import Forecast
from headscarp.nets.outlook import Outlook
from headscarp.tiles.dataset import as_stack
from headscarp.tiles.fits import check_fits
from headscarp.tiles.reader import TileReader, make_batch

MASKS = 20
"""Dropout masks that stand in for members where a bundle has one net only; Gal and Ghahramani (2016)."""
_EDGES = (0.05, 0.95)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class PlaceOutlook:
    """What is said of a sample. hazards, low, high: (K,) P(event within each horizon), and its interval. causes: (6,)
    P(cause, given an event). cut: from which probability on a cause is in the set, NaN where none was fitted.
    attention: (T,) share of what was read that came from each frame. apart: what the interval is of, in words."""

    sample: int
    hazards: Floats
    low: Floats
    high: Floats
    causes: Floats
    cut: float
    confidence: float
    familiarity: float
    attention: Floats
    apart: str


def outlook_of(
    bundle: Bundle | str | Path, stack: xr.Dataset | str | Path, samples: Sequence[int], *, seed: int = 0
) -> list[PlaceOutlook]:
    """What a forecast says of these samples of a stack of domains.

    The interval is from the least to the greatest member of an ensemble; of a single net from the 5th to the 95th of
    100 over MASKS dropout masks drawn from the seed, widened to hold what it says without. Raises BundleError,
    StackError.
    """
    bundle = as_bundle(bundle)
    stack = as_stack(stack)
    net = net_from_bundle(bundle)
    members = list(net.members) if isinstance(net, Ensemble) else [net]
    if not all(isinstance(member, Forecast) for member in members):
        raise BundleError(
            f"the bundle holds the net {bundle.net!r}, which does not forecast; train one: --net forecast"
        )
    fit = check_fits(bundle, stack)
    reader = TileReader(stack, fit.bands)
    side = -(-max(reader.shape) // net.align) * net.align
    cut = next((float(row["value"]) for row in bundle.metrics if row["metric"] == "set_cut"), float("nan"))
    found = []
    for sample in samples:
        tile = Tile(Window(0, 0, side, side), 0, sample)
        batch = make_batch([reader.read(tile)], [tile])
        with torch.inference_mode():
            told = [_of_tile(member.outlook(batch)) for member in members]  # type: ignore[operator]
            drawn = [hazards for hazards, *_ in told] if len(told) > 1 else _masked(members[0], batch, seed)
        hazards, causes, attention, sure = (np.mean([one[i] for one in told], axis=0) for i in range(4))
        edges = (0.0, 1.0) if len(told) > 1 else _EDGES
        low, high = np.quantile(drawn, edges, axis=0) if drawn else (hazards, hazards)
        apart = f"{len(told)} members" if len(told) > 1 else f"{len(drawn)} dropout masks" if drawn else ""
        low, high = np.minimum(low, hazards), np.maximum(high, hazards)
        found.append(
            PlaceOutlook(sample, hazards, low, high, causes, cut, float(sure[0]), float(sure[1]), attention, apart)
        )
    return found


def _of_tile(said: Outlook) -> tuple[Floats, Floats, Floats, Floats]:
    """Of the places of a tile together: hazards (K,), causes (6,), attention (T,), confidence and familiarity (2,)."""
    h = said.hazards.double().clamp(0, 1 - 1e-12).numpy()
    together = -np.expm1(np.log1p(-h).sum(axis=0))
    share = h[:, -1] / max(h[:, -1].sum(), 1e-12)
    causes = (said.causes.double().numpy() * share[:, None]).sum(axis=0)
    sure = np.array([said.confidence.double().numpy().mean(), said.familiarity.double().numpy().mean()])
    return together, causes, said.attention.double().numpy().mean(axis=0), sure


def _masked(net: nn.Module, batch: Batch, seed: int) -> list[Floats]:
    """Hazards under dropout masks; none where the net drops nothing."""
    layers = [m for m in net.modules() if isinstance(m, nn.Dropout | nn.Dropout2d) and m.p > 0]
    if not layers:
        return []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for layer in layers:
            layer.train()
        try:
            return [_of_tile(net.outlook(batch))[0] for _ in range(MASKS)]  # type: ignore[operator]
        finally:
            for layer in layers:
                layer.eval()
