"""The raw file that blocks of a map are written into while it is being made.

Plain float32, band after band, row after row, at its full size from the start, so that a full disk shows before the
work and not after it. Written at offsets, never through shared state: threads and processes may write at once, each
its own window. Refuses windows that hang over the edge.
"""

import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np

from headscarp.core.artefact import clear_os_errors
from headscarp.core.errors import OutputError
from headscarp.core.grid import Grid
from headscarp.core.tile import Window

_BYTES = 4


@dataclass(frozen=True)
class WorkFile:
    """Where the file is, how many bands it holds and of which (rows, columns)."""

    path: Path
    bands: int
    shape: tuple[int, int]

    @property
    def bytes(self) -> int:
        return self.bands * self.shape[0] * self.shape[1] * _BYTES

    def create(self) -> None:
        """Makes the file at its full size, or keeps the one that is there. Raises OutputError on a full disk."""
        with clear_os_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                os.ftruncate(handle, self.bytes)
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(handle, 0, self.bytes)
            finally:
                os.close(handle)

    def write(self, window: Window, pixels: np.ndarray) -> str:
        """Writes (K, h, w) float32 into a window inside the raster; returns their checksum."""
        pixels = np.ascontiguousarray(pixels, dtype="<f4")
        with clear_os_errors(self.path):
            handle = os.open(self.path, os.O_WRONLY)
            try:
                for run, offset in zip(_runs(pixels), self._offsets(window), strict=True):
                    _write_all(handle, run, offset)
            finally:
                os.close(handle)
        return _checksum(pixels)

    def read(self, window: Window) -> np.ndarray:
        """(K, h, w) float32 of a window inside the raster."""
        pixels = np.empty((self.bands, window.height, window.width), "<f4")
        with clear_os_errors(self.path):
            handle = os.open(self.path, os.O_RDONLY)
            try:
                for run, offset in zip(_runs(pixels), self._offsets(window), strict=True):
                    if os.preadv(handle, [run], offset) != len(run):
                        raise OutputError(f"{self.path} was cut off; run the same command with --resume")
            finally:
                os.close(handle)
        return pixels

    def checksum(self, window: Window) -> str:
        """The checksum of what a window holds now, as `write` gave it; "" where the file is gone or cut off."""
        try:
            return _checksum(self.read(window))
        except (OSError, OutputError):
            return ""

    def vrt(
        self,
        descriptions: list[tuple[str, str, dict[str, str]]],
        *,
        grid: Grid | None = None,
        overviews: Sequence[Path] = (),
        about: Mapping[str, str] | None = None,
    ) -> str:
        """The file as GDAL reads it: a VRT that stands beside it. descriptions: name, unit and tags of each band.

        overviews: paths of VRTs of smaller versions, beside it, largest first. about: tags of the file as a whole.
        """
        rows, cols = self.shape
        parts = [f'<VRTDataset rasterXSize="{cols}" rasterYSize="{rows}">', "" if grid is None else _place(grid)]
        parts.append(f"<Metadata>{_metadata(about)}</Metadata>" if about else "")
        for index, (name, unit, tags) in enumerate(descriptions):
            metadata = _metadata(tags)
            parts.append(
                f'<VRTRasterBand dataType="Float32" band="{index + 1}" subClass="VRTRawRasterBand">'
                f"<Description>{escape(name)}</Description><Metadata>{metadata}</Metadata>"
                f"<NoDataValue>nan</NoDataValue><UnitType>{escape(unit)}</UnitType><Offset>0</Offset><Scale>1</Scale>"
                f'<SourceFilename relativeToVRT="1">{escape(self.path.name)}</SourceFilename>'
                f"<ImageOffset>{index * rows * cols * _BYTES}</ImageOffset><PixelOffset>{_BYTES}</PixelOffset>"
                f"<LineOffset>{cols * _BYTES}</LineOffset><ByteOrder>LSB</ByteOrder>"
                f"{_smaller(overviews, index + 1)}</VRTRasterBand>"
            )
        return "".join([*parts, "</VRTDataset>\n"])

    def _offsets(self, window: Window) -> Iterator[int]:
        """Where in the file each row of a window begins, band after band."""
        if window.clip(self.shape) != window:
            raise ValueError(f"{window} hangs over a raster of {self.shape}")
        rows, cols = self.shape
        for band in range(self.bands):
            first = (band * rows + window.row) * cols + window.col
            yield from range(first * _BYTES, (first + window.height * cols) * _BYTES, cols * _BYTES)


def _metadata(tags: Mapping[str, str]) -> str:
    return "".join(f'<MDI key="{escape(k)}">{escape(v)}</MDI>' for k, v in sorted(tags.items()))


def _place(grid: Grid) -> str:
    a = grid.affine
    transform = ", ".join(repr(float(v)) for v in (a.c, a.a, a.b, a.f, a.d, a.e))
    wkt = escape(grid.crs.to_wkt()) if grid.crs else ""
    return f"<SRS>{wkt}</SRS><GeoTransform>{transform}</GeoTransform>"


def _smaller(overviews: Sequence[Path], band: int) -> str:
    return "".join(
        f'<Overview><SourceFilename relativeToVRT="1">{escape(path.name)}</SourceFilename>'
        f"<SourceBand>{band}</SourceBand></Overview>"
        for path in overviews
    )


def _runs(pixels: np.ndarray) -> Iterator[memoryview]:
    """The bytes of each row of contiguous pixels (K, h, w), band after band."""
    data, width = pixels.reshape(-1).view(np.uint8).data, pixels.shape[-1] * _BYTES
    return (data[at : at + width] for at in range(0, len(data), width))


def _write_all(handle: int, data: memoryview, offset: int) -> None:
    """A write may end early where the disk fills up; the next one then says why."""
    while len(data):
        written = os.pwrite(handle, data, offset)
        data, offset = data[written:], offset + written


def _checksum(pixels: np.ndarray) -> str:
    return f"{zlib.crc32(pixels.data.cast('B')):08x}"
