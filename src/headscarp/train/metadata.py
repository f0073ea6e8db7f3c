"""What is told of places without looking at them: the class of each from position, date, rain and soil moisture alone.

A net has to beat that, and where position or dates alone tell the class, a collection gives its classes away by where
and when it was gathered. Squares of ground are judged by what was fitted on others. Refuses what has no classes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from headscarp.core.artefact import check_output, write_json
from headscarp.core.dates import TURN_PER_DAY
from headscarp.core.errors import StackError
from headscarp.core.provenance import describe_input, made_by
from headscarp.core.samples import class_codes, class_names
from headscarp.core.stack import fingerprint
from headscarp.evaluation.hazards import Floats
from headscarp.evaluation.kinds import KindSaid, KindTruth, kind_confusion, kind_scores
from headscarp.evaluation.tables import rows_of, write_table
from headscarp.nets.metadata import NAMES
from headscarp.sources.inventory.files import read_inventory
from headscarp.tiles.dataset import as_stack
from headscarp.tiles.series import has_frames, read_series
from headscarp.train.kinds import KindsEvaluation

FOLDS = 5
FEWEST = 10
"""Places that a class needs; smaller ones count as not known."""
_ALL, _MAJORITY = "all", "majority"
_POSITION = ("latitude:sin", "latitude:cos", "longitude:sin", "longitude:cos", "elevation_m")


@dataclass(frozen=True)
class Told:
    """What is told of N places. groups: by name (position, date, weather), (N, F) numbers, NaN where unknown. kind:
    (N,) number of the class in `names`, -1 unknown. latitude, longitude: (N,) degrees."""

    groups: Mapping[str, Floats]
    kind: NDArray[np.int64]
    names: tuple[str, ...]
    latitude: Floats
    longitude: Floats


def judge_metadata(
    source: str | Path,
    *,
    out: str | Path | None = None,
    square_deg: float = 1.0,
    seed: int = 0,
    overwrite: bool = False,
) -> KindsEvaluation:
    """Gradient boosting on each group of numbers and on all of them, beside the majority, with 95 % intervals.

    source: a stack of samples with classes, or an inventory of dated points with causes. square_deg: side of the
    squares that are dealt whole into FOLDS folds, and resampled. Raises StackError, SourceError, OutputError.
    """
    folder = check_output(out, overwrite=overwrite) if out is not None else None
    if not 0 < square_deg <= 90:
        raise StackError(f"squares are {square_deg:g} degrees; needed: above 0 and at most 90, such as 1")
    told, given = _read(Path(source))
    known = np.flatnonzero((told.kind >= 0) & np.isfinite(told.latitude) & np.isfinite(told.longitude))
    corners = [np.floor(v[known] / square_deg).astype(np.int64) for v in (told.latitude, told.longitude)]
    square = np.unique(np.stack(corners, axis=1), axis=0, return_inverse=True)[1].reshape(len(known))
    if len(np.unique(square)) < FOLDS:
        raise StackError(
            f"the places lie in {len(np.unique(square))} squares of {square_deg:g} degrees; needed: {FOLDS} or more, "
            "so take smaller squares"
        )
    kind, count = told.kind[known], len(told.names)
    fold = _folds(square, kind, seed)
    inputs = {name: values[known] for name, values in told.groups.items() if np.isfinite(values[known]).any()}
    inputs[_ALL] = np.concatenate(list(inputs.values()), axis=1)
    shares = np.maximum(np.bincount(kind, minlength=count), 1) / len(kind)
    p = {name: _by_trees(x, kind, fold, count) for name, x in inputs.items()}
    p[_MAJORITY] = np.tile(shares / shares.sum(), (len(kind), 1))
    truth = KindTruth(known, kind, np.full(len(kind), ""), square, told.names)
    said = {(name, "test"): KindSaid(p[name], shares) for name in (_ALL, *(n for n in p if n != _ALL))}
    rows = []
    for (name, part), of_part in said.items():
        rows += rows_of(name, "squares", part, kind_scores(of_part, truth, np.random.default_rng(seed)))
    evaluation = KindsEvaluation(_ALL, "squares", tuple(rows), {"test": truth}, said)
    if folder is not None:
        write_table(rows, folder)
        confusion = kind_confusion(said[_ALL, "test"], truth).tolist()
        settings = {"classes": list(told.names), "square_deg": square_deg, "folds": FOLDS, "confusion": confusion}
        write_json(folder / "made.json", {"made": made_by("metadata", settings=settings, inputs=[given], seed=seed)})
    return evaluation


def _read(source: Path) -> tuple[Told, Mapping[str, object]]:
    """What is told, and the source as provenance names it."""
    if source.is_dir():
        stack = as_stack(source)
        return _of_stack(stack), {"stack": fingerprint(stack)}
    table = read_inventory(source).table
    points = table[table.geometry.notna()]
    angle = TURN_PER_DAY * (points["date"].dt.day_of_year.to_numpy(np.float64) - 1)
    latitude, longitude = points.geometry.y.to_numpy(np.float64), points.geometry.x.to_numpy(np.float64)
    turn = np.deg2rad(longitude)
    groups = {
        "position": np.stack([latitude, np.sin(turn), np.cos(turn)], axis=1),
        "date": np.stack([np.sin(angle), np.cos(angle)], axis=1),
    }
    kind, names = _codes(points["cause"].replace("unknown", "").astype(str))
    return Told(groups, kind, names, latitude, longitude), describe_input(source)


def _of_stack(stack: xr.Dataset) -> Told:
    if len(class_names(stack)) < 2 or not has_frames(stack) or not {"latitude", "longitude"} <= set(stack.variables):
        raise StackError(
            f"the stack has {len(class_names(stack))} classes of places, and needs two or more, frames, and positions: "
            "build it with headscarp domains build"
        )
    still = read_series(stack).metadata[:, 0].astype(np.float64)
    columns_of = {
        "position": _POSITION,
        "date": tuple(name for name in NAMES if name.startswith("cut-off:")),
        "weather": tuple(name for name in NAMES if name.endswith("before the cut-off")),
    }
    names = np.array(["", *class_names(stack)], object)[class_codes(stack) + 1]
    if "event_id" in stack.variables:  # the same event at several cut-offs is one event: the first is nearest to it
        repeated = pd.Series([str(v) for v in stack["event_id"].to_numpy()]).duplicated().to_numpy()
        names = np.where(repeated, "", names)
    kind, held = _codes(pd.Series(names))
    numbers = {name: still[:, [NAMES.index(one) for one in columns]] for name, columns in columns_of.items()}
    numbers["date"] = np.concatenate([numbers["date"], _days_seen(stack)], axis=1)
    at = (np.asarray(stack[name].to_numpy(), np.float64) for name in ("latitude", "longitude"))
    return Told(numbers, kind, held, *at)


def _days_seen(stack: xr.Dataset) -> Floats:
    """(S, 2) days from the cut-off to the first frame and to the last: when a place was looked at."""
    days = np.asarray(stack["days"].to_numpy(), np.float64)
    there = np.isfinite(days)
    ends = np.stack([np.where(there, days, np.inf).min(axis=1), np.where(there, days, -np.inf).max(axis=1)], axis=1)
    return np.where(np.isfinite(ends), ends, np.nan)


def _codes(classes: pd.Series) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Number of the class of each, -1 where it is not known or has fewer than FEWEST places; and their names."""
    counts = classes[classes != ""].value_counts()
    names = tuple(sorted(str(name) for name, count in counts.items() if count >= FEWEST))
    if len(names) < 2:
        raise StackError(
            f"{len(names)} classes have {FEWEST} places or more ({', '.join(names) or 'none'}); needed: two, so there "
            "is nothing to tell apart here"
        )
    return np.array([names.index(name) if name in names else -1 for name in classes], np.int64), names


