"""The verb evaluate for nets that judge classes of places: beside the majority class and a random forest.

Both are fitted on the training samples of the bundle's own split, so that all have seen the same. Sets of classes are
fitted on the validation part. Refuses stacks whose samples have no classes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from headscarp.core.artefact import write_json
from headscarp.core.bundle import Bundle, as_bundle
from headscarp.core.provenance import made_by
from headscarp.core.samples import class_codes
from headscarp.core.stack import feature_bands, fingerprint
from headscarp.core.tile import Window
from headscarp.evaluation.hazards import Floats
from headscarp.evaluation.kinds import KindSaid, KindTruth, kind_confusion, kind_scores, kind_truth, run_kinds
from headscarp.evaluation.opened import open_to_judge
from headscarp.evaluation.places import samples_of
from headscarp.evaluation.selective import COVERAGE, set_cut
from headscarp.evaluation.tables import PARTS, Judged, rows_of, write_table
from headscarp.nets import NETS, net_from_bundle
from headscarp.nets.net import Net
from headscarp.tiles.dataset import as_stack, raster_shape, read_window
from headscarp.tiles.series import read_series
from headscarp.tiles.splits import Split
from headscarp.tiles.statistics import class_shares

_QUANTILES = (0.1, 0.5, 0.9)


@dataclass(frozen=True)
class KindsEvaluation(Judged):
    """What was found. rows: the tidy table. said: by name and part; truth: by part."""

    truth: Mapping[str, KindTruth] = field(repr=False)
    said: Mapping[tuple[str, str], KindSaid] = field(repr=False)

    @property
    def names(self) -> list[str]:
        """The net, then its opponents."""
        return list(dict.fromkeys(row.net for row in self.rows))

    @property
    def text(self) -> str:
        """What a person wants to read first."""
        told = [
            f"{name} {row.value:.3f} [{row.low:.3f}, {row.high:.3f}]"
            for name in self.names
            for row in (self.value("macro_f1", net=name),)
        ]
        auroc, right, most = self.value("auroc"), self.value("accuracy"), self.value("accuracy", net="majority")
        beside = f", always saying the commonest class {most.value:.3f}" if np.isfinite(most.value) else ""
        return (
            f"{self.net}, {self.split} split, test part: macro F1 {', '.join(told)}. AUROC, each class against the "
            f"others, {auroc.value:.3f} [{auroc.low:.3f}, {auroc.high:.3f}]; accuracy {right.value:.3f}{beside}."
        )


def judges_classes(bundle: Bundle | str | Path) -> bool:
    """Whether a bundle's net judges classes of places, so that `judge_kinds` scores it and not `evaluate`."""
    bundle = as_bundle(bundle)
    return bundle.net in NETS and NETS[bundle.net].judges_classes


def judge_kinds(
    bundle: Bundle | str | Path,
    stack: xr.Dataset | str | Path,
    *,
    out: str | Path | None = None,
    split: Split | str | Path | None = None,
    parts: Sequence[str] = PARTS,
    opponents: bool = True,
    workers: int | None = None,
    seed: int = 0,
    overwrite: bool = False,
) -> KindsEvaluation:
    """Scores a bundle on samples of a stack with classes, with 95 % intervals from a bootstrap over neighbourhoods.

    split: default is the one the bundle was trained with. out: folder for metrics.csv and metrics.json. Raises
    StackError where the stack does not fit the bundle or has other classes, SplitError.
    """
    bundle = as_bundle(bundle)
    stack = as_stack(stack)
    opened = open_to_judge(bundle, stack, split=split, out=out, overwrite=overwrite)
    fit, split, folder = opened.fit, opened.split, opened.folder
    net = net_from_bundle(bundle)
    asked = [part for part in parts if split.part(part)]
    needed = list(dict.fromkeys([*asked, *(["validation"] if split.part("validation") else [])]))
    truth = {part: kind_truth(stack, samples_of(split, part)) for part in needed}
    shares = np.array(list(class_shares(stack, split).values()))
    p = {
        (bundle.net, part): run_kinds(net, stack, split, part, bands=fit.bands, workers=workers or 2) for part in needed
    }
    if opponents:
        p |= _opposed(stack, split, truth)
    said = {key: KindSaid(values, shares, _cut(p, truth, key[0])) for key, values in p.items() if key[1] in asked}
    rows = []
    for (name, part), of_part in said.items():
        rows += rows_of(name, split.kind, part, kind_scores(of_part, truth[part], np.random.default_rng(seed)))
    evaluation = KindsEvaluation(bundle.net, split.kind, tuple(rows), truth, said)
    if folder is not None:
        write_table(rows, folder)
        counts = kind_confusion(said[bundle.net, asked[-1]], truth[asked[-1]]).tolist()
        settings = {"net": bundle.net, "parts": asked, "confusion": {asked[-1]: counts}, "set_coverage": COVERAGE}
        made = made_by("evaluate", settings=settings, inputs=[{"stack": fingerprint(stack)}], seed=seed)
        write_json(folder / "made.json", {"made": made})
    return evaluation


