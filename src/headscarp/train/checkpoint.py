"""Where a training stands after each finished epoch, on disk whole or not at all.

A checkpoint is for going on with the same training; it is never the result (that is the bundle). Read with
`weights_only`, so it holds tensors and plain values and runs nothing. Refuses the checkpoint of another training, and
one that is laid out in another way.
"""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from headscarp.core.artefact import clear_os_errors, write_json
from headscarp.core.errors import JournalError, TrainingError
from headscarp.train.averaging import Average
from headscarp.train.packing import packed, unpacked
from headscarp.train.standing import Standing

CHECKPOINT = ".checkpoint"
_STATE, _JOB = "state.pt", "job.json"
_LAYOUT = 2
_NOTHING: Mapping[str, Any] = MappingProxyType({})


def save_checkpoint(
    folder: Path, average: Average, optimiser: Any, standing: Standing, *, beside: Mapping[str, Any] = _NOTHING
) -> None:
    """Replaces the checkpoint in `folder` by where the training stands now; a crash leaves the one before.

    average: of the net that is trained, with it. beside: what else learns, by name: modules and optimisers.
    """
    state = {"net": average.net.state_dict(), "optimiser": optimiser.state_dict(), "standing": vars(standing)}
    state["average"] = average.state()
    state["beside"] = {name: one.state_dict() for name, one in beside.items()}
    tree, long = packed(state)
    partial, path = folder / f"{_STATE}.partial", folder / _STATE
    with clear_os_errors(path):
        folder.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            torch.save({"layout": _LAYOUT, "tree": tree, "long": long}, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)


def load_checkpoint(
    folder: Path, average: Average, optimiser: Any, *, beside: Mapping[str, Any] = _NOTHING
) -> Standing | None:
    """Puts all of `save_checkpoint` back to where the last finished epoch left it; None where there is none."""
    path = folder / _STATE
    if not path.exists():
        return None
    try:
        kept = torch.load(path, map_location="cpu", weights_only=True)
        if kept.get("layout") != _LAYOUT:
            raise ValueError("another version of Headscarp wrote it")
        state = unpacked(kept["tree"], kept["long"])
        average.net.load_state_dict(state["net"])
        average.load(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        for name, one in beside.items():
            one.load_state_dict(state["beside"][name])
        return Standing(**state["standing"])
    except (OSError, RuntimeError, KeyError, TypeError, ValueError, EOFError) as error:
        raise TrainingError(f"{path} cannot be read ({error}); start afresh with --overwrite") from error


def open_job(folder: Path, job: Mapping[str, Any]) -> dict[str, Any]:
    """The record of this training as it was first started, written on the first call.

    What was running when training began (version, commit) is thus told by the finished bundle, whoever finishes it.
    Raises JournalError where the folder belongs to a training with other inputs or settings.
    """
    path, ours = folder / _JOB, json.loads(json.dumps(job, sort_keys=True, default=_plain))
    if not path.exists():
        write_json(path, ours)
    theirs: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    check_same_job(folder, theirs, ours)
    return theirs


def check_same_job(folder: Path, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
    """Raises JournalError that names what differs between two records of trainings; the commit may."""
    a, b = _flat(theirs), _flat(json.loads(json.dumps(ours, sort_keys=True, default=_plain)))
    differs = sorted(key for key in {*a, *b} - {"commit"} if a.get(key) != b.get(key))
    if differs:
        told = "; ".join(f"{key}: {a.get(key)} there, {b.get(key)} now" for key in differs[:3])
        raise JournalError(
            f"{folder} holds another training ({told}); go on with the same stack and settings, or start afresh "
            "with --overwrite"
        )


def forget_checkpoint(folder: Path) -> None:
    """Removes a checkpoint folder that is no longer needed."""
    shutil.rmtree(folder, ignore_errors=True)


def _flat(record: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"settings": {"seed": 1}} -> {"settings.seed": 1}"""
    flat: dict[str, Any] = {}
    for key, value in record.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat


def _plain(value: Any) -> Any:
    return (
        value.tolist() if hasattr(value, "tolist") else list(value) if isinstance(value, (tuple, set)) else str(value)
    )
