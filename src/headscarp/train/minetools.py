"""Which nets sites are looked at with, and which part each site is in: what has to hold before anything is measured.

Refuses generators that do not know mining, nets that read other bands than the pairs have, and nets that have learned
from sites that are to be judged.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from headscarp.core.band import Band
from headscarp.core.bundle import Bundle
from headscarp.core.errors import BundleError, RecipeError, SplitError, StackError
from headscarp.core.samples import CLASS, PART, sample_ids
from headscarp.core.scenarios import AFTER, TASK, is_scenarios, task_code
from headscarp.core.stack import feature_bands, fingerprint, with_label
from headscarp.evaluation.hazards import Floats
from headscarp.evaluation.kinds import KIND
from headscarp.nets import NETS, net_from_bundle
from headscarp.nets.flow import MOST_STEPS
from headscarp.nets.futures import FutureNet
from headscarp.nets.net import Net
from headscarp.nets.vae import VAE
from headscarp.tiles.fits import check_fits
from headscarp.tiles.pairs import as_scenes
from headscarp.tiles.splits import split_from_json
from headscarp.train.measured import Instruments

MINING = "mining"
_MOST = 1000


def tools_of(
    generator: Bundle,
    others: Sequence[Bundle],
    stack: xr.Dataset,
    scenes: xr.Dataset,
    *,
    against: Sequence[str] | None,
    samples: int,
) -> tuple[Instruments, tuple[Band, ...]]:
    """What sites are measured with, and the bands that are to be read. Raises BundleError, StackError, RecipeError."""
    net = _maker(generator, scenes)
    if not 1 <= samples <= _MOST:
        raise RecipeError(f"{samples} futures were asked for; give a number from 1 to {_MOST}, such as --samples 16")
    if samples > 1 and not net.by_chance:
        raise RecipeError(
            f"the net {generator.net!r} knows one future only, and {samples} were asked for; say --samples 1, or train "
            "one that draws them: --net flow"
        )
    tasks = _tasks(net, against)
    found: dict[str, Net] = {}
    for bundle in others:
        role, one = _beside(bundle, stack, scenes)
        if role in found:
            raise RecipeError(f"two bundles of the net {bundle.net!r} were given; join seeds with headscarp ensemble")
        found[role] = one
    kind, vae, direct = (found.get(role) for role in ("kind", "vae", "direct"))
    bands = {band.name: band for of in (generator, *others) for band in of.bands}
    there = {band.name: band for band in feature_bands(scenes)}
    chosen = tuple(there[name] for name in there if name in bands)
    targets = tuple(band.name for band in chosen if AFTER + band.name in scenes)
    _check_seen(net, targets)
    mining = mining_classes(stack)
    if kind is not None and not {KIND + name for name in mining} & {output.name for output in kind.outputs}:
        raise StackError(
            f"the classifier says {', '.join(o.name for o in kind.outputs)}, and the classes of the stack that come "
            f"from mining are {', '.join(mining) or 'none'}; train it on pairs with these classes"
        )
    assert vae is None or isinstance(vae, VAE)
    assert direct is None or isinstance(direct, FutureNet)
    return Instruments(
        net, tasks, samples, tuple(band.name for band in chosen), targets, (scenes.sizes["y"], scenes.sizes["x"]),
        not is_scenarios(stack), mining, kind, vae, direct,
    ), chosen  # fmt: skip


def in_steps(generator: Bundle, steps: int | None) -> Bundle:
    """The generator with another number of steps from noise to a future; None: its own. Raises RecipeError for a net
    that does not go in steps, and for too few or too many of them."""
    if steps is None:
        return generator
    if "steps" not in generator.arguments:
        raise RecipeError(
            f"the net {generator.net!r} makes a future in one pass, not in {steps} steps; leave --steps out"
        )
    if not 1 <= steps <= MOST_STEPS:
        raise RecipeError(f"--steps is {steps}; it has to be from 1 to {MOST_STEPS}, such as 6")
    return replace(generator, arguments={**generator.arguments, "steps": steps})


def mining_classes(stack: xr.Dataset) -> tuple[str, ...]:
    """Names of the classes of a stack of pairs whose task is mining."""
    if CLASS not in stack.variables:
        return ()
    pairs = zip(stack[CLASS].to_numpy(), stack[TASK].to_numpy(), strict=True)
    return tuple(sorted({str(name) for name, task in pairs if str(task) == MINING}))


def positive_of(stack: xr.Dataset) -> Floats:
    """(S,) 1 where mining befell a sample, 0 where something else did, NaN where that is not known."""
    tasks = np.array([str(task) for task in stack[TASK].to_numpy()], object)
    return np.where(tasks == "", np.nan, (tasks == MINING).astype(np.float64))


def parts_of(bundles: Sequence[Bundle], stack: xr.Dataset) -> tuple[NDArray[np.str_], str]:
    """(S,) the part of each sample, "" for none, and the kind of the split: that of the first bundle where it was
    trained on this stack, else as the stack says.

    Raises SplitError where a bundle was trained on this stack and has learned from a sample of another part than train.
    """
    count, scenes = stack.sizes["sample"], as_scenes(stack)
    keys = {fingerprint(one) for one in (stack, scenes, with_label(scenes))}  # as nets of each kind are trained on it
    same = [bundle for bundle in bundles if _trained_on(bundle.made, keys)]
    if bundles and bundles[0] in same:
        part, kind = _split_parts(bundles[0], count), split_from_json(bundles[0].split).kind
    else:
        told = stack[PART].to_numpy() if PART in stack.variables else [""] * count
        part, kind = np.array([str(name) for name in told], object), "given"
    for bundle in same:
        learned = (_split_parts(bundle, count) == "train") & (part != "train")
        if learned.any():
            raise SplitError(
                f"the bundle of the net {bundle.net!r} has learned from {int(learned.sum())} of the sites that are to "
                f"be judged, such as {sample_ids(stack)[int(np.argmax(learned))]!r}; train all bundles on one split"
            )
    return part.astype(str), kind


def _trained_on(made: Mapping[str, Any], keys: Collection[str]) -> bool:
    """Whether what was made so was trained on a stack of these fingerprints; of an ensemble whether a member was."""
    for item in made.get("inputs", ()):
        if "inputs" in item and _trained_on(item, keys):
            return True
        if item.get("name") == "stack" and item.get("fingerprint") in keys:
            return True
    return False


def _split_parts(bundle: Bundle, count: int) -> NDArray[np.object_]:
    part = np.full(count, "", object)
    for one in split_from_json(bundle.split).parts:
        if one.sample < count:
            part[one.sample] = one.name
    return part


def _maker(bundle: Bundle, scenes: xr.Dataset) -> FutureNet:
    if bundle.net not in NETS or not NETS[bundle.net].makes_pictures:
        makers = ", ".join(name for name, kind in NETS.items() if kind.makes_pictures)
        raise BundleError(f"the bundle holds the net {bundle.net!r}, which makes no pictures; train one of: {makers}")
    net = net_from_bundle(bundle)
    assert isinstance(net, FutureNet)
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # faster on the CPU
    if MINING not in net.known_tasks:
        raise BundleError(
            f"the generator was trained for {', '.join(net.known_tasks)}, not for mining; train it on pairs or "
            "scenarios with mines"
        )
    check_fits(bundle, scenes)
    return net


def _tasks(net: FutureNet, against: Sequence[str] | None) -> tuple[str, ...]:
    known = tuple(task for task in net.known_tasks if task not in ("identity", MINING))
    for task in against or ():
        task_code(task, known)
    chosen = tuple(dict.fromkeys(against)) if against else known
    if not chosen:
        raise BundleError("the generator knows mining alone, and there is nothing to compare it with; train more tasks")
    return (MINING, *chosen)


def _beside(bundle: Bundle, stack: xr.Dataset, scenes: xr.Dataset) -> tuple[str, Net]:
    net = net_from_bundle(bundle)
    role = "kind" if net.judges_classes else bundle.net if bundle.net in ("vae", "direct") else ""
    if not role:
        raise BundleError(
            f"the bundle holds the net {bundle.net!r}, which says nothing of sites; give one of kind, vae or direct"
        )
    frames = NETS[bundle.net].reads(bundle.arguments)
    check_fits(bundle, scenes if frames == "none" or "time" not in stack.dims else stack)
    return role, net


def _check_seen(net: FutureNet, targets: Sequence[str]) -> None:
    missing = [name for name in net.change if name not in targets]
    if missing:
        raise StackError(
            f"the generator makes {', '.join(missing)}, which the stack does not have after; train another"
        )
