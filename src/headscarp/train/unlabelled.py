"""Stacks as nets see them that need no labels: every pixel counts, and what is known of landslides stays known.

Refuses to write anything; pixels of large stacks stay lazy.
"""

import numpy as np
import xarray as xr

from headscarp.core.band import Band
from headscarp.core.stack import LABEL, band_attrs, label_names, stack_bands

_CHUNK = 1024
_IN_MEMORY = 2**28  # cells of labels: reading a small tile from a lazy array costs more than a training step


def with_all_counted(stack: xr.Dataset) -> xr.Dataset:
    """The same stack with a label band that is 1 on known landslides and 0 on every other pixel, also on unlabelled
    ones; where the stack has no label, 0 everywhere. Which pixels are valid does not change."""
    if LABEL in stack:
        label = stack[LABEL]
        label = label.copy().load() if label.size <= _IN_MEMORY else label.chunk({"y": _CHUNK, "x": _CHUNK})
        known = (label == 1).astype(np.uint8)
        known.attrs = label.attrs
        return stack.assign({LABEL: known})
    assert not label_names(stack)
    dims = tuple(dim for dim in stack[stack_bands(stack)[0].name].dims if dim != "time")
    spread = np.broadcast_to(np.uint8(0), tuple(stack.sizes[dim] for dim in dims))  # no memory
    view = stack.assign({LABEL: (dims, spread, band_attrs(Band(LABEL, "label", source="none")))})
    if "bands" in stack.attrs:
        view.attrs["bands"] = [band.name for band in stack_bands(view)]
    return view
