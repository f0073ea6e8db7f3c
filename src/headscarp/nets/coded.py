"""The first layer of a net, a convolution over features, computed from codes and numbers or from dense features.

From codes (on CPUs) the planes of classes and the aligned features are never made: what a pixel adds to its neighbours
is looked up. The result is that of the dense convolution up to rounding (1e-5), gradients of the weights included.
"""

import math
import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import nn

from headscarp.nets import _kernels, _planes
from headscarp.nets._lanes import LANES
from headscarp.nets.codes import Layout
from headscarp.nets.layers import Align, Encode
from headscarp.terrain.uphill import uphill


class CodedConv2d(nn.Module):
    """A convolution over features, zero-padded so that it keeps the shape.

    weight: (out, F, k, k), features in the order of `Encode`, then those of `Align`. bias: (out,).
    """

    bias: torch.Tensor

    def __init__(self, layout: Layout, out: int, kernel: int, *, bias: bool = True) -> None:
        """bias: False keeps it at 0, for a normalisation that comes next and takes it out again.

        Weights start normal with variance 2 / (fan_in), He et al. (2015), where fan_in counts the features that are at
        work in a pixel: one for all classes of a band, not one for each."""
        super().__init__()
        self.layout = layout
        active = len(layout.numbers) + len(layout.planes)
        active += layout.ranges * (len(layout.aligned_numbers) + len(layout.aligned_planes))
        features = layout.features + layout.ranges * layout.aligned
        self.weight = nn.Parameter(torch.empty(out, features, kernel, kernel))
        if bias:
            self.bias = nn.Parameter(torch.zeros(out))
        else:
            self.register_buffer("bias", torch.zeros(out), persistent=False)
        nn.init.normal_(self.weight, std=math.sqrt(2 / (active * kernel**2)))
        self._tables: tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]] | None = None

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """features: (B, F, H, W). Returns (B, out, H, W)."""
        return nn.functional.conv2d(features, self.weight, self.bias, padding=self.weight.shape[-1] // 2)

    def coded(self, tiles: Sequence[tuple[np.ndarray, ...]]) -> torch.Tensor:
        """The same from codes and numbers: `read_tile` of each tile of a batch. CPU, float32; channels last."""
        tables, numbers = self._current_tables()
        bias = nn.functional.pad(self.bias, (0, -self.bias.shape[0] % LANES))
        size = (self.weight.shape[-1], bias.shape[0], self.bias.shape[0])
        out: torch.Tensor = _Lookup.apply(tables, numbers, bias, tiles, self.layout.plan, size)
        return out

    def _current_tables(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Tables of the weights as they are now; kept as long as the weights stay the same and need no gradient."""
        if torch.is_grad_enabled() and self.weight.requires_grad:
            return self.layout.tables(self.weight)
        kept = self._tables
        if kept is None or not torch.equal(kept[0], self.weight):
            weight = self.weight.detach().clone()
            kept = self._tables = (weight, self.layout.tables(weight))
        return kept[1]


def read_tile(
    x: torch.Tensor, valid: torch.Tensor, layout: Layout, encode: Encode, align: Align | None
) -> tuple[np.ndarray, ...]:
    """Codes (groups, H, W), numbers (N, H, W), and for each range where the highest ring pixel is: drow, dcol, above.

    x: (C, H, W) float32, valid: (H, W) bool, on the CPU.
    """
    bands, shape = x.detach().contiguous().numpy(), tuple(x.shape[1:])
    codes = np.empty((len(layout.groups) + len(layout.aligned_groups), *shape), np.int32)
    _kernels.read_codes(bands, layout.plane_channel, layout.plane_group, layout.plane_row, codes)
    return codes, read_numbers(bands, layout, encode), *read_uphill(bands, valid, align)


def dense_features(
    x: torch.Tensor,
    valid: torch.Tensor,
    layout: Layout,
    encode: Encode,
    align: Align | None,
    *,
    out: torch.Tensor | None = None,
) -> torch.Tensor:
    """(B, F, H, W) float32 of a batch on the CPU: one-hot planes and aligned features written once, in one go."""
    bands, (b, _, h, w) = x.detach().contiguous().numpy(), x.shape
    aligned = layout.ranges * layout.aligned
    out = torch.empty((b, layout.features + aligned, h, w)) if out is None else out
    planes = out.numpy()

    def one(i: int) -> None:
        numbers = read_numbers(bands[i], layout, encode)
        _planes.write_features(bands[i], layout.dense_planes, numbers, layout.number_column, planes[i])
        if align is not None:
            into = planes[i, layout.features :].reshape(layout.ranges, layout.aligned, h, w)
            where, columns, aligned_numbers = layout.dense_aligned
            up = read_uphill(bands[i], valid[i], align)
            _planes.write_aligned(bands[i], where, columns, numbers, aligned_numbers, up, into)

    side_by_side(one, b)
    return out


def read_numbers(bands: np.ndarray, layout: Layout, encode: Encode) -> np.ndarray:
    """(N, H, W) float32: the features that are no classes, 0 where missing."""
    numbers = np.empty((len(layout.numbers), *bands.shape[1:]), np.float32)
    mean, std = np.zeros(len(numbers), np.float32), np.ones(len(numbers), np.float32)
    mean[layout.number_kind == 0], std[layout.number_kind == 0] = encode.mean.numpy(), encode.std.numpy()
    _kernels.read_numbers(bands, layout.number_channel, layout.number_kind, mean, std, numbers)
    return numbers


def read_uphill(
    bands: np.ndarray, valid: torch.Tensor, align: Align | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """drow, dcol int16 and above bool, (ranges, H, W) each."""
    if align is None:
        none = (0, *bands.shape[1:])
        return np.empty(none, np.int16), np.empty(none, np.int16), np.empty(none, np.bool_)
    elevation, usable = bands[align.elevation_at], valid.contiguous().numpy()
    found = [uphill(elevation, r, points=align.points, valid=usable, threads=1) for r in align.radii]
    return np.stack([f.drow for f in found]), np.stack([f.dcol for f in found]), np.stack([f.above for f in found])


def side_by_side(work: Callable[[int], Any], count: int) -> list[Any]:
    """work(0), work(1), ... in as many threads as torch may use; in this one where that is one."""
    threads = min(count, torch.get_num_threads())
    if threads < 2:
        return [work(i) for i in range(count)]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, range(count)))


class _Kept(threading.local):
    """The room that a thread's last result was in, and whether that result is still held by someone."""

    array: np.ndarray | None = None
    lent: weakref.ref[np.ndarray] | None = None


_kept = _Kept()


def _room(count: int) -> torch.Tensor:
    """`count` float32 numbers of any value, where this thread's last result was, once nobody holds that any more.

    Memory that is new to the process costs as much as half of the work done in it.
    """
    if _kept.array is None or _kept.array.size != count or (_kept.lent is not None and _kept.lent() is not None):
        _kept.array = np.empty(count, np.float32)
    view = _kept.array[:]  # torch holds this object for as long as the memory is in use
    _kept.lent = weakref.ref(view)
    return torch.from_numpy(view)


class _Lookup(torch.autograd.Function):
    """The first layer over tiles, with the gradients of tables, number weights and bias."""

    @staticmethod
    def forward(ctx: Any, tables: Any, numbers: Any, bias: Any, tiles: Any, plan: Any, size: Any) -> torch.Tensor:
        channels = size[2]
        height, width = tiles[0][0].shape[1:]
        size_of_one = height * width * channels
        out = (
            _room(len(tiles) * size_of_one) if not any(ctx.needs_input_grad) else torch.empty(len(tiles) * size_of_one)
        )
        flat = out.numpy().reshape(len(tiles), size_of_one)
        weights = tuple(w.detach().reshape(-1).numpy() for w in (tables, numbers, bias))
        side_by_side(lambda i: _kernels.convolve(tiles[i], plan, weights, size, flat[i]), len(tiles))
        ctx.tiles, ctx.plan, ctx.size = tiles, plan, size
        ctx.shapes = tables.shape, numbers.shape, bias.shape
        return out.view(len(tiles), height, width, channels).permute(0, 3, 1, 2)  # (B, out, H, W), channels last

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        kernel, lanes, channels = ctx.size
        gradient = nn.functional.pad(gradients[0].permute(0, 2, 3, 1).float(), (0, lanes - channels))
        flat = gradient.contiguous().view(len(ctx.tiles), -1).numpy()

        def one(i: int) -> tuple[np.ndarray, ...]:
            totals = tuple(np.zeros(shape.numel()) for shape in ctx.shapes)
            _kernels.convolve_gradient(ctx.tiles[i], ctx.plan, flat[i], (kernel, lanes), totals)
            return totals

        sums = [sum(parts) for parts in zip(*side_by_side(one, len(ctx.tiles)), strict=True)]
        grads = [torch.from_numpy(s).float().view(shape) for s, shape in zip(sums, ctx.shapes, strict=True)]
        return (*grads, None, None, None)
