"""The batch: what a net is given, as tensors on its device."""

from dataclasses import dataclass, replace
from typing import Any

import torch

from headscarp.core.band import UNLABELLED
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
    days: (B, T) float32, at most 0, days before the cut-off, NaN where no frame counts. present: (B, T) bool, a frame
        stands in this slot. metadata: (B, T, M) float32 in the order of `nets.metadata.FEATURES`, NaN where unknown.
        event_days: (B,) float32, days from the cut-off to the next event, inf for none, NaN unknown. causes: (B, K)
        uint8, 1, 0 or 255. kind: (B,) int64, the class of each place, -1 unknown. traces: (B, K, H, W) float32, share
        of each pixel that shows each of core.domains.TRACES at the cut-off, NaN unknown. All for nets over time; None
        elsewhere.
    after: (B, K, H, W) float32, what K of the bands look like after a task, NaN where unknown. task: (B,) int64, its
        place in core.scenarios.TASKS. metadata of these: (B, M), as core.scenarios.TOLD. past: (B, P, H, W) float32,
        what a series of frames shows beside the picture that `nets.past` made x of. For nets that make pictures.
    """

    x: torch.Tensor
    valid: torch.Tensor
    y: torch.Tensor | None = None
    tiles: tuple[Tile, ...] = ()
    days: torch.Tensor | None = None
    present: torch.Tensor | None = None
    metadata: torch.Tensor | None = None
    event_days: torch.Tensor | None = None
    causes: torch.Tensor | None = None
    kind: torch.Tensor | None = None
    traces: torch.Tensor | None = None
    after: torch.Tensor | None = None
    task: torch.Tensor | None = None
    past: torch.Tensor | None = None

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on a device."""
        moved: dict[str, Any] = {
            name: value.to(device, non_blocking=True)
            for name, value in vars(self).items()
            if isinstance(value, torch.Tensor)
        }
        return replace(self, **moved)

    def without_labels(self) -> "Batch":
        """The same batch, in which nothing counts for a loss."""
        unknown: dict[str, Any] = {"y": torch.full_like(self.valid, UNLABELLED, dtype=torch.uint8)}
        if self.event_days is not None:
            unknown["event_days"] = torch.full_like(self.event_days, float("nan"))
        if self.causes is not None:
            unknown["causes"] = torch.full_like(self.causes, UNLABELLED)
        if self.kind is not None:
            unknown["kind"] = torch.full_like(self.kind, -1)
        if self.traces is not None:
            unknown["traces"] = torch.full_like(self.traces, float("nan"))
        return replace(self, **unknown)
