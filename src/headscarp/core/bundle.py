"""The bundle: a trained thing on disk with all that is needed to use it again, as safetensors and JSON.

Holds numbers and plain values only; nets are made from it in `headscarp.nets`. Refuses bundles that a newer version
wrote, that are incomplete, or whose weights are not the ones that were saved. Never pickle.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
from safetensors.numpy import load_file, save_file

from headscarp.core.artefact import check_output, clear_os_errors, finish, partial_path, write_json
from headscarp.core.band import Band
from headscarp.core.errors import BundleError

FORMAT = 1


@dataclass(frozen=True)
class Bundle:
    """A trained net: which one, with which arguments, on which bands, and how good it was.

    net: a name in headscarp.nets.NETS. arguments: the net's own. bands: what it reads, in order. resolution_m: ground
    resolution it was trained at. weights: arrays by name, normalisation included. calibration: plain values for
    headscarp.core.calibration. threshold: probability that maps are cut at, chosen on validation. split: plain values
    of the split. metrics: rows of the tidy table. made: provenance. label: name of the label band that it learned;
    None where that is not known. scales: mean and standard deviation of the continuous bands over training pixels, in
    their units; empty where that is not known. members: how many nets it is the mean of; where there are several, the
    weights of the first begin with "0.", those of the next with "1.", and so on.
    """

    net: str
    arguments: Mapping[str, Any]
    bands: tuple[Band, ...]
    resolution_m: float
    weights: Mapping[str, np.ndarray]
    calibration: Mapping[str, Any] = field(default_factory=dict)
    threshold: float = 0.5
    split: Mapping[str, Any] = field(default_factory=dict)
    metrics: tuple[Mapping[str, Any], ...] = ()
    made: Mapping[str, Any] = field(default_factory=dict)
    label: str | None = None
    scales: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    members: int = 1


def member_weights(bundle: Bundle, k: int) -> dict[str, np.ndarray]:
    """The weights of a member by the names that its net knows, k from 0."""
    if bundle.members == 1:
        return dict(bundle.weights)
    prefix = f"{k}."
    return {name.removeprefix(prefix): v for name, v in bundle.weights.items() if name.startswith(prefix)}


def save_bundle(bundle: Bundle, path: str | Path, *, overwrite: bool = False) -> Path:
    """Writes a bundle as a folder with weights.safetensors and bundle.json, whole or not at all."""
    path = check_output(path, overwrite=overwrite)
    partial = partial_path(path)
    with clear_os_errors(path):
        partial.mkdir(parents=True, exist_ok=True)
        write_bundle_files(bundle, partial)
    return finish(partial, path)


def write_bundle_files(bundle: Bundle, folder: Path) -> None:
    """Writes the two files of a bundle into a folder that exists; bundle.json, which makes it whole, comes last."""
    weights = {name: np.ascontiguousarray(array) for name, array in bundle.weights.items()}
    save_file(weights, folder / "weights.safetensors")
    record = {
        "headscarp_bundle": FORMAT,
        "net": bundle.net,
        "arguments": dict(bundle.arguments),
        "bands": [band.to_json() for band in bundle.bands],
        "resolution_m": bundle.resolution_m,
        "calibration": dict(bundle.calibration),
        "threshold": bundle.threshold,
        "split": dict(bundle.split),
        "metrics": list(bundle.metrics),
        "made": dict(bundle.made),
        "label": bundle.label,
        "scales": {name: list(scale) for name, scale in bundle.scales.items()},
        "members": bundle.members,
        "weights_sha256": hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest(),
    }
    write_json(folder / "bundle.json", record)


def open_bundle(path: str | Path) -> Bundle:
    """A bundle from disk. Raises BundleError when it is missing, newer, incomplete or tampered with."""
    path = Path(path)
    record = _read_record(path)
    weights_path = path / "weights.safetensors"
    if not weights_path.is_file():
        raise BundleError(f"{path} has no weights.safetensors; copy the whole folder, or train again")
    if hashlib.sha256(weights_path.read_bytes()).hexdigest() != record.get("weights_sha256"):
        raise BundleError(
            f"the weights in {path} are not the ones that were saved with it; copy it again, or train again"
        )
    try:
        weights = load_file(weights_path)
        return Bundle(
            net=record["net"],
            arguments=record["arguments"],
            bands=tuple(Band.from_json(band) for band in record["bands"]),
            resolution_m=record["resolution_m"],
            weights=weights,
            calibration=record["calibration"],
            threshold=record["threshold"],
            split=record["split"],
            metrics=tuple(record["metrics"]),
            made=record["made"],
            label=record.get("label"),
            scales={name: (float(mean), float(std)) for name, (mean, std) in record.get("scales", {}).items()},
            members=int(record.get("members", 1)),
        )
    except (KeyError, TypeError, safetensors.SafetensorError) as error:
        raise BundleError(f"{path} is not a whole bundle ({error}); copy it again, or train again") from error


def as_bundle(bundle: Bundle | str | Path) -> Bundle:
    """The bundle, opened where a path is given."""
    return bundle if isinstance(bundle, Bundle) else open_bundle(bundle)


def bundle_hash(bundle: Bundle) -> str:
    """SHA-256 of what results are made with: net, arguments, bands, calibration, threshold and every weight."""
    bands = [band.to_json() for band in bundle.bands]
    facts = [bundle.net, dict(bundle.arguments), bands, dict(bundle.calibration), bundle.threshold]
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True, default=list).encode())
    for name, array in sorted(bundle.weights.items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _read_record(path: Path) -> dict[str, Any]:
    if not (path / "bundle.json").is_file():
        raise BundleError(f"there is no bundle at {path}; make one with: headscarp train STACK --net NET --out {path}")
    try:
        record: dict[str, Any] = json.loads((path / "bundle.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise BundleError(f"{path}/bundle.json is not valid JSON ({error}); copy it again, or train again") from error
    if record.get("headscarp_bundle", 0) > FORMAT:
        raise BundleError(
            f"{path} was written by a newer Headscarp (bundle format {record['headscarp_bundle']}; "
            f"this one reads {FORMAT}); update Headscarp"
        )
    return record
