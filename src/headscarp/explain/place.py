"""Why a net says what it says at one place: the contribution of each band, pixel by pixel, in a window around it.

Refuses places off the grid and pixels that are not valid.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pyproj import CRS, Transformer

from headscarp.core.errors import GridError
from headscarp.core.grid import Grid, grid_to_json
from headscarp.core.tile import Tile, Window
from headscarp.explain.attribution import attribute
from headscarp.nets.batch import Batch
from headscarp.nets.net import PixelNet
from headscarp.tiles.reader import TileReader, make_batch
from headscarp.tiles.tiling import halo_of

PLACE_PX = 128


@dataclass(frozen=True)
class PlaceReasons:
    """What the bands say around a place.

    x, y: the place in the stack's CRS. pixel: row and column. window: where the planes lie. probability: there, as the
    map has it. bands: strongest in the window first. planes: (bands, h, w) float32, what each pixel's value adds to
    log-odds in the window, NaN where not valid. total: (bands,) mean over the window with signs. cell_m: of a pixel.
    """

    x: float
    y: float
    pixel: tuple[int, int]
    window: Window
    probability: float
    bands: tuple[str, ...]
    planes: np.ndarray
    total: np.ndarray
    cell_m: float

    def to_json(self) -> dict[str, Any]:
        """Plain values, without the planes."""
        total = dict(zip(self.bands, self.total.tolist(), strict=True))
        facts = {"x": self.x, "y": self.y, "pixel": list(self.pixel), "window": list(self.window)}
        return {**facts, "probability": self.probability, "mean_contribution": total}


def pixel_of(grid: Grid, place: tuple[float, float]) -> tuple[float, float, int, int]:
    """x and y in the grid's CRS, row and column of a place: x and y in that CRS, else longitude and latitude.

    Raises GridError where it is on the grid in neither way.
    """
    x, y = (float(v) for v in place)
    ways, crs = [(x, y)], CRS(grid_to_json(grid)["crs"])
    if abs(x) <= 180 and abs(y) <= 90:
        to_grid = Transformer.from_crs(CRS("EPSG:4326"), crs, always_xy=True)
        ways.append(to_grid.transform(x, y))
    for at_x, at_y in ways:
        if np.isfinite([at_x, at_y]).all():
            a = grid.affine
            col, row = int(np.floor((at_x - a.c) / a.a)), int(np.floor((at_y - a.f) / a.e))
            if 0 <= row < grid.shape[0] and 0 <= col < grid.shape[1]:
                return at_x, at_y, row, col
    box = grid.extent.boundingbox
    raise GridError(
        f"the place {x:g} {y:g} is not on the grid, which reaches from x {box.left:.0f} to {box.right:.0f} and from y "
        f"{box.bottom:.0f} to {box.top:.0f} ({crs.name}); give x and y in that CRS, or longitude and latitude"
    )


def explain_place(
    predictor: Callable[[Batch], np.ndarray],
    net: PixelNet,
    reader: TileReader,
    at: tuple[float, float, int, int],
    *,
    recode: Callable[[np.ndarray], np.ndarray],
    steps: int = 16,
) -> PlaceReasons:
    """The contributions of the bands in a window of 128 cells around a place, as `pixel_of` gives it.

    The log-odds of all valid pixels of the window are explained, wherever they stand in the split. Raises GridError
    where the place itself is not valid.
    """
    x, y, row, col = at
    window = _window(row, col, reader.shape, net.align)
    halo = halo_of(net)
    tile = Tile(window, halo)
    pixels = reader.read(tile)
    inner = (slice(halo, halo + window.height), slice(halo, halo + window.width))
    counted = np.zeros(pixels.valid.shape, bool)
    counted[inner] = pixels.valid[inner]
    if not counted[halo + row - window.row, halo + col - window.col]:
        raise GridError(
            f"the place {x:.0f} {y:.0f} (row {row}, column {col}) is not valid: some band is missing there, or it is "
            "outside the study area; give another one"
        )
    batch = make_batch([replace(pixels, x=recode(pixels.x))], [tile])
    at_place = ((halo + row - window.row) // net.stride, (halo + col - window.col) // net.stride)
    probability = float(predictor(batch)[0][at_place])
    found = attribute(net, batch, counted, steps=steps)
    order = np.argsort(-found.strength, kind="stable")
    planes = np.where(counted[inner], found.planes[order][:, *inner], np.nan).astype(np.float32)
    cell_m = net.resolution_m
    names = tuple(net.bands[i].name for i in order)
    return PlaceReasons(x, y, (row, col), window, probability, names, planes, found.total[order], cell_m)


def _window(row: int, col: int, shape: tuple[int, int], align: int) -> Window:
    """A window around a pixel whose edges are multiples of `align`; it may hang over the raster."""
    side = -(-PLACE_PX // align) * align
    top, left = (max(0, (v - side // 2) // align * align) for v in (row, col))
    return Window(top, left, side, side)
