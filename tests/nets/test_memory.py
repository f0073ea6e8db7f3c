"""Memory that runs out: batches are halved, results stay in order, and that is said."""

import logging

import pytest
import torch

from headscarp.core.errors import DeviceError
from headscarp.core.tile import Tile, Window
from headscarp.nets.batch import Batch
from headscarp.nets.blend import blend_windows
from headscarp.nets.memory import Room, part_of
from headscarp.nets.windows import Windows


class Small:
    """Work that holds so many tiles at once and no more; notes what it was given."""

    def __init__(self, holds):
        self.holds, self.sizes = holds, []

    def __call__(self, batch):
        self.sizes.append(len(batch.x))
        if len(batch.x) > self.holds:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return batch.x * 2


def batch_of(tiles, side=8):
    x = torch.arange(tiles * side * side, dtype=torch.float32).view(tiles, 1, side, side)
    named = tuple(Tile(Window(0, side * i, side, side), id=str(i)) for i in range(tiles))
    return Batch(x=x, valid=torch.ones(tiles, side, side, dtype=torch.bool), tiles=named)


@pytest.mark.parametrize("holds", [1, 2, 3, 5, 8, 20])
def test_whatever_fits_the_result_is_the_same(holds, caplog):
    batch, work, room = batch_of(8), Small(holds), Room("training", remedy="")
    with caplog.at_level(logging.WARNING, "headscarp"):
        made = torch.cat(room.run(work, batch))
    assert torch.equal(made, batch.x * 2)
    assert max(work.sizes) <= 8
    assert (room.most is None) == (holds >= 8)
    assert len(caplog.records) == sum(8 // 2**k > holds for k in range(4))
    if holds < 8:
        assert f"going on with {room.most} at once" in caplog.text
        work.sizes.clear()
        room.run(work, batch)
        assert max(work.sizes) == room.most  # what failed is not tried again


def test_a_step_is_begun_anew_in_smaller_parts():
    begun = []
    Room("training", remedy="").run(Small(2), batch_of(8), begin=lambda: begun.append(1))
    assert len(begun) == 3  # with 8, with 4, with 2


def test_one_tile_that_does_not_fit_is_an_error_with_a_remedy():
    with pytest.raises(DeviceError, match=r"training: one tile does not fit.*Tried to allocate.*smaller tile_px"):
        Room("training", remedy="use a smaller tile_px").run(Small(0), batch_of(4))


def test_other_errors_are_not_swallowed():
    def broken(batch):
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        Room("training", remedy="").run(broken, batch_of(4))


def test_parts_take_all_that_belongs_to_their_tiles():
    batch = batch_of(5)
    parts = [part_of(batch, first, 2) for first in (0, 2, 4)]
    assert [tile.id for part in parts for tile in part.tiles] == ["0", "1", "2", "3", "4"]
    assert torch.equal(torch.cat([part.x for part in parts]), batch.x)
    assert parts[2].y is None
    assert part_of(batch, 0, 5) is batch


def test_windows_are_halved_and_the_map_is_the_same():
    tile = Tile(Window(0, 0, 40, 40), 8)
    x = torch.rand(1, 1, 56, 56, generator=torch.Generator().manual_seed(1))
    batch = Batch(x=x, valid=torch.ones(1, 56, 56, dtype=torch.bool), tiles=(tile,))
    wanted = blend_windows(lambda part: part.x * 2, batch, 8)
    small = Small(3)
    assert torch.equal(blend_windows(small, batch, 8, Windows(16)), wanted)
    assert small.sizes[:3] == [16, 8, 4]
    assert max(small.sizes[3:]) == 2
