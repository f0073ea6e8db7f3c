"""Simulated clouds, their shadows, and how quality bands say so, right and wrong.

Clouds are fractal noise above a level that gives the cover; shadows are thrown where the sun throws them. The bits of
QA_PIXEL are those of Landsat 8-9 Collection 2 (USGS LSDS-1619, table 6-3); classes of SCL are Sentinel-2's (ESA,
Sen2Cor). As in real masks thin cloud below the threshold stays unflagged, and cirrus has a bit of its own.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, shift

from headscarp.sources.world.relief import fractal_noise

CLOUD_HEIGHT_M = 1_400.0
FLAGGED = 0.3
"""Share of the light that a cloud has to hide before a mask notices it."""

SOFT = 0.18
"""How far, in deviations of the noise, a cloud takes from nothing to full thickness."""
SHADOW = 0.75
"""Share of the direct light that the thickest cloud takes."""

_DILATED_M = 90.0
_LOWEST_SUN_DEG = 10.0
_LOW, _HIGH = 1, 3

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Sky:
    """thickness: (y, x) share of the light that cloud hides, [0, 1]; cirrus: the same of thin high cloud; shade:
    share of the sunlight that arrives, (0, 1]."""

    thickness: NDArray[np.float32]
    cirrus: NDArray[np.float32]
    shade: NDArray[np.float32]

    @property
    def cloud(self) -> Mask:
        """(y, x) where a mask flags cloud."""
        return self.thickness > FLAGGED

    @property
    def shadow(self) -> Mask:
        """(y, x) where a mask flags the shadow of a cloud: not under clouds."""
        return (self.shade < 1.0 - FLAGGED * SHADOW) & ~self.cloud


def simulate_sky(
    shape: tuple[int, int], cell_m: float, cover: float, sun: tuple[float, float], rng: np.random.Generator
) -> Sky:
    """Clouds over a grid that runs south and east. cover: share of the ground that is clouded, [0, 1]; sun: elevation
    and azimuth in degrees."""
    away = CLOUD_HEIGHT_M / np.tan(np.radians(max(sun[0], _LOWEST_SUN_DEG))) / cell_m
    pad = int(np.ceil(away))
    padded = (shape[0] + 2 * pad, shape[1] + 2 * pad)
    noise, veil = fractal_noise(padded, rng, 1.5), fractal_noise(shape, rng, 1.9)
    inside = (slice(pad, pad + shape[0]), slice(pad, pad + shape[1]))
    if cover <= 0.0:
        thick = np.zeros(padded)
    else:
        level = float(np.quantile(noise[inside], 1.0 - min(cover, 1.0)))
        thick = np.clip((noise - level) / SOFT + FLAGGED, 0.0, 1.0)
    turn = np.radians(sun[1])
    # Shadows lie on the side away from the sun; rows count southwards.
    thrown = shift(thick, (away * np.cos(turn), -away * np.sin(turn)), order=1, mode="nearest")
    cirrus = np.clip((veil - 1.4) * 0.15, 0.0, 0.2) * (cover > 0.1)
    shade = 1.0 - SHADOW * np.clip(thrown[inside], 0.0, 1.0)
    return Sky(thick[inside].astype(np.float32), cirrus.astype(np.float32), shade.astype(np.float32))


def qa_pixel(sky: Sky, water: Mask, fill: Mask, cell_m: float) -> NDArray[np.uint16]:
    """The bits that a scene of Landsat 8-9 Collection 2 would have, (y, x).

    0 fill, 1 dilated cloud, 2 cirrus, 3 cloud, 4 cloud shadow, 5 snow (never here), 6 clear (neither cloud nor dilated
    cloud), 7 water; 8-9, 10-11, 12-13, 14-15 the confidence of cloud, shadow, snow and cirrus: 1 low, 3 high. Fill is
    1 and nothing else.
    """
    cloud, shadow, cirrus = sky.cloud & ~fill, sky.shadow & ~fill, (sky.cirrus > 0.02) & ~fill
    dilated = binary_dilation(cloud, iterations=max(1, round(_DILATED_M / cell_m))) & ~cloud
    bits = np.zeros(fill.shape, np.uint16)
    for bit, flag in ((1, dilated), (2, cirrus), (3, cloud), (4, shadow), (6, ~(cloud | dilated)), (7, water)):
        bits |= flag.astype(np.uint16) << np.uint16(bit)
    for bit, flag in ((8, cloud), (10, shadow), (12, np.zeros_like(cloud)), (14, cirrus)):
        bits |= np.where(flag, _HIGH, _LOW).astype(np.uint16) << np.uint16(bit)
    bits[fill] = 1
    return bits


def scene_classes(sky: Sky, green: Mask, water: Mask, fill: Mask) -> NDArray[np.uint8]:
    """Sentinel-2's scene classification, (y, x): 0 no data, 3 shadow, 4 vegetation, 5 bare, 6 water, 8 and 9 cloud of
    medium and high probability, 10 thin cirrus."""
    classes = np.where(green, 4, 5).astype(np.uint8)
    classes[water] = 6
    classes[sky.cirrus > 0.02] = 10
    classes[sky.shadow] = 3
    classes[sky.cloud] = 8
    classes[sky.thickness > 0.7] = 9
    classes[fill] = 0
    return classes
