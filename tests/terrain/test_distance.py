"""Distance to features against a plain search, on oblong cells, and against a published raster."""

import os
from pathlib import Path

import numpy as np
import pytest

from headscarp.core.errors import GridError, HeadscarpWarning
from headscarp.terrain import distance_to


def test_distance_equals_a_plain_search_on_oblong_cells():
    mask = np.random.default_rng(0).random((25, 33)) < 0.01
    rows, columns = np.nonzero(mask)
    i, j = np.mgrid[:25, :33]
    away_m = np.hypot((i[..., None] - rows) * 30.0, (j[..., None] - columns) * 7.0)
    np.testing.assert_allclose(distance_to(mask, (30.0, 7.0)), away_m.min(axis=-1), rtol=1e-6)
    assert np.all(distance_to(mask, (30.0, 7.0))[mask] == 0)


def test_uneven_rows_are_told_and_nearly_even_ones_are_not():
    mask = np.eye(5, dtype=bool)
    with pytest.warns(HeadscarpWarning, match="east-west cell size differs by 20.0%"):
        found = distance_to(mask, (np.full(5, 10.0), np.linspace(10, 12, 5)))
    np.testing.assert_allclose(found, distance_to(mask, (10.0, 11.0)))
    distance_to(mask, (np.full(5, 10.0), np.linspace(10, 10.05, 5)))


def test_nothing_to_measure_to_is_an_error():
    with pytest.raises(GridError, match="no cell of the mask"):
        distance_to(np.zeros((4, 4), bool), 1.0)
    with pytest.raises(GridError, match="bool is needed"):
        distance_to(np.ones((4, 4)), 1.0)


@pytest.mark.skipif("HEADSCARP_DATA" not in os.environ, reason="HEADSCARP_DATA names no folder of real data")
def test_distance_equals_the_published_raster_in_pixels():
    import rasterio

    folder = Path(os.environ["HEADSCARP_DATA"], "terrain_reference", "distance_reference")
    if not folder.exists():
        pytest.skip(f"{folder} is not there")
    with rasterio.open(folder / "rasterised.tif") as features, rasterio.open(folder / "proximity_raster.tif") as near:
        np.testing.assert_allclose(distance_to(features.read(1) == 1, 1.0), near.read(1), rtol=1e-5, atol=1e-5)
