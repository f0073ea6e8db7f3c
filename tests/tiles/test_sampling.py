"""Laws of sampling: the seed decides, positives come back five times, turning terrain turns its aspect."""

from collections import Counter

import numpy as np
import pytest
import torch
from affine import Affine

from headscarp.core.band import Band
from headscarp.core.errors import RecipeError
from headscarp.core.grid import Grid
from headscarp.core.stack import LABEL, make_stack
from headscarp.core.tile import Tile, Window
from headscarp.terrain import aspect
from headscarp.tiles.augment import augment
from headscarp.tiles.reader import TilePixels, TileReader
from headscarp.tiles.sampling import STRATEGIES, batches, epoch_tiles, tile_positives
from headscarp.tiles.splits import split_blocks
from headscarp.tiles.tiling import train_tiles

TILES = [Tile(Window(0, 8 * i, 8, 8), id=str(i)) for i in range(20)]
POSITIVES = [3 if i % 4 == 0 else 0 for i in range(20)]


class Drawn:
    """A generator whose draws are chosen."""

    def __init__(self, *draws: int) -> None:
        self.draws = list(draws)

    def integers(self, _: int) -> int:
        return self.draws.pop(0)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_an_epoch_is_decided_by_seed_and_epoch(strategy):
    def order(seed, epoch):
        return epoch_tiles(TILES, POSITIVES, strategy=strategy, seed=seed, epoch=epoch)

    assert order(1, 2) == order(1, 2)
    assert order(1, 2) != order(1, 3)
    assert order(1, 2) != order(2, 2)


def test_positive_tiles_come_five_times_and_the_others_once():
    count = Counter(t.id for t in epoch_tiles(TILES, POSITIVES, strategy="repeat_positive", seed=0, epoch=0))
    assert count == {t.id: 5 if p else 1 for t, p in zip(TILES, POSITIVES, strict=True)}


def test_uniform_takes_each_tile_once_and_balanced_as_many_of_each_kind():
    uniform = epoch_tiles(TILES, POSITIVES, strategy="uniform", seed=0, epoch=0)
    assert sorted(uniform, key=TILES.index) == TILES
    balanced = epoch_tiles(TILES, POSITIVES, strategy="balanced", seed=0, epoch=0)
    assert Counter(POSITIVES[TILES.index(t)] > 0 for t in balanced) == {True: 10, False: 10}
    counts = Counter(t.id for t in balanced if POSITIVES[TILES.index(t)] > 0)
    assert set(counts.values()) == {2}
    one_kind = epoch_tiles(TILES, [0] * 20, strategy="balanced", seed=0, epoch=0)
    assert sorted(one_kind, key=TILES.index) == TILES


def test_an_unknown_strategy_is_named():
    with pytest.raises(RecipeError, match="repeat_positive, uniform, balanced"):
        epoch_tiles(TILES, POSITIVES, strategy="lucky", seed=0, epoch=0)


def test_positives_are_those_that_count_in_the_tile(world, bands):
    stack = world((130, 170))
    split = split_blocks(stack, block_size_m=200, buffer_m=30, seed=1)
    tiles = train_tiles(split, "train", size=48, halo=8)
    reader = TileReader(stack, bands, split=split)
    expected = [(reader.read(tile).y == 1).sum() for tile in tiles]
    np.testing.assert_array_equal(tile_positives(stack, tiles, split=split), expected)
    free = tile_positives(stack, [Tile(Window(0, 0, 200, 200))])
    assert free[0] == ((stack[LABEL] == 1) & (stack.valid == 1)).sum()


@pytest.mark.parametrize("flip", [0, 1])
@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("tilt", [(1.0, 0.0), (0.0, 1.0), (-0.3, 0.7), (0.5, -0.2)])
def test_the_turned_aspect_is_the_aspect_of_the_turned_terrain(tilt, turns, flip):
    rows, cols = np.mgrid[:9, :9].astype(np.float32)
    terrain = 100 + 10 * (tilt[0] * rows + tilt[1] * cols)
    bands = (Band("elevation", "continuous", "m"), Band("aspect", "direction", "degree"))
    faces = aspect(terrain, (10.0, 10.0))
    pixels = TilePixels(np.stack([terrain, faces]), np.ones((9, 9), bool), np.zeros((9, 9), np.uint8))
    turned = augment(pixels, bands, Drawn(turns, flip))
    again = aspect(np.ascontiguousarray(turned.x[0]), (10.0, 10.0))
    inner = np.s_[1:-1, 1:-1]
    apart = (turned.x[1][inner] - again[inner] + 180) % 360 - 180
    np.testing.assert_allclose(apart, 0, atol=1e-3)
    assert ((turned.x[1][inner] >= 0) & (turned.x[1][inner] < 360)).all()


def test_pixels_labels_and_validity_turn_together():
    rng = np.random.default_rng(0)
    code = np.arange(36, dtype=np.float32).reshape(1, 6, 6)
    pixels = TilePixels(code, code[0] % 3 == 0, code[0].astype(np.uint8))
    seen = set()
    for _ in range(100):
        turned = augment(pixels, (Band("a", "continuous"),), rng)
        np.testing.assert_array_equal(turned.x[0].astype(np.uint8), turned.y)
        np.testing.assert_array_equal(turned.valid, turned.x[0] % 3 == 0)
        seen.add(turned.x.tobytes())
    assert len(seen) == 8


