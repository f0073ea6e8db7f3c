"""The verb evaluate for nets that make pictures: suites of futures beside what came, and beside plain opponents.

Opponents are those of `suiteopponents`, and other bundles beside it. Refuses stacks that are no scenarios.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from headscarp.core.artefact import write_json, write_text
from headscarp.core.band import Band
from headscarp.core.bundle import Bundle, as_bundle
from headscarp.core.errors import BundleError
from headscarp.core.provenance import made_by
from headscarp.core.scenarios import check_scenarios
from headscarp.core.stack import fingerprint
from headscarp.evaluation.opened import open_to_judge
from headscarp.evaluation.tables import Judged, MetricRow, write_table
from headscarp.nets import NETS, net_from_bundle
from headscarp.nets.futures import FutureNet
from headscarp.nets.net import Net
from headscarp.tiles.dataset import as_stack
from headscarp.tiles.fits import check_fits
from headscarp.tiles.pairs import as_scenes, is_pairs
from headscarp.tiles.splits import Split
from headscarp.train.suitejudge import Example, SuiteJudge
from headscarp.train.suiteopponents import COPY, LAW, NEAREST, check_new_places, opponents_of
from headscarp.train.suiterows import Apart, write_differences

SAMPLES, VALIDATION_SAMPLES = 16, 10
RANKS = "ranks.csv"


@dataclass(frozen=True)
class SuitesEvaluation(Judged):
    """What was found. rows: the tidy table. bands: that were made. examples: by task, of the test part. ranks: by name,
    how often what came had each rank among the members, of the changed area, over uncertain tasks of the test part.
    alike: by task, the same of several places. simulated: whether the places are.
    """

    ranks: Mapping[str, NDArray[np.int64]] = field(repr=False)
    bands: tuple[str, ...] = ()
    examples: Mapping[str, Example] = field(default_factory=dict, repr=False)
    alike: Mapping[str, tuple[Example, ...]] = field(default_factory=dict, repr=False)
    simulated: bool = False

    @property
    def text(self) -> str:
        """What a person wants to read first."""
        crps, iou, area = (self.value(m) for m in ("crps_ndvi", "mask_iou", "coverage_80_area"))
        beside = ", ".join(f"{n} {self.value('crps_ndvi', net=n).value:.4f}" for n in (COPY, NEAREST, LAW))
        covered = f" 80 % intervals hold the changed area in {area.value:.2f} of the cases." if area.value >= 0 else ""
        return (
            f"{self.net}, {self.split} split, test part: fair CRPS of NDVI {crps.value:.4f} [{crps.low:.4f}, "
            f"{crps.high:.4f}]; {beside}. IoU of the one mask {iou.value:.3f} [{iou.low:.3f}, "
            f"{iou.high:.3f}].{covered} Identity is off by {self.value('identity_error').value:.4f}."
        )


def makes_pictures(bundle: Bundle | str | Path) -> bool:
    """Whether a bundle's net makes pictures, so that `judge_suites` scores it and not `evaluate`."""
    bundle = as_bundle(bundle)
    return bundle.net in NETS and NETS[bundle.net].makes_pictures


