"""reused: the same stack, whatever window, however many threads, in no more memory than said."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headscarp.core.stack import open_stack, write_stack
from headscarp.core.tile import Window
from headscarp.prediction import reuse

SHAPE = (700, 1500)


@pytest.fixture(scope="module")
def stacks(tmp_path_factory):
    """A small stack in memory, and the same on disk."""
    from affine import Affine

    from headscarp.core.band import Band
    from headscarp.core.grid import Grid
    from headscarp.core.stack import VALID, make_stack

    rng = np.random.default_rng(1)
    arrays = {
        Band("elevation", "continuous", "m"): rng.normal(size=SHAPE),
        Band("rock", "categorical", classes=("a", "b")): rng.integers(0, 3, SHAPE),
        Band(VALID, "mask"): rng.integers(0, 2, SHAPE),
    }
    stack = make_stack(Grid(SHAPE, Affine(10, 0, 0, 0, -10, 0), "EPSG:32633"), arrays)
    path = tmp_path_factory.mktemp("stack") / "stack.zarr"
    write_stack(stack, path)
    return stack, open_stack(path)


def windows():
    def window(row, col, height, width):
        return Window(row, col, min(height, SHAPE[0] - row), min(width, SHAPE[1] - col))

    side = st.integers(1, 1300)
    return st.builds(window, st.integers(0, SHAPE[0] - 1), st.integers(0, SHAPE[1] - 1), side, side)


@given(windows())
def test_any_window_is_the_same(stacks, window):
    memory, disk = stacks
    reused = reuse.reused(disk, kept_bytes=600_000)
    for name in ("elevation", "rock", "valid"):
        np.testing.assert_array_equal(reused[name].variable[window.slices].values, memory[name].values[window.slices])


def test_what_is_kept_is_read_once_and_bounded(stacks, monkeypatch):
    _, disk = stacks
    reads = []

    def counted(self, window):
        def read():
            reads.append((self.name, window))
            return np.asarray(self.variable[window.slices].values)

        return self.kept.get((self.name, window.row, window.col), read)

    monkeypatch.setattr(reuse._Cells, "_cell", counted)
    reused = reuse.reused(disk)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: reused["elevation"].variable[:, :].values, range(8)))
    assert len(reads) == len(set(reads)) == 6
    kept = reused["elevation"].variable._data.array.kept
    assert kept.bytes == SHAPE[0] * SHAPE[1] * 4
    small = reuse.reused(disk, kept_bytes=2**20)["elevation"]
    assert small.variable[:, :].values.shape == SHAPE
    assert small.variable._data.array.kept.bytes <= 2**20


def test_a_stack_in_memory_is_left_alone(stacks):
    memory, _ = stacks
    reused = reuse.reused(memory)
    assert np.shares_memory(reused["elevation"].values, memory["elevation"].values)


def test_a_failed_read_is_an_error_and_is_tried_again(stacks):
    kept = reuse._Kept(1000)

    def fail():
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        kept.get(("a", 0, 0), fail)
    assert kept.get(("a", 0, 0), lambda: np.zeros(3)).shape == (3,)
