"""How wide chance is where futures are drawn, chosen after training on places of the validation part.

A net that was trained for a short time or on few places draws futures that are too alike, and on the places that it
learned from nobody sees that. Noise that is wider, by a factor of its own for each task, makes up for some of it.
Refuses nets without chance.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import xarray as xr

from headscarp.core.band import Band
from headscarp.core.bundle import Bundle, as_bundle
from headscarp.core.errors import BundleError
from headscarp.core.progress import log
from headscarp.core.scenarios import check_scenarios
from headscarp.core.stack import with_label
from headscarp.evaluation.suites import Suites, case_values
from headscarp.nets import NETS, net_from_bundle
from headscarp.nets.futures import FutureNet
from headscarp.tiles.dataset import as_stack
from headscarp.tiles.fits import check_fits
from headscarp.tiles.pairs import as_scenes, is_pairs
from headscarp.tiles.splits import Split, split_from_json
from headscarp.train.cases import Case
from headscarp.train.suites import CERTAIN, VALIDATION_SAMPLES, SuiteJudge, judged_futures

FACTORS = (1.0, 1.4, 2.0)
"""What is tried. 1 leaves futures as they were learned."""
AIM = 0.8
_AS_GOOD = 0.02  # how much worse the scores may be for intervals that hold more rightly
_MOST_PLACES = 21
_SCORES, _COVERAGES = ("crps_area", "crps_ndvi"), ("coverage_80_area", "coverage_80_ndvi")
_LEAST = 1e-4

Spread = dict[str, list[float]]


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
    stack = as_stack(stack)
    stack = with_label(check_scenarios(as_scenes(stack) if is_pairs(stack) else stack), bundle.label)
    check_fits(bundle, stack)
    return stack


def spread_bundle(bundle: Bundle, net: FutureNet, stack: xr.Dataset, split: Split) -> Bundle:
    """The same of a bundle and its net in hand. The net draws as wide as was chosen from then on."""
    net.spread = chosen_spread(net, stack, split, bundle.bands)
    return judged_futures(replace(bundle, arguments=net.arguments()), net, stack, split)


def chosen_spread(net: FutureNet, stack: xr.Dataset, split: Split, bands: Sequence[Band]) -> Spread:
    """By task, a factor for each kind of chance of a net: see `FutureNet.spread_of`. Tasks that keep 1 are left out.

    Kinds are gone through from the last one, which for `flow` says how far a task goes; all tasks at once, each by its
    own scores on at most 21 places of the validation part.
    """
    judge = SuiteJudge(stack, net, 0)
    cases = _some_places([c for c in judge.cases(split, "validation") if c.task not in CERTAIN])
    spread = {task: [1.0] * net.chances for task in dict.fromkeys(case.task for case in cases)}
    found: dict[tuple[float, ...], dict[str, Mapping[str, float]]] = {}
    for kind in reversed(range(net.chances)):
        tried = {}
        for factor in FACTORS:
            net.spread = {task: [*now[:kind], factor, *now[kind + 1 :]] for task, now in spread.items()}
            if factor == 1.0 and found:  # drawn already
                tried[factor] = {task: found[tuple(net.spread[task])][task] for task in spread}
                continue
            suites = judge.of_net(cases, bands, samples=VALIDATION_SAMPLES, workers=2, name=f"spread {factor:g}")
            tried[factor] = _scores(suites, cases)
            for task, factors in net.spread.items():
                found.setdefault(tuple(factors), {})[task] = tried[factor][task]
        for task, now in spread.items():
            now[kind] = best_factor({factor: scores[task] for factor, scores in tried.items()})
    chosen = {task: factors for task, factors in spread.items() if set(factors) != {1.0}}
    log.info("spread: %s", ", ".join(f"{t} {' '.join(f'{f:g}' for f in fs)}" for t, fs in chosen.items()) or "all 1")
    return chosen


def best_factor(scores: Mapping[float, Mapping[str, float]]) -> float:
    """Of factors whose CRPS of the changed area and of NDVI, each over that of factor 1, are as good as the best on
    their mean, or within two hundredths of it, the one whose 80 % intervals hold nearest to 80 %; of equals the one
    nearest to 1."""
    plain = scores[1.0]
    worth = {f: np.mean([(of[s] + _LEAST) / (plain[s] + _LEAST) for s in _SCORES]) for f, of in scores.items()}
    least = min(worth.values())
    good = [f for f in scores if worth[f] <= least + _AS_GOOD]
    return min(good, key=lambda f: (round(_off(scores[f]), 6), abs(np.log(max(f, 1e-9)))))


def _off(scores: Mapping[str, float]) -> float:
    return float(np.mean([abs(scores[name] - AIM) for name in _COVERAGES]))


def _scores(suites: Suites, cases: Sequence[Case]) -> dict[str, Mapping[str, float]]:
    """By task, the mean of each metric over its cases."""
    values, _ = case_values(suites)
    return {
        task: {name: float(values[name][at].mean()) for name in (*_SCORES, *_COVERAGES)} for task, at in _by_task(cases)
    }


def _by_task(cases: Sequence[Case]) -> Iterator[tuple[str, list[int]]]:
    for task in dict.fromkeys(case.task for case in cases):
        yield task, [i for i, case in enumerate(cases) if case.task == task]


def _some_places(cases: Sequence[Case]) -> list[Case]:
    """Those of at most 21 places, spread over the order of the stack, so over its regions."""
    places = list(dict.fromkeys(case.place for case in cases))
    kept = set(places[:: max(1, -(-len(places) // _MOST_PLACES))])
    return [case for case in cases if case.place in kept]
