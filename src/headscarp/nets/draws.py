"""Random numbers that belong to places: the same pixel of the same raster draws the same, in whichever tile it is.

Refuses global random state.
"""

import math
from collections.abc import Iterator
from typing import Any

import torch

from headscarp.nets.batch import Batch

Whole = int | torch.Tensor


def uniform_draws(batch: Batch, i: int, *, seed: int) -> torch.Tensor:
    """(H, W) float32 in [0, 1) for tile i of a batch, from seed, sample, row and column.

    Without tiles in the batch, its first pixel is row 0, column 0.
    """
    (row, col), sample = _corner(batch, i)
    return _uniform(seed, sample, *_pixels(batch, row, col))


def normal_draws(batch: Batch, planes: int, *, seed: int) -> torch.Tensor:
    """(B, planes, H, W) float32 from N(0, 1), drawn by place. Method: Box and Muller (1958)."""
    made = torch.empty((len(batch.x), planes, *batch.x.shape[-2:]), device=batch.x.device)
    for at, samples, row, col in _alike(batch):
        rows, cols = _pixels(batch, row, col)
        for plane in range(0, planes, 2):
            u, turn = (_uniform(_mix(seed) + plane + k, samples, rows, cols) for k in (1, 2))  # (b, H, W) each
            radius, angle = (-2 * torch.log1p(-u)).sqrt(), 2 * math.pi * turn
            made[at, plane] = radius * torch.cos(angle)
            if plane + 1 < planes:
                made[at, plane + 1] = radius * torch.sin(angle)
    return made


def smooth_draws(batch: Batch, planes: int, *, seed: int, cell_px: int) -> torch.Tensor:
    """(B, planes, H, W) float32 of mean 0 and variance 1 at every pixel, drawn by place: independent numbers at the
    corners of a lattice of cell_px pixels that begins with the raster, blended between them. Corners on the lattice
    belong to places, so the same pixel gets the same in whichever tile it is."""
    h, w = batch.x.shape[-2:]
    made = torch.empty((len(batch.x), planes, h, w), device=batch.x.device)
    for at, samples, row, col in _alike(batch):
        (top, v), (left, u) = (_between(n, k, cell_px, made.device) for n, k in ((row, h), (col, w)))
        rows, cols = (torch.arange(int(n[0]), int(n[-1]) + 2, device=made.device) for n in (top, left))
        corners = _normal(seed, planes, samples, rows[:, None], cols)  # (b, planes, lines, lines)
        y, x, v = top - top[0], left - left[0], v[:, None]
        spread = (((1 - v) ** 2 + v**2) * ((1 - u) ** 2 + u**2)).sqrt()
        lines = (1 - v) * corners[:, :, y] + v * corners[:, :, y + 1]  # (b, planes, H, lines)
        for plane, of in enumerate(lines.unbind(dim=1)):
            made[at, plane] = ((1 - u) * of[..., x] + u * of[..., x + 1]) / spread
    return made


def smooth_fresh(like: torch.Tensor, cell_px: int) -> torch.Tensor:
    """The like of `smooth_draws` from torch's own random numbers, at a lattice that begins anywhere: belongs to no
    place, and is drawn faster. Returns the shape of `like`, (B, planes, H, W)."""
    (rows, down), (cols, across) = (_between(int(torch.randint(cell_px, (1,))), n, cell_px, like.device)
                                    for n in like.shape[-2:])  # fmt: skip
    b, planes = like.shape[:2]
    corners = torch.randn(b, planes, int(rows[-1]) + 2, int(cols[-1]) + 2, device=like.device)
    return _blends(rows, down) @ corners @ _blends(cols, across).T


def _blends(line: torch.Tensor, part: torch.Tensor) -> torch.Tensor:
    """(N, lines) what each pixel takes of the lattice lines, of square sum 1."""
    made = torch.zeros(len(line), int(line[-1]) + 2, device=line.device)
    at = torch.arange(len(line), device=line.device)
    made[at, line], made[at, line + 1] = 1 - part, part
    return made / ((1 - part) ** 2 + part**2).sqrt()[:, None]


def _between(start: int, length: int, cell_px: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """The lattice line before each pixel, and how far on the way to the next it is."""
    at = torch.arange(start, start + length, device=device)
    line = torch.div(at, cell_px, rounding_mode="floor")
    return line, (at - line * cell_px).float() / cell_px


def _normal(seed: int, planes: int, samples: torch.Tensor, rows: torch.Tensor, cols: torch.Tensor) -> torch.Tensor:
    """(b, planes, R, C) numbers from N(0, 1) of samples (b, 1, 1) at rows (R, 1) and columns (C,). Method: Box and
    Muller (1958)."""
    plane = torch.arange(planes, device=rows.device)[:, None, None]
    u, turn = (_uniform(_mix(seed) + 2 * plane + k, samples[:, None], rows, cols) for k in (101, 102))
    return (-2 * torch.log1p(-u)).sqrt() * torch.cos(2 * math.pi * turn)


def _alike(batch: Batch) -> Iterator[tuple[slice | list[int], torch.Tensor, int, int]]:
    """Which tiles of a batch begin at the same pixel, their samples (b, 1, 1), and that row and column."""
    found: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for i in range(len(batch.x)):
        corner, sample = _corner(batch, i)
        found.setdefault(corner, []).append((i, sample))
    for (row, col), members in found.items():
        samples = torch.tensor([sample for _, sample in members], device=batch.x.device)[:, None, None]
        yield slice(None) if len(found) == 1 else [i for i, _ in members], samples, row, col


def _corner(batch: Batch, i: int) -> tuple[tuple[int, int], int]:
    """Row and column where tile i begins, and its sample."""
    if not batch.tiles:
        return (0, 0), 0
    window = batch.tiles[i].read_window
    return (window.row, window.col), batch.tiles[i].sample


def _pixels(batch: Batch, row: int, col: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows (H, 1) and columns (W,) of tiles that begin there."""
    h, w = batch.x.shape[-2:]
    rows, cols = (torch.arange(n, n + k, device=batch.x.device) for n, k in ((row, h), (col, w)))
    return rows[:, None], cols


def _uniform(start: Whole, samples: Whole, rows: torch.Tensor, cols: torch.Tensor) -> torch.Tensor:
    """float32 in [0, 1) from whole numbers that broadcast."""
    return (_mix(_mix(_mix(_mix(start) + samples) + rows) + cols) >> 8).float() / 2**24


def _mix(number: Any) -> Any:
    """Whole numbers, of Python or of torch, mixed into [0, 2^32), after Appleby's MurmurHash3 finaliser."""
    number = (number + 0x9E3779B9) & 0xFFFFFFFF
    number = ((number ^ (number >> 16)) * 0x85EBCA6B) & 0xFFFFFFFF
    number = ((number ^ (number >> 13)) * 0xC2B2AE35) & 0xFFFFFFFF
    return number ^ (number >> 16)
