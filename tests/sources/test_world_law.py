"""The law of the simulated landslides: its physics, and that labels are fair draws from it."""

import numpy as np
import pytest

from headscarp.core.errors import RecipeError
from headscarp.sources.world.cover import COVERS
from headscarp.sources.world.geology import ROCKS
from headscarp.sources.world.law import (
    Soil,
    draw_landslides,
    factor_of_safety,
    failure_probability,
    log_safety,
    soil_depth_m,
)

SOIL = Soil(cohesion_kpa=4.0, friction_deg=30.0, transmissivity_m2_per_day=30.0, depth_m=1.5)
CODE = {rock.name: code for code, rock in enumerate(ROCKS, 1)}
FOREST = [cover.name for cover in COVERS].index("forest and semi-natural") + 1
FIELD = [cover.name for cover in COVERS].index("agricultural") + 1


def ramp(rows=60, cols=20, rise=5.0):
    """A plane that falls to the south, its slope in degrees at 10 m cells."""
    z = (rise * np.arange(rows)[::-1, None] + np.zeros((rows, cols))).astype(np.float32)
    return z, np.full(z.shape, np.degrees(np.arctan(rise / 10.0)), np.float32)


def test_a_dry_slope_without_cohesion_stands_up_to_its_angle_of_friction():
    soil = Soil(0.0, 30.0, np.inf, 2.0)
    assert factor_of_safety(30.0, 100.0, soil) == pytest.approx(1.0)
    assert factor_of_safety(29.0, 100.0, soil) > 1 > factor_of_safety(31.0, 100.0, soil)


def test_factor_of_safety_by_hand():
    # c 4 kPa, 30 degrees, 1.5 m, saturated: [4 + (19 - 9.81) 1.5 cos^2 tan 30] / [19 1.5 sin cos]
    cos2, sincos = 0.75, 0.4330127
    expected = (4 + 9.19 * 1.5 * cos2 * 0.5773503) / (19 * 1.5 * sincos)
    assert factor_of_safety(30.0, 1e9, SOIL) == pytest.approx(expected, rel=1e-6)


def test_steeper_wetter_and_weaker_is_less_safe():
    steeper = factor_of_safety(np.arange(5.0, 60.0), 50.0, SOIL)
    assert (np.diff(steeper) < 0).all()
    wetter = factor_of_safety(25.0, np.array([0.0, 50.0, 100.0, 200.0]), SOIL)
    assert (np.diff(wetter) < 0).all()
    assert factor_of_safety(25.0, 1e6, SOIL) == factor_of_safety(25.0, 1e7, SOIL)  # no wetter than saturated
    stronger = factor_of_safety(25.0, 50.0, Soil(np.array([0.0, 2.0, 8.0]), 30.0, 30.0, 1.5))
    assert (np.diff(stronger) > 0).all()


def test_the_probability_falls_with_safety_and_has_the_prevalence_as_its_mean():
    log_fs = np.random.default_rng(0).normal(0.5, 0.4, (50, 50))
    p = failure_probability(log_fs, 0.013)
    assert p.mean(dtype=np.float64) == pytest.approx(0.013, rel=1e-5)
    order = np.argsort(log_fs, axis=None)
    assert (np.diff(p.ravel()[order]) <= 0).all()
    with pytest.raises(RecipeError, match=r"between 0 and 0\.5"):
        failure_probability(log_fs, 1.3)


def test_roots_hold_and_weak_rock_fails():
    z, slope_deg = ramp()
    cover = np.full(z.shape, FIELD)
    cover[:, 10:] = FOREST
    weak = log_safety(z, slope_deg, np.full(z.shape, CODE["claystone"]), cover, cell_size_m=10.0)
    strong = log_safety(z, slope_deg, np.full(z.shape, CODE["dolomite"]), cover, cell_size_m=10.0)
    assert (weak < strong).all()
    assert (weak[:, 5] < weak[:, 15]).all()


def test_creep_brings_the_strength_of_the_rock_uphill():
    z, slope_deg = ramp()
    lithology = np.full(z.shape, CODE["dolomite"])
    lithology[:20] = CODE["claystone"]
    cover = np.full(z.shape, FOREST)
    here = log_safety(z, slope_deg, lithology, cover, cell_size_m=10.0, creep_m=0.0)
    mixed = log_safety(z, slope_deg, lithology, cover, cell_size_m=10.0)
    lost = (here - mixed)[:, 10]
    np.testing.assert_allclose(lost[:20], 0, atol=1e-9)  # nothing weaker lies uphill of the weak rock
    assert (lost[20:30] > 0.05).all()  # at 100 m below the contact the soil is still weaker than its rock
    assert (np.diff(lost[24:55]) < 0).all()  # and it fades downhill


def test_soil_is_thin_on_rock_faces():
    depth = soil_depth_m(np.array([0.0, 20.0, 40.0, 60.0]))
    assert (np.diff(depth) < 0).all()
    assert depth[-1] == pytest.approx(0.3)


def test_each_cell_is_a_fair_draw_and_neighbours_go_together():
    rng = np.random.default_rng(1)
    z = np.cumsum(rng.normal(size=(36, 40)), axis=0).astype(np.float32)
    law = rng.uniform(0.02, 0.5, z.shape).astype(np.float32)
    law[:, :20] = 0.2
    draws = np.array([draw_landslides(law, z, rng) for _ in range(1500)])
    error = (draws.mean(axis=0) - law) / np.sqrt(law * (1 - law) / len(draws))
    assert np.abs(error).max() < 5
    assert error.std() == pytest.approx(1, abs=0.1)  # binomial in every cell: no cell is more certain than its law
    both = (draws[:, :-1, :20] & draws[:, 1:, :20]).mean()
    assert both > 2 * 0.2**2
    assert (draws[0] != draws[1]).any()
