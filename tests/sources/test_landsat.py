"""Landsat: the quality bits by a truth table, numbers as the item or else the guide means them."""

import numpy as np
import pytest

from headscarp.imagery.clouds import LOOKS
from headscarp.sources.landsat import LANDSAT, PRODUCT, QUALITY, decode_quality
from headscarp.sources.products import Scaling, scene_of

# Values of QA_PIXEL with their bits, as the Landsat 8-9 Collection 2 product guide (LSDS-1619) interprets them.
GUIDE = {
    1: None,  # fill
    21824: "clear",  # clear, low confidences
    21826: "dilated cloud",
    21888: "water",
    21890: "dilated cloud",  # over water
    22280: "cloud",
    23826: "cloud shadow",
    23888: "cloud shadow",
    23952: "cloud shadow",  # over water
    30048: "snow",
    54596: "cirrus",
    55052: "cloud",  # under cirrus
}


@pytest.mark.parametrize("value", sorted(GUIDE))
def test_the_values_of_the_guide_decode(value):
    label = GUIDE[value]
    code = decode_quality(np.array([[float(value)]]))[0, 0]
    assert code == (0 if label is None else QUALITY.index(label) + 1)


def test_every_combination_of_bits_follows_the_precedence():
    bits = {"cloud": 3, "cloud shadow": 4, "dilated cloud": 1, "cirrus": 2, "snow": 5, "water": 7, "clear": 6}
    values = np.arange(256)
    wanted = np.zeros(256, int)
    for value in values:
        if value & 1:
            continue
        set_bits = [label for label, bit in bits.items() if value >> bit & 1]
        wanted[value] = QUALITY.index(set_bits[0]) + 1 if set_bits else 0
    np.testing.assert_array_equal(decode_quality(values[None].astype(float))[0], wanted)
    # The confidences in the upper bits change nothing.
    np.testing.assert_array_equal(decode_quality(values[None] + float(0b1010_1101_0000_0000))[0], wanted)
    assert decode_quality(np.array([[np.nan]]))[0, 0] == 0


def test_every_class_is_known_to_those_who_look_for_clear_cells():
    assert set(QUALITY) <= set(LOOKS)


def item(asset):
    return {
        "id": "A", "properties": {"datetime": "2020-05-01T10:00:00Z"}, "assets": {"red": asset, "qa_pixel": asset},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ({}, Scaling(0.0000275, -0.2, 0)),
        ({"raster:bands": [{"scale": 0.0001, "offset": 0.5, "nodata": 9}]}, Scaling(0.0001, 0.5, 9)),
        ({"raster:bands": [{"nodata": 9}]}, Scaling(0.0000275, -0.2, 9)),
        ({"bands": [{"raster:scale": 2.0, "raster:offset": 3.0, "nodata": -1}]}, Scaling(2.0, 3.0, -1)),
        ({"raster:scale": 2.0, "raster:offset": 0, "nodata": 1}, Scaling(2.0, 0.0, 1)),
    ],
)
def test_what_the_item_says_goes_before_what_is_published(said, wanted):
    scene = scene_of(item({"href": "https://example.org/a.tif", **said}), PRODUCT)
    assert scene.looks["red"].scaling == wanted
    assert scene.looks["quality"].scaling == Scaling(nodata=wanted.nodata if said else None)


def test_files_in_a_public_bucket_have_an_address():
    scene = scene_of(item({"href": "s3://bucket/a/b.tif"}), PRODUCT)
    assert scene.looks["red"].address == "https://bucket.s3.amazonaws.com/a/b.tif"


def test_the_source_names_what_it_needs():
    assert LANDSAT.needs_dates
    assert LANDSAT.makes == "stack"
