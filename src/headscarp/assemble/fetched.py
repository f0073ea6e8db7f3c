"""What stands in a folder of fetched results: where each is, what it was asked for, what is missing from it.

It fetches nothing and imports nothing that could.
"""

import json
from pathlib import Path
from typing import Any

from headscarp.core.provenance import file_sha256
from headscarp.core.stack import fingerprint, open_stack


def describe_fetched(path: Path) -> dict[str, Any]:
    """A fetched result as the input of something else: its name, what it holds and what it was asked for."""
    holds = fingerprint(open_stack(path)) if path.suffix == ".zarr" else file_sha256(path)
    return {"name": path.name, "sha256": holds, "made": made_of(path), "missing": len(missing_of(path))}


def facts_of(path: Path) -> dict[str, Any]:
    """What stands beside a result: made, missing and fetched; {} where nothing does."""
    beside = path.with_suffix(".json")
    facts: dict[str, Any] = json.loads(beside.read_text(encoding="utf-8")) if beside.is_file() else {}
    return facts


def made_of(path: Path) -> dict[str, Any]:
    """What made a fetched result; {} where that is not known."""
    made: dict[str, Any] = facts_of(path).get("made", {})
    return made


def missing_of(path: Path) -> list[dict[str, Any]]:
    """What could not be had when it was fetched."""
    found: list[dict[str, Any]] = facts_of(path).get("missing", [])
    return found
