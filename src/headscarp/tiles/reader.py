"""Pixels of a tile, from any stack: a window read, mirrored where it hangs over the raster, labels kept to one part.

Of a stack with frames all of them are read; bands that have none, such as elevation, stand in every frame. Reads the
rows and columns that the window needs and nothing else. Refuses bands that the stack does not hold in the same kind and
classes; whether units and resolution fit a bundle is checked before.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from headscarp.core.band import NO_VALUE, UNLABELLED, Band
from headscarp.core.domains import BACKSCATTER, TRACE, TRACES
from headscarp.core.errors import SplitError, StackError
from headscarp.core.pages import long_lived
from headscarp.core.scenarios import is_scenarios
from headscarp.core.stack import LABEL, VALID, stack_bands
from headscarp.core.tile import Tile, Window
from headscarp.imagery.clouds import clear_looks
from headscarp.nets.batch import Batch
from headscarp.tiles.dataset import as_stack, raster_shape, read_window
from headscarp.tiles.partition import PARTS, Split
from headscarp.tiles.scenes import quality_band, read_scenes
from headscarp.tiles.series import has_frames, read_series


@dataclass(frozen=True)
class TilePixels:
    """What a tile's read window holds; H and W include the halo.

    x: ([T,] C, H, W) float32, raw units, NaN (code 0 for categories) where not valid, mirrored off the raster.
    valid: (H, W) bool, on the raster and valid. y: (H, W) uint8, 1 landslide, 0 not, 255 does not count.
    days, present (T,), metadata (T, M), event_days (), causes (K,), kind (): of series, as in `Batch`; None elsewhere.
    traces (K, H, W): as in `Batch`; None where the stack has none.
    after (K, H, W), task (), metadata (M,): of scenarios, as in `Batch`; None elsewhere.
    """

    x: np.ndarray
    valid: np.ndarray
    y: np.ndarray
    days: np.ndarray | None = None
    present: np.ndarray | None = None
    metadata: np.ndarray | None = None
    event_days: np.ndarray | None = None
    causes: np.ndarray | None = None
    kind: np.ndarray | None = None
    traces: np.ndarray | None = None
    after: np.ndarray | None = None
    task: np.ndarray | None = None


class TileReader:
    """Reads tiles of one stack; safe to use from several threads at once.

    bands: what x holds, in order. split: where given, a tile's labels count only in the part it names.
    Raises StackError where a band is missing or of another kind, SplitError where the split is of another raster.
    """

    def __init__(self, stack: xr.Dataset | str | Path, bands: Sequence[Band], *, split: Split | None = None) -> None:
        self.stack = as_stack(stack)
        self.bands = tuple(bands)
        self.split = split
        self.shape = raster_shape(self.stack)
        _check_bands(self.stack, self.bands)
        if split is not None and split.shape != self.shape:
            raise SplitError(
                f"the split is of a raster of {split.shape[0]} x {split.shape[1]} pixels, the stack has "
                f"{self.shape[0]} x {self.shape[1]}; make the split from this stack"
            )
        self._arrays = [self.stack[band.name] for band in self.bands]
        self._fills = [NO_VALUE if band.kind == "categorical" else np.nan for band in self.bands]
        self._label = self.stack.get(LABEL)
        self._valid = self.stack.get(VALID)
        self._traces = [self.stack.get(TRACE + name) for name in TRACES]
        self.series = read_series(self.stack) if has_frames(self.stack) else None
        self.scenes = read_scenes(self.stack, self.bands) if is_scenarios(self.stack) else None
        self._quality = quality_band(self.stack) if self.scenes and self.series else None

    def read(self, tile: Tile) -> TilePixels:
        """The pixels of tile.read_window, which may hang over the raster by any amount."""
        window = tile.read_window
        rows = mirrored(window.row, window.height, self.shape[0])
        cols = mirrored(window.col, window.width, self.shape[1])
        span = _span(rows, cols)
        take = (rows - span.row, cols - span.col)
        front = () if self.series is None else (self.stack.sizes["time"],)
        x = long_lived((*front, len(self.bands), window.height, window.width), np.float32)
        for i, array in enumerate(self._arrays):
            _spread(read_window(array, span, sample=tile.sample), *take, x[..., i, :, :])
        if self._quality is not None:
            self._hide_clouds(x, self._quality, span, take, tile.sample)
        valid = self._valid_of(x, span, take, tile.sample)
        _blank(x, ~valid, self._fills)
        valid &= _on_raster(window, self.shape)
        facts = self._facts(x, tile.sample)
        if self.scenes is not None:
            facts = {name: facts[name] for name in ("days", "present") if name in facts}
            facts |= self._scene(tile.sample, span, take, valid)
        counts = self._counts(tile, valid)
        if any(band is not None for band in self._traces):
            facts["traces"] = self._shown(tile.sample, span, take, counts)
        return TilePixels(x, valid, self._labels(tile, counts), **facts)

    def _hide_clouds(
        self, x: np.ndarray, quality: Band, span: Window, take: tuple[np.ndarray, np.ndarray], sample: int
    ) -> None:
        """Pictures before a task show the ground: what clouds hide in a frame is missing there."""
        codes = np.empty((x.shape[0], *x.shape[-2:]), np.uint8)
        _spread(read_window(self.stack[quality.name], span, sample=sample), *take, codes)
        hidden = ~clear_looks(codes, quality)
        for i, (band, array) in enumerate(zip(self.bands, self._arrays, strict=True)):
            if "time" in array.dims and band.kind == "continuous" and band.name not in BACKSCATTER:
                x[:, i][hidden] = np.nan

    def _shown(self, sample: int, span: Window, take: tuple[np.ndarray, np.ndarray], counts: np.ndarray) -> np.ndarray:
        """(K, H, W) what was mapped of each trace, NaN where nothing was or labels do not count."""
        shown = np.full((len(TRACES), *counts.shape), np.nan, np.float32)
        for plane, band in zip(shown, self._traces, strict=True):
            if band is not None:
                _spread(read_window(band, span, sample=sample), *take, plane)
        shown[:, ~counts] = np.nan
        return shown

    def _scene(
        self, sample: int, span: Window, take: tuple[np.ndarray, np.ndarray], valid: np.ndarray
    ) -> dict[str, np.ndarray]:
        """What the place looks like after a task, the task, and the numbers that are told of it."""
        assert self.scenes is not None
        after = np.empty((len(self.scenes.targets), *valid.shape), np.float32)
        for plane, name in zip(after, self.scenes.targets, strict=True):
            _spread(read_window(self.stack[name], span, sample=sample), *take, plane)
        return {"after": after, "task": self.scenes.task[sample], "metadata": self.scenes.metadata[sample]}

    def _facts(self, x: np.ndarray, sample: int) -> dict[str, np.ndarray]:
        """What goes with the frames of a place; pixels of slots that do not count are wiped."""
        if self.series is None:
            return {}
        facts = {name: values[sample] for name, values in vars(self.series).items()}
        for i, (array, fill) in enumerate(zip(self._arrays, self._fills, strict=True)):
            if "time" in array.dims:
                x[~facts["present"], i] = fill
        return facts

    def _valid_of(self, x: np.ndarray, span: Window, take: tuple[np.ndarray, np.ndarray], sample: int) -> np.ndarray:
        if self._valid is not None:
            valid = np.empty(x.shape[1:], np.bool_)
            _spread(read_window(self._valid, span, sample=sample) == 1, *take, valid)
            return valid
        if self.series is not None:
            return self._ground_of(x)
        continuous = [band for band in self.bands if band.kind == "continuous"]
        there = np.isfinite(x[[self.bands.index(band) for band in continuous]])
        needed = there[[i for i, band in enumerate(continuous) if not band.optional]].all(axis=0)
        return needed & there.any(axis=0) if continuous else needed

    def _ground_of(self, x: np.ndarray) -> np.ndarray:
        """Where the bands without frames are there: (H, W). What a frame lacks is for the net to bear."""
        still = [
            i
            for i, (band, array) in enumerate(zip(self.bands, self._arrays, strict=True))
            if band.kind == "continuous" and not band.optional and "time" not in array.dims
        ]
        return np.asarray(np.isfinite(x[0, still]).all(axis=0))

    def _counts(self, tile: Tile, valid: np.ndarray) -> np.ndarray:
        """Where labels count: (H, W) valid pixels of the window itself that are of the tile's part of the split."""
        counts = np.zeros(valid.shape, np.bool_)
        inside, place = _inside(tile, self.shape)
        if inside.height and inside.width:
            counts[place] = valid[place]
            if self.split is not None and tile.split:
                counts[place] &= self.split.codes(inside, sample=tile.sample) == PARTS.index(tile.split) + 1
        return counts

    def _labels(self, tile: Tile, counts: np.ndarray) -> np.ndarray:
        y = np.full(counts.shape, UNLABELLED, np.uint8)
        inside, place = _inside(tile, self.shape)
        if self._label is not None and inside.height and inside.width:
            y[place] = np.where(counts[place], read_window(self._label, inside, sample=tile.sample), UNLABELLED)
        return y


