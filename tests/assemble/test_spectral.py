"""Indices, change and what was seen of both dates: laws on small images, one of them coarse and full of holes."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
from small_region import CELL, LEFT, TOP, from_origin, hills, write_raster

from headscarp.assemble import build, recipe_from_dict
from headscarp.core.errors import RecipeError
from headscarp.core.stack import stack_bands
from headscarp.imagery.indices import index

SHAPE = (300, 280)


def image(name, file, **more):
    return {"name": name, "raster": file, **more}


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Red and infrared of two dates; the one before has cells twice as wide, stored as whole numbers, with holes."""
    folder, rng = tmp_path_factory.mktemp("pair"), np.random.default_rng(0)
    coarse = (SHAPE[0] // 2, SHAPE[1] // 2)
    clouds = np.add.outer(np.arange(coarse[0]), np.arange(coarse[1])) % 90 < 36
    grid = from_origin(LEFT, TOP, 2 * CELL, 2 * CELL)
    for name, level in (("red", 600), ("nir", 3000)):
        before = (level + 200 * rng.random(coarse)).astype("uint16")
        for what, under in (("", 0), ("_rubbish", 65535)):
            write_raster(
                folder / f"before_{name}{what}.tif", np.where(clouds, under, before).astype("uint16"),
                transform=grid, nodata=under,
            )  # fmt: skip
        after = (level / 1e4 + 0.05 * rng.random(SHAPE)).astype("float32")
        write_raster(folder / f"after_{name}.tif", after)
        write_raster(folder / f"flat_{name}.tif", np.full(SHAPE, level / 1e4, "float32"))
    write_raster(folder / "dem.tif", hills(SHAPE))
    names = ("red", "nir")
    bands = [image(f"before_{n}", f"before_{n}.tif", scale=1e-4, optional=True) for n in names]
    bands += [image(f"after_{n}", f"after_{n}.tif") for n in names]
    bands += [
        {"name": "before_ndvi", "spectral": "ndvi", "prefix": "before_"},
        {"name": "after_ndvi", "spectral": "ndvi", "prefix": "after_"},
        {"name": "ndvi_change", "change": "ndvi"},
        {"name": "seen_both", "seen": ["before_", "after_"]},
        image("elevation", "dem.tif", units="m"),
    ]
    return SimpleNamespace(folder=folder, bands=bands)


def make(pair, out, bands=None, **options):
    bands = copy.deepcopy(pair.bands if bands is None else bands)
    data = {"name": "pair", "grid": {"like": "dem.tif"}, "band": bands}
    return build(recipe_from_dict(data, folder=pair.folder), out, **options)


def with_options(pair, **changes):
    return [{**band, **changes.get(band["name"], {})} for band in pair.bands]


@pytest.fixture(scope="module")
def built(pair, tmp_path_factory):
    return make(pair, tmp_path_factory.mktemp("stacks") / "whole.zarr").load()


def same_pixels(one, other):
    assert list(one.data_vars) == list(other.data_vars)
    for name in one.data_vars:
        np.testing.assert_array_equal(one[name].values, other[name].values, err_msg=str(name))


def test_change_is_the_index_after_minus_before_and_missing_where_either_is(built):
    expected = [
        index("ndvi", {name: built[f"{date}_{name}"].values for name in ("red", "nir")}) for date in ("before", "after")
    ]
    np.testing.assert_array_equal(built["before_ndvi"], expected[0])
    np.testing.assert_array_equal(built["ndvi_change"], expected[1] - expected[0])
    missing = np.isnan(built["before_red"].values)
    assert 0.3 < missing.mean() < 0.5
    np.testing.assert_array_equal(np.isnan(built["ndvi_change"].values), missing)


def test_seen_both_is_where_every_image_of_both_dates_has_a_value(built):
    there = np.isfinite(np.stack([built[f"{d}_{n}"].values for d in ("before", "after") for n in ("red", "nir")]))
    np.testing.assert_array_equal(built["seen_both"].values == 1, there.all(axis=0))
    assert built["seen_both"].attrs["classes"] == ["seen"]


def test_blocks_equal_the_whole(pair, built, tmp_path):
    same_pixels(make(pair, tmp_path / "blocks.zarr", block_px=256, workers=2), built)


def test_the_order_of_the_recipe_is_that_of_the_stack_and_changes_nothing_else(pair, built, tmp_path):
    turned = make(pair, tmp_path / "turned.zarr", pair.bands[::-1])
    assert [b.name for b in stack_bands(turned)][:-1] == [band["name"] for band in pair.bands][::-1]
    same_pixels(turned[list(built.data_vars)], built)


def test_holes_of_optional_bands_are_no_holes_of_the_map(pair, built, tmp_path):
    optional = {band.name for band in stack_bands(built) if band.optional}
    assert optional == {"before_red", "before_nir", "before_ndvi", "ndvi_change"}
    assert (built["valid"].values == 1).all()
    assert "not optional" in built["valid"].attrs["source"]
    assert built.attrs["report"]["bands"]["ndvi_change"]["missing_share"] > 0.3
    assert built.attrs["report"]["valid_share"] == 1
    strict = with_options(pair, ndvi_change={"optional": False})
    seen = make(pair, tmp_path / "strict.zarr", strict)
    np.testing.assert_array_equal(seen["valid"].values, built["seen_both"].values)


def test_where_nothing_is_there_no_cell_is_valid_however_optional_all_is(pair, tmp_path):
    holes = make(pair, tmp_path / "holes.zarr", pair.bands[:2])
    np.testing.assert_array_equal(holes["valid"].values == 1, np.isfinite(holes["before_red"].values))
    assert 0 < holes["valid"].values.mean() < 1


def test_what_stands_under_a_hole_changes_nothing(pair, built, tmp_path):
    rubbish = {f"before_{n}": {"raster": f"before_{n}_rubbish.tif"} for n in ("red", "nir")}
    same_pixels(make(pair, tmp_path / "rubbish.zarr", with_options(pair, **rubbish)), built)


def test_the_change_of_equal_dates_is_zero_and_indices_of_constant_bands_are_constant(pair, tmp_path):
    bands = [image(f"{date}_{n}", f"flat_{n}.tif") for date in ("before", "after") for n in ("red", "nir")]
    bands += [{"name": "ndvi", "spectral": "ndvi", "prefix": "after_"}, {"name": "same", "change": "ndvi"}]
    bands += [{"name": "darker", "change": "red"}]
    with pytest.warns(UserWarning, match="over whole areas"):
        stack = make(pair, tmp_path / "flat.zarr", bands)
    for name, expected in (("ndvi", 0.24 / 0.36), ("same", 0), ("darker", 0)):
        np.testing.assert_allclose(stack[name].values, np.float32(expected), rtol=1e-6)
        assert np.ptp(stack[name].values) == 0


def test_a_file_may_stand_behind_several_bands(pair, tmp_path):
    bands = [image("before_height", "dem.tif"), image("after_height", "dem.tif")]
    bands += [{"name": "slope", "terrain": "slope", "from": "after_height"}, {"name": "uplift", "change": "height"}]
    stack = make(pair, tmp_path / "twice.zarr", bands)
    np.testing.assert_array_equal(stack["before_height"], stack["after_height"])
    assert (stack["uplift"].values == 0).all()
    assert np.isfinite(stack["slope"].values[1:-1, 1:-1]).all()


def test_bands_that_are_no_index_are_subtracted_in_their_units(pair, tmp_path):
    bands = [image(f"{date}_vv", f"{date}_red.tif", units="dB") for date in ("before", "after")]
    bands += [{"name": "vv_change", "change": "vv", "optional": True}]
    stack = make(pair, tmp_path / "radar.zarr", bands)
    np.testing.assert_array_equal(stack["vv_change"], stack["after_vv"] - stack["before_vv"])
    assert stack["vv_change"].attrs["units"] == "dB"


@pytest.mark.parametrize(
    ("band", "message"),
    [
        ({"spectral": "ndwi", "prefix": "after_"}, r"ndwi needs a band 'after_green'.*before_red, before_nir"),
        ({"spectral": "ndvy", "prefix": "after_"}, r"did you mean 'ndvi'"),
        ({"change": "ndvi", "before": "old_"}, r"needs a band 'old_red'"),
        ({"change": "swir1"}, r"swir1 needs a band 'before_swir1'"),
        ({"change": "ndvi", "before": "after_"}, r"compares 'after_' with itself"),
        ({"change": "red", "before": "m_"}, r"'m_red' in 'm' with 'after_red' in '1'"),
        ({"spectral": "ndvi", "prefix": "m_"}, r"needs reflectance.*'m_red' is in 'm'"),
        ({"seen": ["later_"]}, r"no image has a name that begins with 'later_'"),
        ({"seen": []}, r"names no prefix"),
        ({"raster": "dem.tif", "kind": "direction", "optional": True}, r"is direction and optional"),
        ({"spectral": "ndvi", "prefx": "after_"}, r"unknown key 'prefx'; did you mean 'prefix'"),
    ],
)
def test_what_cannot_be_is_told(pair, tmp_path, band, message):
    odd = [image("m_red", "after_red.tif", units="m"), image("m_nir", "after_nir.tif")]
    with pytest.raises(RecipeError, match=message):
        make(pair, tmp_path / "odd.zarr", [*pair.bands, *odd, {"name": "odd", **band}])
