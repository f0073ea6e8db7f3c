"""Futures of places drawn by a net in memory, where they are judged and not written. Refuses nothing."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from headscarp.core.progress import progress
from headscarp.core.tile import Tile
from headscarp.nets.futures import FutureNet
from headscarp.nets.guess import Guesses
from headscarp.tiles.reader import TileReader
from headscarp.tiles.sampling import batches

_BATCH = 16


def drawn_futures(
    net: FutureNet, reader: TileReader, tiles: Sequence[Tile], many: int, *, workers: int, name: str
) -> Iterator[tuple[NDArray[np.floating], NDArray[np.floating] | None]]:
    """Of each tile its first futures, (many, K + 1, H, W), and how likely the net says each pixel is changed, (H, W),
    if it says that; H and W are those of its window without what makes it fit the net. name: of the bar."""
    device = next(p.device for p in net.parameters())
    with progress(f"{name}: futures", len(tiles)) as bar:
        for batch in batches(reader, tiles, batch_size=_BATCH, workers=workers):
            rows, cols = reader.shape
            there = batch.to(device)
            with torch.inference_mode():
                suite = [made[..., :rows, :cols].cpu().numpy() for made in net.pictures(there, range(many))]
                likely: Sequence[NDArray[np.floating] | None] = [None] * len(batch.tiles)
                if isinstance(net, Guesses):
                    likely = list(net.likely(there)[:, :rows, :cols].cpu().numpy())
            yield from zip(np.stack(suite, axis=1), likely, strict=True)
            bar.advance(len(batch.tiles))
