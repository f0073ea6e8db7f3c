"""Which features a self-aligned net reads at the highest points around a pixel: chosen from a trained LLR.

Hajimoradlou, Roberti and Poole (2019) take those with |w| >= 0.2 in their logistic regression; 22 on their data.
Refuses nothing: where no weight is so large, the 22 largest are taken, and the bundle says so.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric

from headscarp.core.artefact import write_json
from headscarp.core.bundle import Bundle
from headscarp.core.progress import log
from headscarp.nets import NETS, net_from_bundle
from headscarp.train.config import FitConfig
from headscarp.train.lesson import Ground
from headscarp.train.stage import trained_net

ENOUGH = 0.2
AT_MOST_WITHOUT = 22


def aligned_arguments(
    ground: Ground, net: str, config: FitConfig, *, fabric: Fabric, folder: Path
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The net's arguments with its aligned features in them, and how they were chosen, for the bundle's `made`.

    Trains the net that `aligned_from` names, on the same ground, unless the features are named or were chosen by an
    earlier run in `folder`; nets that align nothing get their arguments as they are.
    """
    arguments, source = dict(config.net_arguments), NETS[net].aligned_from
    if source is None or "aligned" in arguments:
        return arguments, {}
    path = folder / "aligned.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    fabric.barrier()
    if known is None:
        log.info("training %s first, to choose the features that %s aligns", source, net)
        weights = feature_weights(ground, source, config, fabric=fabric, folder=folder / source)
        features, rule = by_weight(weights)
        known = {"from": source, "rule": rule, "features": list(features), "weights": weights}
        if fabric.is_global_zero:
            write_json(path, known)
    return {**arguments, "aligned": tuple(known["features"])}, {"aligned": known}


def choose_aligned(bundle: Bundle) -> tuple[str, ...]:
    """The features to align, from the bundle of a trained net that weighs features, such as `llr`."""
    return by_weight(net_from_bundle(bundle).feature_weights())[0]  # type: ignore[operator]


def by_weight(weights: Mapping[str, float]) -> tuple[tuple[str, ...], str]:
    """The features with |w| >= 0.2 in the order given, and the rule in words; where there is none, the 22 largest.

    weights: of each feature of a trained `llr` (its `feature_weights()`), on standardised features.
    """
    chosen = tuple(name for name, weight in weights.items() if abs(weight) >= ENOUGH)
    if chosen:
        return chosen, f"|w| >= {ENOUGH}"
    largest = sorted(weights, key=lambda name: (-abs(weights[name]), name))[:AT_MOST_WITHOUT]
    kept = tuple(name for name in weights if name in largest)
    return kept, f"none has |w| >= {ENOUGH}: the {len(kept)} largest"


def feature_weights(
    ground: Ground, source: str, config: FitConfig, *, fabric: Fabric, folder: Path | None = None
) -> dict[str, float]:
    """The weight of each feature in the net `source`, trained on the same ground by its own Schedule."""
    of_schedule = dict.fromkeys(("epochs", "batch_size", "learning_rate", "optimiser", "weight_decay"))
    own = replace(config, **of_schedule, net_arguments={})  # type: ignore[arg-type]
    net, _ = trained_net(ground, source, own, fabric=fabric, folder=folder)
    return {name: float(weight) for name, weight in net.feature_weights().items()}  # type: ignore[operator]
