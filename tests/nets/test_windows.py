"""Batches of windows are always full, whoever asks; what one thread leaves the others run."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
import torch

from headscarp.core.tile import Tile, Window
from headscarp.nets.batch import Batch
from headscarp.nets.windows import Windows

SIDE = 4
FAR = Tile(Window(0, 0, 1000, 1000))


def window_at(place):
    return Window(SIDE * place, 0, SIDE, SIDE)


def parts(places):
    """Windows whose pixels are their number."""

    def part(place):
        x = torch.full((1, 1, SIDE, SIDE), float(place))
        return Batch(x=x, valid=torch.ones(1, SIDE, SIDE, dtype=torch.bool), tiles=(Tile(window_at(place)),))

    return {window_at(place): partial(part, place) for place in places}


def numbers(made):
    return [int(one.mean()) for one in made.values()]


@pytest.mark.parametrize("count", [1, 4, 7, 8])
def test_every_batch_is_full_and_each_window_gives_its_own_numbers(count):
    sizes = []

    def run(batch):
        sizes.append(len(batch.x))
        return batch.x

    windows = Windows(at_once=4)
    assert numbers(windows.run(run, parts(range(count)), FAR)) == list(range(count))
    assert sizes == [4] * -(-count // 4)


def test_windows_of_two_tiles_fill_a_batch_together():
    """Two threads with three windows each and four at once: two batches, not one and a half each."""
    batches, both = [], threading.Barrier(2)

    def run(batch):
        batches.append(sorted({int(x) for x in batch.x.mean(dim=(1, 2, 3))}))
        time.sleep(0.02)
        return batch.x

    windows = Windows(at_once=4)

    def job(places):
        asked = parts(places)
        both.wait(timeout=10)
        return numbers(windows.run(run, asked, FAR))

    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(job, places) for places in ([0, 1, 2, 3, 4], [5, 6, 7])]
        assert [one.result(timeout=10) for one in jobs] == [[0, 1, 2, 3, 4], [5, 6, 7]]
    assert sorted(place for batch in batches for place in batch) == list(range(8))
    assert len(batches) <= 3  # two, unless one thread was done before the other had asked


def test_a_thread_whose_windows_are_there_helps_the_others():
    """One tile of two batches, one of forty: both threads work until the end."""
    who, first = [], threading.Event()

    def run(batch):
        who.append(threading.get_ident())
        time.sleep(0.01)
        return batch.x

    windows = Windows(at_once=2)

    def long():
        first.set()
        return numbers(windows.run(run, parts(range(10, 90)), FAR))

    def short():
        first.wait(timeout=10)
        return numbers(windows.run(run, parts(range(4)), FAR))

    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(long), pool.submit(short)]
        assert [len(one.result(timeout=20)) for one in jobs] == [80, 4]
    shares = [who.count(one) for one in set(who)]
    assert len(who) == 42
    assert min(shares) >= 12, shares


def test_what_breaks_in_one_thread_is_run_by_another():
    broken = [True]

    def breaks_once(batch):
        if broken.pop() if broken else False:
            raise RuntimeError("lost")
        time.sleep(0.005)
        return batch.x

    windows = Windows(at_once=4)
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(windows.run, breaks_once, parts(places), FAR) for places in (range(8), range(8, 16))]
        errors = [one.exception(timeout=10) for one in jobs]
    assert [str(error) for error in errors if error] == ["lost"]
    whole = next(job for job, error in zip(jobs, errors, strict=True) if not error)
    assert len(whole.result()) == 8
    assert numbers(windows.run(breaks_once, parts([3]), FAR)) == [3]  # and the next tile finds nothing stuck
