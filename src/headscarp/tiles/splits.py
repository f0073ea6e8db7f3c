"""Ways to part a raster into training, validation and test: at random as in the paper, in spatial blocks, as given,
by neighbourhoods of samples, or by region.

Of several labels a pixel is a landslide where any of them says so, and one split serves them all. Refuses stacks
without a positive label and rasters too small for the parts asked for.
Whether a split leaks is proved in `audit`.
"""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from headscarp.core.errors import HeadscarpWarning, SplitError
from headscarp.core.grid import Grid, true_cell_size_m
from headscarp.core.samples import GROUP, PART, has_samples
from headscarp.core.stack import label_names, stack_grid
from headscarp.tiles.cells import Cell, label_cells
from headscarp.tiles.dataset import as_stack, raster_shape
from headscarp.tiles.folds import check_folds, kmeans_folds, name_of_fold, stratified_folds
from headscarp.tiles.partition import (
    PARTS,
    Part,
    Split,
    read_split,
    split_from_json,
    split_to_json,
    write_split,
)
from headscarp.tiles.regions import deal_regions, held_out_region, region_names

__all__ = [
    "PARTS",
    "SPLITS",
    "Part",
    "Split",
    "kmeans_folds",
    "read_split",
    "split_blocks",
    "split_from_json",
    "split_given",
    "split_groups",
    "split_random",
    "split_regions",
    "split_to_json",
    "write_split",
]


def split_random(
    stack: xr.Dataset | str | Path,
    *,
    tile_px: int = 500,
    seed: int = 0,
    shares: tuple[float, float, float] = (0.8, 0.1, 0.1),
    folds: int | None = None,
    fold: int = 0,
) -> Split:
    """Square patches, shuffled into training, validation and test (Hajimoradlou et al. 2019); of samples whole ones.

    Neighbouring patches end up in different parts, so that contexts overlap: `audit` says how much. tile_px: side of a
    patch. shares: of train, validation, test. folds: where given, patches are shuffled into so many equal folds
    instead; `fold` is the test, the next one the validation. Patches without a valid pixel are left out. Raises
    SplitError where the stack has no positive label or too few patches; warns where a part lacks a class.
    """
    stack = as_stack(stack)
    check_folds(folds, fold)
    if min(shares) <= 0 or abs(sum(shares) - 1) > 1e-6:
        raise SplitError(f"shares are {shares}; needed: three numbers above 0 with sum 1, such as 0.8, 0.1, 0.1")
    side = (tile_px, tile_px) if not has_samples(stack) else raster_shape(stack)
    cells = label_cells(stack, side)
    needed = folds or len(PARTS)
    if len(cells) < needed:
        raise _too_small(stack, len(cells), needed, f"patches of {tile_px} px", "tile_px = {} px")
    order = np.random.default_rng(seed).permutation(len(cells))
    fold_of = np.zeros(len(cells), dtype=int)
    if folds:
        fold_of[order] = np.arange(len(cells)) % folds
        names = [name_of_fold(f, fold, folds) for f in fold_of]
    else:
        test = max(1, round(shares[2] * len(cells)))
        validation = max(1, round(shares[1] * len(cells)))
        named = np.full(len(cells), PARTS[0], dtype=object)
        named[order[:test]] = PARTS[2]
        named[order[test : test + validation]] = PARTS[1]
        names = list(named)
    settings: dict[str, Any] = {"tile_px": max(side)}
    settings |= {"folds": folds, "fold": fold} if folds else {"shares": list(shares)}
    return _split("random", stack, cells, (names, fold_of), seed=seed, buffer_px=0, settings=settings)


