"""The verb search: cross-validation of learning rate and optimiser, on training blocks only.

Every trial is one run of the one training loop, and a block of the one loop for long work, so a search resumes after
any interruption. Refuses to look at validation or test pixels: they stay for `fit` and `evaluate`.
"""

import csv
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache as remembered
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from lightning_fabric import Fabric

from headscarp.core.artefact import clear_os_errors, write_json, write_text
from headscarp.core.blocks import Done, Journal, run_blocks
from headscarp.core.errors import OutputError, RecipeError, SplitError, TrainingError
from headscarp.core.provenance import made_by
from headscarp.core.stack import feature_bands
from headscarp.nets import NETS
from headscarp.nets.net import Statistics
from headscarp.tiles.splits import Split
from headscarp.tiles.statistics import training_statistics
from headscarp.train.aligned import aligned_arguments
from headscarp.train.config import OPTIMISERS, FitConfig, check_choice
from headscarp.train.devices import start_fabric
from headscarp.train.lesson import Ground
from headscarp.train.stage import cache_of, open_ground, trained_net

LEARNING_RATES = tuple(2.0**power for power in range(-15, 0, 2))
"""Every second power of two of the paper's range, 2^-15 to 2^-1."""
_JOURNAL = ".journal"


@dataclass(frozen=True)
class Trial:
    """One training of the search. fold: the fold of training blocks that judges it."""

    optimiser: str
    learning_rate: float
    fold: int

    @property
    def id(self) -> str:
        return f"{self.optimiser} {self.learning_rate!r} fold {self.fold}"


@dataclass(frozen=True)
class Choice:
    """An optimiser and a learning rate, and how they did: mean NLL (nats) over folds and its 95 % interval.

    constant_nll: of the constant that predicts the prevalence of each fold. diverged: folds whose loss was not finite;
    with any, nll is NaN.
    """

    optimiser: str
    learning_rate: float
    nll: float
    low: float
    high: float
    constant_nll: float
    diverged: int


@dataclass(frozen=True)
class SearchResult:
    """What a search found. choices: all of them, by optimiser and rate. best: the one of lowest mean NLL."""

    net: str
    best: Choice
    choices: tuple[Choice, ...]

    @property
    def text(self) -> str:
        """What a person wants to read first."""
        b = self.best
        near = [c for c in self.choices if c.nll <= b.high and c != b]
        others = "; ".join(f"{c.optimiser} {c.learning_rate:g}" for c in near)
        return (
            f"{self.net}: best is {b.optimiser} with learning rate {b.learning_rate:g}: NLL {b.nll:.4f} "
            f"[{b.low:.4f}, {b.high:.4f}], the constant has {b.constant_nll:.4f}. "
            + (f"Inside its interval are also: {others}." if near else "No other is inside its interval.")
        )


def search(
    stack: xr.Dataset | str | Path,
    *,
    net: str,
    out: str | Path,
    split: Split | str | Path | None = None,
    label: str | None = None,
    learning_rates: Sequence[float] = LEARNING_RATES,
    optimisers: Sequence[str] = OPTIMISERS,
    folds: int = 5,
    epochs: int = 1,
    config: FitConfig | None = None,
    cache: xr.Dataset | str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
) -> SearchResult:
    """Tries every optimiser with every learning rate on folds of the training blocks; the lowest mean NLL is best.

    The training blocks of `split` are dealt into folds that each hold both classes; each trial trains for `epochs` on
    all folds but one and is judged on that one at natural prevalence. label: name of the label band. config: everything
    else, on one device. Aligned features that are not named are chosen once, on all training blocks. Writes search.csv,
    search.json and search.png into `out`. Raises OutputError, SplitError, JournalError; TrainingError where all choices
    diverged. Method: Hajimoradlou, Roberti and Poole (2019), but for the folds, which were nearly of one class there.
    """
    check_choice("net", net, NETS)
    for name in optimisers:
        check_choice("optimiser", name, OPTIMISERS)
    if NETS[net].schedule.epochs == 0:
        raise RecipeError(f"{net!r} learns nothing, so there is nothing to search for; take another net")
    config = replace(config or FitConfig(), epochs=epochs, devices=1, learning_rate=None, optimiser=None)
    out = _claim(Path(out), resume=resume, overwrite=overwrite)
    ground = open_ground(stack, split, cache=cache_of(cache, out), seed=config.seed, label=label)
    settings = {"net": net, "folds": folds, **config.resolved(NETS[net].schedule).to_json()}
    settings |= {"learning_rate": list(learning_rates), "optimiser": list(optimisers)}
    made = made_by("search", settings=settings, inputs=ground.inputs(), seed=config.seed)
    journal = Journal(out / _JOURNAL, {k: v for k, v in made.items() if k != "commit"}, resume=resume)
    trials = [Trial(o, rate, fold) for o in optimisers for rate in learning_rates for fold in range(folds)]
    fabric = start_fabric(config)
    arguments, _ = aligned_arguments(ground, net, config, fabric=fabric, folder=out / ".aligned")
    config = replace(config, net_arguments=arguments)
    done = run_blocks(_work(ground, net, config, folds, fabric), trials, journal=journal, label=f"search {net}")
    result = _result(net, trials, done)
    _write(out, trials, done, result, made)
    return result


