"""Encoder weights from a local file, fitted to any number of features. Reads tensors only, never code.

Says where weights come from and under which licence, as far as that is written down. Refuses files that do not hold the
encoder that is asked for, naming what is missing.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from headscarp.core.errors import RecipeError, SourceError

_PREFIXES = ("module.", "model.", "backbone.", "encoder.")
_HEADS = ("fc.", "classifier.", "head.")


UNKNOWN_LICENCE = "not said by the file; see where it comes from"
_LICENCE_KEYS = ("license", "licence")


def load_encoder(encoder: nn.Module, path: str | Path) -> dict[str, str]:
    """Puts the weights of a file into an encoder, in place; returns the file's source, sha256 and licence.

    path: .safetensors, or a state dict of torch (.pt, .pth; read with weights_only). Names may carry a prefix such as
    "encoder."; a classifier at the end is left out. The first layer is adapted by `adapt_channels`. The licence is what
    stands under "license" in the metadata of .safetensors, or beside the state dict of torch; else the text file with
    ".license" behind the file's name. Raises SourceError for a file that cannot be read, RecipeError for one of another
    encoder.
    """
    path = Path(path)
    tensors, licence = _read(path)
    found = {_bare(name): tensor for name, tensor in tensors.items()}
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
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"source": str(path), "sha256": digest, "licence": licence or _licence_beside(path)}


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


def _read(path: Path) -> tuple[Mapping[str, torch.Tensor], str]:
    """Tensors by name, and the licence that stands beside them, "" where none does."""
    try:
        if path.suffix == ".safetensors":
            from safetensors import safe_open

            with safe_open(path, framework="pt") as file:
                names = file.keys()
                return {name: file.get_tensor(name) for name in names}, _licence_in(file.metadata() or {})
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise SourceError(f"there is no file of weights at {path}; check the path in net_arguments") from error
    except Exception as error:  # torch and safetensors raise many kinds for files that are none
        raise SourceError(
            f"{path} cannot be read as weights ({error}); give a .safetensors file, or a state dict of tensors only"
        ) from error
    licence = _licence_in(state) if isinstance(state, Mapping) else ""
    for key in ("state_dict", "model", "encoder"):
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
    tensors = {k: v for k, v in state.items() if isinstance(v, torch.Tensor)} if isinstance(state, Mapping) else {}
    if not tensors:
        raise SourceError(f"{path} holds no tensors by name; give a state dict")
    return tensors, licence


def _licence_in(facts: Mapping[str, Any]) -> str:
    return next((str(facts[key]) for key in _LICENCE_KEYS if isinstance(facts.get(key), str)), "")


def _licence_beside(path: Path) -> str:
    beside = path.with_name(f"{path.name}.license")
    return beside.read_text(encoding="utf-8").strip() if beside.is_file() else UNKNOWN_LICENCE


def _bare(name: str) -> str:
    while name.startswith(_PREFIXES):
        name = name.partition(".")[2]
    return name