def split_blocks(
    stack: xr.Dataset | str | Path,
    *,
    block_size_m: float,
    buffer_m: float = 0.0,
    folds: int = 5,
    fold: int = 0,
    seed: int = 0,
) -> Split:
    """Spatial blocks spread over folds so that each has about as many landslides, labels and valid pixels.

    block_size_m: side of a block, rounded to whole pixels. buffer_m: training and validation pixels nearer than
    this to a test block, and training pixels nearer than this to a validation block, count for nothing. `fold` is
    the test, the next one the validation, the others train. Blocks without a valid pixel are left out. Blocks with like
    numbers of landslides are dealt in an order drawn from the seed, each to the fold that needs it most. Raises
    SplitError where the stack has no positive label or too few blocks; warns where a part lacks a class.
    """
    stack = as_stack(stack)
    check_folds(folds, fold)
    if has_samples(stack):
        raise SplitError(
            'samples share no ground, so there are no blocks of it; take the split "random", "given" or "groups"'
        )
    if not (block_size_m > 0 and buffer_m >= 0):
        raise SplitError(f"block_size_m is {block_size_m:g}, buffer_m {buffer_m:g}; needed: above 0, and 0 or more")
    dy, dx = _cell_m(stack_grid(stack))
    side = (max(1, round(block_size_m / dy)), max(1, round(block_size_m / dx)))
    cells = label_cells(stack, side)
    if len(cells) < folds:
        metres = f"block_size_m = {{}} (pixels of {min(dy, dx):g} m)"
        raise _too_small(stack, len(cells), folds, f"blocks of {block_size_m:g} m", metres, min(dy, dx))
    fold_of = stratified_folds(np.array([cell[2] for cell in cells]), folds, np.random.default_rng(seed))
    names = [name_of_fold(f, fold, folds) for f in fold_of]
    settings = {
        "block_size_m": float(block_size_m),
        "block_px": list(side),
        "buffer_m": float(buffer_m),
        "folds": folds,
        "fold": fold,
    }
    buffer_px = int(np.ceil(buffer_m / min(dy, dx) - 1e-9))
    return _split("blocks", stack, cells, (names, fold_of), seed=seed, buffer_px=buffer_px, settings=settings)


def split_given(stack: xr.Dataset | str | Path, *, validation_share: float = 0.1, seed: int = 0) -> Split:
    """The parts that a set of samples came with, as its coordinate `part` names them; kept, not made.

    Where the set names two parts only, the one beside train judges, as "test", and a share of the training samples,
    drawn from the seed, validates. Samples without a part or a valid pixel are left out. Raises SplitError where there
    are no parts, none to train or to judge with, or no positive label; warns where a part lacks a class.
    """
    stack = as_stack(stack)
    if PART not in stack.coords:
        raise SplitError('the stack has no given parts; name them under [chips] parts, or take the split "random"')
    if not 0 < validation_share < 1:
        raise SplitError(f"validation_share is {validation_share}; it has to be between 0 and 1")
    told = [str(part) for part in stack[PART].to_numpy()]
    cells = [cell for cell in label_cells(stack, raster_shape(stack)) if told[cell[0]]]
    names = [told[cell[0]] for cell in cells]
    held = {name: names.count(name) for name in PARTS}
    others = [name for name in PARTS[1:] if held[name]]
    if held[PARTS[0]] < 2 or not others:
        raise SplitError(f"the samples are given as {held}; needed: some to train and some to judge with")
    if len(others) == 1:
        names = [name if name == PARTS[0] else PARTS[2] for name in names]
        trainers = np.flatnonzero([name == PARTS[0] for name in names])
        count = min(max(1, round(validation_share * len(trainers))), len(trainers) - 1)
        for i in np.random.default_rng(seed).permutation(trainers)[:count].tolist():
            names[i] = PARTS[1]
    settings: dict[str, Any] = {"given": held, "judged_by": others[-1]}
    settings |= {"validation_share": validation_share} if len(others) == 1 else {}
    folds = np.array([PARTS.index(name) for name in names])
    return _split("given", stack, cells, (names, folds), seed=seed, buffer_px=0, settings=settings)


def split_regions(
    stack: xr.Dataset | str | Path,
    *,
    hold_out: str | None = None,
    fold: int = 0,
    validation_share: float = 0.15,
    later_than: str | None = None,
    learn_from: Sequence[str] | None = None,
    seed: int = 0,
) -> Split:
    """One region judges, the others train, and a share of their places, drawn from the seed, validates.

    hold_out: name of the region; None: that of the fold, in the order of their names, so that folds leave out each
    region once. later_than: a date such as "2018-01-01": only samples of the region cut off from then on judge, and
    only earlier ones of the others train. learn_from: the regions that train and validate; None: all others. All
    samples of a place (about 1 km) are in one part. Samples without a valid pixel are left out. Raises SplitError for a
    region or fold that is not there, for parts without a sample and for stacks without a positive label; warns where a
    part lacks a class.
    """
    stack = as_stack(stack)
    region = held_out_region(region_names(stack), hold_out, fold)
    options: dict[str, Any] = {"later_than": later_than, "learn_from": learn_from}
    told = deal_regions(stack, region, validation_share=validation_share, seed=seed, **options)
    cells = [cell for cell in label_cells(stack, raster_shape(stack)) if told[cell[0]]]
    names = [told[cell[0]] for cell in cells]
    settings: dict[str, Any] = {"hold_out": region, "validation_share": validation_share}
    settings |= {"later_than": later_than} if later_than else {}
    settings |= {"learn_from": list(learn_from)} if learn_from is not None else {}
    regions = region_names(stack)
    folds = np.unique(regions, return_inverse=True)[1][[cell[0] for cell in cells]]
    return _split("regions", stack, cells, (names, folds), seed=seed, buffer_px=0, settings=settings)


