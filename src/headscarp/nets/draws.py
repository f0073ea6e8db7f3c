"""Random numbers that belong to places: the same pixel of the same raster draws the same, in whichever tile it is.

Refuses global random state.
"""

import math

import torch

from headscarp.nets.batch import Batch


def uniform_draws(batch: Batch, i: int, *, seed: int, stream: int = 0) -> torch.Tensor:
    """(H, W) float32 in [0, 1) for tile i of a batch, from seed, stream, sample, row and column.

    Without tiles in the batch, its first pixel is row 0, column 0.
    """
    h, w = batch.x.shape[-2:]
    window = batch.tiles[i].read_window if batch.tiles else None
    row, col, sample = (window.row, window.col, batch.tiles[i].sample) if window else (0, 0, 0)
    rows = torch.arange(row, row + h, device=batch.x.device)[:, None]
    cols = torch.arange(col, col + w, device=batch.x.device)[None, :]
    start = torch.full_like(rows, seed)
    for number in (stream,) if stream else ():
        start = _mix(start) + number
    return (_mix(_mix(_mix(_mix(start) + sample) + rows) + cols) >> 8).float() / 2**24


def normal_draws(batch: Batch, planes: int, *, seed: int) -> torch.Tensor:
    """(B, planes, H, W) float32 from N(0, 1), drawn by place. Method: Box and Muller (1958)."""
    made = torch.empty((len(batch.x), planes, *batch.x.shape[-2:]), device=batch.x.device)
    for i in range(len(made)):
        for plane in range(0, planes, 2):
            u, turn = (uniform_draws(batch, i, seed=seed, stream=plane + k) for k in (1, 2))
            radius, angle = (-2 * torch.log1p(-u)).sqrt(), 2 * math.pi * turn
            made[i, plane] = radius * torch.cos(angle)
            if plane + 1 < planes:
                made[i, plane + 1] = radius * torch.sin(angle)
    return made


def smooth_draws(batch: Batch, planes: int, *, seed: int, cell_px: int) -> torch.Tensor:
    """(B, planes, H, W) float32 of mean 0 and variance 1 at every pixel, drawn by place: independent numbers at the
    corners of a lattice of cell_px pixels that begins with the raster, blended between them. Corners on the lattice
    belong to places, so the same pixel gets the same in whichever tile it is."""
    h, w = batch.x.shape[-2:]
    made = torch.empty((len(batch.x), planes, h, w), device=batch.x.device)
    for i in range(len(made)):
        window = batch.tiles[i].read_window if batch.tiles else None
        row, col, sample = (window.row, window.col, batch.tiles[i].sample) if window else (0, 0, 0)
        (top, down), (left, across) = (_between(n, k, cell_px, made.device) for n, k in ((row, h), (col, w)))
        rows = torch.arange(int(top[0]), int(top[-1]) + 2, device=made.device)[:, None]
        cols = torch.arange(int(left[0]), int(left[-1]) + 2, device=made.device)[None, :]
        for plane in range(planes):
            corners = _normal(torch.full_like(rows, seed), plane, sample, rows, cols)
            y, x = (top - rows[0, 0])[:, None], (left - cols[0, 0])[None, :]
            v, u = down[:, None], across[None, :]
            blend = (
                (1 - v) * (1 - u) * corners[y, x]
                + (1 - v) * u * corners[y, x + 1]
                + v * (1 - u) * corners[y + 1, x]
                + v * u * corners[y + 1, x + 1]
            )
            made[i, plane] = blend / ((((1 - v) ** 2 + v**2) * ((1 - u) ** 2 + u**2)).sqrt())
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


def _normal(start: torch.Tensor, plane: int, sample: int, rows: torch.Tensor, cols: torch.Tensor) -> torch.Tensor:
    """Numbers from N(0, 1) at rows and columns. Method: Box and Muller (1958)."""
    u, turn = (
        (_mix(_mix(_mix(_mix(_mix(start) + 2 * plane + k) + sample) + rows) + cols) >> 8).float() / 2**24
        for k in (101, 102)
    )
    return (-2 * torch.log1p(-u)).sqrt() * torch.cos(2 * math.pi * turn)


def _mix(number: torch.Tensor) -> torch.Tensor:
    """Whole numbers mixed into [0, 2^32), after Appleby's MurmurHash3 finaliser."""
    number = (number + 0x9E3779B9) & 0xFFFFFFFF
    number = ((number ^ (number >> 16)) * 0x85EBCA6B) & 0xFFFFFFFF
    number = ((number ^ (number >> 13)) * 0xC2B2AE35) & 0xFFFFFFFF
    return number ^ (number >> 16)
