"""How sure a metric is: intervals by resampling spatial blocks, for one net and for the difference of two.

Neighbouring pixels tell nearly the same story, so resampling pixels would give intervals that are far too narrow;
whole blocks of ground are drawn with replacement instead. About 4 KB are kept per block, whatever its size. The
values here stand on coarser bins than `streaming` has: take the value from there and the interval from here.
With fewer than two blocks there is no interval: it is NaN, not zero wide.
"""

import warnings
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from headscarp.core.errors import HeadscarpWarning, SplitError, StackError
from headscarp.evaluation import _kernels as k
from headscarp.evaluation.bins import bin_of_threshold, cells_of_bins
from headscarp.evaluation.metrics import DESCRIPTIVE, LOWER_IS_BETTER, METRICS, Counts
from headscarp.evaluation.pixels import checked_pixels

_SUMS = 3 * k.CELLS + 4
_BLOCKS_AT_ONCE = 2048
_RESAMPLES_AT_ONCE = 250


@dataclass(frozen=True)
class Interval:
    """A metric and its interval. low, high: NaN where undefined. dropped: resamples in which it was undefined."""

    value: float
    low: float
    high: float
    dropped: int = 0


class BlockScores:
    """Compact scores of each spatial block: 497 bins of odds, 8 an octave, and exact sums for the other metrics.

    threshold: probability at or above which a pixel is called positive (moved to the nearest bin edge, as in
    ScoreHistogram.counts). Blocks are named by anything hashable; a block without labelled pixels is not kept.
    """

    def __init__(self, threshold: float = 0.5) -> None:
        self.threshold = threshold
        self._threshold_bin = bin_of_threshold(threshold)
        self._rows: dict[Hashable, tuple[np.ndarray, np.ndarray]] = {}

    def update(self, block: Hashable | np.ndarray, probability: np.ndarray, label: np.ndarray) -> None:
        """Counts more pixels of one block (block: its name) or of several (block: integers, one per pixel).

        probability, label: as in ScoreHistogram.update. A block may come in any number of pieces.
        """
        flat, codes = checked_pixels(probability, label)
        if not isinstance(block, np.ndarray):
            self._add(int(block) if isinstance(block, np.integer) else block, flat, codes)
            return
        if block.shape != np.shape(label):
            raise StackError(f"blocks have shape {block.shape} and labels {np.shape(label)}; give one block per pixel")
        if block.size == 0:
            return
        order = np.argsort(block, axis=None, kind="stable")
        names, starts = np.unique(block.reshape(-1)[order], return_index=True)
        for name, of_block in zip(names.tolist(), np.split(order, starts[1:]), strict=True):
            self._add(name, flat[of_block], codes[of_block])

    def merge(self, other: "BlockScores") -> None:
        """Adds what another has counted at the same threshold. Raises StackError at a different one."""
        if other._threshold_bin != self._threshold_bin:
            raise StackError(
                f"scores at threshold {self.threshold} and {other.threshold} do not add up; count both at one"
            )
        for name, (histogram, sums) in other._rows.items():
            own_histogram, own_sums = self._row(name)
            own_histogram += histogram
            own_sums += sums

    @property
    def names(self) -> list[Hashable]:
        """The blocks, in an order that does not depend on which came first."""
        return sorted(self._rows, key=lambda name: (type(name).__name__, name))

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(histogram.nbytes + sums.nbytes for histogram, sums in self._rows.values())

    def counts(self, weights: np.ndarray | None = None) -> Counts:
        """What the metrics need, blocks weighted. weights: (R, blocks), how often each block of `names` is drawn
        in each resample, or None for every block once. Returns Counts with leading axis (R,) or none."""
        weigh = np.ones((1, len(self))) if weights is None else weights
        names, total = self.names, np.zeros((len(weigh), 2 * k.COARSE_BINS + _SUMS))
        for start in range(0, len(names), _BLOCKS_AT_ONCE):
            part = slice(start, start + _BLOCKS_AT_ONCE)
            total += weigh[:, part] @ self._flat(names[part])
        made = _counts_of(total)
        return made if weights is not None else Counts(**{key: value[0] for key, value in vars(made).items()})

    def pixels(self, names: Sequence[Hashable]) -> np.ndarray:
        """(blocks, 2) int64: negatives and positives of each named block."""
        rows = [self._rows[name][0].sum(axis=0, dtype=np.int64) for name in names]
        return np.array(rows, np.int64).reshape(-1, 2)

    def _add(self, name: Hashable, flat: np.ndarray, codes: np.ndarray) -> None:
        if not (codes != k.UNLABELLED).any():
            return
        histogram, sums = self._row(name)
        k.add_block_scores(flat, codes, (cells_of_bins(k.CELLS), self._threshold_bin), histogram, sums)

    def _row(self, name: Hashable) -> tuple[np.ndarray, np.ndarray]:
        if name not in self._rows:
            self._rows[name] = np.zeros((k.COARSE_BINS, 2), np.uint32), np.zeros(_SUMS, np.int64)
        return self._rows[name]

    def _flat(self, names: Sequence[Hashable]) -> np.ndarray:
        """(blocks, 2 * COARSE_BINS + _SUMS) float64."""
        rows = [np.concatenate([h.reshape(-1), s], dtype=np.float64) for h, s in map(self._rows.__getitem__, names)]
        return np.array(rows)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Everything as plain arrays, for np.savez. Block names must be all integers or all text."""
        names = self.names
        return {
            "threshold": np.array(self.threshold),
            "names": np.array(names),
            "histogram": np.array([self._rows[name][0] for name in names]).reshape(-1, k.COARSE_BINS, 2),
            "sums": np.array([self._rows[name][1] for name in names]).reshape(-1, _SUMS),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """The scores that to_arrays has written."""
        made = cls(float(arrays["threshold"]))
        for name, histogram, sums in zip(arrays["names"].tolist(), arrays["histogram"], arrays["sums"], strict=True):
            made._rows[name] = histogram.astype(np.uint32), sums.astype(np.int64)
        return made


def block_bootstrap(
    blocks: BlockScores,
    rng: np.random.Generator,
    *,
    metrics: Sequence[str] = tuple(METRICS),
    resamples: int = 1000,
    level: float = 0.95,
    values: Mapping[str, float] | None = None,
) -> dict[str, Interval]:
    """The percentile interval of each metric over resamples of whole blocks (Efron and Tibshirani 1993).

    Resamples in which a metric is undefined (no positive drawn, say) are dropped and counted; a HeadscarpWarning
    tells where more than a twentieth was. values: exact values by name, where known; an interval moves by what the
    coarse bins are off, so that both belong together. Intervals from few blocks (fewer than about 20) are too narrow.
    """
    draws = resampled([blocks], rng, metrics=metrics, resamples=resamples)[0]
    whole = blocks.counts() if len(blocks) else None
    found = {}
    for name in metrics:
        coarse = float(METRICS[name](whole)) if whole else float("nan")
        value = coarse if values is None else float(values.get(name, coarse))
        found[name] = interval_of(value, draws[name] + _shift(value, coarse), level)
    _warn_of_dropped(found, resamples)
    return found


def paired_difference(
    blocks_a: BlockScores,
    blocks_b: BlockScores,
    metric: str,
    rng: np.random.Generator,
    *,
    resamples: int = 1000,
    level: float = 0.95,
    values: tuple[float, float] | None = None,
) -> Interval:
    """Metric of a minus metric of b with its interval, the same blocks drawn for both.

    That takes out what makes some blocks hard for every net, so small differences show. values: the two exact values,
    where known, as in block_bootstrap. Raises SplitError where the two were not counted over the same pixels of the
    same blocks.
    """
    _check_same_ground(blocks_a, blocks_b)
    drawn_a, drawn_b = resampled([blocks_a, blocks_b], rng, metrics=(metric,), resamples=resamples)
    coarse = float(METRICS[metric](blocks_a.counts()) - METRICS[metric](blocks_b.counts()))
    value = coarse if values is None else values[0] - values[1]
    return interval_of(value, drawn_a[metric] - drawn_b[metric] + _shift(value, coarse), level)


def in_words(metric: str, difference: Interval, name_a: str, name_b: str) -> str:
    """A sentence: which of two is better in a metric, or that the interval does not tell.

    difference: of a minus b, as paired_difference gives it.
    """
    span = f"(interval {difference.low:+.4f} to {difference.high:+.4f})"
    if not np.isfinite([difference.low, difference.high]).all():
        return f"{name_a} and {name_b} cannot be compared in {metric}: too few blocks or one class only"
    if metric in DESCRIPTIVE or difference.low <= 0 <= difference.high:
        return f"{name_a} and {name_b} do not differ in {metric} beyond the interval: {difference.value:+.4f} {span}"
    a_is_better = (difference.value > 0) != (metric in LOWER_IS_BETTER)
    better, worse = (name_a, name_b) if a_is_better else (name_b, name_a)
    return f"{better} is better than {worse} in {metric}: {name_a} - {name_b} = {difference.value:+.4f} {span}"


def resampled(
    several: Sequence[BlockScores],
    rng: np.random.Generator,
    *,
    metrics: Sequence[str] = tuple(METRICS),
    resamples: int = 1000,
) -> list[dict[str, np.ndarray]]:
    """Metrics of each resample, the same draws for every member of `several` (nets over the same blocks; those that
    only some have, since they are scored in larger squares, are empty for the others).

    Returns for each a dict name -> (resamples,), NaN where undefined; all NaN with fewer than two blocks.
    """
    found: list[dict[str, list[np.ndarray]]] = [{name: [] for name in metrics} for _ in several]
    every = sorted(set().union(*(blocks.names for blocks in several)), key=lambda name: (type(name).__name__, name))
    at = {name: place for place, name in enumerate(every)}
    n_blocks = len(every)
    if n_blocks < 2:
        return [{name: np.full(resamples, np.nan) for name in metrics} for _ in several]
    for weights in drawn_weights(n_blocks, rng, resamples):
        for blocks, values in zip(several, found, strict=True):
            counts = blocks.counts(weights[:, [at[block] for block in blocks.names]])
            for name in metrics:
                values[name].append(METRICS[name](counts))
    return [{name: np.concatenate(parts) for name, parts in values.items()} for values in found]


def drawn_weights(n_blocks: int, rng: np.random.Generator, resamples: int) -> Iterator[np.ndarray]:
    """(R, blocks) float64 parts of how often each block is drawn; the draws do not depend on the size of parts."""
    for start in range(0, resamples, _RESAMPLES_AT_ONCE):
        rows = range(start, min(start + _RESAMPLES_AT_ONCE, resamples))
        yield np.array([np.bincount(rng.integers(0, n_blocks, n_blocks), minlength=n_blocks) for _ in rows], np.float64)


def _counts_of(total: np.ndarray) -> Counts:
    """Counts with leading axis (R,) from weighted sums of flat rows."""
    histogram = total[:, : 2 * k.COARSE_BINS].reshape(len(total), k.COARSE_BINS, 2)
    sums = total[:, 2 * k.COARSE_BINS :]
    cells = sums[:, : 3 * k.CELLS].reshape(len(total), k.CELLS, 3) * (1, 1, k.BLOCK_UNIT)
    nll, brier, true, false = sums[:, 3 * k.CELLS :].T
    return Counts(
        negatives=histogram[..., 0],
        positives=histogram[..., 1],
        cells=cells,
        nll_sum=nll * k.BLOCK_UNIT,
        brier_sum=brier * k.BLOCK_UNIT,
        true_positives=true,
        false_positives=false,
    )


def interval_of(value: float, draws: np.ndarray, level: float = 0.95) -> Interval:
    """The percentile interval of a value from its draws (R,); NaN among them are dropped and counted."""
    kept = draws[np.isfinite(draws)]
    if kept.size == 0:
        return Interval(value, float("nan"), float("nan"), draws.size)
    low, high = np.quantile(kept, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high), int(draws.size - kept.size))


def _shift(value: float, coarse: float) -> float:
    """What the coarse bins are off; 0 where either is undefined."""
    return value - coarse if np.isfinite(value - coarse) else 0.0


def _warn_of_dropped(found: Mapping[str, Interval], resamples: int) -> None:
    worst = max(found, key=lambda name: found[name].dropped, default=None)
    if worst is None or not resamples / 20 < found[worst].dropped < resamples:
        return
    text = (
        f"{found[worst].dropped} of {resamples} resamples had no {worst} (a class is missing in them): the interval "
        "rests on the others; use more or larger blocks"
    )
    warnings.warn(text, HeadscarpWarning, stacklevel=3)


def _check_same_ground(a: BlockScores, b: BlockScores) -> None:
    if a.names != b.names:
        raise SplitError(
            f"the two were counted over {len(a)} and {len(b)} blocks that are not the same; evaluate both on one split"
        )
    if not np.array_equal(a.pixels(a.names), b.pixels(b.names)):
        raise SplitError("the two saw different pixels of the same blocks; evaluate both with one mask of labels")