def split_groups(stack: xr.Dataset | str | Path, *, folds: int = 5, fold: int = 0, seed: int = 0) -> Split:
    """Neighbourhoods of samples, as the coordinate `group` names them, dealt whole into folds with like numbers of
    landslides, labels and valid pixels.

    `fold` is the test, the next one the validation, the others train. Groups with like numbers of landslides are dealt
    in an order drawn from the seed. Samples without a valid pixel are left out. Raises SplitError where there are no
    groups, fewer than folds, or no positive label; warns where a part lacks a class.
    """
    stack = as_stack(stack)
    check_folds(folds, fold)
    if GROUP not in stack.coords:
        raise SplitError('the stack has no groups of samples; name them by [chips] group, or take the split "random"')
    cells = label_cells(stack, raster_shape(stack))
    told = np.array([str(group) for group in stack[GROUP].to_numpy()])  # text from Zarr may be of another dtype
    groups, of_cell = np.unique([told[cell[0]] for cell in cells], return_inverse=True)
    if len(groups) < folds:
        raise SplitError(
            f"{len(groups)} groups of samples cannot make {folds} folds; take fewer folds, or a smaller group_step"
        )
    counts = np.zeros((len(groups), 3))
    np.add.at(counts, of_cell, np.array([cell[2] for cell in cells]))
    fold_of = stratified_folds(counts, folds, np.random.default_rng(seed))[of_cell]
    names = [name_of_fold(f, fold, folds) for f in fold_of]
    settings = {"groups": len(groups), "folds": folds, "fold": fold}
    return _split("groups", stack, cells, (names, fold_of), seed=seed, buffer_px=0, settings=settings)


SPLITS: dict[str, Callable[..., Split]] = {
    "random": split_random,
    "blocks": split_blocks,
    "given": split_given,
    "groups": split_groups,
    "regions": split_regions,
}


def _split(
    kind: str,
    stack: xr.Dataset,
    cells: Sequence[Cell],
    dealt: tuple[Sequence[str], np.ndarray],
    *,
    seed: int,
    buffer_px: int,
    settings: dict[str, Any],
) -> Split:
    parts = []
    for (sample, window, counts), name, fold in zip(cells, *dealt, strict=True):
        where = f"r{window.row}-c{window.col}"
        part_id = f"s{sample}-{where}" if "sample" in stack.dims else where
        parts.append(Part(window, str(name), int(fold), int(counts[0]), part_id, sample))
    if label_names(stack):
        _warn_of_missing_classes(cells, parts)
    return Split(kind, raster_shape(stack), tuple(parts), seed, buffer_px, settings)


def _warn_of_missing_classes(cells: Sequence[Cell], parts: Sequence[Part]) -> None:
    for name in PARTS:
        counts = (
            np.array([c[2] for c, p in zip(cells, parts, strict=True) if p.name == name]).reshape(-1, 3).sum(axis=0)
        )
        for what, count in (("landslide", counts[0]), ("non-landslide", counts[1] - counts[0])):
            if count == 0:
                warnings.warn(
                    f"the {name} part has no {what} pixel among its {counts[1]} labels; its scores mean little: take "
                    "smaller blocks or patches, fewer folds, or another seed",
                    HeadscarpWarning,
                    stacklevel=4,
                )


def _cell_m(grid: Grid) -> tuple[float, float]:
    """(dy, dx) of a cell in metres, as its CRS says where that is true within 1 %, else as measured on the ground."""
    true = true_cell_size_m(grid)
    nominal = (abs(grid.affine.e), abs(grid.affine.a))
    return nominal if all(abs(n / t - 1) < 0.01 for n, t in zip(nominal, true, strict=True)) else true


def _too_small(stack: xr.Dataset, found: int, needed: int, asked: str, advice: str, unit: float = 1.0) -> SplitError:
    shape = raster_shape(stack)
    side = max(shape)
    while side > 1 and -(-shape[0] // side) * -(-shape[1] // side) * stack.sizes.get("sample", 1) < 2 * needed:
        side -= 1
    return SplitError(
        f"a raster of {shape[0]} x {shape[1]} pixels has {found} {asked} with valid pixels; needed: {needed} or more: "
        f"take {advice.format(f'{side * unit:g}')} or less"
    )
