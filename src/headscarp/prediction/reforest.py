"""What a place would look like with trees on its open ground, from its own woods or from a generator.

A simple change of the picture: planted cells look as the woods of the same picture do. Nothing is said of when, and
nothing is certain of what grows. Refuses pictures without woods, which cannot show how woods look there.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from headscarp.core.domains import BACKSCATTER, REFLECTANCE
from headscarp.core.errors import StackError

TREE_COVER = "tree_cover"
"""A band that says the share of trees, 0 to 1, where the stack has one."""
WOODS_SHADE, OPEN_SHADE = 0.175, 0.205
"""Green over near infrared: closed woods are below the first, open ground is above the second; a rule of thumb, chosen
on simulated training places."""
GREEN, BARE = 0.6, 0.15
"""NDVI of what is green, and below which is rock, water or roofs."""
FEWEST_WOODS_PX = 5
NEEDED = ("green", "red", "nir")
SEEN = (*REFLECTANCE, *BACKSCATTER)

Bools = NDArray[np.bool_]


def woods_and_open(planes: Mapping[str, NDArray[np.floating]]) -> tuple[Bools, Bools]:
    """(y, x) where woods stand, and open ground where trees could.

    planes: (y, x) or (time, y, x) by band: `tree_cover` (woods from one half on, open below 0.3), else green, red and
    nir as reflectance, of frames the median. Raises StackError where these are missing.
    """
    if TREE_COVER in planes:
        cover = _still(planes[TREE_COVER])
        return np.asarray(cover >= 0.5), np.asarray(cover < 0.3)
    missing = [name for name in NEEDED if name not in planes]
    if missing:
        raise StackError(
            f"the stack has no band {', '.join(missing)}, so nothing says where there are trees; give it {TREE_COVER} "
            f"or {', '.join(NEEDED)}"
        )
    green, red, nir = (_still(planes[name]) for name in NEEDED)
    ndvi = (nir - red) / np.maximum(nir + red, 1e-3)
    shade = green / np.maximum(nir, 1e-3)
    woods = (ndvi >= GREEN) & (shade < WOODS_SHADE)
    return np.asarray(woods), np.asarray((ndvi >= BARE) & (shade >= OPEN_SHADE))


def look_of_woods(planes: Mapping[str, NDArray[np.floating]], woods: Bools) -> dict[str, NDArray[np.floating]]:
    """By band that a sensor sees, the median over the woods: a number, or (time,). Raises StackError without woods."""
    if int(woods.sum()) < FEWEST_WOODS_PX:
        raise StackError(
            f"the picture shows {int(woods.sum())} cells of woods, so nothing says how trees look there; take a larger "
            f"place, or give a generator that was trained for reforestation"
        )
    return {
        name: np.asarray(_median(plane[..., woods])) for name, plane in planes.items() if name in (*SEEN, TREE_COVER)
    }


def with_trees(
    planes: Mapping[str, NDArray[np.floating]], planted: Bools, look: Mapping[str, NDArray[np.floating]]
) -> dict[str, NDArray[np.floating]]:
    """The planes with the look of woods on the planted cells; other bands, and missing cells, stay."""
    made = {}
    for name, plane in planes.items():
        made[name] = plane
        if name in look:
            made[name] = plane.copy()
            there = np.broadcast_to(np.asarray(look[name])[..., None], plane[..., planted].shape)
            made[name][..., planted] = np.where(np.isfinite(plane[..., planted]), there, plane[..., planted])
    return made


def from_futures(
    planes: Mapping[str, NDArray[np.floating]],
    planted: Bools,
    futures: Sequence[Mapping[str, NDArray[np.floating]]],
    look: Mapping[str, NDArray[np.floating]] | None,
) -> dict[str, NDArray[np.floating]]:
    """The planes as generated futures show them where they plant: the mean of those. futures: bands and "changed".

    Cells that no future plants get the look of woods. Raises StackError where there are such cells and no look.
    """
    changed = np.stack([np.nan_to_num(future["changed"]) >= 0.5 for future in futures])
    count = changed.sum(axis=0)
    rest = planted & (count == 0)
    if rest.any() and look is None:
        raise StackError("the generator plants nothing on some open ground, and the picture has no woods; draw more")
    made = with_trees(planes, rest, look or {})
    for name in futures[0]:
        if name in made and name != "changed":
            total = np.where(changed, np.stack([future[name] for future in futures]), 0.0).sum(axis=0)
            made[name] = np.where(planted & (count > 0), total / np.maximum(count, 1), made[name]).astype(np.float32)
    return made


def _still(plane: NDArray[np.floating]) -> NDArray[np.floating]:
    return plane if plane.ndim == 2 else _median(np.moveaxis(plane, 0, -1))


def _median(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """Median over the last axis of what is there; NaN where nothing is."""
    there = np.isfinite(values).any(axis=-1)
    out = np.full(values.shape[:-1], np.nan, np.float32)
    out[there] = np.nanmedian(values[there], axis=-1)
    return out
