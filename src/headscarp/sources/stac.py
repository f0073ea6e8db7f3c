"""Scenes of any STAC API as a lazy stack: search by pystac-client through our client, frames by solar day.

`read_product` is what the sources of satellites share. It finds the scenes that touch the grid in the period, groups
them into frames, and hands them to `scenereader`, which reads pixels when they are asked for. Refuses to give an empty
stack: no scene at all says what the service has there instead.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pandas as pd
import pystac_client
import xarray as xr
from pystac.errors import STACError
from pystac_client.errors import ClientTypeError
from pystac_client.exceptions import APIError
from shapely import Geometry, Polygon, box, make_valid, unary_union
from shapely.affinity import translate
from shapely.errors import ShapelyError
from shapely.geometry import shape

from headscarp.core.errors import RecipeError, SourceError
from headscarp.core.grid import footprint_lonlat
from headscarp.core.stack import make_stack
from headscarp.sources.products import Item, Product, Scene, item_time, scene_of
from headscarp.sources.request import Request
from headscarp.sources.scenereader import lazy_bands
from headscarp.sources.web.address import check_host
from headscarp.sources.web.catalogue import stac_io

_NO_API = (STACError, ClientTypeError, APIError, KeyError, TypeError, ValueError)
_PAGE = 250
_SAMPLE = 250


def read_product(request: Request, product: Product, *, wanted: Callable[[Item], bool] | None = None) -> xr.Dataset:
    """The scenes of a product over the request's grid and period as a stack of frames, lazy.

    A frame is what was taken on one solar day (and pass, where that matters): of several scenes the earlier goes first,
    then the lesser id, and later ones fill its holes. wanted: which items to take of those that were found.
    Raises SourceError when there is nothing to read or files lie on a host that may not be asked, RecipeError for an
    unknown band.
    """
    bands = chosen_bands(request, product)
    items = find_items(request, product, wanted=wanted or (lambda _: True))
    frames = group_scenes([scene_of(item, product) for item in items], request, product)
    for address in (look.address for frame in frames for scene in frame for look in scene.looks.values()):
        check_host(address, request.client.hosts)
    arrays = lazy_bands(frames, bands, product, request)
    attrs = {"scenes": [scene.name for frame in frames for scene in frame]}
    if product.timeless:
        return make_stack(request.grid, {band: arrays[band.name][0] for band in bands}, attrs=attrs)
    time = np.array([frame[0].time for frame in frames], "datetime64[ns]")
    paths = {"orbit": ("time", [frame[0].path for frame in frames])} if product.path else {}
    counts = {"scenes_in_frame": ("time", [len(frame) for frame in frames])}
    return make_stack(
        request.grid, {b: arrays[b.name] for b in bands}, time=time, coords={**paths, **counts}, attrs=attrs
    )


def find_items(request: Request, product: Product, *, wanted: Callable[[Item], bool]) -> list[Item]:
    """The items of a product that touch the grid in the period, by time and id. Raises SourceError when there are none,
    which says why."""
    areas = search_areas(request)
    period = "" if request.dates is None or product.timeless else _period(request.dates)
    found = _search(request, product, areas, period)
    if not found:
        raise SourceError(_nothing_found(request, product, areas, period))
    ground = unary_union(areas)
    touching = [item for item in found if _touches(item, ground)]
    if not touching:
        raise SourceError(
            f"{_place(request, areas)}: all {len(found)} scenes of {product.collection} {period or 'there'} lie beside "
            "the grid; check its bounds and CRS, or choose another source"
        )
    taken = [item for item in touching if wanted(item)]
    if not taken:
        options = ", ".join(f"{key} = {value!r}" for key, value in request.options.items()) or "its defaults"
        raise SourceError(
            f"{_place(request, areas)}: the options of source {product.name} ({options}) leave none of the "
            f"{len(touching)} scenes of {product.collection} {period}; loosen them"
        )
    return sorted(taken, key=lambda item: (item_time(item), item["id"]))


def group_scenes(scenes: Sequence[Scene], request: Request, product: Product) -> list[list[Scene]]:
    """Scenes in frames by rising time: those of one solar day at the middle of the grid, on one path.

    Scenes without any of the product's bands are left out. Raises SourceError when none is left.
    """
    scenes = sorted((s for s in scenes if s.looks), key=lambda s: (s.time, s.name))
    if not scenes:
        names = sorted({name for names in product.assets.values() for name in names})
        raise SourceError(
            f"no scene of {product.collection} at {request.service.name} has an asset named {', '.join(names)}; "
            "the service names them differently: use another one"
        )
    if product.timeless:
        return [scenes]
    ring = _unwrapped(request)
    shift = pd.Timedelta(hours=float(ring[:, 0].min() + ring[:, 0].max()) / 2 / 15)
    frames: dict[tuple[date, str], list[Scene]] = {}
    for scene in scenes:
        frames.setdefault(((scene.time + shift).date(), scene.path), []).append(scene)
    return sorted(frames.values(), key=lambda frame: frame[0].time)


def search_areas(request: Request) -> list[Polygon]:
    """The outline of the grid in longitude and latitude, in one part, or in two where it crosses the antimeridian.

    Raises SourceError for a grid around a pole or over half the earth, which no box of degrees can say.
    """
    ring = _unwrapped(request)
    west, east = float(ring[:, 0].min()), float(ring[:, 0].max())
    if east - west > 180 or abs(ring[-1, 0] - ring[0, 0]) > 180 or not np.isfinite(ring).all():
        raise SourceError(
            f"the grid reaches over {east - west:.0f} degrees of longitude or around a pole; services are searched by "
            "boxes of degrees: split the grid into smaller ones"
        )
    outline = make_valid(Polygon(ring))
    worlds = [translate(outline.intersection(box(x - 180, -90, x + 180, 90)), -x) for x in (-360, 0, 360)]
    return [part for part in worlds if part.area > 0]


def chosen_bands(request: Request, product: Product) -> list[Any]:
    """The bands that the option `bands` names, in the product's order; all without it. Raises RecipeError."""
    known = [band.name for band in product.bands]
    names = option_list(request, "bands", known)
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise RecipeError(
            f"source {product.name} has no band {', '.join(unknown) or 'in an empty list'}; it has {', '.join(known)}"
        )
    return [band for band in product.bands if band.name in names]


