"""What Landsat 8 and Sentinel-1 would see of a simulated place on given days, as the bands of a stack of domains.

Reflectance is a linear mix of pure surfaces, lit by slope and sun, under clouds that throw shadows; quality flags them,
late and not all, as real masks do. Backscatter follows surface, wetness and the lie of the slope, under speckle. It
draws from generators of its own for each frame, so leaving one frame out changes no other.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from headscarp.core.domains import CLOUD_CLASSES
from headscarp.sources.world._noise import add_noise
from headscarp.sources.world._optics import DIFFUSE, sun_position
from headscarp.sources.world._radar import BACKSCATTER_DB, INCIDENCE_DEG, LOOK_AZIMUTH_DEG, WET_DB
from headscarp.sources.world.clouds import CLOUD_HEIGHT_M, FLAGGED, SHADOW, SOFT
from headscarp.sources.world.domains._kernels import see_echoes, see_surfaces, surface_shares
from headscarp.sources.world.domains.ground import (
    CELL_M,
    DRY_GRASS,
    GRASS,
    ROCK,
    SNOW,
    SOIL,
    SURFACES,
    TREE,
    WATER,
    Place,
)
from headscarp.sources.world.domains.regions import Region
from headscarp.sources.world.domains.stories import Story
from headscarp.sources.world.domains.weather import greenness, pore_pressure, temperature_c
from headscarp.sources.world.spectra import LANDSAT_BANDS, spectra, spectrum

LOOKS = 9.0
"""Equivalent looks of a cell of 30 m, made from cells of 10 m."""

_REST = 0.35  # power of the cosine that terrain correction left, as in `_radar`
_NOISE, _HAZE = 0.004, 0.006
_DARKER = 0.40  # of the light that soaked soil swallows
_WAVELENGTHS_UM = tuple(LANDSAT_BANDS.values())
_LOWEST_SUN_DEG = 12.0

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Setting:
    """What a frame is taken of. latitude, longitude: degrees. seed: of everything random in frames; cloudiness: factor
    on the region's cloud cover."""

    region: Region
    place: Place
    story: Story
    latitude: float
    longitude: float
    seed: tuple[int, ...]
    cloudiness: float = 1.0


@dataclass(frozen=True)
class Optical:
    """reflectance: (6, y, x), no cell missing. quality: (y, x) codes of CLOUD_CLASSES. sun: elevation and azimuth."""

    reflectance: Floats
    quality: NDArray[np.uint8]
    sun: tuple[float, float]
    cloud_share: float


def see_landsat(setting: Setting, day: float, moment: datetime, soil_moisture: Floats) -> Optical:
    """A frame of Landsat 8. day: from the cut-off, <= 0. moment: UTC. soil_moisture: (30,) of the days before it."""
    region, place = setting.region, setting.place
    rng = np.random.default_rng([*setting.seed, 1, int(-day)])
    sun = sun_position(moment, setting.longitude, setting.latitude)
    sun = (max(sun[0], _LOWEST_SUN_DEG), sun[1])
    shares = shares_on(setting, day, moment, soil_moisture)
    pure = _pure(region, float(pore_pressure(soil_moisture[-1])))
    clouds = draw_clouds(place.shape, cloud_cover(region, moment, rng) * setting.cloudiness, sun, rng)
    noise = rng.standard_normal((len(_WAVELENGTHS_UM), *place.shape), np.float32) * np.float32(_NOISE)
    noise += (rng.normal(0.0, _HAZE) * np.array([1.0, 0.7, 0.5, 0.2, 0.1, 0.1]))[:, None, None].astype(np.float32)
    seen = np.empty_like(noise)
    light = _light(place, sun) * place.texture
    see_surfaces(shares, pure, light, clouds, spectrum("cloud", _WAVELENGTHS_UM), noise, seen)
    quality = _quality(clouds, shares)
    share = float(np.isin(quality, _HIDDEN).mean())
    return Optical(seen, quality, sun, share)


def see_sentinel1(setting: Setting, day: float, moment: datetime, soil_moisture: Floats) -> Floats:
    """(2, y, x) gamma nought of VV and VH in dB; NaN in layover and radar shadow. Arguments as in `see_landsat`."""
    place, region = setting.place, setting.region
    rng = np.random.default_rng([*setting.seed, 2, int(-day)])
    orbit = "ascending" if setting.seed[-1] % 2 else "descending"
    shares = shares_on(setting, day, moment, soil_moisture)
    wet = float(pore_pressure(soil_moisture[-1]))
    power = np.array([[10.0 ** (db / 10.0) for db in BACKSCATTER_DB[surface]] for surface in SURFACES], np.float32)
    power[[GRASS, DRY_GRASS, SOIL]] *= 10.0 ** (WET_DB * wet / 10.0)
    power[[TREE, GRASS]] *= 10.0 ** (region.radar_db / 10.0)
    speckle = rng.standard_gamma(LOOKS, (2, *place.shape), np.float32) / np.float32(LOOKS)
    out = np.empty_like(speckle)
    see_echoes(shares, power, _facing(place, orbit), place.texture, speckle, out)
    return out


