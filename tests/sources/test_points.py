"""Labels at points: only they count, and what cannot be a label is refused."""

import geopandas as gpd
import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from headscarp.core.errors import SourceError
from headscarp.core.tile import Window
from headscarp.sources.points import Points, burn_points, load_points, read_points

LEFT, TOP, CELL = 500_000.0, 5_000_000.0, 10.0
GRID = GeoBox((60, 80), Affine(CELL, 0, LEFT, 0, -CELL, TOP), "EPSG:32633")


def table(path, rows, header="x,y,slide"):
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")
    return str(path)


def centre(col, row):
    return LEFT + (col + 0.5) * CELL, TOP - (row + 0.5) * CELL


def csv(path, **more):
    return Points(path, **({"value": "slide", "crs": "EPSG:32633"} | more))


def test_only_the_points_are_labelled(tmp_path):
    path = table(tmp_path / "a.csv", [(*centre(3, 4), 1), (*centre(70, 50), 0), (*centre(7, 8), 1)])
    points = load_points(csv(path), GRID)
    label = burn_points(points, Window(0, 0, 60, 80))
    assert (label == 255).sum() == 60 * 80 - 3
    assert label[4, 3] == label[8, 7] == 1
    assert label[50, 70] == 0
    np.testing.assert_array_equal(burn_points(points, Window(4, 2, 5, 6)), label[4:9, 2:8])


def test_points_outside_and_points_that_share_a_cell_are_counted(tmp_path):
    rows = [(*centre(3, 4), 0), (*centre(3.2, 4.1), 1), (*centre(300, 4), 1), (*centre(9, 9), 0)]
    points = load_points(csv(table(tmp_path / "a.csv", rows)), GRID)
    assert (points.total, points.outside, points.shared) == (4, 1, 1)
    assert burn_points(points, Window(0, 0, 60, 80))[4, 3] == 1
    row, col, label = read_points(csv(table(tmp_path / "a.csv", rows)), GRID)
    assert (row.tolist(), col.tolist(), label.tolist()) == ([4, 4, -1, 9], [3, 3, -1, 9], [0, 1, 1, 0])


def test_points_in_degrees_and_in_a_layer(tmp_path):
    lonlat = Transformer.from_crs("EPSG:32633", "EPSG:4326", always_xy=True).transform(*centre(30, 40))
    points = load_points(csv(table(tmp_path / "a.csv", [(*lonlat, 1)]), crs="EPSG:4326"), GRID)
    assert (points.row[0], points.col[0]) == (40, 30)
    gpd.GeoDataFrame({"slide": [1]}, geometry=gpd.points_from_xy([lonlat[0]], [lonlat[1]]), crs="EPSG:4326").to_file(
        tmp_path / "a.gpkg"
    )
    points = load_points(Points(str(tmp_path / "a.gpkg"), value="slide"), GRID)
    assert (points.row[0], points.col[0], points.label[0]) == (40, 30, 1)


def test_where_keeps_some(tmp_path):
    rows = [(*centre(3, 4), 1, 2001), (*centre(5, 6), 1, 2009)]
    path = table(tmp_path / "a.csv", rows, header="x,y,slide,year")
    assert load_points(csv(path, where="year > 2005"), GRID).row.tolist() == [6]


@pytest.mark.parametrize(
    ("rows", "more", "message"),
    [
        ([(*centre(3, 4), 2)], {}, "has 2.0 under 'slide'; needed"),
        ([(*centre(3, 4), 1)], {"crs": None}, "have no CRS"),
        ([(*centre(3, 4), 1)], {"crs": "EPSG:1"}, "is not known"),
        ([(*centre(3, 4), 1)], {"x": "lon"}, "no column 'lon'"),
        ([(*centre(3, 4), 1)], {"value": "slides"}, "did you mean 'slide'"),
        ([(*centre(3000, 4), 1)], {}, "lie outside the grid"),
        ([("", 4, 1), (*centre(3, 4), 1)], {}, "1 points .* no position"),
        ([("east", 4, 1)], {}, "not all numbers"),
    ],
)
def test_what_cannot_be_a_label_is_refused(tmp_path, rows, more, message):
    with pytest.raises(SourceError, match=message):
        load_points(csv(table(tmp_path / "a.csv", rows), **more), GRID)
