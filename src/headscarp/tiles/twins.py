"""Which chips that look alike stand in two parts of a split: a build has found the pairs, the split decides.

Refuses to look for pairs itself: it reads the report that stands in the stack.
"""

from collections.abc import Mapping

import xarray as xr

from headscarp.core.samples import has_samples, sample_ids
from headscarp.tiles.partition import Split

_SHOWN = 3


def twins_apart(stack: xr.Dataset, split: Split) -> list[tuple[str, str]]:
    """Pairs of samples in two parts of the split whose pictures are the same, or nearly; [] for a stack of one place.

    Of a stack whose build has parted its chips only pairs across those parts are known.
    """
    report = stack.attrs.get("report")
    if not has_samples(stack) or not isinstance(report, Mapping):
        return []
    place = {name: i for i, name in enumerate(sample_ids(stack))}
    part_of = {part.sample: part.name for part in split.parts}
    pairs = [tuple(pair["chips"]) for pair in report.get("twins", ())]
    return [
        (first, second)
        for first, second in pairs
        if part_of.get(place[first]) and part_of.get(place[second])
        and part_of[place[first]] != part_of[place[second]]
    ]  # fmt: skip


def twins_in_words(stack: xr.Dataset, split: Split) -> list[str]:
    """One sentence about them; [] where there are none."""
    pairs = twins_apart(stack, split)
    if not pairs:
        return []
    told = ", ".join(f"{first} = {second}" for first, second in pairs[:_SHOWN])
    more = f" and {len(pairs) - _SHOWN} more" if len(pairs) > _SHOWN else ""
    return [
        f"{split.kind} split: {len(pairs)} pair{'s' * (len(pairs) > 1)} of chips that look alike "
        f"stand{'s' * (len(pairs) == 1)} in two parts ({told}{more}): these scores flatter; take one of each away."
    ]
