"""The verb scenario: suites of pictures of what a place would look like after a task, and maps of their spread.

Each future is a map as `predict` makes it, so any size in constant memory and resumable; all say that they were
generated.
Refuses tasks that the bundle does not know, and nets that make no pictures.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import xarray as xr

from headscarp.core.artefact import check_output
from headscarp.core.bundle import Bundle, as_bundle
from headscarp.core.errors import BundleError, RecipeError
from headscarp.core.grid import footprint_lonlat
from headscarp.core.scenarios import task_code
from headscarp.core.stack import stack_grid
from headscarp.nets import NETS, net_from_bundle
from headscarp.nets.futures import FutureNet
from headscarp.nets.guess import Guesses
from headscarp.prediction.before import one_frame, past_of_place, without_clouds
from headscarp.prediction.drawing import draw_futures
from headscarp.prediction.frames import MOST_FRAMES
from headscarp.prediction.strange import warn_where_strange
from headscarp.prediction.together import write_together
from headscarp.tiles.dataset import as_stack
from headscarp.tiles.fits import check_one_place

BLOCK_PX = 512
SPREAD, LIKELY_MAP = "spread.tif", "likely.tif"
_MOST = 1000


Place = xr.Dataset | str | Path | Sequence[xr.Dataset | str | Path]
"""A stack of a place, or several on one grid."""


@dataclass(frozen=True)
class Futures:
    """What was written: futures, a COG each; spread, one COG; the task. before: what the net read, see `before_of`.
    likely: how likely each pixel is changed, one COG, of a net that guesses it."""

    task: str
    futures: tuple[Path, ...]
    spread: Path
    before: xr.Dataset = field(repr=False, compare=False)
    likely: Path | None = None


def scenario(
    bundle: Bundle | str | Path,
    stack: Place,
    out: str | Path,
    *,
    task: str,
    samples: int = 16,
    after_days: float | None = None,
    date: str | None = None,
    frames: int = MOST_FRAMES,
    block_px: int = BLOCK_PX,
    workers: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
) -> Futures:
    """Writes futures of a place under a task into a folder, and how they spread; returns where.

    stack: of one place with the bands of the bundle; of several frames the newest up to `date` is taken. A bundle that
    was trained on series reads all frames up to `date`, the newest `frames` of them, and may be given several stacks on
    one grid, as `forecast` is. after_days: from the task to the picture; None: the net is told that it is unknown, and
    so for the season where there is no date. block_px, workers, resume: as of `predict`. Futures have the bands that
    the net makes, in their units, and how far each pixel is changed (0 to 1); the spread has the share of
    futures in which a pixel is changed, mean and standard deviation of each band, and the one mask that overlaps most
    with what may come. A net that guesses how likely each pixel is changed says so in a map of its own. Warns where the
    place is unlike those that the net was trained on. Raises BundleError, RecipeError, StackError, OutputError.
    """
    bundle = as_bundle(bundle)
    _check_samples(bundle, task, samples, after_days)
    stack, day = before_of(bundle, stack, date, frames=frames)
    out = check_output(out, overwrite=overwrite or resume)
    latitude = float(footprint_lonlat(stack_grid(stack))[:, 1].mean())
    told = {"task": task, "after_days": after_days, "day_of_year": day, "latitude": latitude}
    told_bundle = replace(bundle, arguments={**bundle.arguments, **told})
    net = net_from_bundle(told_bundle)
    assert isinstance(net, FutureNet)
    warn_where_strange(told_bundle, net, stack)
    paths = [out / f"future-{number + 1:03d}.tif" for number in range(samples)]
    likely = out / LIKELY_MAP if isinstance(net, Guesses) else None
    draw_futures(
        told_bundle, net, stack, paths, likely=likely,
        block_px=block_px, workers=workers, resume=resume, overwrite=overwrite or resume,
    )  # fmt: skip
    spread = write_together(out / SPREAD, paths, stack, told, likely=likely)
    return Futures(task, tuple(paths), spread, stack, likely)


def before_of(
    bundle: Bundle, stack: Place, date: str | None, *, frames: int = MOST_FRAMES
) -> tuple[xr.Dataset, float | None]:
    """What a bundle reads of a place before its task, without clouds, and the day of the year: one picture, or a series
    where it was trained on these. Raises StackError, RecipeError."""
    stacks = [stack] if isinstance(stack, (str, Path, xr.Dataset)) else list(stack)
    if NETS[bundle.net].reads(bundle.arguments) == "needed":
        return past_of_place(stacks, date, bands=bundle.bands, frames=frames)
    if len(stacks) != 1:
        raise RecipeError(
            f"{len(stacks)} stacks were given, and the bundle reads one picture; give one stack (bundles that were "
            "trained on series of frames read several)"
        )
    picture, day = one_frame(as_stack(stacks[0]), date)
    check_one_place(picture)
    return without_clouds(picture), day


def _check_samples(bundle: Bundle, task: str, samples: int, after_days: float | None) -> None:
    if bundle.net not in NETS or not NETS[bundle.net].makes_pictures:
        makers = ", ".join(name for name, kind in NETS.items() if kind.makes_pictures)
        raise BundleError(f"the bundle holds the net {bundle.net!r}, which makes no pictures; train one of: {makers}")
    net = net_from_bundle(bundle)
    assert isinstance(net, FutureNet)
    task_code(task, net.known_tasks)
    if not 1 <= samples <= _MOST:
        raise RecipeError(f"{samples} futures were asked for; give a number from 1 to {_MOST}, such as --samples 16")
    if samples > 1 and not net.by_chance:
        raise RecipeError(
            f"the net {bundle.net!r} knows one future only, and {samples} were asked for; say --samples 1, or train "
            "one that draws them: --net flow"
        )
    if after_days is not None and not 0 <= after_days < float("inf"):
        raise RecipeError(f"after_days is {after_days}; give the days from the task to the picture, 0 or more")
