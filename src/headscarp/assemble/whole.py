"""Terrain that no window can give: water comes from any distance, so these bands are made from the whole elevation.

Made once, before the blocks, into a file that the blocks read. Refuses grids that are too large to hold in memory.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from headscarp.assemble.layers import Layer, WholeLayer
from headscarp.core.artefact import clear_os_errors
from headscarp.core.errors import GridError
from headscarp.core.grid import Grid, cell_size_m
from headscarp.core.tile import Window, windows
from headscarp.sources.rasters import Raster
from headscarp.sources.stacks import StackBand, read_pixels
from headscarp.terrain import flow_accumulation, slope, wetness_index

LARGEST = 100_000_000
"""Cells. At about 60 bytes each this is the most that fits beside everything else on a machine of 8 GB."""

_READ_PX = 1024


def make_whole_layers(layers: tuple[Layer, ...], grid: Grid, folder: Path) -> tuple[Layer, ...]:
    """The layers, those of the whole raster made and pointing to their files in `folder`; files there are kept.

    Raises GridError where the grid has more than LARGEST cells.
    """
    return tuple(_made(layer, grid, folder) if isinstance(layer, WholeLayer) else layer for layer in layers)


def _made(layer: WholeLayer, grid: Grid, folder: Path) -> WholeLayer:
    cells = grid.shape[0] * grid.shape[1]
    if cells > LARGEST:
        raise GridError(
            f"band {layer.band.name!r} ({layer.terrain}) needs the whole elevation in memory, and the grid has "
            f"{cells / 1e6:.0f} million cells; up to {LARGEST / 1e6:.0f} million are possible: make it with a program "
            "for large rasters such as TauDEM and add it as a raster, or use a coarser grid"
        )
    file = folder / f"{layer.band.name}.npy"
    if not file.exists():
        plane = _flow(layer, grid)
        with clear_os_errors(file):
            folder.mkdir(parents=True, exist_ok=True)
            partial = file.with_suffix(".partial.npy")
            np.save(partial, plane)
            partial.replace(file)
    return replace(layer, file=str(file.absolute()))


def _flow(layer: WholeLayer, grid: Grid) -> NDArray[np.float32]:
    dem = _whole_raster(layer.raster, grid, layer.pad_px)
    cell = cell_size_m(grid)
    area = flow_accumulation(dem, cell)
    if layer.terrain == "flow_accumulation":
        return area
    return wetness_index(area, slope(dem, cell, method=layer.method), cell)


def _whole_raster(raster: Raster | StackBand, grid: Grid, pad_px: int) -> NDArray[np.float32]:
    dem = np.empty(tuple(grid.shape), np.float32)
    for window in windows((grid.shape[0], grid.shape[1]), _READ_PX):
        part: Window = window.clip((grid.shape[0], grid.shape[1]))
        dem[part.slices] = read_pixels(raster, grid, part, pad_px=pad_px)
    dem[~np.isfinite(dem)] = np.nan
    return dem
