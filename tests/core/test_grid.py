"""Grids: windows, round trips, true metres."""

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from headscarp.core.errors import GridError
from headscarp.core.grid import (
    cell_corner,
    cell_size_m,
    check_grid,
    check_metres,
    footprint_lonlat,
    grid_from_json,
    grid_to_json,
    ground_resolution_m,
    same_grid,
    window_grid,
)
from headscarp.core.tile import Window


def utm(shape=(100, 120), cell=30.0, crs="EPSG:32633"):
    return GeoBox(shape, Affine(cell, 0, 500_000, 0, -cell, 5_100_000), crs)


def lonlat(shape=(60, 80), lat=46.0):
    step = 1 / 3600
    return GeoBox(shape, Affine(step, 0, 15.0, 0, -step, lat), "EPSG:4326")


@given(st.integers(-50, 150), st.integers(-50, 150), st.integers(1, 60), st.integers(1, 60))
def test_a_window_has_the_cells_of_its_grid(row, col, height, width):
    grid = utm()
    part = window_grid(grid, Window(row, col, height, width))
    assert part.shape == (height, width)
    np.testing.assert_allclose(cell_corner(part, 0, 0), cell_corner(grid, col, row), rtol=0, atol=1e-6)
    back = window_grid(part, Window(-row, -col, *grid.shape))
    assert same_grid(back, grid)


@pytest.mark.parametrize("grid", [utm(), lonlat(), utm(cell=28.554923494199286)])
def test_json_gives_the_same_grid_again(grid):
    again = grid_from_json(grid_to_json(grid))
    assert same_grid(again, grid)
    assert again.affine == grid.affine


def test_the_same_grid_within_a_thousandth_of_a_cell():
    grid = utm()
    assert same_grid(grid, GeoBox(grid.shape, Affine(30, 0, 500_000.02, 0, -30, 5_100_000), "EPSG:32633"))
    assert not same_grid(grid, GeoBox(grid.shape, Affine(30, 0, 500_001, 0, -30, 5_100_000), "EPSG:32633"))
    assert not same_grid(grid, GeoBox((100, 121), grid.affine, "EPSG:32633"))
    assert not same_grid(grid, utm(crs="EPSG:32632"))


def test_utm_metres_are_true_and_mercator_metres_are_not():
    assert cell_size_m(utm()) == (30.0, 30.0)
    assert ground_resolution_m(utm()) == pytest.approx(30, rel=1e-3)
    with pytest.raises(GridError, match=r"20\.\d+ m on the ground"):
        check_metres(GeoBox((100, 100), Affine(30, 0, 1_600_000, 0, -30, 5_800_000), "EPSG:3857"))
    with pytest.raises(GridError, match="geographic"):
        check_metres(lonlat())


def test_geographic_rows_shrink_with_the_cosine_of_the_latitude():
    dy, dx = cell_size_m(lonlat(shape=(3600, 10), lat=60.5))
    assert dy.shape == dx.shape == (3600,)
    assert (np.diff(dx) > 0).all()
    middle = 1800
    assert dx[middle] / dx[0] == pytest.approx(np.cos(np.radians(60.0)) / np.cos(np.radians(60.5)), rel=1e-4)
    assert dy[middle] == pytest.approx(111_412.0 / 3600, rel=1e-3)


def test_rotated_and_nameless_grids_are_refused():
    with pytest.raises(GridError, match="rotated"):
        check_grid(GeoBox((10, 10), Affine(30, 1, 0, 1, -30, 0), "EPSG:32633"))
    with pytest.raises(GridError, match="rotated or flipped"):
        check_grid(GeoBox((10, 10), Affine(30, 0, 0, 0, 30, 0), "EPSG:32633"))
    with pytest.raises(GridError, match="no CRS"):
        check_grid(GeoBox((10, 10), Affine(30, 0, 0, 0, -30, 0), None))


def test_the_footprint_is_a_closed_ring_around_the_place():
    ring = footprint_lonlat(utm())
    assert ring.shape == (81, 2)
    np.testing.assert_array_equal(ring[0], ring[-1])
    assert (np.abs(ring - (15.02, 46.04)) < 0.1).all()
