"""Simulated domains: places with frames of two sensors, weather, a story and the event that may come of it.

Everything of a place follows from its region, its number and the seed. Past and future draw from generators of their
own: another future leaves every frame and every day before the cut-off as it was. Nothing here is a real place.
"""

import zlib
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headscarp.core.domains import BACKSCATTER, CLOUD, FRAME_FACTS, REFLECTANCE, SENSORS, SERIES_DAYS, TRACE
from headscarp.core.errors import RecipeError
from headscarp.sources.world.domains.frames import Setting, moment_of, see_landsat, see_sentinel1
from headscarp.sources.world.domains.ground import Place, draw_place
from headscarp.sources.world.domains.hazard import HORIZON_DAYS, draw_event, known_law, place_law
from headscarp.sources.world.domains.regions import REGIONS, Region
from headscarp.sources.world.domains.stories import CLASSES, Story, draw_story, traces_at_cutoff
from headscarp.sources.world.domains.weather import DRY, Days, simulate_days

FUTURES = 64
"""Futures whose mean is the law that can be known at the cut-off."""
HISTORY_DAYS = 480
"""Frames are at most this old."""
_LANDSAT_EVERY, _RADAR_EVERY = 8, 12
LANDSAT_UTC, _RADAR_UTC = 10.2, 18.0  # local solar time; turned into UTC by longitude
_CHOICE_DAYS = 60
BEFORE_DAYS = HISTORY_DAYS + 120  # the first months let the soil forget how wet it began
_ALIKE = {10: 0.8, 30: 0.5}
"""Share of the rain of a place that falls alike at so many kilometres; the series `rain_10km` and `rain_30km`."""
_FADE_DAYS = 160.0
_ONE_SENSOR, _SHORT = 0.1, 0.25

Arrays = dict[str, Any]
Passes = list[tuple[int, int]]


@dataclass(frozen=True)
class Site:
    """What is known of a simulated sample before any pixel is made. name: of CLASSES. begins: first day of its weather;
    cutoff: midnight UTC of that day; what comes before it counts as seen."""

    region: str
    number: int
    name: str
    begins: date
    cutoff: date
    latitude: float
    longitude: float
    elevation_m: float

    @property
    def id(self) -> str:
        return f"{self.region}-{self.number:05d}"


@dataclass(frozen=True)
class Look:
    """How samples are made: seed, frames (slots), side_px, years of the cut-off (first, last). cloudiness: factor on
    the clouds of each region. future: which of the endless futures comes true. roots: as in `Place`.
    slides: whether rain in scenarios starts slides by the law, which run (`slides`), instead of patches. series: slots
    of past frames that scenarios begin with; 0: one clear picture."""

    seed: int = 0
    frames: int = 12
    side_px: int = 64
    years: tuple[int, int] = (2015, 2022)
    cloudiness: float = 1.0
    future: int = 0
    roots: float = 1.0
    slides: bool = False
    series: int = 0


