"""An open raster file, on disk or behind an opener, whose faults come out as they were.

GDAL turns what goes wrong below it into words of its own, and at times into pixels of zero. So the file that an opener
gives is watched: the first fault ends all reading and is raised itself. Refuses to ask an opener for anything but the
file that was named: no side-car files, no neighbours.
"""

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import rasterio
from odc.geo.geobox import GeoBox
from rasterio.abc import MultiByteRangeResourceContainer
from rasterio.errors import RasterioError

from headscarp.core.errors import GridError, SourceError
from headscarp.core.grid import Grid, check_grid
from headscarp.core.tile import Window

Opener = Callable[..., Any]
"""(path, mode) -> a seekable binary file, such as Client.opener."""

# In bytes: rasterio hands a number on to GDAL as such, and with 256 nothing would be kept between two reads.
_CACHE_BYTES = 256 << 20


@contextmanager
def open_raster(path: str | Path, *, opener: Opener | None = None) -> Iterator[Any]:
    """An open raster file. Raises SourceError that says what is wrong with it, and what the opener raised as it was."""
    # One thread and no listing: an opener is known to the calling thread alone, and has no folders.
    quiet = {} if opener is None else {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GDAL_NUM_THREADS": "1"}
    with rasterio.Env(GDAL_CACHEMAX=_CACHE_BYTES, **quiet), _watched(str(path), opener) as options:
        try:
            file = rasterio.open(path, **options)
        except RasterioError as error:
            if opener is None and not Path(path).exists():
                raise SourceError(f"there is no raster at {path}; check the path in the recipe") from error
            raise SourceError(f"{path} cannot be read as a raster ({error}); get the file again") from error
        with file:
            yield file


@contextmanager
def clear_read_errors(path: str, window: Window) -> Iterator[None]:
    """Turns GDAL's errors while a window is read into a SourceError that names file and window."""
    try:
        yield
    except RasterioError as error:
        raise SourceError(
            f"{path} cannot be read at rows {window.row}-{window.row + window.height}, columns {window.col}-"
            f"{window.col + window.width} ({error}); the file is truncated or corrupt: get it again, then run the same "
            "command with --resume: finished blocks are kept"
        ) from error


def file_grid(file: Any, name: str) -> Grid:
    """The grid of an open raster file. Raises SourceError without a CRS, GridError where it is rotated."""
    if file.crs is None:
        raise SourceError(f"{name} has no CRS; write it into the file, e.g. gdal_edit.py -a_srs EPSG:32643 {name}")
    try:
        return check_grid(GeoBox(file.shape, file.transform, file.crs.to_wkt()))
    except GridError as error:
        raise GridError(f"{name}: {error}") from error


@contextmanager
def _watched(path: str, opener: Opener | None) -> Iterator[dict[str, Any]]:
    """The options of rasterio.open with which nothing that the opener meets is lost."""
    if opener is None:
        yield {}
        return
    files = _OneFile(path, opener)
    try:
        yield {"opener": files}
    except Exception:
        if files.faults:
            raise files.faults[0] from None
        raise
    if files.faults:
        raise files.faults[0]


class _OneFile(MultiByteRangeResourceContainer):
    """All that GDAL may see of the place where a file is: that file."""

    def __init__(self, path: str, opener: Opener) -> None:
        self.path, self.opener, self.faults = path, opener, list[Exception]()

    def open(self, path: str, mode: str = "rb", **_: Any) -> Any:
        if path != self.path:
            return io.BytesIO()
        try:
            return _Watched(path, self.opener(path, "rb"), self.faults)
        except Exception as error:
            self.faults.append(error)
            return io.BytesIO()

    def isfile(self, path: str) -> bool:
        return path == self.path

    def isdir(self, path: str) -> bool:
        return False

    def ls(self, path: str) -> list[str]:
        return []

    def mtime(self, path: str) -> int:
        return 0

    def size(self, path: str) -> int:
        return 0

    def rm(self, path: str) -> None:
        raise SourceError(f"{path} is only read here")


class _Watched(io.RawIOBase):
    """A file that ends where its first fault was: errors cannot be raised through GDAL."""

    def __init__(self, path: str, file: Any, faults: list[Exception]) -> None:
        super().__init__()
        self._path, self._file, self._faults = path, file, faults

    def read(self, size: int = -1) -> bytes:
        if self._faults:
            return b""
        try:
            return bytes(self._file.read(size))
        except Exception as error:
            self._faults.append(error)
            return b""

    def get_byte_ranges(self, offsets: Sequence[int], sizes: Sequence[int]) -> list[bytes]:
        """Several ranges at once, where the file can; zeros after a fault, which is raised when GDAL is done."""
        try:
            if not self._faults and hasattr(self._file, "get_byte_ranges"):
                found = [bytes(part) for part in self._file.get_byte_ranges(offsets, sizes)]
            else:
                found = [self._read_at(offset, size) for offset, size in zip(offsets, sizes, strict=True)]
        except Exception as error:
            self._faults.append(error)
            found = []
        whole = [len(part) for part in found] == list(sizes)
        if not whole and not self._faults:
            self._faults.append(SourceError(f"{self._path} ends before its pixels do: it is truncated; get it again"))
        return found if whole else [bytes(size) for size in sizes]

    def _read_at(self, offset: int, size: int) -> bytes:
        self.seek(offset)
        return self.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def close(self) -> None:
        self._file.close()
        super().close()
