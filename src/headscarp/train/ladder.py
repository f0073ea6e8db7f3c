"""A ladder of labels: several methods, each trained with 0, 1, 5, 25, 100 % of the training labels, on one test part.

Every (share, method) is one named block of the one loop, so a ladder that was stopped goes on where it was. Labels are
taken from the training part alone; validation, which chooses weights and thresholds, keeps all of its own, and the
hours count training labels only. What cannot be trained on so few labels is left out, and why is said.
"""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import xarray as xr

from headscarp.core.artefact import check_output, clear_os_errors, write_json, write_text
from headscarp.core.blocks import Done, Journal, run_blocks
from headscarp.core.errors import RecipeError, SplitError, TrainingError
from headscarp.core.machine import cores
from headscarp.core.provenance import made_by
from headscarp.core.stack import fingerprint, with_label
from headscarp.evaluation.evaluate import part_rows
from headscarp.evaluation.tables import COLUMNS, CSV_NAME, MetricRow
from headscarp.nets import NETS
from headscarp.tiles.dataset import cache_stack
from headscarp.tiles.labels import LabelCounts, count_labels
from headscarp.tiles.splits import split_to_json
from headscarp.train.advice import FEW_LANDSLIDES, hours_of
from headscarp.train.compare import ALIGNED_FROM, config_of, in_training_order, score_net, unchanged
from headscarp.train.config import FitConfig, check_choice
from headscarp.train.plan import chosen_split
from headscarp.train.results import RunScores, load_scores
from headscarp.train.rungs import label_order, with_share
from headscarp.train.tables import TABLE_MODELS
from headscarp.train.worth import words_of_worth

SHARES = (0.0, 1.0, 5.0, 25.0, 100.0)
MINUTES_PER_SLIDE = 3.0
RUNGS_NAME = "ladder.json"

RunKey = tuple[float, str]


@dataclass(frozen=True)
class Rung:
    """One share of the training labels, in per cent, what is labelled then, and the hours that drawing it takes."""

    share: float
    counts: LabelCounts
    hours: float


@dataclass(frozen=True)
class Ladder:
    """What a ladder found.

    rungs: by rising share. rows: the tidy table of the test part, each with its share. missing: (share, method) -> why
    there is no score. sentences: what another hour would buy. minutes: that drawing one landslide was taken to need.
    """

    rungs: tuple[Rung, ...]
    rows: tuple[tuple[float, MetricRow], ...]
    missing: Mapping[RunKey, str]
    sentences: tuple[str, ...]
    minutes: float


@dataclass(frozen=True)
class _Unit:
    share: float
    net: str

    @property
    def id(self) -> str:
        return f"share-{self.share:g}/{self.net}"


def climb(
    stack: xr.Dataset,
    methods: Sequence[str] | None = None,
    *,
    out: str | Path,
    label: str | None = None,
    shares: Sequence[float] = SHARES,
    minutes_per_slide: float = MINUTES_PER_SLIDE,
    split: str | None = None,
    split_options: Mapping[str, Any] | None = None,
    configs: Mapping[str, FitConfig] | None = None,
    workers: int | None = None,
    seed: int = 0,
    resume: bool = False,
    overwrite: bool = False,
) -> Ladder:
    """Trains and scores every method on every share of the training labels; writes metrics.csv and ladder.json.

    methods: names in NETS or TABLE_MODELS; None: those of `usual_methods`. shares: per cent of the labelled cells of
    the training part, tile by tile; a smaller share is part of a larger one. minutes_per_slide: that drawing a
    landslide takes. split, split_options: see `chosen_split`; it is made from all labels. seed: of the order in which
    tiles lose their labels. Raises RecipeError for unknown names and senseless shares, OutputError when `out` exists.
    """
    out = Path(out) if resume else check_output(out, overwrite=overwrite)
    parts = chosen_split(stack, split, **{k: v for k, v in (split_options or {}).items() if v is not None})
    stack, configs, workers = with_label(stack, label), configs or {}, workers or cores()
    methods = usual_methods(count_labels(stack, split=parts)) if methods is None else methods
    shares = _checked(methods, shares, minutes_per_slide)
    with clear_os_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    cached = cache_stack(stack, out / "cache")
    order = label_order(cached, parts, seed=seed)
    stacks = {s: with_share(cached, parts, order, s / 100, folder=out / "labels") for s in shares}
    rungs = {s: _rung(s, count_labels(stacks[s], split=parts), minutes_per_slide) for s in shares}
    settings = {
        "methods": list(methods),
        "shares": list(shares),
        "split": split_to_json(parts),
        "configs": {name: config.to_json() for name, config in configs.items()},
        "seed": seed,
    }
    settings |= {"label": stack.attrs["label"]} if "label" in stack.attrs else {}

    def work(unit: _Unit) -> Done:
        folder, rung = out / "runs" / unit.id, rungs[unit.share]
        lacking = _lacking(unit.net, rung.counts)
        if lacking:
            return Done("", {"missing": lacking})
        config = config_of(unit.net, configs, workers=workers)
        chooser = out / "runs" / _Unit(unit.share, ALIGNED_FROM).id
        try:
            return score_net(unit.net, stacks[unit.share], parts, folder, config=config, chooser=chooser)
        except (SplitError, TrainingError) as error:  # such as a training part without a landslide: the others go on
            return Done("", {"missing": str(error)})

    journal = Journal(out / "journal.jsonl", {"stack": fingerprint(stack), **settings}, resume=resume)
    journal.keep(lambda unit, done: unchanged(out / "runs" / unit, done))
    units = [_Unit(share, net) for share in shares for net in in_training_order(methods)]
    done = run_blocks(work, units, journal=journal, workers=1, label="ladder")
    missing = {(u.share, u.net): done[u.id].facts["missing"] for u in units if "missing" in done[u.id].facts}
    runs = {(u.share, u.net): load_scores(out / "runs" / u.id) for u in units if (u.share, u.net) not in missing}
    ladder = _summarised(list(rungs.values()), runs, methods, missing, minutes_per_slide, kind=parts.kind, seed=seed)
    write_ladder(ladder, out)
    made = made_by("advise", settings={**settings, "minutes_per_slide": minutes_per_slide}, seed=seed)
    write_json(out / "made.json", {"made": {**made, "inputs": [{"stack": fingerprint(stack)}]}})
    return ladder


