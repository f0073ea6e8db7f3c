"""The forecast beside which a generator is trained: opened, checked, and named in the record of the training; and how
far what it says of futures is from what it says of what came.

The steps of the training are those of `adversarial`. Refuses bundles that hold no forecast, and places that it cannot
judge.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from headscarp.core.bundle import Bundle, as_bundle, bundle_hash, open_bundle
from headscarp.core.errors import BundleError, RecipeError
from headscarp.nets import net_from_bundle
from headscarp.nets.batch import Batch
from headscarp.nets.cgan import CGAN
from headscarp.nets.forecast import Forecast
from headscarp.nets.futures import FutureNet
from headscarp.nets.joint import ForecastJudge
from headscarp.tiles.reader import TileReader
from headscarp.tiles.sampling import batches
from headscarp.tiles.splits import split_from_json
from headscarp.tiles.tiling import whole_tile
from headscarp.train.spread import scenes_for
from headscarp.train.suitejudge import SuiteJudge
from headscarp.train.suiteopponents import COPY

FORECAST = "forecast"
"""The net argument that names the bundle."""
_BATCH = 16


def beside_inputs(net: str, arguments: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The forecast that a training rests on as provenance names it, so that it goes on with no other one; none where
    there is none. Raises BundleError for a bundle that holds no forecast."""
    path = arguments.get(FORECAST)
    if net != "cgan" or path is None:
        return []
    bundle = opened_forecast(path)
    return [{"name": FORECAST, "path": str(path), "fingerprint": bundle_hash(bundle), **_licence(bundle)}]


def opened_forecast(path: str | Path) -> Bundle:
    """The bundle of a single forecast. Raises BundleError."""
    bundle = open_bundle(path)
    if bundle.net != "forecast" or bundle.members > 1:
        several = f" of {bundle.members} members" if bundle.members > 1 else ""
        raise BundleError(
            f"forecast is {path}, which holds the net {bundle.net!r}{several}; give the bundle of one forecast, made "
            "with: headscarp train domains.zarr --net forecast --out forecast/"
        )
    return bundle


def judge_beside(net: CGAN, batch: Batch, device: torch.device | str) -> ForecastJudge | None:
    """The judge of a generator in training; None where none is named or it has no weight. batch: of its training.

    What judged is written among `pretrained` of the net. Raises BundleError, RecipeError.
    """
    if net.forecast is None:
        return None
    bundle = opened_forecast(net.forecast)
    judge = ForecastJudge(_made(bundle), net)
    _check_side(judge, tuple(batch.x.shape[-2:]), "a training tile")
    if not net.joint:
        return None
    net.pretrained = {
        "judge": f"the forecast {net.forecast}, weight {net.joint:g}",
        "sha256": bundle_hash(bundle),
        **_licence(bundle),
    }
    return judge.to(device)


def agreement(
    bundle: Bundle | str | Path,
    forecast: Bundle | str | Path,
    stack: xr.Dataset | str | Path,
    *,
    part: str = "validation",
    samples: int = 8,
) -> dict[str, dict[str, NDArray[np.float64]]]:
    """How far what a forecast says of a generator's futures is from what it says of what came: by name (the net, and
    `copy_the_input`) and by `nets.joint.SAYS`, (places,) numbers in the order of the stack, each the mean over tasks.

    The fair CRPS of `samples` futures (Ferro 2014), of a single one its error; lower is better. stack: scenarios, of
    which a part of the bundle's split is read. Raises BundleError, RecipeError, StackError.
    """
    bundle = as_bundle(bundle)
    net = net_from_bundle(bundle)
    if not isinstance(net, FutureNet):
        raise BundleError(f"the bundle holds the net {bundle.net!r}, which draws no futures; take flow, cgan or direct")
    stack = scenes_for(bundle, stack)
    judge = ForecastJudge(_made(forecast if isinstance(forecast, Bundle) else opened_forecast(forecast)), net)
    cases = SuiteJudge(stack, net, 0).cases(split_from_json(bundle.split), part)
    shape = (stack.sizes["y"], stack.sizes["x"])
    _check_side(judge, shape, "a place")
    tiles = [whole_tile(shape, net.align, sample=s, name=case.place) for case in cases for s in case.samples]
    found: dict[str, dict[str, dict[str, list[float]]]] = {}
    with torch.inference_mode():
        for batch in batches(TileReader(stack, bundle.bands), tiles, batch_size=_BATCH, workers=2):
            picture = net.as_picture(batch)
            counts = net.planes_of(picture)[1]
            drawn = [made[:, :-1] for made in net.pictures(batch, range(samples if net.by_chance else 1))]
            for name, futures in ((bundle.net, drawn), (COPY, [picture.x[:, net.at]])):
                scores, there = judge.scores(batch, picture, futures, counts)
                for said, values in scores.items():
                    of = found.setdefault(name, {}).setdefault(said, {})
                    for i, tile in enumerate(batch.tiles):
                        places = there.view(len(batch.tiles), -1)[i]
                        of.setdefault(tile.id, []).extend(values.view(len(batch.tiles), -1)[i][places].tolist())
    return {
        name: {said: np.array([np.mean(v) for v in of.values() if v]) for said, of in saying.items()}
        for name, saying in found.items()
    }


def _made(bundle: Bundle) -> Forecast:
    forecast = net_from_bundle(bundle)
    assert isinstance(forecast, Forecast)
    return forecast


def _check_side(judge: ForecastJudge, shape: tuple[int, ...], what: str) -> None:
    side = judge.forecast.place_px
    if any(pixels % side for pixels in shape):
        raise RecipeError(
            f"the forecast judges places of {side} px, but {what} is {shape[0]} x {shape[1]} px; build scenarios whose "
            f"side_px is a multiple of {side}, or set tile_px"
        )


def _licence(bundle: Bundle) -> dict[str, str]:
    """The licence of weights that the forecast itself began with."""
    licence = bundle.made.get("pretrained", {}).get("licence")
    return {"licence": str(licence)} if licence else {}
