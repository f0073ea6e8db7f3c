"""Sentinel-2: one band by two names, and the offset of baseline 04.00 applied exactly once."""

import dask
import numpy as np
import pytest
from scene_requests import grid_of, request_to

from headscarp.imagery.clouds import LOOKS
from headscarp.sources.sentinel2 import PRODUCT, QUALITY, boa_offset, read_sentinel2
from services.holdings import Footprint, noise, sentinel2_item
from services.search import SearchServer

TEN = Footprint(cell=10.0)
BEFORE = "2020-05-01T10:00:00Z"
STATED = [{"nodata": 0, "scale": 0.0001, "offset": -0.1}]


@pytest.mark.parametrize(
    ("says", "time", "bands", "wanted"),
    [
        ({"s2:processing_baseline": "02.12"}, "2020-05-01", [], 0.0),
        ({"s2:processing_baseline": "03.01"}, "2021-12-01", STATED, 0.0),
        ({"s2:processing_baseline": "04.00"}, "2022-02-01", [], -0.1),
        ({"s2:processing_baseline": "05.00"}, "2018-02-01", [], -0.1),  # collection 1: old scenes made anew
        ({"s2:processing_baseline": "05.11"}, "2024-02-01", STATED, -0.1),
        ({"s2:processing_baseline": "05.11"}, "2024-02-01", [{"scale": 0.0001, "offset": 0}], 0.0),
        ({"s2:processing_baseline": "05.11", "earthsearch:boa_offset_applied": True}, "2024-02-01", STATED, 0.0),
        ({"s2:processing_baseline": "05.11", "earthsearch:boa_offset_applied": False}, "2024-02-01", STATED, -0.1),
        ({}, "2022-01-24T23:59:59Z", [], 0.0),
        ({}, "2022-01-25T00:00:00Z", [], -0.1),
        ({}, "2020-05-01", STATED, -0.1),
    ],
)
def test_the_offset_is_found_out(says, time, bands, wanted):
    assert boa_offset({"id": "A", "properties": {"datetime": time, **says}}, {"raster:bands": bands}) == wanted


@pytest.fixture
def server(tmp_path):
    with SearchServer(tmp_path / "files") as running:
        yield running


@pytest.mark.parametrize(
    ("red", "scl", "says", "shift"),
    [
        ("B04", "SCL", {"s2:processing_baseline": "03.00"}, 0),
        ("B04", "SCL", {"s2:processing_baseline": "05.09"}, 1000),
        (
            "red",
            "scl",
            {"s2:processing_baseline": "05.09", "earthsearch:boa_offset_applied": True, "raster:bands": STATED},
            0,
        ),
        ("red", "scl", {"s2:processing_baseline": "05.09", "raster:bands": STATED}, 1000),
    ],
    ids=["planetary computer, old", "planetary computer", "earth search", "collection 1"],
)
def test_the_same_ground_has_the_same_reflectance_however_it_is_published(server, tmp_path, red, scl, says, shift):
    truth = noise((120, 120), seed=1, low=1, high=9000)
    classes = noise((60, 60), seed=2, low=0, high=12).astype("uint8")
    item = sentinel2_item(server.folder, server.address, "A", BEFORE, {red: truth + np.uint16(shift)}, TEN, says=says)
    coarse = sentinel2_item(server.folder, server.address, "B", BEFORE, {scl: classes}, Footprint(cell=20.0), says=says)
    item["assets"].update(coarse["assets"])
    server.items.append(item)
    options = {"bands": ["red", "quality"]}
    stack = read_sentinel2(request_to(server.address, grid_of((100, 100), 10.0), tmp_path / "cache", options=options))
    with dask.config.set(scheduler="synchronous"):
        stack = stack.compute()
    np.testing.assert_allclose(stack["red"][0], truth[:100, :100] * 0.0001, atol=1e-6)
    np.testing.assert_array_equal(stack["quality"][0], np.kron(classes, np.ones((2, 2), int))[:100, :100])


def test_classes_are_those_of_the_scene_classification_and_known():
    assert len(QUALITY) == 11
    assert QUALITY[3:6] == ("vegetation", "not vegetated", "water")
    assert set(QUALITY) <= set(LOOKS)
    assert set(PRODUCT.assets) == {band.name for band in PRODUCT.bands}
