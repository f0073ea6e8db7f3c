"""The judging of maps of burial on simulated places whose slides run: a generator beside runouts by the travel angle.

The truth moves by friction and drag (`sources.world.domains.slides`), the opponents by the angle of reach
(`terrain.runout`). Cuts are chosen on the validation part. Refuses stacks whose slides do not run.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.ndimage import label as pieces_of

from headscarp.core.artefact import check_output, write_json, write_text
from headscarp.core.bundle import Bundle, as_bundle
from headscarp.core.errors import BundleError, StackError
from headscarp.core.progress import progress
from headscarp.core.provenance import made_by
from headscarp.core.samples import stack_resolution_m
from headscarp.core.scenarios import CHANGED, SOURCE, check_scenarios, task_code
from headscarp.core.stack import fingerprint
from headscarp.evaluation.burials import (
    BINS,
    CUTS,
    Sums,
    best_cut,
    burial_difference,
    burial_scores,
    reliability,
    sums_of,
)
from headscarp.evaluation.intervals import Interval
from headscarp.evaluation.tables import Judged, MetricRow, rows_of, write_table
from headscarp.nets import net_from_bundle
from headscarp.nets.futures import FutureNet
from headscarp.prediction.damage import SCATTER
from headscarp.sources.world.domains.slides import draw_slides
from headscarp.terrain.runout import runout
from headscarp.tiles.dataset import as_stack
from headscarp.tiles.fits import check_fits
from headscarp.tiles.reader import TileReader
from headscarp.tiles.splits import split_from_json
from headscarp.tiles.tiling import whole_tile
from headscarp.train.cases import Case, cases_of
from headscarp.train.drawn import drawn_futures
from headscarp.train.simulated import SimulatedPlaces

SAMPLES, STORMS = 16, 64
SHARE, ANGLE, STEEP, TRUE_SOURCES, LAW, CONSTANT = (
    "share_of_futures",
    "travel_angle",
    "travel_angle_steep",
    "travel_angle_true_sources",
    "law",
    "constant",
)
_BATCH = 16
_SLOPE_EDGES = np.arange(0.0, 70.0, 5.0)

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Example:
    """A place: what was buried in each future, (F, y, x), and by name the map of it, (y, x)."""

    elevation_m: Floats
    came: Bools
    maps: Mapping[str, Floats]


@dataclass(frozen=True)
class BurialsEvaluation(Judged):
    """What was found. cuts: by name, from which probability on ground counts as mapped. ahead: by opponent, the metrics
    of the generator less those of it. reliability: by name, see `evaluation.burials.reliability`."""

    cuts: Mapping[str, float] = field(default_factory=dict)
    ahead: Mapping[str, Mapping[str, Interval]] = field(default_factory=dict)
    reliability: Mapping[str, Floats] = field(default_factory=dict, repr=False)
    examples: Sequence[Example] = field(default=(), repr=False)

    @property
    def text(self) -> str:
        """What a person wants to read first."""
        lines = []
        for name in dict.fromkeys(row.net for row in self.rows):
            told = [self.value(metric, net=name) for metric in ("brier", "iou", "ece")]
            cells = ", ".join(f"{row.metric} {row.value:.4f} [{row.low:.4f}, {row.high:.4f}]" for row in told)
            lines.append(f"{name}: {cells} (mapped from {self.cuts[name]:g} on)")
        for name, gaps in self.ahead.items():
            told_gaps = ", ".join(f"{m} {g.value:+.4f} [{g.low:+.4f}, {g.high:+.4f}]" for m, g in gaps.items())
            lines.append(f"{self.net} less {name}: {told_gaps}")
        return "\n".join(lines)


def judge_burials(
    bundle: Bundle | str | Path,
    stack: xr.Dataset | str | Path,
    *,
    task: str = "rain",
    as_drawn: bool = True,
    out: str | Path | None = None,
    samples: int = SAMPLES,
    seed: int = 0,
    overwrite: bool = False,
) -> BurialsEvaluation:
    """Scores the burial that a generator draws on the test part of simulated scenarios, beside its opponents.

    as_drawn: as `damage` has it: the map is what the net guesses, where it has a guess, else the share of its futures;
    without it a runout by the travel angle goes on from what is drawn. Opponents: beside a guess that share; the travel
    angle from where the drawn slides start (their highest cells, as many as in training); from cells drawn by their
    slope, as without a generator; from where the slides of other storms truly start; these storms themselves, which
    nothing beats on the mean; a constant. out: folder for metrics.csv, metrics.json, reliability.csv. Raises
    StackError, BundleError, RecipeError.
    """
    bundle = as_bundle(bundle)
    stack = check_scenarios(as_stack(stack))
    folder = check_output(out, overwrite=overwrite) if out is not None else None
    places = SimulatedPlaces(stack)
    net = net_from_bundle(bundle)
    if not isinstance(net, FutureNet):
        raise BundleError(f"the bundle holds the net {bundle.net!r}, which draws no futures; train one: --net flow")
    task_code(task, net.known_tasks)
    split = split_from_json(bundle.split)
    held = {
        part: [c for c in cases_of(stack, split, part) if c.task == task] for part in ("train", "validation", "test")
    }
    if not all(held.values()):
        raise StackError(f"a part of the split has no place under the task {task!r}; build scenarios with it")
    judge = _Judge(stack, places, bundle, net, as_drawn=as_drawn, samples=samples, seed=seed)
    judge.learn(held["train"])
    found = {part: judge.sums(held[part]) for part in ("validation", "test")}
    cuts = {name: best_cut(sums) for name, sums in found["validation"].items()}
    rows: list[MetricRow] = []
    for part, sums in found.items():
        for name, of in sums.items():
            rows += rows_of(name, split.kind, part, burial_scores(of, cuts[name], np.random.default_rng(seed)))
    test, ours = found["test"], bundle.net
    others = [name for name in test if name != ours]
    ahead = {
        name: burial_difference(test[ours], test[name], (cuts[ours], cuts[name]), np.random.default_rng(seed))
        for name in others
    }
    evaluation = BurialsEvaluation(
        ours,
        split.kind,
        tuple(rows),
        {name: CUTS[cut] for name, cut in cuts.items()},
        ahead,
        {name: reliability(of) for name, of in test.items()},
        judge.examples,
    )
    if folder is not None:
        write_table(rows, folder)
        write_text(folder / "reliability.csv", _reliability(evaluation))
        settings = {"net": ours, "task": task, "as_drawn": as_drawn, "samples": samples, "cuts": evaluation.cuts}
        made = made_by("damage --judge", settings=settings, inputs=[{"stack": fingerprint(stack)}], seed=seed)
        write_json(folder / "made.json", {"made": made})
    return evaluation


def upper_part(drawn: Bools, elevation_m: NDArray[np.floating], share: float) -> Bools:
    """(y, x) the highest cells of each connected patch, `share` of them and at least one: where such slides start."""
    patches, count = pieces_of(drawn, np.ones((3, 3), int))
    out = np.zeros(drawn.shape, np.bool_)
    for patch in range(1, count + 1):
        cells = np.flatnonzero(patches == patch)
        highest = cells[np.argsort(-elevation_m.ravel()[cells], kind="stable")]
        out.ravel()[highest[: max(1, round(share * len(cells)))]] = True
    return out


class _Judge:
    """Maps of burial of places by each name, and their sums beside what came."""

    def __init__(
        self,
        stack: xr.Dataset,
        places: SimulatedPlaces,
        bundle: Bundle,
        net: FutureNet,
        *,
        as_drawn: bool,
        samples: int,
        seed: int,
    ) -> None:
        self.stack, self.places, self.bundle, self.net = stack, places, bundle, net
        self.as_drawn, self.samples, self.seed = as_drawn, samples if net.by_chance else 1, seed
        self.cell_m = stack_resolution_m(stack)
        self.bands = check_fits(bundle, stack).bands
        self.examples: list[Example] = []

    def learn(self, cases: Sequence[Case]) -> None:
        """From the training part: how common burial is, how slopes start slides, how much of a slide is its source."""
        samples = [s for case in cases for s in case.samples]
        buried, source = (self.stack[name][samples].to_numpy() == 1 for name in (CHANGED, SOURCE))
        slope = np.nan_to_num(self.stack["slope"][samples].to_numpy())
        at = np.digitize(slope, _SLOPE_EDGES)
        every, starts = (np.bincount(at.ravel(), w, len(_SLOPE_EDGES) + 1) for w in (None, source.ravel()))
        self.constant = float(buried.mean())
        self.rate = starts / np.maximum(every, 1)
        self.source_share = float(source.sum() / max(buried.sum(), 1))
        of_storm = source.mean(axis=(1, 2))
        self.factors = of_storm / max(float(of_storm.mean()), 1e-9)

    def sums(self, cases: Sequence[Case]) -> dict[str, list[Sums]]:
        """By name, the sums of each place."""
        found: dict[str, list[Sums]] = {}
        self.examples = []
        drawn = self._drawn(cases)
        with progress("burial: storms and runouts", len(cases)) as bar:
            for case, (pictures, likely) in zip(cases, drawn, strict=True):
                came = self.stack[CHANGED][list(case.samples)].to_numpy() == 1
                maps = self._maps(case, pictures, likely)
                for name, probability in maps.items():
                    found.setdefault(name, []).append(sums_of(probability, list(came)))
                self.examples.append(Example(self.stack["elevation"][case.samples[0]].to_numpy(), came, maps))
                bar.advance()
        return found

    def _drawn(self, cases: Sequence[Case]) -> list[tuple[Bools, Floats | None]]:
        """Of each place where the futures are changed, (M, y, x), and the guess of the net, (y, x), if it has one."""
        shape = self.stack.sizes["y"], self.stack.sizes["x"]
        tiles = [whole_tile(shape, self.net.align, sample=case.samples[0], name=case.place) for case in cases]
        reader = TileReader(self.stack, self.bands)
        drawn = drawn_futures(self.net, reader, tiles, self.samples, workers=2, name=self.bundle.net)
        return [(pictures[:, -1] >= 0.5, None if of is None else of.astype(np.float64)) for pictures, of in drawn]

    def _maps(self, case: Case, pictures: Bools, likely: Floats | None) -> dict[str, Floats]:
        rng = np.random.default_rng([self.seed, *case.place.encode()])
        ground = self.stack["elevation"][case.samples[0]].to_numpy()
        slope = np.nan_to_num(self.stack["slope"][case.samples[0]].to_numpy())

        def mean_run(sources: Sequence[Bools]) -> Floats:
            factors = 10 ** rng.normal(0.0, SCATTER, len(sources))
            runs = [runout(ground, s, self.cell_m, factor=float(f)) for s, f in zip(sources, factors, strict=True)]
            return np.asarray(np.mean(runs, axis=0))

        place = self.places.place(case.place)
        storms = [draw_slides(place, rng) for _ in range(STORMS)]
        rate = self.rate[np.digitize(slope, _SLOPE_EDGES)]
        steep = [rng.random(slope.shape) < f * rate for f in rng.choice(self.factors, STORMS)]
        if self.as_drawn:
            share = np.asarray(pictures.mean(axis=0))
            maps = {self.bundle.net: share} if likely is None else {self.bundle.net: likely, SHARE: share}
            maps[ANGLE] = mean_run([upper_part(p, ground, self.source_share) for p in pictures])
        else:
            maps = {self.bundle.net: mean_run(list(pictures))}
        return maps | {
            STEEP: mean_run(steep),
            CONSTANT: np.full(slope.shape, self.constant),
            TRUE_SOURCES: mean_run([storm.source for storm in storms]),
            LAW: np.asarray(np.mean([storm.buried for storm in storms], axis=0)),
        }


def _reliability(evaluation: BurialsEvaluation) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["net", "from", "to", "cells", "said", "found"])
    for name, table in evaluation.reliability.items():
        for low, high, row in zip(BINS, BINS[1:], table, strict=False):
            writer.writerow([name, low, high, *(f"{value:.6g}" for value in row)])
    return text.getvalue()
