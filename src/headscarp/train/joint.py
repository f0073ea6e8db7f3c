"""The forecast beside which a generator is trained: opened, checked, and named in the record of the training.

Reads the bundle only; the steps are those of `adversarial`. Refuses bundles that hold no forecast, and places that it
cannot judge.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from headscarp.core.bundle import Bundle, bundle_hash, open_bundle
from headscarp.core.errors import BundleError, RecipeError
from headscarp.nets import net_from_bundle
from headscarp.nets.batch import Batch
from headscarp.nets.cgan import CGAN
from headscarp.nets.forecast import Forecast
from headscarp.nets.joint import ForecastJudge

FORECAST, JOINT = "forecast", "joint"
"""The net arguments that name the bundle and weigh what it says."""


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
    forecast = net_from_bundle(bundle)
    assert isinstance(forecast, Forecast)
    judge = ForecastJudge(forecast, net)
    side = forecast.place_px
    if any(pixels % side for pixels in batch.x.shape[-2:]):
        raise RecipeError(
            f"the forecast judges places of {side} px, but a training tile is {batch.x.shape[-2]} x "
            f"{batch.x.shape[-1]} px; build scenarios whose side_px is a multiple of {side}, or set tile_px"
        )
    if not net.joint:
        return None
    net.pretrained = {
        "judge": f"the forecast {net.forecast}, weight {net.joint:g}",
        "sha256": bundle_hash(bundle),
        **_licence(bundle),
    }
    return judge.to(device)


def _licence(bundle: Bundle) -> dict[str, str]:
    """The licence of weights that the forecast itself began with."""
    licence = bundle.made.get("pretrained", {}).get("licence")
    return {"licence": str(licence)} if licence else {}
