"""One training on one device or shared by several: which tiles are whose, and sums over all of them.

A step on several devices sees the tiles that it would see on one and takes the same gradient, up to rounding.
"""

from collections.abc import Sequence

import torch
from lightning_fabric import Fabric

from headscarp.core.errors import RecipeError
from headscarp.core.tile import Tile
from headscarp.train.config import FitConfig


def start_fabric(config: FitConfig) -> Fabric:
    """Lightning Fabric on the devices of the settings; with several, the script starts once more for each of them."""
    fabric = Fabric(
        accelerator=config.accelerator,
        devices=config.devices,
        precision=config.precision,  # type: ignore[arg-type]
        strategy="ddp" if config.devices > 1 else "auto",
    )
    fabric.launch()
    return fabric


def check_batch_size(batch_size: int, devices: int) -> None:
    """Raises RecipeError unless a batch can be dealt out evenly."""
    if batch_size % devices:
        raise RecipeError(
            f"batch_size {batch_size} cannot be shared by {devices} devices; use a multiple of {devices}, "
            f"such as batch_size = {devices * -(-batch_size // devices)}"
        )


def training_share(tiles: Sequence[Tile], batch_size: int, fabric: Fabric) -> tuple[list[Tile], bool]:
    """This process's tiles of an epoch, cut into batches of batch_size / processes as on every other process.

    Also whether the last batch is a spare: a tile that must not count, there because every process has to take part
    in every step.
    """
    rank, processes = fabric.global_rank, fabric.world_size
    batches = [tiles[first : first + batch_size] for first in range(0, len(tiles), batch_size)]
    mine = [tile for batch in batches for tile in batch[rank::processes]]
    spare = bool(batches) and rank >= len(batches[-1])
    return ([*mine, batches[-1][0]] if spare else mine), spare


def total(fabric: Fabric, sums: torch.Tensor) -> torch.Tensor:
    """Sums of one process added up over all processes."""
    if fabric.world_size == 1:
        return sums
    added = fabric.all_reduce(sums, reduce_op="sum")
    assert isinstance(added, torch.Tensor)
    return added


def shared_loss(fabric: Fabric, loss: torch.Tensor, counted: torch.Tensor) -> torch.Tensor:
    """A process's mean loss, weighted so that the mean of all gradients is that over all counted pixels.

    counted: labelled pixels in this process's part of the step.
    """
    if fabric.world_size == 1:
        return loss
    return loss * (counted * fabric.world_size / total(fabric, counted.clone()).clamp(min=1))
