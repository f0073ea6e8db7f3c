"""The table of sites: every score on the sites that judge, beside runs on other regions; and its file.

Refuses folders that hold no such file.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from headscarp.core.artefact import write_text
from headscarp.core.errors import OutputError
from headscarp.core.scenarios import AFTER, seen_after
from headscarp.core.tile import Window
from headscarp.evaluation.hazards import Floats
from headscarp.evaluation.sites import SiteTruth, both_kinds, site_gains, site_scores
from headscarp.evaluation.tables import MetricRow, rows_of
from headscarp.tiles.dataset import read_window
from headscarp.train.kinds import pair_statistics
from headscarp.train.minescores import ADDED, ALL, DIRECT

SCORES = "scores.csv"
_NEEDED = ("site", "part", "mine", "region", "place")
_APART = 1_000_000  # places of one run and of the next are not the same

Columns = Mapping[str, list[Any]]


def site_rows(
    scores: Mapping[str, Floats], truth: SiteTruth, how: tuple[str, float, int], pooled: Sequence[Columns] = ()
) -> list[MetricRow]:
    """Rows of every score, (N,) each, on N sites, and of what one adds to another; none where all are of one kind.

    how: kind of the split, prevalence that precision is told at, seed. pooled: columns of other runs; their sites of
    the part test are judged with these, all together and region by region.
    """
    kind, prevalence, seed = how
    of = dict(scores)
    for k, other in enumerate(pooled, start=1):
        there = np.array([p == "test" for p in other["part"]])
        mine, place = (np.array(other[name])[there].astype(np.float64) for name in ("mine", "place"))
        truth = SiteTruth(
            np.concatenate([truth.holds, mine]),
            np.concatenate([truth.region, np.array(other["region"])[there]]),
            np.concatenate([truth.place, place.astype(np.int64) + k * _APART]),
        )
        of = {n: np.concatenate([v, np.array(other[n], np.float64)[there]]) for n, v in of.items() if n in other}
    if not both_kinds(truth.holds):
        return []
    parts = {"test": np.ones(len(truth.holds), np.bool_)}
    if pooled:
        parts |= {f"region: {name}": truth.region == name for name in sorted(set(truth.region.tolist()))}
    rows: list[MetricRow] = []
    for name, score in of.items():
        for part, here in parts.items():
            if both_kinds(truth.holds[here]):
                found = site_scores(score[here], truth.take(here), prevalence, np.random.default_rng(seed))
                rows += rows_of(name, kind, part, found)
    for ours, theirs in ((ADDED, DIRECT), (ALL, DIRECT)):
        for part, here in parts.items():
            if ours in of and theirs in of and both_kinds(truth.holds[here]):
                gains = site_gains(of[ours][here], of[theirs][here], truth.take(here), np.random.default_rng(seed))
                rows += rows_of(f"{ours} beside {theirs}", kind, part, gains)
    return rows


def pair_table(scenes: xr.Dataset) -> Floats:
    """(S, F) `pair_statistics` of each band that is seen before and after."""
    names = seen_after(scenes)
    whole = Window(0, 0, scenes.sizes["y"], scenes.sizes["x"])
    rows = []
    for sample in range(scenes.sizes["sample"]):
        planes = [[read_window(scenes[n], whole, sample=sample) for n in (name, AFTER + name)] for name in names]
        rows.append([value for first, last in planes for value in pair_statistics(first, last)])
    return np.array(rows)


def told_table(stack: xr.Dataset) -> Floats | None:
    """(S, F) what is known of a site without looking: position, dates; None where that is not told."""
    if not {"latitude", "longitude"} <= set(stack.variables):
        return None
    columns = [np.asarray(stack[name].to_numpy(), np.float64) for name in ("latitude", "longitude")]
    if "cutoff" in stack.variables:
        days = stack["cutoff"].to_numpy().astype("datetime64[D]")
        columns.append(np.where(np.isnat(days), np.nan, days.astype(np.int64)))
    if "days" in stack.variables:
        columns += list(np.asarray(stack["days"].to_numpy(), np.float64).T)
    return np.stack(columns, axis=1)


def write_scores(path: Path, known: Columns, scores: Mapping[str, Floats]) -> Path:
    """Writes a row a site: what is known of it, then its scores."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*known, *scores])
    for row in zip(*known.values(), *(values.tolist() for values in scores.values()), strict=True):
        writer.writerow([repr(value) if isinstance(value, float) else value for value in row])
    return write_text(path, text.getvalue())


def read_scores(folder: str | Path) -> dict[str, list[str]]:
    """The columns of an earlier run. Raises OutputError where there is none."""
    path = Path(folder) / SCORES
    if not path.is_file():
        raise OutputError(f"{folder} holds no {SCORES}; give the folder of a finished headscarp mining")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows or not set(_NEEDED) <= set(rows[0]):
        raise OutputError(f"{path} is no table of sites; run headscarp mining again")
    return {name: [row[name] for row in rows] for name in rows[0]}
