"""Is a place like those that a net of futures was trained on? A warning where most of it is unlike all of them.

Refuses to refuse: what is unlike may still be right, and nobody knows.
"""

import warnings

import numpy as np
import torch
import xarray as xr

from headscarp.core.bundle import Bundle
from headscarp.core.errors import HeadscarpWarning
from headscarp.core.tile import Tile, Window
from headscarp.nets.futures import FutureNet
from headscarp.tiles.dataset import raster_shape
from headscarp.tiles.fits import check_fits
from headscarp.tiles.reader import TileReader, make_batch

_MOST_LOOKS = 8  # along each side
_LOOKS_AT_SERIES = 4  # the same, where each costs a reading of all frames
_AT_ONCE_PX = 512  # a place up to so many pixels along each side is read once, for all windows
_ENOUGH_VALID, _TOO_MANY, _FAR = 0.5, 0.5, 2.0


def strange_share(bundle: Bundle, net: FutureNet, stack: xr.Dataset) -> float:
    """The share of windows of a place, as large as a training place, that are twice as far from the training places as
    any held-out place was, or more; NaN of a net that does not know, and where too little is valid."""
    side = int(net.familiarity.place_px)
    if side == 0:
        return float("nan")
    bands, shape = check_fits(bundle, stack).bands, raster_shape(stack)
    if max(shape) <= _AT_ONCE_PX:
        stack = stack.assign({band.name: stack[band.name].compute() for band in bands})
    reader = TileReader(stack, bands)
    looks = _LOOKS_AT_SERIES if "time" in stack.dims else _MOST_LOOKS
    starts = [np.unique(np.linspace(0, max(length - side, 0), looks).astype(int)) for length in shape]
    strange = []
    with torch.inference_mode():
        for row in starts[0]:
            for col in starts[1]:
                tile = Tile(Window(int(row), int(col), side, side), 0)
                batch = net.as_picture(make_batch([reader.read(tile)], [tile]))
                if float(batch.valid.float().mean()) >= _ENOUGH_VALID:
                    strange.append(float(net.how_strange(batch)))
    return float(np.mean(np.array(strange) >= _FAR)) if strange else float("nan")


def warn_where_strange(bundle: Bundle, net: FutureNet, stack: xr.Dataset) -> None:
    """Warns where more than half of the place is strange."""
    share = strange_share(bundle, net, stack)
    if share > _TOO_MANY:
        warnings.warn(
            f"{share:.0%} of the place is unlike all places that the net was trained and judged on, by colours and "
            "relief: its futures are guesses there; train on places like it",
            HeadscarpWarning,
            stacklevel=3,
        )
