"""What a comparison found: the table, its intervals over folds, and sentences. Scores are kept on disk for resume.

Values are means over folds; an interval resamples squares of ground inside each fold and averages over folds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headscarp.core.artefact import clear_os_errors
from headscarp.evaluation.evaluate import Evaluation, counted_in_words, missing_class
from headscarp.evaluation.intervals import BlockScores, Interval, resampled
from headscarp.evaluation.metrics import DESCRIPTIVE, LOWER_IS_BETTER, METRICS, OF_PROBABILITIES, majority_class, score
from headscarp.evaluation.scoring import PartScores, Preview
from headscarp.evaluation.streaming import ScoreHistogram
from headscarp.evaluation.tables import PARTS, MetricRow, as_markdown, rows_of

RESAMPLES = 1000
WORDS_METRICS = ("nll", "auroc", "average_precision")

RunKey = tuple[str, int, str]


@dataclass(frozen=True)
class RunScores:
    """The scores of one net on one fold: by part, with the threshold they were cut at and a small map.

    stride, probabilities: as in Evaluation.
    """

    parts: Mapping[str, PartScores]
    threshold: float
    preview: Preview
    stride: int = 1
    probabilities: bool = True


@dataclass(frozen=True)
class Comparison:
    """rows: the tidy table. runs: scores of each (split, fold, net). sentences: what is better than what."""

    rows: tuple[MetricRow, ...]
    runs: Mapping[RunKey, RunScores]
    sentences: tuple[str, ...]

    @property
    def strides(self) -> dict[str, int]:
        """By net the side in pixels of the squares that it was scored in."""
        return {net: run.stride for (_, _, net), run in self.runs.items()}

    @property
    def markdown(self) -> str:
        """The paper's Table 2 for this data: negative log-likelihood, skill and AUROC, test and training part."""
        return as_markdown(self.rows, metrics=("nll", "auroc"), parts=("test", "train"), digits=4)

    def best(self, split: str, among: Sequence[str], metric: str = "nll") -> str:
        """The net with the best test value on a split."""
        sign = 1 if metric in LOWER_IS_BETTER else -1
        rows = [r for r in self.rows if (r.split, r.part, r.metric) == (split, "test", metric) and r.net in among]
        return min(rows, key=lambda r: sign * r.value if np.isfinite(r.value) else np.inf).net


def save_scores(evaluation: Evaluation, folder: Path) -> Path:
    """Writes the scores of an evaluation as scores.npz, whole or not at all."""
    arrays: dict[str, np.ndarray] = {
        "threshold": np.array(evaluation.threshold),
        "stride": np.array(evaluation.stride),
        "probabilities": np.array(evaluation.probabilities),
        "preview/step": np.array(evaluation.preview.step),
        "preview/probability": evaluation.preview.probability,
        "preview/labels": evaluation.preview.labels,
    }
    for part, scores in evaluation.parts.items():
        arrays |= {f"{part}/histogram/{name}": array for name, array in scores.histogram.to_arrays().items()}
        arrays |= {f"{part}/blocks/{name}": array for name, array in scores.blocks.to_arrays().items()}
    partial, path = folder / ".scores.npz", folder / "scores.npz"
    with clear_os_errors(path):
        folder.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
        partial.replace(path)
    return path


def load_scores(folder: Path) -> RunScores:
    """The scores that save_scores has written."""
    with np.load(folder / "scores.npz") as file:
        arrays = dict(file)
    parts = {}
    for part in [p for p in PARTS if f"{p}/histogram/layout" in arrays]:
        parts[part] = PartScores(
            ScoreHistogram.from_arrays(_under(arrays, f"{part}/histogram/")),
            BlockScores.from_arrays(_under(arrays, f"{part}/blocks/")),
        )
    preview = Preview(int(arrays["preview/step"]), arrays["preview/probability"], arrays["preview/labels"])
    stride, probabilities = int(arrays.get("stride", 1)), bool(arrays.get("probabilities", True))
    return RunScores(parts, float(arrays["threshold"]), preview, stride, probabilities)


def summarise(
    runs: Mapping[RunKey, RunScores], *, nets: Sequence[str], splits: Sequence[str], seed: int = 0
) -> Comparison:
    """The table and the sentences of a comparison from the scores of its runs."""
    rows: list[MetricRow] = []
    sentences: list[str] = []
    for split in splits:
        folds = sorted({fold for s, fold, _ in runs if s == split})
        for part in PARTS:
            draws = _draws(runs, split, folds, nets, part, seed)
            for net in nets:
                values = _mean_scores([runs[split, fold, net] for fold in folds], part)
                if values:
                    rows += rows_of(net, split, part, {m: _interval(values[m], draws[net][m], m) for m in METRICS})
            if part == "test":
                for stride, alike in _by_stride(runs, nets).items():
                    sentences += _words(rows, draws, split, alike) + _majority(rows, split, alike, stride)
                sentences += _missing(runs, split, folds, nets[0])
    sentences += _flattery(rows, nets, splits)
    return Comparison(tuple(rows), runs, tuple(sentences))


