"""From a stack, a split and the name of a net to one trained net: the lesson is laid out and the loop is run.

Writes nothing but the checkpoint. Refuses a split from which nothing can be learned. Global random state is left as
it was.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import xarray as xr
from lightning_fabric import Fabric

from headscarp.core.samples import stack_resolution_m
from headscarp.core.stack import feature_bands, with_label
from headscarp.nets import NETS, make_net
from headscarp.nets.net import Net, Statistics
from headscarp.tiles.dataset import cache_stack
from headscarp.tiles.scenes import picture_bands
from headscarp.tiles.series import has_frames
from headscarp.tiles.splits import Split, read_split
from headscarp.tiles.statistics import training_statistics
from headscarp.train.adversarial import train_adversarially
from headscarp.train.config import FitConfig
from headscarp.train.lesson import Ground, check_frames, check_not_generated, make_lesson
from headscarp.train.log import EpochLog
from headscarp.train.loop import train
from headscarp.train.plan import chosen_split
from headscarp.train.standing import Standing
from headscarp.train.unlabelled import with_all_counted

CACHE = ".headscarp-cache"
LOOPS: dict[str, Callable[..., Standing]] = {"cgan": train_adversarially}
"""Nets that bring a loop of their own; all others are trained by `loop.train`."""


def open_ground(
    stack: xr.Dataset | str | Path,
    split: Split | str | Path | None,
    *,
    cache: xr.Dataset | Path,
    seed: int = 0,
    label: str | None = None,
) -> Ground:
    """A stack through its memory-mapped cache in the folder `cache`, and its split; None: as `chosen_split` says.

    label: see `with_label`; of a split that is not given all labels have a say, so that it is the same for each.
    """
    stack = cache if isinstance(cache, xr.Dataset) else cache_stack(stack, cache)
    chosen = with_label(stack, label)
    split = chosen_split(stack, seed=seed or None) if split is None else split
    return Ground(chosen, split if isinstance(split, Split) else read_split(split))


def cache_of(cache: xr.Dataset | str | Path | None, out: Path) -> xr.Dataset | Path:
    """Where the cache is: as given, else beside the output."""
    return out.parent / CACHE if cache is None else cache if isinstance(cache, xr.Dataset) else Path(cache)


def trained_net(
    ground: Ground,
    name: str,
    config: FitConfig,
    *,
    fabric: Fabric,
    arguments: Mapping[str, Any] | None = None,
    folder: Path | None = None,
    told: EpochLog | None = None,
    statistics: Statistics | None = None,
    quiet: bool = False,
) -> tuple[Net, Standing]:
    """A net with its best weights, and where its training ended.

    config: None in it is decided by the net's Schedule. folder: for the checkpoint, see `loop.train`. statistics: of
    the training pixels, where they are known. quiet: no bar. Nets that learn nothing (their Schedule has no epochs)
    come as they are made. Raises StackError for generated bands unless the settings allow them, SplitError,
    TrainingError.
    """
    settings = config.for_loop(NETS[name].schedule)
    check_frames(NETS[name], ground.stack)
    bands = picture_bands(ground.stack) if NETS[name].makes_pictures else feature_bands(ground.stack)
    own = dict(config.net_arguments if arguments is None else arguments)
    if has_frames(ground.stack) and (NETS[name].makes_pictures or NETS[name].judges_places):
        own["frames" if NETS[name].makes_pictures else "slots"] = ground.stack.sizes["time"]
    if not config.allow_generated:
        check_not_generated(ground.stack)
    if statistics is None:
        counted = ground.stack if NETS[name].needs_labels else with_all_counted(ground.stack)
        statistics = training_statistics(counted, ground.split, bands, workers=config.workers)
    devices = [fabric.device] if fabric.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(settings.seed)
        net = make_net(
            name,
            bands,
            resolution_m=stack_resolution_m(ground.stack),
            statistics=statistics,
            arguments=own,
        )
        if NETS[name].schedule.epochs == 0:
            return net.eval(), Standing(settings.learning_rate)
        lesson = make_lesson(ground, net, config)
        loop = LOOPS.get(name, train)
        return net, loop(net, lesson, settings, fabric=fabric, folder=folder, told=told, label="" if quiet else name)
