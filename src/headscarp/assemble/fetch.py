"""The verb fetch: from a grid and the names of sources to stacks and tables on disk, resumable, from a cache.

Each source leaves NAME.zarr or NAME.gpkg, and all together a manifest of where every byte came from. What cannot be
had after all tries is listed and the rest goes on; the next run asks for it again. Contacts only the services that are
named.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd

import headscarp
from headscarp.assemble.fetched import facts_of, made_of, missing_of
from headscarp.assemble.keys import nearest
from headscarp.assemble.store import store_stack
from headscarp.assemble.wanted import SourceRecipe
from headscarp.core.artefact import clear_os_errors, finish, partial_path, write_json
from headscarp.core.errors import OutputError, RecipeError, SourceError
from headscarp.core.grid import Grid, footprint_lonlat, grid_to_json
from headscarp.core.progress import log
from headscarp.core.provenance import made_by
from headscarp.sources.registry import SOURCES
from headscarp.sources.request import Request, Source, check_request
from headscarp.sources.web.client import Client
from headscarp.sources.web.ledger import Fetched as Origin
from headscarp.sources.web.ledger import Missing
from headscarp.sources.web.manifest import Manifest
from headscarp.sources.web.services import Service, client_for, service

CONNECTIONS = 8


@dataclass(frozen=True)
class Fetched:
    """What a fetch left. paths: of each result by its name. missing: what could not be had, to be asked for again."""

    folder: Path
    paths: Mapping[str, Path]
    missing: tuple[Missing, ...]
    manifest: Path
    bytes_read: int


def fetch(
    grid: Grid,
    wanted: Sequence[SourceRecipe],
    out: str | Path,
    *,
    offline: bool = False,
    connections: int = CONNECTIONS,
    overwrite: bool = False,
    **client_options: Any,
) -> Fetched:
    """Fetches sources onto a grid into the folder `out`, going on with whatever is there already.

    offline: from the cache only. connections: requests at once. overwrite: replace results of other requests that
    stand in `out`. client_options: cache, tries, timeout_s and backoff_s of headscarp.sources.web.client.Client.
    A source that cannot be had at all does not stop the others; when these are done SourceError is raised, and
    nothing is lost. Raises RecipeError for unknown sources and options before anything is asked for, OutputError where
    `out` holds results of another request.
    """
    out = Path(out).absolute()
    services = {item.name: _service_of(item) for item in wanted}
    options = {"offline": offline, "connections": connections, **client_options}
    requests = {
        item.name: check_request(
            item.source,
            known_source(item.source),
            Request(grid, client_for([services[item.name]], **options), services[item.name], item.dates, item.options),
        )
        for item in wanted
    }
    with clear_os_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    paths: dict[str, Path] = {}
    failed: dict[str, SourceError] = {}
    try:
        for item in wanted:
            try:
                paths[item.name] = _had(item, requests[item.name], out, connections, overwrite=overwrite)
            except SourceError as error:
                log.warning("%s could not be had: %s", item.name, error)
                failed[item.name] = error
    finally:
        manifest, missing = _write_manifest(out, services, paths, grid)
    if failed:
        reasons = "; ".join(f"{name}: {error}" for name, error in failed.items())
        have = f"{len(paths)} of {len(wanted)} sources are in {out}"
        raise SourceError(f"{have}; could not be had: {reasons}. The same command asks for these again")
    return Fetched(out, paths, missing, manifest, sum(request.client.bytes_read for request in requests.values()))


def known_source(name: str) -> Source:
    """The source of this name. Raises RecipeError that names the known ones."""
    return SOURCES[nearest(name, SOURCES, "source", "the request")]


def result_path(folder: Path, item: SourceRecipe) -> Path:
    """Where the result of a source stands."""
    return folder / f"{item.name}{'.zarr' if known_source(item.source).makes == 'stack' else '.gpkg'}"


def _service_of(item: SourceRecipe) -> Service:
    usual = known_source(item.source).services
    if not (item.service or item.address or usual):
        raise RecipeError(f"source {item.source!r} has no usual service; give the address of one")
    name = item.service or (usual[0] if usual else item.name)
    return service(name, address=item.address, hosts=item.hosts)


def _had(item: SourceRecipe, request: Request, out: Path, connections: int, *, overwrite: bool) -> Path:
    """The finished result of one source: as it stands, or fetched now."""
    path, job = result_path(out, item), _job(item, request)
    stands = path.exists() and made_of(path).get("settings") == job
    if stands and not missing_of(path):
        log.info("%s is there already", path.name)
        return path
    if path.exists() and not stands and not overwrite:
        raise OutputError(f"{path} holds another request; give another --out, or --overwrite to replace it")
    client = request.client
    ledger = out / f".{path.name}.ledger"
    client.ledger.keep_in(ledger)
    read = SOURCES[item.source].read(request)

    def missing() -> dict[str, Any]:
        return {"missing": [asdict(m) for m in client.missing]}

    def at_end(of_blocks: list[Mapping[str, Any]]) -> dict[str, Any]:
        # What an earlier run could not have stands in the blocks that it finished.
        rows = [row for facts in [*of_blocks, missing()] for row in facts.get("missing", [])]
        unique = list({json.dumps(row, sort_keys=True): row for row in rows}.values())
        facts = {"made": made_by("fetch", settings=job), "missing": unique}
        write_json(path.with_suffix(".json"), {**facts, "fetched": [asdict(f) for f in client.fetched]})
        return facts

    if isinstance(read, gpd.GeoDataFrame):
        _store_features(read, path)
        at_end([])
        finish(_partial(path), path)
    else:
        note = _progress_of(client)
        store_stack(read, path, job, workers=connections, overwrite=True, note=note, facts=missing, at_end=at_end)
    ledger.unlink(missing_ok=True)
    return path


def _progress_of(client: Client) -> Any:
    return lambda: f"{client.bytes_read / 1e6:.1f} MB, {client.requests} requests"


def _job(item: SourceRecipe, request: Request) -> dict[str, Any]:
    """Whatever decides the result of a source, as plain values."""
    job = {
        "source": item.source,
        "service": {"name": request.service.name, "address": request.service.address},
        "grid": grid_to_json(request.grid),
        "dates": [str(day) for day in request.dates] if request.dates else None,
        "options": dict(request.options),
        "version": headscarp.__version__,
    }
    plain: dict[str, Any] = json.loads(json.dumps(job, default=str))
    return plain


def _store_features(table: gpd.GeoDataFrame, path: Path) -> None:
    """Writes a table beside its final name; a fixed date stands for that of writing, so the same table is one file."""
    import pyogrio

    partial = _partial(path)
    with clear_os_errors(path):
        partial.unlink(missing_ok=True)
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": "2000-01-01T00:00:00.000Z"})
        try:
            table.to_file(partial, driver="GPKG", layer=path.stem)
        finally:
            pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": None})


def _partial(path: Path) -> Path:
    return partial_path(path).with_suffix(".gpkg")


def _write_manifest(
    out: Path, services: Mapping[str, Service], paths: Mapping[str, Path], grid: Grid
) -> tuple[Path, tuple[Missing, ...]]:
    """The manifest of all results that stand in the folder, and what is missing from them."""
    manifest = Manifest(services=services)
    gaps: list[Missing] = []
    for path in paths.values():
        facts = facts_of(path)
        rows = facts.get("fetched", [])
        manifest.add_fetched(Origin(**{**row, "ranges": tuple(tuple(r) for r in row["ranges"])}) for row in rows)
        gaps += [Missing(**row) for row in facts.get("missing", [])]
    manifest.add_missing(gaps)
    ring = footprint_lonlat(grid)
    return manifest.write(out, bbox=[*ring.min(axis=0).tolist(), *ring.max(axis=0).tolist()]), tuple(gaps)
