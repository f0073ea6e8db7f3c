"""Spectral indices: a few bands of reflectance to one number per cell that stands for water, plants, ash or bare soil.

Pure arithmetic on arrays, all of it in the dict INDICES. Nothing is ever clipped here: noisy reflectances below zero
give values outside the usual range, and `clip_to_range`, which cuts them off, says how many. Refuses whole numbers:
digital numbers have to become reflectance, 0 to 1, first.
"""

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from headscarp.core.errors import HeadscarpWarning, RecipeError, StackError

Plane = NDArray[np.float32]

_SOIL_FACTOR = 0.5


@dataclass(frozen=True)
class Index:
    """function: takes the bands in order, float32 arrays of one shape, and gives one. bands: their names.
    range: (lowest, highest) value for reflectances from 0 to 1; infinite where there is no bound. about: what high
    values stand for. source: where the formula is from."""

    function: Callable[..., Plane]
    bands: tuple[str, ...]
    range: tuple[float, float]
    about: str
    source: str


def index(name: str, bands: Mapping[str, Any]) -> Any:
    """One index of INDICES from bands by their names (others may be there and are not looked at).

    bands: arrays of one shape, numpy or xarray (dask arrays stay lazy), reflectance 0..1, floating, NaN = missing; a
    stack will do. Returns float32 of that shape and kind, units "1"; NaN where a band it needs is missing and where
    the formula divides by zero. Never clipped. Raises RecipeError for an unknown index, StackError for bands that are
    not there or are whole numbers.
    """
    known = _known(name)
    missing = [band for band in known.bands if band not in bands]
    if missing:
        raise StackError(
            f"{name} needs the bands {', '.join(known.bands)}; {', '.join(missing)} is not there (there is: "
            f"{', '.join(map(str, bands)) or 'nothing'})"
        )
    planes = [bands[band] for band in known.bands]
    for band, plane in zip(known.bands, planes, strict=True):
        if np.dtype(plane.dtype).kind != "f":
            raise StackError(
                f"band {band!r} is {plane.dtype}, but {name} needs reflectance from 0 to 1; apply scale and "
                "offset first"
            )

    def compute(*arrays: Any) -> Any:
        return known.function(*(np.asarray(array, np.float32) for array in arrays))

    found = xr.apply_ufunc(compute, *planes, dask="parallelized", output_dtypes=[np.float32], keep_attrs=False)
    if isinstance(found, xr.DataArray):
        source = f"{name} ({known.source})"
        return found.rename(name).assign_attrs(kind="continuous", units="1", source=source)
    return found


def clip_to_range(name: str, values: Any) -> Any:
    """Values of an index, those outside its range set to the nearest end; NaN stays.

    Warns (HeadscarpWarning) with the share of values that were cut off, if any. Computes where values are lazy.
    """
    low, high = _known(name).range
    plain = np.asarray(values)
    present = int(np.isfinite(plain).sum())
    outside = int(((plain < low) | (plain > high)).sum())
    if outside:
        warnings.warn(
            f"{outside / max(present, 1):.2%} of {name} lie outside [{low:g}, {high:g}] and were cut off there; "
            "reflectances below zero do that: look for haze, shadow or a missing offset",
            HeadscarpWarning,
            stacklevel=2,
        )
    return values.clip(low, high)


def ndvi(red: Plane, nir: Plane) -> Plane:
    return _difference(nir, red)


def ndwi(green: Plane, nir: Plane) -> Plane:
    return _difference(green, nir)


def mndwi(green: Plane, swir1: Plane) -> Plane:
    return _difference(green, swir1)


def nbr(nir: Plane, swir2: Plane) -> Plane:
    return _difference(nir, swir2)


def ndmi(nir: Plane, swir1: Plane) -> Plane:
    return _difference(nir, swir1)


def ndbi(nir: Plane, swir1: Plane) -> Plane:
    return _difference(swir1, nir)


def bsi(blue: Plane, red: Plane, nir: Plane, swir1: Plane) -> Plane:
    return _difference(swir1 + red, nir + blue)


def savi(red: Plane, nir: Plane) -> Plane:
    return _ratio((nir - red) * np.float32(1 + _SOIL_FACTOR), nir + red + np.float32(_SOIL_FACTOR))


def evi(blue: Plane, red: Plane, nir: Plane) -> Plane:
    below = nir + np.float32(6) * red - np.float32(7.5) * blue + np.float32(1)
    return _ratio(np.float32(2.5) * (nir - red), below)


def brightness(blue: Plane, green: Plane, red: Plane) -> Plane:
    return np.sqrt((blue * blue + green * green + red * red) / np.float32(3))


def redness(green: Plane, red: Plane) -> Plane:
    return _difference(red, green)


INDICES: dict[str, Index] = {
    "ndvi": Index(ndvi, ("red", "nir"), (-1, 1), "green plants", "Tucker (1979), Remote Sens. Environ. 8, 127-150"),
    "ndwi": Index(
        ndwi, ("green", "nir"), (-1, 1), "open water", "McFeeters (1996), Int. J. Remote Sens. 17, 1425-1432"
    ),
    "mndwi": Index(
        mndwi,
        ("green", "swir1"),
        (-1, 1),
        "open water, also among houses",
        "Xu (2006), Int. J. Remote Sens. 27, 3025-3033",
    ),
    "nbr": Index(
        nbr, ("nir", "swir2"), (-1, 1), "unburnt plants", "Key and Benson (2006), USDA RMRS-GTR-164-CD, LA 1-51"
    ),
    "ndmi": Index(
        ndmi, ("nir", "swir1"), (-1, 1), "water in leaves", "Wilson and Sader (2002), Remote Sens. Environ. 80, 385-396"
    ),
    "ndbi": Index(
        ndbi,
        ("nir", "swir1"),
        (-1, 1),
        "built-up and bare ground",
        "Zha et al. (2003), Int. J. Remote Sens. 24, 583-594",
    ),
    "bsi": Index(
        bsi, ("blue", "red", "nir", "swir1"), (-1, 1), "bare soil", "Rikimaru et al. (2002), Tropical Ecology 43, 39-47"
    ),
    "savi": Index(
        savi,
        ("red", "nir"),
        (-1, 1),
        "green plants over bright soil",
        "Huete (1988), Remote Sens. Environ. 25, 295-309",
    ),
    "evi": Index(
        evi,
        ("blue", "red", "nir"),
        (-math.inf, math.inf),
        "green plants, where NDVI no longer rises",
        "Huete et al. (2002), Remote Sens. Environ. 83, 195-213",
    ),
    "brightness": Index(
        brightness,
        ("blue", "green", "red"),
        (0, 1),
        "bright ground",
        "Mathieu et al. (1998), Remote Sens. Environ. 66, 17-28",
    ),
    "redness": Index(
        redness,
        ("green", "red"),
        (-1, 1),
        "bare ground, where there is no infrared",
        "Escadafal and Huete (1991), C. R. Acad. Sci. Paris 312, 1385-1391",
    ),
}
"""All indices by name."""


def _difference(a: Plane, b: Plane) -> Plane:
    """The normalised difference (a - b) / (a + b)."""
    return _ratio(a - b, a + b)


def _ratio(above: Plane, below: Plane) -> Plane:
    """above / below, NaN where `below` is zero: neither 0 / 0 nor 1 / 0 says anything about the ground."""
    return np.divide(above, np.where(below == 0, np.float32(np.nan), below), dtype=np.float32)


def _known(name: str) -> Index:
    if name not in INDICES:
        raise RecipeError(f"index {name!r} is unknown; choose one of {', '.join(INDICES)}")
    return INDICES[name]
