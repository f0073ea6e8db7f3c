"""How bands are compressed, and windows of them straight from their chunk files: one read, decode and copy a chunk.

For stacks on this machine. Zarr's own way takes several times the processor time, most of it on each chunk's behalf.
Refuses to guess: an array that is stored in any other way, or asked for anything but a window or every so manieth cell
of one, is read by Zarr, with the same numbers.
"""

import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from numcodecs import blosc, zstd
from xarray.backends import BackendArray, ZarrBackendEntrypoint
from xarray.core.indexing import BasicIndexer, ExplicitIndexer, IndexingSupport, LazilyIndexedArray
from xarray.core.indexing import explicit_indexing_adapter as adapted
from zarr.codecs import BloscCodec

from headscarp.core.errors import StackError

_KEYS = {"name": "default", "configuration": {"separator": "/"}}
_BYTES = ({"name": "bytes"}, {"name": "bytes", "configuration": {"endian": "little"}})
_DECODERS = {"blosc": blosc.decompress, "zstd": zstd.decompress}
_KEPT_BYTES = 64 << 20


def compressor_for(dtype: str) -> Any:
    """The Zarr codec that chunks of a band are written with; any Zarr reader knows it.

    Chunks are read far more often than written. Numbers measured in the field have noise in their last bits: with bit
    planes apart they get smaller than with zstd and are read three times as fast; class codes four times as fast.
    """
    width = np.dtype(dtype).itemsize
    if width > 1:
        return BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle", typesize=width)
    return BloscCodec(cname="lz4hc", clevel=3, shuffle="noshuffle", typesize=width)


class ChunkedZarr(ZarrBackendEntrypoint):
    """How xarray opens a local Zarr folder, lazily as ever, its arrays read chunk by chunk from their files.

    For xr.open_dataset(path, engine=ChunkedZarr, chunks=None, consolidated=False, mask_and_scale=False).
    """

    def open_dataset(self, filename_or_obj: Any, **options: Any) -> xr.Dataset:
        """The dataset of a folder, as ZarrBackendEntrypoint opens it."""
        dataset = super().open_dataset(filename_or_obj, **options)
        group = zarr.open_group(filename_or_obj, mode="r")
        for name, array in dataset.data_vars.items():
            folder = Path(filename_or_obj) / str(name)
            codec = _codec(folder)
            if codec in _DECODERS:
                pixels = LazilyIndexedArray(_Chunks(group[str(name)], folder, codec))
                dataset[name] = xr.Variable(array.dims, pixels, array.attrs, array.encoding)
        return dataset


class _Chunks(BackendArray):
    """An array of plain chunks as xarray reads it."""

    def __init__(self, array: Any, folder: Path, codec: str) -> None:
        self.array, self.home, self.codec = array, folder.resolve() / "c", codec
        self.shape, self.dtype = array.shape, array.dtype
        self.chunks = array.chunks  # which Zarr works out anew each time

    def __getitem__(self, key: ExplicitIndexer) -> Any:
        if isinstance(key, BasicIndexer) and all(isinstance(k, int | np.integer) or _step(k) >= 1 for k in key.tuple):
            return self._window(key.tuple)
        by_zarr = {"BasicIndexer": self.array.__getitem__, "OuterIndexer": self.array.oindex.__getitem__}
        get = by_zarr.get(type(key).__name__, self.array.vindex.__getitem__)
        return adapted(key, self.shape, IndexingSupport.VECTORIZED, get)

    def _window(self, key: tuple[Any, ...]) -> np.ndarray:
        """Slices that go up give a dimension, whole numbers none."""
        taken = [_taken(k, size) for k, size in zip(key, self.shape, strict=True)]
        out = np.empty([len(one) for one in taken], self.dtype)
        pieces = [list(_pieces(one, side)) for one, side in zip(taken, self.chunks, strict=True)]
        for piece in product(*pieces):
            chunk = self._read_chunk([number for number, _, _ in piece])
            of = tuple(of for _, of, _ in piece)
            out[tuple(to for _, _, to in piece)] = chunk if chunk.ndim == 0 else chunk[of]
        return out.reshape([n for n, k in zip(out.shape, key, strict=True) if isinstance(k, slice)])

    def _read_chunk(self, number: list[int]) -> np.ndarray:
        """A whole chunk, or one number without dimensions where it holds nothing but missing pixels."""
        path = self.home.joinpath(*map(str, number))
        try:
            return _KEPT.get(path, self._decode)
        except FileNotFoundError:
            return np.asarray(self.array.fill_value)
        except (RuntimeError, ValueError) as error:
            raise StackError(f"{path} is truncated or corrupt ({error}); build the stack again") from error

    def _decode(self, path: Path) -> np.ndarray:
        chunk = np.empty(self.chunks, self.dtype)
        _DECODERS[self.codec](path.read_bytes(), chunk)
        chunk.flags.writeable = False
        return chunk


class _Kept:
    """Chunks that were decoded last, up to 64 MB of them, for all arrays and threads.

    Blocks with their context overlap, so most chunks of a band are asked for twice or more. A chunk is known by its
    path, file, size and time of writing: one that is written anew is read anew.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most, self.bytes = most_bytes, 0
        self._held: OrderedDict[tuple[Path | int, ...], np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, path: Path, decode: Callable[[Path], np.ndarray]) -> np.ndarray:
        """The chunk of a path, read-only. Raises FileNotFoundError, and whatever `decode` raises."""
        told = path.stat()
        key = (path, told.st_ino, told.st_size, told.st_mtime_ns)
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key]
        chunk = decode(path)
        with self._lock:
            if key not in self._held:
                self._held[key] = chunk
                self.bytes += chunk.nbytes
            while self.bytes > self._most:
                self.bytes -= self._held.popitem(last=False)[1].nbytes
        return chunk


_KEPT = _Kept(_KEPT_BYTES)


def _codec(folder: Path) -> str:
    """What compresses an array that stands as chunks of little-endian numbers, a file each; "" where it does not."""
    try:
        told = json.loads((folder / "zarr.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    codecs = told.get("codecs", ())
    plain = (
        len(codecs) == 2
        and codecs[0] in _BYTES
        and told["chunk_grid"]["name"] == "regular"
        and told["chunk_key_encoding"] == _KEYS
        and len(told["shape"]) > 0
        and not told.get("storage_transformers")
    )
    return str(codecs[1]["name"]) if plain else ""


def _step(key: Any) -> int:
    return 1 if key.step is None else int(key.step)


def _taken(key: Any, size: int) -> range:
    """Which places along one dimension a key takes, rising."""
    if isinstance(key, slice):
        return range(*key.indices(size))
    place = range(size)[key]  # counts from the end, or raises IndexError, as indices do
    return range(place, place + 1)


def _pieces(taken: range, side: int) -> Iterator[tuple[int, slice, slice]]:
    """Of each chunk along one dimension that holds any of these places: its number, the part of it, where that goes."""
    if not taken:
        return
    for number in range(taken[0] // side, taken[-1] // side + 1):
        low, high = number * side, (number + 1) * side
        first, last = (max(0, -(-(edge - taken.start) // taken.step)) for edge in (low, high))
        held = taken[first:last]
        if held:
            yield number, slice(held[0] - low, held[-1] - low + 1, taken.step), slice(first, first + len(held))
