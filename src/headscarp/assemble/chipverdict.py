"""What the blocks of a build of chips noticed, added up and judged: errors, warnings with names, and the report.

Reads no pixels: only the facts that each chip left in the journal, so that a resumed build is judged as a whole.
"""

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from headscarp.assemble.edges import find_shift
from headscarp.assemble.lookalikes import Look, find_twins
from headscarp.assemble.samples import Sample
from headscarp.core.errors import HeadscarpWarning, SourceError, StackError

MUCH_BRIGHTER = 100.0
"""A chip whose largest value is so many times the usual largest value was scaled in another way."""
_SHOWN = 10


def judge_chips(samples: Sequence[Sample], facts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The report of a build of chips: samples by part, labels by part, black chips, twins, missing shares.

    facts: of each sample, in order. Raises SourceError where the files are of several depths of number, StackError
    where nothing is valid or no valid pixel is a landslide. Warns of black chips, chips of another range, chips without
    a mask and chips that stand in two parts, with names, and of masks that lie beside their images.
    """
    names, parts = [sample.id for sample in samples], [sample.part for sample in samples]
    _check_depths(samples, facts)
    black = [name for name, seen in zip(names, facts, strict=True) if seen["black"]]
    if len(black) == len(names):
        raise StackError(f"all {len(names)} chips are black; check the files and the bands under [chips]")
    _warn_of(black, "chips are black and count for nothing")
    _warn_of(_strange_ranges(names, facts), "chips have values in another range than the others: scale all alike")
    unlabelled = [sample.id for sample in samples if sample.mask is None]
    labelled = any(seen["labels"] is not None for seen in facts)
    if labelled:
        _warn_of(unlabelled, "chips have no mask and are unlabelled")
    if not any(seen["valid"] for seen in facts):
        raise StackError("no pixel of any chip is valid; check the bands under [chips] for missing values")
    infinite = sum(sum(seen["infinite"].values()) for seen in facts)
    if infinite:
        _warn(f"{infinite} values of the chips are infinite; they count as missing")
    looks = [Look(seen["exact"], seen["near"]) for seen in facts]
    twins = find_twins(looks, parts)
    _warn_of(
        [f"{names[t.first]} ({parts[t.first]}) = {names[t.second]} ({parts[t.second]})" for t in twins],
        "pairs of chips stand in two parts, exact or near duplicates; scores of those parts flatter",
    )
    shift = find_shift([seen.get("edges", {}) for seen in facts])
    if shift is not None:
        _warn(
            f"masks seem to lie beside their images: moved {shift} they would fit better (edges of the images under "
            f"their outlines are {shift.stronger:.2f} times as strong there, over {shift.chips} chips); check how the "
            "masks were cut or drawn before training on them"
        )
    report = {
        "samples": len(names),
        "parts": dict(Counter(part or "none" for part in parts)),
        "missing_share": _missing(facts),
        "valid_share": sum(seen["valid"] for seen in facts) / sum(seen["pixels"] for seen in facts),
        "depth": facts[0]["depth"],
        "black": black,
        "masks_shifted": None if shift is None else {"rows": shift.rows, "columns": shift.cols},
        "without_mask": unlabelled if labelled else [],
        "twins": [{"chips": [names[t.first], names[t.second]], "bits": t.bits, "exact": t.exact} for t in twins],
    }
    return {**report, "labels": _labels(parts, facts)} if labelled else report


def _check_depths(samples: Sequence[Sample], facts: Sequence[Mapping[str, Any]]) -> None:
    """Raises SourceError where some chips are of 8 bits and some of 16, say; floats beside whole numbers with gaps."""
    first: dict[str, Sample] = {}
    for sample, seen in zip(samples, facts, strict=True):
        if not seen["depth"].startswith("float"):
            first.setdefault(seen["depth"], sample)
    if len(first) > 1:
        said = " but ".join(f"{sample.image} is {depth}" for depth, sample in first.items())
        raise SourceError(f"{said}: their numbers do not mean the same; write all chips with one depth and scale")


def _strange_ranges(names: Sequence[str], facts: Sequence[Mapping[str, Any]]) -> list[str]:
    high = np.array([seen["high"] for seen in facts])
    seen = ~np.array([one["black"] for one in facts]) & (high > 0)
    usual = float(np.median(high[seen])) if seen.any() else 0.0
    strange = seen & ((high > MUCH_BRIGHTER * usual) | (high * MUCH_BRIGHTER < usual))
    return [names[i] for i in np.flatnonzero(strange).tolist()]


def _labels(parts: Sequence[str], facts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Valid pixels by part that are landslide, not, and unlabelled; in all, under "all"."""
    found: dict[str, np.ndarray] = {}
    for part, seen in zip(parts, facts, strict=True):
        for name in ("all", part or "none"):
            found[name] = found.get(name, np.zeros(3, int)) + np.array(seen["labels"])
    if not found["all"][1]:
        raise StackError(
            "no valid pixel of any chip is a landslide; where masks write a landslide as 255, say so under [chips]: "
            'classes = { "0" = "not", "255" = "landslide" }'
        )
    return {name: {"negative": int(n), "positive": int(p), "unlabelled": int(u)} for name, (n, p, u) in found.items()}


def _missing(facts: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    sums: Counter[str] = Counter()
    for seen in facts:
        sums.update(seen["missing"])
    pixels = sum(seen["pixels"] for seen in facts)
    return {name: sums[name] / pixels for name in facts[0]["missing"]}


def _warn_of(names: Sequence[str], what: str) -> None:
    if names:
        more = f" and {len(names) - _SHOWN} more, all in the stack's report" if len(names) > _SHOWN else ""
        _warn(f"{len(names)} {what}: {', '.join(names[:_SHOWN])}{more}")


def _warn(text: str) -> None:
    warnings.warn(text, HeadscarpWarning, stacklevel=4)