def _folds(square: NDArray[np.int64], kind: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    from sklearn.model_selection import StratifiedGroupKFold

    fold = np.zeros(len(square), np.int64)
    cut = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    for k, (_, judged) in enumerate(cut.split(square, kind, square)):
        fold[judged] = k
    return fold


def _by_trees(x: Floats, kind: NDArray[np.int64], fold: NDArray[np.int64], classes: int) -> Floats:
    """(N, K) probabilities of each place by what was fitted on the other folds."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    made = np.full((len(kind), classes), 1e-6)
    for k in np.unique(fold):
        train, judged = fold != k, fold == k
        model = HistGradientBoostingClassifier(
            learning_rate=0.05, max_iter=80, max_leaf_nodes=8, min_samples_leaf=10, early_stopping=False, random_state=0
        )
        told = [i for i, column in enumerate(x[train].T) if len(np.unique(column[np.isfinite(column)])) > 1]
        if not told or len(np.unique(kind[train])) < 2:
            shares = np.bincount(kind[train], minlength=classes)
            made[judged] += shares / shares.sum()
            continue
        model.fit(x[train][:, told], kind[train])
        made[np.ix_(judged, model.classes_)] += model.predict_proba(x[judged][:, told])
    return made / made.sum(axis=1, keepdims=True)
