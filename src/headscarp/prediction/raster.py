"""The verb predict: a bundle on a stack of any size gives a map, in constant memory, resumable at any moment.

Blocks are read with exactly the context that the net needs, so tiled equals whole; they are written into a raw work
file, and a journal holds what is finished. When all are, one pass makes the Cloud-Optimized GeoTIFF. Refuses bundles
that do not fit the stack, and nets whose pixels depend on the whole tile.
"""

import hashlib
import json
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import xarray as xr

import headscarp
from headscarp.core.artefact import check_output, finish, partial_path
from headscarp.core.blocks import Done, Journal, run_blocks
from headscarp.core.bundle import Bundle, as_bundle, bundle_hash
from headscarp.core.errors import BundleError, OutputError, RecipeError
from headscarp.core.machine import cores, keep_freed_memory
from headscarp.core.provenance import made_by, read_made, write_stac_item
from headscarp.core.scenarios import GENERATED, GENERATED_TAG, GENERATED_WORDS
from headscarp.core.stack import CHUNK, fingerprint, stack_grid
from headscarp.core.tile import Tile
from headscarp.nets import net_from_bundle
from headscarp.nets.net import Net, Output
from headscarp.prediction.blockwork import BlockWork, aligned_tiles, close_opened, open_here
from headscarp.prediction.cog import TILE, write_cog
from headscarp.prediction.cutting import Cut
from headscarp.prediction.engines import check_engine, single_threaded_torch
from headscarp.prediction.facts import summarise
from headscarp.prediction.style import write_qml
from headscarp.prediction.workfile import WorkFile
from headscarp.tiles.dataset import as_stack, raster_shape
from headscarp.tiles.fits import check_fits, check_one_place
from headscarp.tiles.tiling import halo_of

log = logging.getLogger("headscarp")

_CHECKED_BLOCKS = 2
_SCHEDULER_ANSWERS_WITHIN = "10s"


def predict(
    bundle: Bundle | str | Path,
    stack: xr.Dataset | str | Path,
    out: str | Path,
    *,
    engine: str = "torch",
    precision: str = "float32",
    block_px: int = 1024,
    outputs: Sequence[str] | None = None,
    workers: int | None = None,
    scheduler: Any = None,
    resume: bool = False,
    overwrite: bool = False,
) -> Path:
    """Writes the map of a bundle on a stack and returns its path: one float32 band for each output of the net.

    out: a name ending in .tif; a Cloud-Optimized GeoTIFF of calibrated probabilities in [0, 1] on the stack's grid,
    NaN where the stack is not valid, with `<stem>.qml` (QGIS style) and `<stem>.json` (STAC item with provenance)
    beside it. engine: a name in ENGINES. precision: "float32" or "bf16", whose largest change on sampled pixels is
    logged and recorded. block_px: multiple of 512 and of the net's alignment; memory grows with it and with workers.
    outputs: names of those of the net that are written, default all.
    workers: threads, default one a core. scheduler: address of a dask scheduler, or a `dask.distributed.Client`; the
    folder of `out` has to be shared with its workers. resume: go on with what an interrupted run left; the bytes are
    those of an undisturbed run. Raises StackError, BundleError, RecipeError, JournalError and OutputError.
    """
    out = _checked_name(out)
    work_path, journal_path = beside(out, "work"), beside(out, "journal")
    opened = as_bundle(bundle)
    dataset = as_stack(stack)
    job = job_of(opened, dataset, engine, precision, block_px) | ({"outputs": list(outputs)} if outputs else {})
    key = short_hash(json.dumps(job, sort_keys=True))
    if resume and out.exists() and not journal_path.exists() and read_made(out).get("settings", {}).get("job") == key:
        log.info("%s is finished already", out)
        return out
    check_output(out, overwrite=overwrite or (resume and journal_path.exists()))
    net = net_from_bundle(opened)
    check_net(opened, net, block_px)
    check_engine(engine, net, precision)
    check_one_place(dataset)
    fit = check_fits(opened, dataset)

    tiles = aligned_tiles(raster_shape(dataset), block_px, halo_of(net), net.align)
    written = _outputs(net, outputs)
    work_file = WorkFile(work_path, len(written), raster_shape(dataset))
    journal = Journal(journal_path, job, resume=resume)
    if resume:
        journal.keep(_unchanged(work_file, tiles))
    work_file.create()
    work = BlockWork(
        key=f"{key} {out.resolve()}",
        bundle=opened,
        stack=dataset,
        fit=fit,
        work=work_file,
        engine=engine,
        precision=precision,
        threads=workers or cores(),
        checked=_checked_blocks(tiles) if precision != "float32" else frozenset(),
        outputs=tuple(output.name for output in written) if outputs else (),
    )
    if scheduler is None:
        done = _on_threads(work, tiles, journal, net)
    else:
        done = _on_cluster(work, tiles, journal, scheduler, _path_of(stack))
    cut = Cut(opened.net, opened.threshold, net.opening_px)
    write_map(
        out, work_file, dataset, written, done, cut=cut, settings={**job, "job": key}, generated=net.makes_pictures
    )
    work_path.unlink(missing_ok=True)
    journal_path.unlink(missing_ok=True)
    return out


