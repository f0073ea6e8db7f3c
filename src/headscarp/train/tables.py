"""Baselines on tables: logistic regression and random forest by scikit-learn, on pixels without their neighbours.

They see the same training pixels, splits and test pixels as the nets. Negatives are thinned for speed and the
probabilities corrected back to the natural prevalence, so that their likelihood is comparable.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from headscarp.core.band import Band
from headscarp.core.calibration import fit_platt
from headscarp.core.stack import feature_bands
from headscarp.evaluation.evaluate import Evaluation, evaluate_predictor
from headscarp.evaluation.metrics import best_f1_threshold
from headscarp.evaluation.streaming import ScoreHistogram
from headscarp.nets.batch import Batch
from headscarp.tiles.partition import Split
from headscarp.tiles.statistics import encoded, labelled_table

MOST_ROWS = 1_000_000
NEGATIVES_PER_POSITIVE = 10


def logistic(seed: int, workers: int) -> Any:
    """Logistic regression on standardised features, with next to no penalty."""
    del seed, workers
    return make_pipeline(StandardScaler(), LogisticRegression(C=1e3, max_iter=1000))


def forest(seed: int, workers: int) -> Any:
    """Random forest of 300 trees; leaves of 5 pixels keep probabilities away from 0 and 1."""
    return RandomForestClassifier(300, min_samples_leaf=5, random_state=seed, n_jobs=workers)


TABLE_MODELS: dict[str, Callable[[int, int], Any]] = {"logistic": logistic, "forest": forest}


class TablePredictor:
    """A fitted scikit-learn classifier as a predictor: pixel by pixel, with the prior put right and calibrated."""

    def __init__(self, model: Any, bands: Sequence[Band], *, log_odds_shift: float = 0.0) -> None:
        self.model, self.bands, self.shift = model, tuple(bands), log_odds_shift
        self.calibrate: Callable[[np.ndarray], np.ndarray] = lambda p: p

    def rows(self, features: np.ndarray) -> np.ndarray:
        """(n,) float32 probabilities of encoded rows (n, F)."""
        p = np.clip(self.model.predict_proba(features)[:, 1], 1e-6, 1 - 1e-6)
        odds = np.exp(np.log(p) - np.log1p(-p) + self.shift)
        return self.calibrate((odds / (1 + odds)).astype(np.float32))

    def __call__(self, batch: Batch) -> np.ndarray:
        x = batch.x.numpy()
        out = np.full((len(x), *x.shape[-2:]), np.nan, np.float32)
        wanted = batch.valid.numpy() if batch.y is None else (batch.y != 255).numpy()
        for plane, pixels, where in zip(out, x, wanted, strict=True):
            if where.any():
                plane[where] = self.rows(encoded(pixels[:, where], self.bands))
        return out


def fit_table_model(name: str, stack: xr.Dataset, split: Split, *, seed: int = 0, workers: int = 1) -> Evaluation:
    """Fits one of TABLE_MODELS on the training part, calibrates on validation, and scores every part."""
    bands = feature_bands(stack)
    x, y, *_ = labelled_table(stack, bands, split=split, part="train", limit=MOST_ROWS, seed=seed)
    rows, shift = thinned(y, np.random.default_rng(seed))
    model = TABLE_MODELS[name](seed, workers).fit(x[rows], y[rows])
    predictor = TablePredictor(model, bands, log_odds_shift=shift)
    x, y, *_ = labelled_table(stack, bands, split=split, part="validation", limit=MOST_ROWS, seed=seed)
    calibration = fit_platt(ScoreHistogram.of(predictor.rows(x), y))
    predictor.calibrate = calibration.apply
    threshold = best_f1_threshold(ScoreHistogram.of(predictor.rows(x), y))
    return evaluate_predictor(
        predictor,
        stack,
        split,
        bands=bands,
        halo_px=0,
        name=name,
        threshold=threshold if np.isfinite(threshold) else 0.5,
        workers=1,
        seed=seed,
    )


def thinned(y: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Rows to fit on, all positives and ten negatives for each, and what to add to the log-odds afterwards.

    The shift undoes the thinning: a classifier fitted on a share s of the negatives is ln(s) too high in log-odds
    (King and Zeng 2001).
    """
    positives, negatives = np.flatnonzero(y == 1), np.flatnonzero(y == 0)
    wanted = min(len(negatives), max(NEGATIVES_PER_POSITIVE * len(positives), 1000))
    kept = rng.choice(negatives, wanted, replace=False)
    return np.sort(np.concatenate([positives, kept])), float(np.log(wanted / max(len(negatives), 1)))
