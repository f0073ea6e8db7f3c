"""Laws of tiling: scored windows cover the raster once; training tiles hold what they are for."""

import numpy as np
import pytest

from headscarp.core.errors import SplitError
from headscarp.core.tile import Window
from headscarp.tiles.splits import PARTS, split_blocks
from headscarp.tiles.tiling import halo_of, score_tiles, train_tiles


class Reaching:
    def __init__(self, reach: int, align: int) -> None:
        self.reach, self.align = reach, align


@pytest.mark.parametrize(("reach", "align", "halo"), [(0, 1, 0), (0, 16, 0), (1, 16, 16), (137, 16, 144), (32, 16, 32)])
def test_the_halo_is_the_reach_rounded_up(reach, align, halo):
    assert halo_of(Reaching(reach, align)) == halo


@pytest.mark.parametrize("shape", [(64, 64), (65, 130), (1, 1), (10, 300)])
def test_scored_windows_cover_the_raster_once(shape):
    tiles = score_tiles(shape, 64, 8)
    count = np.zeros(shape, int)
    for tile in tiles:
        count[tile.window.clip(shape).slices] += 1
    assert (count == 1).all()
    assert len({tile.id for tile in tiles}) == len(tiles)
    assert {tile.halo for tile in tiles} == {8}


@pytest.mark.parametrize("part", PARTS)
def test_training_tiles_are_those_with_a_pixel_of_the_part(world, part):
    split = split_blocks(world((130, 170)), block_size_m=200, buffer_m=50, seed=1)
    codes = split.codes(Window(0, 0, 130, 170)) == PARTS.index(part) + 1
    tiles = train_tiles(split, part, size=32, halo=16)
    count = np.zeros(codes.shape, int)
    for tile in tiles:
        inside = tile.window.clip(codes.shape).slices
        assert codes[inside].any()
        count[inside] += 1
        assert (tile.split, tile.halo, tile.window.height) == (part, 16, 32)
    assert count.max() == 1
    assert (count[codes] == 1).all()


def test_a_part_that_the_buffer_ate_is_refused(world):
    split = split_blocks(world((130, 170)), block_size_m=200, buffer_m=900, seed=1)
    with pytest.raises(SplitError, match="smaller buffer"):
        train_tiles(split, "train", size=32, halo=0)
    with pytest.raises(SplitError, match="no part 'exam'"):
        train_tiles(split, "exam", size=32, halo=0)
