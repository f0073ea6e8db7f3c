"""The verb ensemble: several trainings of one net, which differ by their seed alone, as one bundle.

Refuses bundles of other nets, bands or splits, and nets whose probabilities are calibrated outside of them.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from headscarp.core.bundle import Bundle, as_bundle, member_weights, open_bundle, save_bundle
from headscarp.core.errors import BundleError
from headscarp.core.provenance import made_by
from headscarp.nets import NETS

_SAME = ("net", "bands", "resolution_m", "arguments", "split", "label")


def ensemble(bundles: Sequence[Bundle | str | Path], out: str | Path, *, overwrite: bool = False) -> Bundle:
    """Writes several bundles as one whose net is the mean of theirs, and returns it.

    bundles: of a net that judges places, trained on one split with one set of settings. The threshold is the mean of
    theirs; metrics are those of the first that tell how common events are, since no others hold for the mean. Raises
    BundleError.
    """
    opened = [as_bundle(bundle) for bundle in bundles]
    names = [str(i) if isinstance(b, Bundle) else str(b) for i, b in enumerate(bundles)]
    if len(opened) < 2:
        raise BundleError(f"an ensemble has {len(opened)} member; give two bundles or more, of trainings with --seed")
    first = opened[0]
    kind = NETS.get(first.net)
    if kind is None or not (kind.judges_places or kind.judges_classes):
        able = ", ".join(name for name, net in NETS.items() if net.judges_places or net.judges_classes)
        raise BundleError(f"{names[0]} holds the net {first.net!r}; ensembles are of nets that judge places: {able}")
    for name, other in zip(names[1:], opened[1:], strict=True):
        for what in _SAME:
            if _of(other, what) != _of(first, what):
                raise BundleError(
                    f"{name} and {names[0]} differ in {what.replace('_', ' ')}; train both on one stack with the same "
                    f"settings and split, such as --split {names[0]}/split.geojson, and another --seed"
                )
    weights = {f"{k}.{key}": array for k, member in enumerate(_members(opened)) for key, array in member.items()}
    count = len(_members(opened))
    told = tuple(row for row in first.metrics if str(row["metric"]).startswith(("events ", "n ")))
    made = made_by("ensemble", settings={"members": count}, inputs=[dict(bundle.made) for bundle in opened], seed=0)
    pretrained = [dict(bundle.made["pretrained"]) for bundle in opened if bundle.made.get("pretrained")]
    if pretrained:
        made["pretrained"] = {
            key: "; ".join(dict.fromkeys(p[key] for p in pretrained if key in p)) for key in pretrained[0]
        }
    whole = replace(
        first,
        weights=weights,
        members=count,
        threshold=float(np.mean([bundle.threshold for bundle in opened])),
        metrics=told,
        made=made,
    )
    save_bundle(whole, out, overwrite=overwrite)
    return open_bundle(out)


def _of(bundle: Bundle, what: str) -> object:
    """Of a split the parts alone: a seed that dealt nothing makes no difference."""
    return bundle.split.get("parts") if what == "split" else getattr(bundle, what)


def _members(bundles: Sequence[Bundle]) -> list[dict[str, np.ndarray]]:
    """The weights of every member; an ensemble counts as its own members."""
    return [member_weights(bundle, k) for bundle in bundles for k in range(bundle.members)]
