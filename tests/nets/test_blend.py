"""Blending: weights sum to one, two tilings give one map, and a chip is seen once."""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from headscarp.core.tile import Tile, Window
from headscarp.nets.batch import Batch
from headscarp.nets.blend import blend_windows, overlap_px, profile
from headscarp.nets.windows import Windows

SIDE = 32


def whole_window(seen=None):
    """A "net" whose every pixel depends on its whole window, and on its place in it."""

    def run(batch):
        if seen is not None:
            seen.append(batch.tiles[0].window if batch.tiles else None)
        x = torch.nan_to_num(batch.x)
        return x + x.mean(dim=(2, 3), keepdim=True) + torch.arange(x.shape[-1]) / 100

    return run


def tile_batch(x, valid, tile):
    window, pad = tile.read_window, 200
    there = tuple(slice(a + pad, a + pad + n) for a, n in ((window.row, window.height), (window.col, window.width)))
    mirrored, inside = np.pad(x, pad, mode="reflect")[there], np.pad(valid, pad)[there]
    return Batch(torch.from_numpy(mirrored.copy())[None, None], torch.from_numpy(inside.copy())[None], tiles=(tile,))


def world(shape, seed=0):
    g = np.random.default_rng(seed)
    valid = g.random(shape) > 0.05
    valid[: shape[0] // 2, : shape[1] // 2] = False
    valid[shape[0] // 4, shape[1] // 4] = True  # one pixel amid nothing
    return g.random(shape).astype(np.float32), valid


@pytest.mark.parametrize("side", [16, 32, 128])
def test_the_weights_of_all_windows_sum_up_to_one(side):
    step = side - overlap_px(side)
    total = torch.zeros(4 * step + side)
    for start in range(0, 4 * step + 1, step):
        total[start : start + side] += profile(side)
    assert torch.allclose(total[overlap_px(side) : -overlap_px(side)], torch.ones(1))


def test_two_tilings_give_the_same_map():
    x, valid = world((150, 130))
    maps = []
    for size in (40, 75):
        made = np.full((160, 160), np.nan, np.float32)
        for row in range(0, 150, size):
            for col in range(0, 130, size):
                tile = Tile(Window(row, col, size, size), SIDE)
                part = blend_windows(whole_window(), tile_batch(x, valid, tile), SIDE)[0, 0, SIDE:-SIDE, SIDE:-SIDE]
                height, width = min(size, 160 - row), min(size, 160 - col)
                made[row : row + height, col : col + width] = part[:height, :width]
        maps.append(made[:150, :130])
    assert np.array_equal(*maps)
    assert (maps[0][valid] > 0).all()


def test_a_chip_as_large_as_a_window_is_seen_once():
    x, valid = world((SIDE, SIDE))
    valid[:] = True
    seen = []
    made = blend_windows(whole_window(seen), tile_batch(x, valid, Tile(Window(0, 0, SIDE, SIDE), SIDE)), SIDE)
    alone = whole_window()(Batch(torch.from_numpy(x)[None, None], torch.from_numpy(valid)[None]))
    assert seen == [Window(0, 0, SIDE, SIDE)]
    assert torch.allclose(made[..., SIDE:-SIDE, SIDE:-SIDE], alone)


def test_tiles_of_one_raster_run_no_window_twice():
    x, _ = world((150, 130))
    valid = np.ones_like(x, bool)
    seen, alone, shared = [], [], Windows(at_once=3)

    def run(batch):
        seen.extend(tile.window for tile in batch.tiles)
        return whole_window()(batch)

    for row in range(0, 150, 50):
        for col in range(0, 130, 65):
            batch = tile_batch(x, valid, Tile(Window(row, col, 50, 65), SIDE))
            together = blend_windows(run, batch, SIDE, shared)
            alone.append(blend_windows(whole_window(), batch, SIDE))
            assert torch.equal(together, alone[-1])
    assert len(set(seen)) == 36  # 6 x 6 windows hold all pixels of 150 x 130 in their own shares
    assert len(seen) - len(set(seen)) <= 3  # a last one alone is run as two, since kernels round one differently


def test_tiles_that_do_not_say_where_they_lie_share_nothing():
    shared = Windows()
    maps = []
    for seed in (1, 2):
        x = torch.rand(1, 1, 80, 80, generator=torch.Generator().manual_seed(seed))
        batch = Batch(x, torch.ones(1, 80, 80, dtype=torch.bool))
        maps.append(blend_windows(whole_window(), batch, SIDE, shared))
        assert torch.equal(maps[-1], blend_windows(whole_window(), batch, SIDE))
    assert not torch.equal(*maps)


def test_threads_share_windows_while_they_are_run():
    """Two tiles side by side at the same time: what both need is run by one of them, also where one gives up."""
    x, valid = world((64, 200))[0], np.ones((64, 200), bool)
    tiles = [Tile(Window(0, col, 64, 96), SIDE) for col in (0, 96)]
    alone = [blend_windows(whole_window(), tile_batch(x, valid, tile), SIDE) for tile in tiles]
    seen, broken = [], [True]

    def slow(batch):
        seen.extend({tile.window for tile in batch.tiles})  # a last one alone is run as two in one batch
        time.sleep(0.005)
        return whole_window()(batch)

    with ThreadPoolExecutor(2) as pool:
        shared = Windows(at_once=2)
        jobs = [pool.submit(blend_windows, slow, tile_batch(x, valid, tile), SIDE, shared) for tile in tiles]
        for job, wanted in zip(jobs, alone, strict=True):
            assert torch.equal(job.result(timeout=30), wanted)
    assert len(seen) == len(set(seen)) == 3 * 8

    def gives_up_once(batch):
        if broken.pop() if broken else False:
            time.sleep(0.02)
            raise RuntimeError("lost")
        return whole_window()(batch)

    with ThreadPoolExecutor(2) as pool:
        shared = Windows(at_once=9)
        jobs = [pool.submit(blend_windows, gives_up_once, tile_batch(x, valid, tile), SIDE, shared) for tile in tiles]
        assert sum(job.exception(timeout=30) is not None for job in jobs) == 1
        for job, wanted in zip(jobs, alone, strict=True):
            assert job.exception() is not None or torch.equal(job.result(), wanted)
