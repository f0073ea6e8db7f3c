"""Classes of places beside what they are: run a net over the samples of a part, and score it with intervals.

Places are resampled by neighbourhood, since places side by side look alike. What is said of a place is the class whose
probability stands out most from its share in training: the largest p / sqrt(share). Refuses stacks that name no class.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from headscarp.core.band import Band
from headscarp.core.errors import StackError
from headscarp.core.progress import progress
from headscarp.core.samples import GROUP, class_codes, class_names
from headscarp.evaluation.hazards import Floats, auroc, ece
from headscarp.evaluation.intervals import Interval, interval_of
from headscarp.evaluation.places import resamples, samples_of
from headscarp.evaluation.selective import KEPT, held, selective, set_sizes
from headscarp.evaluation.tables import SUREST
from headscarp.nets.net import Net
from headscarp.tiles.partition import Split
from headscarp.tiles.reader import TileReader
from headscarp.tiles.regions import REGION, place_numbers
from headscarp.tiles.sampling import batches
from headscarp.tiles.tiling import train_tiles

KIND = "kind: "
"""What the outputs of nets that judge classes are named by."""
_BATCH = 32
_SMALLEST = 1e-7


@dataclass(frozen=True)
class KindTruth:
    """What N samples are. sample: (N,) index in the stack. kind: (N,) number of the class in `names`. region: (N,)
    text. place: (N,) number of the neighbourhood, or of the place."""

    sample: NDArray[np.int64]
    kind: NDArray[np.int64]
    region: NDArray[np.str_]
    place: NDArray[np.int64]
    names: tuple[str, ...]

    @property
    def holds(self) -> NDArray[np.uint8]:
        """(N, K) 1 for the class that a place is of, 0 for the others."""
        return (self.kind[:, None] == np.arange(len(self.names))).astype(np.uint8)


@dataclass(frozen=True)
class KindSaid:
    """What somebody said of the same samples. p: (N, K) probabilities. shares: (K,) of the classes in training. cut:
    from which probability on a class is in the set of a place; NaN where none was fitted."""

    p: Floats
    shares: Floats
    cut: float = float("nan")

    @property
    def said(self) -> NDArray[np.int64]:
        """(N,) the class that is said."""
        return np.asarray((self.p / np.sqrt(self.shares)).argmax(axis=1))

    @property
    def confidence(self) -> Floats:
        """(N,) the probability of what is said."""
        return np.take_along_axis(self.p, self.said[:, None], axis=1)[:, 0]


def kind_truth(stack: xr.Dataset, samples: Sequence[int]) -> KindTruth:
    """What these samples are; those whose class is not known are left out. Raises StackError where none is."""
    names, codes = class_names(stack), class_codes(stack)
    if len(names) < 2:
        raise StackError(
            f"the stack names {len(names)} classes of places (coordinate 'class'); needed: two or more, so build a "
            "recipe with [pairs] or [simulate]"
        )
    at = np.array([sample for sample in samples if codes[sample] >= 0], np.int64)
    told = _texts(stack, GROUP) if GROUP in stack.coords else place_numbers(stack)
    region = _texts(stack, REGION) if REGION in stack.variables else np.full(len(codes), "")
    return KindTruth(at, codes[at], region[at], np.unique(told, return_inverse=True)[1][at], names)


def run_kinds(
    net: Net, stack: xr.Dataset, split: Split, part: str, *, bands: Sequence[Band], workers: int = 2
) -> Floats:
    """(N, K) what a net says of each sample of a part whose class is known, in the order of `kind_truth`."""
    reader = TileReader(stack, bands, split=split)
    side = -(-max(reader.shape) // net.align) * net.align
    tiles = train_tiles(split, part, size=side, halo=0)
    planes = [i for i, output in enumerate(net.outputs) if output.name.startswith(KIND)]
    names = tuple(net.outputs[i].name.removeprefix(KIND) for i in planes)
    if names != class_names(stack):
        raise StackError(
            f"the stack has the classes {', '.join(class_names(stack)) or 'none'}, the bundle was trained on "
            f"{', '.join(names)}; build the stack with the same classes"
        )
    known = class_codes(stack) >= 0
    of: dict[int, Floats] = {}
    with progress(f"classes of {part}", len(tiles)) as bar, torch.inference_mode():
        for batch in batches(reader, tiles, batch_size=_BATCH, workers=workers):
            said = net.predict(batch)[:, planes].mean(dim=(-2, -1)).double().numpy()
            of |= {tile.sample: p for tile, p in zip(batch.tiles, said, strict=True)}
            bar.advance(len(batch.tiles))
    return np.stack([of[sample] for sample in samples_of(split, part) if known[sample]])


def kind_values(said: KindSaid, truth: KindTruth, weights: Floats) -> dict[str, Floats]:
    """Every metric for each resample: (R,). weights: (R, N) how often each sample counts."""
    right = (said.said == truth.kind).astype(np.float64)
    of_truth = np.take_along_axis(said.p, truth.kind[:, None], axis=1)[:, 0]
    holds = truth.holds
    f1 = np.stack([_f1(said.said == k, truth.kind == k, weights) for k in range(len(truth.names))])
    areas = np.stack([auroc(said.p[:, k], holds[:, k].astype(float), weights) for k in range(len(truth.names))])
    values = {
        "macro_f1": f1.mean(axis=0),
        "accuracy": _mean(right, weights),
        "auroc": areas.mean(axis=0),
        "nll": _mean(-np.log(np.maximum(of_truth, _SMALLEST)), weights),
        "ece": ece(said.confidence, right, weights),
        "n": weights.sum(axis=1),
    }
    values |= {f"f1: {name}": f1[k] for k, name in enumerate(truth.names)}
    values |= {f"auroc: {name}": areas[k] for k, name in enumerate(truth.names)}
    values |= {
        name: selective(right, said.confidence, weights, kept) for name, kept in zip(SUREST, KEPT[1:], strict=True)
    }
    if np.isfinite(said.cut):
        values["set_coverage"] = _mean(held(said.p, holds, said.cut).astype(float), weights)
        values["set_size"] = _mean(set_sizes(said.p, said.cut).astype(float), weights)
    return values


def kind_scores(said: KindSaid, truth: KindTruth, rng: np.random.Generator) -> dict[str, Interval]:
    """`kind_values` of all samples with 95 % intervals: neighbourhoods resampled within regions, 300 times."""
    values = kind_values(said, truth, resamples(truth, rng))
    count = Interval(float(values.pop("n")[0]), float("nan"), float("nan"))
    return {name: interval_of(float(drawn[0]), drawn[1:]) for name, drawn in values.items()} | {"n": count}


def kind_confusion(said: KindSaid, truth: KindTruth) -> NDArray[np.int64]:
    """(K, K): of the places that are of class i, how many are said to be of class j."""
    size = len(truth.names)
    return np.bincount(truth.kind * size + said.said, minlength=size * size).reshape(size, size)


def _texts(stack: xr.Dataset, name: str) -> NDArray[np.str_]:
    return np.array([str(value) for value in stack[name].to_numpy()])  # text from Zarr may be of another dtype


def _f1(called: NDArray[np.bool_], holds: NDArray[np.bool_], w: Floats) -> Floats:
    """(R,); 0 where a class is never met, NaN where it is nowhere."""
    hits, said, there = (w @ mask.astype(np.float64) for mask in (called & holds, called, holds))
    return np.divide(2 * hits, said + there, out=np.full(len(w), np.nan), where=there > 0)


def _mean(values: Floats, w: Floats) -> Floats:
    return np.asarray((w @ values) / np.maximum(w.sum(axis=1), _SMALLEST))
