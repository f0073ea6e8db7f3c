"""Laws of curvature: known surfaces have theirs, domes are convex, hollows concave, planes neither."""

import numpy as np
import pytest

from headscarp.terrain import METHODS, plan_curvature, profile_curvature, total_curvature

CELL = (2.0, 3.0)


def surface(height_of, shape=(41, 41)):
    """float64 elevation of height_of(east, north), metres from the centre of the raster."""
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(float)
    return height_of((columns - shape[1] // 2) * CELL[1], (shape[0] // 2 - rows) * CELL[0])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("a", "b", "c"), [(-0.01, -0.01, 0.0), (0.01, 0.02, 0.005), (0.01, -0.03, -0.02)])
def test_a_quadratic_surface_has_its_exact_curvatures(method, a, b, c):
    dem = surface(lambda e, n: a * e * e + b * n * n + c * e * n + 0.2 * e - 0.1 * n)
    rows, columns = np.mgrid[:41, :41].astype(float)
    e, n = (columns - 20) * CELL[1], (20 - rows) * CELL[0]
    p, q = 2 * a * e + c * n + 0.2, 2 * b * n + c * e - 0.1
    r, t, s = 2 * a, 2 * b, c
    g = p * p + q * q
    plan = -(r * q * q + t * p * p - 2 * s * p * q) / g**1.5
    profile = -(r * p * p + t * q * q + 2 * s * p * q) / (g * (1 + g) ** 1.5)
    inside = (slice(1, -1), slice(1, -1))
    np.testing.assert_allclose(plan_curvature(dem, CELL, method=method)[inside], plan[inside], rtol=1e-4, atol=1e-6)
    found = profile_curvature(dem, CELL, method=method)[inside]
    np.testing.assert_allclose(found, profile[inside], rtol=1e-4, atol=1e-6)
    found = total_curvature(dem, CELL, method=method)[inside]
    np.testing.assert_allclose(found, r * r + 2 * s * s + t * t, rtol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_domes_are_convex_bowls_concave_and_planes_neither(method):
    dome = surface(lambda e, n: -0.01 * (e * e + n * n))
    off_summit = (slice(1, 19), slice(1, 19))
    for curvature in (plan_curvature, profile_curvature):
        assert np.all(curvature(dome, CELL, method=method)[off_summit] > 0)
        assert np.all(curvature(-dome, CELL, method=method)[off_summit] < 0)
        plane = curvature(surface(lambda e, n: 0.5 * e + 0.25 * n), CELL, method=method)
        np.testing.assert_allclose(plane[1:-1, 1:-1], 0, atol=1e-12)


def test_contours_of_a_cone_curve_by_one_over_their_radius():
    dem = surface(lambda e, n: -0.5 * np.hypot(e, n), (201, 201))
    # Straight east of the summit, far from its tip.
    np.testing.assert_allclose(plan_curvature(dem, CELL)[100, 150], 1 / (50 * CELL[1]), rtol=1e-2)
    np.testing.assert_allclose(profile_curvature(dem, CELL)[100, 150], 0, atol=1e-5)


def test_horn_and_zevenbergen_thorne_share_their_second_derivatives():
    dem = np.random.default_rng(0).normal(0, 1, (20, 20)).astype(np.float32)
    horn, other = (total_curvature(dem, CELL, method=method) for method in METHODS)
    assert np.array_equal(horn, other, equal_nan=True)
    assert not np.array_equal(plan_curvature(dem, CELL), plan_curvature(dem, CELL, method=METHODS[1]), equal_nan=True)
