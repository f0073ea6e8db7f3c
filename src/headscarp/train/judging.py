"""The verb evaluate for nets that judge places: beside its opponents and the law, by region, with the gap between them.

Opponents are fitted on the training samples of the bundle's own split, so that all have seen the same. Refuses stacks
that do not say what came.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from headscarp.core.artefact import write_json
from headscarp.core.bundle import Bundle, as_bundle
from headscarp.core.domains import CAUSES, HORIZONS_DAYS
from headscarp.core.provenance import made_by
from headscarp.core.stack import fingerprint
from headscarp.evaluation.hazards import ALARM_BUDGET, Floats
from headscarp.evaluation.intervals import Interval
from headscarp.evaluation.opened import open_to_judge
from headscarp.evaluation.places import Said, Truth, gap, hazard_scores, lead, run_places, samples_of, truth_of
from headscarp.evaluation.tables import PARTS, Judged, MetricRow, rows_of, write_table
from headscarp.nets import NETS, net_from_bundle
from headscarp.nets.net import Net
from headscarp.tiles.dataset import as_stack
from headscarp.tiles.series import with_delay
from headscarp.tiles.splits import Split
from headscarp.train.confidence import confidence_rows
from headscarp.train.opponents import OPPONENTS, place_table

LAW = "law"
GAP_METRICS = ("average_precision", "log_skill", "auroc")


@dataclass(frozen=True)
class PlacesEvaluation(Judged):
    """What was found. rows: the tidy table. said: by name and part, what the net and its opponents said; truth: by
    part, what came."""

    truth: Mapping[str, Truth] = field(repr=False)
    said: Mapping[tuple[str, str], Said] = field(repr=False)

    @property
    def names(self) -> list[str]:
        """The net, then its opponents and the law."""
        return list(dict.fromkeys(row.net for row in self.rows))

    def leads(self, metric: str, *, part: str = "test", seed: int = 0) -> dict[str, Interval]:
        """By opponent, how far the net is ahead of it in a metric such as "average_precision 30 d"."""
        ours, rng = self.said[self.net, part], np.random.default_rng
        return {
            name: lead(ours, self.said[name, part], self.truth[part], metric, rng(seed))
            for name in self.names
            if name not in (self.net, LAW) and (name, part) in self.said
        }

    @property
    def cause_cuts(self) -> Floats:
        """(6,) from which probability on each cause is said: as fitted on the validation part, else 0.5."""
        found = [self.value(f"cause_cut: {cause}", part="validation").value for cause in CAUSES]
        return np.where(np.isfinite(found), found, 0.5)

    @property
    def text(self) -> str:
        """What a person wants to read first."""
        days, shown = 30, ("average_precision", "log_skill", "calibration_slope")
        ap, skill, slope = (self.value(f"{metric} {days} d") for metric in shown)
        rivals = [name for name in self.names if name not in (self.net, LAW) and (name, "test") in self.said]
        best = max(rivals, key=lambda n: np.nan_to_num(self.value(ap.metric, net=n).value), default="")
        beside = f"; the best opponent, {best}, has {self.value(ap.metric, net=best).value:.3f}" if best else ""
        if best:
            ahead = self.leads(ap.metric)[best]
            sure = "ahead of it" if ahead.low > 0 else "not surely ahead of it"
            beside += f": {sure}, by {ahead.value:.3f} [{ahead.low:.3f}, {ahead.high:.3f}]"
        verdict = "better than" if skill.low > 0 else "not surely better than"
        return (
            f"{self.net}, {self.split} split, test part, {days} days: average precision {ap.value:.3f} "
            f"[{ap.low:.3f}, {ap.high:.3f}]{beside}. Log-skill {skill.value:.3f} [{skill.low:.3f}, {skill.high:.3f}]: "
            f"{verdict} the best constant. Calibration slope {slope.value:.2f}."
        )


def judges_places(bundle: Bundle | str | Path) -> bool:
    """Whether a bundle's net judges places, so that `judge_places` scores it and not `evaluate`."""
    bundle = as_bundle(bundle)
    return bundle.net in NETS and NETS[bundle.net].judges_places


def judge_places(
    bundle: Bundle | str | Path,
    stack: xr.Dataset | str | Path,
    *,
    out: str | Path | None = None,
    split: Split | str | Path | None = None,
    parts: Sequence[str] = PARTS,
    delay_days: float | None = None,
    opponents: bool = True,
    workers: int | None = None,
    seed: int = 0,
    overwrite: bool = False,
) -> PlacesEvaluation:
    """Scores a bundle on samples of a stack of domains, with 95 % intervals from a bootstrap over places in regions.

    split: default is the one the bundle was trained with. out: folder for metrics.csv and metrics.json.
    delay_days: how late everything was published; None: as known of each source. opponents: fit and score them too.
    Raises StackError where the stack does not fit the bundle or does not say what came, SplitError.
    """
    bundle = as_bundle(bundle)
    stack = with_delay(as_stack(stack), delay_days)
    opened = open_to_judge(bundle, stack, split=split, out=out, overwrite=overwrite)
    fit, split, folder = opened.fit, opened.split, opened.folder
    net = net_from_bundle(bundle)
    parts = [part for part in parts if split.part(part)]
    said = {
        (bundle.net, part): run_places(net, stack, split, part, bands=fit.bands, workers=workers or 2) for part in parts
    }
    truth = {part: truth_of(stack, samples_of(split, part)) for part in parts}
    if opponents:
        said |= opposed(stack, split, parts)
    said |= _by_law(stack, truth)
    rows = place_rows(said, truth, split.kind, seed=seed)
    rows += region_rows(said, truth, split.kind, bundle.net, seed=seed)
    rows += confidence_rows(said, truth, split.kind, bundle.net, seed=seed)
    evaluation = PlacesEvaluation(bundle.net, split.kind, tuple(rows), truth, said)
    if folder is not None:
        write_table(rows, folder)
        settings = {"net": bundle.net, "parts": list(parts), "delay_days": delay_days, "alarm_budget": ALARM_BUDGET}
        made = made_by("evaluate", settings=settings, inputs=[{"stack": fingerprint(stack)}], seed=seed)
        write_json(folder / "made.json", {"made": made})
    return evaluation


