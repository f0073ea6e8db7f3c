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

torch.set_num_threads(1)
widths = ((6, 32), (32, 24), (24, 1))
net = torch.nn.Sequential(*(torch.nn.Conv2d(*width, 3, padding=1) for width in widths))
windows = torch.rand(16, 6, 128, 128)

def pages(rounds=5):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    with torch.inference_mode():
        for _ in range(rounds):
            net(windows)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

pages()
outside = pages()
with keep_freed_memory():
    with keep_freed_memory():
        pages()
    inside = pages()
pages()
again = pages()
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
def test_what_a_net_frees_is_not_mapped_anew_inside():
    outside, inside, again = faults()
    assert inside < outside / 10
    assert again > outside / 2  # as before, once it is left


@pytest.mark.skipif(sys.platform != "linux", reason="memory is kept with glibc only")
def test_memory_is_left_to_the_system_where_it_should_be():
    _, inside, _ = faults(HEADSCARP_MEMORY="system")
    assert inside > 10_000