def _draws(
    runs: Mapping[RunKey, RunScores], split: str, folds: Sequence[int], nets: Sequence[str], part: str, seed: int
) -> dict[str, dict[str, np.ndarray]]:
    """By net and metric: (RESAMPLES,) the mean over folds, the same squares of ground drawn for every net."""
    per_fold = []
    for fold in folds:
        several = [runs[split, fold, net].parts[part].blocks for net in nets]
        per_fold.append(resampled(several, np.random.default_rng([seed, fold]), resamples=RESAMPLES))
    return {
        net: {m: np.mean([per_fold[f][i][m] for f in range(len(folds))], axis=0) for m in METRICS}
        for i, net in enumerate(nets)
    }


def _mean_scores(several: Sequence[RunScores], part: str) -> dict[str, float]:
    found = [score(run.parts[part].histogram.counts(run.threshold)) for run in several if part in run.parts]
    if not found:
        return {}
    means = {metric: float(np.mean([values[metric] for values in found])) for metric in METRICS}
    if not all(run.probabilities for run in several):
        means |= dict.fromkeys(OF_PROBABILITIES, float("nan"))
    return {**means, "n": float(np.sum([values["n"] for values in found]))}


def _interval(value: float, draws: np.ndarray, metric: str) -> Interval:
    kept = draws[np.isfinite(draws)]
    if metric in DESCRIPTIVE or kept.size == 0 or not np.isfinite(value):
        return Interval(value, float("nan"), float("nan"))
    low, high = np.quantile(kept, [0.025, 0.975])
    return Interval(value, min(float(low), value), max(float(high), value), int(draws.size - kept.size))


def _words(
    rows: Sequence[MetricRow], draws: Mapping[str, Mapping[str, np.ndarray]], split: str, nets: Sequence[str]
) -> list[str]:
    """For each metric: what the leader beats beyond the interval, and what it does not."""
    sentences = []
    for metric in WORDS_METRICS:
        sign = 1 if metric in LOWER_IS_BETTER else -1
        values = {r.net: r.value for r in rows if (r.split, r.part, r.metric) == (split, "test", metric)}
        ranked = sorted((n for n in nets if np.isfinite(values.get(n, np.nan))), key=lambda n: sign * values[n])
        for place, net in enumerate(ranked[:-1]):
            beaten = [n for n in ranked[place + 1 :] if _beyond(sign * (draws[n][metric] - draws[net][metric]))]
            tied = [n for n in ranked[place + 1 :] if n not in beaten]
            parts = [f"better than {', '.join(beaten)}"] if beaten else []
            parts += [f"not distinguishable from {', '.join(tied)}"] if tied else []
            sentences.append(f"{split} split, test {metric}: {net} ({values[net]:.4f}) is {'; '.join(parts)}.")
    return sentences


def _by_stride(runs: Mapping[RunKey, RunScores], nets: Sequence[str]) -> dict[int, list[str]]:
    """Nets by what they were counted in, pixels first: a score of patches says nothing beside one of pixels."""
    strides = {net: run.stride for (_, _, net), run in runs.items()}
    return {stride: [net for net in nets if strides[net] == stride] for stride in sorted(set(strides.values()))}


def _majority(rows: Sequence[MetricRow], split: str, nets: Sequence[str], stride: int) -> list[str]:
    """What always saying the commoner class gets right, beside what each net does."""
    by = {(r.net, r.metric): r.value for r in rows if (r.split, r.part) == (split, "test")}
    shares = [by[net, "prevalence"] for net in nets if np.isfinite(by.get((net, "prevalence"), np.nan))]
    if not shares:
        return [f"{split} split: nothing is labelled in the test part."]
    word = "no landslide" if shares[0] <= 0.5 else "landslide"
    told = ", ".join(f"{net} {by[net, 'accuracy']:.4f}" for net in nets if (net, "accuracy") in by)
    right = majority_class(shares[0])["accuracy"]
    majority = f'always saying "{word}", the majority class, is right on {right:.4f} of the {counted_in_words(stride)}'
    return [f"{split} split, test accuracy: {majority}; {told}."]


def _missing(runs: Mapping[RunKey, RunScores], split: str, folds: Sequence[int], net: str) -> list[str]:
    """What a test part lacks, by fold, in words."""
    told = [(fold, missing_class(runs[split, fold, net].parts["test"].histogram)) for fold in folds]
    return [f"{split} split, fold {fold}: {sentence}" for fold, sentences in told for sentence in sentences]


def _beyond(gain: np.ndarray) -> bool:
    """Whether a gain is above 0 in 97.5 % of the resamples."""
    kept = gain[np.isfinite(gain)]
    return kept.size > 0 and float(np.quantile(kept, 0.025)) > 0


def _flattery(rows: Sequence[MetricRow], nets: Sequence[str], splits: Sequence[str]) -> list[str]:
    """How much better the random split makes each net look than the blocked one."""
    if not {"blocks", "random"} <= set(splits):
        return []
    by = {(r.net, r.split): r.value for r in rows if r.part == "test" and r.metric == "auroc"}
    gains = [f"{net} {by[net, 'random'] - by[net, 'blocks']:+.3f}" for net in nets if (net, "random") in by]
    return [f"AUROC on the random split minus the blocked one, the optimism of neighbours: {', '.join(gains)}."]


def _under(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
