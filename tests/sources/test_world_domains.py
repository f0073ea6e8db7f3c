"""Laws of the simulated domains: the same seed the same place, events that keep to the law, a past without future."""

from dataclasses import replace

import numpy as np
import pytest

from headscarp.core.domains import CAUSES, HORIZONS_DAYS, REFLECTANCE, SENSORS, SERIES_DAYS
from headscarp.core.errors import RecipeError
from headscarp.sources.world.domains import CLASSES, REGIONS, Look, draw_site, simulate_sample
from headscarp.sources.world.domains.frames import Setting, draw_clouds, see_landsat, shares_on
from headscarp.sources.world.domains.hazard import chance_within, hazard_map, known_law, place_law
from headscarp.sources.world.domains.simulate import draw_ground, past_days
from headscarp.sources.world.domains.stories import CLEARED, NEVER
from headscarp.sources.world.domains.weather import simulate_days

LOOK = Look(seed=3, frames=4, side_px=24)
AFTER = ("landslide", "event_days", "causes", "law_of_weather")
HEAVY_MM = 60.0  # in three days


def samples(region: str, count: int, look: Look = LOOK) -> list[tuple]:
    sites = [draw_site(region, number, look) for number in range(count)]
    return [(site, simulate_sample(site, look)) for site in sites]


def laws(count: int) -> tuple[np.ndarray, np.ndarray, list]:
    """Law (n, horizons), event days (n,), and site, past rain and story of places of all regions; no pixel is made."""
    law, event, told = [], [], []
    for region in REGIONS:
        for number in range(count):
            sample = bare_sample(region, number)
            law.append(sample["law"])
            event.append(sample["event_days"])
            told.append(sample)
    return np.array(law), np.array(event), told


def bare_sample(region: str, number: int) -> dict:
    """A sample with one frame of few cells, which is nearly as cheap as none."""
    look = replace(LOOK, frames=1, side_px=16)
    site = draw_site(region, number, look)
    return {"site": site, **simulate_sample(site, look)}


@pytest.fixture(scope="module")
def many() -> tuple[np.ndarray, np.ndarray, list]:
    return laws(120)


def same(one: dict, two: dict) -> bool:
    return one.keys() == two.keys() and all(
        np.array_equal(one[k], two[k], equal_nan=one[k].dtype.kind == "f") for k in one
    )


def test_the_same_seed_gives_the_same_sample_in_any_order():
    sites = [draw_site("india", number, LOOK) for number in range(4)]
    forward = [simulate_sample(site, LOOK) for site in sites]
    backward = [simulate_sample(site, LOOK) for site in reversed(sites)][::-1]
    assert all(same(one, two) for one, two in zip(forward, backward, strict=True))
    other = replace(LOOK, seed=4)
    assert not same(forward[0], simulate_sample(draw_site("india", 0, other), other))


def test_another_future_changes_nothing_before_the_cut_off():
    changed = 0
    for number in range(14):
        site = draw_site("japan", number, LOOK)
        one, two = simulate_sample(site, LOOK), simulate_sample(site, replace(LOOK, future=1))
        for name in one:
            if name not in AFTER:
                np.testing.assert_array_equal(one[name], two[name], err_msg=name)
        changed += one["event_days"] != two["event_days"]
    assert changed


def test_frames_stand_before_the_cut_off_and_say_what_they_are():
    for site, sample in samples("alps", 14):
        there = sample["sensor"] > 0
        assert (sample["days"][there] < 0).all(), site.id
        assert (np.diff(sample["days"][there]) >= 0).all(), site.id
        for slot in np.flatnonzero(there):
            landsat = SENSORS[sample["sensor"][slot] - 1] == "landsat"
            assert np.isfinite(sample["red"][slot]).all() == landsat
            assert np.isfinite(sample["vv"][slot]).any() != landsat
            assert (sample["cloud"][slot] > 0).all() == landsat
        assert sample["rain_mm_per_day"].shape == (SERIES_DAYS,)
        assert sample["soil_moisture"].min() >= 0.1
        assert sample["soil_moisture"].max() <= 0.46


