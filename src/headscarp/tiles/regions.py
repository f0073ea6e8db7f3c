"""Splits of samples by region: does what was learned here hold where nobody has looked?

One region judges and the others train; the samples of one place are never parted. Refuses stacks whose samples name no
region, and regions that nobody knows.
"""

from collections.abc import Sequence
from difflib import get_close_matches

import numpy as np
import xarray as xr

from headscarp.core.dates import day_of
from headscarp.core.errors import SplitError
from headscarp.core.samples import has_samples
from headscarp.tiles.partition import PARTS

REGION, CUTOFF = "region", "cutoff"
_PLACE_DEG = 0.01


def region_names(stack: xr.Dataset) -> list[str]:
    """The region of each sample. Raises SplitError where none is told."""
    if not has_samples(stack) or REGION not in stack.variables:
        raise SplitError(
            f"the stack's samples have no {REGION!r}, so none can be held out; build domains, or take another split"
        )
    return [str(name) for name in stack[REGION].to_numpy()]


def held_out_region(regions: Sequence[str], hold_out: str | None, fold: int) -> str:
    """The region that judges: as named, else the one of this fold, regions in the order of their names."""
    known = sorted(set(regions))
    if len(known) < 2:
        raise SplitError(f"all samples are of region {known[0]!r}; needed: two regions or more, one to hold out")
    if hold_out is None:
        if not 0 <= fold < len(known):
            raise SplitError(f"there is no fold {fold}; {len(known)} regions make folds 0 to {len(known) - 1}")
        return known[fold]
    if hold_out not in known:
        near = get_close_matches(hold_out, known, n=1, cutoff=0.0)[0]
        raise SplitError(f"there is no region {hold_out!r}; the nearest is {near!r}, of {', '.join(known)}")
    return hold_out


def deal_regions(
    stack: xr.Dataset,
    hold_out: str,
    *,
    validation_share: float,
    later_than: str | None,
    seed: int,
    learn_from: Sequence[str] | None = None,
) -> list[str]:
    """The part of each sample, "" for none.

    The region judges; a share of the places of each other region, drawn from the seed, validates. later_than: a date;
    then only samples of the region with a cut-off from that date on judge, and only earlier ones of the others train
    and validate. learn_from: the regions that train and validate; None: all others.
    """
    if not 0 < validation_share < 1:
        raise SplitError(f"validation_share is {validation_share}; it has to be between 0 and 1")
    regions = np.array(region_names(stack))
    places = place_numbers(stack)
    rng = np.random.default_rng(seed)
    parts = np.where(regions == hold_out, PARTS[2], PARTS[0]).astype(object)
    for region in sorted(set(regions.tolist()) - {hold_out}):
        there = np.unique(places[regions == region])
        chosen = rng.permutation(there)[: min(max(1, round(validation_share * len(there))), len(there) - 1)]
        parts[(regions == region) & np.isin(places, chosen)] = PARTS[1]
    if learn_from is not None:
        for name in learn_from:
            held_out_region(regions.tolist(), name, 0)  # raises where it is not there
        parts[~np.isin(regions, [hold_out, *learn_from])] = ""
    if later_than is not None:
        late = _cutoffs(stack) >= day_of(later_than, error=SplitError)
        parts[(parts == PARTS[2]) != late] = ""
    held = {name: int((parts == name).sum()) for name in PARTS}
    if not all(held.values()):
        other = "another region" + (f", or another date than {later_than}" if later_than else "")
        raise SplitError(f"with {hold_out!r} held out the parts have {held} samples; needed: some in each; try {other}")
    return [str(name) for name in parts]


def place_numbers(stack: xr.Dataset) -> np.ndarray:
    """A number for each sample, the same for those of one place: (S,)."""
    count = stack.sizes["sample"]
    if not {"latitude", "longitude"} <= set(stack.variables):
        return np.arange(count)
    at = np.stack([stack[name].to_numpy() for name in ("latitude", "longitude")], axis=1)
    unknown = ~np.isfinite(at).all(axis=1)
    cells = np.where(unknown[:, None], np.stack([np.arange(count)] * 2, axis=1) + 1e6, np.round(at / _PLACE_DEG))
    return np.unique(cells, axis=0, return_inverse=True)[1].reshape(count)


def _cutoffs(stack: xr.Dataset) -> np.ndarray:
    if CUTOFF not in stack.variables:
        raise SplitError(f"the stack's samples have no {CUTOFF!r}, so none is later than a date; leave the date out")
    return np.asarray(stack[CUTOFF].to_numpy().astype("datetime64[D]"))
