"""Memory that is freed stays with the process inside `keep_freed_memory`, and only there, until it has grown."""

import os
import subprocess
import sys

import pytest

FAULTS = """
import resource
import headscarp
import torch
from headscarp.core.machine import keep_freed_memory

torch.set_num_threads(1)
widths = ((6, 32), (32, 24), (24, 1))
net = torch.nn.Sequential(*(torch.nn.Conv2d(*width, 3, padding=1) for width in widths))
windows = torch.rand(16, 6, 128, 128)

def pages(rounds=10):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    with torch.inference_mode():
        for _ in range(rounds):
            net(windows)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

pages()
outside = pages()
with keep_freed_memory():
    with keep_freed_memory():
        pages()  # until the heap has room for most of what a round asks for, wherever it began
    inside = pages()
pages()
again = pages()
print(outside, inside, again)
"""


GROWTH = """
import numpy as np
import headscarp
from headscarp.core.machine import cores, give_back_growth, keep_freed_memory
from headscarp.core.pages import long_lived

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 2**20

def grow(megabytes):
    held = [np.ones((1024, 1024), np.uint8) for _ in range(megabytes)]
    last = np.ones(8, np.uint8)  # stays above them in the heap
    del held
    return last

kept = []
with keep_freed_memory():
    for _ in range(4 * cores()):
        kept.append(grow(8))
        give_back_growth()
    usual = resident()
    lasting = long_lived((400, 2**20), np.uint8)
    lasting[:] = 1
    held = resident()
    del lasting
    left = resident()
    kept.append(grow(400))
    grown = resident()
    for _ in range(4 * cores()):
        give_back_growth()
    eased = resident()
kept.append(grow(400))
give_back_growth()  # of no effect outside
print(usual, held, left, grown, eased)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is kept with glibc only")
def test_what_a_heap_grew_by_goes_back():
    done = subprocess.run([sys.executable, "-c", GROWTH], capture_output=True, text=True, check=True)
    usual, held, left, grown, eased = (float(megabytes) for megabytes in done.stdout.split())
    assert held > usual + 390
    assert left < usual + 10  # at once: on pages of its own
    assert grown > usual + 300
    assert eased < usual + 50


def faults(**environment):
    done = subprocess.run(
        [sys.executable, "-c", FAULTS],
        env={**os.environ, "THP_MEM_ALLOC_ENABLE": "0", **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return [int(count) for count in done.stdout.split()]


@pytest.mark.skipif(sys.platform != "linux", reason="memory is kept with glibc only")
def test_what_a_net_frees_is_not_mapped_anew_inside():
    outside, inside, again = faults()
    assert inside < outside / 10
    assert again > outside / 2  # as before, once it is left


@pytest.mark.skipif(sys.platform != "linux", reason="memory is kept with glibc only")
def test_memory_is_left_to_the_system_where_it_should_be():
    _, inside, _ = faults(HEADSCARP_MEMORY="system")
    assert inside > 10_000
