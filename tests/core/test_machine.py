"""Memory that is freed stays with the process inside `keep_freed_memory`, and only there."""

import os
import subprocess
import sys

import pytest

FAULTS = """
import resource
import headscarp
import torch
from headscarp.core.machine import keep_freed_memory

def pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(64 << 20, dtype=torch.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

pages(), pages()
outside = pages()
with keep_freed_memory():
    with keep_freed_memory():
        pages()
    inside = pages()
again = (pages(), pages())[1]
print(outside, inside, again)
"""


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
def test_a_block_of_the_same_size_is_not_mapped_anew_inside():
    # Where the system has laid something right behind the heap, it cannot grow, and blocks are mapped as before.
    tries = [faults() for _ in range(8)]
    assert any(inside < outside / 10 for outside, inside, _ in tries), tries
    assert all(again > outside / 2 for outside, _, again in tries), tries  # as before, once it is left


@pytest.mark.skipif(sys.platform != "linux", reason="memory is kept with glibc only")
def test_memory_is_left_to_the_system_where_it_should_be():
    _, inside, _ = faults(HEADSCARP_MEMORY="system")
    assert inside > 10_000
