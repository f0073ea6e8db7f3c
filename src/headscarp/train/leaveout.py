"""The verb regions: each region held out once, what a forecast loses there, and what more training regions bring.

Every training is one named block of the one loop, so that it goes on where it was stopped. The law of a simulated world
stands beside: where it loses as much, the region is harder and not only new. Refuses nets that do not judge places.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import xarray as xr

from headscarp.core.artefact import check_output, clear_os_errors, write_json
from headscarp.core.blocks import Done, Journal, run_blocks
from headscarp.core.domains import HORIZONS_DAYS
from headscarp.core.errors import RecipeError
from headscarp.core.machine import cores
from headscarp.core.provenance import file_sha256, made_by
from headscarp.core.stack import feature_bands, fingerprint
from headscarp.evaluation.intervals import interval_of
from headscarp.evaluation.places import (
    Floats,
    Said,
    Truth,
    gap_draws,
    hazard_scores,
    load_said,
    run_places,
    samples_of,
    save_said,
    truth_of,
)
from headscarp.evaluation.tables import MetricRow, rows_of, write_table
from headscarp.nets import NETS, net_from_bundle
from headscarp.tiles.dataset import as_stack, cache_stack
from headscarp.tiles.regions import held_out_region, region_names
from headscarp.tiles.splits import Split, split_regions
from headscarp.train.confidence import cut_of, set_rows
from headscarp.train.config import FitConfig, check_choice
from headscarp.train.fit import fit
from headscarp.train.judging import LAW

METRICS = ("average_precision", "log_skill")
PARTS = ("validation", "test")

Pairs = Mapping[str, tuple[Said, Truth]]


@dataclass(frozen=True)
class LeftOut:
    """What was found. rows: the tidy table; part "region: NAME" is the region held out, "test" the mean over regions of
    the gap. regions: held out one by one. curve: numbers of training regions, rising, of the nets that were judged on
    `curve_region`; "" where there is no curve."""

    net: str
    rows: tuple[MetricRow, ...]
    regions: tuple[str, ...]
    curve: tuple[int, ...]
    curve_region: str

    def value(self, net: str, part: str, metric: str) -> MetricRow | None:
        """One row, None where there is none."""
        return next((r for r in self.rows if (r.net, r.part, r.metric) == (net, part, metric)), None)


@dataclass(frozen=True)
class _Unit:
    """A training with one region held out. learn_from: the regions it learns from; None: all others."""

    region: str
    learn_from: tuple[str, ...] | None = None

    @property
    def id(self) -> str:
        return self.region if self.learn_from is None else f"{self.region}-from-{len(self.learn_from)}"


def leave_out(
    stack: xr.Dataset | str | Path,
    *,
    net: str = "forecast",
    out: str | Path,
    regions: Sequence[str] | None = None,
    curve: str | None = None,
    config: FitConfig | None = None,
    workers: int | None = None,
    seed: int = 0,
    resume: bool = False,
    overwrite: bool = False,
) -> LeftOut:
    """Trains a net with each region held out and scores it there and on validation places of the others; writes
    metrics.csv and metrics.json, and the bundles to runs/.

    regions: which are held out; None: all, one after the other. curve: a region; nets that learn from 1, 2, ... of the
    others, in an order drawn from the seed, are judged there as well, with all places of these. Raises RecipeError for
    a net that judges no places, SplitError for regions that are not there.
    """
    check_choice("net", net, NETS)
    if not NETS[net].judges_places:
        raise RecipeError(f"net {net!r} does not judge places over time; use forecast")
    stack = as_stack(stack)
    known = sorted(set(region_names(stack)))
    chosen = [held_out_region(known, name, 0) for name in regions] if regions else known
    units = [_Unit(name) for name in chosen] + _curve(known, curve, seed)
    out = Path(out) if resume else check_output(out, overwrite=overwrite)
    with clear_os_errors(out):
        for name in ("said", "runs"):
            (out / name).mkdir(parents=True, exist_ok=True)
    cached, config = cache_stack(stack, out / "cache"), replace(config or FitConfig(), workers=workers or cores())
    settings = {"net": net, "regions": chosen, "curve": curve, "config": config.to_json(), "seed": seed}

    def split_of(unit: _Unit) -> Split:
        return split_regions(cached, hold_out=unit.region, learn_from=unit.learn_from, seed=seed)

    def work(unit: _Unit) -> Done:
        split = split_of(unit)
        bundle = fit(cached, net=net, split=split, out=out / "runs" / unit.id, config=config, cache=cached, resume=True)
        trained, bands = net_from_bundle(bundle), feature_bands(cached)
        sums = [
            file_sha256(save_said(run_places(trained, cached, split, part, bands=bands, workers=config.workers), path))
            for part, path in _paths(out, unit.id).items()
        ]
        return Done(" ".join(sums))

    def same(unit_id: str, done: Done) -> bool:
        paths = _paths(out, unit_id).values()
        return all(p.is_file() for p in paths) and " ".join(map(file_sha256, paths)) == done.checksum

    journal = Journal(out / "journal.jsonl", {"stack": fingerprint(stack), **settings}, resume=resume)
    journal.keep(same)
    run_blocks(work, units, journal=journal, workers=1, label="regions")
    rows: list[MetricRow] = []
    draws: dict[str, dict[str, list[Floats]]] = {}
    for unit in units:
        split = split_of(unit)
        truth = {part: truth_of(cached, samples_of(split, part)) for part in PARTS}
        pairs = {part: (load_said(path), truth[part]) for part, path in _paths(out, unit.id).items()}
        name = net if unit.learn_from is None else from_regions(net, len(unit.learn_from))
        by_name = {name: pairs} if unit.learn_from is not None else {name: pairs, **_law(cached, truth)}
        for who, of_parts in by_name.items():
            found = hazard_scores(*of_parts["test"], np.random.default_rng(seed))
            rows += rows_of(who, "regions", f"region: {unit.region}", found)
            rows += _gaps(who, unit, of_parts, draws.setdefault(who, {}), seed)
        rows += _sets(name, unit, pairs, seed)
    rows += _means(draws, seed) if len(chosen) > 1 else []
    write_table(rows, out)
    made = made_by("regions", settings=settings, inputs=[{"stack": fingerprint(stack)}], seed=seed)
    write_json(out / "made.json", {"made": made})
    counts = tuple(len(u.learn_from) for u in units if u.learn_from is not None)
    return LeftOut(net, tuple(rows), tuple(chosen), counts, curve or "")


def from_regions(net: str, count: int) -> str:
    """How a net that learned from some regions is named in the table."""
    return f"{net} from {count}"


def _curve(known: Sequence[str], region: str | None, seed: int) -> list[_Unit]:
    if region is None:
        return []
    others = [name for name in known if name != held_out_region(known, region, 0)]
    order = np.random.default_rng(seed).permutation(others).tolist()
    return [_Unit(region, tuple(order[:count])) for count in range(1, len(order))]


def _law(stack: xr.Dataset, truth: Mapping[str, Truth]) -> dict[str, Pairs]:
    if LAW not in stack.variables:
        return {}
    law = stack[LAW].to_numpy().astype(np.float64)
    return {LAW: {part: (Said(law[came.sample]), came) for part, came in truth.items()}}


def _gaps(who: str, unit: _Unit, pairs: Pairs, draws: dict[str, list[Floats]], seed: int) -> list[MetricRow]:
    """The gap of one training by metric and horizon; the draws of those that learned from all others are kept."""
    rows = []
    for metric in METRICS:
        for days in HORIZONS_DAYS:
            name = f"{metric} {days} d"
            lost = gap_draws(pairs["test"], pairs["validation"], name, np.random.default_rng(seed))
            gap = interval_of(float(lost[0]), lost[1:])
            rows += rows_of(who, "regions", f"region: {unit.region}", {f"gap: {name}": gap})
            if unit.learn_from is None:
                draws.setdefault(name, []).append(lost)
    return rows


def _sets(who: str, unit: _Unit, pairs: Pairs, seed: int) -> list[MetricRow]:
    """How often sets of causes, cut on the other regions, hold all that held in the region held out."""
    causes = pairs["test"][0].causes
    cut = cut_of({(who, "validation"): pairs["validation"][0]}, {"validation": pairs["validation"][1]}, who)
    if causes is None or cut is None:
        return []
    return set_rows(causes, pairs["test"][1], cut, (who, "regions", f"region: {unit.region}"), seed)


def _means(draws: Mapping[str, Mapping[str, Sequence[Floats]]], seed: int) -> list[MetricRow]:
    """The mean gap over regions, regions and places in them drawn anew."""
    rows = []
    for who, by_metric in draws.items():
        for name, lost in by_metric.items():
            each = np.stack(lost)  # (regions, 1 + R)
            rng = np.random.default_rng(seed)
            picked = rng.integers(len(each), size=(each.shape[1] - 1, len(each)))
            drawn = np.array([each[rows_, 1 + i].mean() for i, rows_ in enumerate(picked)])
            mean = interval_of(float(each[:, 0].mean()), drawn)
            rows += rows_of(who, "regions", "test", {f"gap: {name}": mean})
    return rows


def _paths(out: Path, unit_id: str) -> dict[str, Path]:
    return {part: out / "said" / f"{unit_id}-{part}.npz" for part in PARTS}