def test_where_there_is_no_cloud_the_ground_looks_as_without_clouds():
    compared = 0
    for number in range(7):
        site = draw_site("indonesia", number, LOOK)
        place, story = draw_ground(site, LOOK)
        setting = Setting(REGIONS["indonesia"], place, story, site.latitude, site.longitude, (1, 2, number))
        moment = np.datetime64(site.cutoff, "s").astype(object).replace(hour=3)
        water = np.full(30, 0.3, np.float32)
        under = see_landsat(setting, -5.0, moment, water)
        clear = see_landsat(replace(setting, cloudiness=0.0), -5.0, moment, water)
        free = under.reflectance == clear.reflectance
        hidden = ~np.isin(under.quality, (1, 4, 5))
        assert clear.cloud_share == 0.0
        assert np.abs(under.reflectance - clear.reflectance)[:, hidden].max(initial=1.0) > 0.02
        compared += int(free.all(axis=0).sum())
    assert compared > 200


def test_a_sky_without_cover_is_empty_and_a_full_one_hides_all():
    sun = (40.0, 150.0)
    empty = draw_clouds((20, 20), 0.0, sun, np.random.default_rng(0))
    np.testing.assert_array_equal(empty, np.stack([np.zeros((20, 20)), np.zeros((20, 20)), np.ones((20, 20))]))
    full = draw_clouds((20, 20), 1.0, sun, np.random.default_rng(0))
    assert full[0].min() >= 0.3


def test_ndvi_falls_where_forest_is_felled():
    falls = []
    for number in (2, 9, 16, 23):  # deforestation
        site = draw_site("indonesia", number, LOOK)
        assert site.name == "deforestation"
        place, story = draw_ground(site, LOOK)
        setting = Setting(REGIONS["indonesia"], place, story, site.latitude, site.longitude, (1, 2, 3), cloudiness=0.0)
        felled = (story.kind == CLEARED) & (place.slope_deg > 14.0) & (story.day < 0.0)
        moment, water = np.datetime64(site.cutoff, "s").astype(object).replace(hour=3), np.full(30, 0.3, np.float32)
        when = float(story.day[felled].max())
        cell = felled & (story.day == when)
        falls.append(ndvi(see_landsat(setting, when - 3.0, moment, water).reflectance)[cell].mean())
        falls[-1] -= ndvi(see_landsat(setting, when + 3.0, moment, water).reflectance)[cell].mean()
    assert min(falls) > 0.2


def ndvi(reflectance: np.ndarray) -> np.ndarray:
    red, nir = reflectance[REFLECTANCE.index("red")], reflectance[REFLECTANCE.index("nir")]
    return (nir - red) / (nir + red)


@pytest.mark.parametrize("cause", [cause for cause in CAUSES if cause != "rain"])
def test_each_process_raises_the_hazard(cause):
    raised = []
    for number in range(CLASSES.index(cause), 42, len(CLASSES)):
        place, story = draw_ground(draw_site("andes", number, LOOK), LOOK)
        there = hazard_map(place, story, 1.0, 0.4).sum()
        raised.append(there / hazard_map(place, story, 1.0, 0.4, without=cause).sum())
    assert min(raised) >= 1.0
    assert np.mean(raised) > 1.3


def test_water_raises_the_hazard_everywhere():
    place, story = draw_ground(draw_site("china", 3, LOOK), LOOK)
    dry, wet = (hazard_map(place, story, 1.0, pressure) for pressure in (0.0, 0.9))
    assert (wet >= dry).all()
    assert wet.sum() > 5.0 * dry.sum()
    without = hazard_map(place, story, 1.0, 0.9, without="rain")
    assert without.sum() < 0.5 * wet.sum()


def test_the_law_knows_more_than_a_constant_and_events_keep_to_it(many):
    law, event, _ = many
    for column, horizon in enumerate(HORIZONS_DAYS):
        p, y = law[:, column].astype(np.float64), event <= horizon
        p = np.clip(p, 1e-7, 1 - 1e-7)
        assert log_loss(p, y) < log_loss(np.full(len(y), y.mean()), y)
        # Pearson's statistic of groups of like probability; of 8 groups it exceeds 26 once in a thousand.
        order = np.array_split(np.argsort(p), 8)
        groups = [g for g in order if p[g].sum() > 1.0]
        chi = sum((y[g].sum() - p[g].sum()) ** 2 / (p[g] * (1 - p[g])).sum() for g in groups)
        assert chi < 26.1, f"{horizon} days: {chi:.1f}"
    assert (np.diff(law, axis=1) >= 0).all()


