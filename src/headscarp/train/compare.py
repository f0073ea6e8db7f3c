"""The verb compare: several nets on the same splits and the same test pixels, and in words which is better than which.

Every (split, fold, net) is one named block of the one loop, so a comparison that was stopped goes on where it was.
Refuses to compare what was not scored on the same pixels.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from headscarp.core.artefact import check_output, clear_os_errors, write_json
from headscarp.core.blocks import Done, Journal, run_blocks
from headscarp.core.bundle import open_bundle
from headscarp.core.errors import RecipeError
from headscarp.core.machine import cores
from headscarp.core.provenance import file_sha256, made_by
from headscarp.core.stack import feature_bands, fingerprint, with_label
from headscarp.evaluation.evaluate import Evaluation, evaluate, evaluate_predictor
from headscarp.evaluation.scoring import Predictor
from headscarp.evaluation.tables import write_table
from headscarp.nets import NETS
from headscarp.tiles.dataset import cache_stack
from headscarp.tiles.splits import Split
from headscarp.tiles.twins import twins_in_words
from headscarp.train.config import FitConfig, check_choice
from headscarp.train.fit import fit
from headscarp.train.plan import chosen_split, folds_of
from headscarp.train.results import Comparison, load_scores, save_scores, summarise
from headscarp.train.tables import TABLE_MODELS, fit_table_model

ALIGNED_FROM = "llr"


@dataclasses.dataclass(frozen=True)
class Unit:
    """One net on one fold of one split."""

    split: str
    fold: int
    net: str

    @property
    def id(self) -> str:
        return f"{self.split}-{self.fold}/{self.net}"


def compare(
    stack: xr.Dataset,
    nets: Sequence[str],
    *,
    out: str | Path,
    label: str | None = None,
    splits: Sequence[str] = ("blocks", "random"),
    split_options: Mapping[str, Any] | None = None,
    run_folds: int | None = None,
    configs: Mapping[str, FitConfig] | None = None,
    known: Mapping[str, Predictor] | None = None,
    workers: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
) -> Comparison:
    """Trains and scores every net on every split; writes metrics.csv, metrics.json and a folder for each run.

    nets: names in NETS or TABLE_MODELS. label: name of the label band, where the stack has several; all of them share
    the splits. splits: names in SPLITS. split_options: folds, block_size_m, buffer_m, seed.
    run_folds: how many of the folds are run, default 1; values are means over folds. configs: training settings by
    net, "" for all others. known: predictors that need no training, by name, such as the law of a simulated valley.
    Raises RecipeError for unknown names, OutputError when `out` exists.
    """
    out = Path(out) if resume else check_output(out, overwrite=overwrite)
    known, configs, workers = known or {}, configs or {}, workers or cores()
    for net in nets:
        check_choice("net", net, (*NETS, *TABLE_MODELS, *known))
    options = {k: v for k, v in (split_options or {}).items() if v is not None}
    units = [Unit(s, f, n) for s in splits for f in range(run_folds or 1) for n in in_training_order(nets)]
    partition = _partition(stack, units, run_folds or 1, options)
    stack = with_label(stack, label)
    with clear_os_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    cached = cache_stack(stack, out / "cache")
    settings = {
        "nets": list(nets),
        "splits": list(splits),
        "run_folds": run_folds or 1,
        "split_options": options,
        "configs": {name: config.to_json() for name, config in configs.items()},
    }
    settings |= {"label": stack.attrs["label"]} if "label" in stack.attrs else {}
    job = {"stack": fingerprint(stack), **settings}

    def work(unit: Unit) -> Done:
        folder, split = out / "runs" / unit.id, partition[unit.split, unit.fold]
        config = config_of(unit.net, configs, workers=workers)
        if unit.net in known:
            evaluation = _score_known(known[unit.net], cached, split, name=unit.net, workers=workers)
            return Done(file_sha256(save_scores(evaluation, folder)))
        chooser = out / "runs" / Unit(unit.split, unit.fold, ALIGNED_FROM).id
        return score_net(unit.net, cached, split, folder, config=config, chooser=chooser)

    journal = Journal(out / "journal.jsonl", job, resume=resume)
    journal.keep(lambda unit_id, done: unchanged(out / "runs" / unit_id, done))
    run_blocks(work, units, journal=journal, workers=1, label="compare")
    runs = {(u.split, u.fold, u.net): load_scores(out / "runs" / u.id) for u in units}
    comparison = summarise(runs, nets=nets, splits=splits, seed=int(options.get("seed") or 0))
    alike = [sentence for kind in splits for sentence in twins_in_words(stack, partition[kind, 0])]
    comparison = dataclasses.replace(comparison, sentences=(*comparison.sentences, *alike))
    write_table(comparison.rows, out)
    write_json(out / "made.json", {"made": made_by("compare", settings=settings, inputs=[{"stack": job["stack"]}])})
    return comparison


def score_net(
    net: str, stack: xr.Dataset, split: Split, folder: Path, *, config: FitConfig, chooser: Path | None = None
) -> Done:
    """Trains a net, or fits a model on tables, scores it on every part of the split and leaves the scores in `folder`.

    stack: from `cache_stack`. A training that was stopped goes on. chooser: folder of the bundle whose weights choose
    the features of nets that ask for some, where there is one.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    if net in TABLE_MODELS:
        own = config.net_arguments
        evaluation = fit_table_model(net, stack, split, seed=config.seed, workers=config.workers, arguments=own)
    else:
        config = with_aligned(config, net, chooser) if chooser else config
        bundle = fit(stack, net=net, split=split, out=folder, config=config, resume=True, cache=stack)
        evaluation = evaluate(bundle, stack, split=split, name=net, workers=config.workers)
    return Done(file_sha256(save_scores(evaluation, folder)))


