"""Landslide4Sense as a stack of samples: chips of 128 x 128 pixels of 10 m, in HDF5 (14 bands) or PNG (true colour).

Ghorbanzadeh et al. (2022), IEEE TGRS 60:1-17: Sentinel-2 B1 to B12, slope and DEM of ALOS PALSAR, every band divided by
its mean over the set; masks 1 = landslide. Bands keep the published names and have no units. The chips have no place
on the ground. Neighbouring chips are in different parts of the published split, so its scores are optimistic. Refuses
files that are no such chips.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from headscarp.core.band import UNLABELLED, Band
from headscarp.core.errors import SourceError
from headscarp.core.stack import LABEL
from headscarp.sources.inventory.samples import find_files, lazy_samples, number_of, samples_stack

CHIP_PX = 128
OPTICAL = tuple(f"B{i}" for i in range(1, 13))
BANDS = (*(Band(name, "continuous", "1", f"Sentinel-2 {name} / its mean over the set") for name in OPTICAL),)
BANDS += (
    Band("slope", "continuous", "1", "ALOS PALSAR slope / its mean over the set"),
    Band("DEM", "continuous", "1", "ALOS PALSAR elevation / its mean over the set"),
)
COLOURS = tuple(
    Band(name, "continuous", "1", "Sentinel-2 true colour, 8 bits, stretched per chip")
    for name in ("red", "green", "blue")
)

_SPLITS = {"train": "train", "validation": "validation", "valid": "validation", "val": "validation", "test": "test"}


def read_landslide4sense(places: str | Path | Sequence[str | Path]) -> xr.Dataset:
    """A stack (sample, y, x) of all chips of a folder, or of the files named; pixels are read chip by chip.

    image_N.h5 with `img` (128, 128, 14), or image_N.png; the mask of a chip is mask_N beside it or in the folder masks
    or mask beside its own. Chips without a mask are unlabelled. Beside the bands: `number` of each chip, `split` where
    its path names one (train, validation, test). Raises SourceError.
    """
    files = _images(places)
    masks = [_mask_of(file) for file in files]
    if all(file.suffix == ".h5" for file in files):
        bands, pixels = BANDS, lazy_samples(lambda i: _chip(files[i]), len(files), _shape(BANDS), "float32")
    elif all(file.suffix == ".png" for file in files):
        bands, pixels = COLOURS, lazy_samples(lambda i: _picture(files[i]), len(files), _shape(COLOURS), "float32")
    else:
        raise SourceError("some chips are HDF5 and some are PNG; read them as two stacks")
    arrays: dict[Band, da.Array] = {band: pixels[:, i] for i, band in enumerate(bands)}
    if any(mask is not None for mask in masks):
        label = Band(LABEL, "label", source="Landslide4Sense masks")
        arrays[label] = lazy_samples(lambda i: _mask(masks[i]), len(files), (CHIP_PX, CHIP_PX), "uint8")
    return samples_stack(arrays, _names(files), variables=_known(files), attrs={"pixel_m": 10.0})


def _images(places: str | Path | Sequence[str | Path]) -> list[Path]:
    try:
        return find_files(places, "image_*.h5", "chips")
    except SourceError:
        return find_files(places, "image_*.png", "chips")


def _shape(bands: tuple[Band, ...]) -> tuple[int, int, int]:
    return len(bands), CHIP_PX, CHIP_PX


def _names(files: list[Path]) -> list[str]:
    """Short names that tell the chips apart: image_409, or train/images/image_409 where a set has several folders."""
    short = [file.stem for file in files]
    if len(set(short)) == len(short):
        return short
    return ["/".join((*file.parts[-3:-1], file.stem)) for file in files]


def _known(files: list[Path]) -> dict[str, tuple[tuple[str, ...], Any]]:
    split = [next((_SPLITS[p] for p in map(_plain, file.parts[::-1]) if p in _SPLITS), "") for file in files]
    return {
        "number": (("sample",), np.array([number_of(file) for file in files], np.int64)),
        "split": (("sample",), np.array(split, object)),
    }


def _plain(part: str) -> str:
    """A folder's name without what the publishers put behind it: TrainData -> train."""
    return part.casefold().removesuffix("data").removesuffix("_")


def _mask_of(image: Path) -> Path | None:
    name = image.name.replace("image", "mask", 1)
    folders = (image.parent, *(image.parent.parent / masks for masks in ("mask", "masks")))
    return next((folder / name for folder in folders if (folder / name).is_file()), None)


def _chip(path: Path) -> NDArray[np.float32]:
    """(14, y, x) of an HDF5 chip."""
    pixels = _hdf5(path, "img")
    if pixels.shape != (CHIP_PX, CHIP_PX, len(BANDS)):
        raise SourceError(f"{path} holds img {pixels.shape}; a chip is {(CHIP_PX, CHIP_PX, len(BANDS))}")
    return np.ascontiguousarray(np.moveaxis(pixels, -1, 0), np.float32)


def _picture(path: Path) -> NDArray[np.float32]:
    """(3, y, x) red, green, blue of a PNG, 0 to 255."""
    pixels = _png(path)
    if pixels.shape != (CHIP_PX, CHIP_PX, len(COLOURS)):
        raise SourceError(f"{path} is {pixels.shape}; a chip is {(CHIP_PX, CHIP_PX, len(COLOURS))}")
    return np.ascontiguousarray(np.moveaxis(pixels, -1, 0), np.float32)


def _mask(path: Path | None) -> NDArray[np.uint8]:
    """(y, x) 1 landslide, 0 not; all unlabelled where there is no mask."""
    if path is None:
        return np.full((CHIP_PX, CHIP_PX), UNLABELLED, np.uint8)
    values = _hdf5(path, "mask") if path.suffix == ".h5" else _png(path)
    if not np.isin(values, (0, 1, 255)).all():
        raise SourceError(f"{path} holds {np.unique(values)[:5]}; a mask is 0 = not, and 1 or 255 = landslide")
    return (values > 0).astype(np.uint8)


def _hdf5(path: Path, key: str) -> NDArray[Any]:
    import h5py

    try:
        with h5py.File(path) as file:
            if key not in file:
                raise SourceError(f"{path} has no {key!r}; it has: {', '.join(file)}")
            pixels: NDArray[Any] = file[key][:]
            return pixels
    except OSError as error:
        raise SourceError(f"{path} cannot be read as HDF5 ({error}); download it again") from error


def _png(path: Path) -> NDArray[Any]:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            return np.asarray(image)
    except (OSError, UnidentifiedImageError) as error:
        raise SourceError(f"{path} cannot be read as an image ({error}); download it again") from error
