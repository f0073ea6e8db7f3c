"""The public services that Headscarp knows: address, hosts, how they sign, licence, citation. Configuration, no code.

Any of them can be replaced by another that speaks the same, such as one on this machine: by an address in a recipe, or
by the environment variable HEADSCARP_SERVICE_<NAME>. Contacts nothing.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from headscarp.core.errors import RecipeError
from headscarp.sources.web.address import host_of
from headscarp.sources.web.client import Client
from headscarp.sources.web.signing import TokenSigner

_VARIABLE = "HEADSCARP_SERVICE_"


@dataclass(frozen=True)
class Service:
    """A service. hosts: where its files are, besides that of its address; these are signed where `sign` is given.

    sign: endpoint that gives tokens, see `signing`. about: one line for people.
    """

    name: str
    address: str
    hosts: tuple[str, ...] = ()
    sign: str = ""
    licence: str = ""
    citation: str = ""
    about: str = ""


_COPERNICUS = (
    "Copernicus Sentinel data: free, full and open (Regulation (EU) 377/2014); Landsat: public domain; Copernicus DEM: "
    "free with notice of its licence"
)
_SPACE_CITATION = (
    "Contains modified Copernicus Sentinel data; Landsat Collection 2 courtesy of the U.S. Geological Survey; "
    "Copernicus DEM (c) DLR e.V. 2010-2014 and (c) Airbus Defence and Space GmbH 2014-2018, provided under COPERNICUS "
    "by the European Union and ESA, all rights reserved"
)

SERVICES: dict[str, Service] = {
    service.name: service
    for service in (
        Service(
            name="planetary-computer",
            address="https://planetarycomputer.microsoft.com/api/stac/v1",
            hosts=("*.blob.core.windows.net",),
            sign="https://planetarycomputer.microsoft.com/api/sas/v1/token",
            licence=_COPERNICUS,
            citation=f"Microsoft Open Source et al. (2022) microsoft/PlanetaryComputer. {_SPACE_CITATION}",
            about="STAC API of Landsat, Sentinel-1 and Sentinel-2 scenes and elevation, worldwide; signs by itself",
        ),
        Service(
            name="earth-search",
            address="https://earth-search.aws.element84.com/v1",
            hosts=(
                "sentinel-cogs.s3.us-west-2.amazonaws.com",
                "e84-earth-search-sentinel-data.s3.us-west-2.amazonaws.com",
                "copernicus-dem-30m.s3.amazonaws.com",
                "copernicus-dem-30m.s3.eu-central-1.amazonaws.com",
                "copernicus-dem-90m.s3.amazonaws.com",
                "copernicus-dem-90m.s3.eu-central-1.amazonaws.com",
            ),
            licence=_COPERNICUS,
            citation=f"Earth Search by Element 84. {_SPACE_CITATION}",
            about="STAC API of Sentinel-2 scenes and elevation, worldwide; needs no key",
        ),
        Service(
            name="3dep",
            address="https://elevation.nationalmap.gov/arcgis/rest/services/3DEPElevation/ImageServer",
            licence="public domain (U.S. Geological Survey)",
            citation="U.S. Geological Survey, The National Map, 3D Elevation Program (3DEP) elevation service",
            about="elevation of the United States, 1 m where lidar was flown, else 1/3 arc-second",
        ),
        Service(
            name="cgs-landslides",
            address="https://gis.conservation.ca.gov/server/rest/services/CGS/LandslideInventory_DC1_Younger/MapServer",
            licence="public data of the State of California; see the disclaimer of the Department of Conservation",
            citation="California Geological Survey, Landslide Inventory, California Department of Conservation",
            about="mapped landslides of California; beside it stand ..._DC1_Older, ..._DC2 and ..._DC3",
        ),
        Service(
            name="chirps",
            address="https://data.chc.ucsb.edu/products/CHIRPS-2.0/global_daily/cogs/p05",
            licence="public domain (CC0, Climate Hazards Center, UC Santa Barbara)",
            citation="Funk et al. (2015) Scientific Data 2:150066, CHIRPS 2.0",
            about="daily rain at 0.05 degrees between 50 S and 50 N since 1981, one raster a day",
        ),
        Service(
            name="era5-land",
            address="https://data.earthdatahub.destine.eu/era5/reanalysis-era5-land-no-antartica-v0.zarr",
            hosts=("api.earthdatahub.destine.eu",),
            licence="Licence to use Copernicus Products",
            citation="Munoz Sabater et al. (2021) Earth Syst. Sci. Data 13:4349-4383; Copernicus Climate Change "
            "Service; served by the DestinE Earth Data Hub",
            about="hourly weather and soil moisture at 0.1 degrees since 1950, one Zarr store; free key in ~/.netrc",
        ),
    )
}


def service(name: str, *, address: str | None = None, hosts: Iterable[str] = ()) -> Service:
    """A service by its name, with another address where the caller or HEADSCARP_SERVICE_<NAME> says so.

    The name in the variable is in upper case, with _ for -; behind the address it may name hosts, with spaces between.
    An address that replaces the known one brings its own
    hosts: those of the known service are neither asked nor signed for. hosts: where its files are, besides.
    A name that is not known needs an address. Raises RecipeError.
    """
    variable = _VARIABLE + name.upper().replace("-", "_")
    said = os.environ.get(variable, "").split()
    if address is None and said:
        address, hosts = said[0], (*said[1:], *hosts)
    known = SERVICES.get(name)
    if known is None and address is None:
        raise RecipeError(
            f"there is no service {name!r}; known: {', '.join(SERVICES)}; or give an address, in the "
            f"recipe or in {variable}"
        )
    if known is None or (address and address.rstrip("/") != known.address.rstrip("/")):
        base = known or Service(name, "")
        return replace(base, address=(address or "").rstrip("/"), hosts=tuple(hosts), sign="")
    return replace(known, hosts=tuple(dict.fromkeys((*known.hosts, *hosts))))


def client_for(services: Iterable[Service], **options: Any) -> Client:
    """A client that may ask the hosts of these services and no other, and signs for those that need it.

    options: those of `Client`.
    """
    services = list(services)
    hosts = [host for service in services for host in (host_of(service.address), *service.hosts)]
    timing = {name: options[name] for name in ("tries", "timeout_s", "backoff_s") if name in options}
    signers = [TokenSigner(one.sign, one.hosts, **timing) for one in services if one.sign]
    # Two sources of one service share its tokens.
    signers = list({(signer.endpoint, signer.hosts): signer for signer in signers}.values())

    def sign(url: str, again: bool) -> str:
        for signer in signers:
            url = signer(url, again)
        return url

    return Client(dict.fromkeys(hosts), signer=sign if signers else None, **options)
