"""From numbers of sites to scores: log odds that each is a mine, one by each way to look, and by all of them together.

Each group of numbers becomes log odds by a logistic regression on sites whose class is known and which no net has
learned from; groups are stacked by another, on log odds that were said out of fold. How strongly each is held back is
chosen by folds of whole neighbourhoods. Refuses to fit on sites of one kind only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headscarp.evaluation.hazards import Floats
from headscarp.evaluation.sites import both_kinds
from headscarp.train.linear import logistic_regression

GROUPS = ("scenarios", "evidence", "latents", "random features", "inpainting", "kind", "forest")
DIRECT, ADDED, ALL = "direct", "direct and scenarios", "all"
STACKS: Mapping[str, tuple[str, ...]] = {
    DIRECT: ("kind", "forest"),
    ADDED: ("kind", "forest", "scenarios", "evidence"),
    ALL: GROUPS,
}
"""Scores that are made of others."""
TOLD, CONSTANT = "dates and position alone", "constant"
"""What is set beside them and never part of them: a forest that sees no pixel, and the same for every site."""
FEWEST = 8
"""Sites of each kind that a score is fitted on at least."""
_FOLDS = 5
_PENALTIES = (0.1, 1.0, 10.0)
_BETTER = {"scenarios": -1.0, "evidence": 1.0, "inpainting": -1.0}
"""What is measured under each task, and whether more of it (1) or less (-1) speaks for the task."""


@dataclass(frozen=True)
class Fitted:
    """Log odds (N,) of all sites by score, and the share of mines among the sites that they were fitted on."""

    scores: Mapping[str, Floats]
    share: float


def can_fit(holds: Floats) -> bool:
    """Whether there are enough sites of both kinds. holds: (F,) 1 or 0 of the sites to fit on."""
    return min(float(holds.sum()), float((1 - holds).sum())) >= FEWEST


def fit_scores(groups: Mapping[str, Floats], holds: Floats, fit: NDArray[np.bool_], place: NDArray[np.int64]) -> Fitted:
    """The scores of groups of numbers, (N, F) each, NaN where unknown; `direct` and the like of the groups there are.

    holds: (N,) 1 a mine, 0 not; counts where fit. fit: (N,) sites that teach; what is said of these is said out of
    fold. place: (N,) neighbourhoods, for folds.
    """
    y, of = holds[fit], place[fit]
    said = {name: _logistic(_filled(table, fit), y, fit, of) for name, table in groups.items()}
    for name, parts in STACKS.items():
        there = [part for part in parts if part in groups]
        if len(there) == 1:
            said[name] = said[there[0]]
        elif there and (name != ADDED or set(there) - set(STACKS[DIRECT])):
            said[name] = _logistic(np.stack([said[part] for part in there], axis=1), y, fit, of)
    said[CONSTANT] = np.zeros(len(holds))
    return Fitted(said, float(y.mean()))


def unfitted(groups: Mapping[str, Floats]) -> Fitted:
    """Ranks without any site of known class: how much better mining explains what came than the others do, by evidence
    where the generator has some, else by the distance to its futures. No probabilities."""
    name = "evidence" if "evidence" in groups else "scenarios"
    better = groups[name][:, -1]
    return Fitted({name: better, ALL: better}, float("nan"))


def grouped(numbers: Mapping[str, Floats], tasks: Sequence[str]) -> dict[str, Floats]:
    """(N, F) tables by group, of numbers (N,) by "group: what"; tasks: the first is that which is looked for.

    Of what was measured under each task only how much better the first does than the mean of the others: how hard a
    site is to explain at all differs far more between sites, and would drown it. Of inpainting also the mean.
    """
    found: dict[str, list[Floats]] = {}
    for name, values in numbers.items():
        group, what = name.split(": ")
        before, _, task = what.rpartition(", ")
        if group not in _BETTER:
            found.setdefault(group, []).append(values)
        elif task == tasks[0]:
            rest = [numbers[f"{group}: {before + ', ' if before else ''}{other}"] for other in tasks[1:]]
            others = np.mean(rest, axis=0)
            more = [np.mean([values, *rest], axis=0)] if group == "inpainting" else []
            found.setdefault(group, []).extend([*more, _BETTER[group] * (values - others)])
    return {name: np.stack(found[name], axis=1) for name in GROUPS if name in found}


def forest_odds(table: Floats, holds: Floats, train: NDArray[np.bool_]) -> Floats:
    """(N,) log odds of a random forest of 500 trees, fitted on the sites that train; 0 where these are of one kind."""
    from sklearn.ensemble import RandomForestClassifier

    if not both_kinds(holds[train]):
        return np.zeros(len(table))
    model = RandomForestClassifier(500, min_samples_leaf=2, random_state=0)
    filled = _filled(table, train)
    p = np.clip(model.fit(filled[train], holds[train]).predict_proba(filled)[:, 1], 1e-3, 1 - 1e-3)
    return np.asarray(np.log(p) - np.log1p(-p))


def _logistic(table: Floats, y: Floats, fit: NDArray[np.bool_], place: NDArray[np.int64]) -> Floats:
    """(N,) log odds of all by a regression on the sites that teach, and of these by those of other folds."""
    penalty = _penalty(table[fit], y, place)
    said = _odds(logistic_regression(C=penalty).fit(table[fit], y), table)
    said[fit] = _out_of_fold(table[fit], y, place, penalty)
    return said


def _penalty(x: Floats, y: Floats, place: NDArray[np.int64]) -> float:
    """The inverse penalty with the lowest loss out of fold."""
    losses = [float(np.logaddexp(0, (1 - 2 * y) * _out_of_fold(x, y, place, c)).mean()) for c in _PENALTIES]
    return _PENALTIES[int(np.argmin(losses))]


def _out_of_fold(x: Floats, y: Floats, place: NDArray[np.int64], penalty: float) -> Floats:
    """(F,) log odds by the folds that a site is not in; of whole neighbourhoods, where there are enough of them."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    several = len(np.unique(place)) >= 2 * _FOLDS
    kind = StratifiedGroupKFold if several else StratifiedKFold
    said = np.zeros(len(y))
    for train, test in kind(_FOLDS, shuffle=True, random_state=0).split(x, y, place if several else None):
        if both_kinds(y[train]):
            said[test] = _odds(logistic_regression(C=penalty).fit(x[train], y[train]), x[test])
    return said


def _odds(model: object, table: Floats) -> Floats:
    return np.asarray(model.decision_function(table), np.float64)  # type: ignore[attr-defined]


def _filled(table: Floats, known: NDArray[np.bool_]) -> Floats:
    """Missing numbers as the mean over the sites that teach; 0 where none has any."""
    there = np.isfinite(table) & known[:, None]
    usual = np.where(there, table, 0.0).sum(axis=0) / np.maximum(there.sum(axis=0), 1)
    return np.where(np.isfinite(table), table, usual)