def test_flipping_or_half_turning_twice_changes_nothing(bands, world):
    pixels = TileReader(world((40, 40)), bands).read(Tile(Window(0, 0, 40, 40)))
    for draws in ((0, 1), (2, 0), (2, 1), (1, 1)):
        twice = augment(augment(pixels, bands, Drawn(*draws)), bands, Drawn(*draws))
        np.testing.assert_array_equal(twice.y, pixels.y)
        np.testing.assert_allclose(twice.x, pixels.x, atol=1e-4)


def test_tiles_that_are_not_square_keep_their_shape(bands, world):
    pixels = TileReader(world((40, 40)), bands).read(Tile(Window(0, 0, 16, 32)))
    rng = np.random.default_rng(0)
    assert {augment(pixels, bands, rng).y.shape for _ in range(20)} == {(16, 32)}


def test_missing_directions_stay_missing(bands, world):
    pixels = TileReader(world((40, 40)), bands).read(Tile(Window(0, 0, 40, 40)))
    turned = augment(pixels, bands, Drawn(1, 1))
    assert np.isnan(turned.x[1]).sum() == np.isnan(pixels.x[1]).sum() > 0


def test_batches_hold_the_tiles_in_order_whatever_the_threads(world, bands):
    stack = world((130, 170))
    reader = TileReader(stack, bands)
    tiles = [Tile(Window(r, c, 16, 16), halo=8, id=f"{r}-{c}") for r in range(0, 112, 16) for c in range(0, 160, 16)]
    one, many = (list(batches(reader, tiles, batch_size=4, augment_seed=(5, 1), workers=workers)) for workers in (1, 4))
    assert [t for b in one for t in b.tiles] == tiles
    assert [len(b.tiles) for b in one] == [4] * 17 + [2]
    for a, b in zip(one, many, strict=True):
        assert torch.equal(a.x.nan_to_num(-1), b.x.nan_to_num(-1))
        assert torch.equal(a.y, b.y)
    plain = list(batches(reader, tiles, batch_size=4))
    assert torch.equal(plain[0].x[0].nan_to_num(-1), torch.from_numpy(reader.read(tiles[0]).x).nan_to_num(-1))
    assert any(not torch.equal(a.y, b.y) for a, b in zip(plain, one, strict=True))


def test_what_a_tile_looks_like_hangs_on_its_place_in_the_epoch_not_on_the_batches(world, bands):
    reader = TileReader(world((130, 170)), bands)
    tiles = [Tile(Window(r, 0, 16, 16), halo=8) for r in range(0, 112, 16)]
    small = [y for b in batches(reader, tiles, batch_size=1, augment_seed=3) for y in b.y]
    large = [y for b in batches(reader, tiles, batch_size=7, augment_seed=3) for y in b.y]
    assert all(torch.equal(a, b) for a, b in zip(small, large, strict=True))


def test_stopping_in_the_middle_leaves_no_thread(world, bands):
    import threading

    reader = TileReader(world((130, 170)), bands)
    stream = batches(reader, [Tile(Window(r, 0, 16, 16)) for r in range(0, 112, 16)], batch_size=1)
    next(stream)
    stream.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("tiles")]


def test_an_error_in_a_thread_is_raised_to_who_reads(world, bands):
    tiles = [Tile(Window(0, 0, 16, 16), sample=0), Tile(Window(0, 0, 17, 16))]
    with pytest.raises(ValueError, match="shape"):
        list(batches(TileReader(world((130, 170)), bands), tiles, batch_size=2))


def test_no_pixel_and_no_turned_twin_of_one_counts_in_two_parts():
    """A band holds the number of each cell, so that whatever counts can be traced home through flips and turns."""
    rng = np.random.default_rng(4)
    shape = (260, 200)
    grid = Grid(shape, Affine(10, 0, 500000, 0, -10, 4200000), "EPSG:32610")
    number = np.arange(shape[0] * shape[1], dtype=float).reshape(shape)
    bands = {Band("number", "continuous"): number, Band(LABEL, "label"): rng.random(shape) < 0.2}
    stack = make_stack(grid, bands)
    split = split_blocks(stack, block_size_m=300.0, folds=5, fold=1, seed=3)
    counted = {}
    for part in ("train", "validation", "test"):
        tiles = train_tiles(split, part, size=64, halo=8)
        reader = TileReader(stack, (Band("number", "continuous"),), split=split)
        seeds = (1, 7) if part == "train" else (None,)
        found = [
            batch.x[:, 0][batch.y != 255].numpy().astype(int)
            for seed in seeds
            for batch in batches(reader, tiles, batch_size=4, augment_seed=seed)
        ]
        counted[part] = set(np.concatenate(found).tolist())
    assert counted["train"]
    assert not counted["train"] & (counted["validation"] | counted["test"])
    assert not counted["validation"] & counted["test"]
    assert sum(len(part) for part in counted.values()) == number.size
