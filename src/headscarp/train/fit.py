"""The verb fit: from a stack to a bundle, resumable at any moment.

The folder of a bundle is made at once and becomes a bundle when bundle.json is in it; until then it holds a
checkpoint. Refuses to touch a folder that holds anything else, unless told to, and to go on with other settings.
"""

import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from lightning_fabric import Fabric

from headscarp.core.artefact import clear_os_errors
from headscarp.core.bundle import Bundle, open_bundle, write_bundle_files
from headscarp.core.calibration import FITS
from headscarp.core.errors import HeadscarpWarning, OutputError, SplitError
from headscarp.core.progress import log
from headscarp.core.provenance import made_by
from headscarp.core.samples import grid_or_none
from headscarp.core.stack import LABEL, label_names, with_label
from headscarp.evaluation.evaluate import counted_in_words, evaluate
from headscarp.evaluation.metrics import best_f1_threshold
from headscarp.nets import NETS, weights_of
from headscarp.nets.futures import FutureNet
from headscarp.nets.net import Net
from headscarp.tiles.pairs import as_scenes, is_pairs
from headscarp.tiles.sampling import STRATEGIES
from headscarp.tiles.splits import Split, split_to_json, write_split
from headscarp.train.aligned import aligned_arguments
from headscarp.train.checkpoint import CHECKPOINT, check_same_job, forget_checkpoint, open_job
from headscarp.train.config import FitConfig, check_choice
from headscarp.train.devices import check_batch_size, start_fabric
from headscarp.train.joint import beside_inputs
from headscarp.train.judging import judged_bundle
from headscarp.train.kinds import judged_kinds
from headscarp.train.lesson import Ground
from headscarp.train.log import EVENTS, HISTORY, EpochLog
from headscarp.train.spread import spread_bundle
from headscarp.train.stage import cache_of, open_ground, trained_net
from headscarp.train.suites import judged_futures

SPLIT = "split.geojson"
_BUNDLE = ("bundle.json", "weights.safetensors")


def fit(
    stack: xr.Dataset | str | Path,
    *,
    net: str = "sacnn",
    split: Split | str | Path | None = None,
    out: str | Path,
    label: str | None = None,
    config: FitConfig | None = None,
    cache: xr.Dataset | str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
) -> Bundle:
    """Trains a net on the training part of a stack and writes it as a bundle.

    net: a name in headscarp.nets.NETS. split: a Split or its GeoJSON; None: that of the recipe, else blocks. out:
    folder of the bundle: weights.safetensors, bundle.json, split.geojson, history.csv, log/ (TensorBoard). label: name
    of the label band to learn, where the stack has several; all of them share one split. cache:
    folder for a memory-mapped copy of the stack, shared by all trainings that name it; None: `.headscarp-cache` beside
    `out`; or that copy itself, from `cache_stack`. resume: go on after an interruption, to the same bytes on the CPU.
    overwrite: replace what `out` holds.

    A net with `aligned_from` whose "aligned" features are not named is preceded by a training of that other net.
    Calibration (not of nets that learn nothing), threshold and the spread of futures are fitted on validation pixels.
    Raises OutputError, SplitError, TrainingError, and JournalError where `resume` finds another training.
    Method: Hajimoradlou, Roberti and Poole (2019).
    """
    config, out = config or FitConfig(), Path(out)
    check_choice("net", net, NETS)
    whole = config.resolved(NETS[net].schedule)
    check_choice("sampling", str(whole.sampling), STRATEGIES)
    check_batch_size(whole.batch_size or 1, config.devices)
    fabric = start_fabric(config)
    _claim(out, fabric, resume=resume, overwrite=overwrite)
    with fabric.rank_zero_first():
        ground = open_ground(stack, split, cache=cache_of(cache, out), seed=config.seed, label=label)
        if NETS[net].makes_pictures and is_pairs(ground.stack):
            ground = replace(ground, stack=with_label(as_scenes(ground.stack)))
    if NETS[net].needs_labels and not label_names(ground.stack):
        unlabelled = ", ".join(name for name, kind in NETS.items() if not kind.needs_labels)
        raise SplitError(
            f"net {net!r} learns from labels and the stack has none; build it with an inventory under [label], or take "
            f"a net that needs none: {unlabelled}"
        )
    inputs = [*ground.inputs(), *beside_inputs(net, config.net_arguments)]
    job = made_by("train", settings={"net": net, **whole.to_json()}, inputs=inputs, seed=config.seed)
    if (out / _BUNDLE[0]).exists():
        return _finished(out, job, fabric)
    with fabric.rank_zero_first():
        record = open_job(out / CHECKPOINT, job)
    try:
        if fabric.is_global_zero:
            write_split(ground.split, out / SPLIT, grid_or_none(ground.stack))
        arguments, note = aligned_arguments(ground, net, config, fabric=fabric, folder=out / CHECKPOINT)
        told = EpochLog(out)
        try:
            trained, standing = trained_net(
                ground, net, config, fabric=fabric, arguments=arguments, folder=out / CHECKPOINT, told=told
            )
        finally:
            told.close()
        if fabric.is_global_zero:
            made = {**record, **note, "epochs": standing.epoch, "best_epoch": standing.best_epoch}
            bundle = _judged(trained, net, ground, whole, made)
            with clear_os_errors(out):
                write_bundle_files(bundle, out)
            forget_checkpoint(out / CHECKPOINT)
    except KeyboardInterrupt:
        log.warning("stopped; what was finished is kept in %s: the same command with --resume goes on", out)
        raise
    fabric.barrier()
    return open_bundle(out)


