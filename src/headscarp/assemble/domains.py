"""The build of a stack of domains from a recipe: samples drawn region by region, block by block, resumable.

Refuses unknown keys and regions, and sizes that a simulated place cannot have. What it builds today is simulated, and
says so in every band, in its attributes and in `headscarp info`.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from headscarp.assemble.build import workers_of
from headscarp.assemble.keys import make, nearest, plain, read_toml
from headscarp.assemble.store import BandWriter
from headscarp.core.artefact import check_output, clear_os_errors, finish, partial_path
from headscarp.core.blocks import Done, Journal, run_blocks
from headscarp.core.domains import (
    CAUSE,
    CAUSES,
    DAY,
    FRAME,
    FRAME_FACTS,
    HORIZON,
    HORIZONS_DAYS,
    SERIES,
    SERIES_DAYS,
    check_domains,
    domain_bands,
    has_frames,
)
from headscarp.core.errors import RecipeError
from headscarp.core.provenance import made_by
from headscarp.core.samples import PIXEL_M, SAMPLE, create_samples
from headscarp.core.stack import complete_stack, open_stack
from headscarp.sources.world.domains import REGIONS, Look, Site, draw_site, simulate_sample
from headscarp.sources.world.domains.ground import CELL_M

BLOCK_SAMPLES = 20
"""Samples of a block of work, and of a chunk of what stands beside the bands."""
CLASS = "class"
"""Coordinate of simulated domains: what each place was simulated as."""

_BANDS = domain_bands("simulated domains")
_RAIN_BESIDE = ("rain_10km", "rain_30km")


@dataclass(frozen=True)
class SimulateRecipe:
    """The [simulate] of a recipe of domains. See docs/domains.md for each key."""

    samples_per_region: int
    regions: tuple[str, ...] = tuple(REGIONS)
    frames: int = 12
    side_px: int = 64
    years: tuple[int, ...] = (2015, 2022)


@dataclass(frozen=True)
class DomainsRecipe:
    """Everything that decides a stack of domains."""

    name: str
    simulate: SimulateRecipe
    seed: int = 0

    @property
    def look(self) -> Look:
        told = self.simulate
        return Look(self.seed, told.frames, told.side_px, (told.years[0], told.years[1]))


def read_domains_recipe(path: str | Path) -> DomainsRecipe:
    """A recipe of domains from a TOML file. Raises RecipeError that names the section and key."""
    return domains_recipe_from_dict(read_toml(path))


def domains_recipe_from_dict(data: Mapping[str, Any]) -> DomainsRecipe:
    """A recipe of domains from plain values, as TOML gives them. Raises RecipeError."""
    simulate: SimulateRecipe = make(SimulateRecipe, data.get("simulate"), "[simulate]")
    recipe: DomainsRecipe = make(DomainsRecipe, {**data, "simulate": simulate}, "the recipe")
    for region in simulate.regions:
        nearest(region, REGIONS, "region", "[simulate] regions")
    if not simulate.regions or len(set(simulate.regions)) < len(simulate.regions):
        raise RecipeError(f"[simulate] regions is {list(simulate.regions)}; name at least one region, each once")
    limits = {"samples_per_region": (1, 100_000), "frames": (1, 60), "side_px": (16, 512)}
    for key, (low, high) in limits.items():
        value = getattr(simulate, key)
        if not low <= value <= high:
            raise RecipeError(f"[simulate] {key} is {value}; it has to be from {low} to {high}")
    years = simulate.years
    if len(years) != 2 or not 1900 <= years[0] <= years[1] <= 2100:
        raise RecipeError(f"[simulate] years is {list(years)}; give the first and the last year, such as [2015, 2022]")
    if recipe.seed < 0:
        raise RecipeError(f"seed is {recipe.seed}; it has to be 0 or more")
    return recipe


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
    same bytes. Raises RecipeError, OutputError, JournalError.
    """
    recipe = recipe if isinstance(recipe, DomainsRecipe) else read_domains_recipe(recipe)
    out = Path(out).absolute()
    made = made_by("domains build", settings=plain(recipe), seed=recipe.seed)
    if resume and out.exists() and not overwrite:
        stack = open_stack(out)
        if any(stack.attrs.get("made", {}).get(key) != made[key] for key in ("settings", "version")):
            check_output(out)  # it is another stack, which must not be lost
        return check_domains(stack)
    check_output(out, overwrite=overwrite)
    sites = domain_sites(recipe)
    partial, journal_path = partial_path(out), out.with_name(f".{out.name}.journal")
    job = {"settings": made["settings"], "version": made["version"], "block": BLOCK_SAMPLES}
    resume = resume and journal_path.exists() and (partial / "zarr.json").exists()
    journal = Journal(journal_path, job, resume=resume)
    if not journal.done:
        _create(partial, recipe, sites)
    work = _DomainWork(BandWriter(str(partial)), recipe.look, tuple(sites))
    blocks = [DomainBlock(i, min(i + BLOCK_SAMPLES, len(sites))) for i in range(0, len(sites), BLOCK_SAMPLES)]
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
    return check_domains(open_stack(out))


