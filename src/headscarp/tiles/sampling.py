"""What an epoch looks at, and how: order and repetition of tiles, flips and quarter turns, batches read ahead.

All of it is decided by a seed and a position, so that a resumed run sees what an uninterrupted one sees. Only training
tiles are repeated or turned, and only by who asks for it. Refuses nothing; empty parts are refused in `tiling`.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import xarray as xr

from headscarp.core.band import Band
from headscarp.core.errors import RecipeError
from headscarp.core.stack import LABEL, VALID
from headscarp.core.tile import Tile
from headscarp.nets.batch import Batch
from headscarp.tiles.dataset import raster_shape, read_window
from headscarp.tiles.partition import PARTS, Split
from headscarp.tiles.reader import TilePixels, TileReader, make_batch
from headscarp.tiles.series import turned_metadata

REPEATS = 5


def tile_positives(stack: xr.Dataset, tiles: Sequence[Tile], *, split: Split | None = None) -> np.ndarray:
    """Landslide pixels that count in each tile: valid, and of the tile's part where a split is given. (n,) int64."""
    shape = raster_shape(stack)
    counts = np.zeros(len(tiles), np.int64)
    for i, tile in enumerate(tiles):
        window = tile.window.clip(shape)
        counted = read_window(stack[LABEL], window, sample=tile.sample) == 1
        if VALID in stack and counted.any():
            counted &= read_window(stack[VALID], window, sample=tile.sample) == 1
        if split is not None and tile.split and counted.any():
            counted &= split.codes(window, sample=tile.sample) == PARTS.index(tile.split) + 1
        counts[i] = counted.sum()
    return counts


def epoch_tiles(
    tiles: Sequence[Tile], positives: Sequence[int] | np.ndarray, *, strategy: str, seed: int, epoch: int
) -> list[Tile]:
    """The tiles of one epoch, in the order they are trained on; the same for the same (seed, epoch).

    positives: landslide pixels in each tile, from `tile_positives`. strategy: a name in STRATEGIES. Raises RecipeError
    for another name.
    """
    if strategy not in STRATEGIES:
        raise RecipeError(f"there is no sampling strategy {strategy!r}; use one of {', '.join(STRATEGIES)}")
    rng = np.random.default_rng([seed, epoch])
    return [tiles[i] for i in STRATEGIES[strategy](np.asarray(positives) > 0, rng)]


def augment(pixels: TilePixels, bands: Sequence[Band], rng: np.random.Generator) -> TilePixels:
    """The pixels after a random one of the eight flips and turns of a square, directions and the sun turned along.

    bands: what pixels.x holds. Degrees clockwise from north fall by 90 with each quarter turn to the left and are
    mirrored by a flip, so that aspect stays the aspect of the turned terrain. Tiles that are not square are flipped and
    turned by 180 degrees only.
    """
    turns, flip = int(rng.integers(4)), bool(rng.integers(2))
    height, width = pixels.valid.shape
    if height != width:
        turns -= turns % 2
    x = _turned(pixels.x, turns, flip)
    for i, band in enumerate(bands):
        if band.kind == "direction":
            x[..., i, :, :] = _turned_degrees(x[..., i, :, :], turns, flip)
    turned = replace(pixels, x=x, valid=_turned(pixels.valid, turns, flip), y=_turned(pixels.y, turns, flip))
    if pixels.metadata is None:
        return turned
    return replace(turned, metadata=turned_metadata(pixels.metadata, turns, flip))


def batches(
    reader: TileReader,
    tiles: Sequence[Tile],
    *,
    batch_size: int,
    augment_seed: int | Sequence[int] | None = None,
    workers: int = 2,
) -> Iterator[Batch]:
    """Batches of the tiles in the order given, read ahead by threads; the last one may be smaller.

    augment_seed: where given, each tile is flipped and turned as this seed and its position in `tiles` say; give the
    epoch along, as in (seed, epoch). The read windows of the tiles have to be of one size. At most `workers` batches
    wait to be used.
    """
    starts = range(0, len(tiles), batch_size)

    def make(start: int) -> Batch:
        chosen = tiles[start : start + batch_size]
        pixels = [reader.read(tile) for tile in chosen]
        if augment_seed is not None:
            seeds = [augment_seed] if isinstance(augment_seed, int) else list(augment_seed)
            rngs = [np.random.default_rng([*seeds, start + i]) for i in range(len(pixels))]
            pixels = [augment(p, reader.bands, rng) for p, rng in zip(pixels, rngs, strict=True)]
        return make_batch(pixels, chosen)

    waiting: deque[Future[Batch]] = deque()
    pool = ThreadPoolExecutor(max(1, workers), thread_name_prefix="tiles")
    try:
        for start in starts:
            waiting.append(pool.submit(make, start))
            if len(waiting) > max(1, workers):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def repeat_positive(positive: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Tiles with a landslide five times, the others once, shuffled (Hajimoradlou et al. 2019)."""
    return rng.permutation(np.repeat(np.arange(len(positive)), np.where(positive, REPEATS, 1)))


def uniform(positive: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Every tile once, shuffled."""
    return rng.permutation(len(positive))


def balanced(positive: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """As many tiles as there are, half of them with a landslide, half without; the rarer kind is repeated evenly."""
    kinds = [np.flatnonzero(positive), np.flatnonzero(~positive)]
    if not all(len(kind) for kind in kinds):
        return uniform(positive, rng)
    halves = [len(positive) - len(positive) // 2, len(positive) // 2]
    drawn = [np.resize(rng.permutation(kind), half) for kind, half in zip(kinds, halves, strict=True)]
    return rng.permutation(np.concatenate(drawn))


STRATEGIES: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "repeat_positive": repeat_positive,
    "uniform": uniform,
    "balanced": balanced,
}


def _turned(pixels: np.ndarray, turns: int, flip: bool) -> np.ndarray:
    """Flipped left to right where asked, then turned to the left by quarter turns; a copy."""
    flipped = pixels[..., ::-1] if flip else pixels
    return np.ascontiguousarray(np.rot90(flipped, turns, axes=(-2, -1)))


def _turned_degrees(degrees: np.ndarray, turns: int, flip: bool) -> np.ndarray:
    turned = np.mod((-degrees if flip else degrees) - np.float32(90 * turns), np.float32(360))
    turned[turned >= 360] = 0  # what rounds up to a full turn is north
    return turned