def shares_on(setting: Setting, day: float, moment: datetime, soil_moisture: Floats) -> Floats:
    """(surfaces, y, x) shares of SURFACES on a day: seasons, snow, and what the story did by then."""
    region, place, story = setting.region, setting.place, setting.story
    number = float(moment.timetuple().tm_yday)
    green = greenness(region, number, float(soil_moisture.mean()))
    cold = temperature_c(region, number, place.elevation_m)
    frozen = (1.0 / (1.0 + np.exp(np.clip(1.6 * (cold + 1.5), -30.0, 30.0)))).astype(np.float32)
    leafless = place.leafless * max(0.0, 1.0 - 1.6 * green)
    shares = np.empty((len(SURFACES), *place.shape), np.float32)
    season = (day, green, leafless, story.ash_day)
    surface_shares(place.cover, story.kind, story.day, story.ash, frozen, season, shares)
    return shares


def cloud_cover(region: Region, moment: datetime, rng: np.random.Generator) -> float:
    """Share of a frame that is clouded: many are clear, many are closed, by the season."""
    wet = 0.5 + 0.5 * np.cos(2.0 * np.pi * (moment.timetuple().tm_yday - region.wet_day) / 365.25)
    mean = region.cloud[0] + (region.cloud[1] - region.cloud[0]) * wet
    cover = float(rng.beta(1.1 * mean / 0.5, 1.1 * (1.0 - mean) / 0.5))
    return 0.0 if cover < 0.03 else cover


def draw_clouds(shape: tuple[int, int], cover: float, sun: tuple[float, float], rng: np.random.Generator) -> Floats:
    """(3, y, x) thickness, cirrus and shade, as `clouds.Sky` has them; (0, 0, 1) without a cloud."""
    row, col, seed = (int(v) for v in rng.integers(0, 2**30, 3))
    out = np.zeros((3, *shape), np.float32)
    out[2] = 1.0
    if cover <= 0.0:
        return out
    away = CLOUD_HEIGHT_M / np.tan(np.radians(sun[0])) / CELL_M
    turn = np.radians(sun[1])
    # The shadow of a cloud lies away from the sun, so what shades a cell stands towards it; rows count southwards.
    step = (-round(away * np.cos(turn)), round(away * np.sin(turn)))
    above, towards, veil = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    for number, (wavelength, amplitude) in enumerate(((41, 1.0), (17, 0.55), (7, 0.28), (3, 0.12))):
        add_noise(above, row, col, wavelength, seed + number, amplitude, False)
        add_noise(towards, row + step[0], col + step[1], wavelength, seed + number, amplitude, False)
    add_noise(veil, row, col, 37, seed + 9, 1.0, False)
    level = float(np.quantile(above, 1.0 - min(cover, 1.0)))
    spread = max(float(above.std()), 0.2)
    out[0] = np.clip((above - level) / (SOFT * spread) + FLAGGED, 0.0, 1.0)
    out[1] = np.clip((veil - 0.45) * 0.3, 0.0, 0.15)
    out[2] = 1.0 - SHADOW * np.clip((towards - level) / (SOFT * spread) + FLAGGED, 0.0, 1.0)
    return out


def _pure(region: Region, wet: float) -> Floats:
    pure = spectra(SURFACES, _WAVELENGTHS_UM)
    soil_tint, tree_tint = np.array(region.soil_tint, np.float32), np.array(region.tree_tint, np.float32)
    pure[[SOIL, ROCK]] *= soil_tint
    pure[[TREE, GRASS]] *= tree_tint
    pure[SOIL] *= np.float32(1.0 - _DARKER * wet)
    return pure


def _light(place: Place, sun: tuple[float, float]) -> Floats:
    high, turn = np.radians(sun[0]), np.radians(sun[1])
    towards = np.array([np.cos(high) * np.sin(turn), np.cos(high) * np.cos(turn), np.sin(high)], np.float32)
    facing = np.clip(np.tensordot(towards, place.normal, axes=1) / np.sin(high), 0.0, 3.0)
    return np.asarray(DIFFUSE + (1.0 - DIFFUSE) * facing, np.float32)


def _facing(place: Place, orbit: str) -> Floats:
    turn, angle = np.radians(LOOK_AZIMUTH_DEG[orbit]), np.radians(INCIDENCE_DEG)
    back = np.array([-np.sin(angle) * np.sin(turn), -np.sin(angle) * np.cos(turn), np.cos(angle)], np.float32)
    cosine = np.tensordot(back, place.normal, axes=1)
    towards = -(place.normal[0] * np.sin(turn) + place.normal[1] * np.cos(turn)) / np.maximum(place.normal[2], 1e-3)
    seen = (cosine > np.cos(np.radians(85.0))) & (towards < np.tan(angle))
    factor = (np.maximum(cosine, 0.05) / np.cos(angle)) ** _REST
    return np.where(seen, factor, np.nan).astype(np.float32)


def _quality(clouds: Floats, shares: Floats) -> NDArray[np.uint8]:
    """Codes of CLOUD_CLASSES, as a mask would say: thin cloud and weak shadow stay unflagged."""
    codes = np.full(clouds.shape[1:], _CODE["clear"], np.uint8)
    codes[shares[WATER] > 0.5] = _CODE["water"]
    codes[shares[SNOW] > 0.5] = _CODE["snow"]
    codes[clouds[2] < 1.0 - FLAGGED * SHADOW] = _CODE["cloud shadow"]
    codes[clouds[0] > FLAGGED] = _CODE["cloud"]
    return codes


_CODE = {name: code for code, name in enumerate(CLOUD_CLASSES, start=1)}
_HIDDEN = (_CODE["cloud"], _CODE["cloud shadow"])


def moment_of(cutoff: datetime, day: float, hour: float) -> datetime:
    """The time of a frame. day: whole days from the cut-off, <= 0; hour: UTC."""
    return cutoff + timedelta(days=day, hours=hour)