def judge_suites(
    bundle: Bundle | str | Path,
    stack: xr.Dataset | str | Path,
    *,
    out: str | Path | None = None,
    split: Split | str | Path | None = None,
    parts: Sequence[str] = ("test",),
    trained_on: xr.Dataset | str | Path | None = None,
    beside: Sequence[Bundle | str | Path] = (),
    samples: int = SAMPLES,
    workers: int | None = None,
    seed: int = 0,
    overwrite: bool = False,
) -> SuitesEvaluation:
    """Scores a bundle on the scenarios of a part, with 95 % intervals from a bootstrap over places.

    split: default is the one the bundle was trained with. trained_on: the stack that it learned from, where `stack`
    is another one, of new places: all of these are judged then, as the test part, and the most alike training place is
    looked for in the former. beside: other bundles, judged on the same. out: folder for metrics.csv, metrics.json,
    ranks.csv and differences.csv. samples: pictures of each suite. Raises StackError where the stack does not fit a
    bundle, holds no scenarios or places that are not new, SplitError, BundleError for a net that does not make red and
    near infrared.
    """
    bundle = as_bundle(bundle)
    stack = scenarios_of(stack)
    opened = open_to_judge(bundle, stack, split=split, out=out, overwrite=overwrite)
    split, folder = opened.split, opened.folder
    judges = _judges(stack, [bundle, *map(as_bundle, beside)], seed)
    judge, learned = judges[bundle.net][0], stack
    if trained_on is not None:
        learned, parts = scenarios_of(trained_on), ("test",)
        check_new_places(stack, learned)
    theirs = judge if learned is stack else SuiteJudge(learned, judge.net, seed)
    training = theirs.cases(split, "train")
    rows: list[MetricRow] = []
    differences: Apart = []
    ranks: dict[str, NDArray[np.int64]] = {}
    examples: dict[str, Example] = {}
    alike: dict[str, tuple[Example, ...]] = {}
    for part in [part for part in parts if trained_on is not None or split.part(part)]:
        cases = judge.cases(split, part) if trained_on is None else judge.all_cases()
        found = {
            name: of.of_net(cases, bands, samples=samples, workers=workers or 2, name=name)
            for name, (of, bands) in judges.items()
        }
        found |= opponents_of(judge, cases, theirs, training)
        said, apart = judge.rows(found, cases, split.kind, part)
        rows, differences = [*rows, *said], [*differences, *apart]
        if part == "test":
            ranks, examples = judge.ranks(found, cases), judge.examples(found[bundle.net], cases)
            alike = judge.alike(found[bundle.net], cases) if judge.net.by_chance else {}
    simulated, bands = bool(stack.attrs.get("simulated")), tuple(judge.net.change)
    evaluation = SuitesEvaluation(bundle.net, split.kind, tuple(rows), ranks, bands, examples, alike, simulated)
    if folder is not None:
        write_table(rows, folder)
        lines = [f"{name},{rank},{count}" for name, counts in ranks.items() for rank, count in enumerate(counts)]
        write_text(folder / RANKS, "\n".join(["net,rank,cases", *lines]) + "\n")
        write_differences(differences, folder)
        settings = {"net": bundle.net, "parts": list(parts), "samples": samples, "beside": list(judges)[1:]}
        stacks = [stack] if trained_on is None else [stack, learned]
        made = made_by("evaluate", settings=settings, inputs=[{"stack": fingerprint(s)} for s in stacks], seed=seed)
        write_json(folder / "made.json", {"made": made})
    return evaluation


def judged_futures(bundle: Bundle, net: Net, stack: xr.Dataset, split: Split) -> Bundle:
    """The bundle with metrics of the validation part; a pixel counts as changed from one half on."""
    assert isinstance(net, FutureNet)
    judge = SuiteJudge(stack, net, 0)
    cases = judge.cases(split, "validation")
    found = judge.of_net(cases, bundle.bands, samples=VALIDATION_SAMPLES, workers=2, name=bundle.net)
    rows, _ = judge.rows({bundle.net: found}, cases, split.kind, "validation")
    return replace(bundle, threshold=0.5, metrics=tuple(vars(row) for row in rows))


def scenarios_of(stack: xr.Dataset | str | Path) -> xr.Dataset:
    """The scenarios of a stack, those of real pairs too. Raises StackError where it holds none."""
    stack = as_stack(stack)
    return check_scenarios(as_scenes(stack) if is_pairs(stack) else stack)


def _judges(
    stack: xr.Dataset, bundles: Sequence[Bundle], seed: int
) -> dict[str, tuple["SuiteJudge", tuple[Band, ...]]]:
    """By name, who draws futures of each bundle, and the bands that it reads; of two of one net the second is "flow 2".
    Raises BundleError for nets that make no pictures, StackError where the stack does not fit."""
    found: dict[str, tuple[SuiteJudge, tuple[Band, ...]]] = {}
    for bundle in bundles:
        if not makes_pictures(bundle):
            raise BundleError(f"the bundle beside it holds the net {bundle.net!r}, which makes no pictures")
        net = net_from_bundle(bundle)
        assert isinstance(net, FutureNet)
        same = sum(name.split()[0] == bundle.net for name in found)
        name = f"{bundle.net} {same + 1}" if same else bundle.net
        found[name] = (SuiteJudge(stack, net, seed), tuple(check_fits(bundle, stack).bands))
    return found