def make_batch(pixels: Sequence[TilePixels], tiles: Sequence[Tile]) -> Batch:
    """A batch from the pixels of tiles whose read windows are of one size."""
    facts = [name for name in _FACTS if getattr(pixels[0], name) is not None]
    stacked = {name: _stacked([getattr(p, name) for p in pixels]) for name in ("x", "valid", "y", *facts)}
    return Batch(**stacked, tiles=tuple(tiles))


def _stacked(arrays: Sequence[np.ndarray]) -> torch.Tensor:
    """(B, ...) of B arrays; a view of a single one, which may be large."""
    return torch.from_numpy(np.stack(arrays) if len(arrays) > 1 else np.asarray(arrays[0])[None])


_FACTS = ("days", "present", "metadata", "event_days", "causes", "kind", "traces", "after", "task")


def _inside(tile: Tile, shape: tuple[int, int]) -> tuple[Window, tuple[slice, slice]]:
    """The part of a tile's window on the raster, and where that lies in what is read."""
    inside, outer = tile.window.clip(shape), tile.read_window
    return inside, Window(inside.row - outer.row, inside.col - outer.col, inside.height, inside.width).slices


def mirrored(start: int, length: int, size: int) -> np.ndarray:
    """Raster indices of `length` cells from `start` on, reflected about the first and last of `size` cells, without
    repeating these, as often as needed: what np.pad does with mode "reflect". (length,) int64."""
    index = np.arange(start, start + length)
    if size == 1:
        return np.zeros_like(index)
    index = np.abs(index) % (2 * (size - 1))
    return np.minimum(index, 2 * (size - 1) - index)


