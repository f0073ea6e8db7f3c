"""Tiles of one lattice read as one raster, so that values between the last cell of one and the first of the next are
interpolated as anywhere else: a slope along the seam is that of the ground.

The tiles stand in a virtual raster (GDAL's VRT) over the whole grid, so the same pixel has the same bits whichever
window asks. Refuses tiles whose cells do not lie on one lattice: `lattice_of` tells which do.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.warp import transform_bounds

from headscarp.core.grid import Grid, cell_corner, grid_to_json
from headscarp.core.tile import Window
from headscarp.sources.products import Scaling
from headscarp.sources.rasterfiles import Opener, clear_read_errors, file_grid, open_raster
from headscarp.sources.rasters import prepare_open, read_open

_MARGIN = 64
"""Cells of the lattice around the grid: more than any kernel reaches."""


def lattice_of(path: str, *, opener: Opener) -> tuple[str, float, float]:
    """What tiles of one lattice have in common: CRS and size of cells. Raises SourceError."""
    with open_raster(path, opener=opener) as file:
        tile = file_grid(file, path)
        return str(tile.crs), round(tile.affine.a, 12), round(tile.affine.e, 12)


def read_mosaic(
    paths: Sequence[str], grid: Grid, window: Window, *, kind: str, scaling: Scaling, opener: Opener
) -> NDArray[np.float64]:
    """The pixels of some tiles of one lattice in a window of the grid: (height, width), NaN where there is no tile.

    Raises SourceError, and OffGridError where the tiles lie off the grid.
    """
    with ExitStack() as stack:
        files = [stack.enter_context(open_raster(path, opener=opener)) for path in paths]
        with clear_read_errors(paths[0], window), rasterio.open(_virtual(files, paths, grid, scaling)) as whole:
            raster = prepare_open(whole, paths[0], grid, kind=kind, scale=scaling.scale, offset=scaling.offset)
            return read_open(whole, raster, grid, window)


def _virtual(files: Sequence[Any], paths: Sequence[str], grid: Grid, scaling: Scaling) -> str:
    """The description of a raster over the grid and a margin, on the lattice of the tiles, that they stand in."""
    tiles = [file_grid(file, path) for file, path in zip(files, paths, strict=True)]
    first, wkt = tiles[0].affine, grid_to_json(tiles[0])["crs"]
    (left, top), (right, bottom) = cell_corner(grid, 0, 0), cell_corner(grid, grid.shape[1], grid.shape[0])
    west, south, east, north = transform_bounds(
        grid_to_json(grid)["crs"], wkt, left, bottom, right, top, densify_pts=21
    )
    col0, row0 = (int(np.floor(v)) - _MARGIN for v in ((west - first.c) / first.a, (north - first.f) / first.e))
    col1, row1 = (int(np.ceil(v)) + _MARGIN for v in ((east - first.c) / first.a, (south - first.f) / first.e))
    sources = []
    for file, tile in zip(files, tiles, strict=True):
        col, row = round((tile.affine.c - first.c) / first.a), round((tile.affine.f - first.f) / first.e)
        inside = Window(row - row0, col - col0, *tile.shape).clip((row1 - row0, col1 - col0))
        if not inside.height or not inside.width:
            continue
        nodata = file.nodata if scaling.nodata is None else scaling.nodata
        size = f'xSize="{inside.width}" ySize="{inside.height}"'
        sources.append(
            f'<ComplexSource><SourceFilename relativeToVRT="0">{escape(file.name)}</SourceFilename>'
            f"<SourceBand>1</SourceBand>{'' if nodata is None else f'<NODATA>{nodata!r}</NODATA>'}"
            f'<SrcRect xOff="{inside.col - (col - col0)}" yOff="{inside.row - (row - row0)}" {size}/>'
            f'<DstRect xOff="{inside.col}" yOff="{inside.row}" {size}/></ComplexSource>'
        )
    corner = (first.c + col0 * first.a, first.a, 0.0, first.f + row0 * first.e, 0.0, first.e)
    return (
        f'<VRTDataset rasterXSize="{col1 - col0}" rasterYSize="{row1 - row0}"><SRS>{escape(wkt)}</SRS>'
        f"<GeoTransform>{', '.join(map(repr, map(float, corner)))}</GeoTransform>"
        f'<VRTRasterBand dataType="Float32" band="1"><NoDataValue>nan</NoDataValue>{"".join(sources)}'
        "</VRTRasterBand></VRTDataset>"
    )