def _on_threads(work: BlockWork, tiles: tuple[Tile, ...], journal: Journal, net: Net) -> dict[str, Done]:
    try:
        with single_threaded_torch(), keep_freed_memory() if net.window_px is not None else nullcontext():
            open_here(work, net)
            return run_blocks(work, tiles, journal=journal, workers=work.threads, label="predict")
    finally:
        close_opened(work.key)


def _on_cluster(
    work: BlockWork, tiles: tuple[Tile, ...], journal: Journal, scheduler: Any, stack: Path
) -> dict[str, Done]:
    """The same blocks elsewhere: each worker opens the stack by its path and writes into the shared work file."""
    shared = replace(work.work, path=work.work.path.resolve())
    with _client(scheduler) as client:
        threads = max(client.nthreads().values(), default=1)
        work = replace(work, stack=stack, work=shared, threads=threads)
        return run_blocks(work, tiles, journal=journal, workers=client, label="predict")


def write_map(
    out: Path,
    work_file: WorkFile,
    stack: xr.Dataset,
    outputs: Sequence[Output],
    done: Mapping[str, Done],
    *,
    cut: Cut,
    settings: dict[str, Any],
    generated: bool = False,
) -> None:
    """The map beside its final name, what goes with it, and last the rename that makes it whole."""
    facts = [block.facts for block in done.values()]
    summaries = summarise(facts, work_file.bands)
    changes = [fact["change"] for fact in facts if math.isfinite(fact.get("change", math.nan))]
    if changes:
        settings["largest_change_from_float32"] = max(changes)
        log.info("%s differs from float32 by at most %.2g on sampled pixels", settings["precision"], max(changes))
    settings |= _left_out(facts)
    grid = stack_grid(stack)
    tags, about = (None, {GENERATED_TAG: GENERATED_WORDS}) if generated else (cut.to_tags(), None)
    partial = write_cog(
        work_file, grid, partial_path(out), outputs=outputs, summaries=summaries, tags=tags, about=about
    )
    if not generated:  # a picture has no classes of risk
        write_qml(out, work_file, summaries[0].low, summaries[0].high)
    bands = [{"name": o.name, "description": o.name, "unit": o.unit, "nodata": "nan"} for o in outputs]
    settings |= {"net": cut.net, "threshold": cut.threshold}
    inputs = [{"bundle": settings["bundle"], "stack": settings["stack"]}]
    more = {f"headscarp:{GENERATED}": True} if generated else None
    write_stac_item(out, grid, made_by("predict", settings=settings, inputs=inputs), bands=bands, more=more)
    finish(partial, out)


