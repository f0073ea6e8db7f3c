"""What made an artefact: recipe, inputs with checksums and licence, version, commit, seed; as JSON and as a STAC item.

Times and machine names stay out of artefacts themselves, so that the same work gives the same bytes.
"""

import datetime as dt
import hashlib
import json
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import headscarp
from headscarp.core.artefact import write_json
from headscarp.core.errors import SourceError
from headscarp.core.grid import Grid, footprint_lonlat, ground_resolution_m


def made_by(
    verb: str, *, settings: Mapping[str, Any], inputs: Sequence[Mapping[str, Any]] = (), seed: int | None = None
) -> dict[str, Any]:
    """What made an artefact, as plain values: the same work gives the same record.

    verb: "build", "train", ... settings: the resolved configuration. inputs: from `describe_input`.
    """
    return {
        "made_by": f"headscarp {verb}",
        "version": headscarp.__version__,
        "commit": source_commit(),
        "seed": seed,
        "settings": dict(settings),
        "inputs": [dict(item) for item in inputs],
    }


def describe_input(path: str | Path, *, licence: str = "", citation: str = "") -> dict[str, Any]:
    """Name, size and SHA-256 of an input file, with its licence and citation where they are known."""
    path = Path(path)
    return {
        "name": path.name,
        "bytes": path.stat().st_size,
        "sha256": file_sha256(path),
        "licence": licence,
        "citation": citation,
    }


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a file, read in pieces."""
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise SourceError(f"{path} cannot be read ({error.strerror}); check the path") from error


@cache
def source_commit() -> str:
    """The git commit of the code that runs, with "+" when it was changed since; "" for an installed release."""
    here = Path(__file__).resolve().parent
    try:
        commit = _git(here, "rev-parse", "HEAD")
        changed = _git(here, "status", "--porcelain", "--untracked-files=no", "--", ".")
    except (OSError, subprocess.SubprocessError):
        return ""
    return commit + ("+" if changed else "")


def write_stac_item(
    path: str | Path,
    grid: Grid,
    made: Mapping[str, Any],
    *,
    bands: Sequence[Mapping[str, Any]],
    media: str = "image/tiff; application=geotiff; profile=cloud-optimized",
    more: Mapping[str, Any] | None = None,
) -> Path:
    """Writes a STAC item beside a file, as `<stem>.json`: footprint, grid, bands and what made it.

    bands: name, description, unit and nodata of each band; none for polygons. media: what kind of file it is.
    more: properties beside those.
    """
    import pystac

    path = Path(path)
    ring = footprint_lonlat(grid)
    item = pystac.Item(
        id=path.stem,
        geometry={"type": "Polygon", "coordinates": [ring.tolist()]},
        bbox=[*ring.min(axis=0).tolist(), *ring.max(axis=0).tolist()],
        datetime=dt.datetime.now(dt.UTC).replace(microsecond=0),
        properties={
            "gsd": round(ground_resolution_m(grid), 6),
            "proj:shape": list(grid.shape),
            "proj:transform": list(grid.affine)[:6],
            "proj:code": f"EPSG:{grid.crs.epsg}" if grid.crs and grid.crs.epsg else None,
            "proj:wkt2": None if grid.crs and grid.crs.epsg else grid.crs.to_wkt() if grid.crs else None,
            "processing:software": {"headscarp": made["version"]},
            "headscarp:made": dict(made),
            **(more or {}),
        },
        stac_extensions=[
            "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
            "https://stac-extensions.github.io/processing/v1.2.0/schema.json",
        ],
    )
    item.add_asset(
        "map",
        pystac.Asset(
            f"./{path.name}",
            media_type=media,
            roles=["data"],
            extra_fields={"bands": [dict(band) for band in bands]} if bands else {},
        ),
    )
    return write_json(path.with_suffix(".json"), item.to_dict(include_self_link=False))


def read_made(path: str | Path) -> dict[str, Any]:
    """What made the artefact at `path`: from its STAC item, its bundle.json or its made.json. {} where unknown."""
    path = Path(path)
    for candidate in (path.with_suffix(".json"), path / "bundle.json", path / "made.json"):
        if candidate.is_file():
            data = json.loads(candidate.read_text(encoding="utf-8"))
            made: dict[str, Any] = data.get("properties", {}).get("headscarp:made") or data.get("made") or {}
            return made or (data if "made_by" in data else {})
    return {}


def _git(folder: Path, *args: str) -> str:
    return subprocess.run(
        ["git", "-C", str(folder), *args], capture_output=True, text=True, check=True, timeout=10
    ).stdout.strip()
