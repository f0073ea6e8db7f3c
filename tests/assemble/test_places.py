"""Laws of a place's grid: it covers the box, its metres are true, and a bad box is told what is bad about it."""

import geopandas
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Transformer

from headscarp.assemble.places import box_of_file, check_box, grown, place_grid, utm_crs
from headscarp.core.errors import GridError, SourceError
from headscarp.core.grid import cell_corner, true_cell_size_m

COSTA = (-122.3, 37.8, -121.9, 38.1)


@settings(max_examples=60, deadline=None)
@given(
    lon=st.floats(-179, 178.5),
    lat=st.floats(-89, 88.5),
    width=st.floats(0.01, 0.9),
    height=st.floats(0.01, 0.9),
)
def test_the_grid_covers_the_box_in_true_metres_everywhere(lon, lat, width, height):
    box = (lon, lat, lon + width, lat + height)
    grid = place_grid(box, 100.0)
    to_crs = Transformer.from_crs("EPSG:4326", grid.crs.to_wkt(), always_xy=True)
    xs, ys = to_crs.transform(
        np.repeat(np.linspace(box[0], box[2], 15), 15), np.tile(np.linspace(box[1], box[3], 15), 15)
    )
    (left, top), (right, bottom) = cell_corner(grid, 0, 0), cell_corner(grid, grid.shape[1], grid.shape[0])
    slack = 100.0  # edges are bent between the points that they are measured at
    assert left - slack <= min(xs)
    assert max(xs) <= right + slack
    assert bottom - slack <= min(ys)
    assert max(ys) <= top + slack
    assert np.allclose(true_cell_size_m(grid), 100.0, rtol=0.01)


def test_the_corners_stand_on_whole_cells_and_the_zone_is_that_of_the_place():
    grid = place_grid(COSTA, 10.0)
    assert grid.crs.epsg == 32610
    assert grid.affine.c % 10 == 0
    assert grid.affine.f % 10 == 0
    assert utm_crs((16, -35, 17, -33)).to_epsg() == 32733
    assert utm_crs((179, 0, 180, 1)).to_epsg() == 32660
    assert utm_crs((0, 85, 1, 86)).to_epsg() == 32661


@pytest.mark.parametrize(
    ("box", "words"),
    [
        ((37.8, -122.3, 38.1, -121.9), "try -122.3 37.8 -121.9 38.1"),
        ((179, -20, -179, -19), "antimeridian"),
        ((-122, 38, -122, 39), "no area"),
        ((-122, 39, -121, 38), "south and north"),
        ((-122, 38, 300, 39), "beyond 180"),
        ((0, 0, 40, 1), "12 fit"),
        ((0, 0, float("nan"), 1), "four numbers"),
        ((0, 0, 1), "four numbers"),
    ],
)
def test_a_bad_box_is_told_what_is_bad_about_it(box, words):
    with pytest.raises(GridError, match=words):
        check_box(box)


def test_degrees_and_web_mercator_are_refused_where_metres_are_needed():
    with pytest.raises(GridError, match="no metres"):
        place_grid(COSTA, 10.0, crs="EPSG:4326")
    with pytest.raises(GridError, match="on the ground"):
        place_grid(COSTA, 10.0, crs="EPSG:3857")


def test_the_box_of_a_file_is_that_of_its_shapes_in_degrees(tmp_path):
    place = geopandas.GeoDataFrame(geometry=[shapely.box(*COSTA)], crs="EPSG:4326").to_crs(32610)
    place.to_file(tmp_path / "place.gpkg")
    found = box_of_file(tmp_path / "place.gpkg")
    assert np.allclose(found, COSTA, atol=0.01)
    with pytest.raises(SourceError, match="no vector file"):
        box_of_file(tmp_path / "none.gpkg")


def test_a_grown_grid_has_the_old_one_in_its_middle():
    grid = place_grid(COSTA, 30.0)
    larger = grown(grid, 7)
    assert larger.shape == (grid.shape[0] + 14, grid.shape[1] + 14)
    assert cell_corner(larger, 7, 7) == pytest.approx(cell_corner(grid, 0, 0))
