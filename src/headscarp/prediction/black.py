"""Squares of a map where its image is black: the corner of a mosaic, or a failed cut that no file calls missing.

Squares hang on row 0, column 0 of the raster, so that what is left out does not depend on blocks. Refuses to judge
bands with a unit: elevation and slope are 0 on the sea, and that is no hole.
"""

from collections.abc import Sequence

import numpy as np

from headscarp.core.band import Band
from headscarp.core.stack import CHUNK

FEWEST_BANDS = 3
"""Continuous bands without a unit that make an image; fewer may be 0 together by chance, such as changes."""


def leave_out_black(x: np.ndarray, valid: np.ndarray, bands: Sequence[Band]) -> int:
    """Marks the valid pixels of black squares as not valid, in place; returns how many squares that were.

    x: ([T,] C, h, w) bands as they stand in the stack, from a row and column that are multiples of 256. valid: (h, w)
    bool. A square is black where every band of the image is 0 on all its valid pixels; where there are frames, none is.
    """
    if x.ndim != 3:
        return 0
    image = [i for i, band in enumerate(bands) if band.kind == "continuous" and band.units in ("", "1")]
    if len(image) < FEWEST_BANDS:
        return 0
    black = 0
    for row in range(0, valid.shape[0], CHUNK):
        for col in range(0, valid.shape[1], CHUNK):
            square = (slice(row, row + CHUNK), slice(col, col + CHUNK))
            there = valid[square]
            if there.any() and not any((x[i][square][there] != 0).any() for i in image):
                there[:] = False
                black += 1
    return black
