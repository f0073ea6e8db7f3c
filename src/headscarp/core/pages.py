"""Arrays on pages of memory of their own, for what outlives many short-lived blocks. Refuses nothing."""

import math
import mmap
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from headscarp.core.machine import keeps_freed_memory


def long_lived(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """An array of any values, which goes back to the system with its last reference.

    On pages of its own inside `core.machine.keep_freed_memory`: in the heap it would leave holes among blocks of other
    sizes. Elsewhere it is `np.empty`.
    """
    count = math.prod(shape) * np.dtype(dtype).itemsize
    if not count or not keeps_freed_memory():
        return np.empty(shape, dtype)
    pages = mmap.mmap(-1, count, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)  # of no other process
    return np.frombuffer(pages, dtype).reshape(shape)