def fold_splits(split: Split, folds: int, seed: int) -> tuple[Split, ...]:
    """For each fold of the training blocks a split that trains on the others and validates on it.

    Richest blocks are dealt first, each to the fold with the fewest landslides, so that every fold holds some. What
    was validation or test becomes test and is not looked at. Raises SplitError for too few blocks.
    """
    training = split.part("train")
    rich = sum(part.positives > 0 for part in training)
    if rich < folds:
        raise SplitError(
            f"{rich} training blocks hold landslides, and {folds} folds need one each; take smaller blocks or fewer "
            "folds"
        )
    order = np.random.default_rng(seed).permutation(len(training))
    order = order[np.argsort([-training[i].positives for i in order], kind="stable")]
    held, fold_of = [(0, 0)] * folds, {}
    for i in order:
        part = training[i]
        fold = min(range(folds), key=lambda f: held[f])
        held[fold] = (held[fold][0] + part.positives, held[fold][1] + part.window.height * part.window.width)
        fold_of[part] = fold
    return tuple(
        replace(
            split,
            parts=tuple(replace(p, name=_name(fold_of.get(p), fold), fold=fold_of.get(p, folds)) for p in split.parts),
            settings={"folds": folds, "fold": fold, "of": dict(split.settings)},
        )
        for fold in range(folds)
    )


def _name(of: int | None, fold: int) -> str:
    return "test" if of is None else "validation" if of == fold else "train"


def _work(ground: Ground, net: str, config: FitConfig, folds: int, fabric: Fabric) -> Callable[[Trial], Done]:
    grounds = [replace(ground, split=split) for split in fold_splits(ground.split, folds, config.seed)]
    bands = feature_bands(ground.stack)

    @remembered
    def statistics(fold: int) -> Statistics:
        return training_statistics(ground.stack, grounds[fold].split, bands, workers=config.workers)

    def work(trial: Trial) -> Done:
        own = replace(config, optimiser=trial.optimiser, learning_rate=trial.learning_rate)
        try:
            _, standing = trained_net(
                grounds[trial.fold], net, own, fabric=fabric, statistics=statistics(trial.fold), quiet=True
            )
        except TrainingError as error:
            return Done("", {"nll": None, "constant_nll": None, "error": str(error)})
        constant = standing.history[-1]["constant_nll"]
        return Done("", {"nll": standing.best_nll, "constant_nll": constant})

    return work


def _result(net: str, trials: Sequence[Trial], done: dict[str, Done]) -> SearchResult:
    from scipy.stats import t

    choices = []
    for optimiser, rate in dict.fromkeys((trial.optimiser, trial.learning_rate) for trial in trials):
        facts = [done[x.id].facts for x in trials if (x.optimiser, x.learning_rate) == (optimiser, rate)]
        finite = [f for f in facts if f["nll"] is not None]
        values = np.array([f["nll"] for f in finite])
        constant = float(np.mean([f["constant_nll"] for f in finite])) if finite else math.nan
        mean = half = math.nan
        if len(finite) == len(facts):
            mean = float(values.mean())
            half = float(t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values)))
        lost = len(facts) - len(finite)
        choices.append(Choice(optimiser, rate, mean, mean - half, mean + half, constant, lost))
    sane = [choice for choice in choices if math.isfinite(choice.nll)]
    if not sane:
        raise TrainingError(
            "the loss was not finite in any trial; try smaller learning rates, and look for extreme values in the stack"
        )
    return SearchResult(net, min(sane, key=lambda choice: choice.nll), tuple(choices))


def _write(
    out: Path, trials: Sequence[Trial], done: dict[str, Done], result: SearchResult, made: dict[str, Any]
) -> None:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["optimiser", "learning_rate", "fold", "nll", "constant_nll"])
    for trial in trials:
        facts = done[trial.id].facts
        table.writerow([trial.optimiser, trial.learning_rate, trial.fold, facts["nll"], facts["constant_nll"]])
    write_text(out / "search.csv", text.getvalue())
    record = {"net": result.net, "best": asdict(result.best), "choices": [asdict(c) for c in result.choices]}
    write_json(out / "search.json", {**record, "made": made})
    _draw(out / "search.png", result)


def _draw(path: Path, result: SearchResult) -> None:
    """A line with its interval for each optimiser over the learning rates, and the constant."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for optimiser in dict.fromkeys(choice.optimiser for choice in result.choices):
        mine = [c for c in result.choices if c.optimiser == optimiser and math.isfinite(c.nll)]
        rate, nll, low, high = np.array([(c.learning_rate, c.nll, c.low, c.high) for c in mine]).reshape(-1, 4).T
        (line,) = axes.plot(rate, nll, "o-", label=optimiser)
        axes.fill_between(rate, low, high, alpha=0.15, color=line.get_color(), linewidth=0)
    axes.axhline(result.best.constant_nll, color="0.4", linestyle="--", label="constant prevalence")
    axes.plot(result.best.learning_rate, result.best.nll, "k*", markersize=14, label="best")
    axes.set_xscale("log", base=2)
    axes.set_ylim(0, 1.6 * result.best.constant_nll)
    axes.set_xlabel("learning rate")
    axes.set_ylabel("NLL on the fold left out, nats per pixel")
    axes.set_title(f"{result.net}: mean over folds, with 95 % interval")
    axes.legend()
    with clear_os_errors(path):
        figure.savefig(path, dpi=150, metadata={"Software": None})


def _claim(out: Path, *, resume: bool, overwrite: bool) -> Path:
    there = (out / _JOURNAL).exists()
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out} is a file; give another --out")
    if out.is_dir() and any(out.iterdir()) and not (overwrite or (resume and there)):
        hint = "--resume to go on with its search, " if there else ""
        raise OutputError(f"{out} exists already; give another --out, {hint}or --overwrite to replace it")
    with clear_os_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    return out
