"""The build of a stack of domains from a recipe, block by block of samples, resumable to the same bytes.

Refuses what its recipe or its source refuses, and to go on with another recipe. Where samples are simulated, every
band, the attributes and `headscarp info` say so.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from headscarp.assemble.build import workers_of
from headscarp.assemble.domain_recipe import DomainsRecipe, read_domains_recipe
from headscarp.assemble.domain_sources import PLACED, DomainSource, domain_source
from headscarp.assemble.store import BandWriter
from headscarp.core.artefact import check_output, clear_os_errors, finish, partial_path
from headscarp.core.blocks import Done, Journal, run_blocks
from headscarp.core.domains import (
    CAUSE,
    CAUSES,
    DAY,
    HORIZON,
    HORIZONS_DAYS,
    SERIES_DAYS,
)
from headscarp.core.provenance import made_by
from headscarp.core.samples import SAMPLE, create_samples
from headscarp.core.stack import complete_stack, open_stack

BLOCK_SAMPLES = 20
"""Samples of a block of work, and of a chunk of what stands beside the bands."""


def build_domains(
    recipe: DomainsRecipe | str | Path,
    out: str | Path,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
) -> xr.Dataset:
    """Builds the stack of a recipe of domains as a Zarr folder and returns it opened, lazily.

    workers, scheduler, resume, overwrite: as `build` has them. A build that was stopped at any moment goes on to the
    same bytes. Raises RecipeError, SourceError, OutputError, JournalError.
    """
    recipe = recipe if isinstance(recipe, DomainsRecipe) else read_domains_recipe(recipe)
    out = Path(out).absolute()
    if not (resume and out.exists()):
        check_output(out, overwrite=overwrite)
    source = domain_source(recipe)
    made = made_by("domains build", settings=recipe.resolved(), inputs=source.inputs, seed=recipe.seed)
    job = {key: made[key] for key in ("settings", "inputs", "version")}
    if resume and out.exists() and not overwrite:
        stack = open_stack(out)
        if json.loads(json.dumps(job)) != {key: stack.attrs.get("made", {}).get(key) for key in job}:
            check_output(out)  # it is another stack, which must not be lost
        return source.check(stack)
    partial, journal_path = partial_path(out), out.with_name(f".{out.name}.journal")
    resume = resume and journal_path.exists() and (partial / "zarr.json").exists()
    journal = Journal(journal_path, {**job, "block": BLOCK_SAMPLES}, resume=resume)
    if not journal.done:
        _create(partial, recipe.name, source)
    names = (*(band.name for band in source.bands), *source.variables)
    work, count = _DomainWork(BandWriter(str(partial)), source, names), len(source.names)
    blocks = [DomainBlock(i, min(i + BLOCK_SAMPLES, count)) for i in range(0, count, BLOCK_SAMPLES)]
    by_id = {block.id: block for block in blocks}
    journal.keep(lambda block_id, done: block_id in by_id and work.still_good(by_id[block_id], done))
    with workers_of(workers, scheduler) as pool:
        done = run_blocks(work, blocks, journal=journal, workers=pool, label="domains")
    digest = hashlib.blake2b(digest_size=16)
    for item in done.values():
        digest.update(item.checksum.encode())
    complete_stack(partial, {"fingerprint": digest.hexdigest(), "made": made})
    finish(partial, out)
    with clear_os_errors(out):
        journal_path.unlink(missing_ok=True)
    return source.check(open_stack(out))


@dataclass(frozen=True)
class DomainBlock:
    """Samples from start to stop, without the last."""

    start: int
    stop: int

    @property
    def id(self) -> str:
        return f"samples {self.start}+{self.stop - self.start}"


@dataclass(frozen=True)
class _DomainWork:
    """Makes and writes a block of samples, wherever it is called."""

    writer: BandWriter
    source: DomainSource
    names: tuple[str, ...]

    def __call__(self, block: DomainBlock) -> Done:
        samples = [self.source.sample(number) for number in range(block.start, block.stop)]
        arrays = {name: np.stack([sample[name] for sample in samples]) for name in self.names}
        return Done(self.writer.write((slice(block.start, block.stop),), arrays))

    def still_good(self, block: DomainBlock, done: Done) -> bool:
        return self.writer.holds((slice(block.start, block.stop),), self.names, done.checksum)


def _create(path: Path, recipe: str, source: DomainSource) -> None:
    """An empty stack with all that is known of its samples at once."""
    frames = {band.name: source.frames for band in source.bands if source.frames and source.framed(band.name)}
    axes = {
        DAY: np.arange(-SERIES_DAYS, 0, dtype=np.int32),
        CAUSE: np.array(CAUSES, object),
        HORIZON: np.array(HORIZONS_DAYS, np.int32),
    }
    needed = {dim for dims, *_ in source.variables.values() for dim in dims}
    coords: Mapping[str, object] = {
        "cutoff": (SAMPLE, source.cutoffs),
        **{name: values for name, values in axes.items() if name in needed},
        **{name: (SAMPLE, np.array(values, np.int32)) for name, values in source.whole_numbers.items()},
        **{name: (SAMPLE, values, {"units": PLACED[name]}) for name, values in source.numbers.items()},
    }
    create_samples(
        path,
        (source.side_px, source.side_px),
        source.bands,
        names=source.names,
        coords=source.texts,
        attrs={"recipe": recipe, **source.attrs},
        frames=frames,
        beside=xr.Dataset(_empty(source), coords=coords),
    )


def _empty(source: DomainSource) -> dict[str, xr.Variable]:
    """What stands beside the bands, before it is written: chunks are blocks, so that no two workers share one."""
    variables, count = {}, len(source.names)
    told = "simulated" if source.attrs.get("simulated") else "catalogue"
    for name, (dims, shape, dtype, units) in source.variables.items():
        values = np.full((count, *shape), np.nan if dtype == "float32" else 0, dtype)
        encoding = {"chunks": (BLOCK_SAMPLES, *shape)}
        variables[name] = xr.Variable((SAMPLE, *dims), values, {"units": units, "source": told}, encoding)
    return variables
