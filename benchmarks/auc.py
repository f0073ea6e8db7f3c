"""Streaming AUROC of 40 million pixels against scikit-learn's roc_auc_score on the same arrays.

The streaming side does all that an evaluation needs in its one pass: checks, histogram, likelihood, Brier score. It
runs on as many threads as there are cores; the figure of one thread is printed beside it. It is so short that a
round repeats it, and its time is the mean. Error: against scikit-learn's exact value. Bound: half the share of tied
pairs, which no order inside the bins can exceed.
"""

import argparse
import os
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from _bench import alternate, describe_machine, print_table, timed, verdict
from sklearn.metrics import roc_auc_score

from headscarp.evaluation.streaming import ScoreHistogram

MIN_RATIO, MAX_ERROR, MAX_BYTES = 200, 1e-6, 8e6
REPEATS = 10


def main() -> int:
    """Print the table and the bars; exit code 1 when one is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pixels", type=int, default=40_000_000)
    parser.add_argument("--rounds", type=int, default=5, help="sorting 40 million pixels takes seconds")
    options = parser.parse_args()
    print(describe_machine())
    rows, bars = [], []
    for name, spread in (("doubtful net", 1.5), ("sure net", 4.0)):
        probability, label = pixels_like_a_net(options.pixels, spread, np.random.default_rng(7))
        # Timed without a warm-up of its own: scikit-learn has nothing to compile. Ours has, and is called before.
        streaming(probability[:1000], label[:1000], os.cpu_count() or 1)
        found = alternate(
            lambda p=probability, y=label: roc_auc_score(y, p),
            lambda p=probability, y=label: repeated(p, y, os.cpu_count() or 1),
            options.rounds,
            warm_up=False,
        )
        one_s = timed(lambda p=probability, y=label: repeated(p, y, 1))[0] / REPEATS
        ratio = found["ratio"] * REPEATS
        histogram = found["b_result"]
        value, bound = histogram.auroc()
        error = abs(value - found["a_result"])
        rows.append(
            {
                "scores": name,
                "sklearn s": found["a_s"],
                "streaming s": found["b_s"] / REPEATS,
                "one thread s": one_s,
                "ratio": ratio,
                "AUROC": value,
                "error": error,
                "bound": bound,
                "MB": histogram.nbytes / 1e6,
            }
        )
        bars += [
            (f"{name}: {ratio:.0f}x, at least {MIN_RATIO}x", ratio >= MIN_RATIO),
            (f"{name}: error {error:.1e}, at most {MAX_ERROR:.0e}", error <= MAX_ERROR),
            (f"{name}: error within its bound {bound:.1e}", error <= bound),
            (f"{name}: {histogram.nbytes / 1e6:.1f} MB, under {MAX_BYTES / 1e6:.0f}", histogram.nbytes < MAX_BYTES),
        ]
    print_table(rows, title=f"AUROC of {options.pixels / 1e6:.0f} million pixels, median of {options.rounds} rounds")
    return verdict(bars)


def repeated(probability: np.ndarray, label: np.ndarray, threads: int) -> ScoreHistogram:
    """The last of REPEATS whole runs."""
    return [streaming(probability, label, threads) for _ in range(REPEATS)][-1]


def streaming(probability: np.ndarray, label: np.ndarray, threads: int) -> ScoreHistogram:
    """One histogram per thread, merged; the AUROC is taken too, so that its time counts."""
    parts = zip(np.array_split(probability, threads), np.array_split(label, threads), strict=True)
    with ThreadPoolExecutor(threads) as pool:
        first, *others = pool.map(lambda part: ScoreHistogram.of(*part), parts)
    for other in others:
        first.merge(other)
    first.auroc()
    return first


def pixels_like_a_net(n: int, spread: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Calibrated probabilities with normal log-odds around 1 %, and labels drawn from them."""
    odds = rng.standard_normal(n, dtype=np.float32)
    odds *= spread
    odds -= 5
    probability = 1 / (1 + np.exp(-odds))
    return probability, (rng.random(n, dtype=np.float32) < probability).astype(np.uint8)


if __name__ == "__main__":
    sys.exit(main())
