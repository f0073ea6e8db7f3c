"""What the training pixels say: scale of the bands, prevalence, and the table that baselines on rows are fitted to.

Streams over windows and looks at one part of the split only. Refuses parts without a labelled pixel.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import xarray as xr

from headscarp.core.band import UNLABELLED, Band
from headscarp.core.blocks import Done, run_blocks
from headscarp.core.errors import SplitError, StackError
from headscarp.core.samples import class_codes, class_names
from headscarp.core.stack import VALID
from headscarp.core.tile import Tile, windows
from headscarp.nets.metadata import NAMES
from headscarp.nets.net import Statistics
from headscarp.tiles.partition import PARTS, Split
from headscarp.tiles.reader import TileReader
from headscarp.tiles.series import Series

_BLOCK_PX = 1024


def training_statistics(
    stack: xr.Dataset | str | Path, split: Split | None, bands: Sequence[Band], *, workers: Any = 1
) -> Statistics:
    """Mean and standard deviation of the continuous bands and the prevalence, over training pixels only.

    Mean and deviation: over valid, finite pixels of the training part, buffer taken off; population deviation, 1 where
    a band is constant there. prevalence: over those that are labelled. Merged in float64 in a fixed order (Chan, Golub
    and LeVeque 1983), so the number of workers changes nothing. split None: the whole stack. Raises SplitError where no
    training pixel is labelled.
    """
    continuous = [band for band in bands if band.kind == "continuous"]
    reader = TileReader(stack, continuous, split=split)
    work = _Moments(reader)
    done = run_blocks(work, _tiles_of(reader, "train"), workers=workers, label="training statistics")
    count, mean, m2 = (np.zeros(len(continuous)) for _ in range(3))
    positives, labelled = 0, 0
    for block in done.values():
        count, mean, m2 = _merged((count, mean, m2), tuple(np.array(block.facts[k]) for k in ("count", "mean", "m2")))
        positives += block.facts["positives"]
        labelled += block.facts["labelled"]
    if not labelled:
        raise SplitError("the training part has no labelled valid pixel; take another split, or check the labels")
    std = np.sqrt(m2 / np.maximum(count, 1))
    std[~(std > 1e-12 * np.abs(mean))] = 1.0
    names = [band.name for band in continuous]
    return Statistics(
        dict(zip(names, mean.tolist(), strict=True)),
        dict(zip(names, std.tolist(), strict=True)),
        positives / labelled,
        {} if reader.series is None else metadata_scales(reader.series, split),
        class_shares(reader.stack, split),
    )


def class_shares(stack: xr.Dataset, split: Split | None) -> dict[str, float]:
    """The share of each class among the training samples whose class is known, in the order of their names; {} where
    the stack tells none. A class that no training sample is of counts for one sample, so that none is impossible."""
    names, codes = class_names(stack), class_codes(stack)
    if split is not None:
        codes = codes[sorted({part.sample for part in split.part("train")})]
    counts = np.maximum(np.bincount(codes[codes >= 0], minlength=len(names)), 1)
    return dict(zip(names, (counts / counts.sum()).tolist(), strict=True)) if names else {}


def metadata_scales(series: Series, split: Split | None) -> dict[str, tuple[float, float]]:
    """Mean and largest distance from it of each number of the frames, over the samples that train; by name.

    (0, 1) where a number is never there, and a distance of 1 where it never differs. Method: Christie et al. (2018).
    """
    samples = range(len(series.days)) if split is None else sorted({part.sample for part in split.part("train")})
    values = series.metadata[list(samples)].reshape(-1, len(NAMES)).astype(np.float64)
    scales = {}
    for name, column in zip(NAMES, values.T, strict=True):
        there = column[np.isfinite(column)]
        mean = float(there.mean()) if len(there) else 0.0
        scales[name] = (mean, float(np.abs(there - mean).max(initial=0.0)) or 1.0)
    return scales


def labelled_table(
    stack: xr.Dataset | str | Path,
    bands: Sequence[Band],
    *,
    split: Split | None = None,
    part: str | None = None,
    limit: int | None = None,
    seed: int = 0,
    features: "RowFeatures | None" = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The labelled valid pixels of a part as rows for scikit-learn: X, y, rows, cols.

    X: (n, F) float32 in the order of `feature_names(bands)`: continuous bands in raw units (optional ones 0 where they
    are missing, which their second column tells), directions as cosine and
    sine, both 0 where there is none, one column a class with "no value" first. y: (n,) uint8, 1 landslide,
    0 not. rows, cols: (n,) int64, where each pixel is. limit: at most so many pixels, drawn without replacement. Memory
    is that of X and one window. features: what makes other columns of X. Raises SplitError where nothing is left.
    """
    features = features or PixelFeatures(bands)
    reader = TileReader(stack, bands, split=split)
    if reader.series is not None:
        raise StackError(
            "the stack has frames in time, and rows of pixels have none; take one frame, or a net over time"
        )
    tiles = _tiles_of(reader, part or "")
    counter = TileReader(reader.stack, () if VALID in reader.stack else bands, split=split)
    counts = [int((counter.read(tile).y != UNLABELLED).sum()) for tile in tiles]
    total = sum(counts)
    if not total:
        raise SplitError(f"the {part or 'whole'} part has no labelled valid pixel; take another split or part")
    chosen = _chosen(total, limit, seed)
    starts = np.cumsum([0, *counts])
    cuts = np.searchsorted(chosen, starts)
    x: np.ndarray | None = None
    y, rows, cols = np.empty(len(chosen), np.uint8), np.empty(len(chosen), np.int64), np.empty(len(chosen), np.int64)
    wanted = [(tile, slice(a, b), s) for tile, a, b, s in zip(tiles, cuts, cuts[1:], starts, strict=False) if b > a]
    for tile, place, start in wanted:
        pixels = reader.read(replace(tile, halo=features.halo_px))
        r, c = np.nonzero(pixels.y != UNLABELLED)
        keep = chosen[place] - start
        r, c = r[keep], c[keep]
        made = features(pixels.x, r, c)
        x = np.empty((len(chosen), made.shape[1]), np.float32) if x is None else x
        x[place] = made
        y[place] = pixels.y[r, c]
        rows[place], cols[place] = r + tile.window.row - features.halo_px, c + tile.window.col - features.halo_px
    assert x is not None  # some row was chosen
    return x, y, rows, cols


