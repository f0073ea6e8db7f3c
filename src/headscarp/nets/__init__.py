"""The nets, in one visible dict, and how they are made: new, or from a bundle.

A newcomer adds a net as one file and one line here; the contract tests then run over it.
"""

import difflib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from headscarp.core.band import Band
from headscarp.core.bundle import Bundle, member_weights
from headscarp.core.errors import BundleError, RecipeError, StackError
from headscarp.nets.anomaly import Anomaly
from headscarp.nets.baselines import Prevalence, Random, Slope
from headscarp.nets.cgan import CGAN
from headscarp.nets.deeplab import DeepLab
from headscarp.nets.direct import Direct
from headscarp.nets.ensemble import Ensemble
from headscarp.nets.flow import Flow
from headscarp.nets.forecast import Forecast
from headscarp.nets.kind import Kind
from headscarp.nets.logistic import LLR
from headscarp.nets.mlp import NN, SANN
from headscarp.nets.net import Net, Statistics
from headscarp.nets.patch import Patch
from headscarp.nets.sacnn import SACNN
from headscarp.nets.scarp_unet import UNet
from headscarp.nets.spectral import Spectral
from headscarp.nets.unet import CNN
from headscarp.nets.vae import VAE

NETS: dict[str, type[Net]] = {
    "prevalence": Prevalence,
    "random": Random,
    "slope": Slope,
    "llr": LLR,
    "nn": NN,
    "sann": SANN,
    "cnn": CNN,
    "sacnn": SACNN,
    "unet": UNet,
    "deeplab": DeepLab,
    "patch": Patch,
    "anomaly": Anomaly,
    "spectral": Spectral,
    "vae": VAE,
    "forecast": Forecast,
    "kind": Kind,
    "flow": Flow,
    "direct": Direct,
    "cgan": CGAN,
}

__all__ = ["NETS", "make_net", "net_from_bundle", "weights_of"]


def make_net(
    name: str,
    bands: Sequence[Band],
    *,
    resolution_m: float,
    statistics: Statistics,
    arguments: Mapping[str, Any] | None = None,
) -> Net:
    """A new net by name. Its weights are drawn from torch's default generator: seed that first to repeat it.

    bands: what it reads, in order. arguments: the net's own keyword arguments.
    Raises RecipeError for an unknown net or argument, StackError for bands that do not do.
    """
    if name not in NETS:
        near = difflib.get_close_matches(name, NETS, n=1, cutoff=0.0)
        raise RecipeError(f"there is no net {name!r}; the nearest is {near[0]!r}, of {', '.join(NETS)}")
    arguments = dict(arguments or {})
    _check_arguments(name, arguments)
    return NETS[name](tuple(bands), resolution_m=resolution_m, statistics=statistics, **arguments)


def net_from_bundle(bundle: Bundle) -> Net:
    """The trained net of a bundle, on the CPU, ready to predict; the mean of its members where it has several.

    Raises BundleError where its parts do not match.
    """
    if bundle.members > 1:
        whole = [replace(bundle, members=1, weights=member_weights(bundle, k)) for k in range(bundle.members)]
        return Ensemble([net_from_bundle(member) for member in whole]).eval()
    scaled = [band.name for band in bundle.bands if band.kind == "continuous"]
    unscaled = Statistics(mean=dict.fromkeys(scaled, 0.0), std=dict.fromkeys(scaled, 1.0))
    with torch.random.fork_rng(devices=[]):
        try:
            net = make_net(
                bundle.net,
                bundle.bands,
                resolution_m=bundle.resolution_m,
                statistics=unscaled,
                arguments=bundle.arguments,
            )
            net.load_state_dict({key: torch.tensor(array) for key, array in bundle.weights.items()})
        except (RecipeError, StackError, RuntimeError) as error:
            raise BundleError(
                f"the bundle's net {bundle.net!r} cannot be made from it ({error}); train it again, or update Headscarp"
            ) from error
    return net.eval()


def weights_of(net: Net) -> dict[str, np.ndarray]:
    """Weights and buffers of a net by name, as arrays of their own: what a bundle keeps."""
    return {key: tensor.detach().cpu().numpy().copy() for key, tensor in net.state_dict().items()}


def _check_arguments(name: str, arguments: Mapping[str, Any]) -> None:
    common = {"self", "bands", "resolution_m", "statistics"}
    known = {k: p for k, p in inspect.signature(NETS[name].__init__).parameters.items() if k not in common}
    for key in arguments:
        if key not in known:
            raise RecipeError(f"net {name!r} has no argument {key!r}; it takes {', '.join(known) or 'none'}")
    needed = [key for key, p in known.items() if p.default is p.empty and key not in arguments]
    if needed:
        raise RecipeError(f"net {name!r} needs {', '.join(needed)}; give it, see the net's docstring")
