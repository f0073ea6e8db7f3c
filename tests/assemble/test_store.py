"""Laws of storing a lazy stack: what is promised is what stands on disk, each block is asked once, and going on after
an interruption gives the same pixels."""

import threading

import dask.array
import numpy as np
import pytest
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox

from headscarp.assemble.store import BLOCK_PX, store_stack
from headscarp.core.band import Band
from headscarp.core.errors import JournalError, OutputError
from headscarp.core.stack import make_stack, stack_bands

GRID = GeoBox((BLOCK_PX + 76, 90), Affine(10, 0, 500000, 0, -10, 5000000), "EPSG:32632")
FRAMES = 3


class Pixels:
    """Pixels made when asked for; it counts how often, and can fail at one block."""

    def __init__(self, fail_at: int | None = None) -> None:
        self.asked: list[tuple[int, ...]] = []
        self.fail_at = fail_at
        self._lock = threading.Lock()

    def __call__(self, block_info=None) -> np.ndarray:
        info = block_info[None]
        with self._lock:
            self.asked.append(tuple(info["chunk-location"]))
            if self.fail_at == len(self.asked):
                raise ConnectionError("the line is cut")
        rng = np.random.default_rng(list(info["chunk-location"]))
        return rng.normal(size=info["chunk-shape"]).astype("float32")


def lazy_stack(pixels: Pixels) -> xr.Dataset:
    rows = ((BLOCK_PX, 76),)
    red = dask.array.map_blocks(pixels, chunks=((1,) * FRAMES, *rows, (90,)), dtype="float32", meta=np.empty((0, 0, 0)))
    dem = dask.array.map_blocks(pixels, chunks=(*rows, (90,)), dtype="float32", meta=np.empty((0, 0)))
    time = np.datetime64("2020-02-27", "ns") + np.arange(FRAMES) * np.timedelta64(1, "D")
    return make_stack(GRID, {Band("red", "continuous"): red, Band("elevation", "continuous", "m"): dem}, time=time)


@pytest.mark.parametrize("workers", [1, 4])
def test_what_is_promised_stands_on_disk_and_each_block_is_asked_once(tmp_path, workers):
    pixels = Pixels()
    stack = lazy_stack(pixels)
    stored = store_stack(stack, tmp_path / "s.zarr", {"source": "a"}, workers=workers)
    assert len(pixels.asked) == 2 * FRAMES + 2
    assert len(set(pixels.asked)) == len(pixels.asked)
    wanted = stack.compute(scheduler="synchronous")
    for band in stack_bands(stack):
        np.testing.assert_array_equal(stored[band.name].values, wanted[band.name].values)
    np.testing.assert_array_equal(stored["time"].values, stack["time"].values)


def test_going_on_after_a_cut_line_asks_only_what_is_missing_and_gives_the_same_pixels(tmp_path):
    whole = store_stack(lazy_stack(Pixels()), tmp_path / "whole.zarr", {"source": "a"})
    cut = Pixels(fail_at=5)
    with pytest.raises(ConnectionError):
        store_stack(lazy_stack(cut), tmp_path / "s.zarr", {"source": "a"})
    assert not (tmp_path / "s.zarr").exists(), "half a stack is not visible"
    again = Pixels()
    stored = store_stack(lazy_stack(again), tmp_path / "s.zarr", {"source": "a"})
    whole_count = 2 * FRAMES + 2
    assert whole_count - 5 <= len(again.asked) <= whole_count - 4, "one block may have been under way"
    assert stored.attrs["fingerprint"] == whole.attrs["fingerprint"]
    for name in ("red", "elevation"):
        np.testing.assert_array_equal(stored[name].values, whole[name].values)


def test_a_block_whose_bytes_were_lost_is_asked_again(tmp_path):
    with pytest.raises(ConnectionError):
        store_stack(lazy_stack(Pixels(fail_at=4)), tmp_path / "s.zarr", {"source": "a"})
    folder = tmp_path / ".s.zarr.partial" / "elevation" / "c"
    chunk = next(path for path in sorted(folder.rglob("*")) if path.is_file())
    chunk.write_bytes(b"torn")
    again = Pixels()
    stored = store_stack(lazy_stack(again), tmp_path / "s.zarr", {"source": "a"})
    assert len(again.asked) <= 2 * FRAMES + 2 - 2
    assert (0, 0) in again.asked or (1, 0) in again.asked
    assert np.isfinite(stored["elevation"].values).all()


def test_the_pixels_of_another_request_are_not_gone_on_with(tmp_path):
    with pytest.raises(ConnectionError):
        store_stack(lazy_stack(Pixels(fail_at=2)), tmp_path / "s.zarr", {"source": "a"})
    with pytest.raises(JournalError):
        store_stack(lazy_stack(Pixels()), tmp_path / "s.zarr", {"source": "b"})
    store_stack(lazy_stack(Pixels()), tmp_path / "t.zarr", {"source": "b"})
    with pytest.raises(OutputError):
        store_stack(lazy_stack(Pixels()), tmp_path / "t.zarr", {"source": "b"})


def test_what_a_killed_run_left_in_its_blocks_is_there_at_the_end(tmp_path):
    with pytest.raises(ConnectionError):
        store_stack(lazy_stack(Pixels(fail_at=4)), tmp_path / "s.zarr", {}, facts=lambda: {"missing": ["a"]})
    seen = []
    store_stack(
        lazy_stack(Pixels()),
        tmp_path / "s.zarr",
        {},
        facts=lambda: {"missing": ["b"]},
        at_end=lambda facts: seen.extend(facts) or {"told": True},
    )
    assert {"missing": ["a"]} in seen
    assert {"missing": ["b"]} in seen
    assert len(seen) == 2 * FRAMES + 2
