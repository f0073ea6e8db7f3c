"""Metrics over any number of pixels in 5 MB: a fine histogram of probabilities, negatives and positives apart.

Counts and sums are integers, so no order of updates, chunks, threads or merges changes a single bit of a result. A loss
is taken at the mean probability of each bin and class: bins are 2^-12 wide, so that is right to 1e-8 of it. It refuses
probabilities that are NaN or outside [0, 1] under a label, and labels other than 0, 1 and 255. It knows nothing of
blocks on the ground: `intervals` does.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from headscarp.core.errors import StackError
from headscarp.evaluation import _kernels as k
from headscarp.evaluation import metrics
from headscarp.evaluation.bins import bin_edges, bin_of_threshold, cells_of_bins, ladders
from headscarp.evaluation.metrics import Counts
from headscarp.evaluation.pixels import bad_pixels, flat_pixels

LAYOUT = 2  # of to_arrays
_CARRIED_BITS = 23  # pixels of one bin and class that stay in its record; twice as many fit there, and a merge besides


@dataclass(frozen=True)
class Curve:
    """A curve over falling thresholds. x, y, threshold: (points,), the first threshold is inf (nothing is called)."""

    x: np.ndarray
    y: np.ndarray
    threshold: np.ndarray


@dataclass(frozen=True)
class Reliability:
    """Predicted beside observed, per cell. All (cells,); predicted and observed are NaN in an empty cell.

    low, high: edges of the cell. n: pixels. predicted: their mean probability. observed: their share of positives.
    """

    low: np.ndarray
    high: np.ndarray
    n: np.ndarray
    predicted: np.ndarray
    observed: np.ndarray


class ScoreHistogram:
    """Counts of (probability, label) pairs in 253,954 bins, 2^-12 of the smaller of p and 1 - p wide.

    One thread fills one histogram (the loop holds no lock, so threads run side by side); merge them after.
    """

    def __init__(self) -> None:
        self._records = np.zeros((2, k.ROWS), np.int64)  # as k.add_scores has them
        self._carried: np.ndarray | None = None  # (2, 2, bins) uint16: counts and low bits carried out of the records
        self._fullest = 0  # no record holds more pixels

    @classmethod
    def of(cls, probability: np.ndarray, label: np.ndarray) -> Self:
        """The histogram of whole arrays at once."""
        made = cls()
        made.update(probability, label)
        return made

    def update(self, probability: np.ndarray, label: np.ndarray) -> None:
        """Counts more pixels.

        probability: any shape, [0, 1], taken as float32. label: same shape, 1 = landslide, 0 = not, 255 = unlabelled
        (such pixels are ignored, whatever their probability). The negative log-likelihood keeps probabilities in
        [1e-7, 1 - 1e-7]. Raises StackError, with nothing counted, on NaN or on values out of range.
        """
        probability, label = flat_pixels(probability, label)
        bad_before = self._count(probability, label)
        if bad_before:
            self._take_out(probability[:bad_before], label[:bad_before])
            raise bad_pixels(probability, label)

    def _count(self, probability: np.ndarray, label: np.ndarray) -> int:
        """Counts pixels piece by piece, up to a piece with bad ones; returns where that ends, 0 where there is none."""
        for start in range(0, probability.size, k.PIECE):
            piece = slice(start, start + k.PIECE)
            bad = k.add_scores(probability[piece], label[piece], self._records.reshape(-1))
            self._grow(label[piece].size)
            if bad:
                return piece.stop
        return 0

    def merge(self, other: "ScoreHistogram") -> None:
        """Adds what another histogram has counted."""
        self._records += other._records
        if other._carried is not None:
            self._carried = other._carried + (0 if self._carried is None else self._carried)
        self._grow(other._fullest)

    def _grow(self, pixels: int) -> None:
        """Carries what is above _CARRIED_BITS out of the records before their bits could be too few, those of a merge
        included."""
        self._fullest += pixels
        if self._fullest >> (_CARRIED_BITS + 1):
            self._fullest = int(self._records[:, :-1].max() >> k.LOW_BITS)
            if self._fullest >> _CARRIED_BITS:
                self._set_sums(*self._sums())

    def _take_out(self, probability: np.ndarray, label: np.ndarray) -> None:
        """Puts back the records of pixels, some of them bad, that were counted before the bad ones were seen."""
        made = type(self)()
        made._count(probability, label)
        counts, lows = (mine - theirs for mine, theirs in zip(self._sums(), made._sums(), strict=True))
        self._set_sums(counts, lows)

    def _sums(self, bins: Any = slice(-1)) -> tuple[np.ndarray, np.ndarray]:
        """(2, bins) int64 twice: pixels, and sum of their low bits; negatives and positives of all bins or some."""
        records = self._records[:, bins]
        counts, lows = records >> k.LOW_BITS, records & ((1 << k.LOW_BITS) - 1)
        if self._carried is not None:
            carried = self._carried[..., bins if not isinstance(bins, slice) else slice(None)].astype(np.int64)
            counts, lows = counts + (carried[0] << _CARRIED_BITS), lows + (carried[1] << (_CARRIED_BITS + k.SHIFT))
        return counts, lows

    def _set_sums(self, counts: np.ndarray, lows: np.ndarray) -> None:
        of_counts, of_lows = _CARRIED_BITS, _CARRIED_BITS + k.SHIFT
        carried = np.stack([counts >> of_counts, lows >> of_lows]).astype(np.uint16)
        self._carried = carried if carried.any() else None
        kept = counts & ((1 << of_counts) - 1)
        self._records[:, :-1] = (kept << k.LOW_BITS) | (lows & ((1 << of_lows) - 1))
        self._records[:, -1] = 0
        self._fullest = int(kept.max())

    def _counts(self) -> np.ndarray:
        """(bins, 2) int64: negatives and positives."""
        return self._sums()[0].T

    @property
    def negatives(self) -> np.ndarray:
        """(bins,) int64, rising probability."""
        return self._counts()[:, 0]

    @property
    def positives(self) -> np.ndarray:
        """(bins,) int64, rising probability."""
        return self._counts()[:, 1]

    @property
    def edges(self) -> np.ndarray:
        """(bins,) float32: the smallest probability of each bin."""
        return bin_edges()

    @property
    def n(self) -> int:
        """Labelled pixels."""
        return int(self._counts().sum())

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self._records.nbytes + (0 if self._carried is None else self._carried.nbytes)

    def predicted_sums(self) -> np.ndarray:
        """(bins,) float64: exact sum of the probabilities in each bin (those up to 2^-40 count as 2^-40).

        Inside a bin all floats stand on one even ladder, so base and sum of the low bits give it.
        """
        (base, step), (counts, lows) = ladders(), self._sums()
        return base * counts.sum(axis=0) + step * lows.sum(axis=0)

    def _losses(self) -> tuple[float, float]:
        """Sums of the negative log-likelihood (clipped) and of the squared error, at the mean of each bin and class."""
        (base, step), (counts, lows) = ladders(), self._sums()
        label, bins = np.nonzero(counts)
        n = counts[label, bins].astype(np.float64)
        p = base[bins] + step[bins] * (lows[label, bins] / n)
        miss = np.where(label == 1, 1 - p, p)
        likelihood = np.clip(1 - miss, k.SMALLEST, 1 - k.SMALLEST)
        return float(-(n * np.log(likelihood)).sum()), float((n * miss**2).sum())

    def counts(self, threshold: float = 0.5, *, cells: int = k.CELLS) -> Counts:
        """What the metrics need. threshold: moved to the nearest bin edge, at most 2^-13 of it away."""
        counts = self._counts()
        called = counts[bin_of_threshold(threshold) :].sum(axis=0)
        nll, brier = self._losses()
        return Counts(
            negatives=counts[:, 0],
            positives=counts[:, 1],
            cells=self._in_cells(cells_of_bins(cells), cells),
            nll_sum=np.asarray(nll),
            brier_sum=np.asarray(brier),
            true_positives=called[1],
            false_positives=called[0],
        )

    def auroc(self) -> tuple[float, float]:
        """The area under the ROC curve and a bound of its error; (NaN, NaN) where one class is missing.

        Pairs in one bin count half, so the error is at most half the share of such pairs. The bound is rigorous and
        is reached only if every bin were sorted; in practice the error is about a thousandth of it.
        """
        used = np.flatnonzero(self._used())
        negatives, positives = self._sums(used)[0].astype(np.float64)
        pairs = float(negatives.sum() * positives.sum())
        if pairs == 0:
            return float("nan"), float("nan")
        return float(metrics.area(negatives, positives)), float(0.5 * (positives * negatives).sum() / pairs)

    def average_precision(self) -> float:
        """Average precision, pixels in one bin taken as tied; NaN where there is no positive."""
        return float(metrics.average_precision(self.counts()))

    def roc_curve(self, max_points: int = 1000) -> Curve:
        """x: false positive rate, y: true positive rate, from (0, 0) to (1, 1); thinned evenly along the curve."""
        true, false, threshold = self._called_at_falling_thresholds()
        x, y = _share(false, self.negatives.sum()), _share(true, self.positives.sum())
        return _thinned(x, y, threshold, max_points)

    def precision_recall_curve(self, max_points: int = 1000) -> Curve:
        """x: recall, y: precision (1 by convention where nothing is called); thinned evenly along the recall."""
        true, false, threshold = self._called_at_falling_thresholds()
        called = true + false
        y = np.divide(true, called, out=np.ones(called.size), where=called > 0)
        return _thinned(_share(true, self.positives.sum()), y, threshold, max_points)

    def reliability(self, bins: int = k.CELLS) -> Reliability:
        """Predicted beside observed in cells of equal width (edges moved to bin edges, 2^-12 away at most)."""
        return self._reliability(cells_of_bins(bins), bins)

    def reliability_by_mass(self, bins: int = k.CELLS) -> Reliability:
        """Predicted beside observed in cells that hold about equally many pixels; for rare events this sees more."""
        pixels = self._counts().sum(axis=1)
        middle = np.cumsum(pixels) - 0.5 * pixels
        cell_of_bin = np.minimum(middle * bins // max(pixels.sum(), 1), bins - 1).astype(np.intp)
        return self._reliability(cell_of_bin, bins)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Everything as plain arrays, for np.savez; only bins in use are kept."""
        used = np.flatnonzero(self._used())
        counts, lows = self._sums(used)
        return {"layout": np.array(LAYOUT), "bin": used.astype(np.int32), "counts": counts.T, "lows": lows.T}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> Self:
        """The histogram that to_arrays has written. Raises StackError on another layout."""
        if int(arrays["layout"]) != LAYOUT:
            raise StackError(
                f"these scores have layout {int(arrays['layout'])}, this version reads {LAYOUT}; evaluate again"
            )
        made = cls()
        counts, lows = made._sums()
        counts[:, arrays["bin"]] = arrays["counts"].T
        lows[:, arrays["bin"]] = arrays["lows"].T
        made._set_sums(counts, lows)
        return made

    def _used(self) -> np.ndarray:
        """(bins,) bool: which bins hold a pixel."""
        used: np.ndarray = (self._records[:, :-1] != 0).any(axis=0)
        return used if self._carried is None else used | self._carried.any(axis=(0, 1))

    def _called_at_falling_thresholds(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        counts = self._counts()
        used = np.flatnonzero(counts.any(axis=1))[::-1]
        called = np.vstack([np.zeros((1, 2), np.int64), np.cumsum(counts[used], axis=0)])
        return called[:, 1], called[:, 0], np.append(np.inf, self.edges[used].astype(np.float64))

    def _in_cells(self, cell_of_bin: np.ndarray, cells: int) -> np.ndarray:
        counts = self._counts()
        columns = (counts.sum(axis=1), counts[:, 1], self.predicted_sums())
        return np.stack([np.bincount(cell_of_bin, column, minlength=cells) for column in columns], axis=-1)

    def _reliability(self, cell_of_bin: np.ndarray, cells: int) -> Reliability:
        n, positives, predicted = self._in_cells(cell_of_bin, cells).T
        edges = np.append(self.edges.astype(np.float64), 1.0)[np.searchsorted(cell_of_bin, np.arange(cells + 1))]
        with np.errstate(invalid="ignore"):
            return Reliability(edges[:-1], edges[1:], n.astype(np.int64), predicted / n, positives / n)


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return part / whole if whole else np.full(part.shape, np.nan)


def _thinned(x: np.ndarray, y: np.ndarray, threshold: np.ndarray, max_points: int) -> Curve:
    """At most max_points of a curve, both ends kept, evenly spaced along |dx| + |dy|."""
    if x.size > max_points:
        path = np.cumsum(np.abs(np.diff(x, prepend=x[0])) + np.abs(np.diff(y, prepend=y[0])))
        wanted = np.searchsorted(path, np.linspace(0, path[-1], max_points - 1))
        keep = np.unique(np.append(np.minimum(wanted, x.size - 1), [0, x.size - 1]))
        x, y, threshold = x[keep], y[keep], threshold[keep]
    return Curve(x, y, threshold)