def _span(rows: np.ndarray, cols: np.ndarray) -> Window:
    top, left = int(rows.min()), int(cols.min())
    return Window(top, left, int(rows.max()) + 1 - top, int(cols.max()) + 1 - left)


def _spread(pixels: np.ndarray, rows: np.ndarray, cols: np.ndarray, out: np.ndarray) -> None:
    """pixels[..., rows, cols] into out, (..., rows, columns): most in one copy; what is mirrored is scattered."""
    (top, bottom), (left, right) = _straight(rows), _straight(cols)
    inside = (slice(rows[top], rows[top] + bottom - top), slice(cols[left], cols[left] + right - left))
    out[..., top:bottom, left:right] = pixels[(..., *inside)]
    for beside in (slice(0, left), slice(right, None)):
        out[..., top:bottom, beside] = pixels[..., inside[0], cols[beside]]
    for beyond in (slice(0, top), slice(bottom, None)):
        out[..., beyond, :] = pixels[..., rows[beyond][:, None], cols]


def _straight(index: np.ndarray) -> tuple[int, int]:
    """The longest run of an index that goes up one by one, as start and stop."""
    breaks = np.flatnonzero(np.diff(index) != 1) + 1
    starts, stops = np.append(0, breaks), np.append(breaks, len(index))
    longest = int(np.argmax(stops - starts))
    return int(starts[longest]), int(stops[longest])


def _blank(x: np.ndarray, missing: np.ndarray, fills: Sequence[float]) -> None:
    if missing.any():
        for i, fill in enumerate(fills):
            np.copyto(x[..., i, :, :], np.float32(fill), where=missing)


def _on_raster(window: Window, shape: tuple[int, int]) -> np.ndarray:
    rows = np.arange(window.row, window.row + window.height)
    cols = np.arange(window.col, window.col + window.width)
    return ((rows >= 0) & (rows < shape[0]))[:, None] & ((cols >= 0) & (cols < shape[1]))


def _check_bands(stack: xr.Dataset, bands: Sequence[Band]) -> None:
    held = {band.name: band for band in stack_bands(stack)}
    missing = [band.name for band in bands if band.name not in held]
    if missing:
        raise StackError(f"the stack has no band {', '.join(missing)}; it has {', '.join(held)}: build it with them")
    for band in bands:
        if not band.is_feature:
            raise StackError(f"band {band.name!r} is a {band.kind}; a net may read continuous, direction, categorical")
        there = held[band.name]
        if (there.kind, there.classes) != (band.kind, band.classes):
            raise StackError(
                f"band {band.name!r} of the stack is {there.kind} with {len(there.classes)} classes; needed: "
                f"{band.kind} with {len(band.classes)} classes, in the same order: build it with the same class table"
            )
