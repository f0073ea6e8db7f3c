"""Many small tensors as a few long ones: what stands in dicts and lists, with all tensors of a type in one.

Written one by one, the few hundred tensors of a net, its average and its optimiser take as long as steps of training.
Bits and shapes come back as they were; refuses nothing.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch

_MARK = "\0tensor"  # what a text begins with that stands for a tensor


def packed(values: Any) -> tuple[Any, dict[str, torch.Tensor]]:
    """The same dicts, lists and plain values with each tensor replaced by where it is, and the long tensors by type.

    Tensors may be on any device; the long ones are on the CPU, and of their own.
    """
    pieces: dict[str, list[torch.Tensor]] = {}
    tree = _placed(values, pieces, {})
    return tree, {kind: torch.cat(of_kind) for kind, of_kind in pieces.items()}


def unpacked(tree: Any, long: Mapping[str, torch.Tensor]) -> Any:
    """What `packed` was given, each tensor of its own. Raises KeyError and RuntimeError for parts that do not match."""
    if isinstance(tree, str) and tree.startswith(_MARK):
        _, kind, start, *sides = tree.split(" ")
        shape = [int(side) for side in sides]
        return long[kind][int(start) : int(start) + math.prod(shape)].reshape(shape).clone()
    if isinstance(tree, Mapping):
        return {key: unpacked(value, long) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)(unpacked(value, long) for value in tree)
    return tree


def _placed(value: Any, pieces: dict[str, list[torch.Tensor]], ends: dict[str, int]) -> Any:
    """`pieces`, `ends`: of the long tensors so far, by type; they grow."""
    if isinstance(value, torch.Tensor):
        kind = str(value.dtype)
        start = ends.get(kind, 0)
        ends[kind] = start + value.numel()
        pieces.setdefault(kind, []).append(value.detach().reshape(-1).cpu())
        return " ".join([_MARK, kind, str(start), *map(str, value.shape)])  # one text: each object costs when written
    if isinstance(value, Mapping):
        return {key: _placed(one, pieces, ends) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_placed(one, pieces, ends) for one in value)
    return value