def option_list(request: Request, name: str, default: Sequence[str]) -> tuple[str, ...]:
    """An option that is a list of words; one word counts as a list of one."""
    value = request.options.get(name, default)
    return (value,) if isinstance(value, str) else tuple(str(word) for word in value)


def under_cloud_limit(item: Item, request: Request) -> bool:
    """Whether an item is no cloudier than the option max_cloud (percent); one that says nothing of clouds is taken.

    Raises RecipeError where the option is no percentage.
    """
    limit = request.options.get("max_cloud", 100)
    if isinstance(limit, bool) or not isinstance(limit, int | float) or not 0 <= limit <= 100:
        raise RecipeError(f"option max_cloud is {limit!r}; a percentage from 0 to 100 is needed")
    cover = item["properties"].get("eo:cloud_cover")
    return cover is None or float(cover) <= limit


def _search(request: Request, product: Product, areas: Sequence[Geometry], period: str) -> list[Item]:
    """All items in the boxes of the areas, each once. Raises SourceError."""
    found: dict[str, Item] = {}
    for area in areas:
        for item in _pages(request, product, area, period, None):
            found.setdefault(item["id"], item)
    return list(found.values())


def _pages(
    request: Request, product: Product, area: Geometry, period: str, at_most: int | None
) -> Iterator[dict[str, Any]]:
    address = request.service.address
    # What was found in a period that is over stays as it was; one that reaches to today goes on growing.
    fresh = request.dates is not None and request.dates[1] >= datetime.now(UTC).date()
    try:
        catalog = pystac_client.Client.open(address, stac_io=stac_io(request.client, source=product.name, fresh=fresh))
        methods = {link.extra_fields.get("method", "GET") for link in catalog.get_links("search")}
        yield from catalog.search(
            method="POST" if "POST" in methods else "GET",
            collections=[product.collection],
            bbox=[round(value, 7) for value in area.bounds],
            datetime=period or None,
            limit=_PAGE,
            max_items=at_most,
        ).items_as_dicts()
    except _NO_API as error:
        raise SourceError(
            f"{request.service.name} ({address}) does not answer as a STAC API ({type(error).__name__}: {error}); "
            "check the address: it is that of the landing page, often ending in /v1"
        ) from error


def _nothing_found(request: Request, product: Product, areas: Sequence[Geometry], period: str) -> str:
    """Why a search found nothing, as far as the service can tell."""
    place, times = _place(request, areas), []
    for area in areas if period else ():
        times += [item_time(item) for item in _pages(request, product, area, "", _SAMPLE)]
    if not times:
        return (
            f"{place}: no scene of {product.collection} at any time; check the place, and that the service has this "
            "collection"
        )
    several = f"{len(times)}{' or more' if len(times) >= _SAMPLE else ''}"
    return (
        f"{place}: no scene of {product.collection} in {period}; it has {several} there without the period, among them "
        f"from {min(times):%Y-%m-%d} to {max(times):%Y-%m-%d}: choose dates among these"
    )


def _place(request: Request, areas: Sequence[Geometry]) -> str:
    boxes = " and ".join("(" + ", ".join(f"{value:.5g}" for value in area.bounds) + ")" for area in areas)
    return f"{request.service.name} ({request.service.address}), longitude and latitude {boxes}"


def _period(dates: tuple[date, date]) -> str:
    """Both days whole, to the last fraction of a second."""
    return f"{dates[0]:%Y-%m-%d}T00:00:00Z/{dates[1]:%Y-%m-%d}T23:59:59.999999Z"


def _unwrapped(request: Request) -> np.ndarray:
    """The outline of the grid without jumps at the antimeridian, its middle within 180 degrees: (n, 2)."""
    ring = footprint_lonlat(request.grid).copy()
    ring[:, 0] = np.unwrap(ring[:, 0], period=360)
    middle = (ring[:, 0].min() + ring[:, 0].max()) / 2
    ring[:, 0] -= 360 * np.round(middle / 360)
    return ring


def _touches(item: Item, ground: Geometry) -> bool:
    """Whether an item's outline meets the ground; without an outline, or with a broken one, it may."""
    try:
        outline = make_valid(shape(item["geometry"]))
    except (KeyError, TypeError, AttributeError, ValueError, ShapelyError):
        return True
    return any(translate(outline, x).intersects(ground) for x in itertools.chain((0, -360, 360)))
