"""Shapes on a grid: what covers a cell, what is mended, and exact distances."""

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox

from headscarp.core.errors import SourceError
from headscarp.core.tile import Window
from headscarp.sources.distance import distance_window
from headscarp.sources.vectors import Vector, burn, cells_of, check_overlap, check_polygons, load_features

LEFT, TOP, CELL = 500_000.0, 5_000_000.0, 10.0
GRID = GeoBox((60, 80), Affine(CELL, 0, LEFT, 0, -CELL, TOP), "EPSG:32633")
WHOLE = Window(0, 0, 60, 80)


def write(path, shapes, *, crs="EPSG:32633", layer=None, **columns):
    table = gpd.GeoDataFrame(columns, geometry=shapes, crs=crs)
    table.to_file(path, driver="GPKG", layer=layer or "shapes")
    return str(path)


def at(col, row):
    return LEFT + col * CELL, TOP - row * CELL


def box(col, row, cols, rows):
    x, y = at(col, row)
    return shapely.box(x, y - rows * CELL, x + cols * CELL, y)


def test_a_cell_is_covered_when_its_centre_is(tmp_path):
    features = load_features(Vector(write(tmp_path / "a.gpkg", [box(10.4, 20.4, 5.2, 3.2), box(40, 50, 2, 2)])), GRID)
    burned = burn(features, np.array([7, 9], np.uint8), WHOLE)
    expected = np.zeros((60, 80), np.uint8)
    expected[20:24, 10:16] = 7
    expected[50:52, 40:42] = 9
    np.testing.assert_array_equal(burned, expected)
    np.testing.assert_array_equal(cells_of(features, GRID), [24, 4])


def test_touching_is_enough_with_all_touched(tmp_path):
    features = load_features(Vector(write(tmp_path / "a.gpkg", [box(10.1, 20.1, 0.3, 0.3)])), GRID)
    one = np.ones(1, np.uint8)
    assert burn(features, one, WHOLE).sum() == 0
    assert burn(features, one, WHOLE, all_touched=True)[20, 10] == 1
    assert cells_of(features, GRID)[0] == 0
    assert cells_of(features, GRID, all_touched=True)[0] == 1


@pytest.mark.parametrize("all_touched", [False, True])
def test_windows_join_to_the_whole(tmp_path, all_touched):
    rng = np.random.default_rng(0)
    shapes = [shapely.Point(at(*rng.uniform(0, 60, 2))).buffer(rng.uniform(3, 90)) for _ in range(40)]
    features = load_features(Vector(write(tmp_path / "a.gpkg", shapes)), GRID)
    codes = np.arange(1, 41, dtype=np.uint8)
    joined = np.zeros((60, 80), np.uint8)
    for row in range(0, 60, 20):
        for col in range(0, 80, 16):
            window = Window(row, col, 20, 16)
            joined[window.slices] = burn(features, codes, window, all_touched=all_touched)
    np.testing.assert_array_equal(joined, burn(features, codes, WHOLE, all_touched=all_touched))


def test_invalid_polygons_are_mended_and_counted(tmp_path):
    bow = shapely.Polygon([at(10, 10), at(20, 20), at(20, 10), at(10, 20)])
    features = load_features(Vector(write(tmp_path / "a.gpkg", [bow, box(40, 40, 5, 5), None])), GRID)
    assert (features.total, features.repaired, features.empty) == (3, 1, 1)
    assert shapely.is_valid(features.shapes).all()
    assert burn(features, np.ones(2, np.uint8), WHOLE)[:30].sum() == pytest.approx(50, abs=12)


def test_shapes_come_from_other_coordinate_systems(tmp_path):
    table = gpd.GeoDataFrame(geometry=[box(10, 10, 20, 20)], crs="EPSG:32633").to_crs("EPSG:4326")
    path = write(tmp_path / "a.gpkg", list(table.geometry), crs="EPSG:4326")
    assert abs(int(burn(load_features(Vector(path), GRID), np.ones(1, np.uint8), WHOLE).sum()) - 400) < 30


def test_layer_where_and_attribute(tmp_path):
    path = write(tmp_path / "a.gpkg", [box(0, 0, 5, 5), box(9, 9, 5, 5)], layer="slides", year=[2001, 2009])
    write(path, [box(30, 30, 5, 5)], layer="other")
    features = load_features(Vector(path, "slides", "year > 2005", "year"), GRID)
    assert features.values == (2009,)
    with pytest.raises(SourceError, match="name one of them"):
        load_features(Vector(path), GRID)
    with pytest.raises(SourceError, match="no layer 'slide'; it has: slides, other"):
        load_features(Vector(path, "slide"), GRID)
    with pytest.raises(SourceError, match="did you mean 'year'"):
        load_features(Vector(path, "slides", None, "yaer"), GRID)
    with pytest.raises(SourceError, match="cannot be read"):
        load_features(Vector(path, "slides", "yaer >> 2005"), GRID)


def test_a_file_that_changes_is_read_again(tmp_path):
    path = write(tmp_path / "a.gpkg", [box(0, 0, 5, 5)])
    assert len(load_features(Vector(path), GRID).shapes) == 1
    (tmp_path / "a.gpkg").unlink()
    write(path, [box(0, 0, 5, 5), box(9, 9, 5, 5)])
    assert len(load_features(Vector(path), GRID).shapes) == 2


def test_what_is_no_polygon_or_far_away_is_refused(tmp_path):
    lines = Vector(write(tmp_path / "lines.gpkg", [shapely.LineString([at(0, 0), at(9, 9)])]))
    with pytest.raises(SourceError, match="linestring, but polygons are needed"):
        check_polygons(load_features(lines, GRID), lines)
    far = Vector(write(tmp_path / "far.gpkg", [box(500, 0, 5, 5)]))
    with pytest.raises(SourceError, match="outside the grid"):
        check_overlap(load_features(far, GRID), far, GRID)
    with pytest.raises(SourceError, match="there is no vector file"):
        load_features(Vector(str(tmp_path / "no.gpkg")), GRID)


@pytest.mark.parametrize("kind", ["lines", "points", "polygons"])
def test_distances_equal_shapely(tmp_path, kind):
    rng = np.random.default_rng(0)
    if kind == "lines":
        shapes = [shapely.LineString([at(*rng.uniform(-20, 90, 2)) for _ in range(4)]) for _ in range(3)]
    elif kind == "points":
        shapes = [shapely.MultiPoint([at(*rng.uniform(0, 60, 2)) for _ in range(3)]) for _ in range(3)]
    else:
        shapes = [shapely.Point(at(*rng.uniform(10, 60, 2))).buffer(60) for _ in range(3)]
    vector = Vector(write(tmp_path / "a.gpkg", shapes))
    rows, cols = np.mgrid[:60, :80]
    centres = shapely.points(LEFT + (cols + 0.5) * CELL, TOP - (rows + 0.5) * CELL)
    expected = np.minimum(shapely.distance(centres, shapely.union_all(shapes)), 150)
    found = distance_window(vector, GRID, WHOLE, 150.0)
    np.testing.assert_allclose(found, expected, atol=1e-3)
    part = Window(13, 21, 30, 37)
    np.testing.assert_array_equal(distance_window(vector, GRID, part, 150.0), found[part.slices])


def test_no_feature_near_is_the_greatest_distance(tmp_path):
    vector = Vector(write(tmp_path / "a.gpkg", [shapely.Point(at(5000, 0))]))
    assert (distance_window(vector, GRID, WHOLE, 1000.0) == 1000).all()