def log_loss(p: np.ndarray, y: np.ndarray) -> float:
    return float(-np.where(y, np.log(p), np.log1p(-p)).mean())


def test_the_law_is_the_mean_over_futures():
    site = draw_site("india", 1, LOOK)
    place, story = draw_ground(site, LOOK)
    law, state = place_law(place, story), tuple(past_days(site, LOOK).states[0, -1].tolist())
    day = site.cutoff.timetuple().tm_yday
    draws = [simulate_days(REGIONS["india"], day, 180, state, np.random.default_rng(k), series=400) for k in (0, 1)]
    one, two = (known_law(law, futures) for futures in draws)
    np.testing.assert_allclose(one, two, rtol=0.25, atol=0.01)
    assert chance_within(np.zeros((2, 180))).max() == 0.0


@pytest.mark.parametrize("region", REGIONS)
def test_storms_pass_without_slides_and_clearings_hold_in_every_region(many, region):
    here = [told for told in many[2] if told["site"].region == region]
    held = [told for told in here if not np.isfinite(told["event_days"])]
    stormy = [told for told in held if told["rain_mm_per_day"][-3:].sum() > HEAVY_MM]
    cleared = [told for told in held if told["site"].name == "deforestation"]
    assert len(stormy) >= 5
    assert len(cleared) >= 5
    slid = [told for told in here if np.isfinite(told["event_days"])]
    assert 0.1 < len(slid) / len(here) < 0.6
    assert all(told["causes"].sum() >= 1 and told["landslide"].any() for told in slid)
    assert not any(told["causes"].any() or told["landslide"].any() for told in held)
    assert {int(k) for told in here for k in np.flatnonzero(told["causes"])} == set(range(len(CAUSES)))


def test_thriving_forest_rarely_slides(many):
    law, _, told = many
    thriving = np.array([sample["thriving"] == 1 for sample in told])
    assert law[thriving, -1].mean() < 0.1 * law[~thriving, -1].mean()


def test_rain_falls_as_the_region_says():
    for region in REGIONS.values():
        days = simulate_days(region, 1, 3650, (0.0, 0.0, 0.0, 0.2), np.random.default_rng(0), series=3)
        assert days.rain_mm_per_day.mean() * 365.25 == pytest.approx(region.rain_mm, rel=0.25), region.name
        spring = (np.arange(3650) - region.wet_day + 45) % 365.25 < 90
        if region.swing > 0.5:
            dry = (np.arange(3650) - region.wet_day + 228) % 365.25 < 90
            assert days.rain_mm_per_day[:, spring].mean() > 2.0 * days.rain_mm_per_day[:, dry].mean()


def test_works_do_not_show_before_their_day():
    shown = 0
    for number in range(4, 42, 7):  # mining: pits that grow on after the cut-off
        site = draw_site("america", number, LOOK)
        place, story = draw_ground(site, LOOK)
        later = (story.day > 0.0) & (story.kind > 0)
        without = replace(story, kind=np.where(later, 0, story.kind), day=np.where(later, NEVER, story.day))
        moment, water = np.datetime64(site.cutoff, "s").astype(object), np.full(30, 0.3, np.float32)
        setting = Setting(REGIONS["america"], place, story, site.latitude, site.longitude, (1, 2, 3))
        seen = shares_on(setting, -1.0, moment, water)
        np.testing.assert_array_equal(seen, shares_on(replace(setting, story=without), -1.0, moment, water))
        np.testing.assert_allclose(seen.sum(axis=0), 1.0, atol=1e-4)
        shown += int(later.sum())
    assert shown


def test_an_unknown_region_is_refused():
    with pytest.raises(RecipeError, match="atlantis"):
        draw_site("atlantis", 0, LOOK)