def usual_methods(counts: LabelCounts) -> tuple[str, ...]:
    """A net (with few landslides one of few parameters), a forest, a threshold, and the one that needs no labels."""
    net = "unet" if counts.landslides >= FEW_LANDSLIDES else "llr"
    return tuple(m for m in (net, "forest", "threshold", "anomaly") if m in NETS or m in TABLE_MODELS)


def write_ladder(ladder: Ladder, out: str | Path) -> Path:
    """Writes metrics.csv, the house's columns with the share behind them, and ladder.json with rungs and sentences."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS, "share"])
    for share, row in ladder.rows:
        values = [v if isinstance(v, str) else "" if math.isnan(v) else repr(float(v)) for v in asdict(row).values()]
        writer.writerow([*values, f"{share:g}"])
    rungs = [{"share": r.share, "hours": r.hours, "labelled_km2": r.counts.labelled_km2, **asdict(r.counts)}
             for r in ladder.rungs]  # fmt: skip
    missing = [{"share": share, "net": net, "why": why} for (share, net), why in ladder.missing.items()]
    facts = {"minutes_per_slide": ladder.minutes, "rungs": rungs, "missing": missing, "sentences": ladder.sentences}
    write_json(Path(out) / RUNGS_NAME, facts)
    return write_text(Path(out) / CSV_NAME, text.getvalue())


def _checked(methods: Sequence[str], shares: Sequence[float], minutes: float) -> list[float]:
    """The shares, rising, each once. Raises RecipeError."""
    for name in methods:
        check_choice("method", name, (*NETS, *TABLE_MODELS))
    if not methods:
        raise RecipeError("no method is given; name some, such as --methods forest,llr,threshold")
    bad = [share for share in shares if not 0 <= share <= 100]
    if bad or not shares:
        raise RecipeError(f"shares are {', '.join(f'{s:g}' for s in shares) or 'none'}; needed: per cent, 0 to 100")
    if not 0 < minutes < math.inf:
        raise RecipeError(f"minutes_per_slide is {minutes:g}; it has to be above 0")
    return sorted({float(share) for share in shares})


def _rung(share: float, counts: LabelCounts, minutes: float) -> Rung:
    return Rung(share, counts, hours_of(counts.landslides, minutes))


def _lacking(net: str, counts: LabelCounts) -> str:
    """What a method needs and these labels lack; "" where nothing."""
    if net in NETS and not NETS[net].needs_labels:
        return ""
    lacks = [what for what, n in (("landslide", counts.positive_px), ("negative", counts.negative_px)) if not n]
    return f"no {' and no '.join(lacks)} is labelled, and {net} learns from labels" if lacks else ""


def _summarised(
    rungs: Sequence[Rung],
    runs: Mapping[RunKey, RunScores],
    methods: Sequence[str],
    missing: Mapping[RunKey, str],
    minutes: float,
    *,
    kind: str,
    seed: int,
) -> Ladder:
    rows: list[tuple[float, MetricRow]] = []
    for (share, net), run in runs.items():
        found = part_rows(
            run.parts["test"],
            name=net,
            split=kind,
            part="test",
            threshold=run.threshold,
            probabilities=run.probabilities,
            seed=seed,
        )
        rows += [(share, row) for row in found]
    hours = {rung.share: rung.hours for rung in rungs}
    sentences = []
    for net in methods:
        steps = {
            share: (hours[share], runs[share, net].parts["test"].blocks) for share in hours if (share, net) in runs
        }
        values = {share: row.value for share, row in rows if (row.net, row.metric) == (net, "average_precision")}
        sentences += words_of_worth(net, steps, values, seed=seed)
    alike = [(share, row) for share, row in rows if runs[share, row.net].stride == 1] or rows  # patches are no pixels
    return Ladder(tuple(rungs), tuple(rows), dict(missing), (*_leaders(rungs, alike), *sentences), minutes)


def _leaders(rungs: Sequence[Rung], rows: Sequence[tuple[float, MetricRow]]) -> list[str]:
    """The method ahead on each rung."""
    said = []
    for rung in rungs:
        found = [r for s, r in rows if s == rung.share and r.metric == "average_precision" and not math.isnan(r.value)]
        if found:
            best = max(found, key=lambda row: row.value)
            said.append(
                f"With {rung.share:g} % of the training labels ({rung.counts.landslides} landslides, "
                f"{rung.counts.labelled_km2:.3g} km2, {rung.hours:.1f} h) {best.net} has the highest average precision "
                f"on the test part: {best.value:.3f} [{best.low:.3f}, {best.high:.3f}]."
            )
    return said
