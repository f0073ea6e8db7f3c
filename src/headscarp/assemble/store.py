"""A lazy stack, read and written to disk block by block: whole or not there, and resumable at any moment.

What a source gives is a promise of pixels; here they are fetched, a frame and a window at a time, through the one loop.
Refuses to go on with the pixels of another request.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask
import numpy as np
import xarray as xr
import zarr

from headscarp.core.artefact import check_output, clear_os_errors, finish, partial_path
from headscarp.core.blocks import Done, Journal, run_blocks
from headscarp.core.errors import JournalError
from headscarp.core.stack import (
    CHUNK,
    complete_stack,
    create_stack,
    frames_of,
    open_stack,
    stack_bands,
    stack_grid,
)
from headscarp.core.tile import Window, windows

BLOCK_PX = 4 * CHUNK

Index = tuple[int | slice, ...]


@dataclass(frozen=True)
class FrameBlock:
    """A window of one frame; frame None: of the bands that have no frames."""

    frame: int | None
    window: Window

    @property
    def id(self) -> str:
        w = self.window
        frame = "still" if self.frame is None else f"frame {self.frame}"
        return f"{frame} rows {w.row}+{w.height} columns {w.col}+{w.width}"

    @property
    def index(self) -> Index:
        """Where the block stands in the arrays of its bands."""
        return self.window.slices if self.frame is None else (self.frame, *self.window.slices)


@dataclass(frozen=True)
class BandWriter:
    """Writes blocks of bands, and of what stands beside them, into a stack on disk, and tells later whether they still
    hold what was written."""

    path: str

    def write(self, index: Index, pixels: Mapping[str, np.ndarray]) -> str:
        """Writes the pixels of some bands at an index of their arrays; returns the checksum of all of them."""
        group = zarr.open_group(self.path, mode="r+")
        digest = hashlib.blake2b(digest_size=16)
        for name, values in pixels.items():
            array: Any = group[name]
            values = np.ascontiguousarray(values, dtype=array.dtype)
            with clear_os_errors(self.path):
                array[index] = values
            digest.update(values.tobytes())
        return digest.hexdigest()

    def holds(self, index: Index, names: tuple[str, ...], checksum: str) -> bool:
        """Whether these bands hold at an index what a `write` that gave this checksum wrote, in the same order."""
        digest = hashlib.blake2b(digest_size=16)
        try:
            group = zarr.open_group(self.path, mode="r")
            for name in names:
                array: Any = group[name]
                digest.update(np.ascontiguousarray(array[index]).tobytes())
        except Exception:  # a chunk torn by a crash can fail in any way; the block is done again
            return False
        return digest.hexdigest() == checksum


def store_stack(
    stack: xr.Dataset,
    out: str | Path,
    job: Mapping[str, Any],
    *,
    workers: int = 1,
    overwrite: bool = False,
    note: Callable[[], str] | None = None,
    facts: Callable[[], Mapping[str, Any]] = dict,
    at_end: Callable[[list[Mapping[str, Any]]], Mapping[str, Any]] = lambda facts: {},
) -> xr.Dataset:
    """Writes a lazy stack as a Zarr folder and returns it opened from there.

    job: whatever decides the pixels; an unfinished store of the same job is gone on with, one of another job is
    refused. workers: blocks at once; each reads its bands in its own thread. note: what to show behind the progress
    bar. facts: what each block leaves in the journal, asked for when it is written. at_end: more attributes, from the
    facts of all blocks, when all pixels are there. Raises OutputError where `out` exists and is
    not to be overwritten, JournalError for another job, and what reading the pixels raises.
    """
    out = check_output(Path(out).absolute(), overwrite=overwrite)
    partial, journal_path = partial_path(out), out.with_name(f".{out.name}.journal")
    bands = stack_bands(stack)
    job = {**job, "bands": [band.to_json() for band in bands], "frames": _frame_names(stack)}
    journal = _journal(journal_path, job, partial, overwrite=overwrite)
    if not journal.done:
        attrs = {k: v for k, v in stack.attrs.items() if k not in _OWN_ATTRS}
        create_stack(partial, stack_grid(stack), bands, **frames_of(stack), attrs=attrs)
    work = _StoreBlock(BandWriter(str(partial)), stack, facts)
    blocks = list(_blocks(stack))
    by_id = {block.id: block for block in blocks}
    journal.keep(lambda block_id, done: block_id in by_id and work.still_good(by_id[block_id], done))
    done = run_blocks(work, blocks, journal=journal, workers=workers, label=out.stem, note=note)
    digest = hashlib.blake2b(digest_size=16)
    for item in done.values():
        digest.update(item.checksum.encode())
    complete_stack(partial, {**at_end([item.facts for item in done.values()]), "fingerprint": digest.hexdigest()})
    finish(partial, out)
    journal_path.unlink(missing_ok=True)
    return open_stack(out)


_OWN_ATTRS = ("grid", "headscarp_stack", "bands", "complete", "fingerprint")


@dataclass(frozen=True)
class _StoreBlock:
    writer: BandWriter
    stack: xr.Dataset
    facts: Callable[[], Mapping[str, Any]]

    def __call__(self, block: FrameBlock) -> Done:
        wanted = [self.stack[name].data[block.index] for name in self._names(block)]
        with dask.config.set(scheduler="synchronous"):
            pixels = dask.compute(*wanted)
        named = {name: np.asarray(values) for name, values in zip(self._names(block), pixels, strict=True)}
        return Done(self.writer.write(block.index, named), dict(self.facts()))

    def still_good(self, block: FrameBlock, done: Done) -> bool:
        return self.writer.holds(block.index, self._names(block), done.checksum)

    def _names(self, block: FrameBlock) -> tuple[str, ...]:
        framed = block.frame is not None
        return tuple(b.name for b in stack_bands(self.stack) if ("time" in self.stack[b.name].dims) == framed)


def _journal(path: Path, job: Mapping[str, Any], partial: Path, *, overwrite: bool) -> Journal:
    """The journal of this store, gone on with where it is of the same job."""
    try:
        return Journal(path, dict(job), resume=path.exists() and (partial / "zarr.json").exists())
    except JournalError:
        if not overwrite:
            raise
        return Journal(path, dict(job))


def _blocks(stack: xr.Dataset) -> Iterator[FrameBlock]:
    shape = (stack.sizes["y"], stack.sizes["x"])
    kinds = {"time" in stack[band.name].dims for band in stack_bands(stack)}
    frames: list[int | None] = [None] if False in kinds else []
    frames += range(stack.sizes["time"]) if True in kinds else []
    for frame in frames:
        for window in windows(shape, BLOCK_PX):
            yield FrameBlock(frame, window.clip(shape))


def _frame_names(stack: xr.Dataset) -> list[str]:
    return [str(t) for t in stack["time"].to_numpy()] if "time" in stack.coords else []
