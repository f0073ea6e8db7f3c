"""Shapes on a grid: what covers a cell, what is mended, and exact distances."""

import zipfile

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox
from rasterio.features import rasterize

from headscarp.core.errors import SourceError
from headscarp.core.tile import Window
from headscarp.sources import formats, vectors
from headscarp.sources.distance import distance_window
from headscarp.sources.features import ShapeStore
from headscarp.sources.formats import Vector, code_of, read_table
from headscarp.sources.vectors import burn, cells_of, check_overlap, check_polygons, load_features

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


CODES = ("granite", "basalt", "granite", "chalk")
LIST = "http://inspire.ec.europa.eu/codelist/LithologyValue/"


def in_latitude_and_longitude():
    shapes = [box(4, 3, 20, 9), box(15, 8, 30, 25), box(50, 2.2, 11.7, 40), box(5, 40, 33, 12)]
    return gpd.GeoDataFrame({"rock": CODES}, geometry=shapes, crs="EPSG:32633").to_crs("EPSG:4326")


def gml(table, srs, *, turned):
    """INSPIRE's way: a code is an xlink:href; latitude first where the reference system says so."""
    members = ""
    for i, (shape, code) in enumerate(zip(table.geometry, table["rock"], strict=True)):
        xy = shapely.get_coordinates(shape)
        numbers = " ".join(f"{v:.12f}" for v in (xy[:, ::-1] if turned else xy).ravel())
        members += (
            f'<gml:featureMember><ge:MappedFeature gml:id="f{i}"><ge:shape><gml:Polygon gml:id="p{i}" srsName="{srs}">'
            f"<gml:exterior><gml:LinearRing><gml:posList>{numbers}</gml:posList></gml:LinearRing></gml:exterior>"
            f'</gml:Polygon></ge:shape><ge:representativeLithology xlink:href="{LIST}{code}"/></ge:MappedFeature>'
            "</gml:featureMember>"
        )
    return (
        '<?xml version="1.0" encoding="UTF-8"?><gml:FeatureCollection xmlns:gml="http://www.opengis.net/gml/3.2" '
        'xmlns:ge="http://inspire.ec.europa.eu/schemas/ge-core/4.0" xmlns:xlink="http://www.w3.org/1999/xlink">'
        f"{members}</gml:FeatureCollection>"
    )


def burnt(path, attribute="rock"):
    features = load_features(Vector(str(path), attribute=attribute), GRID)
    assert tuple(features.values) == CODES
    return burn(features, np.arange(1, 5, dtype=np.uint8), WHOLE)


def test_all_formats_give_the_same_cells(tmp_path):
    table = in_latitude_and_longitude()
    table.to_file(tmp_path / "a.gpkg")
    table.to_file(tmp_path / "a.geojson", driver="GeoJSON", COORDINATE_PRECISION=12)
    table.to_file(tmp_path / "a.shp")
    with zipfile.ZipFile(tmp_path / "zipped.zip", "w") as file:
        for part in tmp_path.glob("a.*"):
            if part.suffix in (".shp", ".shx", ".dbf", ".prj", ".cpg"):
                file.write(part, part.name)
    for name, srs in (("urn", "urn:ogc:def:crs:EPSG::4326"), ("http", "http://www.opengis.net/def/crs/EPSG/0/4258")):
        (tmp_path / f"{name}.gml").write_text(gml(table, srs, turned=True))
    pytest.importorskip("pyarrow")
    table.to_parquet(tmp_path / "a.parquet")
    expected = burnt(tmp_path / "a.gpkg")
    assert set(np.unique(expected)) == {0, 1, 2, 3, 4}
    for name in ("a.geojson", "a.shp", "zipped.zip", "a.parquet"):
        np.testing.assert_array_equal(burnt(tmp_path / name), expected, err_msg=name)
    before = sorted(tmp_path.iterdir())
    for name in ("urn.gml", "http.gml"):
        np.testing.assert_array_equal(burnt(tmp_path / name, "representativeLithology"), expected, err_msg=name)
    assert sorted(tmp_path.iterdir()) == before


def test_northing_first_is_understood(tmp_path):
    table = in_latitude_and_longitude().to_crs("EPSG:3035")
    (tmp_path / "a.gml").write_text(gml(table, "urn:ogc:def:crs:EPSG::3035", turned=True))
    table.to_file(tmp_path / "a.gpkg")
    found = burnt(tmp_path / "a.gml", "representativeLithology")
    np.testing.assert_array_equal(found, burnt(tmp_path / "a.gpkg"))


def test_turned_axes_are_told(tmp_path):
    # "EPSG:4326" in GML means longitude first: a file that puts latitude first contradicts itself.
    (tmp_path / "a.gml").write_text(gml(in_latitude_and_longitude(), "EPSG:4326", turned=True))
    vector = Vector(str(tmp_path / "a.gml"))
    with pytest.raises(SourceError, match="latitude where longitude belongs"):
        check_overlap(load_features(vector, GRID), vector, GRID)


