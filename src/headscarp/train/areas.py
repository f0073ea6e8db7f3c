"""How large a share of a place a task changes, fitted after training: tables for `nets.areas`.

The shape is that of all training places under the task, whose areas are facts; how far a place bends it, by what the
guess of the net says of it, is learned from places of the validation part, since a net knows its training places too
well. Refuses nothing: a task that changes nothing, or of which too little is known, has no table.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from headscarp.core.band import Band
from headscarp.nets.areas import QUANTILES, Areas, angle
from headscarp.nets.flow import Flow
from headscarp.tiles.reader import TileReader
from headscarp.tiles.sampling import batches
from headscarp.tiles.tiling import whole_tile
from headscarp.train.cases import Case
from headscarp.train.suitejudge import SuiteJudge

_FEWEST, _LEAST = 9, 1e-3
_LINE = 2  # numbers that are learned from held-out places
_BATCH, _DRAWS = 16, 16

Floats = NDArray[np.float64]


def fitted_areas(
    net: Flow, judge: SuiteJudge, training: Sequence[Case], held: Sequence[Case], bands: Sequence[Band]
) -> Areas:
    """By task a table, see `nets.areas.Areas`. training: cases that give the shape. held: those of the validation part;
    nothing of theirs is kept but three numbers of a task."""
    likely, wide = _guessed(net, judge, held, bands)
    tables: Areas = {}
    for task in dict.fromkeys(case.task for case in held):
        usual = np.concatenate([_angles(judge, case) for case in training if case.task == task] or [np.zeros(0)])
        mine = [i for i, case in enumerate(held) if case.task == task]
        came = [_angles(judge, held[i]) for i in mine]
        if min(len(usual), len(mine)) >= _FEWEST and usual.std() > _LEAST:
            tables[task] = table(usual, came, likely[mine], wide)
    return tables


def table(usual: Floats, came: Sequence[Floats], likely: Floats, wide: float) -> list[float]:
    """One table. usual: angles of training places. came: for each held-out place, those of its futures. likely: angles
    of what was guessed of these. wide: how much wider chance is drawn. Strengths are as they were learned.

    A straight line through the held-out places says how far angles follow the guess, never against it, and how much
    narrower what is left is than all training places, as it would be of places that the line was not laid through. As
    far as the line explains nothing, their mean is trusted more.
    """
    mean, x = float(np.mean([of.mean() for of in came])), likely - likely.mean()
    rise = max(
        0.0, float(np.mean([(of - mean).mean() * by for of, by in zip(came, x, strict=True)]) / max(x.var(), 1e-9))
    )
    left = np.concatenate([of - mean - rise * by for of, by in zip(came, x, strict=True)])
    places = len(came)
    narrow = min(1.0, float(left.std() / usual.std() * np.sqrt((places + _LINE) / (places - _LINE))))
    middle = narrow**2 * usual.mean() + (1 - narrow**2) * mean
    quantiles = np.quantile(usual, np.linspace(0, 1, QUANTILES)) - usual.mean()
    return [rise, wide, 0.0, *(middle - rise * likely.mean() + narrow * quantiles).tolist()]


def _guessed(net: Flow, judge: SuiteJudge, held: Sequence[Case], bands: Sequence[Band]) -> tuple[Floats, float]:
    """(cases,) angles of the share that the guess says of each place; and by what the chance of a pixel is multiplied,
    so that that of a place as a whole has a deviation of 1."""
    reader, (rows, cols) = TileReader(judge.stack, bands), (judge.stack.sizes["y"], judge.stack.sizes["x"])
    tiles = [whole_tile((rows, cols), net.align, sample=case.samples[0]) for case in held]
    device = next(p.device for p in net.parameters())
    likely, chances = [], []
    with torch.inference_mode():
        for batch in batches(reader, tiles, batch_size=_BATCH, workers=1):
            there = net.as_picture(batch.to(device))
            around = net.share_around(there)[:, 0, :rows, :cols].cpu().numpy()
            seen = [judge.places.seen(tile.sample) for tile in batch.tiles]
            likely += [
                float((one if mask is None else one[mask]).mean()) for one, mask in zip(around, seen, strict=True)
            ]
            drawn = [net.share_chance(there, number)[..., :rows, :cols].mean(dim=(1, 2, 3)) for number in range(_DRAWS)]
            chances.append(torch.stack(drawn).cpu().numpy().ravel())
    apart = float(np.sqrt(np.mean(np.concatenate(chances) ** 2))) if chances else 1.0
    return _angle(np.array(likely)), 1 / apart


def _angles(judge: SuiteJudge, case: Case) -> Floats:
    """(F,) angles of the shares that the futures of a case change."""
    seen = judge.places.seen(case.samples[0])
    changed = [judge.stack[judge.label][sample].to_numpy() == 1 for sample in case.samples]
    return _angle(np.array([float((one if seen is None else one[seen]).mean()) for one in changed]))


def _angle(shares: Floats) -> Floats:
    return np.asarray(angle(torch.from_numpy(shares)).numpy())
