"""Laws of reading tiles: any window is the crop of the mirrored whole, from memory, from disk and from the cache."""

import threading

import numpy as np
import pytest
import xarray as xr

from headscarp.core.band import Band
from headscarp.core.errors import SplitError, StackError
from headscarp.core.stack import LABEL, open_stack, stack_bands, write_stack
from headscarp.core.tile import Tile, Window
from headscarp.tiles.dataset import cache_stack
from headscarp.tiles.reader import TileReader, make_batch, mirrored
from headscarp.tiles.splits import PARTS, split_blocks

SHAPE = (70, 90)
TILES = (
    Tile(Window(10, 20, 16, 24)),
    Tile(Window(10, 20, 16, 16), halo=8),
    Tile(Window(0, 0, 16, 16), halo=12),
    Tile(Window(64, 80, 32, 32), halo=20),
    Tile(Window(48, 48, 64, 64), halo=300),
    Tile(Window(-8, -8, 4, 4), halo=2),
    Tile(Window(200, 300, 8, 8), halo=1),
)


def whole(stack: xr.Dataset, bands: tuple[Band, ...]) -> tuple[np.ndarray, np.ndarray]:
    valid = stack.valid.to_numpy() == 1
    x = np.stack([stack[band.name].to_numpy().astype(np.float32) for band in bands])
    for plane, band in zip(x, bands, strict=True):
        plane[~valid] = 0 if band.kind == "categorical" else np.nan
    return x, valid


@pytest.fixture(params=["memory", "zarr", "cache"])
def stack(request, world, tmp_path):
    made = world(SHAPE)
    if request.param == "memory":
        return made
    write_stack(made, tmp_path / "s.zarr")
    opened = open_stack(tmp_path / "s.zarr")
    return opened if request.param == "zarr" else cache_stack(opened, tmp_path / "cache")


@pytest.mark.parametrize("tile", TILES, ids=str)
def test_any_window_is_the_crop_of_the_mirrored_whole(stack, bands, tile):
    pad = 420
    x, valid = whole(stack, bands)
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad)), mode="reflect")
    valid = np.pad(valid, pad)
    window = tile.read_window
    there = Window(window.row + pad, window.col + pad, window.height, window.width).slices
    pixels = TileReader(stack, bands).read(tile)
    np.testing.assert_array_equal(pixels.x, x[(slice(None), *there)])
    np.testing.assert_array_equal(pixels.valid, valid[there])
    assert (pixels.x.dtype, pixels.valid.dtype, pixels.y.dtype) == (np.float32, bool, np.uint8)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_mirroring_is_numpy_reflect(size):
    for pad in (0, 1, 2, 5, 23):
        expected = np.pad(np.arange(size), pad, mode="reflect")
        np.testing.assert_array_equal(mirrored(-pad, size + 2 * pad, size), expected)


def test_a_raster_smaller_than_the_context_is_mirrored_again_and_again(world, bands):
    stack = world((5, 40))
    x, _ = whole(stack, bands)
    pixels = TileReader(stack, bands).read(Tile(Window(0, 0, 8, 8), halo=32))
    np.testing.assert_array_equal(pixels.x, np.pad(x, ((0, 0), (32, 64), (32, 64)), mode="reflect")[:, :72, :72])


@pytest.mark.parametrize("tile", TILES, ids=str)
def test_labels_count_on_valid_pixels_of_the_window_only(stack, bands, tile):
    pixels = TileReader(stack, bands).read(tile)
    expected = np.full(pixels.y.shape, 255)
    label = np.where(stack.valid.to_numpy() == 1, stack[LABEL].to_numpy(), 255)
    window, outer = tile.window, tile.read_window
    for i, j in np.ndindex(window.height, window.width):
        row, col = window.row + i, window.col + j
        if 0 <= row < SHAPE[0] and 0 <= col < SHAPE[1]:
            expected[row - outer.row, col - outer.col] = label[row, col]
    np.testing.assert_array_equal(pixels.y, expected)


