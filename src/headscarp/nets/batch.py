"""The batch: what a net is given, as tensors on its device."""

from dataclasses import dataclass, replace
from typing import Any

import torch

from headscarp.core.tile import Tile


@dataclass(frozen=True)
class Batch:
    """Pixels of some tiles, halo included.

    x: (B, C, H, W) or (B, T, C, H, W) float32, bands in the net's order as they stand in the stack: raw units, class
        codes as numbers, directions in degrees; NaN (code 0 for categories) where missing or not valid.
        Off the raster, mirrored pixels.
    y: (B, H, W) uint8: 1 landslide, 0 not, 255 = does not count: unlabelled, not valid, halo, off the raster or of
        another part of the split. None in prediction.
    valid: (B, H, W) bool: on the raster and valid. Mirrored pixels are not valid.
    days: (B, T), present: (B, T) bool, metadata: (B, [T,] M), for nets over time; None elsewhere.
    """

    x: torch.Tensor
    valid: torch.Tensor
    y: torch.Tensor | None = None
    tiles: tuple[Tile, ...] = ()
    days: torch.Tensor | None = None
    present: torch.Tensor | None = None
    metadata: torch.Tensor | None = None

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on a device."""
        moved: dict[str, Any] = {
            name: value.to(device, non_blocking=True)
            for name, value in vars(self).items()
            if isinstance(value, torch.Tensor)
        }
        return replace(self, **moved)
