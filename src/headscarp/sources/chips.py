"""Pixels of chips: PNG, TIFF, HDF5 and NPZ files, of one chip or of many, with the depth that they were written in.

Rasters are read by GDAL, which keeps 16 bits where picture libraries silently take 8. Refuses files whose layout does
not hold the bands that were named.
"""

import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headscarp.core.errors import SourceError

RASTERS = (".png", ".tif", ".tiff")
ARRAYS = (".h5", ".hdf5", ".npz", ".npy")


@dataclass(frozen=True)
class ChipPlace:
    """Where the pixels of a chip are. key: of an array inside the file. index: along its first axis, where it holds
    many chips; None where the file is one chip."""

    path: str
    key: str = ""
    index: int | None = None

    def __str__(self) -> str:
        inside = f"#{self.key}" if self.key else ""
        return f"{self.path}{inside}" + ("" if self.index is None else f"[{self.index}]")


def read_chip(place: ChipPlace, planes: int) -> NDArray[Any]:
    """(planes, y, x) of a chip in the number type of its file; planes of an array may stand first or last.

    A picture with one plane more than asked for has an alpha channel: where that is 0 pixels are NaN, in float32.
    Raises SourceError that names the file and what it holds.
    """
    pixels, nodata = _read(place)
    if nodata is not None and (pixels == nodata).any():
        pixels = np.where(pixels == nodata, np.nan, pixels).astype(np.float32)
    pixels = _planes_first(pixels, planes, place)
    if len(pixels) == planes + 1 and Path(place.path).suffix.lower() == ".png":
        alpha, pixels = pixels[-1], pixels[:-1]
        if (alpha == 0).any():
            pixels = np.where(alpha > 0, pixels, np.nan).astype(np.float32)
    if len(pixels) != planes:
        raise SourceError(
            f"{place} holds {len(pixels)} planes; {planes} bands are named: name each, '-' leaves one out"
        )
    return pixels


def read_mask(place: ChipPlace) -> NDArray[Any]:
    """(y, x) of a mask, in the numbers of its file; what the file calls no-data is a number as any other.

    Raises SourceError where it has several planes.
    """
    pixels = _planes_first(_read(place)[0], 1, place)
    if len(pixels) != 1:
        raise SourceError(f"the mask {place} has {len(pixels)} planes; a mask is (y, x), one class number a pixel")
    return np.asarray(pixels[0])


def chips_in(path: Path, key: str, planes: int) -> int | None:
    """How many chips an array holds; None where the file is one chip. Raises SourceError."""
    if path.suffix.lower() in RASTERS:
        return None
    shape = _shape(path, key)
    if len(shape) == 4 or (len(shape) == 3 and planes == 1 and 1 not in (shape[0], shape[2])):
        return int(shape[0])
    if len(shape) in (2, 3):
        return None
    raise SourceError(f"{path}#{key} has shape {shape}; a chip is (y, x), (planes, y, x) or (y, x, planes)")


def read_names(path: Path, key: str) -> list[str]:
    """The names of the chips of a file, from an array of texts in it. Raises SourceError."""
    values = _load(path, key, ...)
    return [value.decode() if isinstance(value, bytes) else str(value) for value in np.ravel(values)]


@contextmanager
def chips_without_place() -> Iterator[None]:
    """Inside, GDAL does not warn that pictures have no place on the ground. For the main thread: filters are shared."""
    from rasterio.errors import NotGeoreferencedWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


def fitted(pixels: NDArray[Any], shape: tuple[int, int]) -> NDArray[np.float32]:
    """(planes, y, x) brought to the rows and columns of other pixels of the same ground, as float32.

    To coarser pixels by means where they divide evenly, else bilinear between centres; NaN spreads.
    """
    pixels = pixels.astype(np.float32)
    rows, cols = pixels.shape[1:]
    if (rows, cols) == shape:
        return pixels
    if rows % shape[0] == 0 and cols % shape[1] == 0:
        cut = pixels.reshape(len(pixels), shape[0], rows // shape[0], shape[1], cols // shape[1])
        return np.asarray(cut.mean(axis=(2, 4)), np.float32)
    (top, bottom, down), (left, right, across) = _between(rows, shape[0]), _between(cols, shape[1])
    upper = pixels[:, top][:, :, left] * (1 - across) + pixels[:, top][:, :, right] * across
    lower = pixels[:, bottom][:, :, left] * (1 - across) + pixels[:, bottom][:, :, right] * across
    return np.asarray(upper * (1 - down[:, None]) + lower * down[:, None], np.float32)


def _between(size: int, wanted: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """For each wanted cell the two old ones that its centre lies between, and how far on the way it is."""
    at = np.clip((np.arange(wanted) + 0.5) * size / wanted - 0.5, 0, size - 1)
    first = np.floor(at).astype(np.int64)
    return first, np.minimum(first + 1, size - 1), (at - first).astype(np.float32)


def _planes_first(pixels: NDArray[Any], planes: int, place: ChipPlace) -> NDArray[Any]:
    if pixels.ndim == 2:
        return pixels[None]
    if pixels.ndim != 3:
        raise SourceError(f"{place} is {pixels.shape}; a chip is (y, x), (planes, y, x) or (y, x, planes)")
    first, last = pixels.shape[0] == planes, pixels.shape[2] == planes
    if first and last and pixels.shape[1] != planes:
        raise SourceError(f"{place} is {pixels.shape}: its planes may be first or last; store it as (planes, y, x)")
    if last and not first:
        return np.moveaxis(pixels, -1, 0)
    return pixels


def _read(place: ChipPlace) -> tuple[NDArray[Any], float | None]:
    """The pixels as they stand, and the number that means no data where the file names one."""
    if Path(place.path).suffix.lower() not in RASTERS:
        return _load(Path(place.path), place.key, ... if place.index is None else place.index), None
    import rasterio

    try:
        with rasterio.open(place.path) as file:
            return file.read(), file.nodata
    except rasterio.errors.RasterioError as error:
        raise SourceError(f"{place.path} cannot be read as a picture ({error}); get it again") from error


def _shape(path: Path, key: str) -> tuple[int, ...]:
    if path.suffix.lower() in (".h5", ".hdf5"):
        import h5py

        with _readable(path), h5py.File(path) as file:
            return tuple(file[_one_of(list(file), key, path)].shape)
    return tuple(_load(path, key, ...).shape)


def _load(path: Path, key: str, index: Any) -> NDArray[Any]:
    suffix = path.suffix.lower()
    with _readable(path):
        if suffix in (".h5", ".hdf5"):
            import h5py

            with h5py.File(path) as file:
                return np.asarray(file[_one_of(list(file), key, path)][index])
        with path.open("rb") as file:  # np.load leaves a file open that turns out to be torn
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return np.asarray(loaded[index])
            return np.asarray(loaded[_one_of(loaded.files, key, path)][index])


def _one_of(held: Sequence[str], key: str, path: Path) -> str:
    if key in held:
        return key
    if not key and len(held) == 1:
        return held[0]
    asked = f"no array {key!r}" if key else "several arrays and none is named"
    raise SourceError(
        f"{path} has {asked}; it holds {', '.join(held)}: write {path.name}#{held[0] if held else 'NAME'}"
    )


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turns whatever a reader of arrays raises into a SourceError that names the file."""
    try:
        yield
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise SourceError(f"{path} cannot be read as an array file ({error}); get it again") from error
