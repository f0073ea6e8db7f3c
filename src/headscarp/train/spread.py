"""How wide chance is where futures are drawn, chosen after training on places of the validation part.

A net that was trained for a short time or on few places draws futures that are too alike, and on the places that it
learned from nobody sees that. Noise that is wider, by a factor of its own for each task, makes up for some of it.
Refuses nets without chance.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import xarray as xr

from headscarp.core.band import Band
from headscarp.core.bundle import Bundle, as_bundle
from headscarp.core.errors import BundleError
from headscarp.core.progress import log
from headscarp.core.stack import with_label
from headscarp.evaluation.suites import case_values
from headscarp.nets import NETS, net_from_bundle
from headscarp.nets.flow import Flow
from headscarp.nets.futures import FutureNet
from headscarp.tiles.fits import check_fits
from headscarp.tiles.splits import Split, split_from_json
from headscarp.train.areas import fitted_areas
from headscarp.train.cases import Case
from headscarp.train.suiterows import CERTAIN
from headscarp.train.suites import VALIDATION_SAMPLES, SuiteJudge, judged_futures, scenarios_of

FACTORS = (1.0, 1.4, 2.0, 2.8)
"""What is tried; the last one under tasks alone that took the one before it. 1 leaves futures as they were learned."""
NEAR = (1.0, 1.2, 1.4)
"""The same of how far a task goes, where the share of the ground that it changes was fitted before."""
SHARES = (0.0, 0.5, 1.0)
"""What is tried of `shrink`, where a net has that."""
TURNS = 8
"""Flips and turns that how likely each pixel is changed is a mean over."""
AIM = 0.8
_AS_GOOD = 0.02  # how much worse the scores may be for intervals that hold more rightly
_MOST_PLACES = 42
_SCORES, _COVERAGES = ("crps_area", "crps_ndvi"), ("coverage_80_area", "coverage_80_ndvi")
_LEAST = 1e-4

Spread = dict[str, list[float]]
Shrink = dict[str, float]
Drawn = tuple[float, ...]
"""Factors of the kinds of chance, and last the share of `shrink`."""


def with_spread(bundle: Bundle | str | Path, stack: xr.Dataset | str | Path) -> Bundle:
    """A trained bundle whose futures are as wide as validation places ask for, with its metrics on them drawn anew.

    stack: the one that it was trained on; its other parts are not looked at. What was chosen before is chosen anew.
    Raises BundleError for a net without chance, StackError where the stack does not fit.
    """
    bundle = as_bundle(bundle)
    kind = NETS.get(bundle.net)
    if kind is None or not issubclass(kind, FutureNet) or not kind.by_chance:
        raise BundleError(
            f"the bundle holds the net {bundle.net!r}, which draws no futures by chance; take flow or cgan"
        )
    stack = scenes_for(bundle, stack)
    net = net_from_bundle(bundle)
    assert isinstance(net, FutureNet)
    return spread_bundle(bundle, net, stack, split_from_json(bundle.split))


def scenes_for(bundle: Bundle, stack: xr.Dataset | str | Path) -> xr.Dataset:
    """The stack as the scenarios that a bundle learned from or could have. Raises StackError where it does not fit."""
    stack = with_label(scenarios_of(stack), bundle.label)
    check_fits(bundle, stack)
    return stack


def spread_bundle(bundle: Bundle, net: FutureNet, stack: xr.Dataset, split: Split) -> Bundle:
    """The same of a bundle and its net in hand. The net draws as wide as was chosen from then on."""
    net.spread, net.shrink = {}, {}
    if isinstance(net, Flow):
        net.turns = TURNS
        judge = SuiteJudge(stack, net, 0)
        training, held = judge.cases(split, "train"), judge.cases(split, "validation")
        net.keep_areas(fitted_areas(net, judge, training, held, bundle.bands))
    net.spread, shrink = chosen_spread(net, stack, split, bundle.bands)
    if net.shrinks:
        net.shrink = shrink
    return judged_futures(replace(bundle, arguments=net.arguments()), net, stack, split)


def chosen_spread(net: FutureNet, stack: xr.Dataset, split: Split, bands: Sequence[Band]) -> tuple[Spread, Shrink]:
    """By task, a factor for each kind of chance of a net, see `FutureNet.spread_of`; and how far it follows all
    training places, see `FutureNet.shrink`. Tasks that keep what was learned are left out.

    First how far it follows all, then kinds of chance from the last one, which for `flow` says how far a task goes; all
    tasks at once, each by its own scores on at most 42 places of the validation part.
    """
    trials = _Trials(net, stack, split, bands)
    now = dict.fromkeys(trials.cases, (*[1.0] * net.chances, 0.0))
    dials = [(net.chances, SHARES)] if net.shrinks else []
    of_kind = {0: FACTORS, 1: NEAR if isinstance(net, Flow) and net.areas else FACTORS}
    for at, options in (*dials, *((kind, of_kind[kind]) for kind in reversed(range(net.chances)))):
        tried: dict[str, dict[float, Mapping[str, float]]] = {task: {} for task in now}
        for option in options:
            last = options is FACTORS and option == FACTORS[-1]
            asked = [task for task, of in tried.items() if not last or best_factor(of) == FACTORS[-2]]
            for task, scores in trials.of({task: _turned(now[task], at, option) for task in asked}).items():
                tried[task][option] = scores
        now = {task: _turned(was, at, best_factor(tried[task])) for task, was in now.items()}
    spread = {task: list(of[:-1]) for task, of in now.items() if set(of[:-1]) != {1.0}}
    shrink = {task: of[-1] for task, of in now.items() if of[-1]}
    for title, chosen in (("spread", spread), ("shrink", {task: [share] for task, share in shrink.items()})):
        if title == "spread" or net.shrinks:
            said = ", ".join(f"{task} {' '.join(f'{f:g}' for f in of)}" for task, of in chosen.items())
            log.info("%s: %s", title, said or "as learned")
    return spread, shrink


def best_factor(scores: Mapping[float, Mapping[str, float]]) -> float:
    """Of factors whose CRPS of the changed area and of NDVI, each over that of the first one, are as good as the best
    on their mean, or within two hundredths of it, the one of whose two 80 % intervals the worse one holds nearest to
    80 %; of equals the first."""
    plain = next(iter(scores.values()))
    worth = {f: np.mean([(of[s] + _LEAST) / (plain[s] + _LEAST) for s in _SCORES]) for f, of in scores.items()}
    least = min(worth.values())
    good = [f for f in scores if worth[f] <= least + _AS_GOOD]
    return min(good, key=lambda f: round(_off(scores[f]), 6))


class _Trials:
    """Scores of futures under each task by how they were drawn: factors of each kind of chance, then the share that
    follows all places. What was drawn already is not drawn again."""

    def __init__(self, net: FutureNet, stack: xr.Dataset, split: Split, bands: Sequence[Band]) -> None:
        self.net, self.bands, self.judge = net, bands, SuiteJudge(stack, net, 0)
        cases = [c for c in self.judge.cases(split, "validation") if c.task not in CERTAIN]
        self.cases = {
            task: _some_places([c for c in cases if c.task == task]) for task in dict.fromkeys(c.task for c in cases)
        }
        self.found: dict[tuple[str, Drawn], Mapping[str, float]] = {}

    def of(self, drawn: Mapping[str, Drawn]) -> dict[str, Mapping[str, float]]:
        """By task, the mean of each metric over its cases."""
        new = {task: how for task, how in drawn.items() if (task, how) not in self.found}
        self.net.spread = {task: list(how[:-1]) for task, how in new.items()}
        if self.net.shrinks:
            self.net.shrink = {task: how[-1] for task, how in new.items()}
        cases = [case for task in new for case in self.cases[task]]
        if cases:
            name = f"spread {len(self.found) // len(self.cases) + 1}"
            suites = self.judge.of_net(cases, self.bands, samples=VALIDATION_SAMPLES, workers=2, name=name)
            values, _ = case_values(suites)
            tasks = np.array([case.task for case in cases])
            for task, how in new.items():
                means = {metric: float(values[metric][tasks == task].mean()) for metric in (*_SCORES, *_COVERAGES)}
                self.found[task, how] = means
        return {task: self.found[task, how] for task, how in drawn.items()}


def _turned(how: Drawn, at: int, option: float) -> Drawn:
    return (*how[:at], option, *how[at + 1 :])


def _off(scores: Mapping[str, float]) -> float:
    return max(abs(scores[name] - AIM) for name in _COVERAGES)


def _some_places(cases: Sequence[Case]) -> list[Case]:
    """Those of at most _MOST_PLACES places, spread over the order of the stack, so over its regions."""
    places = list(dict.fromkeys(case.place for case in cases))
    kept = set(places[:: max(1, -(-len(places) // _MOST_PLACES))])
    return [case for case in cases if case.place in kept]
