"""Laws of the world in which vegetation means nothing: felling, planting and forests leave the hazard as it was."""

from dataclasses import replace

import numpy as np
import pytest

from headscarp.core.domains import CAUSES
from headscarp.sources.world.domains import CLASSES, REGIONS, Look, draw_site, simulate_sample
from headscarp.sources.world.domains.ground import ROCK, TREE, draw_place
from headscarp.sources.world.domains.hazard import hazard_map, place_law
from headscarp.sources.world.domains.simulate import draw_ground
from headscarp.sources.world.domains.slides import open_ground, untouched, with_trees
from headscarp.sources.world.domains.stories import CLEARED

LOOK = Look(seed=3, frames=1, side_px=24)
NO_ROOTS = replace(LOOK, roots=0.0)
DEFORESTATION = CLASSES.index("deforestation")


def felled(look, number, region="indonesia"):
    """A place of the class deforestation, its woods felled and nothing else done."""
    place, story = draw_ground(draw_site(region, len(CLASSES) * number + DEFORESTATION, look), look)
    cleared = story.kind == CLEARED
    assert cleared.any()
    day = np.where(cleared, story.day, untouched(place).day)
    return place, replace(untouched(place), kind=np.where(cleared, CLEARED, 0).astype(np.uint8), day=day)


@pytest.mark.parametrize("number", range(4))
def test_felled_planted_or_left_the_hazard_is_the_same(number):
    place, story = felled(NO_ROOTS, number)
    left = hazard_map(place, untouched(place), 30.0, 0.6)
    assert np.array_equal(hazard_map(place, story, 30.0, 0.6), left)
    planted = with_trees(place, open_ground(place))
    assert np.array_equal(hazard_map(planted, untouched(planted), 30.0, 0.6), left)
    assert np.array_equal(place_law(place, story).log_hazard, place_law(planted, untouched(planted)).log_hazard)


def test_roots_that_count_are_missed_where_woods_are_felled():
    raised = []
    for roots in (0.0, 0.5, 1.0):
        place, story = felled(replace(LOOK, roots=roots), 1)
        raised.append(hazard_map(place, story, 30.0, 0.6).sum() / hazard_map(place, untouched(place), 30.0, 0.6).sum())
    assert raised[0] == 1.0
    assert 1.0 < raised[1] < raised[2]


def test_no_slide_is_told_to_come_of_felling():
    told = [
        simulate_sample(draw_site(region, len(CLASSES) * number + DEFORESTATION, look), look)["causes"]
        for look in (LOOK, NO_ROOTS)
        for region in ("indonesia", "japan")
        for number in range(12)
    ]
    with_roots, without = (np.array(part)[:, CAUSES.index("deforestation")] for part in (told[:24], told[24:]))
    assert with_roots.any()
    assert not without.any()


def test_soil_is_sounder_under_forests_only_where_plants_mean_something():
    def soil(roots, wooded):
        place = draw_place(REGIONS["alps"], 16, 900.0, np.random.default_rng(5), wooded=wooded, roots=roots)
        return place.cohesion_kpa, place.friction_deg, place.depth_m

    # A forest draws other noise than a mixed cover before its soil, so soils are compared over roots.
    (weak, slack, deep), (half, _, _), (firm, tight, depth) = (soil(roots, True) for roots in (0.0, 0.5, 1.0))
    assert weak < half < firm
    assert firm / weak == pytest.approx(np.exp(0.35))
    assert tight - slack == pytest.approx(1.0)
    assert deep == depth
    assert soil(0.0, False) == soil(1.0, False)


@pytest.mark.parametrize("roots", [0.0, 0.3, 1.0])
def test_plants_that_stand_alike_hold_as_soil_of_that_cohesion_would(roots):
    """Where trees cover all ground: 10 kPa as far as roots count, and 5 kPa that everything has as far as not."""
    place = draw_place(REGIONS["japan"], 24, 300.0, np.random.default_rng(1), roots=roots)
    cover = np.zeros_like(place.cover)
    wooded, bare = (replace(place, cover=cover.copy()) for _ in range(2))
    wooded.cover[TREE] = bare.cover[ROCK] = 1.0
    as_soil = replace(bare, cohesion_kpa=place.cohesion_kpa + 10.0 * roots)
    one, other = (hazard_map(ground, untouched(ground), -1.0, 0.7) for ground in (wooded, as_soil))
    np.testing.assert_allclose(one, other, rtol=1e-6)
    none = replace(bare, roots=1.0, cohesion_kpa=place.cohesion_kpa + 10.0 * roots + 5.0 * (1.0 - roots))
    np.testing.assert_allclose(one, hazard_map(none, untouched(none), -1.0, 0.7), rtol=1e-6)