@pytest.mark.parametrize("part", PARTS)
def test_labels_of_other_parts_do_not_count(world, bands, part):
    stack = world(SHAPE)
    split = split_blocks(stack, block_size_m=150, buffer_m=20, seed=0)
    window = Window(5, 5, 60, 60)
    free = TileReader(stack, bands).read(Tile(window))
    kept = TileReader(stack, bands, split=split).read(Tile(window, split=part))
    mine = split.codes(window) == PARTS.index(part) + 1
    np.testing.assert_array_equal(kept.y, np.where(mine, free.y, 255))
    np.testing.assert_array_equal(kept.x, free.x)


def test_samples_are_read_by_their_index(world, bands):
    places = [world((20, 30), seed) for seed in range(3)]
    chips = xr.concat(places, "sample")
    for index, place in enumerate(places):
        ours = TileReader(chips, bands).read(Tile(Window(0, 0, 24, 24), halo=4, sample=index))
        theirs = TileReader(place, bands).read(Tile(Window(0, 0, 24, 24), halo=4))
        for name in ("x", "valid", "y"):
            np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))


def test_without_a_mask_a_cell_is_valid_where_all_needed_bands_and_at_least_one_are_there(world):
    stack = world((20, 30)).drop_vars("valid")
    first, second = np.zeros((20, 30)), np.zeros((20, 30))
    first[:5], second[:, :7] = np.nan, np.nan
    tile = Tile(Window(0, 0, 20, 30))
    for optional, expected in (((0, 0), "both"), ((1, 0), "second"), ((1, 1), "either")):
        for name, plane, maybe in zip(("first", "second"), (first, second), optional, strict=True):
            stack[name] = (("y", "x"), plane.astype("float32"), {"kind": "continuous", "optional": bool(maybe)})
        names = ("first", "second")
        there = TileReader(stack, [b for b in stack_bands(stack) if b.name in names]).read(tile).valid
        one, other = np.isfinite(first), np.isfinite(second)
        np.testing.assert_array_equal(there, {"both": one & other, "second": other, "either": one | other}[expected])


def test_threads_read_what_one_reads(stack, bands):
    reader = TileReader(stack, bands)
    tiles = [Tile(Window(r, c, 16, 16), halo=8) for r in range(0, 64, 16) for c in range(0, 80, 16)]
    alone = [reader.read(tile).x for tile in tiles]
    found: list[np.ndarray] = [np.empty(0)] * len(tiles)

    def work(start: int) -> None:
        for i in range(start, len(tiles), 4):
            found[i] = reader.read(tiles[i]).x

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for a, b in zip(alone, found, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_window_read_does_not_load_the_band(world, bands, tmp_path):
    write_stack(world(SHAPE), tmp_path / "s.zarr")
    opened = open_stack(tmp_path / "s.zarr")
    TileReader(opened, bands).read(TILES[0])
    assert not any(opened[name].variable._in_memory for name in (*[b.name for b in bands], "valid", LABEL))


def test_a_batch_stacks_its_tiles(world, bands):
    tiles = [Tile(Window(0, 0, 16, 16), halo=4), Tile(Window(16, 0, 16, 16), halo=4)]
    reader = TileReader(world(SHAPE), bands)
    batch = make_batch([reader.read(tile) for tile in tiles], tiles)
    assert batch.x.shape == (2, 3, 24, 24)
    assert batch.valid.shape == batch.y.shape == (2, 24, 24)
    assert batch.tiles == tuple(tiles)


def test_bands_and_splits_that_do_not_fit_are_named(world, bands):
    stack = world(SHAPE)
    with pytest.raises(StackError, match="no band curvature"):
        TileReader(stack, [Band("curvature", "continuous")])
    with pytest.raises(StackError, match="3 classes; needed: categorical with 2 classes"):
        TileReader(stack, [Band("rock", "categorical", classes=("granite", "marl"))])
    with pytest.raises(StackError, match="is a label"):
        TileReader(stack, [Band(LABEL, "label")])
    with pytest.raises(SplitError, match="make the split from this stack"):
        TileReader(stack, bands, split=split_blocks(world((80, 90)), block_size_m=150))
