"""Collections of OGC API Features services: every feature that touches a grid, once, page by page.

Options: `collection`, `where` (a table of property = value, or a condition in CQL2 where the service filters by it),
`attributes` (properties; all by default). Refuses unknown collections and an answer that lacks features which the
service itself has counted.
"""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit

import geopandas as gpd

from headscarp.core.errors import SourceError
from headscarp.sources.paging import join_pages, lonlat_box
from headscarp.sources.request import Request, Source

_PAGE = 1000
_CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"


def ogc_features(request: Request) -> gpd.GeoDataFrame:
    """The features of a collection that touch the request's grid, in longitude and latitude.

    One row a feature: `id` and its properties; shapes as they come, invalid ones too.
    attrs["duplicates"]: features that came more than once and are kept once. Raises SourceError.
    """
    collection = _collection(request)
    box = lonlat_box(request.grid)
    params = {
        "bbox": ",".join(repr(v) for v in box),
        "limit": str(_PAGE),
        "f": "json",
        **_filter(request.options.get("where")),
    }
    if any(str(crs).rstrip("/") == _CRS84 for crs in collection.get("crs") or ()):
        params["crs"] = _CRS84
    if request.options.get("attributes"):
        params["properties"] = ",".join(request.options["attributes"])
    _check_names(request, collection["id"])
    address = _address(request)
    items = f"{address}/collections/{collection['id']}/items"
    matched: list[int] = []
    table = join_pages(_pages(request, items, params, matched), "", box, items)
    if matched and len(table) + table.attrs["duplicates"] < matched[0]:
        raise SourceError(
            f"{items} counts {matched[0]} features here but gave {len(table)}; the collection may have changed "
            "meanwhile: run the same command again, or download it and read it as a file"
        )
    return table


def _pages(request: Request, items: str, params: dict[str, str], matched: list[int]) -> Iterator[list[Any]]:
    """Features page by page along the links called next; `matched` takes the count of the first page."""
    answer = _items(request, items, params)
    if isinstance(answer.get("numberMatched"), int):
        matched.append(answer["numberMatched"])
    seen = {items}
    where = items
    while True:
        yield list(answer.get("features") or ())
        following = _next(answer)
        if following is None or not answer.get("features"):
            return
        where = _at_home(urljoin(where, following), items)
        if where in seen:
            raise SourceError(f"{items} leads from page to page in a circle ({where}); the service is broken")
        seen.add(where)
        answer = _items(request, where, {})


def _items(request: Request, address: str, params: dict[str, str]) -> Any:
    answer = request.client.get_json(address, params=params or None, source=request.service.name)
    if not isinstance(answer, dict) or answer.get("type") != "FeatureCollection":
        said = answer.get("description", answer) if isinstance(answer, dict) else type(answer).__name__
        raise SourceError(f"{address} gave no features but: {str(said)[:200]}; check collection, where and attributes")
    return answer


def _at_home(link: str, items: str) -> str:
    """The link, at the address that was asked: services behind a proxy call themselves by inner names."""
    split = urlsplit(link)
    if split.path.rstrip("/").endswith("/collections/" + urlsplit(items).path.rsplit("/collections/", 1)[-1]):
        return f"{items}?{split.query}"
    return link


def _next(answer: Mapping[str, Any]) -> str | None:
    for link in answer.get("links") or ():
        if link.get("rel") == "next" and "html" not in str(link.get("type", "")):
            return str(link["href"])
    return None


def _collection(request: Request) -> Any:
    known = request.client.get_json(
        f"{_address(request)}/collections", params={"f": "json"}, source=request.service.name
    ).get("collections", [])
    wanted = request.options.get("collection")
    found = [row for row in known if row["id"] == wanted]
    if wanted is None and len(known) == 1:
        found = known
    if not found:
        names = ", ".join(sorted(str(row["id"]) for row in known)) or "none"
        asked = "names no collection" if wanted is None else f"asks for the collection {wanted!r}"
        raise SourceError(f"the request {asked}, and {_address(request)} has: {names}; give collection = one of them")
    return found[0]


def _check_names(request: Request, collection: str) -> None:
    """Raises SourceError for properties that the collection has not: services may pass over these and give all."""
    where, attributes = request.options.get("where"), request.options.get("attributes")
    names = [*(where if isinstance(where, Mapping) else ()), *(attributes or ())]
    if not names:
        return
    address = f"{_address(request)}/collections/{collection}/queryables"
    known = request.client.get_json(address, params={"f": "json"}, source=request.service.name).get("properties") or {}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SourceError(f"{collection} has no property {', '.join(unknown)}; it has: {', '.join(sorted(known))}")


def _filter(where: Any) -> dict[str, str]:
    if where is None:
        return {}
    if isinstance(where, Mapping):
        return {str(name): str(value) for name, value in where.items()}
    return {"filter": str(where), "filter-lang": "cql2-text"}


def _address(request: Request) -> str:
    return request.service.address.rstrip("/").removesuffix("/collections")


OGC_FEATURES = Source(
    read=ogc_features,
    makes="features",
    services=(),
    options=("collection", "where", "attributes"),
    about="a collection of an OGC API Features service: polygons, lines or points with their properties",
)