def domain_sites(recipe: DomainsRecipe) -> list[Site]:
    """Where and when each sample of a recipe is, region by region."""
    told = recipe.simulate
    return [draw_site(region, k, recipe.look) for region in told.regions for k in range(told.samples_per_region)]


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
    """Simulates and writes a block of samples, wherever it is called."""

    writer: BandWriter
    look: Look
    sites: tuple[Site, ...]

    def __call__(self, block: DomainBlock) -> Done:
        samples = [simulate_sample(site, self.look) for site in self.sites[block.start : block.stop]]
        arrays = {name: np.stack([sample[name] for sample in samples]) for name in _NAMES}
        return Done(self.writer.write((slice(block.start, block.stop),), arrays))

    def still_good(self, block: DomainBlock, done: Done) -> bool:
        return self.writer.holds((slice(block.start, block.stop),), _NAMES, done.checksum)


def _create(path: Path, recipe: DomainsRecipe, sites: list[Site]) -> None:
    """An empty stack with all that is known before any pixel is made."""
    told, count = recipe.simulate, len(sites)
    side = (told.side_px, told.side_px)
    attrs = {"recipe": recipe.name, PIXEL_M: CELL_M, "simulated": True, "note": "simulated; no real place or event"}
    coords = {"region": [site.region for site in sites], CLASS: [site.name for site in sites]}
    frames = {band.name: told.frames for band in _BANDS if has_frames(band.name)}
    numbers = {name: np.array([getattr(site, name) for site in sites]) for name in _PLACED}
    beside = xr.Dataset(
        _variables(count, told.frames),
        coords={name: (SAMPLE, values, {"units": _PLACED[name]}) for name, values in numbers.items()}
        | {
            "cutoff": (SAMPLE, np.array([site.cutoff for site in sites], "datetime64[ns]")),
            DAY: np.arange(-SERIES_DAYS, 0, dtype=np.int32),
            CAUSE: np.array(CAUSES, object),
            HORIZON: np.array(HORIZONS_DAYS, np.int32),
        },
    )
    names = [site.id for site in sites]
    create_samples(path, side, _BANDS, names=names, coords=coords, attrs=attrs, frames=frames, beside=beside)


def _variables(count: int, frames: int) -> dict[str, Any]:
    """What stands beside the bands, empty: by name the dimensions, values and attributes."""
    table: dict[str, tuple[tuple[str, ...], tuple[int, ...], str, str]] = {}
    for name, dtype in FRAME_FACTS.items():
        table[name] = ((FRAME,), (frames,), dtype, _FRAME_UNITS.get(name, "1"))
    for name, units in {**SERIES, **dict.fromkeys(_RAIN_BESIDE, SERIES["rain_mm_per_day"])}.items():
        table[name] = ((DAY,), (SERIES_DAYS,), "float32", units)
    for name in ("law", "law_of_weather"):
        table[name] = ((HORIZON,), (len(HORIZONS_DAYS),), "float32", "1")
    table["causes"] = ((CAUSE,), (len(CAUSES),), "uint8", "1")
    # Not in "days": xarray would read these as spans of time.
    table |= {"event_days": ((), (), "float32", "d after the cut-off"), "thriving": ((), (), "uint8", "1")}
    variables = {}
    for name, (dims, shape, dtype, units) in table.items():
        values = np.full((count, *shape), np.nan if dtype == "float32" else 0, dtype)
        encoding = {"chunks": (BLOCK_SAMPLES, *shape)}
        variables[name] = xr.Variable((SAMPLE, *dims), values, {"units": units, "source": "simulated"}, encoding)
    return variables


_PLACED = {"latitude": "degrees_north", "longitude": "degrees_east", "elevation_m": "m"}
_FRAME_UNITS = {"days": "d from the cut-off", "sun_elevation": "degree", "sun_azimuth": "degree"}
_NAMES = (*(band.name for band in _BANDS), *_variables(0, 0))