def _claim(out: Path, fabric: Fabric, *, resume: bool, overwrite: bool) -> None:
    """Makes the output folder ours. Raises OutputError where something is in it that must not be lost."""
    ours = [out / name for name in (*_BUNDLE, SPLIT, HISTORY, EVENTS, CHECKPOINT)]
    unfinished, whole = (out / CHECKPOINT).exists(), (out / _BUNDLE[0]).exists()
    with clear_os_errors(out):
        if out.is_dir() and any(out.iterdir()):
            if resume and not (unfinished or whole):
                raise OutputError(f"{out} holds no training to go on with; give another --out")
            if not (resume or overwrite):
                hint = "--resume to go on with its training, " if unfinished and not whole else ""
                raise OutputError(f"{out} exists already; give another --out, {hint}or --overwrite to replace it")
        elif out.exists() and not out.is_dir():
            raise OutputError(f"{out} is a file; give another --out")
        fabric.barrier()
        if fabric.is_global_zero:
            for path in ours if overwrite and not resume else ():
                forget_checkpoint(path) if path.is_dir() else path.unlink(missing_ok=True)
            out.mkdir(parents=True, exist_ok=True)
    fabric.barrier()


def _finished(out: Path, job: Mapping[str, Any], fabric: Fabric) -> Bundle:
    bundle = open_bundle(out)
    check_same_job(out, {key: bundle.made.get(key) for key in job}, job)
    if fabric.is_global_zero:
        forget_checkpoint(out / CHECKPOINT)
    return bundle


def _judged(net: Net, name: str, ground: Ground, config: FitConfig, made: Mapping[str, Any]) -> Bundle:
    """The bundle of a trained net, with calibration, threshold and metrics from the validation part.

    Where all that counts there is of one class it is not calibrated, with a warning.
    """
    made = {**made, "pretrained": dict(net.pretrained)} if net.pretrained else made
    bundle = Bundle(
        net=name,
        arguments=net.arguments(),
        bands=net.bands,
        resolution_m=net.resolution_m,
        weights=weights_of(net),
        split=split_to_json(ground.split),
        made=made,
        label=str(ground.stack.attrs.get("label", LABEL)),
        scales={name: (mean, net.statistics.std[name]) for name, mean in net.statistics.mean.items()},
    )
    if net.judges_places:
        return judged_bundle(bundle, net, ground.stack, ground.split)
    if net.judges_classes:
        return judged_kinds(bundle, net, ground.stack, ground.split)
    if isinstance(net, FutureNet):
        judged = spread_bundle if net.by_chance and config.calibration != "none" else judged_futures
        return judged(bundle, net, ground.stack, ground.split)
    if net.own_threshold is not None and not label_names(ground.stack):
        return replace(bundle, threshold=net.own_threshold)
    with tempfile.TemporaryDirectory() as folder:  # the net is asked once, though calibrated figures come after others
        return _calibrated(bundle, net, ground, config, Path(folder))


def _calibrated(bundle: Bundle, net: Net, ground: Ground, config: FitConfig, kept: Path) -> Bundle:
    """The bundle with calibration, threshold and metrics of pixels of the validation part. kept: see `evaluate`."""
    how: dict[str, Any] = {"split": ground.split, "parts": ("validation",), "kept": kept}
    scores = evaluate(bundle, ground.stack, **how).parts["validation"].histogram
    learns = NETS[bundle.net].schedule.epochs > 0 and net.own_threshold is None
    if learns and not 0 < int(scores.positives.sum()) < scores.n:
        learns = False
        warnings.warn(
            f"all {scores.n} {counted_in_words(net.stride)} of the validation part are of one class: {bundle.net} is "
            "not calibrated, and its threshold means little; use another split, or for patches a larger share",
            HeadscarpWarning,
            stacklevel=4,
        )
    calibration = FITS[config.calibration if learns else "none"](scores)
    threshold = net.own_threshold
    if threshold is None:
        best = best_f1_threshold(scores)
        threshold = float(calibration.apply(np.asarray(best))) if np.isfinite(best) else 0.5
    bundle = replace(bundle, calibration=calibration.to_json(), threshold=threshold)
    rows = evaluate(bundle, ground.stack, **how).rows
    return replace(bundle, metrics=tuple(asdict(row) for row in rows))
