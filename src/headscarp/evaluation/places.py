"""Forecasts at places beside what came: run a net over the samples of a part, and score it with intervals.

Samples are resampled by place within their region, since dates of one place tell nearly the same story. Refuses stacks
that do not say when the next event comes.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from headscarp.core.artefact import clear_os_errors
from headscarp.core.band import UNLABELLED, Band
from headscarp.core.domains import CAUSES, HORIZONS_DAYS, events_within
from headscarp.core.errors import StackError
from headscarp.core.progress import progress
from headscarp.evaluation.hazards import HAZARD_METRICS, Floats, HazardMetric, cause_f1
from headscarp.evaluation.intervals import Interval, interval_of
from headscarp.nets.batch import Batch
from headscarp.nets.net import Net
from headscarp.tiles.partition import Split
from headscarp.tiles.reader import TileReader
from headscarp.tiles.regions import place_numbers, region_names
from headscarp.tiles.sampling import batches
from headscarp.tiles.tiling import train_tiles

RESAMPLES = 300
_BATCH = 16


class Placed(Protocol):
    """What resampling has to know of N samples: their region and place, as `Truth` has them."""

    @property
    def region(self) -> NDArray[np.str_]: ...

    @property
    def place(self) -> NDArray[np.int64]: ...


@dataclass(frozen=True)
class Truth:
    """What came after the cut-off of N samples: events (N, K) and causes (N, 6) uint8, 1, 0 or 255; where they are:
    region (N,) text, place (N,) a number; sample: (N,) index in the stack."""

    sample: NDArray[np.int64]
    events: NDArray[np.uint8]
    causes: NDArray[np.uint8]
    region: NDArray[np.str_]
    place: NDArray[np.int64]


@dataclass(frozen=True)
class Said:
    """What somebody said of the same samples: hazards (N, K); causes (N, 6) and confidence (N,) where they tell any."""

    hazards: Floats
    causes: Floats | None = None
    confidence: Floats | None = None


def truth_of(stack: xr.Dataset, samples: Sequence[int]) -> Truth:
    """What came at these samples. Raises StackError where the stack does not tell."""
    if "event_days" not in stack.variables:
        raise StackError("the stack does not say when the next event comes (event_days); build domains")
    at = np.asarray(samples, np.int64)
    events = events_within(stack["event_days"].to_numpy()[at])
    told = "causes" in stack.variables
    causes = stack["causes"].to_numpy()[at] if told else np.full((len(at), len(CAUSES)), UNLABELLED, np.uint8)
    return Truth(at, events, causes, np.array(region_names(stack))[at], place_numbers(stack)[at])


def samples_of(split: Split, part: str) -> list[int]:
    """The samples of a part, rising."""
    return sorted({p.sample for p in split.part(part)})


def run_places(
    net: Net,
    stack: xr.Dataset,
    split: Split,
    part: str,
    *,
    bands: Sequence[Band],
    workers: int = 2,
    label: str = "",
    given: Callable[[Batch], Batch] | None = None,
) -> Said:
    """What a net that judges places says of each sample of a part, in the order of `samples_of`.

    given: what is done to each batch before the net sees it.
    """
    reader = TileReader(stack, bands, split=split)
    side = -(-max(reader.shape) // net.align) * net.align
    tiles = train_tiles(split, part, size=side, halo=0)
    causes, confidence = (_outputs(net, prefix) for prefix in ("cause: ", "confidence"))
    hazards, why, sure = [], [], []
    device = next((p.device for p in net.parameters()), torch.device("cpu"))
    with progress(label or f"forecasting {part}", len(tiles)) as bar, torch.inference_mode():
        for batch in batches(reader, tiles, batch_size=_BATCH, workers=workers):
            batch = given(batch) if given else batch
            predicted = net.predict(batch.to(device)).float().cpu()
            hazards.append(net.judged(_bare(batch), predicted)[0].numpy())
            why.append(predicted[:, causes].mean(dim=(-2, -1)).numpy())
            sure.append(predicted[:, confidence].mean(dim=(1, 2, 3)).numpy())
            bar.advance(len(batch.tiles))
    told = np.concatenate(why).astype(np.float64) if causes else None
    return Said(np.concatenate(hazards).astype(np.float64), told, np.concatenate(sure).astype(np.float64))


def save_said(said: Said, path: Path) -> Path:
    """Writes what was said as .npz."""
    with clear_os_errors(path):
        np.savez(path, **{name: value for name, value in vars(said).items() if value is not None})
    return path


def load_said(path: Path) -> Said:
    """What `save_said` has written."""
    with np.load(path) as arrays:
        return Said(**{field.name: arrays[field.name] for field in fields(Said) if field.name in arrays})


def hazard_values(
    said: Said, truth: Truth, weights: Floats, *, metrics: Collection[str] | None = None
) -> dict[str, Floats]:
    """Every metric by "metric days d", and the F1 of causes where they are told, for each resample: (R,).

    weights: (R, N) how often each sample counts. metrics: only these of HAZARD_METRICS, without causes.
    """
    values: dict[str, Floats] = {}
    chosen = {name: metric for name, metric in HAZARD_METRICS.items() if metrics is None or name in metrics}
    for k, days in enumerate(HORIZONS_DAYS):
        values |= {f"{name} {days} d": _at(metric, k, said, truth, weights) for name, metric in chosen.items()}
    if said.causes is not None and metrics is None:
        of_cause = cause_f1(said.causes, truth.causes, weights)  # (R, 6)
        there = np.isfinite(of_cause)
        sums, counts = np.where(there, of_cause, 0.0).sum(axis=1), there.sum(axis=1)
        values["cause_f1"] = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
        values |= {f"cause_f1: {cause}": of_cause[:, k] for k, cause in enumerate(CAUSES) if there[0, k]}
    return values


def hazard_scores(said: Said, truth: Truth, rng: np.random.Generator) -> dict[str, Interval]:
    """`hazard_values` of all samples with 95 % intervals: places resampled within their regions, 300 times."""
    values = hazard_values(said, truth, resamples(truth, rng))
    return {name: interval_of(float(drawn[0]), drawn[1:]) for name, drawn in values.items()}


def resamples(truth: Placed, rng: np.random.Generator, count: int = RESAMPLES) -> Floats:
    """(1 + count, N) how often each sample counts: once in the first row, then places drawn with replacement in each
    region."""
    weights = np.ones((1 + count, len(truth.place)))
    for region in np.unique(truth.region):
        rows = np.flatnonzero(truth.region == region)
        places, of_row = np.unique(truth.place[rows], return_inverse=True)
        for i in range(1, 1 + count):
            drawn = np.bincount(rng.integers(len(places), size=len(places)), minlength=len(places))
            weights[i, rows] = drawn[of_row]
    return weights


def lead(ours: Said, theirs: Said, truth: Truth, metric: str, rng: np.random.Generator) -> Interval:
    """A metric of ours minus that of theirs on the same samples and resamples, with its 95 % interval.

    metric: of HAZARD_METRICS with a horizon, such as "average_precision 30 d". The same resamples for both take out
    what makes some places hard for everybody.
    """
    name, days, _ = metric.split(" ")
    k, weights = HORIZONS_DAYS.index(int(days)), resamples(truth, rng)
    mine, other = (_at(HAZARD_METRICS[name], k, said, truth, weights) for said in (ours, theirs))
    return interval_of(float(mine[0] - other[0]), (mine - other)[1:])


def gap(held_out: tuple[Said, Truth], known: tuple[Said, Truth], metric: str, rng: np.random.Generator) -> Interval:
    """Relative loss of a metric from known regions to the held-out one, (known - held out) / known, with its interval.

    metric: of HAZARD_METRICS with a horizon, such as "average_precision 30 d"; higher is better. NaN where the known
    regions have no skill.
    """
    lost = gap_draws(held_out, known, metric, rng)
    return interval_of(float(lost[0]), lost[1:])


def gap_draws(held_out: tuple[Said, Truth], known: tuple[Said, Truth], metric: str, rng: np.random.Generator) -> Floats:
    """(1 + R,) the gap on all samples, then on each resample; see `gap`."""
    name, days, _ = metric.split(" ")
    k = HORIZONS_DAYS.index(int(days))
    here, there = (_at(HAZARD_METRICS[name], k, *pair, resamples(pair[1], rng)) for pair in (held_out, known))
    return np.where(there > 0, (there - here) / np.where(there > 0, there, 1.0), np.nan)


def _at(metric: HazardMetric, k: int, said: Said, truth: Truth, weights: Floats) -> Floats:
    y = truth.events[:, k]
    known = y != UNLABELLED
    return metric(said.hazards[known, k], y[known].astype(np.float64), weights[:, known])


def _outputs(net: Net, prefix: str) -> list[int]:
    return [i for i, output in enumerate(net.outputs) if output.name.startswith(prefix)]


def _bare(batch: Batch) -> Batch:
    """The batch with its labels only; what is judged needs no pixels."""
    return Batch(batch.x[:, :1], batch.valid, batch.y, batch.tiles, event_days=batch.event_days)
