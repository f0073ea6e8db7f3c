"""What a STAC item says that matters here: which file holds which band of a scene, and how its numbers are meant.

A Product is the visible table of one collection: its bands, the asset names that services give them, the published
scale, offset and no-data value. What an item itself says of an asset goes before what is published. Refuses to guess
units: an item without a time is an error, an item without a band just lacks it. Reads nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from headscarp.core.band import Band
from headscarp.core.errors import SourceError

Item = Mapping[str, Any]
"""A STAC item as JSON."""

Decode = Callable[[NDArray[np.float64]], NDArray[Any]]
"""(y, x) numbers as they stand in the file, NaN where missing -> values of the band, NaN or 0 where missing."""


@dataclass(frozen=True)
class Scaling:
    """value = number * scale + offset; numbers equal to nodata are missing."""

    scale: float = 1.0
    offset: float = 0.0
    nodata: float | None = None


@dataclass(frozen=True)
class Look:
    """One band of one scene: where it stands and how it is read."""

    scene: str
    band: str
    address: str
    scaling: Scaling


@dataclass(frozen=True)
class Scene:
    """One item: when it was taken and its looks by band. path: on which pass, "" where that does not matter."""

    name: str
    time: pd.Timestamp
    looks: Mapping[str, Look]
    path: str = ""


@dataclass(frozen=True)
class Product:
    """One collection of scenes.

    assets: for each band the names of its asset, in any service. scaling: (item, asset, band name) -> how the numbers
    are meant. decode: for bands whose values are more than scaled numbers. resampling: for bands that must not be
    warped in the usual way of their kind. path: a property in which the scenes of one frame agree. timeless: all scenes
    are tiles of one picture; its bands are continuous.
    """

    name: str
    collection: str
    bands: tuple[Band, ...]
    assets: Mapping[str, tuple[str, ...]]
    scaling: Callable[[Item, Mapping[str, Any], str], Scaling]
    decode: Mapping[str, Decode] = field(default_factory=dict)
    resampling: Mapping[str, str] = field(default_factory=dict)
    path: str = ""
    timeless: bool = False


def scene_of(item: Item, product: Product) -> Scene:
    """The scene that an item describes. Raises SourceError where it has no time."""
    looks = {}
    for band in product.bands:
        asset = next((item["assets"][key] for key in product.assets[band.name] if key in item["assets"]), None)
        if asset is not None:
            scaling = product.scaling(item, asset, band.name)
            looks[band.name] = Look(item["id"], band.name, _http(asset["href"]), scaling)
    path = str(item["properties"].get(product.path, "")) if product.path else ""
    return Scene(item["id"], item_time(item), looks, path)


def item_time(item: Item) -> pd.Timestamp:
    """When an item was taken, UTC without a zone. Raises SourceError."""
    properties = item["properties"]
    text = properties.get("datetime") or properties.get("start_datetime")
    try:
        time = pd.Timestamp(text)
        time = time if time.tzinfo is None else time.tz_convert("UTC").tz_localize(None)
    except (TypeError, ValueError) as error:
        raise SourceError(f"item {item['id']} has the time {text!r} ({error}); the service has to be mended") from error
    if pd.isna(time):
        raise SourceError(f"item {item['id']} has no time; the service has to be mended")
    return time


def said(asset: Mapping[str, Any], key: str) -> float | None:
    """What an asset says of scale, offset or nodata in the raster extension, 1.x or 2.x; None where nothing."""
    older = (asset.get("raster:bands") or [{}])[0]
    newer = (asset.get("bands") or [{}])[0]
    for place, name in ((older, key), (newer, f"raster:{key}"), (asset, f"raster:{key}"), (newer, key), (asset, key)):
        if place.get(name) is not None:
            return float(place[name])
    return None


def stated_scaling(asset: Mapping[str, Any], published: Scaling) -> Scaling:
    """The scaling that an asset states; what it does not state as published."""
    values = {key: said(asset, key) for key in ("scale", "offset", "nodata")}
    return Scaling(**{key: getattr(published, key) if value is None else value for key, value in values.items()})


def _http(address: str) -> str:
    """An address that http can reach; files in public S3 buckets have one."""
    if not address.startswith("s3://"):
        return address
    bucket, _, key = address.removeprefix("s3://").partition("/")
    return f"https://{bucket}.s3.amazonaws.com/{key}"