class RowFeatures(Protocol):
    """What makes rows for scikit-learn of pixels. halo_px: context that it needs on each side of a tile."""

    halo_px: int

    def __call__(self, x: np.ndarray, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
        """(n, F) float32 from x (C, H, W), halo included, at the places rows, cols (n,) in it."""


class PixelFeatures:
    """The bands of each pixel and nothing around it, encoded."""

    halo_px = 0

    def __init__(self, bands: Sequence[Band]) -> None:
        self.bands = tuple(bands)

    def __call__(self, x: np.ndarray, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
        return encoded(x[:, rows, cols], self.bands)


def encoded(x: np.ndarray, bands: Sequence[Band]) -> np.ndarray:
    """Features of pixels, in the order of `feature_names(bands)`, from bands as they stand in the stack.

    x: (C, n). Returns (n, F) float32.
    """
    columns: list[np.ndarray] = []
    for values, band in zip(x, bands, strict=True):
        if band.kind == "continuous":
            columns += [np.where(np.isfinite(values), values, 0), np.isfinite(values)] if band.optional else [values]
        elif band.kind == "direction":
            radians = np.deg2rad(values)
            columns += [np.nan_to_num(np.cos(radians)), np.nan_to_num(np.sin(radians))]
        else:
            columns += [values == code for code in range(len(band.classes) + 1)]
    return np.stack(columns, axis=1, dtype=np.float32, casting="unsafe")  # (n, F)


@dataclass(frozen=True)
class _Moments:
    """Count, mean and squared deviations of each band in a tile, and its labels."""

    reader: TileReader

    def __call__(self, tile: Tile) -> Done:
        reader = self.reader
        pixels = reader.read(tile)
        part = pixels.valid
        if reader.split is not None:
            part = part & (reader.split.codes(tile.window, sample=tile.sample) == PARTS.index("train") + 1)
        planes = np.moveaxis(pixels.x, -3, 0)  # (C, [T,] H, W)
        moments = [_moments_of(plane[..., part]) for plane in planes]
        count, mean, m2 = ([m[k] for m in moments] for k in range(3))
        labels = np.bincount(pixels.y.ravel(), minlength=2)
        facts = {"count": count, "mean": mean, "m2": m2, "positives": int(labels[1]), "labelled": int(labels[:2].sum())}
        return Done("", facts)


def _moments_of(values: np.ndarray) -> tuple[float, float, float]:
    finite = values[np.isfinite(values)].astype(np.float64)
    if not len(finite):
        return 0.0, 0.0, 0.0
    mean = finite.mean()
    return float(len(finite)), float(mean), float(np.square(finite - mean).sum())


def _merged(a: tuple[np.ndarray, ...], b: tuple[np.ndarray, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    count = a[0] + b[0]
    step = b[1] - a[1]
    share = b[0] / np.maximum(count, 1)
    return count, a[1] + step * share, a[2] + b[2] + step**2 * a[0] * share


def _tiles_of(reader: TileReader, part: str) -> list[Tile]:
    """Windows aligned with the chunks on disk that hold a pixel of the part, as tiles without context."""
    split = reader.split
    samples = range(reader.stack.sizes.get("sample", 1))
    tiles = []
    for sample in samples:
        for window in windows(reader.shape, _BLOCK_PX):
            window = window.clip(reader.shape)
            if split and part and not (split.codes(window, sample=sample) == PARTS.index(part) + 1).any():
                continue
            tiles.append(Tile(window, 0, sample, part, f"s{sample}-r{window.row}-c{window.col}"))
    return tiles


def _chosen(total: int, limit: int | None, seed: int) -> np.ndarray:
    if limit is None or total <= limit:
        return np.arange(total)
    return np.sort(np.random.default_rng(seed).choice(total, limit, replace=False, shuffle=False))