def judged_kinds(bundle: Bundle, net: Net, stack: xr.Dataset, split: Split) -> Bundle:
    """The bundle with metrics of the validation part."""
    truth = kind_truth(stack, samples_of(split, "validation"))
    shares = np.array(list(class_shares(stack, split).values()))
    said = KindSaid(run_kinds(net, stack, split, "validation", bands=bundle.bands), shares)
    scores = kind_scores(said, truth, np.random.default_rng(0))
    cut = {"set_cut": set_cut(said.p, truth.holds)}
    rows = rows_of(bundle.net, split.kind, "validation", {**scores, **cut})
    return replace(bundle, metrics=tuple(vars(row) for row in rows))


def majority(table: Floats, kind: NDArray[np.int64], train: NDArray[np.int64], classes: int) -> Floats:
    """The share of each class in training, everywhere."""
    counts = np.maximum(np.bincount(kind[train], minlength=classes), 1)
    return np.tile(counts / counts.sum(), (len(table), 1))


def forest(table: Floats, kind: NDArray[np.int64], train: NDArray[np.int64], classes: int) -> Floats:
    """A random forest of 500 trees on statistics of each band: of the first frame, of the last, of the difference."""
    from sklearn.ensemble import RandomForestClassifier

    usual = np.nan_to_num(np.nanmean(np.where(np.isfinite(table[train]), table[train], np.nan), axis=0))
    x = np.where(np.isfinite(table), table, usual)
    model = RandomForestClassifier(500, min_samples_leaf=2, random_state=0).fit(x[train], kind[train])
    made = np.full((len(table), classes), 1e-6)
    made[:, model.classes_] = model.predict_proba(x)
    return made / made.sum(axis=1, keepdims=True)


KIND_OPPONENTS: dict[str, Callable[[Floats, NDArray[np.int64], NDArray[np.int64], int], Floats]] = {
    "majority": majority,
    "forest": forest,
}
"""Statistics of all samples, their classes, the samples that train, and how many classes there are -> probabilities."""


def kind_table(stack: xr.Dataset) -> Floats:
    """(S, F) of each continuous band: mean, deviation and quantiles of the first frame, of the last, and of what lies
    between them, pixel by pixel; NaN where there is none."""
    present, shape = read_series(stack).present, raster_shape(stack)
    bands = [
        band.name for band in feature_bands(stack) if band.kind == "continuous" and "time" in stack[band.name].dims
    ]
    whole, rows = Window(0, 0, *shape), []
    for sample, there in enumerate(present):
        slots = np.flatnonzero(there)[[0, -1]] if there.any() else np.array([0, 0])
        row: list[float] = []
        for name in bands:
            row += pair_statistics(*np.asarray(read_window(stack[name], whole, sample=sample))[slots])
        rows.append(row)
    return np.array(rows)


def pair_statistics(first: NDArray[np.floating], last: NDArray[np.floating]) -> list[float]:
    """Mean, deviation and quantiles of a band before, after, and of what lies between them; NaN where there is none."""
    first, last = np.asarray(first, np.float64), np.asarray(last, np.float64)
    row: list[float] = []
    for plane in (first, last, last - first):
        finite = plane[np.isfinite(plane)]
        found = [finite.mean(), finite.std(), *np.quantile(finite, _QUANTILES)] if finite.size else [np.nan] * 5
        row += [float(value) for value in found]
    return row


def _opposed(stack: xr.Dataset, split: Split, truth: Mapping[str, KindTruth]) -> dict[tuple[str, str], Floats]:
    table, kind = kind_table(stack), class_codes(stack)
    train = np.array([sample for sample in samples_of(split, "train") if kind[sample] >= 0], np.int64)
    names = next(iter(truth.values())).names
    found: dict[tuple[str, str], Floats] = {}
    for name, opponent in KIND_OPPONENTS.items():
        p = opponent(table, kind, train, len(names))
        found |= {(name, part): p[of_part.sample] for part, of_part in truth.items()}
    return found


def _cut(p: Mapping[tuple[str, str], Floats], truth: Mapping[str, KindTruth], name: str) -> float:
    """From which probability on a class is in the sets of this name, by the validation part."""
    if (name, "validation") not in p:
        return float("nan")
    return set_cut(p[name, "validation"], truth["validation"].holds)
