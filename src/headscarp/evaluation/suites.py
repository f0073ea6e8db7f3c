"""How good suites of pictures of the future are, beside what came: scores of ensembles, as plain functions.

A suite is M pictures of one place under one task; what came is one picture. Pictures are (K + 1, H, W): bands, and last
how far each pixel is changed. Refuses suites without a picture.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headscarp.core.errors import StackError
from headscarp.core.masks import best_mask, likely_mask
from headscarp.evaluation.intervals import Interval, interval_of

Floats = NDArray[np.float64]
RESAMPLES = 300
FEWEST_FOR_INTERVALS = 9
"""Members from which on an interval of 80 % lies between two of them."""


def fair_crps(members: Floats, truth: Floats) -> float:
    """Continuous ranked probability score, mean over what is scored; of one member the absolute error.

    members: (M, ...). truth: (...). Fair: an ensemble is not blamed for being small (Ferro 2014). Lower is better, in
    the units of what is scored.
    """
    _check(members)
    error = np.abs(members - truth).mean()
    if len(members) == 1:
        return float(error)
    ordered, m = np.sort(members, axis=0), len(members)
    weight = (2 * np.arange(m) - m + 1).reshape(-1, *[1] * truth.ndim)
    apart = (weight * ordered).sum(axis=0).mean() / (m * (m - 1))
    return float(error - apart)


def energy_score(members: Floats, truth: Floats) -> float:
    """The fair energy score of (M, D) members and (D,) truth, divided by sqrt(D) (Gneiting and Raftery 2007): it sees
    whether what belongs together is said together. Lower is better."""
    _check(members)
    error = np.linalg.norm(members - truth, axis=1).mean()
    m, apart = len(members), 0.0
    for i in range(m):
        apart += float(np.linalg.norm(members - members[i], axis=1).sum())
    return float((error - (apart / (2 * m * (m - 1)) if m > 1 else 0.0)) / np.sqrt(truth.size))


def truth_rank(members: Floats, truth: float, rng: np.random.Generator) -> int:
    """How many of (M,) members are below the truth, 0 to M; equals are drawn for. Flat over many cases is right."""
    _check(members)
    equal = int((members == truth).sum())
    return int((members < truth).sum()) + (int(rng.integers(equal + 1)) if equal else 0)


def covers(members: Floats, truth: float, share: float = 0.8) -> float:
    """1 where the middle `share` of (M,) members holds the truth, 0 where not; NaN of too few members.

    Where an end of the interval lies between two members, a truth between them counts in part, so that one drawn like
    the members is held exactly as often as it should.
    """
    _check(members)
    if len(members) < FEWEST_FOR_INTERVALS:
        return float("nan")
    at = (1 - share) / 2 * (len(members) + 1)
    k, part = int(at), at - int(at)
    rising = np.sort(members)
    below = (1 - part) * (truth < rising[k - 1]) + part * (truth < rising[k])
    above = (1 - part) * (truth > rising[-k]) + part * (truth > rising[-k - 1])
    return float(1 - below - above)


def mask_iou(said: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """Intersection over union of two masks; NaN where both are empty."""
    union = int((said | truth).sum())
    return float((said & truth).sum() / union) if union else float("nan")


def ndvi(red: Floats, nir: Floats) -> Floats:
    """Normalised difference vegetation index, in [-1, 1]; reflectance below 0 counts as 0."""
    red, nir = np.maximum(red, 0.0), np.maximum(nir, 0.0)
    return np.asarray((nir - red) / np.maximum(nir + red, 1e-3))


@dataclass(frozen=True)
class Suite:
    """Pictures (M, K + 1, H, W) of a place under a task, and where red and near infrared stand among the K bands.

    seen: (H, W) where anybody has seen the ground before; only these pixels are scored, as one row. None: all. likely:
    (H, W) how likely each pixel is to change, where a net says that beside its pictures.
    """

    pictures: Floats
    red: int
    nir: int
    seen: NDArray[np.bool_] | None = None
    likely: NDArray[np.floating] | None = None

    @property
    def scored(self) -> Floats:
        """(M, K + 1, H, W) the pictures, or (M, K + 1, 1, n) the n pixels of them that are scored."""
        return self.pictures if self.seen is None else self.pictures[:, :, None, self.seen]

    @property
    def ndvi(self) -> Floats:
        """(M, H, W), or (M, 1, n)."""
        return ndvi(self.scored[:, self.red], self.scored[:, self.nir])

    @property
    def area(self) -> Floats:
        """(M,) share of the place that is changed."""
        return np.asarray((self.scored[:, -1] >= 0.5).mean(axis=(1, 2)))

    @property
    def mask(self) -> NDArray[np.bool_]:
        """(H, W), or (1, n), the mask that overlaps most with what may come, see `core.masks`: of what is likely, where
        that is known, else of the pictures."""
        if self.likely is None:
            return best_mask(self.scored[:, -1] >= 0.5)
        return likely_mask(self.likely if self.seen is None else self.likely[None, self.seen])

    @property
    def half(self) -> NDArray[np.bool_]:
        """(H, W), or (1, n), changed in half of the pictures or more."""
        return np.asarray((self.scored[:, -1] >= 0.5).mean(axis=0) >= 0.5)


def _crps_ndvi(said: Suite, came: Suite) -> float:
    return fair_crps(said.ndvi, came.ndvi[0])


def _energy_ndvi(said: Suite, came: Suite) -> float:
    return energy_score(said.ndvi.reshape(len(said.pictures), -1), came.ndvi[0].ravel())


def _crps_area(said: Suite, came: Suite) -> float:
    return fair_crps(said.area, came.area[0])


def _coverage_ndvi(said: Suite, came: Suite) -> float:
    return covers(said.ndvi.mean(axis=(1, 2)), float(came.ndvi[0].mean()))


def _coverage_area(said: Suite, came: Suite) -> float:
    return covers(said.area, float(came.area[0]))


def _mask_iou(said: Suite, came: Suite) -> float:
    return mask_iou(said.mask, came.half)


def _mask_iou_half(said: Suite, came: Suite) -> float:
    return mask_iou(said.half, came.half)


def _spectral_error(said: Suite, came: Suite) -> float:
    """Root mean square, over the bands, of how far the mean spectrum of changed pixels is off; NaN without any."""
    theirs, ours = (_changed_spectrum(suite) for suite in (said, came))
    return float(np.sqrt(np.mean((theirs - ours) ** 2)))


def _changed_spectrum(suite: Suite) -> Floats:
    scored = suite.scored
    changed = scored[:, -1] >= 0.5  # (M, H, W)
    if not changed.any():
        return np.full(scored.shape[1] - 1, np.nan)
    return np.asarray([band[changed].mean() for band in scored[:, :-1].swapaxes(0, 1)])


SUITE_METRICS: dict[str, Callable[[Suite, Suite], float]] = {
    "crps_ndvi": _crps_ndvi,
    "energy_ndvi": _energy_ndvi,
    "crps_area": _crps_area,
    "coverage_80_ndvi": _coverage_ndvi,
    "coverage_80_area": _coverage_area,
    "mask_iou": _mask_iou,
    "mask_iou_half": _mask_iou_half,
    "spectral_error": _spectral_error,
}
"""Of a suite and what came, a Suite of one picture. Means over cases are reported; NaN does not count."""
RATIO_METRICS = ("spread_skill_ndvi",)
"""Of all cases together: root of the mean variance of NDVI, over the root of the mean square error of its mean."""
FIXED_METRICS = ("identity_error",)
"""Mean absolute difference of reflectance that the task "identity" makes."""


def spread_and_error(said: Suite, came: Suite) -> tuple[float, float]:
    """Variance of NDVI among the pictures, made right for their number, and square error of their mean; over pixels."""
    index, m = said.ndvi, len(said.pictures)
    spread = float(index.var(axis=0, ddof=1).mean() * (m + 1) / m) if m > 1 else 0.0
    return spread, float(((index.mean(axis=0) - came.ndvi[0]) ** 2).mean())


Suites = list[list[tuple[Suite, Suite]]]
"""For each case, for each of its futures: what was said, and what came."""


def case_values(suites: Suites) -> tuple[dict[str, Floats], Floats]:
    """Each metric, (cases,), the mean over the futures that came; and (cases, 2) variance and square error of NDVI."""
    values: dict[str, list[float]] = {name: [] for name in SUITE_METRICS}
    ratios = []
    for suite in suites:
        for name, metric in SUITE_METRICS.items():
            values[name].append(_mean([metric(said, came) for said, came in suite]))
        ratios.append(np.mean([spread_and_error(said, came) for said, came in suite], axis=0))
    return {name: np.array(of) for name, of in values.items()}, np.array(ratios)


def suite_scores(
    values: Mapping[str, Floats],
    ratios: Floats | None,
    chosen: Sequence[int],
    places: Sequence[str],
    rng: np.random.Generator,
) -> dict[str, Interval]:
    """Means over the chosen cases, with intervals from places drawn with replacement. values: of each case, of one net
    or what one has more than another; ratios: None for the latter."""
    found = {name: [_mean(of[list(chosen)])] for name, of in values.items()}
    if ratios is not None:
        found[RATIO_METRICS[0]] = [_ratio(ratios[list(chosen)])]
    for draw in _place_draws(places, rng):
        at = [chosen[i] for i in draw]
        for name, of in values.items():
            found[name].append(_mean(of[at]))
        if ratios is not None:
            found[RATIO_METRICS[0]].append(_ratio(ratios[at]))
    return {name: interval_of(drawn[0], np.array(drawn[1:])) for name, drawn in found.items()}


def _place_draws(places: Sequence[str], rng: np.random.Generator) -> Iterator[list[int]]:
    """Indices of the cases of places drawn with replacement."""
    of_place: dict[str, list[int]] = {}
    for i, place in enumerate(places):
        of_place.setdefault(place, []).append(i)
    names = list(of_place)
    for _ in range(RESAMPLES):
        yield [i for k in rng.integers(len(names), size=len(names)) for i in of_place[names[k]]]


def _mean(values: Sequence[float] | Floats) -> float:
    there = np.asarray(values)[np.isfinite(values)]
    return float(there.mean()) if len(there) else float("nan")


def _ratio(ratios: Floats) -> float:
    spread, error = ratios.mean(axis=0)
    return float(np.sqrt(spread / error)) if error > 0 else float("nan")


def _check(members: Sequence[object] | Floats) -> None:
    if len(members) == 0:
        raise StackError("a suite without a picture cannot be scored; draw one or more")