def test_geoparquet_has_no_sql_and_needs_its_metadata(tmp_path):
    pytest.importorskip("pyarrow")
    table = in_latitude_and_longitude()
    table.to_parquet(tmp_path / "a.parquet")
    with pytest.raises(SourceError, match="convert it to a GeoPackage"):
        read_table(Vector(str(tmp_path / "a.parquet"), where="rock = 'chalk'"))
    with pytest.raises(SourceError, match="did you mean 'rock'"):
        read_table(Vector(str(tmp_path / "a.parquet"), attribute="rok"))
    table.drop(columns="geometry").to_parquet(tmp_path / "plain.parquet")
    with pytest.raises(SourceError, match="cannot be read as GeoParquet"):
        read_table(Vector(str(tmp_path / "plain.parquet")))
    read = read_table(Vector(str(tmp_path / "a.parquet")))
    assert read.crs == table.crs
    assert list(read["rock"]) == list(CODES)


def test_codes_of_addresses():
    assert code_of(LIST + "granite") == "granite"
    assert code_of(LIST + "granite/") == "granite"
    assert code_of("urn:cgi:classifier:CGI:SimpleLithology:201001:granite") == "granite"
    assert code_of("http://resource.geosciml.org/classifier/cgi/lithology#granite") == "granite"
    for value in ("granite", "sand/silt", "1:50", 7, 7.5, None):
        assert code_of(value) is value


def polygons(rng, kind):
    """Rings on halves of cells make every kind of tie; free ones none."""
    step = {"halves": 2, "cells": 1, "free": 2**40}[kind]
    shapes = []
    for _ in range(60):
        vertices = rng.uniform(-6, 6, (rng.integers(3, 9), 2)) + rng.uniform(0, (80, 60))
        shape = shapely.Polygon(np.round(vertices * step) / step * (1, -1))
        parts = shapely.get_parts(shapely.make_valid(shape))
        shapes += [p for p in parts if shapely.get_type_id(p) == 3]
    shapes.append(shapely.MultiPolygon([shapely.box(20, -30, 30, -20), shapely.box(40, -30, 50, -20)]))
    shapes.append(shapely.Polygon(shapely.box(52, -50, 70, -31).exterior, [shapely.box(55, -45, 60, -40).exterior]))
    return np.array(shapes)


@pytest.mark.parametrize("kind", ["halves", "cells", "free"])
def test_cells_are_those_of_gdal(tmp_path, kind):
    shapes = polygons(np.random.default_rng(0), kind)
    codes = np.random.default_rng(1).integers(1, 256, len(shapes)).astype(np.uint8)
    store = ShapeStore((60, 80))
    store.add(shapes, [None] * len(shapes))
    features = store.close({"total": len(shapes), "empty": 0, "repaired": 0, "outside": 0})
    expected = rasterize(
        zip(shapes, codes.tolist(), strict=True), out_shape=(60, 80), transform=Affine(1, 0, 0, 0, -1, 0), dtype="uint8"
    )
    np.testing.assert_array_equal(burn(features, codes, WHOLE), expected)
    alone = [rasterize([s], out_shape=(60, 80), transform=Affine(1, 0, 0, 0, -1, 0)).sum() for s in shapes]
    np.testing.assert_array_equal(cells_of(features, GRID), alone)
    some = rng_windows(12)
    for window in some:
        inside = window.clip((60, 80))
        part = burn(features, codes, inside)
        np.testing.assert_array_equal(part, expected[inside.slices])


def rng_windows(count):
    rng = np.random.default_rng(2)
    return [
        Window(*(int(v) for v in rng.integers(0, 60, 2)), *(int(v) for v in rng.integers(1, 30, 2)))
        for _ in range(count)
    ]


def test_windows_find_what_boxes_touch():
    """A grid of several squares: shapes within one, over many, over all, and off the grid."""
    rng = np.random.default_rng(0)
    corner, size = rng.uniform(-500, 6000, (400, 2)), rng.lognormal(2, 2.5, (400, 2))
    shapes = shapely.box(corner[:, 0], -corner[:, 1] - size[:, 1], corner[:, 0] + size[:, 0], -corner[:, 1])
    store = ShapeStore((5000, 5400))
    store.add(shapes[:150], [None] * 150)
    store.add(shapes[150:], [None] * 250)
    features = store.close({"total": 400, "empty": 0, "repaired": 0, "outside": 0})
    np.testing.assert_array_equal(shapely.to_wkb(features.shapes), shapely.to_wkb(shapes))
    for row, col in rng.integers(-600, 5600, (50, 2)).tolist():
        window = Window(row, col, 700, 30)
        touched = shapely.intersects(shapes, shapely.box(col, -row - 700, col + 30, -row))
        assert set(features.near(window)) >= set(np.flatnonzero(touched))
        assert (np.diff(features.near(window)) > 0).all()


def test_large_layers_come_in_parts(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    shapes = [shapely.Point(at(*rng.uniform(0, 60, 2))).buffer(rng.uniform(3, 90)) for _ in range(25)]
    path = write(tmp_path / "a.gpkg", shapes, value=list(range(25)))
    whole = load_features(Vector(path, attribute="value"), GRID)
    monkeypatch.setattr(formats, "PART_ROWS", 10)
    vectors._load.cache_clear()
    parts = load_features(Vector(path, attribute="value"), GRID)
    assert parts is not whole
    assert tuple(parts.values) == tuple(whole.values) == tuple(range(25))
    np.testing.assert_array_equal(shapely.to_wkb(parts.shapes), shapely.to_wkb(whole.shapes))
