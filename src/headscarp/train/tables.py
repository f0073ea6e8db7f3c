"""Baselines on tables: logistic regression and random forests by scikit-learn, and a threshold on one band.

They see pixels one by one, without their neighbours or with local means and deviations as more columns: the same
training pixels, splits and test pixels as the nets. Where negatives are thinned for speed, probabilities are corrected
back to the natural prevalence, so that likelihoods are comparable.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from sklearn.ensemble import RandomForestClassifier

from headscarp.core.band import Band, feature_names
from headscarp.core.calibration import fit_platt
from headscarp.core.errors import StackError
from headscarp.core.stack import feature_bands
from headscarp.evaluation.evaluate import Evaluation, evaluate_predictor
from headscarp.evaluation.metrics import best_f1_threshold
from headscarp.evaluation.streaming import ScoreHistogram
from headscarp.nets.batch import Batch
from headscarp.tiles.partition import Split
from headscarp.tiles.statistics import PixelFeatures, RowFeatures, labelled_table
from headscarp.train.config import check_choice
from headscarp.train.linear import logistic_regression
from headscarp.train.multiscale import MultiscaleFeatures
from headscarp.train.threshold import Threshold

MOST_ROWS = 1_000_000
NEGATIVES_PER_POSITIVE = 10


@dataclass(frozen=True)
class TableModel:
    """How a classifier is made, whether it is fitted on thinned negatives, and what its rows are made of.

    make: (seed, workers, bands, its own arguments) -> something with fit and predict_proba.
    """

    make: Callable[..., Any]
    thinned: bool = True
    features: Callable[[Sequence[Band]], RowFeatures] = PixelFeatures


def logistic(seed: int, workers: int, bands: Sequence[Band]) -> Any:
    """Logistic regression on standardised features, with next to no penalty."""
    del seed, workers, bands
    return logistic_regression(C=1e3)


def forest(seed: int, workers: int, bands: Sequence[Band]) -> Any:
    """Random forest of 300 trees; leaves of 5 pixels keep probabilities away from 0 and 1."""
    del bands
    return RandomForestClassifier(300, min_samples_leaf=5, random_state=seed, n_jobs=workers)


def threshold(seed: int, workers: int, bands: Sequence[Band], *, band: str | None = None) -> Any:
    """A threshold on one continuous band; None: on the one that parts training pixels best, by F1. Raises RecipeError
    for another band, StackError where there is none."""
    del seed, workers
    names, columns = feature_names(bands), [b.name for b in bands if b.kind == "continuous"]
    if not columns:
        raise StackError("a threshold needs a continuous band, and the stack has none; leave 'threshold' out")
    if band is not None:
        check_choice("band of 'threshold'", band, columns)
    return Threshold([names.index(name) for name in columns if band in (None, name)])


TABLE_MODELS: dict[str, TableModel] = {
    "logistic": TableModel(logistic),
    "forest": TableModel(forest),
    "multiscale_forest": TableModel(forest, features=MultiscaleFeatures),
    "threshold": TableModel(threshold, thinned=False),
}


class TablePredictor:
    """A fitted scikit-learn classifier as a predictor: pixel by pixel, with the prior put right and calibrated."""

    def __init__(self, model: Any, features: RowFeatures, *, log_odds_shift: float = 0.0) -> None:
        self.model, self.features, self.shift = model, features, log_odds_shift
        self.calibrate: Callable[[np.ndarray], np.ndarray] = lambda p: p

    def rows(self, features: np.ndarray) -> np.ndarray:
        """(n,) float32 probabilities of rows of features (n, F)."""
        p = np.clip(self.model.predict_proba(features)[:, 1], 1e-6, 1 - 1e-6)
        odds = np.exp(np.log(p) - np.log1p(-p) + self.shift)
        return self.calibrate((odds / (1 + odds)).astype(np.float32))

    def __call__(self, batch: Batch) -> np.ndarray:
        x = batch.x.numpy()
        out = np.full((len(x), *x.shape[-2:]), np.nan, np.float32)
        wanted = batch.valid.numpy() if batch.y is None else (batch.y != 255).numpy()
        for plane, pixels, where in zip(out, x, wanted, strict=True):
            if where.any():
                plane[where] = self.rows(self.features(pixels, *np.nonzero(where)))
        return out


def fit_table_model(
    name: str,
    stack: xr.Dataset,
    split: Split,
    *,
    seed: int = 0,
    workers: int = 1,
    arguments: Mapping[str, Any] | None = None,
) -> Evaluation:
    """Fits one of TABLE_MODELS on the training part, calibrates on validation, and scores every part.

    arguments: the model's own. Raises RecipeError for one that it does not have.
    """
    bands, model_of = feature_bands(stack), TABLE_MODELS[name]
    for key in arguments or {}:
        check_choice(f"argument of {name!r}", key, list(inspect.signature(model_of.make).parameters)[3:])
    model, features = model_of.make(seed, workers, bands, **(arguments or {})), model_of.features(bands)
    rows_of = partial(labelled_table, stack, bands, split=split, limit=MOST_ROWS, seed=seed, features=features)
    x, y, *_ = rows_of(part="train")
    rows, shift = thinned(y, np.random.default_rng(seed)) if model_of.thinned else (slice(None), 0.0)
    model = model.fit(x[rows], y[rows])
    predictor = TablePredictor(model, features, log_odds_shift=shift)
    x, y, *_ = rows_of(part="validation")
    calibration = fit_platt(ScoreHistogram.of(predictor.rows(x), y))
    predictor.calibrate = calibration.apply
    cut = best_f1_threshold(ScoreHistogram.of(predictor.rows(x), y))
    return evaluate_predictor(
        predictor,
        stack,
        split,
        bands=bands,
        halo_px=features.halo_px,
        name=name,
        threshold=cut if np.isfinite(cut) else 0.5,
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
