"""Laws of infinite slopes with unknown soil: steps where all is known, agreement with plain draws, what roots do."""

import numpy as np
import pytest

from headscarp.core.errors import GridError, RecipeError
from headscarp.terrain.roots import root_cohesion_kpa, root_growth
from headscarp.terrain.stability import WATER_KN_PER_M3, Soil, failure_probability, safety_factor

KNOWN = Soil((2.0,) * 3, (32.0,) * 3, (1.2,) * 3, (40.0,) * 3, (0.05,) * 3)
SLOPES = np.linspace(1.0, 60.0, 60, dtype=np.float32)[None]


def test_a_known_soil_fails_exactly_where_its_factor_of_safety_is_below_one():
    for area in (5.0, 50.0, 500.0):
        factor = safety_factor(SLOPES, area, KNOWN)
        clear = np.abs(factor - 1) > 1e-4
        assert np.array_equal(failure_probability(SLOPES, area, KNOWN)[clear], (factor < 1).astype(np.float32)[clear])


def test_dry_sand_stands_up_to_its_angle_of_friction():
    sand = Soil((0.0,) * 3, (32.0,) * 3, (1.0,) * 3, (40.0,) * 3, (0.0,) * 3)
    found = failure_probability(SLOPES, 1000.0, sand)
    assert found[SLOPES < 31.9].max() == 0
    assert found[SLOPES > 32.1].min() == 1


def test_the_share_of_the_draws_is_that_of_plain_draws():
    rng, soil, n = np.random.default_rng(0), Soil(), 200_000
    c, phi, z, t = (
        rng.triangular(*getattr(soil, name), n)
        for name in ("cohesion_kpa", "friction_deg", "depth_m", "transmissivity_m2_per_day")
    )
    r = rng.uniform(soil.recharge_m_per_day[0], soil.recharge_m_per_day[2], n)
    for slope, area in ((28.0, 20.0), (35.0, 60.0), (42.0, 10.0)):
        s = np.radians(slope)
        wet = np.minimum(1.0, r * area / (t * np.sin(s)))
        friction = (soil.weight_kn_per_m3 - wet * WATER_KN_PER_M3) * z * np.cos(s) ** 2 * np.tan(np.radians(phi))
        plain = ((c + friction) / (soil.weight_kn_per_m3 * z * np.sin(s) * np.cos(s)) < 1).mean()
        cells = np.full((20, 50), slope, np.float32)
        found = failure_probability(cells, area, draws=250).mean()
        assert found == pytest.approx(plain, abs=0.01)


def test_neither_threads_nor_where_a_strip_begins_changes_a_cell():
    rng = np.random.default_rng(1)
    slope = rng.uniform(10, 50, (150, 37)).astype(np.float32)
    area = rng.lognormal(3, 1, slope.shape).astype(np.float32)
    one, two = (failure_probability(slope, area, threads=n, seed=4) for n in (1, 2))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, failure_probability(slope, area, seed=5))


def test_roots_only_help_and_not_below_their_depth():
    slope = np.tile(SLOPES, (4, 1))
    bare, rooted, shallow = (
        failure_probability(slope, 30.0, roots_kpa=kpa, root_depth_m=depth)
        for kpa, depth in ((0.0, 1.5), (8.0, 1.5), (8.0, 0.0))
    )
    assert (rooted <= bare).all()
    assert rooted.sum() < 0.9 * bare.sum()
    assert np.array_equal(shallow, bare)  # every draw is deeper than no depth at all


def test_missing_cells_stay_missing_and_senseless_soil_is_refused():
    slope = np.array([[np.nan, 30.0]], np.float32)
    found = failure_probability(slope, 10.0)
    assert np.isnan(found[0, 0])
    assert np.isfinite(found[0, 1])
    with pytest.raises(RecipeError, match="cohesion_kpa"):
        Soil(cohesion_kpa=(3.0, 2.0, 6.0))
    with pytest.raises(RecipeError, match="friction_deg"):
        Soil(friction_deg=(30.0, 40.0, 95.0))
    with pytest.raises(RecipeError, match="0 draws"):
        failure_probability(slope, 10.0, draws=0)
    with pytest.raises(GridError, match="give"):
        failure_probability(slope[0], 10.0)
    with pytest.raises(RecipeError, match="weighs"):
        Soil(weight_kn_per_m3=5.0)


def test_roots_by_hand():
    assert root_cohesion_kpa((20.0, 40.0), (0.0003, 0.0001)) == pytest.approx(1.2 * (6.0 + 4.0))
    years = root_growth(np.arange(60))
    assert years[0] == 0
    assert (np.diff(years) >= 0).all()
    assert years[12] == pytest.approx(0.5, abs=0.05)
    assert years[-1] == pytest.approx(1.0, abs=0.01)
    with pytest.raises(RecipeError, match="one of each"):
        root_cohesion_kpa((20.0,), ())