def draw_site(region: str, number: int, look: Look) -> Site:
    """Where and when a sample is, and what it is simulated as: the classes take turns. Raises RecipeError.

    In every second round of the classes the cut-off is the morning after the two heaviest days of two months, so that
    hours that matter are not rare. What comes after is drawn anew and knows nothing of that choice.
    """
    if region not in REGIONS:
        raise RecipeError(f"there is no simulated region {region!r}; there are {', '.join(REGIONS)}")
    climate, rng = REGIONS[region], _rng(region, number, look, 0)
    first, last = date(look.years[0], 1, 1), date(look.years[1], 12, 31) - timedelta(days=_CHOICE_DAYS)
    begins = first + timedelta(days=int(rng.integers((last - first).days + 1)) - BEFORE_DAYS)
    site = Site(
        region,
        number,
        CLASSES[number % len(CLASSES)],
        begins,
        begins + timedelta(days=BEFORE_DAYS),
        float(rng.uniform(*climate.latitude)),
        float(rng.uniform(*climate.longitude)),
        float(rng.uniform(*climate.elevation_m)),
    )
    if (number // len(CLASSES)) % 2:
        return site
    rain = past_days(replace(site, cutoff=site.cutoff + timedelta(days=_CHOICE_DAYS)), look).rain_mm_per_day[0]
    two_days = rain[BEFORE_DAYS:] + rain[BEFORE_DAYS - 1 : -1]
    return replace(site, cutoff=site.cutoff + timedelta(days=int(np.argmax(two_days)) + 1))


def simulate_sample(site: Site, look: Look) -> Arrays:
    """All that a stack of domains holds of one sample, by variable, without the dimension `sample`.

    Raises RecipeError.
    """
    region = REGIONS[site.region]
    place, story = draw_ground(site, look)
    past, law = past_days(site, look), place_law(place, story)
    start, (wet, left, heavy, water) = site.cutoff.timetuple().tm_yday, past.states[0, -1].tolist()
    state = (wet, left, heavy, water)
    futures = simulate_days(region, start, HORIZON_DAYS, state, _rng(site.region, site.number, look, 4), series=FUTURES)
    coming = np.random.default_rng([*sample_seed(site.region, site.number, look), 5, look.future])
    weather = simulate_days(region, start, HORIZON_DAYS, state, coming)
    event = draw_event(law, place, story, weather, coming)
    rain = past.rain_mm_per_day[0, -SERIES_DAYS:]
    return {
        **see_frames(site, look, draw_passes(site, look), place, story, past.soil_moisture[0]),
        "elevation": place.elevation_m,
        "slope": place.slope_deg,
        "landslide": event.slid.astype(np.uint8),
        **{TRACE + name: shares for name, shares in traces_at_cutoff(story).items()},
        "rain_mm_per_day": rain,
        "soil_moisture": past.soil_moisture[0, -SERIES_DAYS:],
        **_rain_beside(site, look, region, rain),
        "event_days": np.float32(event.days),
        "causes": event.causes,
        "thriving": np.uint8(site.name == "thriving"),
        "law": known_law(law, futures),
        "law_of_weather": event.of_weather,
    }


def draw_ground(site: Site, look: Look) -> tuple[Place, Story]:
    """The place of a site and its story."""
    rng = _rng(site.region, site.number, look, 1)
    region, wooded = REGIONS[site.region], site.name == "thriving"
    place = draw_place(region, look.side_px, site.elevation_m, rng, wooded=wooded, roots=look.roots)
    return place, draw_story(site.name, place, _rng(site.region, site.number, look, 2))


def past_days(site: Site, look: Look) -> Days:
    """The weather of a site from where it begins up to the day before its cut-off."""
    count, first = (site.cutoff - site.begins).days, site.begins.timetuple().tm_yday
    return simulate_days(REGIONS[site.region], first, count, DRY, _rng(site.region, site.number, look, 3))


def see_frames(
    site: Site, look: Look, passes: Passes, place: Place, story: Story, moisture: NDArray[np.float32]
) -> Arrays:
    """The bands of all slots and what is told of each frame. moisture: (days,) up to the cut-off."""
    shape = (look.frames, look.side_px, look.side_px)
    seed = sample_seed(site.region, site.number, look)
    setting = Setting(REGIONS[site.region], place, story, site.latitude, site.longitude, seed, look.cloudiness)
    reflectance = np.full((6, *shape), np.nan, np.float32)
    echoes = np.full((2, *shape), np.nan, np.float32)
    quality = np.zeros(shape, np.uint8)
    facts = {name: np.full(look.frames, np.nan, np.float32) for name in FRAME_FACTS if name != "sensor"}
    sensor = np.zeros(look.frames, np.uint8)
    midnight = datetime(site.cutoff.year, site.cutoff.month, site.cutoff.day)
    for slot, (day, which) in enumerate(passes):
        hour = (LANDSAT_UTC if which == 1 else _RADAR_UTC) - site.longitude / 15.0
        moment = moment_of(midnight, float(day), hour % 24.0)
        before = moisture_before(moisture, day)
        facts["days"][slot], sensor[slot] = day, which
        if SENSORS[which - 1] == "sentinel1":
            echoes[:, slot] = see_sentinel1(setting, float(day), moment, before)
            facts["cloud_share"][slot] = 0.0
            continue
        seen = see_landsat(setting, float(day), moment, before)
        reflectance[:, slot], quality[slot] = seen.reflectance, seen.quality
        facts["sun_elevation"][slot], facts["sun_azimuth"][slot] = seen.sun
        facts["cloud_share"][slot] = seen.cloud_share
    bands = dict(zip((*REFLECTANCE, *BACKSCATTER), (*reflectance, *echoes), strict=True))
    return {**bands, CLOUD: quality, **facts, "sensor": sensor}


def moisture_before(moisture: NDArray[np.float32], day: int) -> NDArray[np.float32]:
    """(30,) of the days up to a frame. moisture: (days,) up to the cut-off. day: from it, below 0."""
    return moisture[len(moisture) + day - 29 : len(moisture) + day + 1]


def draw_passes(site: Site, look: Look, *, radar: bool = True) -> Passes:
    """Day from the cut-off (< 0) and sensor of each frame, oldest first: those of two orbits, the later the likelier.

    Some places have one sensor only, and some fewer frames than there are slots. Without radar all are of Landsat.
    """
    rng = _rng(site.region, site.number, look, 7)
    days = [(-int(day), 1) for day in np.arange(1 + rng.integers(_LANDSAT_EVERY), HISTORY_DAYS, _LANDSAT_EVERY)]
    echoes = [(-int(day), 2) for day in np.arange(1 + rng.integers(_RADAR_EVERY), HISTORY_DAYS, _RADAR_EVERY)]
    one = rng.random()
    found = days if one < _ONE_SENSOR or not radar else echoes if one < 2 * _ONE_SENSOR else days + echoes
    count = int(rng.integers(1, look.frames + 1)) if rng.random() < _SHORT else look.frames
    weight = np.exp(np.array([day for day, _ in found]) / _FADE_DAYS)
    chosen = rng.choice(len(found), min(count, len(found)), replace=False, p=weight / weight.sum())
    return sorted(found[k] for k in chosen)


def _rain_beside(site: Site, look: Look, region: Region, rain: NDArray[np.float32]) -> Arrays:
    """The rain told from some distance: part of what fell here, part of what the same climate let fall elsewhere."""
    first = (site.cutoff - timedelta(days=SERIES_DAYS)).timetuple().tm_yday
    rng = _rng(site.region, site.number, look, 6)
    other = simulate_days(region, first, SERIES_DAYS, DRY, rng, series=len(_ALIKE)).rain_mm_per_day
    return {
        f"rain_{km}km": (share * rain + (1.0 - share) * beside).astype(np.float32)
        for (km, share), beside in zip(_ALIKE.items(), other, strict=True)
    }


def sample_seed(region: str, number: int, look: Look) -> tuple[int, ...]:
    """What everything random of a sample begins with."""
    return look.seed, zlib.crc32(region.encode()), number


def _rng(region: str, number: int, look: Look, stream: int) -> np.random.Generator:
    return np.random.default_rng([*sample_seed(region, number, look), stream])
