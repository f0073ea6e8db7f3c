"""Stacks of samples: chips or patches of equal size that share no grid, each read from its file when it is asked for.

Memory holds names and metadata of all samples, and the pixels of those that are being read. Refuses samples of
different sizes: they have to be cut or tiled first.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from headscarp.core.band import Band
from headscarp.core.errors import SourceError
from headscarp.core.stack import FORMAT, band_attrs, check_stack

_DIMS = {3: ("sample", "y", "x"), 4: ("sample", "time", "y", "x")}


def lazy_samples(read: Callable[[int], NDArray[Any]], count: int, shape: tuple[int, ...], dtype: str) -> da.Array:
    """(count, *shape) pixels, one chunk a sample; read(i) gives sample i as an array of that shape."""

    def block(block_id: tuple[int, ...]) -> NDArray[Any]:
        pixels = read(block_id[0])
        if pixels.shape != shape:
            raise SourceError(f"sample {block_id[0]} is {pixels.shape}; the others are {shape}: cut them to one size")
        return pixels[None]

    chunks = ((1,) * count, *((side,) for side in shape))
    return da.map_blocks(block, chunks=chunks, dtype=dtype, meta=np.empty((0,) * (len(shape) + 1), dtype))


def samples_stack(
    arrays: Mapping[Band, da.Array],
    names: Sequence[str],
    *,
    variables: Mapping[str, tuple[tuple[str, ...], Any]] | None = None,
    attrs: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """A stack of samples, checked: bands of (sample, y, x) or (sample, time, y, x), lazily.

    names: of the samples. variables: what is known of each beside its pixels: name -> (dimensions, values).
    """
    bands = {band.name: (_DIMS[pixels.ndim], pixels, band_attrs(band)) for band, pixels in arrays.items()}
    data: dict[str, Any] = {**bands, **(variables or {})}
    coords = {"sample": ("sample", np.array(list(names), object))}
    whole = {"headscarp_stack": FORMAT, "bands": [band.name for band in arrays], **(attrs or {})}
    return check_stack(xr.Dataset(data, coords=coords, attrs=whole))


def find_files(places: str | Path | Sequence[str | Path], pattern: str, what: str) -> list[Path]:
    """The files of a folder (and those below) that fit a glob pattern, or the files named; sorted by number and name.

    Raises SourceError where there are none, naming `what` was looked for.
    """
    if isinstance(places, str | Path):
        places = sorted(Path(places).rglob(pattern)) if Path(places).is_dir() else [places]
    files = sorted((Path(place) for place in places), key=_by_number)
    missing = next((file for file in files if not file.is_file()), None)
    if missing is not None:
        raise SourceError(f"there is no file at {missing}; check the path")
    if not files:
        raise SourceError(f"no {what} found; needed: files named {pattern}")
    return files


def number_of(path: Path) -> int:
    """The last number in the name of a file, -1 where there is none: 409 of image_409.h5."""
    digits = "".join(c if c.isdigit() else " " for c in path.stem).split()
    return int(digits[-1]) if digits else -1


def _by_number(path: Path) -> tuple[str, int, str]:
    return str(path.parent), number_of(path), path.name
