"""What suites of futures have to beat, without any training: the input itself, the change of the most alike training
place under the same task, and in simulated worlds the other futures of the same place, which nothing beats on average.

Refuses places to judge that a bundle may have learned from.
"""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from headscarp.core.domains import REFLECTANCE
from headscarp.core.errors import StackError
from headscarp.evaluation.suites import Suite, Suites
from headscarp.tiles.scenes import picture_before
from headscarp.train.cases import Case
from headscarp.train.suitejudge import SuiteJudge

COPY, NEAREST, LAW = "copy_the_input", "nearest_pair", "law"

Floats = NDArray[np.float64]


def opponents_of(
    judge: SuiteJudge, cases: Sequence[Case], theirs: SuiteJudge, training: Sequence[Case]
) -> dict[str, Suites]:
    """Their suites by name. theirs, training: who reads the training places, and these."""
    found: dict[str, Suites] = {COPY: [], NEAREST: []}
    looks = [_look(theirs, case) for case in training]
    scale = np.std(looks, axis=0) + 1e-9 if looks else 1.0
    for case in cases:
        first, came = case.samples[0], [judge.came(s) for s in case.samples]
        before = judge.before(first)
        found[COPY].append([(judge.suite(before[None], first), one) for one in came])
        alike = [i for i, other in enumerate(training) if other.task == case.task]
        if alike:
            look = _look(judge, case)
            best = training[min(alike, key=lambda i: float((((looks[i] - look) / scale) ** 2).sum()))]
            unchanged = theirs.before(best.samples[0])
            # What nobody has seen of either place is taken not to change.
            changes = [np.nan_to_num(theirs.came(s).pictures[0] - unchanged) for s in best.samples]
            found[NEAREST].append([(judge.suite(before + np.stack(changes), first), one) for one in came])
    if judge.stack.attrs.get("simulated") and all(len(case.samples) > 1 for case in cases):
        found[LAW] = [_others(judge, case) for case in cases]
    return {name: suites for name, suites in found.items() if len(suites) == len(cases)}


def check_new_places(stack: xr.Dataset, learned: xr.Dataset) -> None:
    """Raises StackError where a place of the stack stands in the one that a bundle learned from, or their sizes
    differ."""
    if stack.sizes["y"] != learned.sizes["y"] or stack.sizes["x"] != learned.sizes["x"]:
        raise StackError(
            f"places are {stack.sizes['y']} x {stack.sizes['x']} pixels, and those that were learned from "
            f"{learned.sizes['y']} x {learned.sizes['x']}; build both with the same side_px"
        )
    both = sorted(_positions(stack) & _positions(learned))
    if both:
        raise StackError(
            f"{len(both)} place(s) of the stack were there in training, such as the one at latitude "
            f"{both[0][0]:g}; build new ones, with another seed, or leave --trained-on out to judge the test part"
        )


def _positions(stack: xr.Dataset) -> set[tuple[float, ...]]:
    """Latitude and longitude of each place."""
    degrees = (stack[name].to_numpy().tolist() for name in ("latitude", "longitude") if name in stack.variables)
    return set(zip(*degrees, strict=True))


def _others(judge: SuiteJudge, case: Case) -> list[tuple[Suite, Suite]]:
    came = [judge.came(s) for s in case.samples]
    all_ = np.concatenate([one.pictures for one in came])
    first = case.samples[0]
    return [(judge.suite(np.delete(all_, i, axis=0), first), one) for i, one in enumerate(came)]


def _look(judge: SuiteJudge, case: Case) -> Floats:
    """Mean and spread of what can be seen of a place before."""
    names = [name for name in (*REFLECTANCE, "slope") if name in judge.stack]
    planes = picture_before(judge.stack, names, case.samples[0])
    return np.array([f(plane) for plane in planes for f in (np.nanmean, np.nanstd)])
