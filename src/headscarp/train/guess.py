"""The guess of a trained `flow` as a bundle of the net `direct`: one future in one pass, learned beside the flow.

Refuses bundles of other nets.
"""

from dataclasses import replace
from pathlib import Path

import xarray as xr

from headscarp.core.bundle import Bundle, as_bundle
from headscarp.core.errors import BundleError
from headscarp.nets import net_from_bundle
from headscarp.tiles.splits import split_from_json
from headscarp.train.spread import scenes_for
from headscarp.train.suites import judged_futures

_OF_FLOW = ("steps", "future", "spread", "shrink", "areas", "turns")


def guess_of(bundle: Bundle | str | Path, stack: xr.Dataset | str | Path) -> Bundle:
    """A bundle of `direct` that says what the guess of a flow says, with its metrics on the validation part.

    Both learn the same by the same losses, so it is what `direct` would be after as many epochs, chance in training
    aside. stack: the one that the flow was trained on; its other parts are not looked at. Raises BundleError for
    another net, StackError where the stack does not fit.
    """
    bundle = as_bundle(bundle)
    if bundle.net != "flow":
        raise BundleError(f"the bundle holds the net {bundle.net!r}, which makes no guess; take flow, or train direct")
    stack = scenes_for(bundle, stack)
    whole = {name: array for name, array in bundle.weights.items() if name.split(".")[0] not in ("unet", "extents")}
    weights = {f"unet.{name.removeprefix('guess.')}" if name.startswith("guess.") else name: array
               for name, array in whole.items()}  # fmt: skip
    arguments = {name: value for name, value in bundle.arguments.items() if name not in _OF_FLOW}
    guess = replace(bundle, net="direct", weights=weights, arguments=arguments, calibration={})
    return judged_futures(guess, net_from_bundle(guess), stack, split_from_json(bundle.split))
