"""Rasters as places: squares of ground that a net judges as a whole and that see nothing beyond themselves.

Places begin at multiples of their side from the raster's first pixel, so tiles give what the whole gives. Refuses
tiles that cut a place.
"""

import torch

from headscarp.core.errors import StackError


def cut_places(x: torch.Tensor, side_px: int) -> torch.Tensor:
    """(B, ..., H, W) -> (B * n, ..., side, side), the n = H / side * W / side places of each tile row by row."""
    b, h, w = x.shape[0], x.shape[-2], x.shape[-1]
    if h % side_px or w % side_px:
        raise StackError(f"a tile is {h} x {w} px, but places are {side_px} px; set place_px to a divisor of its sides")
    cut = x.unflatten(-2, (h // side_px, side_px)).unflatten(-1, (w // side_px, side_px))  # (B, ..., m, s, n, s)
    cut = cut.movedim((-4, -2), (1, 2))  # (B, m, n, ..., s, s)
    return cut.reshape(b * (h // side_px) * (w // side_px), *cut.shape[3:])


def join_places(x: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    """(B * n, ..., s, s) -> (B, ..., H, W), the inverse of `cut_places`. shape: (H, W)."""
    side = x.shape[-1]
    m, n = shape[0] // side, shape[1] // side
    cut = x.reshape(-1, m, n, *x.shape[1:])  # (B, m, n, ..., s, s)
    return cut.movedim((1, 2), (-4, -2)).flatten(-4, -3).flatten(-2, -1)


def spread_places(values: torch.Tensor, shape: tuple[int, int], side_px: int) -> torch.Tensor:
    """(B * n, K) numbers of places -> (B, K, H, W), each over the pixels of its place."""
    m, n = shape[0] // side_px, shape[1] // side_px
    grid = values.reshape(-1, m, n, values.shape[-1]).permute(0, 3, 1, 2)  # (B, K, m, n)
    return grid.repeat_interleave(side_px, -2).repeat_interleave(side_px, -1)


def repeat_places(x: torch.Tensor, shape: tuple[int, int], side_px: int) -> torch.Tensor:
    """(B, ...) facts of tiles -> (B * n, ...), the same for each place of a tile."""
    return x.repeat_interleave((shape[0] // side_px) * (shape[1] // side_px), dim=0)
