"""What the blocks of a build noticed, added up and judged: errors, warnings with value and share, and the report.

Reads no pixels: only the counts that each block left in the journal, so that a resumed build is judged as a whole.
"""

import warnings
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from headscarp.assemble.plan import Plan
from headscarp.core.errors import HeadscarpWarning, SourceError, StackError
from headscarp.core.stack import LABEL, VALID

CONSTANT_SHARE = 0.02
"""From this share of a band's cells on, one constant value over whole areas is taken for unflagged no-data."""


def judge(plan: Plan, facts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The report of a build: missing shares of the bands, labels read and lost, valid share.

    facts: of each block. With one inventory "labels" holds its counts, with several the counts of each by name. Raises
    SourceError for a band without any value, StackError where nothing is valid or no valid cell of an inventory is a
    landslide. Warns of infinite and unknown values and of what looks like no-data that is not flagged.
    """
    total = plan.grid.shape[0] * plan.grid.shape[1]
    sums = _add_up(facts)
    bands: dict[str, dict[str, Any]] = {}
    for layer in plan.layers:
        name, seen = layer.band.name, sums["bands"][layer.band.name]
        unknown = sum(seen["unknown"].values())
        bands[name] = {"missing_share": (seen["missing"] + unknown) / total, "infinite": seen["infinite"]}
        if seen["missing"] + unknown == total and layer.band.kind != "direction":
            raise SourceError(
                f"band {name!r} ({layer.band.source}) has no value in the whole grid: all is no-data; check the file, "
                "its nodata value and its extent, or leave the band out"
            )
        if seen["infinite"]:
            _warn(f"band {name!r} holds {seen['infinite']} infinite values; they count as missing")
        if unknown:
            bands[name]["unknown"] = _unknown(plan, name, seen["unknown"], total)
        bands[name] |= _constant(name, seen["constant"], total - seen["missing"])
    report = {"bands": bands, "valid_share": sums["valid"] / total, "counts": plan.counts}
    if sums["valid"] == 0:
        shares = ", ".join(f"{name} {band['missing_share']:.0%}" for name, band in bands.items())
        raise StackError(
            "no cell is valid: nowhere do all continuous bands have a value inside the study area; check that the "
            f"files overlap (missing: {shares})"
        )
    labels = {}
    for layer in plan.labels:
        name = layer.band.name
        labels[name] = {**plan.counts.get(name, {}), **sums["labels"][name]}
        _judge_label(layer.band.source, sums["labels"][name])
    if labels:
        report["labels"] = labels[LABEL] if [*labels] == [LABEL] else labels
    return report


def _judge_label(source: str, label: Mapping[str, int]) -> None:
    if label["positive_valid"] == 0:
        raise StackError(
            f"no valid cell is a landslide: {label['positive']} cells of the grid are, all where some band is missing "
            f"or outside the study area ({source}); check the extents, or all_touched = true for very small polygons"
        )
    if label["negative_valid"] == 0:
        _warn(f"every labelled cell of {source} is a landslide; without absences nothing can be learned")


def _unknown(plan: Plan, name: str, unknown: Mapping[str, int], total: int) -> dict[str, Any]:
    values = plan.counts.get(name, {}).get("unknown") or list(unknown)
    share = sum(unknown.values()) / total
    shown = ", ".join(values[:10]) + (f" and {len(values) - 10} more" if len(values) > 10 else "")
    _warn(
        f"band {name!r}: {share:.2%} of the cells have a value that its class table does not know ({shown}); they "
        "count as no value: add them to classes if they mean something"
    )
    return {"values": values, "share": share}


def _constant(name: str, constant: Mapping[str, list[int]], present: int) -> dict[str, Any]:
    found = {}
    for value, (cells, flat) in sorted(constant.items(), key=lambda item: -item[1][0]):
        if flat >= CONSTANT_SHARE * present > 0:
            found[value] = cells / present
            number = f"{float(value):g}"
            _warn(
                f"band {name!r}: {cells / present:.1%} of its cells are exactly {number}, over whole areas; if that "
                f"means no data, flag it under this [[band]]: nodata = {number}"
            )
    return {"constant": found} if found else {}


def _add_up(facts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    bands: dict[str, dict[str, Any]] = {}
    labels: dict[str, Counter[str]] = {}
    valid = 0
    for block in facts:
        valid += block[VALID]
        for name, label in block["labels"].items():
            labels.setdefault(name, Counter()).update(label)
        for name, seen in block["bands"].items():
            sums = bands.setdefault(name, {"missing": 0, "infinite": 0, "unknown": Counter(), "constant": {}})
            sums["missing"] += seen.get("missing", 0)
            sums["infinite"] += seen.get("infinite", 0)
            sums["unknown"].update(seen.get("unknown", {}))
            for value, (cells, flat) in seen.get("constant", {}).items():
                before = sums["constant"].get(value, [0, 0])
                sums["constant"][value] = [before[0] + cells, before[1] + flat]
    return {"bands": bands, "labels": {name: dict(label) for name, label in labels.items()}, "valid": valid}


def _warn(text: str) -> None:
    warnings.warn(text, HeadscarpWarning, stacklevel=3)
