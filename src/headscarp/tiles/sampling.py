"""What an epoch looks at, and how: order and repetition of tiles, how they are changed, batches read ahead.

All of it is decided by a seed and a position, so that a resumed run sees what an uninterrupted one sees. Only training
tiles are repeated or changed, and only by who asks for it. Refuses nothing; empty parts are refused in `tiling`.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import xarray as xr

from headscarp.core.errors import RecipeError
from headscarp.core.stack import LABEL, VALID
from headscarp.core.tile import Tile
from headscarp.nets.batch import Batch
from headscarp.tiles.augment import Changes, changed
from headscarp.tiles.dataset import raster_shape, read_window
from headscarp.tiles.partition import PARTS, Split
from headscarp.tiles.reader import TileReader, make_batch

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


def batches(
    reader: TileReader,
    tiles: Sequence[Tile],
    *,
    batch_size: int,
    augment_seed: int | Sequence[int] | None = None,
    changes: Changes | None = None,
    workers: int = 2,
) -> Iterator[Batch]:
    """Batches of the tiles in the order given, read ahead by threads; the last one may be smaller.

    augment_seed: where given, each tile is changed as this seed and its position in `tiles` say; give the epoch along,
    as in (seed, epoch). changes: how; None: flips and turns. The read windows of the tiles have to be of one size. At
    most `workers` batches wait to be used.
    """
    starts = range(0, len(tiles), batch_size)

    def make(start: int) -> Batch:
        chosen = tiles[start : start + batch_size]
        pixels = [reader.read(tile) for tile in chosen]
        if augment_seed is not None:
            seeds = [augment_seed] if isinstance(augment_seed, int) else list(augment_seed)
            rngs = [np.random.default_rng([*seeds, start + i]) for i in range(len(pixels))]
            pixels = [
                changed(one, reader.bands, changes or Changes(), rng, halo=tile.halo)
                for one, tile, rng in zip(pixels, chosen, rngs, strict=True)
            ]
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
