"""What a forecast has to beat: rules and models on tables, fitted on the training samples of the same split.

Each is a function from the table of all samples and the training samples to hazards of every sample. None sees what
came after a cut-off but the training samples' events. Refuses nothing; where a part of the table is missing, models of
trees bear it and others take the training mean.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from headscarp.core.band import UNLABELLED
from headscarp.core.domains import BACKSCATTER, CLOUD, HORIZONS_DAYS, REFLECTANCE, events_within
from headscarp.core.progress import progress
from headscarp.core.tile import Window
from headscarp.nets.metadata import NAMES, RAIN_DAYS
from headscarp.tiles.dataset import raster_shape, read_window
from headscarp.tiles.series import read_series
from headscarp.train.linear import logistic_regression
from headscarp.train.threshold import best_cut

Floats = NDArray[np.float64]
_CLEAR = 1
_MONTHS = 12
_PRIOR = 12.0  # samples that the yearly mean counts for beside those of a month
_POWERS = np.linspace(0.0, 1.2, 25)


@dataclass(frozen=True)
class PlaceTable:
    """Numbers of S samples, as published at the cut-off, NaN where unknown.

    events: (S, K) uint8. rain: (S, 5) mm before the cut-off over RAIN_DAYS. weather: (S, W) rain, soil moisture and
    date. month: (S,) 0 to 11, -1 unknown. means, deviations: (S, T, C) of the clear pixels of each band in each frame.
    """

    events: NDArray[np.uint8]
    rain: Floats
    weather: Floats
    month: NDArray[np.int64]
    means: Floats
    deviations: Floats

    @property
    def last(self) -> Floats:
        """(S, C) the newest mean of each band that there is."""
        return _newest(self.means)

    @property
    def ndvi_change(self) -> Floats:
        """(S,) newest NDVI of a frame minus the median of the ones before; NaN with fewer than two."""
        red, nir = (self.means[:, :, REFLECTANCE.index(name)] for name in ("red", "nir"))
        with np.errstate(invalid="ignore", divide="ignore"):
            ndvi = (nir - red) / (nir + red)
        change = np.full(len(ndvi), np.nan)
        for i, row in enumerate(ndvi):
            there = row[np.isfinite(row)]
            if len(there) > 1:
                change[i] = there[-1] - np.median(there[:-1])
        return change

    @property
    def statistics(self) -> Floats:
        """(S, 5 C) of each band: newest, mean, least and largest of the means of frames, and mean deviation."""
        with np.errstate(all="ignore"):
            filled = [_over_time(of, self.means) for of in (np.mean, np.min, np.max)]
            spread = _over_time(np.mean, self.deviations)
        return np.concatenate([self.last, *filled, spread], axis=1)


def place_table(stack: xr.Dataset) -> PlaceTable:
    """The table of a stack of domains, read sample by sample."""
    series = read_series(stack)
    shape = raster_shape(stack)
    bands = [name for name in (*REFLECTANCE, *BACKSCATTER) if name in stack]
    means = np.full((len(series.days), series.days.shape[1], len(bands)), np.nan)
    deviations = means.copy()
    whole = Window(0, 0, *shape)
    with progress("tables of places", len(means)) as bar:
        for i, present in enumerate(series.present):
            clear = read_window(stack[CLOUD], whole, sample=i) == _CLEAR if CLOUD in stack else None
            for c, name in enumerate(bands):
                pixels = read_window(stack[name], whole, sample=i)
                for t in np.flatnonzero(present):
                    there = np.isfinite(pixels[t])
                    if clear is not None and name in REFLECTANCE:
                        there &= clear[t]
                    if there.any():
                        means[i, t, c], deviations[i, t, c] = pixels[t][there].mean(), pixels[t][there].std()
            bar.advance()
    still = series.metadata[:, 0].astype(np.float64)
    rain = np.expm1(still[:, [NAMES.index(f"rain_{days}d before the cut-off") for days in RAIN_DAYS]])
    told = [i for i, name in enumerate(NAMES) if name.endswith("before the cut-off") or name.startswith("cut-off:")]
    angle = np.arctan2(still[:, NAMES.index("cut-off:sin")], still[:, NAMES.index("cut-off:cos")]) / (2 * np.pi)
    month = np.where(np.isfinite(angle), np.nan_to_num(np.mod(angle, 1.0) * _MONTHS) % _MONTHS, -1).astype(np.int64)
    events = events_within(stack["event_days"].to_numpy())
    return PlaceTable(events, rain, still[:, told], month, means, deviations)


def prevalence(table: PlaceTable, train: NDArray[np.int64]) -> Floats:
    """The share of training samples that an event followed, everywhere."""
    return np.tile(_shares(table.events[train]), (len(table.events), 1))


def climatology(table: PlaceTable, train: NDArray[np.int64]) -> Floats:
    """That share in the month of the cut-off and its neighbours, drawn towards the share of the whole year."""
    usual = _shares(table.events[train])
    made = np.tile(usual, (len(table.events), 1))
    for month in range(_MONTHS):
        near = np.isin(table.month[train], [(month + step) % _MONTHS for step in (-1, 0, 1)])
        held = table.events[train][near]
        known = (held != UNLABELLED).sum(axis=0)
        made[table.month == month] = ((held == 1).sum(axis=0) + _PRIOR * usual) / (known + _PRIOR)
    return made


def rain_threshold(table: PlaceTable, train: NDArray[np.int64]) -> Floats:
    """A power law of rain intensity and duration, I = a D^-b; b and the odds by how far rain is beyond it are fitted.

    Source: Guzzetti et al. (2008) for the form.
    """
    durations = np.array(RAIN_DAYS, np.float64)

    def beyond(power: float) -> Floats:
        return np.log(np.maximum(np.nanmax(_safe(table.rain) / durations * durations**power, axis=1), 1e-3))[:, None]

    def fitted(k: int, rows: NDArray[np.int64], y: NDArray[np.uint8]) -> Floats:
        choices = [beyond(power) for power in _POWERS]
        models = [logistic_regression().fit(x[rows], y) for x in choices]
        scores = [_nll(m.predict_proba(x[rows])[:, 1], y) for m, x in zip(models, choices, strict=True)]
        best = int(np.argmin(scores))
        return np.asarray(models[best].predict_proba(choices[best])[:, 1])

    return _each_horizon(table, train, fitted)


def rain_soil_trees(table: PlaceTable, train: NDArray[np.int64]) -> Floats:
    """Gradient boosting on antecedent rain, soil moisture and date."""
    return _boosted(table, train, table.weather)


def last_frame(table: PlaceTable, train: NDArray[np.int64]) -> Floats:
    """Logistic regression on the newest mean of each band."""
    x = _filled(table.last, train)
    return _each_horizon(
        table, train, lambda k, rows, y: np.asarray(logistic_regression(C=1.0).fit(x[rows], y).predict_proba(x)[:, 1])
    )


def ndvi_change(table: PlaceTable, train: NDArray[np.int64]) -> Floats:
    """One threshold on the change of NDVI: the share of events on each side of it."""
    change = _filled(table.ndvi_change[:, None], train)[:, 0]

    def fitted(k: int, rows: NDArray[np.int64], y: NDArray[np.uint8]) -> Floats:
        cut = -best_cut(-change[rows], y)[1]
        called = change[rows] <= cut
        shares = [float(y[side].mean()) if side.any() else float(y.mean()) for side in (~called, called)]
        return np.where(change <= cut, shares[1], shares[0])

    return _each_horizon(table, train, fitted)


def statistics_trees(table: PlaceTable, train: NDArray[np.int64]) -> Floats:
    """Gradient boosting on statistics of each band over the frames."""
    return _boosted(table, train, table.statistics)


def all_trees(table: PlaceTable, train: NDArray[np.int64]) -> Floats:
    """Gradient boosting on statistics of the bands, change of NDVI, rain, soil moisture and date together."""
    return _boosted(table, train, np.concatenate([table.statistics, table.ndvi_change[:, None], table.weather], axis=1))


Opponent = Callable[[PlaceTable, NDArray[np.int64]], Floats]
OPPONENTS: dict[str, Opponent] = {
    "prevalence": prevalence,
    "climatology": climatology,
    "rain_threshold": rain_threshold,
    "rain_soil_trees": rain_soil_trees,
    "last_frame": last_frame,
    "ndvi_change": ndvi_change,
    "statistics_trees": statistics_trees,
    "all_trees": all_trees,
}
"""The table of all samples, and the indices of those that train -> (S, K) hazards of all."""


def _each_horizon(
    table: PlaceTable,
    train: NDArray[np.int64],
    fitted: Callable[[int, NDArray[np.int64], NDArray[np.uint8]], Floats],
) -> Floats:
    """Hazards by a model a horizon; the training share where only one class is known there. Never falling with it."""
    made = prevalence(table, train)
    for k in range(len(HORIZONS_DAYS)):
        rows = train[table.events[train, k] != UNLABELLED]
        y = table.events[rows, k]
        if len(np.unique(y)) == 2:
            made[:, k] = fitted(k, rows, y)
    return np.maximum.accumulate(made, axis=1)


def _boosted(table: PlaceTable, train: NDArray[np.int64], x: Floats) -> Floats:
    from sklearn.ensemble import HistGradientBoostingClassifier

    def fitted(k: int, rows: NDArray[np.int64], y: NDArray[np.uint8]) -> Floats:
        model = HistGradientBoostingClassifier(
            learning_rate=0.05, max_iter=80, max_leaf_nodes=8, min_samples_leaf=10, early_stopping=False, random_state=0
        )
        return np.asarray(model.fit(x[rows], y).predict_proba(x)[:, 1])

    return _each_horizon(table, train, fitted)


def _shares(events: NDArray[np.uint8]) -> Floats:
    known = np.maximum((events != UNLABELLED).sum(axis=0), 1)
    return np.asarray((events == 1).sum(axis=0) / known, np.float64)


def _newest(values: Floats) -> Floats:
    """(S, T, C), oldest first -> (S, C), the last finite one."""
    last = values.shape[1] - 1 - np.argmax(np.isfinite(values[:, ::-1]), axis=1)  # (S, C)
    return np.asarray(np.take_along_axis(values, last[:, None], axis=1)[:, 0])


def _over_time(of: Callable[..., Floats], values: Floats) -> Floats:
    """of the finite values along time: (S, C), NaN where there are none."""
    masked = np.ma.masked_invalid(values)
    return np.asarray(of(masked, axis=1).filled(np.nan))  # type: ignore[attr-defined]


def _filled(x: Floats, train: NDArray[np.int64]) -> Floats:
    held = np.ma.masked_invalid(x[train])
    return np.where(np.isfinite(x), x, np.ma.filled(held.mean(axis=0), 0.0))


def _safe(rain: Floats) -> Floats:
    """Rain with 0 in rows of which nothing is known."""
    return np.where(np.isfinite(rain).any(axis=1, keepdims=True), rain, 0.0)


def _nll(p: Floats, y: NDArray[np.uint8]) -> float:
    q = np.clip(p, 1e-7, 1 - 1e-7)
    return float(-np.where(y == 1, np.log(q), np.log1p(-q)).mean())
