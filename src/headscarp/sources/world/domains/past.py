"""Past frames of a place of scenarios, under clouds, and what their newest clear values would look like after a task.

Frames are those of simulated domains, of Landsat alone. Each pixel is seen again under the sun, moisture, haze and
noise of the frame that its newest clear value is of, so before and after differ where the task was done and nowhere
else. Where no frame shows the ground, nobody knows what it looks like: NaN. Nothing here is a real place.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from headscarp.core.band import Band
from headscarp.core.domains import CLOUD, CLOUD_CLASSES, REFLECTANCE
from headscarp.imagery.clouds import clear_looks, hide
from headscarp.imagery.composites import latest_look
from headscarp.sources.world.domains.frames import Setting, moment_of, see_landsat
from headscarp.sources.world.domains.ground import Place
from headscarp.sources.world.domains.regions import REGIONS
from headscarp.sources.world.domains.simulate import (
    LANDSAT_UTC,
    Arrays,
    Look,
    Site,
    draw_passes,
    moisture_before,
    past_days,
    sample_seed,
    see_frames,
)
from headscarp.sources.world.domains.slides import untouched
from headscarp.sources.world.domains.stories import Story

_QUALITY = Band(CLOUD, "categorical", classes=CLOUD_CLASSES)
_KEPT_PLACES = 8

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Past:
    """arrays: bands (slots, y, x) and facts (slots,) of the frames. days: of the slots that hold one, from the cut-off.
    newest: (y, x) the slot of each pixel's newest clear value, -1 where there is none. moisture: (days,) up to the
    cut-off."""

    arrays: Arrays
    days: tuple[int, ...]
    newest: NDArray[np.int16]
    moisture: Floats


@lru_cache(maxsize=_KEPT_PLACES)  # the samples of a place follow each other
def past_frames(site: Site, look: Look, ground: Callable[[Site, Look], Place]) -> Past:
    """The frames of a place to which nothing was done. ground: what draws the place."""
    place, moisture = ground(site, look), past_days(site, look).soil_moisture[0]
    passes = draw_passes(site, look, radar=False)
    arrays = see_frames(site, look, passes, place, untouched(place), moisture)
    bands = np.stack([arrays[name] for name in REFLECTANCE], axis=1)  # (slots, 6, y, x)
    shown = hide(bands, clear_looks(arrays[CLOUD], _QUALITY))
    arrays = {name: array for name, array in arrays.items() if name not in ("vv", "vh")}
    return Past(arrays, tuple(day for day, _ in passes), latest_look(shown, threads=1), moisture)


def seen_again(
    past: Past,
    site: Site,
    look: Look,
    place: Place,
    story_on: Callable[[float], Story],
    *,
    seed: tuple[int, ...] | None = None,
    moisture: float | None = None,
) -> Floats:
    """(6, y, x) the newest clear values as they would be of another place and story; NaN where there is none.

    story_on: of the day of a frame. seed, moisture: of other clouds, noise and soil; None: those of the frames.
    """
    other = seed is not None
    seed = seed or sample_seed(site.region, site.number, look)
    midnight = datetime(site.cutoff.year, site.cutoff.month, site.cutoff.day)
    made = np.full((len(REFLECTANCE), *place.shape), np.nan, np.float32)
    for slot in np.unique(past.newest[past.newest >= 0]).tolist():
        day = past.days[slot]
        moment = moment_of(midnight, float(day), (LANDSAT_UTC - site.longitude / 15.0) % 24.0)
        before = moisture_before(past.moisture, day) if moisture is None else np.full(30, moisture, np.float32)
        setting = Setting(
            REGIONS[site.region], place, story_on(day), site.latitude, site.longitude, seed,
            0.0 if other else look.cloudiness,
        )  # fmt: skip
        seen = see_landsat(setting, float(day), moment, before).reflectance
        here = past.newest == slot
        made[:, here] = seen[:, here]
    return made
