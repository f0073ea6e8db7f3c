"""Bands made of other bands of a recipe: indices, what changed between two dates, and where both dates were seen.

They are made window by window from the layers of the bands they name, so blocks equal the whole. A cell is missing
where any of what it is made of is. Refuses bands that are no images, and to subtract what is in different units.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headscarp.assemble.composite import CompositeLayer
from headscarp.assemble.keys import nearest
from headscarp.assemble.layers import Context, Facts, Layer, RasterLayer
from headscarp.assemble.tables import BandRecipe, ChangeBand, SeenBand, SpectralBand
from headscarp.core.band import Band
from headscarp.core.errors import RecipeError
from headscarp.imagery.indices import INDICES, index

SEEN = "seen"
"""The one class of a band that says where all images are there; elsewhere it has no value."""


@dataclass(frozen=True)
class SpectralLayer:
    """An index of INDICES. inputs: the layer behind each band that the index needs, by the index's own names."""

    band: Band
    index: str
    inputs: tuple[tuple[str, Layer], ...]

    def read(self, context: Context) -> tuple[NDArray[Any], Facts]:
        values = index(self.index, {name: layer.read(context)[0] for name, layer in self.inputs})
        return _finite(values)


@dataclass(frozen=True)
class ChangeLayer:
    """What is there after minus what was there before."""

    band: Band
    before: Layer
    after: Layer

    def read(self, context: Context) -> tuple[NDArray[Any], Facts]:
        return _finite(self.after.read(context)[0] - self.before.read(context)[0])


@dataclass(frozen=True)
class SeenLayer:
    """1 where all of these layers have a value, 0 elsewhere."""

    band: Band
    layers: tuple[Layer, ...]

    def read(self, context: Context) -> tuple[NDArray[Any], Facts]:
        there = np.ones((context.window.height, context.window.width), bool)
        for layer in self.layers:
            there &= np.isfinite(layer.read(context)[0])
        return there.astype(np.uint8), {"missing": int((~there).sum())}


def rank(band: BandRecipe) -> int:
    """0 for bands of files, more for those made of them: the order in which they can be made, stable within."""
    return {SpectralBand: 1, SeenBand: 2, ChangeBand: 3}.get(type(band), 0)


def spectral_layer(band: SpectralBand | ChangeBand | SeenBand, there: Mapping[str, Layer]) -> Layer:
    """The layer of a band that is made of others. there: the layers by name, those of lower rank among them.

    Raises RecipeError that names the bands that are needed and are not there.
    """
    images = {name: layer for name, layer in there.items() if _is_image(layer)}
    where = f"[[band]] {band.name!r}"
    if isinstance(band, SpectralBand):
        return _index(band.name, band.spectral, band.prefix, band.optional, images, where)
    if isinstance(band, SeenBand):
        return _seen(band, images, where)
    return _change(band, images, where)


def _index(
    name: str, of: str, prefix: str, optional: bool | None, images: Mapping[str, Layer], where: str
) -> SpectralLayer:
    nearest(of, INDICES, "index", where)
    inputs = tuple((role, _needed(prefix + role, of, images, where)) for role in INDICES[of].bands)
    for _, layer in inputs:
        if layer.band.units != "1":
            raise RecipeError(
                f"{where}: {of} needs reflectance, in units '1'; {layer.band.name!r} is in {layer.band.units!r}"
            )
    source = f"{of} of {', '.join(layer.band.name for _, layer in inputs)} ({INDICES[of].source})"
    made = Band(name, "continuous", "1", source, optional=_optional(optional, *(layer for _, layer in inputs)))
    return SpectralLayer(made, of, inputs)


def _change(band: ChangeBand, images: Mapping[str, Layer], where: str) -> ChangeLayer:
    """Of the bands of these names where there are any, else of the index that is made here for both dates."""
    if band.before == band.after:
        raise RecipeError(f"{where} compares {band.before!r} with itself; give before and after another prefix each")
    both = []
    for prefix in (band.before, band.after):
        name = prefix + band.change
        if name in images or band.change not in INDICES:
            both.append(_needed(name, band.change, images, where))
        else:
            both.append(_index(name, band.change, prefix, None, images, where))
    before, after = both
    if before.band.units != after.band.units:
        raise RecipeError(
            f"{where} compares {before.band.name!r} in {before.band.units!r} with {after.band.name!r} in "
            f"{after.band.units!r}; bring them to the same units with scale and offset"
        )
    source = f"{after.band.name} minus {before.band.name}"
    made = Band(band.name, "continuous", after.band.units, source, optional=_optional(band.optional, before, after))
    return ChangeLayer(made, before, after)


def _seen(band: SeenBand, images: Mapping[str, Layer], where: str) -> SeenLayer:
    layers: list[Layer] = []
    for prefix in band.seen:
        found = [
            layer for name, layer in images.items() if name.startswith(prefix) and not isinstance(layer, SpectralLayer)
        ]
        if not found or not prefix:
            raise RecipeError(
                f"{where}: no image has a name that begins with {prefix!r}; images are {', '.join(images) or 'none'}"
            )
        layers += found
    if not layers:
        raise RecipeError(f'{where} names no prefix; give it those of the dates, as seen = ["before_", "after_"]')
    source = f"where {', '.join(layer.band.name for layer in layers)} all have a value"
    return SeenLayer(Band(band.name, "categorical", "1", source, (SEEN,)), tuple(layers))


def _needed(name: str, of: str, images: Mapping[str, Layer], where: str) -> Layer:
    if name not in images:
        raise RecipeError(
            f"{where}: {of} needs a band {name!r}, a continuous one with raster or composite; there is "
            f"{', '.join(images) or 'none'}"
        )
    return images[name]


def _is_image(layer: Layer) -> bool:
    return layer.band.kind == "continuous" and isinstance(layer, RasterLayer | CompositeLayer | SpectralLayer)


def _optional(asked: bool | None, *layers: Layer) -> bool:
    return any(layer.band.optional for layer in layers) if asked is None else asked


def _finite(values: NDArray[Any]) -> tuple[NDArray[np.float32], Facts]:
    """Values as a band holds them, with what was infinite missing, and what was noticed."""
    infinite = np.isinf(values)
    made = np.where(infinite, np.float32(np.nan), values).astype(np.float32)
    return made, {"missing": int(np.isnan(made).sum()), "infinite": int(infinite.sum())}
