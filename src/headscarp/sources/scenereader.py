"""The pixels of scenes as lazy arrays, read through our client when they are computed, in the calling thread.

Nothing is kept between reads but how each file lies to the grid; a graph holds no task for each scene, so that a year
over a country costs as little to plan as a day over a village. The same pixel comes out with the same bits whichever
window asks for it. What cannot be read after all tries is noted in `client.missing` with its scene and window, is
missing in the stack, and the rest goes on.
"""

import threading
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from headscarp.core.band import NO_VALUE, Band
from headscarp.core.errors import GridError, OffGridError, SourceError
from headscarp.core.tile import Window
from headscarp.sources.mosaics import lattice_of, read_mosaic
from headscarp.sources.products import Look, Product, Scene
from headscarp.sources.rasterfiles import open_raster
from headscarp.sources.rasters import Raster, prepare_open, read_open
from headscarp.sources.request import Request

CHUNK_PX = 1024
"""Side of a chunk of a source: a few blocks of a cloud-optimised file, a whole number of chunks of a stack."""


def lazy_bands(
    frames: Sequence[Sequence[Scene]], bands: Sequence[Band], product: Product, request: Request
) -> dict[str, da.Array]:
    """Each band of the frames as a dask array: (time, y, x) of the band's type, in chunks (1, CHUNK_PX, CHUNK_PX).

    Where several scenes of a frame hold a pixel it is the first one's. Missing is NaN, 0 for categories.
    """
    reader = SceneReader(product, request)
    arrays = {band.name: _FrameArray(reader, band, frames) for band in bands}
    return {
        name: da.from_array(
            array,
            chunks=(1, CHUNK_PX, CHUNK_PX),
            name=f"{product.name}-{name}-{uuid4().hex}",
            meta=np.empty((0, 0, 0), array.dtype),
            asarray=False,
            fancy=False,
            inline_array=True,
        )
        for name, array in arrays.items()
    }


class SceneReader:
    """Reads windows of the looks of one product onto one grid. Safe to use from many threads."""

    def __init__(self, product: Product, request: Request) -> None:
        self.product, self.request = product, request
        self._rasters: dict[str, Raster] = {}
        self._off_grid: set[str] = set()
        self._noted: set[tuple[str, Window]] = set()
        self._lock = threading.Lock()

    def open(self, address: str, mode: str = "rb") -> Any:
        """A file behind an address, on the product's account."""
        return self.request.client.open(address, source=self.product.name)

    def read_frame(self, scenes: Sequence[Scene], band: Band, window: Window) -> NDArray[Any]:
        """A band of a frame in a window of the grid: (height, width) of the band's type; later scenes fill holes."""
        shape = (window.height, window.width)
        found: NDArray[Any] = np.full(shape, NO_VALUE if band.kind == "categorical" else np.nan, band.dtype)
        for scene in scenes:
            look = scene.looks.get(band.name)
            holes = found == NO_VALUE if band.kind == "categorical" else np.isnan(found)
            if look is None:
                continue
            if not holes.any():
                break
            values = self.read_look(look, band, window)
            if values is not None:
                np.copyto(found, values, where=holes)
        return found

    def read_tiles(self, scenes: Sequence[Scene], band: Band, window: Window) -> NDArray[Any]:
        """A continuous band in a window of the grid, from tiles without time: (height, width), without seams."""
        looks = [scene.looks[band.name] for scene in scenes if band.name in scene.looks]
        # Each alone first: what cannot be had is noted, and the others, which then are in the cache, go on without it.
        had = [look for look in looks if self.read_look(look, band, window) is not None]
        lattices: dict[tuple[str, float, float], list[Look]] = {}
        for look in had:
            lattices.setdefault(lattice_of(look.address, opener=self.open), []).append(look)
        found = np.full((window.height, window.width), np.nan)
        for tiles in lattices.values():
            paths, scaling = [look.address for look in tiles], tiles[0].scaling
            values = read_mosaic(paths, self.request.grid, window, kind=band.kind, scaling=scaling, opener=self.open)
            np.copyto(found, values, where=np.isnan(found))
        return as_band(found, band)

    def read_look(self, look: Look, band: Band, window: Window) -> NDArray[Any] | None:
        """One look in a window of the grid, in the band's type; None where it lies off the grid or cannot be had."""
        if look.address in self._off_grid:
            return None
        try:
            with open_raster(look.address, opener=self.open) as file:
                values = read_open(file, self._raster(look, band, file), self.request.grid, window)
        except OffGridError:
            self._off_grid.add(look.address)
            return None
        except (SourceError, GridError) as error:
            self._note_missing(look, window, error)
            return None
        decode = self.product.decode.get(band.name)
        return as_band(values if decode is None else decode(values), band)

    def _raster(self, look: Look, band: Band, file: Any) -> Raster:
        """How a look is read onto the grid. Raises SourceError."""
        if look.address not in self._rasters:
            self._rasters[look.address] = prepare_open(
                file,
                look.address,
                self.request.grid,
                kind=band.kind,
                nodata=look.scaling.nodata,
                scale=look.scaling.scale,
                offset=look.scaling.offset,
                resampling=self.product.resampling.get(look.band),
            )
        return self._rasters[look.address]

    def _note_missing(self, look: Look, window: Window, error: Exception) -> None:
        """Puts what could not be read on the client's list, once for each window."""
        with self._lock:
            if (look.address, window) in self._noted:
                return
            self._noted.add((look.address, window))
        place = f"rows {window.row}-{window.row + window.height}, columns {window.col}-{window.col + window.width}"
        why = f"scene {look.scene}, band {look.band}, {place} of the grid: {error}"
        self.request.client.note_missing(look.address, why, source=self.product.name)


def as_band(values: NDArray[Any], band: Band) -> NDArray[Any]:
    """Values in the type of a band: NaN in categories, and codes that have no class, become 0 = no value."""
    if band.kind != "categorical":
        return values.astype(band.dtype)
    known = (values >= 1) & (values <= len(band.classes))
    return np.where(known, values, NO_VALUE).astype(band.dtype)


class _FrameArray:
    """What dask asks of an array: its shape, its type, and the pixels of any slices of it."""

    ndim = 3

    def __init__(self, reader: SceneReader, band: Band, frames: Sequence[Sequence[Scene]]) -> None:
        self.reader, self.band, self.frames = reader, band, frames
        self.shape = (len(frames), *reader.request.grid.shape)
        self.dtype = np.dtype(band.dtype)

    def __getitem__(self, index: tuple[int | slice, ...]) -> NDArray[Any]:
        spans = [_span(i, size) for i, size in zip(index, self.shape, strict=True)]
        (rows, cols), pixels = spans[1:], np.empty([len(span) for span in spans], self.dtype)
        if pixels.size:
            window = Window(min(rows), min(cols), max(rows) - min(rows) + 1, max(cols) - min(cols) + 1)
            picked = np.ix_(np.array(rows) - window.row, np.array(cols) - window.col)
            for i, frame in enumerate(spans[0]):
                read = self.reader.read_tiles if self.reader.product.timeless else self.reader.read_frame
                pixels[i] = read(self.frames[frame], self.band, window)[picked]
        dropped = tuple(axis for axis, i in enumerate(index) if not isinstance(i, slice))
        return pixels.squeeze(dropped)


def _span(index: int | slice, size: int) -> range:
    """The positions along one axis that an index stands for."""
    if isinstance(index, slice):
        return range(*index.indices(size))
    return range(index, index + 1)
