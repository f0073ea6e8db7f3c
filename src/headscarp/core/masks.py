"""The one mask of a suite of futures: what to call changed, so that it overlaps most with what may come.

What changes in half of the futures or more is the mask with the fewest wrong pixels. It is not the one that overlaps
most with what comes: where no pixel is sure, that one is larger (Nowozin 2014). Pixels are ranked, and the mask takes
as many of them as overlap most with the futures on the mean; ranking first loses little (Dai and Li 2022). Where
somebody says how likely each pixel is to change, that ranks and counts, as if pixels were independent: a few futures
know it less well. Counts of pixels by their rank are all that is needed, and those of blocks add up. Refuses suites
without a future.
"""

import numpy as np
from numpy.typing import NDArray

from headscarp.core.errors import StackError

LEVELS = 64
"""Steps of probability that pixels are ranked by."""
LEAST = 0.05
"""Probability below which a pixel is in no mask: what a net that learns squares says of sure ground is about that."""

Bools = NDArray[np.bool_]
Floats = NDArray[np.floating]
Ranks = NDArray[np.unsignedinteger]
Counts = NDArray[np.float64]


def best_mask(changed: Bools) -> Bools:
    """The mask that overlaps most with futures, on the mean: its pixels are those that most futures change.

    changed: (M, ...) where each future changes. Returns (...). The order of futures means nothing. Raises StackError.
    """
    futures = Together(changed.shape[1:])
    for one in changed:
        futures.add(one)
    return np.asarray(futures.times >= least_rank(futures.counts()))


def likely_mask(likely: Floats) -> Bools:
    """The same where one says how likely each pixel is to change, (...) in [0, 1]: pixels are taken as independent, and
    as many."""
    return np.asarray(ranks_of(likely) >= least_rank(likely_counts(likely)))


def likely_counts(likely: Floats) -> Counts:
    """(2, L) how many pixels of each rank are probably changed, and how many there are of it; of parts these add up."""
    ranks = ranks_of(likely)
    probable = np.where(ranks > 0, likely, 0.0)
    own = np.bincount(ranks.ravel(), probable.ravel(), LEVELS + 1)
    return np.stack([own, np.bincount(ranks.ravel(), minlength=LEVELS + 1)])


def ranks_of(likely: Floats) -> Ranks:
    """(...) ranks of probabilities, LEVELS the highest; 0, in no mask, below LEAST and where missing."""
    there = np.nan_to_num(np.asarray(likely, np.float64))
    return np.where(there < LEAST, 0, there * LEVELS).astype(np.uint8)


class Together:
    """Futures of a place, or of a part of it, added one at a time and kept as a bit a pixel.

    times: (...) how many of them change each pixel."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.times = np.zeros(shape, np.uint16)
        self._bits: list[NDArray[np.uint8]] = []

    @property
    def many(self) -> int:
        """How many futures were added."""
        return len(self._bits)

    def add(self, changed: Bools) -> None:
        """changed: (...) where one more future changes."""
        self.times += changed
        self._bits.append(np.packbits(changed))

    def counts(self) -> Counts:
        """(M + 1, M + 1) how many pixels each of M futures changes of each rank, which is how many futures change a
        pixel, and last how many there are of it. Those of parts of a place add up to those of the place. Raises
        StackError without futures."""
        if not self._bits:
            raise StackError("a suite without a future has no mask; draw one or more")
        of_pixels, most = self.times.ravel(), len(self._bits) + 1
        changed = (np.unpackbits(bits, count=of_pixels.size).view(np.bool_) for bits in self._bits)
        rows = [np.bincount(of_pixels[one], minlength=most) for one in changed]
        return np.stack([*rows, np.bincount(of_pixels, minlength=most)]).astype(np.float64)


def least_rank(counts: Counts) -> int:
    """From which rank on pixels are in the mask: the one with which the mean intersection over union with the single
    futures is highest, and of equals the largest. One more than the highest rank: nothing is.

    counts: see `Together`. Futures that change nothing are left out of that mean, as a place where nothing came has no
    overlap to score; where they are more than half of all, nothing is the better word.
    """
    total = counts[:-1].sum(axis=1)  # (M,)
    there = total > 0
    if 2 * int(there.sum()) < len(total):
        return counts.shape[1]
    from_rank = counts[:, :0:-1].cumsum(axis=1)[:, ::-1]  # (M + 1, L - 1): changed, and all, from each rank but 0 on
    both, mask = from_rank[:-1][there], from_rank[-1]
    overlap = (both / (total[there, None] + mask - both)).mean(axis=0)
    return counts.shape[1] - 1 - int(np.argmax(overlap[::-1]))
