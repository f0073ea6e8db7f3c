"""Encoder weights from a local file, fitted to any number of features. Reads tensors only, never code.

Refuses files that do not hold the encoder that is asked for, naming what is missing.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from headscarp.core.errors import RecipeError, SourceError

_PREFIXES = ("module.", "model.", "backbone.", "encoder.")
_HEADS = ("fc.", "classifier.", "head.")


def load_encoder(encoder: nn.Module, path: str | Path) -> None:
    """Puts the weights of a file into an encoder, in place.

    path: .safetensors, or a state dict of torch (.pt, .pth; read with weights_only). Names may carry a prefix such as
    "encoder."; a classifier at the end is left out. The first layer is adapted by `adapt_channels`. Raises SourceError
    for a file that cannot be read, RecipeError for one of another encoder.
    """
    found = {_bare(name): tensor for name, tensor in _read(Path(path)).items()}
    wanted = encoder.state_dict()
    counters = {name for name in wanted if name.endswith("num_batches_tracked")}
    needed = [name for name in wanted if name not in counters and not name.startswith(_HEADS)]
    missing = [name for name in needed if name not in found]
    if missing:
        raise RecipeError(
            f"{path} holds no weights for {len(missing)} of {len(needed)} layers of the encoder, as {missing[0]!r}; "
            "give a file of the same encoder, or set encoder to the one that the file holds"
        )
    first = next(name for name in needed if wanted[name].ndim == 4)
    found[first] = adapt_channels(found[first], wanted[first].shape[1])
    wrong = [name for name in needed if found[name].shape != wanted[name].shape]
    if wrong:
        there, here = tuple(found[wrong[0]].shape), tuple(wanted[wrong[0]].shape)
        raise RecipeError(
            f"{wrong[0]!r} in {path} is {there}, that of the encoder is {here}; "
            "give a file of the same encoder, or set encoder to the one that the file holds"
        )
    encoder.load_state_dict({name: found[name] for name in needed}, strict=False)


def adapt_channels(weight: torch.Tensor, channels: int) -> torch.Tensor:
    """Weights (O, C, h, w) of a first layer for another number of channels: repeated in turn, and scaled by the ratio.

    Channel i gets the weights of channel i modulo C, times C / channels, so that sums stay as large as they were. With
    as many channels as there are the weights stay as they are, in their order.
    """
    there = weight.shape[1]
    if there == channels:
        return weight
    return weight[:, torch.arange(channels) % there] * (there / channels)


def flat_counters(module: nn.Module) -> nn.Module:
    """The module with its counters of batches as arrays of one dimension, as everything that a bundle holds."""
    for layer in module.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm) and layer.num_batches_tracked is not None:
            layer.num_batches_tracked = layer.num_batches_tracked.reshape(1)
    return module


def _read(path: Path) -> Mapping[str, torch.Tensor]:
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise SourceError(f"there is no file of weights at {path}; check the path in net_arguments") from error
    except Exception as error:  # torch and safetensors raise many kinds for files that are none
        raise SourceError(
            f"{path} cannot be read as weights ({error}); give a .safetensors file, or a state dict of tensors only"
        ) from error
    for key in ("state_dict", "model", "encoder"):
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
    tensors = {k: v for k, v in state.items() if isinstance(v, torch.Tensor)} if isinstance(state, Mapping) else {}
    if not tensors:
        raise SourceError(f"{path} holds no tensors by name; give a state dict")
    return tensors


def _bare(name: str) -> str:
    while name.startswith(_PREFIXES):
        name = name.partition(".")[2]
    return name