def _left_out(facts: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Counts of what was not predicted, told and for the record."""
    empty, black = sum(not fact["valid"] for fact in facts), sum(fact.get("black", 0) for fact in facts)
    if empty:
        log.info("%d of %d blocks have no valid pixel (no image, clouds, black) and were left out", empty, len(facts))
    if black:
        log.warning("%d squares of %d px are black in all bands of the image and were left out", black, CHUNK)
    return {"blocks_left_out": empty, "black_squares_left_out": black}


def _checked_name(out: str | Path) -> Path:
    out = Path(out)
    if out.suffix.lower() not in (".tif", ".tiff"):
        raise OutputError(f"a map is a GeoTIFF, but --out is {out}; give a name that ends in .tif")
    return out


def beside(out: Path, what: str) -> Path:
    return out.with_name(f".{out.name}.{what}")


def _outputs(net: Net, names: Sequence[str] | None) -> tuple[Output, ...]:
    """The outputs of a net that are written, in its order. Raises RecipeError for an unknown name."""
    known = {output.name: output for output in net.outputs}
    unknown = sorted(set(names or ()) - set(known))
    if unknown:
        raise RecipeError(f"the net has no output {', '.join(unknown)}; it has {', '.join(known)}")
    return tuple(output for name, output in known.items() if not names or name in names)


def check_net(bundle: Bundle, net: Net, block_px: int) -> None:
    if not net.local and net.window_px is None:
        raise BundleError(
            f"net {bundle.net!r} sees the whole tile at once, so maps of it depend on how they are cut; "
            "predict writes maps of local nets"
        )
    if block_px <= 0 or block_px % TILE or block_px % net.align:
        step = math.lcm(TILE, net.align)
        raise RecipeError(f"blocks of {block_px} pixels do not fit net {bundle.net!r}; use a multiple of {step}")


def job_of(bundle: Bundle, stack: xr.Dataset, engine: str, precision: str, block_px: int) -> dict[str, Any]:
    """Whatever decides the bytes of the map."""
    return {
        "bundle": bundle_hash(bundle),
        "stack": fingerprint(stack),
        "engine": engine,
        "precision": precision,
        "block_px": block_px,
        "version": headscarp.__version__,
    }


def short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _unchanged(work_file: WorkFile, tiles: tuple[Tile, ...]) -> Callable[[str, Done], bool]:
    """Whether a journalled block still holds the bytes that were written."""
    window_of = {tile.id: tile.window.clip(work_file.shape) for tile in tiles}
    return lambda block, done: block in window_of and work_file.checksum(window_of[block]) == done.checksum


def _checked_blocks(tiles: tuple[Tile, ...]) -> frozenset[str]:
    """Blocks spread over the middle of the map, where reduced precision is compared with float32."""
    count = min(_CHECKED_BLOCKS, len(tiles))
    return frozenset(tiles[len(tiles) * (2 * i + 1) // (2 * count)].id for i in range(count))


@contextmanager
def _client(scheduler: Any) -> Iterator[Any]:
    if hasattr(scheduler, "scheduler_info"):
        yield scheduler
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise RecipeError(
            "--scheduler needs dask.distributed, which is not installed; install it with: "
            "pip install headscarp[cluster]"
        ) from error
    try:
        client = Client(scheduler, timeout=_SCHEDULER_ANSWERS_WITHIN)
    except OSError as error:
        raise RecipeError(
            f"no dask scheduler answers at {scheduler}; start one with: dask scheduler, and give its address"
        ) from error
    with client:
        yield client


def _path_of(stack: xr.Dataset | str | Path) -> Path:
    """Where workers find the stack. Raises RecipeError for one that lives in memory only."""
    source = stack.encoding.get("source") if isinstance(stack, xr.Dataset) else stack
    if source is None:
        raise RecipeError(
            "the stack is in memory, where the workers of a scheduler cannot read it; write it with write_stack to a "
            "folder that they share, and give its path"
        )
    return Path(source).resolve()
