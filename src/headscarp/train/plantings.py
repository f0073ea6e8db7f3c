"""The judging of plans of planting on simulated places: the true risk that each takes away, beside its opponents.

The truth is the law of the simulator with and without the trees (`sources.world.domains.slides`). All plans are made
by the same rules (`prediction.plans`), on the same open ground; they differ in the score that ranks cells. In a world
where vegetation means nothing (`roots = 0`) a plan has to promise about nothing. Refuses stacks whose slides do not
run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from headscarp.core.artefact import check_output, write_json
from headscarp.core.bundle import Bundle
from headscarp.core.errors import RecipeError, StackError
from headscarp.core.progress import progress
from headscarp.core.provenance import made_by
from headscarp.core.samples import stack_resolution_m
from headscarp.core.scenarios import check_scenarios
from headscarp.core.stack import fingerprint
from headscarp.evaluation.intervals import Interval
from headscarp.evaluation.plans import ahead_of, mean_over_places
from headscarp.evaluation.tables import Judged, MetricRow, rows_of, write_table
from headscarp.nets import NETS
from headscarp.prediction.plans import choose_cells
from headscarp.prediction.planting import checked_risk, promised_share
from headscarp.prediction.shallow import Ground, physical_gain
from headscarp.sources.world.domains import slides
from headscarp.terrain.stability import safety_factor
from headscarp.tiles.dataset import as_stack
from headscarp.tiles.splits import split_from_json, split_given
from headscarp.train.cases import Case, cases_of
from headscarp.train.planted import risks_of
from headscarp.train.simulated import SimulatedPlaces

PHYSICS, RANDOM, STEEPEST, RISKIEST, SAFETY, LAW = "physics", "random", "steepest", "riskiest", "safety", "law"
BUDGET_HA = 3.0
PATCH_CELLS = 3

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Example:
    """A place: its elevation and true gain, (y, x), and by name the plan, (y, x)."""

    place: str
    elevation_m: Floats
    gain: Floats
    plans: Mapping[str, Bools]


@dataclass(frozen=True)
class PlantingsEvaluation(Judged):
    """What was found. ahead: by opponent, the true reduction of the first plan less that of it. everywhere: by name,
    the promise of planting all open ground. places: how many judged; dropped: how many had too little open ground."""

    ahead: Mapping[str, Interval] = field(default_factory=dict)
    everywhere: Mapping[str, Interval] = field(default_factory=dict)
    places: int = 0
    dropped: int = 0
    examples: Sequence[Example] = field(default=(), repr=False)

    @property
    def text(self) -> str:
        """What a person wants to read first."""
        lines = [f"{self.places} places; {self.dropped} left out, with less open ground than the budget"]
        for name in dict.fromkeys(row.net for row in self.rows):
            true, said = (
                self.value(metric, net=name, part=self.rows[0].part) for metric in ("risk_reduction", "promised")
            )
            promise = (
                f", promised {said.value:.3f} [{said.low:.3f}, {said.high:.3f}]" if np.isfinite(said.value) else ""
            )
            lines.append(f"{name}: takes away {true.value:.3f} [{true.low:.3f}, {true.high:.3f}] of the risk{promise}")
        for name, gap in self.ahead.items():
            lines.append(f"{self.net} ahead of {name} by {gap.value:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}]")
        for name, all_ in self.everywhere.items():
            lines.append(f"all open ground planted, {name} promises {all_.value:.3f} [{all_.low:.3f}, {all_.high:.3f}]")
        return "\n".join(lines)


def judge_plantings(
    risk: Bundle | str | Path | None,
    stack: xr.Dataset | str | Path,
    *,
    out: str | Path | None = None,
    budget_ha: float = BUDGET_HA,
    part: str = "test",
    seed: int = 0,
    overwrite: bool = False,
) -> PlantingsEvaluation:
    """Scores plans on the places of a part of simulated scenarios, each with the same budget.

    risk: a bundle that gives a probability of landslides by pixel, whose gain ranks cells, or a forecast, which reads
    the frames of scenarios with `frames`; None: the physical model only. budget_ha: of each place. Raises StackError,
    BundleError, RecipeError.
    """
    stack = check_scenarios(as_stack(stack))
    folder = check_output(out, overwrite=overwrite) if out is not None else None
    bundle = None if risk is None else checked_risk(risk)
    own = bundle is not None and not NETS[bundle.net].judges_places  # a forecast has learned from other places
    split = split_from_json(bundle.split) if own and bundle is not None else split_given(stack)
    cases = list({case.place: case for case in reversed(cases_of(stack, split, part))}.values())[::-1]
    if not cases:
        raise StackError(f"the split has no places in the part {part!r}")
    cells = max(1, round(budget_ha * 1e4 / stack_resolution_m(stack) ** 2))
    judge = _Judge(stack, bundle, cells, seed)
    values, everywhere, dropped = judge.values(cases)
    if not values:
        raise RecipeError(f"no place has open ground for a budget of {budget_ha} ha; give a smaller --budget-ha")
    rows: list[MetricRow] = []
    for name, of in values.items():
        told = {metric: mean_over_places(column, np.random.default_rng(seed)) for metric, column in of.items()}
        rows += rows_of(name, split.kind, part, told)
    ours = next(iter(values))
    true = {name: of["risk_reduction"] for name, of in values.items()}
    evaluation = PlantingsEvaluation(
        ours,
        split.kind,
        tuple(rows),
        ahead_of(true[ours], {name: of for name, of in true.items() if name != ours}, seed),
        {name: mean_over_places(of, np.random.default_rng(seed)) for name, of in everywhere.items()},
        len(cases) - dropped,
        dropped,
        judge.examples,
    )
    if folder is not None:
        write_table(rows, folder)
        settings = {"net": None if bundle is None else bundle.net, "budget_ha": budget_ha, "part": part}
        made = made_by("planting --judge", settings=settings, inputs=[{"stack": fingerprint(stack)}], seed=seed)
        gaps = {name: vars(gap) for name, gap in evaluation.ahead.items()}
        everywhere_ = {name: vars(one) for name, one in evaluation.everywhere.items()}
        write_json(folder / "made.json", {"made": made, "ahead_of": gaps, "all_open_ground": everywhere_})
    return evaluation


class _Judge:
    """Plans of places by each score, and what they truly take away."""

    def __init__(self, stack: xr.Dataset, bundle: Bundle | None, cells: int, seed: int) -> None:
        self.stack, self.bundle, self.cells, self.seed = stack, bundle, cells, seed
        self.places, self.cell_m = SimulatedPlaces(stack), stack_resolution_m(stack)
        self.examples: list[Example] = []

    def values(self, cases: Sequence[Case]) -> tuple[dict[str, dict[str, Floats]], dict[str, Floats], int]:
        """By name and metric (places,) numbers; by name the promise for all open ground; places that were left out."""
        learned = {} if self.bundle is None else risks_of(self.bundle, self.stack, self.places, cases)
        found: dict[str, dict[str, list[float]]] = {}
        everywhere: dict[str, list[float]] = {}
        dropped = 0
        with progress("plans", len(cases)) as bar:
            for case in cases:
                place = self.places.place(case.place)
                allowed = slides.open_ground(place)
                bar.advance()
                if allowed.sum() < max(self.cells, PATCH_CELLS):
                    dropped += 1
                    continue
                before = slides.storm_risk(place)
                gain = before - slides.storm_risk(slides.with_trees(place, allowed))
                scores, promises = self._scores(case, gain, learned)
                plans = {
                    n: choose_cells(s, allowed, cells=self.cells, patch_cells=PATCH_CELLS) for n, s in scores.items()
                }
                best = float(gain[plans[LAW]].sum())
                for name, plan in plans.items():
                    of = found.setdefault(name, {metric: [] for metric in ("risk_reduction", "promised", "of_best")})
                    true = float(gain[plan].sum())
                    of["risk_reduction"].append(true / float(before.sum()))
                    of["of_best"].append(true / best if best > 0 else np.nan)
                    of["promised"].append(promised_share(*promises[name], plan) if name in promises else np.nan)
                for name, of_risk in promises.items():
                    everywhere.setdefault(name, []).append(promised_share(*of_risk, allowed))
                self.examples.append(Example(case.place, place.elevation_m.astype(np.float64), gain, plans))
        arrays = {name: {m: np.array(v) for m, v in of.items()} for name, of in found.items()}
        return arrays, {name: np.array(v) for name, v in everywhere.items()}, dropped

    def _scores(
        self, case: Case, gain: Floats, learned: Mapping[str, tuple[Floats, Floats]]
    ) -> tuple[dict[str, Floats], dict[str, tuple[Floats, Floats]]]:
        """By name the score of each cell, (y, x); and of those that promise something their risk before and gain."""
        elevation = self.stack["elevation"][case.samples[0]].to_numpy()
        slope = np.nan_to_num(self.stack["slope"][case.samples[0]].to_numpy())
        ground = Ground.of(elevation, slope, self.cell_m)
        risk, physics = physical_gain(ground, seed=self.seed)
        rng = np.random.default_rng([self.seed, *case.place.encode()])
        safer = safety_factor(slope, ground.area_per_width_m, roots_kpa=ground.roots_kpa)
        scores, promises = {}, {}
        if self.bundle is not None:
            scores[self.bundle.net] = learned[case.place][1]
            promises[self.bundle.net] = learned[case.place]
        promises[PHYSICS] = (risk, physics)
        return scores | {
            PHYSICS: physics,
            SAFETY: safer - safety_factor(slope, ground.area_per_width_m),
            RISKIEST: risk,
            STEEPEST: slope.astype(np.float64),
            RANDOM: rng.random(slope.shape),
            LAW: np.maximum(gain, 1e-12),
        }, promises
