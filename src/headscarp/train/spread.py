"""How wide chance is where futures are drawn, chosen after training on places of the validation part.

A net that was trained for a short time or on few places draws futures that are too alike, and on the places that it
learned from nobody sees that. Noise of another width, by a factor of its own for each task, makes up for some of it.
Refuses nets without chance.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr

from headscarp.core.band import Band
from headscarp.core.bundle import Bundle, as_bundle
from headscarp.core.errors import BundleError
from headscarp.core.progress import log
from headscarp.core.stack import with_label
from headscarp.evaluation.suites import case_values
from headscarp.nets import NETS, net_from_bundle
from headscarp.nets.areas import Areas, with_chance
from headscarp.nets.flow import Flow
from headscarp.nets.futures import FutureNet
from headscarp.tiles.fits import check_fits
from headscarp.tiles.splits import Split, split_from_json
from headscarp.train.areas import fitted_areas
from headscarp.train.cases import Case
from headscarp.train.suitejudge import SuiteJudge
from headscarp.train.suiterows import CERTAIN
from headscarp.train.suites import VALIDATION_SAMPLES, judged_futures, scenarios_of


class Dial(NamedTuple):
    """A number of how futures are drawn. options: what is tried, of which the first leaves futures as they were learned
    and the last is asked under tasks alone that took the one before it. asked: whether it is of tasks that are
    asked for a share of the ground, of the others, or (None) of all."""

    name: str
    options: tuple[float, ...]
    asked: bool | None = None


FACTORS = (1.0, 0.7, 0.85, 1.4, 2.0, 2.8)
OF_FLOW = (
    Dial("shrink", (0.0, 0.5, 1.0)),
    Dial("strength", (0.0, 0.2, 0.4, 0.6), asked=True),
    Dial("share", (1.0, 1.2, 1.4), asked=True),
    Dial("extents", FACTORS, asked=False),
    Dial("planes", FACTORS, asked=False),
)
"""In the order in which they are chosen: see `Flow.shrink`, `nets.areas` and `FutureNet.spread_of`."""
TURNS = 8
"""Flips and turns that how likely each pixel is changed is a mean over."""
AIM = 0.8
_AS_GOOD = 0.02  # how much worse the scores may be for intervals that hold more rightly
_MOST_PLACES = 42
_SCORES, _COVERAGES = ("crps_area", "crps_ndvi"), ("coverage_80_area", "coverage_80_ndvi")
_LEAST = 1e-4
_CHOSEN = ("spread", "shrink", "areas")

How = dict[str, float]
"""How the futures of a task are drawn, by the names of dials."""


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
    learned = {name: value for name, value in bundle.arguments.items() if name not in _CHOSEN}
    net = net_from_bundle(replace(bundle, arguments=learned))
    assert isinstance(net, FutureNet)
    return spread_bundle(bundle, net, stack, split_from_json(bundle.split))


def scenes_for(bundle: Bundle, stack: xr.Dataset | str | Path) -> xr.Dataset:
    """The stack as the scenarios that a bundle learned from or could have. Raises StackError where it does not fit."""
    stack = with_label(scenarios_of(stack), bundle.label)
    check_fits(bundle, stack)
    return stack


def spread_bundle(bundle: Bundle, net: FutureNet, stack: xr.Dataset, split: Split) -> Bundle:
    """The same of a bundle and its net in hand. The net draws as wide as was chosen from then on."""
    if isinstance(net, Flow):
        net.turns = TURNS
        judge = SuiteJudge(stack, net, 0)
        training, held = judge.cases(split, "train"), judge.cases(split, "validation")
        net.keep_areas(fitted_areas(net, judge, training, held, bundle.bands))
    choose_spread(net, stack, split, bundle.bands)
    return judged_futures(replace(bundle, arguments=net.arguments()), net, stack, split)


def choose_spread(net: FutureNet, stack: xr.Dataset, split: Split, bands: Sequence[Band]) -> None:
    """Turns the dials of a net, those of `flow` or all kinds of chance, one after the other; all tasks at once, each by
    its own scores on at most 42 places of the validation part. The net draws as was chosen from then on."""
    trials = _Trials(net, stack, split, bands)
    dials = OF_FLOW if isinstance(net, Flow) else [Dial(kind, FACTORS) for kind in net.chances]
    learned: How = {dial.name: dial.options[0] for dial in dials}
    now = dict.fromkeys(trials.cases, learned)
    for name, options, asked in dials:
        of = [task for task in now if asked is None or asked == (task in trials.areas)]
        tried: dict[str, dict[float, Mapping[str, float]]] = {task: {} for task in of}
        for at, option in enumerate(options):
            last = option == options[-1]
            still = [task for task in of if not last or best_factor(tried[task]) == options[at - 1]]
            for task, scores in trials.of({task: {**now[task], name: option} for task in still}).items():
                tried[task][option] = scores
        now |= {task: {**now[task], name: best_factor(tried[task])} for task in of}
    trials.draw(now)
    for task, how in now.items():
        told = ", ".join(f"{name} {value:g}" for name, value in how.items() if value != learned[name])
        log.info("futures of %s: %s", task, told or "as learned")


def best_factor(scores: Mapping[float, Mapping[str, float]]) -> float:
    """Of factors whose CRPS of the changed area and of NDVI, each over that of the first one, are as good as the best
    on their mean, or within two hundredths of it, the one whose two 80 % intervals hold nearest to 80 %, by the root of
    the mean square; of equals the first."""
    plain = next(iter(scores.values()))
    worth = {f: np.mean([(of[s] + _LEAST) / (plain[s] + _LEAST) for s in _SCORES]) for f, of in scores.items()}
    least = min(worth.values())
    good = [f for f in scores if worth[f] <= least + _AS_GOOD]
    return min(good, key=lambda f: round(_off(scores[f]), 6))


class _Trials:
    """Scores of futures under each task by how they were drawn. What was drawn already is not drawn again. areas: the
    shares that are asked for, as they were fitted."""

    def __init__(self, net: FutureNet, stack: xr.Dataset, split: Split, bands: Sequence[Band]) -> None:
        self.net, self.bands, self.judge = net, bands, SuiteJudge(stack, net, 0)
        self.areas: Areas = net.areas if isinstance(net, Flow) else {}
        cases = [c for c in self.judge.cases(split, "validation") if c.task not in CERTAIN]
        self.cases = {
            task: _some_places([c for c in cases if c.task == task]) for task in dict.fromkeys(c.task for c in cases)
        }
        self.found: dict[tuple[str, tuple[float, ...]], Mapping[str, float]] = {}

    def draw(self, how: Mapping[str, How]) -> None:
        """Lets the net draw like that; other tasks as learned."""
        wide = {task: [of[kind] for kind in self.net.chances] for task, of in how.items()}
        self.net.spread = {task: factors for task, factors in wide.items() if set(factors) != {1.0}}
        if isinstance(self.net, Flow):
            self.net.shrink = {task: of["shrink"] for task, of in how.items() if of["shrink"]}
            tabled = {task: of for task, of in how.items() if task in self.areas}
            self.net.keep_areas(
                {task: with_chance(self.areas[task], of["share"], of["strength"]) for task, of in tabled.items()}
            )

    def of(self, how: Mapping[str, How]) -> dict[str, Mapping[str, float]]:
        """By task, the mean of each metric over its cases."""
        key = {task: (task, tuple(of.values())) for task, of in how.items()}
        new = [task for task in how if key[task] not in self.found]
        cases = [case for task in new for case in self.cases[task]]
        if cases:
            self.draw({task: how[task] for task in new})
            name = f"spread {len(self.found) // len(self.cases) + 1}"
            suites = self.judge.of_net(cases, self.bands, samples=VALIDATION_SAMPLES, workers=2, name=name)
            values, _ = case_values(suites)
            tasks = np.array([case.task for case in cases])
            for task in new:
                means = {metric: float(values[metric][tasks == task].mean()) for metric in (*_SCORES, *_COVERAGES)}
                self.found[key[task]] = means
        return {task: self.found[key[task]] for task in how}


def _off(scores: Mapping[str, float]) -> float:
    return float(np.sqrt(np.mean([(scores[name] - AIM) ** 2 for name in _COVERAGES])))


def _some_places(cases: Sequence[Case]) -> list[Case]:
    """Those of at most _MOST_PLACES places, spread over the order of the stack, so over its regions."""
    places = list(dict.fromkeys(case.place for case in cases))
    kept = set(places[:: max(1, -(-len(places) // _MOST_PLACES))])
    return [case for case in cases if case.place in kept]
