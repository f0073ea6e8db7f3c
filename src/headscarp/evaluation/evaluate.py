"""The verb evaluate: how good a bundle is on each part of a split, with intervals, streamed tile by tile."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from headscarp.core.artefact import write_json
from headscarp.core.bundle import Bundle, as_bundle
from headscarp.core.machine import cores
from headscarp.core.provenance import made_by
from headscarp.core.samples import has_samples, stack_resolution_m
from headscarp.core.stack import LABEL, fingerprint, label_names, open_stack, with_label
from headscarp.evaluation.intervals import Interval, block_bootstrap
from headscarp.evaluation.metrics import METRICS, OF_PROBABILITIES, majority_class, score
from headscarp.evaluation.opened import open_to_judge
from headscarp.evaluation.scoring import (
    PIXELS,
    NetPredictor,
    PartScores,
    Predictor,
    Preview,
    Recode,
    Squares,
    score_part,
)
from headscarp.evaluation.streaming import ScoreHistogram
from headscarp.evaluation.tables import PARTS, MetricRow, rows_of, write_table
from headscarp.tiles.reader import TileReader
from headscarp.tiles.splits import Split
from headscarp.tiles.tiling import halo_of, halo_within, train_tiles
from headscarp.tiles.twins import twins_in_words

TILE_PX = 512
BOOTSTRAP_BLOCK_M = 1000.0
_OF_THE_CUT = ("accuracy", "f1", "precision", "recall", "mean_iou")


@dataclass(frozen=True)
class Evaluation:
    """What evaluate found. rows: the tidy table. parts: scores by part. preview: a small map beside the truth.

    stride: side in pixels of the squares that were counted once each. probabilities: False for ranks and other scores,
    whose OF_PROBABILITIES are undefined. notes: what else one has to know to read the figures.
    """

    net: str
    split: str
    threshold: float
    rows: tuple[MetricRow, ...]
    parts: Mapping[str, PartScores]
    preview: Preview
    stride: int = 1
    probabilities: bool = True
    notes: tuple[str, ...] = ()

    def value(self, metric: str, part: str = "test") -> MetricRow:
        """One row of the table."""
        return next(row for row in self.rows if row.metric == metric and row.part == part)

    @property
    def text(self) -> str:
        """What a person wants to read first."""
        nll, skill = (self.value(m) for m in ("nll", "skill"))
        auroc, precision = (_told(self.value(m)) for m in ("auroc", "average_precision"))
        begin = f"{self.net}, {self.split} split, test part: "
        if not self.probabilities:
            share = self.value("prevalence").value
            first = f"{begin}AUROC {auroc}, average precision {precision}, where a constant has {share:.3f}. "
            return f"{first}It gives ranks and no probabilities, so it has no likelihood. {self.at_the_threshold}"
        verdict = "better than" if skill.low > 0 else "not surely better than"
        return (
            f"{begin}NLL {nll.value:.4f} [{nll.low:.4f}, {nll.high:.4f}], AUROC {auroc}. Log-skill {skill.value:.3f} "
            f"[{skill.low:.3f}, {skill.high:.3f}]: {verdict} the best constant. {self.at_the_threshold}"
        )

    @property
    def at_the_threshold(self) -> str:
        """What the map cut at its threshold reaches on the test part, beside the majority class."""
        value = {row.metric: row.value for row in self.rows if row.part == "test"}
        said = ", ".join(f"{m.replace('_', ' ')} {value[m]:.4f}" for m in _OF_THE_CUT)
        share = value["prevalence"]
        majority = majority_class(share)["accuracy"]
        word = "no landslide" if share <= 0.5 else "landslide"
        return (
            f'At its threshold: {said}. Always saying "{word}", the majority class, is right on {majority:.4f} of the '
            f"{' '.join((counted_in_words(self.stride) + '.', *self.notes))}"
        )


def missing_class(scores: ScoreHistogram) -> list[str]:
    """One sentence where what was counted of the test part is all of one class; [] where both are there."""
    n, positives = scores.n, int(scores.positives.sum())
    if 0 < positives < n:
        return []
    what = "is no landslide at all" if not positives else "are landslides only"
    return [f"In the test part there {what}: what needs both classes is undefined; take another split or more ground."]


def counted_in_words(stride: int) -> str:
    """What is counted once: pixels, or squares of so many."""
    return "pixels" if stride == 1 else f"patches of {stride} x {stride} pixels"


def evaluate(
    bundle: Bundle | str | Path,
    stack: xr.Dataset | str | Path,
    *,
    out: str | Path | None = None,
    split: Split | str | Path | None = None,
    label: str | None = None,
    parts: Sequence[str] = PARTS,
    workers: int | None = None,
    name: str | None = None,
    seed: int = 0,
    kept: Path | None = None,
    overwrite: bool = False,
) -> Evaluation:
    """Scores a bundle on the parts of a split, with 95 % intervals from a block bootstrap.

    split: default is the one the bundle was trained with. label: name of the label band to score against; default is
    the one that the bundle has learned, where the stack has it. out: folder for metrics.csv and metrics.json.
    workers: threads, default all cores. kept: see `NetPredictor`, of the same weights on the same stack. Squares of
    about 1 km are resampled, or whole samples. Raises StackError where
    the stack does not fit the bundle, SplitError where the split does not fit the stack.
    """
    bundle = as_bundle(bundle)
    stack = stack if isinstance(stack, xr.Dataset) else open_stack(stack)
    opened = open_to_judge(bundle, stack, split=split, out=out, overwrite=overwrite)
    fit, split, folder = opened.fit, opened.split, opened.folder
    stack = with_label(stack, bundle.label if label is None and bundle.label in label_names(stack) else label)
    predictor = NetPredictor.of_bundle(bundle, kept=kept)
    evaluation = evaluate_predictor(
        predictor,
        stack,
        split,
        bands=fit.bands,
        recode=fit.recode,
        halo_px=halo_within(halo_of(predictor.net), stack, TILE_PX),
        name=name or bundle.net,
        threshold=bundle.threshold,
        squares=Squares.of_net(predictor.net),
        probabilities=predictor.gives_probabilities,
        parts=parts,
        workers=workers,
        seed=seed,
    )
    if folder is not None:
        write_table(evaluation.rows, folder)
        made = made_by(
            "evaluate",
            settings={"net": bundle.net, "parts": list(parts), "label": stack.attrs.get("label", LABEL)},
            inputs=[{"stack": fingerprint(stack)}],
            seed=seed,
        )
        write_json(folder / "made.json", {"made": made})
    return evaluation


def evaluate_predictor(
    predictor: Predictor,
    stack: xr.Dataset,
    split: Split,
    *,
    bands: Sequence[Any],
    halo_px: int,
    name: str,
    threshold: float = 0.5,
    recode: Recode | None = None,
    squares: Squares = PIXELS,
    probabilities: bool = True,
    parts: Sequence[str] = PARTS,
    workers: int | None = None,
    seed: int = 0,
) -> Evaluation:
    """Scores anything that turns a batch into probabilities, or into other scores in [0, 1]; see `evaluate`."""
    shape = (stack.sizes["y"], stack.sizes["x"])
    reader = TileReader(stack, bands, split=split)
    size = min(TILE_PX, -(-max(shape) // 64) * 64)
    # Of samples each is resampled as a whole: what is one chip tells one story.
    block_px = max(shape) if has_samples(stack) else max(1, round(BOOTSTRAP_BLOCK_M / stack_resolution_m(stack)))
    preview = Preview.of_shape(shape)
    scores, rows = {}, []
    for part in parts:
        tiles = train_tiles(split, part, size=size, halo=halo_px)
        scores[part] = score_part(
            predictor,
            reader,
            tiles,
            threshold=threshold,
            block_px=block_px,
            workers=workers or cores(),
            preview=preview,
            recode=recode,
            squares=squares,
            label=f"{name}: {part}",
        )
        rows += part_rows(
            scores[part],
            name=name,
            split=split.kind,
            part=part,
            threshold=threshold,
            probabilities=probabilities,
            seed=seed,
        )
    missing = [scores[part].histogram for part in parts if part == "test"]
    notes = (*(word for scored in missing for word in missing_class(scored)), *twins_in_words(stack, split))
    return Evaluation(name, split.kind, threshold, tuple(rows), scores, preview, squares.stride, probabilities, notes)


def part_rows(
    scores: PartScores,
    *,
    name: str,
    split: str,
    part: str,
    threshold: float,
    probabilities: bool = True,
    seed: int = 0,
) -> list[MetricRow]:
    """The rows of one part: exact values from the histogram, intervals from the blocks."""
    values = score(scores.histogram.counts(threshold))
    told = [metric for metric in METRICS if probabilities or metric not in OF_PROBABILITIES]
    rng = np.random.default_rng(seed)
    intervals: Mapping[str, Interval] = block_bootstrap(scores.blocks, rng, metrics=told, values=values)
    return rows_of(name, split, part, {metric: intervals.get(metric, float("nan")) for metric in METRICS})


def _told(row: MetricRow) -> str:
    return f"{row.value:.3f} [{row.low:.3f}, {row.high:.3f}]"
