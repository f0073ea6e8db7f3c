"""Pairs of frames of places, before and after, with a class each: HDF5 files of pixels and one CSV file of places.

Pixels stay on disk until a pair is asked for. Refuses files of other layouts, pairs that the table does not know or
knows twice, and pairs of different sizes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from headscarp.core.errors import SourceError

IDS, PIXELS = "sample_id", "x"
"""Arrays of an HDF5 file: names of the pairs (n,), and their pixels (n, 2, bands, rows, columns)."""
WINDOWS = ("t0_start", "t0_end", "t1_start", "t1_end")
"""Columns of the table: first and last day of the composites before and after."""
_FRAMES = 2


@dataclass(frozen=True, eq=False)
class Pairs:
    """n pairs. ids, classes: of each. latitude, longitude: (n,) degrees. windows: (n, 2, 2) first and last day of each
    composite. shape: (bands, rows, columns) of a frame. places: file and index of the pixels of each."""

    ids: tuple[str, ...]
    classes: tuple[str, ...]
    latitude: NDArray[np.float64]
    longitude: NDArray[np.float64]
    windows: NDArray[np.datetime64]
    shape: tuple[int, int, int]
    places: tuple[tuple[str, int], ...]

    def pixels(self, number: int) -> NDArray[Any]:
        """(2, bands, rows, columns) of a pair, in the numbers of its file. Raises SourceError."""
        path, index = self.places[number]
        found: NDArray[Any] = _read(path, PIXELS, index)
        return found


def read_pairs(images: Sequence[str | Path], table: str | Path, *, class_column: str = "category") -> Pairs:
    """The pairs of the files `images`, with what `table` (CSV: sample_id, longitude, latitude, WINDOWS and the class)
    knows of each. Raises SourceError."""
    known = _read_table(Path(table), class_column)
    ids: list[str] = []
    places: list[tuple[str, int]] = []
    shapes: dict[tuple[int, ...], str] = {}
    for path in map(str, images):
        names, shape = _names_and_shape(path)
        shapes.setdefault(shape, path)
        ids += names
        places += [(path, i) for i in range(len(names))]
    if not ids:
        raise SourceError(f"{', '.join(map(str, images)) or 'no file'} holds no pair; give HDF5 files of pairs")
    if len(shapes) > 1:
        (first, a), (second, b) = list(shapes.items())[:2]
        raise SourceError(f"pairs are {first} in {a} and {second} in {b}; cut them to one size")
    twice = sorted({name for name in ids if ids.count(name) > 1}) if len(set(ids)) < len(ids) else []
    if twice:
        raise SourceError(f"the pair {twice[0]!r} stands in the files twice; leave one out, or it would judge itself")
    lost = [name for name in ids if name not in known.index]
    if lost:
        raise SourceError(f"{table} does not know {len(lost)} of the pairs, such as {lost[0]!r}; pair the files")
    rows = known.loc[ids]
    windows = np.stack([rows[column].to_numpy("datetime64[D]") for column in WINDOWS], axis=1).reshape(-1, 2, 2)
    return Pairs(
        tuple(ids),
        tuple(rows[class_column]),
        rows["latitude"].to_numpy(np.float64),
        rows["longitude"].to_numpy(np.float64),
        windows,
        next(iter(shapes))[1:],  # type: ignore[arg-type]
        tuple(places),
    )


def _names_and_shape(path: str) -> tuple[list[str], tuple[int, ...]]:
    names = [name.decode() if isinstance(name, bytes) else str(name) for name in np.ravel(_read(path, IDS, ...))]
    shape = _read(path, PIXELS, None)
    if len(shape) != 5 or shape[0] != len(names) or shape[1] != _FRAMES:
        raise SourceError(f"{path}#{PIXELS} is {shape}; needed: ({len(names)}, {_FRAMES}, bands, rows, columns)")
    return names, shape[1:]


def _read(path: str, key: str, index: Any) -> Any:
    """An array of an HDF5 file at an index; its shape for index None."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            if key not in file:
                raise SourceError(f"{path} has no array {key!r}; it has: {', '.join(file) or 'none'}")
            return file[key].shape if index is None else file[key][index]
    except OSError as error:
        raise SourceError(f"{path} cannot be read as HDF5 ({error}); check the path, or fetch it again") from error


def _read_table(path: Path, class_column: str) -> pd.DataFrame:
    try:
        table = pd.read_csv(path)
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise SourceError(f"{path} cannot be read as CSV ({error}); check the path") from error
    for column in (IDS, "longitude", "latitude", *WINDOWS, class_column):
        if column not in table.columns:
            raise SourceError(f"{path} has no column {column!r}; it has: {', '.join(map(str, table.columns))}")
    table[IDS] = table[IDS].astype(str)
    twice = table[IDS][table[IDS].duplicated()]
    if len(twice):
        raise SourceError(f"{path} has the pair {twice.iloc[0]!r} twice; leave one out")
    for column in WINDOWS:
        table[column] = pd.to_datetime(table[column], errors="coerce").dt.normalize()
    for column in ("longitude", "latitude"):
        table[column] = pd.to_numeric(table[column], errors="coerce")
    table[class_column] = table[class_column].fillna("").astype(str)
    return table.set_index(IDS)
