"""The manifest of a piece of work: where every byte came from, under which licence, whom to cite, what is missing.

Written as manifest.json and, beside it, as a STAC collection with an asset for every origin. The same work
gives the same bytes: it holds no times, no machine, no order of events and not whether the cache had it. No address in
it holds a secret.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headscarp.core.artefact import write_json
from headscarp.core.provenance import made_by
from headscarp.sources.web.address import host_of, is_on, shown
from headscarp.sources.web.ledger import Fetched, Missing
from headscarp.sources.web.services import Service

if TYPE_CHECKING:
    from headscarp.sources.web.client import Client

NAME = "manifest.json"
COLLECTION = "manifest.stac.json"

_EXTENSIONS = (
    "https://stac-extensions.github.io/file/v2.1.0/schema.json",
    "https://stac-extensions.github.io/scientific/v1.0.0/schema.json",
    "https://stac-extensions.github.io/processing/v1.2.0/schema.json",
)
_MULTIHASH_SHA256 = "1220"


class Manifest:
    """Collects origins, gaps and inputs, and writes them.

    client: whose ledger and gaps go in. services: of the sources by their names, for licence and citation; an origin
    whose source is none of them belongs to the service that has its host. settings: what the work was told.
    """

    def __init__(
        self,
        client: "Client | None" = None,
        services: Mapping[str, Service] | None = None,
        *,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.services, self.settings = dict(services or {}), dict(settings or {})
        self._clients = [client] if client else []
        self._fetched: list[Fetched] = []
        self._missing: list[Missing] = []
        self._inputs: list[dict[str, Any]] = []

    def add_fetched(self, fetched: Iterable[Fetched]) -> None:
        """Adds origins that are in no client's ledger."""
        self._fetched += fetched

    def add_missing(self, missing: Iterable[Missing]) -> None:
        """Adds what could not be had."""
        self._missing += missing

    def add_input(self, described: Mapping[str, Any]) -> None:
        """Adds an input that came from a file, as `core.provenance.describe_input` describes it."""
        self._inputs.append(dict(described))

    def as_json(self) -> dict[str, Any]:
        """The manifest as plain values, the same for the same work."""
        fetched = [*self._fetched, *(item for client in self._clients for item in client.fetched)]
        missing = [*self._missing, *(item for client in self._clients for item in client.missing)]
        origins = _ordered(self._origin(item) for item in fetched)
        gaps = _ordered({"source": item.source, "address": item.address, "why": item.why} for item in missing)
        return {
            **made_by("fetch", settings=self.settings, inputs=_ordered(self._inputs)),
            "services": [self._described(name) for name in sorted(self.services)],
            "fetched": origins,
            "bytes": sum(origin["bytes"] for origin in origins),
            "missing": gaps,
        }

    def write(self, folder: str | Path, *, bbox: Sequence[float] = (-180.0, -90.0, 180.0, 90.0)) -> Path:
        """Writes manifest.json, and the same as a STAC collection, into a folder; returns the path of the former.

        bbox: west, south, east, north of the place, in degrees.
        """
        folder, data = Path(folder), self.as_json()
        write_json(folder / COLLECTION, _collection(data, bbox))
        return write_json(folder / NAME, data)

    def _origin(self, item: Fetched) -> dict[str, Any]:
        service = self._service_of(item)
        return {
            "source": item.source or (service.name if service else ""),
            "service": service.name if service else "",
            "address": item.address,
            "sha256": item.sha256,
            "bytes": item.bytes,
            "ranges": [list(pair) for pair in item.ranges],
            "licence": service.licence if service else "",
            "citation": service.citation if service else "",
        }

    def _service_of(self, item: Fetched) -> Service | None:
        if item.source in self.services:
            return self.services[item.source]
        for service in self.services.values():
            if service.name == item.source:
                return service
        for service in self.services.values():
            if is_on(item.address, (host_of(service.address), *service.hosts)):
                return service
        return None

    def _described(self, name: str) -> dict[str, Any]:
        service = self.services[name]
        return {
            "source": name,
            "service": service.name,
            "address": shown(service.address),
            "licence": service.licence,
            "citation": service.citation,
        }


def _ordered(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows without repeats in an order that depends on nothing but them."""
    return [row for _, row in sorted({repr(sorted(row.items())): row for row in rows}.items())]


def _collection(data: Mapping[str, Any], bbox: Sequence[float]) -> dict[str, Any]:
    """The manifest as a STAC collection."""
    import pystac

    always: list[list[datetime | None]] = [[None, None]]
    collection = pystac.Collection(
        id="manifest",
        title="Origins",
        description="Where every byte of this work came from, as manifest.json beside it tells in full.",
        extent=pystac.Extent(pystac.SpatialExtent([list(bbox)]), pystac.TemporalExtent(always)),
        license="other",
        providers=[
            pystac.Provider(
                row["service"], roles=[pystac.ProviderRole.HOST], url=row["address"], description=row["licence"]
            )
            for row in data["services"]
        ],
        stac_extensions=list(_EXTENSIONS),
        extra_fields={
            "sci:publications": [
                {"citation": text} for text in sorted({r["citation"] for r in data["services"]} - {""})
            ],
            "processing:software": {"headscarp": data["version"]},
            "headscarp:missing": data["missing"],
        },
    )
    for number, origin in enumerate(data["fetched"]):
        collection.add_asset(f"{origin['source'] or 'origin'}-{number:06d}", _asset(origin))
    return collection.to_dict(include_self_link=False)


def _asset(origin: Mapping[str, Any]) -> Any:
    import pystac

    # A checksum of parts is none of the file: it has a name of its own.
    if origin["ranges"]:
        fields = {"headscarp:ranges": origin["ranges"], "headscarp:sha256_of_blocks": origin["sha256"]}
    else:
        fields = {"file:checksum": _MULTIHASH_SHA256 + origin["sha256"], "file:size": origin["bytes"]}
    if origin["citation"]:
        fields["sci:citation"] = origin["citation"]
    return pystac.Asset(
        origin["address"],
        roles=["source"],
        extra_fields={**fields, "headscarp:licence": origin["licence"], "headscarp:bytes": origin["bytes"]},
    )
