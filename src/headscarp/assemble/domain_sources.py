"""Where the samples of a stack of domains come from: what is known of all at once, and each when it is asked for.

Simulated places come with frames, a class and their law; scenarios are pictures of them before and after a task.
Events of a catalogue come with the days before them and nothing else: one empty slot, one empty cell. Pairs come with a
frame before and one after, and the class of what happened in between. Refuses recipes whose events have no date.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from headscarp.assemble.domain_recipe import AntecedentsRecipe, DomainsRecipe, PairsRecipe, ScenariosRecipe
from headscarp.assemble.pairs import regions_of, tasks_of, validating
from headscarp.core.band import UNLABELLED, Band
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
    trace_bands,
)
from headscarp.core.errors import SourceError
from headscarp.core.provenance import describe_input
from headscarp.core.samples import CLASS, GROUP, PART
from headscarp.core.scenarios import FUTURE, TASK, check_scenarios, scenario_bands
from headscarp.core.stack import LABEL, check_stack
from headscarp.sources.datasets import dataset_of
from headscarp.sources.inventory.antecedents import Antecedents, read_antecedents
from headscarp.sources.inventory.pairs import Pairs, read_pairs
from headscarp.sources.world.domains import (
    Look,
    Site,
    after_days,
    draw_scene,
    draw_site,
    simulate_future,
    simulate_sample,
)
from headscarp.sources.world.domains.ground import CELL_M

Arrays = Mapping[str, Any]
Variable = tuple[tuple[str, ...], tuple[int, ...], str, str]
"""Dimensions and sizes behind `sample`, dtype, units."""


@dataclass(frozen=True)
class DomainSource:
    """What a stack of domains is made of. names, texts, numbers, cutoffs: of each sample; numbers in _PLACED.

    frames, side_px: slots and cells of a side. bands, variables: what each sample gives, by `sample(number)`.
    whole_numbers: more coordinates of each sample. check: of the layout that is built. framed: which bands have a plane
    for each slot.
    """

    names: Sequence[str]
    texts: Mapping[str, Sequence[str]]
    numbers: Mapping[str, NDArray[np.float64]]
    cutoffs: NDArray[np.datetime64]
    frames: int
    side_px: int
    bands: tuple[Band, ...]
    variables: Mapping[str, Variable]
    attrs: Mapping[str, Any]
    inputs: Sequence[Mapping[str, Any]]
    sample: Callable[[int], Arrays]
    check: Callable[[xr.Dataset], xr.Dataset] = check_domains
    framed: Callable[[str], bool] = has_frames
    whole_numbers: Mapping[str, Sequence[int]] = field(default_factory=dict)


def domain_source(recipe: DomainsRecipe) -> DomainSource:
    """The source that a recipe names. Raises RecipeError, SourceError."""
    if recipe.pairs:
        return _paired(recipe, recipe.pairs)
    if recipe.scenarios:
        return _scenes(recipe, recipe.scenarios)
    return _catalogued(recipe, recipe.antecedents) if recipe.antecedents else _simulated(recipe)


def _simulated(recipe: DomainsRecipe) -> DomainSource:
    look, told = recipe.look, recipe.simulate
    sites = [draw_site(r, number, look) for r in told.regions for number in range(told.count(r))] if told else []
    law = {name: ((HORIZON,), (len(HORIZONS_DAYS),), "float32", "1") for name in ("law", "law_of_weather")}
    rain = dict.fromkeys(("rain_10km", "rain_30km"), ((DAY,), (SERIES_DAYS,), "float32", SERIES["rain_mm_per_day"]))
    return DomainSource(
        names=[site.id for site in sites],
        texts={"region": [site.region for site in sites], CLASS: [site.name for site in sites]},
        numbers={name: np.array([getattr(site, name) for site in sites]) for name in PLACED},
        cutoffs=np.array([site.cutoff for site in sites], "datetime64[ns]"),
        frames=look.frames,
        side_px=look.side_px,
        bands=(*domain_bands("simulated domains"), *trace_bands("simulated domains")),
        variables={**_variables(look.frames), **law, **rain},
        attrs={"simulated": True, "note": "simulated; no real place or event", "pixel_m": CELL_M},
        inputs=(),
        sample=partial(_simulate, tuple(sites), look),
    )


def _simulate(sites: tuple[Site, ...], look: Look, number: int) -> Arrays:
    return simulate_sample(sites[number], look)


def _scenes(recipe: DomainsRecipe, told: ScenariosRecipe) -> DomainSource:
    """Every future of every task at each place. Of five places of a region one judges, and of ten one validates."""
    look = recipe.look
    places = [
        (draw_scene(region, number, look), number)
        for region in told.regions
        for number in range(told.places_per_region)
    ]
    rows = [
        (site, number, task, future) for site, number in places for task in told.tasks for future in range(told.futures)
    ]
    part = [PARTS_IN_TURN[number % len(PARTS_IN_TURN)] for _, number, _, _ in rows]
    return DomainSource(
        names=[f"{site.id}-{task}-{future}" for site, _, task, future in rows],
        texts={
            "region": [site.region for site, *_ in rows],
            TASK: [task for _, _, task, _ in rows],
            GROUP: [site.id for site, *_ in rows],
            PART: part,
        },
        numbers={name: np.array([getattr(site, name) for site, *_ in rows]) for name in PLACED},
        cutoffs=np.array([site.cutoff for site, *_ in rows], "datetime64[ns]"),
        frames=told.frames,
        side_px=look.side_px,
        bands=scenario_bands("simulated scenarios", slides=told.slides, series=told.frames > 0),
        variables={
            "after_days": ((), (), "float32", "d from the task to the picture after it"),
            **(_facts(told.frames) if told.frames else {}),
        },
        attrs={"simulated": True, "note": "simulated; no real place or event", "pixel_m": CELL_M},
        inputs=(),
        sample=partial(_scene, tuple((site, task, future) for site, _, task, future in rows), look),
        check=check_scenarios,
        whole_numbers={FUTURE: [future for *_, future in rows]},
    )


def _scene(rows: tuple[tuple[Site, str, int], ...], look: Look, number: int) -> Arrays:
    site, task, future = rows[number]
    return {**simulate_future(site, look, task, future), "after_days": np.float32(after_days(site, look, task))}


def _catalogued(recipe: DomainsRecipe, told: AntecedentsRecipe) -> DomainSource:
    """Each event as often as it has cut-offs: the midnight before it, and those of the days before that.

    So the days of an event are compared with the days before it, at one place (case-crossover, Maclure 1991).
    """
    read, inputs = [], []
    for one in told.files:
        paths = [recipe.file(one.events), recipe.file(one.days)]
        read.append(read_antecedents(*paths, rain=told.rain, soil_moisture=told.soil_moisture))
        inputs += [_described(*pair) for pair in zip((one.events, one.days), paths, strict=True)]
    if not any(len(part.ids) for part in read):
        raise SourceError("no event of [antecedents] has a date, a place and days before it; check the files")
    rows = [(p, e, k) for p, part in enumerate(read) for e in range(len(part.ids)) for k in range(told.cutoffs)]
    numbers = {
        "latitude": [read[p].latitude[e] for p, e, _ in rows],
        "longitude": [read[p].longitude[e] for p, e, _ in rows],
    }
    days = np.array([read[p].dates[e] - np.timedelta64(k, "D") for p, e, k in rows])
    return DomainSource(
        names=[f"{read[p].ids[e]}-{k}" for p, e, k in rows],
        texts={
            "region": [told.files[p].region for p, _, _ in rows],
            "event_id": [read[p].ids[e] for p, e, _ in rows],
            CLASS: [read[p].triggers[e] for p, e, _ in rows],
        },
        numbers={**{n: np.array(v) for n, v in numbers.items()}, "elevation_m": np.full(len(rows), np.nan)},
        cutoffs=days.astype("datetime64[ns]"),
        frames=1,
        side_px=1,
        bands=domain_bands("no frames"),
        variables=_variables(1),
        attrs={"note": "events of a catalogue with days before them, no frames", "pixel_m": CELL_M},
        inputs=inputs,
        sample=partial(_event, tuple(read), tuple(rows)),
    )


def _event(read: tuple[Antecedents, ...], rows: tuple[tuple[int, int, int], ...], number: int) -> Arrays:
    p, e, k = rows[number]
    part, hidden = read[p], k + 1  # the day of the event, and those between the cut-off and it
    out: dict[str, Any] = {}
    for name in SERIES:
        out[name] = np.full(SERIES_DAYS, np.nan, np.float32)
        seen = getattr(part, name)[e][: max(0, getattr(part, name).shape[1] - hidden)]
        out[name][SERIES_DAYS - len(seen) :] = seen
    for band in domain_bands(""):
        shape = (1, 1, 1) if has_frames(band.name) else (1, 1)
        fill = UNLABELLED if band.name == LABEL else 0 if band.dtype == "uint8" else np.nan
        out[band.name] = np.full(shape, fill, band.dtype)
    cause = part.causes[e]
    unknown = np.full(len(CAUSES), UNLABELLED, np.uint8)
    out["causes"] = np.array([cause == one for one in CAUSES], np.uint8) if cause in CAUSES else unknown
    out["event_days"] = np.float32(k + 0.5)  # told to the day
    out["thriving"] = np.uint8(0)
    return out | {name: np.full(1, 0 if dtype == "uint8" else np.nan, dtype) for name, dtype in FRAME_FACTS.items()}


def _paired(recipe: DomainsRecipe, told: PairsRecipe) -> DomainSource:
    """Each pair as a place of two frames. The class is of what lies between them; nothing is known of landslides.

    Of the training part whole groups (squares of `group_deg`) validate.
    """
    references = [told.table, *(one.images for one in told.files)]
    paths = [recipe.file(reference) for reference in references]
    read = read_pairs(paths[1:], paths[0], class_column=told.class_column)
    planes, *side = read.shape
    if planes != len(told.bands) or side[0] != side[1]:
        raise SourceError(
            f"{paths[1]} holds frames of {planes} planes of {side[0]} x {side[1]} cells; needed: the "
            f"{len(told.bands)} that [pairs] bands names, and squares"
        )
    part_of = {str(path): one.part for path, one in zip(paths[1:], told.files, strict=True)}
    squares = [np.floor(degrees / told.group_deg) for degrees in (read.latitude, read.longitude)]
    groups = [f"{row:g} {column:g}" for row, column in zip(*squares, strict=True)]
    parts = validating([part_of[path] for path, _ in read.places], groups, told.validation_share, recipe.seed)
    days = read.windows[:, 1, 1]
    texts = {CLASS: read.classes, PART: parts, GROUP: groups}
    if told.tasks:
        texts[TASK] = tasks_of(read.classes, told.tasks)
    if told.regions:
        texts["region"] = regions_of(read.latitude, read.longitude, told.regions)
    return DomainSource(
        names=read.ids,
        texts=texts,
        numbers={"latitude": read.latitude, "longitude": read.longitude},
        cutoffs=days.astype("datetime64[ns]"),
        frames=2,
        side_px=side[0],
        bands=tuple(Band(name, "continuous", "1", "a frame before, one after", optional=True) for name in told.bands),
        variables={"days": ((FRAME,), (2,), "float32", _FRAME_UNITS["days"])},
        attrs={"note": "pairs of frames with a class, nothing of landslides", "pixel_m": told.pixel_m},
        inputs=[_described(*pair) for pair in zip(references, paths, strict=True)],
        sample=partial(_pair, read, told),
        check=check_stack,
        framed=_any_band,
    )


def _any_band(name: str) -> bool:
    return True


def _pair(read: Pairs, told: PairsRecipe, number: int) -> Arrays:
    pixels = read.pixels(number)
    values = pixels.astype(np.float32) * np.float32(told.scale)
    if told.no_data is not None:
        values[pixels == told.no_data] = np.nan
    middles = read.windows[number, :, 0] + (read.windows[number, :, 1] - read.windows[number, :, 0]) / 2
    days = (middles - read.windows[number, 1, 1]) / np.timedelta64(1, "D")
    return {**dict(zip(told.bands, np.moveaxis(values, 1, 0), strict=True)), "days": days.astype(np.float32)}


def _described(reference: str, path: Path) -> Mapping[str, Any]:
    """An input as provenance names it, with the licence of a registered data set."""
    known = dataset_of(reference) if reference.startswith("dataset:") else None
    return describe_input(path, **({"licence": known.licence, "citation": known.citation} if known else {}))


def _variables(frames: int) -> dict[str, Variable]:
    """What stands beside the bands of any domains."""
    facts = _facts(frames)
    facts |= {name: ((DAY,), (SERIES_DAYS,), "float32", units) for name, units in SERIES.items()}
    facts["causes"] = ((CAUSE,), (len(CAUSES),), "uint8", "1")
    # Not in "days": xarray would read these as spans of time.
    return facts | {"event_days": ((), (), "float32", "d after the cut-off"), "thriving": ((), (), "uint8", "1")}


def _facts(frames: int) -> dict[str, Variable]:
    """What is told of each slot."""
    return {name: ((FRAME,), (frames,), dtype, _FRAME_UNITS.get(name, "1")) for name, dtype in FRAME_FACTS.items()}


PARTS_IN_TURN = ("train", "train", "train", "test", "train", "train", "train", "validation", "test", "train")
"""Parts of the places of a region, by the last digit of their number."""
PLACED = {"latitude": "degrees_north", "longitude": "degrees_east", "elevation_m": "m"}
"""Numbers of a sample that are coordinates, and their units."""
_FRAME_UNITS = {"days": "d from the cut-off", "sun_elevation": "degree", "sun_azimuth": "degree"}
