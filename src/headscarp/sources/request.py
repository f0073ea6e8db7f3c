"""What every source is asked and what a source is: the two values that `sources/registry` is made of.

A Request says where, when and through which client; a Source says how it is read and what it needs. Neither reads
anything itself, and `check_request` refuses a request that a source cannot answer before a byte is fetched.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any, Literal

import geopandas as gpd
import xarray as xr

from headscarp.core.errors import RecipeError
from headscarp.core.grid import Grid

if TYPE_CHECKING:
    from headscarp.sources.web.client import Client
    from headscarp.sources.web.services import Service


@dataclass(frozen=True)
class Request:
    """Where, when and from whom.

    grid: onto which pixels come, or whose extent features are taken from. client: everything that is read over the
    network goes through it. service: the address to ask. dates: first and last day, both included, UTC.
    options: what else the recipe says of this source; their names stand in Source.options.
    """

    grid: Grid
    client: "Client"
    service: "Service"
    dates: tuple[date, date] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """How a source is read and what it needs.

    read: gives a lazy stack or a table of features. services: names of known services, the first is the default.
    needs_dates: whether it cannot answer without a period. options: names of the options that it knows.
    about: one line for people.
    """

    read: Callable[[Request], xr.Dataset | gpd.GeoDataFrame]
    makes: Literal["stack", "features"]
    services: tuple[str, ...]
    needs_dates: bool = False
    options: tuple[str, ...] = ()
    about: str = ""


def check_request(name: str, source: Source, request: Request) -> Request:
    """The same request when the source can answer it. Raises RecipeError that says what is missing or unknown."""
    unknown = sorted(set(request.options) - set(source.options))
    if unknown:
        known = ", ".join(source.options) or "none"
        raise RecipeError(f"source {name!r} has no option {', '.join(unknown)}; it has: {known}")
    if source.needs_dates and request.dates is None:
        raise RecipeError(f"source {name!r} needs a period; give dates such as 2019-01-01/2020-12-31")
    if request.dates is not None and request.dates[0] > request.dates[1]:
        first, last = request.dates
        raise RecipeError(f"the period of source {name!r} ends ({last}) before it begins ({first}); turn the two round")
    return request
