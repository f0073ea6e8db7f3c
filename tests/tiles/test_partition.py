"""Laws of the split on disk: what is written is what is read, and maps show it where it is."""

import json

import numpy as np
import pytest

from headscarp.core.errors import SplitError
from headscarp.core.stack import stack_grid
from headscarp.core.tile import Window
from headscarp.tiles.partition import Part, Split, read_split, split_from_json, split_to_json, write_split
from headscarp.tiles.splits import split_blocks, split_random


@pytest.fixture
def split(world):
    return split_blocks(world((90, 110)), block_size_m=200, buffer_m=30, seed=2)


def test_geojson_and_json_hold_the_whole_split(world, split, tmp_path):
    grid = stack_grid(world((90, 110)))
    assert read_split(write_split(split, tmp_path / "split.geojson", grid)) == split
    assert read_split(write_split(split, tmp_path / "bare.geojson", None)) == split
    assert split_from_json(json.loads(json.dumps(split_to_json(split)))) == split
    other = split_random(world((90, 110)), tile_px=20, seed=1)
    assert read_split(write_split(other, tmp_path / "split.geojson", grid)) == other


def test_outlines_lie_where_the_rectangles_are(world, split, tmp_path):
    import geopandas

    grid = stack_grid(world((90, 110)))
    path = write_split(split, tmp_path / "split.geojson", grid)
    shapes = geopandas.read_file(path, engine="pyogrio")
    assert shapes.crs.to_epsg() == 4326
    bounds = shapes.to_crs(grid.crs.to_wkt()).bounds.to_numpy()
    for part, (left, bottom, right, top) in zip(split.parts, bounds, strict=True):
        w = part.window
        expected = (500000 + 10 * w.col, 5000000 - 10 * (w.row + w.height))
        expected += (500000 + 10 * (w.col + w.width), 5000000 - 10 * w.row)
        np.testing.assert_allclose((left, bottom, right, top), expected, atol=0.1)
    ring = json.loads(path.read_text())["features"][0]["geometry"]["coordinates"][0]
    x, y = np.array(ring).T
    assert ring[0] == ring[-1]
    assert (x[:-1] * y[1:] - x[1:] * y[:-1]).sum() > 0, "RFC 7946 wants outer rings counterclockwise"


def test_test_pixels_win_where_a_hand_made_split_overlaps():
    parts = (
        Part(Window(0, 0, 6, 6), "test", id="a"),
        Part(Window(2, 2, 6, 6), "train", id="b"),
        Part(Window(4, 4, 6, 6), "validation", id="c"),
    )
    codes = Split("by hand", (10, 10), parts).codes(Window(0, 0, 10, 10))
    assert (codes[:6, :6] == 3).all()
    assert codes[7, 7] == 2
    assert codes[2, 7] == 1


def test_what_is_no_split_is_refused(tmp_path, split):
    with pytest.raises(SplitError, match="no split at"):
        read_split(tmp_path / "none.geojson")
    for text in ("{", '{"type": "FeatureCollection", "features": []}', '{"features": [{"properties": {}}]}'):
        (tmp_path / "bad.geojson").write_text(text)
        with pytest.raises(SplitError, match="not a split"):
            read_split(tmp_path / "bad.geojson")
    data = split_to_json(split)
    with pytest.raises(SplitError, match="unknown parts"):
        split_from_json({**data, "parts": [[0, 0, 5, 5, "exam", 0, 0, "a", 0]]})
    path = write_split(split, tmp_path / "new.geojson", None)
    path.write_text(path.read_text().replace('"headscarp_split": 1', '"headscarp_split": 2'))
    with pytest.raises(SplitError, match="newer"):
        read_split(path)
    with pytest.raises(SplitError, match="no part 'exam'"):
        split.part("exam")
