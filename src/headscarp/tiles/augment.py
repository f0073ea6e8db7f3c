"""How training tiles are changed so that a net learns what does not matter: flips and turns, scale, light.

A generator decides, so that a resumed training sees what an uninterrupted one sees. Only training tiles are changed,
and only by who asks for it. Refuses bands that have no light: directions and classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from headscarp.core.band import UNLABELLED, Band
from headscarp.core.errors import RecipeError
from headscarp.tiles.reader import TilePixels
from headscarp.tiles.series import turned_metadata


@dataclass(frozen=True)
class Changes:
    """What is drawn for each training tile. turn: one of the eight flips and turns of a square. zoom: see `zoomed`.
    light: see `relit`, of the bands named in light_bands."""

    turn: bool = True
    zoom: float = 1.0
    light: float = 0.0
    light_bands: tuple[str, ...] = ()

    def check(self, bands: Sequence[Band]) -> None:
        """Raises RecipeError where a named band is not there or has no light."""
        kinds = {band.name: band.kind for band in bands}
        for name in self.light_bands:
            if kinds.get(name) != "continuous":
                known = ", ".join(name for name, kind in kinds.items() if kind == "continuous") or "none"
                given = f"is a {kinds[name]} band" if name in kinds else "is no band that the net reads"
                raise RecipeError(f"light_bands names {name!r}, which {given}; name bands of images, among {known}")


def changed(
    pixels: TilePixels, bands: Sequence[Band], changes: Changes, rng: np.random.Generator, *, halo: int = 0
) -> TilePixels:
    """The pixels of a tile after what `changes` ask for, as `rng` draws it. halo: context that no label may enter.

    Raises RecipeError for another scale or light of pictures after a task."""
    if pixels.after is not None and (changes.zoom > 1 or changes.light > 0):
        raise RecipeError("pictures after a task are turned and nothing else; leave zoom and light out of [train]")
    if changes.turn:
        pixels = augment(pixels, bands, rng)
    if changes.zoom > 1:
        pixels = zoomed(pixels, bands, rng, most=changes.zoom, halo=halo)
    if changes.light > 0:
        lit = [band.name in changes.light_bands for band in bands]
        pixels = relit(pixels, lit, rng, strength=changes.light)
    return pixels


def augment(pixels: TilePixels, bands: Sequence[Band], rng: np.random.Generator) -> TilePixels:
    """The pixels after a random one of the eight flips and turns of a square, directions and the sun turned along.

    bands: what pixels.x holds. Degrees clockwise from north fall by 90 with each quarter turn to the left and are
    mirrored by a flip, so that aspect stays the aspect of the turned terrain. Tiles that are not square are flipped and
    turned by 180 degrees only.
    """
    turns, flip = int(rng.integers(4)), bool(rng.integers(2))
    height, width = pixels.valid.shape
    if height != width:
        turns -= turns % 2
    x = _turned(pixels.x, turns, flip)
    for i, band in enumerate(bands):
        if band.kind == "direction":
            x[..., i, :, :] = _turned_degrees(x[..., i, :, :], turns, flip)
    turned = replace(pixels, x=x, valid=_turned(pixels.valid, turns, flip), y=_turned(pixels.y, turns, flip))
    if pixels.after is not None:
        return replace(turned, after=_turned(pixels.after, turns, flip))
    if pixels.traces is not None:
        turned = replace(turned, traces=_turned(pixels.traces, turns, flip))
    if pixels.metadata is None:
        return turned
    return replace(turned, metadata=turned_metadata(pixels.metadata, turns, flip))


def zoomed(
    pixels: TilePixels, bands: Sequence[Band], rng: np.random.Generator, *, most: float, halo: int = 0
) -> TilePixels:
    """The pixels at another scale, as large as before: magnified by up to `most`, or shrunk by as much.

    The factor is drawn evenly on a scale of ratios; where the tile then lies is drawn too. Continuous bands are
    interpolated bilinearly, all else takes the nearest pixel, so that no class, direction or label is made up. What a
    shrunk tile does not cover is mirrored, and is not valid. Labels in the outer `halo` pixels do not count.
    """
    factor = float(most ** rng.uniform(-1, 1))
    at = [_places(side, factor, float(rng.uniform())) for side in pixels.valid.shape]
    nearest = np.ix_(*(np.rint(place).astype(int) for place, _ in at))
    inside = np.logical_and.outer(*(there for _, there in at))
    x = pixels.x[..., *nearest]
    smooth = [i for i, band in enumerate(bands) if band.kind == "continuous"]
    between = _bilinear(pixels.x[..., smooth, :, :], *(place for place, _ in at))
    x[..., smooth, :, :] = np.where(np.isnan(between), x[..., smooth, :, :], between)
    valid = pixels.valid[nearest] & inside
    counts = valid.copy()
    if halo:
        counts[:halo], counts[-halo:], counts[:, :halo], counts[:, -halo:] = False, False, False, False
    y = np.where(counts, pixels.y[nearest], UNLABELLED).astype(np.uint8)
    if pixels.traces is not None:
        pixels = replace(pixels, traces=np.where(counts, pixels.traces[:, *nearest], np.float32(np.nan)))
    return replace(pixels, x=x, valid=valid, y=y)


def relit(pixels: TilePixels, lit: Sequence[bool], rng: np.random.Generator, *, strength: float) -> TilePixels:
    """The pixels under other light: of each band that is lit, x becomes m + (x - m) c + b s.

    m, s: mean and standard deviation of the band over the tile, frame by frame. c, contrast: common to the bands,
    between e^-strength and e^strength, times one of half that range for each. b, brightness: normal with strength / 2,
    common to the bands, and half as much for each. Missing pixels stay missing; other bands stay as they are.
    """
    bands = np.flatnonzero(lit)
    if not len(bands):
        return pixels
    shape = (*pixels.x.shape[:-3], len(bands), 1, 1)
    common = (*pixels.x.shape[:-3], 1, 1, 1)
    contrast = np.exp(rng.uniform(-strength, strength, common) + rng.uniform(-strength / 2, strength / 2, shape))
    brightness = rng.normal(0, strength / 2, common) + rng.normal(0, strength / 4, shape)
    x = pixels.x.copy()
    old = x[..., bands, :, :].astype(np.float64)
    there = np.isfinite(old)
    count = np.maximum(there.sum((-2, -1), keepdims=True), 1)
    mean = np.where(there, old, 0).sum((-2, -1), keepdims=True) / count
    apart = np.where(there, old - mean, 0)
    deviation = np.sqrt((apart**2).sum((-2, -1), keepdims=True) / count)
    x[..., bands, :, :] = np.where(there, mean + apart * contrast + brightness * deviation, old).astype(np.float32)
    return replace(pixels, x=x)


def _places(side: int, factor: float, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Where each of `side` pixels reads along one side, mirrored at its ends, and which did lie there.

    share: of the room that the magnified tile leaves around what is read, or the shrunk one around it, so much lies
    before it.
    """
    place = (np.arange(side) + 0.5) / factor - 0.5 + (side - side / factor) * share
    there = (place > -0.5) & (place < side - 0.5)
    folded = np.abs(place) % max(2 * (side - 1), 1)
    return np.minimum(folded, 2 * (side - 1) - folded).clip(0, side - 1), there


def _bilinear(planes: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """(..., h, w) values at places between pixels; NaN where one of the pixels around is."""
    for axis, place in ((-2, rows), (-1, columns)):
        low = np.minimum(place.astype(int), planes.shape[axis] - 2) if planes.shape[axis] > 1 else np.zeros(1, int)
        share = (place - low).astype(np.float32)
        share = share[:, None] if axis == -2 else share
        first, second = np.take(planes, low, axis), np.take(planes, low + (planes.shape[axis] > 1), axis)
        planes = first + (second - first) * share
    return planes


def _turned(pixels: np.ndarray, turns: int, flip: bool) -> np.ndarray:
    """Flipped left to right where asked, then turned to the left by quarter turns; a copy."""
    flipped = pixels[..., ::-1] if flip else pixels
    return np.ascontiguousarray(np.rot90(flipped, turns, axes=(-2, -1)))


def _turned_degrees(degrees: np.ndarray, turns: int, flip: bool) -> np.ndarray:
    turned = np.mod((-degrees if flip else degrees) - np.float32(90 * turns), np.float32(360))
    turned[turned >= 360] = 0  # what rounds up to a full turn is north
    return turned
