"""What an optical sensor sees of simulated ground: where the sun stands, how it lights slopes, what clouds hide."""

from collections.abc import Sequence
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from headscarp.sources.world._ground import SURFACES, Ground
from headscarp.sources.world.clouds import Sky
from headscarp.sources.world.spectra import spectra, spectrum

DIFFUSE = 0.25
"""Share of the light that comes from the whole sky and does not care for slopes."""

NOISE = 0.003
_LARGEST = 1.3


def sun_position(moment: datetime, longitude: float, latitude: float) -> tuple[float, float]:
    """Elevation and azimuth of the sun in degrees, azimuth clockwise from north, to about half a degree.

    moment: UTC. Declination and equation of time by Spencer (1971), as in Duffie and Beckman (2013).
    """
    b = 2.0 * np.pi * (moment.timetuple().tm_yday - 1) / 365.0
    declination = (
        (0.006918 - 0.399912 * np.cos(b) + 0.070257 * np.sin(b))
        + (-0.006758 * np.cos(2 * b) + 0.000907 * np.sin(2 * b))
        + (-0.002697 * np.cos(3 * b) + 0.00148 * np.sin(3 * b))
    )
    even = 229.2 * (
        0.000075 + 0.001868 * np.cos(b) - 0.032077 * np.sin(b) - 0.014615 * np.cos(2 * b) - 0.04089 * np.sin(2 * b)
    )
    minutes = 60.0 * moment.hour + moment.minute + moment.second / 60.0 + 4.0 * longitude + even
    hour = np.radians((minutes / 4.0 - 180.0 + 180.0) % 360.0 - 180.0)
    lat = np.radians(latitude)
    height = np.arcsin(np.sin(lat) * np.sin(declination) + np.cos(lat) * np.cos(declination) * np.cos(hour))
    east = -np.cos(declination) * np.sin(hour)
    north = np.cos(lat) * np.sin(declination) - np.sin(lat) * np.cos(declination) * np.cos(hour)
    return float(np.degrees(height)), float(np.degrees(np.arctan2(east, north)) % 360.0)


def illumination(ground: Ground, sun: tuple[float, float]) -> NDArray[np.float32]:
    """(y, x) light on each cell over that on level ground, with DIFFUSE of it from the sky; reflectance of a real
    Level-2 product has it too, since none is corrected for terrain."""
    high, turn = np.radians(sun[0]), np.radians(sun[1])
    towards = np.array([np.cos(high) * np.sin(turn), np.cos(high) * np.cos(turn), np.sin(high)], np.float32)
    facing = np.clip(np.tensordot(towards, ground.normal, axes=1) / np.sin(high), 0.0, 3.0)
    return np.asarray(DIFFUSE + (1.0 - DIFFUSE) * facing, np.float32)


def see_reflectance(
    ground: Ground,
    shares: NDArray[np.float32],
    wavelengths_um: Sequence[float],
    *,
    sun: tuple[float, float],
    sky: Sky,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """(bands, y, x) surface reflectance: linear mixing of the surfaces, light by slope, shadow, clouds, noise.

    shares: (surfaces, y, x), those of the day.
    """
    pure = spectra(SURFACES, wavelengths_um)
    mixed = np.tensordot(pure.T, shares, axes=1)
    mixed *= ground.texture * (illumination(ground, sun) * sky.shade)
    white = spectrum("cloud", wavelengths_um)[:, None, None]
    for hidden in (sky.thickness, sky.cirrus):
        mixed += hidden * (white - mixed)
    mixed += rng.normal(0.0, NOISE, mixed.shape).astype(np.float32)
    return np.asarray(np.clip(mixed, 0.0, _LARGEST), np.float32)
