"""A whole run in one folder: stack, audit, comparison, map, report. `run` does it for a recipe, `demo` for a valley.

Every step leaves its own result and is skipped when that is whole, so a run goes on wherever it was stopped.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from headscarp.assemble.build import build
from headscarp.assemble.recipe import read_recipe
from headscarp.core.artefact import check_output, clear_os_errors, write_text
from headscarp.core.errors import RecipeError
from headscarp.core.stack import label_names, open_stack, stack_grid, with_label
from headscarp.evaluation.scoring import Predictor
from headscarp.prediction.raster import predict
from headscarp.report.comparison import write_comparison_report
from headscarp.report.page import Page, Section, Table, notice_of, write_page
from headscarp.tiles.audit import audit
from headscarp.tiles.splits import write_split
from headscarp.train.compare import compare
from headscarp.train.config import FitConfig, check_choice
from headscarp.train.plan import check_training, chosen_configs, chosen_split, context_of
from headscarp.train.results import Comparison

MAP_NET = "sacnn"
NETS_COMPARED = ("prevalence", "slope", "llr", "sacnn")


@dataclass(frozen=True)
class RunResult:
    """Where to look. sentences: what came out, in words."""

    report: Path
    map: Path
    metrics: Path
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class RunPlan:
    """What a run does with its stack. net: the one that draws the map; the others stand beside it in the table.

    ceiling: a known predictor that nobody can beat, where there is one, to which all skills are compared.
    """

    title: str
    net: str = MAP_NET
    nets: Sequence[str] = NETS_COMPARED
    splits: Sequence[str] = ("blocks", "random")
    split_options: Mapping[str, Any] = field(default_factory=dict)
    run_folds: int = 1
    configs: Mapping[str, FitConfig] = field(default_factory=dict)
    lead: Sequence[str] = ()
    ceiling: str | None = None


def run_recipe(
    recipe: str | Path, out: str | Path, *, workers: int | None = None, resume: bool = False, overwrite: bool = False
) -> RunResult:
    """Does a whole recipe in the folder `out`. Raises RecipeError before any work where the recipe is wrong."""
    parsed = read_recipe(recipe)
    if parsed.chips is not None:
        raise RecipeError(
            f"{recipe} names chips, and a run ends in a map of one place; use headscarp build, then compare"
        )
    net = str(parsed.train.get("net", MAP_NET))
    check_training(parsed.train)
    wanted = dict(parsed.compare)
    plan = RunPlan(
        title=f"Where can it slide? {parsed.name}",
        net=net,
        nets=list(dict.fromkeys([*wanted.pop("nets", NETS_COMPARED), net])),
        splits=wanted.pop("splits", ("blocks", "random")),
        run_folds=int(wanted.pop("run_folds", 1)),
    )
    for key in wanted:
        check_choice("key in [compare]", key, ("nets", "splits", "run_folds"))
    out = start_folder(out, resume=resume, overwrite=overwrite)
    stack_path = out / "stack.zarr"
    if not stack_path.exists():
        build(parsed, stack_path, workers=workers, resume=True)
    stack = open_stack(stack_path)
    plan = replace(plan, configs=chosen_configs(stack))
    if len(label_names(stack)) > 1:
        return run_targets(stack, stack_path, out, plan, workers=workers)
    return run_stack(stack, stack_path, out, plan, workers=workers)


def run_targets(
    stack: xr.Dataset, stack_path: Path, out: Path, plan: RunPlan, *, workers: int | None = None
) -> RunResult:
    """The same for a stack with several labels: a folder for each, nets of its own from fresh weights, one split."""
    results = {
        label: run_stack(
            stack, stack_path, out / label, replace(plan, title=f"{plan.title}: {label}"), label=label, workers=workers
        )
        for label in label_names(stack)
    }
    tables = [pd.read_csv(result.metrics).assign(label=label) for label, result in results.items()]
    metrics = write_text(out / "metrics.csv", pd.concat(tables).to_csv(index=False))
    sections = [
        Section(
            label,
            text=(*_of_the_first_split(result.sentences, plan), f"All that was found: {label}/report.html."),
            figures=((out / label / "compare" / f"{plan.splits[0]}-maps.png", f"Maps of {label}, best nets first."),),
            table=_test_table(table, plan),
        )
        for table, (label, result) in zip(tables, results.items(), strict=True)
    ]
    lead = [f"{label}: {sentence}" for label, result in results.items() for sentence in result.sentences[:1]]
    notice = notice_of(stack.attrs)
    page = Page(plan.title, (*lead, *plan.lead), sections, notice=notice, made=stack.attrs.get("made", {}))
    report = write_page(page, out / "report.html")
    sentences = [f"{label}: {sentence}" for label, result in results.items() for sentence in result.sentences]
    return RunResult(report, next(iter(results.values())).map, metrics, tuple(sentences))


def _of_the_first_split(sentences: Sequence[str], plan: RunPlan) -> list[str]:
    """Which net is better by NLL on the first split, and how much the other splits flatter."""
    wanted = (f"{plan.splits[0]} split, test nll", "AUROC on the")
    return [sentence for sentence in sentences if sentence.startswith(wanted)]


def _test_table(rows: pd.DataFrame, plan: RunPlan) -> Table:
    """What each net reaches on test ground of the first split."""
    shown = ("nll", "skill", "auroc", "average_precision", "precision", "recall", "iou")
    test = rows[(rows["split"] == plan.splits[0]) & (rows["part"] == "test")]
    value = test.pivot(index="net", columns="metric", values="value").reindex(columns=list(shown))
    order = list(dict.fromkeys(test["net"]))
    numbers = value.loc[order].to_numpy(dtype=float)
    cells = tuple((str(net), *(f"{v:.4f}" for v in row)) for net, row in zip(order, numbers, strict=True))
    return Table((f"{plan.splits[0]} split, test", *shown), cells)


def run_stack(
    stack: xr.Dataset,
    stack_path: Path,
    out: Path,
    plan: RunPlan,
    *,
    known: Mapping[str, Predictor] | None = None,
    label: str | None = None,
    workers: int | None = None,
) -> RunResult:
    """Audit, comparison, map and report for a stack that stands in the folder of the run.

    known: predictors that need no training. label: which of the stack's labels is the target, where it has several.
    """
    with clear_os_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    audits = [_audited(stack, kind, plan, out) for kind in plan.splits]
    comparison = compare(
        stack,
        [*plan.nets, *(known or {})],
        out=out / "compare",
        splits=plan.splits,
        split_options=plan.split_options,
        run_folds=plan.run_folds,
        configs=plan.configs,
        known=known,
        label=label,
        workers=workers,
        resume=True,
    )
    map_path = out / "map.tif"
    if not map_path.exists():
        bundle = out / "compare" / "runs" / f"{plan.splits[0]}-0" / plan.net
        predict(bundle, stack_path, map_path, workers=workers, resume=True)
    lead = (*plan.lead, *headline(comparison, plan), *audits)
    report = write_comparison_report(comparison, with_label(stack, label), out / "compare", title=plan.title, lead=lead)
    shutil.copyfile(report, out / "report.html")
    return RunResult(
        out / "report.html",
        map_path,
        out / "compare" / "metrics.csv",
        (*headline(comparison, plan), *comparison.sentences),
    )


def headline(comparison: Comparison, plan: RunPlan) -> tuple[str, ...]:
    """What the map is worth, in one sentence."""
    by = {(r.net, r.metric): r for r in comparison.rows if r.split == plan.splits[0] and r.part == "test"}
    auroc, skill = by[plan.net, "auroc"], by[plan.net, "skill"]
    return (
        f"The map is drawn by {plan.net}: on test ground of the {plan.splits[0]} split AUROC {auroc.value:.3f} "
        f"[{auroc.low:.3f}, {auroc.high:.3f}], log-skill {skill.value:.3f} [{skill.low:.3f}, {skill.high:.3f}] "
        "(0 is the best constant, 1 is perfect).",
        *([_of_the_ceiling(comparison, plan, plan.ceiling)] if plan.ceiling else []),
    )


def _of_the_ceiling(comparison: Comparison, plan: RunPlan, ceiling: str) -> str:
    """How much of the best possible skill each net reaches on the first split."""
    split = plan.splits[0]
    skill = {r.net: r.value for r in comparison.rows if (r.split, r.part, r.metric) == (split, "test", "skill")}
    shares = [f"{net} {100 * skill[net] / skill[ceiling]:.0f} %" for net in plan.nets if skill[net] > 0]
    return (
        f"The {ceiling} itself, which nobody can beat on average, has log-skill {skill[ceiling]:.3f} there; "
        f"of that, the nets reach: {', '.join(shares) or 'nothing'}."
    )


def start_folder(out: str | Path, *, resume: bool, overwrite: bool) -> Path:
    """The folder of a run: new, gone on with, emptied first, or one that holds what was fetched and nothing else.

    Raises OutputError when it exists otherwise, unasked.
    """
    out = Path(out) if resume or _is_fetched(Path(out)) else check_output(out, overwrite=overwrite)
    with clear_os_errors(out):
        if overwrite and not resume and out.exists():
            shutil.rmtree(out)
        out.mkdir(parents=True, exist_ok=True)
    return out


def _is_fetched(out: Path) -> bool:
    """Whether a folder holds what `headscarp fetch` left, and no run."""
    return (out / "manifest.json").is_file() and not any((out / name).exists() for name in ("stack.zarr", "compare"))


def _audited(stack: xr.Dataset, kind: str, plan: RunPlan, out: Path) -> str:
    """Writes the split and its audit; returns the verdict as a sentence."""
    split = chosen_split(stack, kind, **plan.split_options)
    write_split(split, out / f"split-{kind}.geojson", stack_grid(stack))
    found = audit(stack_grid(stack), split, halo_px=context_of(plan.net, stack))
    write_text(out / f"audit-{kind}.txt", found.text + "\n")
    return f"Audit of the {kind} split: {found.verdict}."
