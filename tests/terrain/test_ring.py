"""Laws of the ring: known counts, eightfold symmetry, no gaps, each point nearest to the true circle."""

import numpy as np
import pytest

from headscarp.core.errors import RecipeError
from headscarp.terrain import ring


@pytest.mark.parametrize(("radius_px", "full", "thinned"), [(1, 4, 4), (3, 16, 8), (10, 56, 12), (30, 168, 16)])
def test_counts(radius_px, full, thinned):
    assert ring(radius_px).shape == (full, 2)
    assert ring(radius_px, points="thinned").shape == (thinned, 2)


@pytest.mark.parametrize("points", ["full", "thinned"])
def test_every_radius_is_sorted_without_doubles_and_turns_onto_itself(points):
    for radius_px in range(1, 256):
        offsets = ring(radius_px, points=points)
        assert offsets.dtype == np.int16
        pairs = [tuple(pair) for pair in offsets.tolist()]
        assert pairs == sorted(set(pairs))
        assert {(c, -r) for r, c in pairs} == set(pairs)
        assert (-radius_px, 0) in pairs
        if points == "full":
            assert {(-r, c) for r, c in pairs} == set(pairs)
            major, minor = np.abs(offsets).max(axis=1), np.abs(offsets).min(axis=1)
            assert np.all(np.abs(major - np.sqrt(radius_px**2 - minor.astype(float) ** 2)) < 0.5)


def test_the_full_ring_has_no_gap():
    for radius_px in (1, 2, 3, 7, 10, 30, 64, 255):
        offsets = ring(radius_px).astype(int)
        around = offsets[np.argsort(np.arctan2(offsets[:, 0], offsets[:, 1]))]
        steps = np.abs(np.diff(np.vstack([around, around[:1]]), axis=0)).max(axis=1)
        assert np.all(steps == 1)


def test_thinned_points_lie_on_the_full_ring():
    for radius_px in (1, 3, 10, 30, 100, 255):
        full = {tuple(pair) for pair in ring(radius_px).tolist()}
        assert {tuple(pair) for pair in ring(radius_px, points="thinned").tolist()} <= full


def test_impossible_rings_are_refused():
    for radius_px in (0, -3, 256, 2.5, True):
        with pytest.raises(RecipeError, match="1 to 255"):
            ring(radius_px)
    with pytest.raises(RecipeError, match="'full' or 'thinned'"):
        ring(3, points="some")
