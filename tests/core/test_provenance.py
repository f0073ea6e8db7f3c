"""Laws of provenance: the same work gives the same record; a STAC item says where and how."""

import json

import pystac
from affine import Affine
from odc.geo.geobox import GeoBox

from headscarp.core.provenance import describe_input, made_by, read_made, write_stac_item

GRID = GeoBox((70, 90), Affine(10, 0, 500000, 0, -10, 5000000), "EPSG:32632")


def test_the_same_work_gives_the_same_record(tmp_path):
    (tmp_path / "dem.tif").write_bytes(b"abc")
    records = [
        made_by("build", settings={"a": 1}, inputs=[describe_input(tmp_path / "dem.tif", licence="CC0")], seed=3)
        for _ in range(2)
    ]
    assert records[0] == records[1]
    assert records[0]["inputs"][0]["sha256"].startswith("ba7816bf")
    assert records[0]["inputs"][0]["licence"] == "CC0"


def test_a_stac_item_says_where_and_how_and_is_read_back(tmp_path):
    made = made_by("predict", settings={"engine": "torch"})
    path = write_stac_item(tmp_path / "map.tif", GRID, made, bands=[{"name": "probability"}])
    item = pystac.Item.from_dict(json.loads(path.read_text()))
    west, south, east, north = item.bbox
    assert 8.9 < west < east < 9.02
    assert 45.1 < south < north < 45.2
    assert item.properties["proj:shape"] == [70, 90]
    assert item.properties["proj:code"] == "EPSG:32632"
    assert read_made(tmp_path / "map.tif") == json.loads(json.dumps(made))
