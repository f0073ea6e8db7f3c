"""Encoders of timm, and weights for any encoder from a local file or from the hub. Reads tensors only, never code.

Says where weights come from and under which licence, as far as that is written down. Refuses files that do not hold the
encoder that is asked for, naming what is missing.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from headscarp.core.errors import HeadscarpWarning, RecipeError, SourceError
from headscarp.core.provenance import file_sha256
from headscarp.nets._torchvision import import_with_torchvision

_PREFIXES = ("module.", "model.", "backbone.", "encoder.", "encoder_q.", "base_encoder.")
_HEADS = ("fc.", "classifier.", "head.")
_WRAPPED = ("state_dict", "teacher", "model", "encoder")
_ANY_SIZE = {"dynamic_img_size": True, "dynamic_img_pad": True}

IMAGENET = "imagenet"
UNKNOWN_LICENCE = "not said by the file; see where it comes from"
_LICENCE_KEYS = ("license", "licence")


@dataclass(frozen=True)
class Pretrained:
    """What is said of the weights that an encoder begins with. weights: None from scratch, the path of a local file, or
    "imagenet" from the hub. licence, source: of the file, where it says nothing itself; "" for not said."""

    weights: str | None = None
    licence: str = ""
    source: str = ""


def timm_encoder(
    name: str, pretrained: Pretrained, *, channels: int, classes: int, reads: Sequence[str] | None = None
) -> tuple[nn.Module, dict[str, str]]:
    """An encoder of timm for so many channels, with so many outputs at its end (0: none), and where its weights come
    from: nothing where it begins from scratch. Vision transformers take images of any size.

    reads: see `load_encoder`. Raises RecipeError for an encoder that timm does not have, SourceError for weights that
    cannot be had.
    """
    timm = import_with_torchvision("timm")
    if not timm.is_model(name):
        raise RecipeError(f"there is no encoder {name!r} in timm; use one such as resnet18 or resnet50")
    hub = pretrained.weights == IMAGENET
    try:
        made: Any = _create(timm, name, pretrained=hub, in_chans=channels, num_classes=classes)
    except Exception as error:  # of hubs, of many kinds
        if not hub:
            raise RecipeError(f"timm cannot make encoder {name!r} for {channels} bands ({error})") from error
        raise SourceError(
            f"the ImageNet weights of {name!r} cannot be fetched ({type(error).__name__}); where there is no "
            "network, fetch the file elsewhere and give its path as weights, or leave weights out"
        ) from error
    origin = {}
    if pretrained.weights is None:
        _start_every_branch(made)
    elif hub:
        facts = made.pretrained_cfg
        source = facts.get("hf_hub_id") or facts.get("url") or name
        licence = pretrained.licence or facts.get("license") or UNKNOWN_LICENCE
        origin = {"source": pretrained.source or str(source), "licence": str(licence)}
    else:
        origin = load_encoder(made, pretrained, reads=reads)
    return flat_counters(made), origin


def load_encoder(encoder: nn.Module, pretrained: Pretrained, *, reads: Sequence[str] | None = None) -> dict[str, str]:
    """Puts the weights of a file into an encoder, in place; returns the file, its source, sha256 and licence.

    The file: .safetensors, or a state dict of torch (.pt, .pth, .ckpt; read with weights_only). Names may carry
    prefixes such as "module.encoder_q."; a classifier at the end is left out, and so is all else that the encoder does
    not have, as heads and queues of self-supervised training. reads: the bands that the first layer reads, in order;
    None: it is adapted by `adapt_channels`. The licence is what stands under "license" in the metadata of .safetensors,
    or beside the state dict of torch; else the text file with ".license" behind the file's name; else what is said of
    it, and without that a HeadscarpWarning is given. Raises SourceError for a file that cannot be read, RecipeError for
    one of another encoder, of other bands, or of another licence than is said.
    """
    path = Path(str(pretrained.weights))
    tensors, stated = _read(path)
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
    if reads is not None and found[first].shape[1] != len(reads):
        raise RecipeError(
            f"the first layer of {path} reads {found[first].shape[1]} bands, but weights_bands names {len(reads)} "
            f"({', '.join(band or '-' for band in reads)}); name those that the file was trained on, in its order"
        )
    found[first] = adapt_channels(found[first], wanted[first].shape[1])
    wrong = [name for name in needed if found[name].shape != wanted[name].shape]
    if wrong:
        there, here = tuple(found[wrong[0]].shape), tuple(wanted[wrong[0]].shape)
        raise RecipeError(
            f"{wrong[0]!r} in {path} is {there}, that of the encoder is {here}; "
            "give a file of the same encoder, or set encoder to the one that the file holds"
        )
    encoder.load_state_dict({name: found[name] for name in needed}, strict=False)
    licence = _licence_of(path, stated, pretrained.licence)
    source = pretrained.source or str(path)
    return {"source": source, "file": path.name, "sha256": file_sha256(path), "licence": licence}


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
    for key in _WRAPPED:
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
    tensors = {k: v for k, v in state.items() if isinstance(v, torch.Tensor)} if isinstance(state, Mapping) else {}
    if not tensors:
        raise SourceError(f"{path} holds no tensors by name; give a state dict")
    return tensors, licence


def _licence_in(facts: Mapping[str, Any]) -> str:
    return next((str(facts[key]) for key in _LICENCE_KEYS if isinstance(facts.get(key), str)), "")


def _licence_of(path: Path, stated: str, said: str) -> str:
    """What the file states or what lies beside it, else what the user says of it."""
    beside = path.with_name(f"{path.name}.license")
    stated = stated or (beside.read_text(encoding="utf-8").strip() if beside.is_file() else "")
    if stated and said and stated.casefold() != said.casefold():
        raise RecipeError(f"{path} states the licence {stated!r}, weights_licence says {said!r}; leave that out")
    if not stated and not said:
        warnings.warn(
            f"{path} states no licence, and the bundle will say so; find it out before you pass the bundle on, and "
            'give it, such as weights_licence = "CC0-1.0"',
            HeadscarpWarning,
            stacklevel=2,
        )
    return stated or said or UNKNOWN_LICENCE


def _create(timm: Any, name: str, **how: Any) -> Any:
    """The model, for images of any size where it has to be told that."""
    try:
        return timm.create_model(name, **_ANY_SIZE, **how)
    except TypeError:  # it knows no such argument
        return timm.create_model(name, **how)


def _start_every_branch(encoder: nn.Module) -> None:
    """timm starts residual branches at 0, so that their first convolutions learn nothing in the first steps; with few
    places and few steps they had better begin."""
    for layer in encoder.modules():
        if isinstance(layer, nn.BatchNorm2d) and not layer.weight.any():
            nn.init.ones_(layer.weight)


def _bare(name: str) -> str:
    while name.startswith(_PREFIXES):
        name = name.partition(".")[2]
    return name