def judged_bundle(bundle: Bundle, net: Net, stack: xr.Dataset, split: Split) -> Bundle:
    """The bundle with metrics of the validation part, and as threshold the 30-day hazard from which on there is alarm.

    That of the likeliest ALARM_BUDGET of validation samples.
    """
    said = run_places(net, stack, split, "validation", bands=bundle.bands, label="judging")
    truth = truth_of(stack, samples_of(split, "validation"))
    of_part = {(bundle.net, "validation"): said}, {"validation": truth}
    rows = place_rows(*of_part, split.kind) + confidence_rows(*of_part, split.kind, bundle.net)
    threshold = float(np.quantile(said.hazards[:, HORIZONS_DAYS.index(30)], 1 - ALARM_BUDGET))
    return replace(bundle, threshold=threshold, metrics=tuple(vars(row) for row in rows))


def opposed(stack: xr.Dataset, split: Split, parts: Sequence[str]) -> dict[tuple[str, str], Said]:
    """What every opponent says of the samples of each part, fitted on the training part."""
    table = place_table(stack)
    train = np.asarray(samples_of(split, "train"))
    found: dict[tuple[str, str], Said] = {}
    for name, opponent in OPPONENTS.items():
        hazards = opponent(table, train)
        found |= {(name, part): Said(hazards[samples_of(split, part)]) for part in parts}
    return found


def _by_law(stack: xr.Dataset, truth: Mapping[str, Truth]) -> dict[tuple[str, str], Said]:
    """The best that can be said, where the world is simulated and tells its law of every sample of a part."""
    if LAW not in stack.variables:
        return {}
    law = stack[LAW].to_numpy().astype(np.float64)
    found = {(LAW, part): Said(law[came.sample]) for part, came in truth.items()}
    return {key: said for key, said in found.items() if np.isfinite(said.hazards).all()}


def place_rows(
    said: Mapping[tuple[str, str], Said], truth: Mapping[str, Truth], kind: str, *, seed: int = 0
) -> list[MetricRow]:
    """The rows of each name on each part; the same resamples for all."""
    rows = []
    for (name, part), of_part in said.items():
        rows += rows_of(name, kind, part, hazard_scores(of_part, truth[part], np.random.default_rng(seed)))
    return rows


def region_rows(
    said: Mapping[tuple[str, str], Said], truth: Mapping[str, Truth], kind: str, net: str, *, seed: int = 0
) -> list[MetricRow]:
    """The net in each region of the test and the validation part, and the gap from the second to the first.

    Where a region is held out, the validation part is places of the known ones; it has chosen weights and calibration,
    so the gap is rather too large than too small.
    """
    rows = []
    for part in ("validation", "test"):
        if (net, part) not in said:
            continue
        for region in np.unique(truth[part].region):
            here = truth[part].region == region
            those = _only(said[net, part], here), _truth_only(truth[part], here)
            scores = hazard_scores(*those, np.random.default_rng(seed))
            rows += rows_of(net, kind, f"region: {region}", scores)
    if kind == "regions" and {(net, "test"), (net, "validation")} <= set(said):
        pairs = [(said[net, part], truth[part]) for part in ("test", "validation")]
        for metric in GAP_METRICS:
            for days in HORIZONS_DAYS:
                name = f"{metric} {days} d"
                found = gap(pairs[0], pairs[1], name, np.random.default_rng(seed))
                rows += rows_of(net, kind, "test", {f"gap: {name}": found})
    return rows


def cause_confusion(said: Said, truth: Truth, cuts: Floats | float = 0.5) -> NDArray[np.int64]:
    """(6, 7): of the samples where cause i holds, how often cause j is said; last, none is said. cuts: (6,) from which
    probability on each is said."""
    assert said.causes is not None
    called = said.causes >= cuts
    called = np.concatenate([called, ~called.any(axis=1, keepdims=True)], axis=1)
    return np.stack([called[truth.causes[:, k] == 1].sum(axis=0) for k in range(len(CAUSES))])


def _only(said: Said, rows: NDArray[np.bool_]) -> Said:
    return Said(*(None if v is None else v[rows] for v in vars(said).values()))  # type: ignore[arg-type]


def _truth_only(truth: Truth, rows: NDArray[np.bool_]) -> Truth:
    return Truth(*(v[rows] for v in vars(truth).values()))
