"""The layout of a stack of scenarios: pictures of places before, and what they look like after a task was done to them.

A stack of samples (`core.samples`): each is one future of one place under one task. Several futures share place and
task, so that what is uncertain shows. The bands before are what a net reads, those after are its targets. Names and
their check live here, nothing else.
"""

from difflib import get_close_matches

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from headscarp.core import dates
from headscarp.core.band import Band
from headscarp.core.domains import CLOUD, CLOUD_CLASSES, REFLECTANCE, STATIC
from headscarp.core.errors import RecipeError, StackError
from headscarp.core.samples import GROUP, SAMPLE
from headscarp.core.stack import check_stack, stack_bands

TASKS = (
    "identity",
    "no_change",
    "deforestation",
    "mining",
    "construction",
    "rain",
    "earthquake",
    "eruption",
    "reforestation",
)
"""identity: the same picture again. no_change: the same place in another year, with nothing done to it."""
EVERYWHERE = ("no_change",)
"""Tasks after which any pixel may differ a little, though nothing was done to any."""
TASK, FUTURE, CHANGED, SOURCE = "task", "future", "changed", "source"
"""Coordinates along `sample`: what was done, and which of the futures this is. The label band: 1 where it was done.
Another, in scenarios whose slides run: 1 where they start."""
AFTER = "after_"
"""What the name of a target begins with; behind it stands that of the band it is of."""
TOLD = {"after_days": 400.0, "year:sin": 1.0, "year:cos": 1.0, "latitude": 45.0}
"""Numbers that a net is told beside the picture, and what each is divided by: days from the task to the picture after,
the day of the year of both pictures as sine and cosine, degrees north."""
GENERATED = "generated"
"""What the origin of a band begins with that was made by a net and seen by nobody."""
GENERATED_TAG = "HEADSCARP_GENERATED"
"""Tag of a raster file that a net made."""
GENERATED_WORDS = "made by a net, seen by nobody: one of many futures that could be"


def scenario_bands(source: str, *, slides: bool = False, series: bool = False) -> tuple[Band, ...]:
    """The bands of scenarios in their order: reflectance before, the ground, reflectance after, and what changed.

    slides: whether slides run, so that where they start is told, too. series: whether what was before is told by past
    frames, with their quality, instead of one picture."""
    before = "surface reflectance of past frames" if series else "surface reflectance before"
    return (
        *(Band(name, "continuous", "1", f"{source}, {before}", optional=series) for name in REFLECTANCE),
        *((Band(CLOUD, "categorical", source=f"{source}, quality", classes=CLOUD_CLASSES),) if series else ()),
        *(Band(name, "continuous", units, f"{source}, ground") for name, units in STATIC.items()),
        *(Band(AFTER + name, "target", "1", f"{source}, surface reflectance after") for name in REFLECTANCE),
        Band(CHANGED, "label", "1", f"{source}, where the task was done"),
        *((Band(SOURCE, "label", "1", f"{source}, where slides start"),) if slides else ()),
    )


def is_scenarios(stack: xr.Dataset) -> bool:
    """Whether a stack of samples holds pictures before and after a task."""
    return SAMPLE in stack.dims and TASK in stack.variables and bool(seen_after(stack))


def seen_after(stack: xr.Dataset) -> tuple[str, ...]:
    """Names of the bands whose pictures after a task a stack holds."""
    return tuple(band.name.removeprefix(AFTER) for band in stack_bands(stack) if band.kind == "target")


def check_scenarios(stack: xr.Dataset) -> xr.Dataset:
    """The same stack, when it holds the layout. Raises StackError that names what is missing or out of place."""
    check_stack(stack)
    if not is_scenarios(stack):
        raise StackError(
            "the stack holds no pictures before and after a task; build scenarios: headscarp domains build "
            "recipes/scenarios.toml"
        )
    for name in (*seen_after(stack), *(name for name in REFLECTANCE if name in stack)):
        there, missing = (name, AFTER + name) if name in stack else (AFTER + name, name)
        if missing not in stack:
            raise StackError(
                f"the scenarios have the band {there!r} and no {missing!r}; build them with headscarp domains build"
            )
    for name in (TASK, FUTURE, GROUP, *("after_days", "latitude", "cutoff")):
        if name not in stack.variables or stack[name].dims != (SAMPLE,):
            raise StackError(f"the scenarios do not say the {name!r} of each sample; build them again")
    unknown = sorted({str(task) for task in stack[TASK].to_numpy()} - set(TASKS))
    if unknown:
        raise StackError(f"the scenarios have the tasks {', '.join(unknown)}; known: {', '.join(TASKS)}")
    return stack


def task_code(task: str, known: tuple[str, ...] = TASKS) -> int:
    """The place of a task in TASKS. known: those that may be asked for. Raises RecipeError that lists these."""
    if task in known:
        return TASKS.index(task)
    near = get_close_matches(task, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise RecipeError(f"there is no task {task!r}; {hint}known: {', '.join(known)}")


def task_codes(stack: xr.Dataset) -> NDArray[np.int64]:
    """(S,) the place of the task of each sample in TASKS."""
    return np.array([task_code(str(task)) for task in stack[TASK].to_numpy()], np.int64)


def told_numbers(
    after_days: NDArray[np.floating], day_of_year: NDArray[np.floating], latitude: NDArray[np.floating]
) -> NDArray[np.float32]:
    """(S, M) the numbers of TOLD from (S,) each; NaN where unknown."""
    turn = dates.TURN_PER_DAY * np.asarray(day_of_year, np.float64)
    columns = (after_days, np.sin(turn), np.cos(turn), latitude)
    return np.stack([np.asarray(column, np.float32) for column in columns], axis=1)


def numbers_of(stack: xr.Dataset) -> NDArray[np.float32]:
    """`told_numbers` of each sample of a stack of scenarios."""
    day = dates.day_of_year(stack["cutoff"].to_numpy())
    return told_numbers(stack["after_days"].to_numpy(), day, stack["latitude"].to_numpy())


def is_generated(source: str) -> bool:
    """Whether the origin of a band says that a net made it."""
    return f"{GENERATED}:" in source
