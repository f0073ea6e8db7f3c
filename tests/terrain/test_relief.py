"""Relief and topographic position against plain loops over the disc, and their laws."""

import numpy as np
import pytest

from headscarp.core.errors import RecipeError
from headscarp.terrain import relief, topographic_position


def plain_loop(dem, radius_px):
    """Both results, cell by cell as they are defined."""
    spread, position = np.full(dem.shape, np.nan), np.full(dem.shape, np.nan)
    reach = range(-radius_px, radius_px + 1)
    disc = [(r, c) for r in reach for c in reach if r * r + c * c <= (radius_px + 0.5) ** 2]
    for i, j in np.argwhere(np.isfinite(dem)):
        cells = [(i + r, j + c) for r, c in disc if 0 <= i + r < dem.shape[0] and 0 <= j + c < dem.shape[1]]
        values = np.array([dem[cell] for cell in cells if np.isfinite(dem[cell])], np.float64)
        spread[i, j] = values.max() - values.min()
        if len(values) > 1:
            position[i, j] = dem[i, j] - (values.sum() - dem[i, j]) / (len(values) - 1)
    return spread, position


@pytest.mark.parametrize("radius_px", [1, 2, 3, 6, 15])
def test_both_equal_a_plain_loop(radius_px):
    generator = np.random.default_rng(radius_px)
    dem = generator.normal(800, 20, (24, 31)).astype(np.float32)
    dem[generator.random(dem.shape) < 0.3] = np.nan
    dem[3, 4] = np.inf
    spread, position = plain_loop(dem, radius_px)
    np.testing.assert_allclose(relief(dem, radius_px), spread, rtol=1e-6)
    np.testing.assert_allclose(topographic_position(dem, radius_px), position, atol=1e-5)


def test_lifting_the_ground_changes_nothing():
    dem = np.round(np.random.default_rng(0).normal(0, 8, (70, 40))).astype(np.float32)
    for function in (relief, topographic_position):
        assert np.array_equal(function(dem, 4), function(dem + 1000, 4))


def test_flats_have_none_and_a_lone_cell_has_no_neighbours():
    flat = np.full((9, 9), 12.5, np.float32)
    assert np.all(relief(flat, 3) == 0)
    assert np.all(topographic_position(flat, 3) == 0)
    lone = np.full((9, 9), np.nan, np.float32)
    lone[4, 4] = 5
    assert relief(lone, 3)[4, 4] == 0
    assert np.isnan(topographic_position(lone, 3)).all()
    assert np.isnan(relief(lone, 3)).sum() == 80


def test_a_radius_out_of_range_is_refused():
    for radius_px in (0, 256, 2.5, True):
        with pytest.raises(RecipeError, match="1 to 255"):
            relief(np.zeros((5, 5)), radius_px)