def config_of(net: str, configs: Mapping[str, FitConfig], *, workers: int) -> FitConfig:
    """The settings of one net: its own, else those of all others (whose arguments are no table model's)."""
    config = dataclasses.replace(configs.get(net, configs.get("", FitConfig())), workers=workers)
    return dataclasses.replace(config, net_arguments={}) if net in TABLE_MODELS and net not in configs else config


def unchanged(folder: Path, done: Done) -> bool:
    """Whether the scores in a folder are those that the journal says."""
    path = folder / "scores.npz"
    return path.is_file() and file_sha256(path) == done.checksum


def in_training_order(nets: Sequence[str]) -> list[str]:
    """The nets, those first whose weights choose the features of others."""
    return sorted(nets, key=lambda net: net != ALIGNED_FROM)


def with_aligned(config: FitConfig, net: str, chooser: Path) -> FitConfig:
    """The settings with aligned features from a bundle of this fold that is trained already, where there is one."""
    if NETS[net].aligned_from != ALIGNED_FROM or "aligned" in config.net_arguments or not chooser.is_dir():
        return config
    from headscarp.train.aligned import choose_aligned

    aligned = choose_aligned(open_bundle(chooser))
    return dataclasses.replace(config, net_arguments={**config.net_arguments, "aligned": aligned})


def _score_known(predictor: Predictor, stack: xr.Dataset, split: Split, *, name: str, workers: int) -> Evaluation:
    return evaluate_predictor(
        predictor, stack, split, bands=feature_bands(stack), halo_px=0, name=name, workers=workers
    )


def _partition(
    stack: xr.Dataset, units: Sequence[Unit], run_folds: int, options: Mapping[str, Any]
) -> dict[tuple[str, int], Split]:
    """The split of each (kind, fold). Raises RecipeError where more folds are to be run than there are."""
    folds = folds_of(stack, options.get("folds"))
    if run_folds > folds:
        raise RecipeError(f"{run_folds} folds are to be run but the split has {folds}; raise folds, or lower run_folds")
    options = {**options, "folds": folds} if run_folds > 1 else options
    return {(s, f): chosen_split(stack, s, **{**options, "fold": f}) for s, f in {(u.split, u.fold) for u in units}}
