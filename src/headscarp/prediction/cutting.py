"""Where a map is cut into landslide and not: what it says of that itself, and the mask of a block.

A map of `predict` carries the threshold and the opening of the bundle that made it in the tags of its first band, so
that they are there wherever the file goes. Refuses to choose a threshold by looking at the pixels.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d, minimum_filter1d

from headscarp.prediction.outlines import DEFAULT_THRESHOLD, Rules

_THRESHOLD, _OPEN_PX, _NET = "HEADSCARP_THRESHOLD", "HEADSCARP_OPEN_PX", "HEADSCARP_NET"


@dataclass(frozen=True)
class Cut:
    """How a map wants to be cut, and the net that says so: the threshold in (0, 1], the radius of the opening."""

    net: str
    threshold: float
    open_px: int = 0

    def to_tags(self) -> dict[str, str]:
        """As tags of a raster band."""
        return {_NET: self.net, _THRESHOLD: f"{self.threshold:.9g}", _OPEN_PX: str(self.open_px)}


def cut_of(tags: Mapping[str, str]) -> Cut | None:
    """What the tags of a band say; None where they say nothing, or nothing that can be."""
    try:
        cut = Cut(tags[_NET], float(tags[_THRESHOLD]), int(tags[_OPEN_PX]))
    except (KeyError, ValueError):
        return None
    return cut if 0 < cut.threshold <= 1 and cut.open_px >= 0 else None


def read_cut(raster: str | Path, band: int = 1) -> Cut | None:
    """What a map says of how it wants to be cut; None where it says nothing."""
    with rasterio.open(raster) as file:
        return cut_of(file.tags(band))


def settle_rules(rules: Rules, cut: Cut | None) -> tuple[Rules, str]:
    """The rules without gaps, and a word on where the threshold comes from."""
    if rules.threshold is not None:
        origin = "as given"
    elif cut is not None:
        origin = f"of the bundle ({cut.net}) that made the map"
    else:
        origin = "the default, since the map names no bundle that made it"
    threshold, open_px = (cut.threshold, cut.open_px) if cut else (DEFAULT_THRESHOLD, 0)
    settled = replace(
        rules,
        threshold=threshold if rules.threshold is None else rules.threshold,
        open_px=open_px if rules.open_px is None else rules.open_px,
    )
    return settled, origin


def halo_px(rules: Rules) -> int:
    """Context that the mask of a block needs on each side."""
    return 2 * (rules.open_px or 0)


def landslide_mask(probability: NDArray[np.float32], rules: Rules) -> NDArray[np.bool_]:
    """Cells that count: from the threshold on, and in an all-landslide square of 2 open_px + 1 cells a side.

    probability: (rows, columns), NaN missing, which is not landslide. What lies beyond the edge takes nothing away from
    a slide that is cut by it, so the outermost `halo_px` cells are right at the edge of the map only.
    """
    with np.errstate(invalid="ignore"):
        mask = probability >= np.float32(rules.threshold)
    if not rules.open_px:
        return mask
    side, cells = 2 * rules.open_px + 1, mask.view(np.uint8)
    for narrow, beyond in ((minimum_filter1d, 1), (maximum_filter1d, 0)):
        for axis in (0, 1):
            cells = narrow(cells, side, axis=axis, mode="constant", cval=beyond)
    return np.asarray(cells.view(np.bool_))
