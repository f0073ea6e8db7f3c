"""The verb mining: sites ranked by how much what happened there looks like a mine, and how well that is told.

Each pair of a stack is a site. Numbers are measured of it block by block, resumable (`measured`); scores are fitted on
the validation part, which no net has learned from, and judged on the test part (`minescores`). Refuses nets that have
learned from sites that are judged. An image shows no permit: whether a mine is licensed is no matter of this module.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from headscarp.core.artefact import check_output, clear_os_errors, write_json
from headscarp.core.blocks import Done, Journal, run_blocks
from headscarp.core.bundle import Bundle, as_bundle, bundle_hash
from headscarp.core.errors import RecipeError
from headscarp.core.progress import log
from headscarp.core.provenance import made_by
from headscarp.core.samples import GROUP, sample_ids
from headscarp.core.stack import fingerprint
from headscarp.evaluation.hazards import Floats
from headscarp.evaluation.sites import SiteTruth, both_kinds
from headscarp.evaluation.tables import MetricRow, write_table
from headscarp.tiles.dataset import as_stack
from headscarp.tiles.pairs import as_scenes
from headscarp.tiles.reader import TileReader, make_batch
from headscarp.tiles.regions import REGION, place_numbers
from headscarp.tiles.tiling import whole_tile
from headscarp.train.measured import Instruments, Site, measure
from headscarp.train.minescores import (
    ADDED,
    ALL,
    CONSTANT,
    DIRECT,
    TOLD,
    can_fit,
    fit_scores,
    forest_odds,
    grouped,
    unfitted,
)
from headscarp.train.minetable import SCORES, pair_table, read_scores, site_rows, told_table, write_scores
from headscarp.train.minetools import in_steps, parts_of, positive_of, tools_of

_JOURNAL = ".scores.journal"
_BLOCK = 8


@dataclass(frozen=True)
class Evidence:
    """What was found of N sites, best first. at: (N,) their samples. names: (N,). mine: (N,) 1, 0, or NaN where that is
    not known. part: (N,). scores: (N,) log odds by score; rank is by "all". chance: (N,) that each is a mine, were
    `prevalence` of all sites mines; NaN where nothing could be fitted. nearest: for each site the number of the future
    nearest to what came, by task. changed: (N,) share of each that changed. rows: the table, empty where nothing could
    be judged. lost: sites of which too little is seen, with why. simulated: whether the places are."""

    at: NDArray[np.int64]
    names: tuple[str, ...]
    mine: Floats
    part: NDArray[np.str_]
    scores: Mapping[str, Floats]
    chance: Floats
    nearest: tuple[Mapping[str, int], ...]
    changed: Floats
    rows: tuple[MetricRow, ...]
    lost: tuple[tuple[str, str], ...]
    prevalence: float
    net: str
    made: Mapping[str, Any]
    stack: xr.Dataset = field(repr=False)
    tools: Instruments = field(repr=False)
    reader: TileReader = field(repr=False)

    @property
    def simulated(self) -> bool:
        return bool(self.stack.attrs.get("simulated"))

    def value(self, score: str, metric: str) -> MetricRow | None:
        """A row of the test part."""
        return next((r for r in self.rows if (r.net, r.part, r.metric) == (score, "test", metric)), None)

    @property
    def text(self) -> str:
        """What a person wants to read first."""
        told = []
        for name in (ALL, DIRECT, CONSTANT):
            row = self.value(name, "auroc")
            told += [f"{name} {row.value:.3f} [{row.low:.3f}, {row.high:.3f}]"] if row else []
        ranked = f"{len(self.at)} sites ranked."
        if not told:
            return f"{ranked} Nothing could be judged: no site of known class that no net has learned from."
        text = f"{ranked} AUROC on the test part: {'; '.join(told)}."
        gain = self.value(f"{ADDED} beside {DIRECT}", "gain: auroc")
        if gain is not None:
            says = "does not add beyond chance" if gain.low <= 0 <= gain.high else "adds" if gain.low > 0 else "harms"
            text += (
                f" To compare with sampled futures {says}: {gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}] AUROC "
                "over the direct classifiers."
            )
        blind, best = self.value(TOLD, "auroc"), self.value(ALL, "auroc")
        if blind is not None and best is not None and blind.value >= best.value:
            text += (
                f" But dates and position alone, without any picture, reach {blind.value:.3f}: this collection gives "
                "its classes away, and how well mines are told elsewhere is not known."
            )
        return text

    def site(self, k: int) -> Site:
        """The pictures of the k-th site."""
        return Site(self.tools, _batch(self.tools, self.reader, [int(self.at[k])]))


def find_mines(
    generator: Bundle | str | Path,
    stack: xr.Dataset | str | Path,
    out: str | Path,
    *,
    beside: Sequence[Bundle | str | Path] = (),
    against: Sequence[str] | None = None,
    samples: int = 16,
    steps: int | None = None,
    prevalence: float = 0.01,
    pooled: Sequence[str | Path] = (),
    seed: int = 0,
    resume: bool = False,
    overwrite: bool = False,
) -> Evidence:
    """Ranks the sites of a stack of pairs (or scenarios) and writes scores.csv and metrics.csv into a folder.

    generator: a bundle that makes pictures and knows the task "mining". beside: bundles whose scores are set beside
    its own: of kind, vae, direct. against: tasks that futures are compared under beside mining; None: all that the
    generator knows. samples: futures of each task. steps: of a flow, from noise to each; None: its own. prevalence:
    share of mines that precision is told at. pooled: folders of runs on other held-out regions, which are judged
    together with this one. Sites of the parts validation and test, and those of no part or class, are measured.
    Raises BundleError, StackError, RecipeError, OutputError.
    """
    if not 0 < prevalence < 1:
        raise RecipeError(f"prevalence is {prevalence}; it has to be between 0 and 1, such as 0.01 for 1 in 100")
    generator = in_steps(as_bundle(generator), steps)
    others = [as_bundle(one) for one in beside]
    stack = as_stack(stack)
    scenes = as_scenes(stack)
    tools, bands = tools_of(generator, others, stack, scenes, against=against, samples=samples)
    part, kind = parts_of([generator, *others], stack)
    mine = positive_of(stack)
    part = np.where(np.isnan(mine), "", part)
    out = check_output(out, overwrite=overwrite or resume)
    read = [read_scores(folder) for folder in pooled]
    chosen = np.flatnonzero(part != "train")
    if not len(chosen):
        raise RecipeError("all sites train, so none is left to rank; give sites of other parts, or without a class")
    settings = {
        "generator": bundle_hash(generator), "beside": [bundle_hash(one) for one in others],
        "tasks": list(tools.tasks), "samples": samples, "stack": fingerprint(stack),
    }  # fmt: skip
    reader = TileReader(scenes, bands)
    found = _measured(tools, reader, chosen, out, settings, resume=resume and out.exists())
    seen = np.array([one["seen"] for one in found]) > 0
    lost = [(sample_ids(stack)[i], "no pixel is seen in both pictures") for i in chosen[~seen]]
    found, chosen = [one for one, there in zip(found, seen, strict=True) if there], chosen[seen]
    if not len(chosen):
        raise RecipeError("no site shows a pixel in both of its pictures, so there is nothing to rank")
    holds, place = np.nan_to_num(mine), _places(stack)
    scores, share = _scores(found, chosen, (holds, part, place), scenes, stack, tools)
    judged = part[chosen] == "test"
    test = chosen[judged]
    truth = SiteTruth(holds[test], _regions(stack)[test], place[test])
    rows = site_rows({n: s[judged] for n, s in scores.items()}, truth, (kind, prevalence, seed), read)
    logit = np.log(prevalence / (1 - prevalence)) - np.log(share / (1 - share))
    chance = 1 / (1 + np.exp(-(scores[ALL] + logit)))
    order = np.argsort(-scores[ALL], kind="stable")
    at = chosen[order]
    made = made_by("mining", settings={**settings, "prevalence": prevalence}, inputs=[{"stack": fingerprint(stack)}])
    evidence = Evidence(
        at, tuple(sample_ids(stack)[i] for i in at), mine[at], part[at], {n: s[order] for n, s in scores.items()},
        chance[order], tuple(found[k]["nearest"] for k in order), np.array([found[k]["changed"] for k in order]),
        tuple(rows), tuple(lost), prevalence, generator.net, made, stack, tools, reader,
    )  # fmt: skip
    write_scores(out / SCORES, _columns(evidence, _regions(stack)[at], place[at]), evidence.scores)
    write_table(rows, out)
    write_json(out / "made.json", {"made": made})
    return evidence


@dataclass(frozen=True)
class _Block:
    """Samples that are measured at once."""

    samples: tuple[int, ...]
    id: str


@dataclass(frozen=True)
class _Work:
    tools: Instruments
    reader: TileReader

    def __call__(self, block: _Block) -> Done:
        with torch.inference_mode():
            found = measure(self.tools, _batch(self.tools, self.reader, block.samples))
        return Done("", {"sites": [one.to_json() for one in found]})


def _measured(
    tools: Instruments,
    reader: TileReader,
    chosen: NDArray[np.int64],
    out: Path,
    settings: Mapping[str, Any],
    *,
    resume: bool,
) -> list[dict[str, Any]]:
    """What was measured of each chosen sample, in their order."""
    with clear_os_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    at = [chosen[i : i + _BLOCK].tolist() for i in range(0, len(chosen), _BLOCK)]
    blocks = [_Block(tuple(samples), f"samples {samples[0]}+{len(samples)}") for samples in at]
    journal = Journal(out / _JOURNAL, {**settings, "sites": len(chosen)}, resume=resume)
    done = run_blocks(_Work(tools, reader), blocks, journal=journal, workers=1, label="sites, 8 at a time")
    log.info("sites: %d measured", len(chosen))
    return [one for block in done.values() for one in block.facts["sites"]]


def _batch(tools: Instruments, reader: TileReader, samples: Sequence[int]) -> Any:
    tiles = [whole_tile(tools.shape, tools.align, sample=sample) for sample in samples]
    return make_batch([reader.read(tile) for tile in tiles], tiles)


def _scores(
    found: Sequence[Mapping[str, Any]],
    chosen: NDArray[np.int64],
    known: tuple[Floats, NDArray[np.str_], NDArray[np.int64]],
    scenes: xr.Dataset,
    stack: xr.Dataset,
    tools: Instruments,
) -> tuple[dict[str, Floats], float]:
    """Log odds of each chosen site by score, and the share of mines that they are fitted at (0.5: not fitted)."""
    holds, part, place = known
    numbers = {
        name: np.array([np.nan if one["numbers"][name] is None else one["numbers"][name] for one in found])
        for name in sorted(found[0]["numbers"])  # a journal sorts them too
    }
    groups, train = grouped(numbers, tools.tasks), part == "train"
    if both_kinds(holds[train]):
        groups["forest"] = forest_odds(pair_table(scenes), holds, train)[chosen][:, None]
    fit = part[chosen] == "validation"
    if not can_fit(holds[chosen][fit]):
        log.warning(
            "the validation part has too few sites of both kinds to fit scores on; sites are ranked by how much better "
            "mining explains them than other tasks do, and no chance is told"
        )
        return dict(unfitted(groups).scores), float("nan")
    fitted = fit_scores(groups, holds[chosen], fit, place[chosen])
    scores = dict(fitted.scores)
    told = told_table(stack)
    if told is not None and both_kinds(holds[train]):
        scores[TOLD] = forest_odds(told, holds, train)[chosen]
    return scores, fitted.share


def _places(stack: xr.Dataset) -> NDArray[np.int64]:
    told = [str(v) for v in stack[GROUP].to_numpy()] if GROUP in stack.variables else place_numbers(stack).tolist()
    return np.asarray(np.unique(told, return_inverse=True)[1], np.int64)


def _regions(stack: xr.Dataset) -> NDArray[np.str_]:
    if REGION not in stack.variables:
        return np.full(stack.sizes["sample"], "", "<U1")
    return np.array([str(value) for value in stack[REGION].to_numpy()])


def _columns(evidence: Evidence, region: NDArray[np.str_], place: NDArray[np.int64]) -> dict[str, list[Any]]:
    mine = ["" if np.isnan(value) else int(value) for value in evidence.mine]
    known = {"site": list(evidence.names), "part": evidence.part.tolist(), "mine": mine, "region": region.tolist()}
    return {**known, "place": place.tolist(), "changed": evidence.changed.tolist(), "chance": evidence.chance.tolist()}
