"""Laws of clear looks: classes by name, growth is a disc, blocks with context are the whole, unknown is refused."""

from importlib import import_module

import numpy as np
import pytest

from headscarp.core.band import Band
from headscarp.core.errors import RecipeError, StackError
from headscarp.imagery import clear_looks, hide

LANDSAT = Band(
    "quality",
    "categorical",
    classes=("clear", "cloud", "cloud shadow", "snow", "water", "dilated cloud", "cirrus"),
)
CLEAR, CLOUD, SHADOW, SNOW, WATER, DILATED, CIRRUS = range(1, 8)


def test_classes_are_told_apart_by_their_names():
    codes = np.arange(8, dtype=np.uint8).reshape(2, 4)
    expected = np.isin(codes, (CLEAR, WATER))
    np.testing.assert_array_equal(clear_looks(codes, LANDSAT), expected)
    shuffled = Band("quality", "categorical", classes=LANDSAT.classes[::-1])
    turned = np.where(codes == 0, 0, 8 - codes).astype(np.uint8)
    np.testing.assert_array_equal(clear_looks(turned, shuffled), expected)
    with_snow = clear_looks(codes, LANDSAT, clear=("clear", "Water", "SNOW"))
    np.testing.assert_array_equal(with_snow, np.isin(codes, (CLEAR, WATER, SNOW)))


@pytest.mark.parametrize("sensor", ["landsat", "sentinel2"])
def test_every_class_of_the_sources_is_known(sensor):
    classes = import_module(f"headscarp.sources.{sensor}").QUALITY
    codes = np.arange(len(classes) + 1, dtype=np.uint8)[None]
    seen = clear_looks(codes, Band("quality", "categorical", classes=classes))
    assert 0 < seen.sum() < len(classes)
    assert not any(seen[0, 1 + i] for i, name in enumerate(classes) if "cloud" in name or "cirrus" in name)


@pytest.mark.parametrize("grow_px", [0, 1, 2, 5])
def test_growth_is_a_disc_around_clouds_and_shadows_in_their_own_frame(grow_px):
    rows, columns = np.mgrid[-8:9, -8:9]
    within = rows**2 + columns**2 <= grow_px**2 + grow_px
    for seed in (CLOUD, SHADOW, CIRRUS, DILATED):
        codes = np.full((2, 17, 17), CLEAR, np.uint8)
        codes[0, 8, 8] = seed
        found = clear_looks(codes, LANDSAT, grow_px=grow_px)
        np.testing.assert_array_equal(found[0], ~within)
        assert found[1].all()


def test_snow_and_missing_cells_do_not_grow():
    codes = np.full((9, 9), CLEAR, np.uint8)
    codes[4, 4], codes[2, 2] = SNOW, 0
    found = clear_looks(codes, LANDSAT, grow_px=2)
    np.testing.assert_array_equal(found, codes == CLEAR)


@pytest.mark.parametrize("grow_px", [1, 3])
def test_a_block_with_its_context_is_the_whole(grow_px):
    generator = np.random.default_rng(0)
    codes = generator.choice([CLEAR, CLOUD, SNOW, 0], p=[0.9, 0.02, 0.05, 0.03], size=(3, 40, 50)).astype(np.uint8)
    whole = clear_looks(codes, LANDSAT, grow_px=grow_px)
    for top, left in ((0, 0), (13, 17), (27, 36)):
        north, west = max(0, top - grow_px), max(0, left - grow_px)
        block = clear_looks(codes[:, north : top + 13 + grow_px, west : left + 14 + grow_px], LANDSAT, grow_px=grow_px)
        inside = block[:, top - north : top - north + 13, left - west : left - west + 14]
        np.testing.assert_array_equal(inside, whole[:, top : top + 13, left : left + 14])


def test_a_sky_without_clouds_is_clear_however_much_grows():
    assert clear_looks(np.full((5, 5), WATER, np.uint8), LANDSAT, grow_px=50).all()


def test_hiding_sets_all_bands_of_a_look_to_missing():
    frames = np.ones((2, 3, 4, 5), np.float32)
    clear = np.ones((2, 4, 5), bool)
    clear[1, 2, 3] = False
    hidden = hide(frames, clear)
    assert np.isnan(hidden[1, :, 2, 3]).all()
    assert np.isnan(hidden).sum() == 3
    assert hidden.dtype == np.float32


def test_unknown_classes_and_codes_are_refused_with_advice():
    codes = np.ones((3, 3), np.uint8)
    strange = Band("quality", "categorical", classes=("clear", "sun glint"))
    with pytest.raises(StackError, match=r"sun glint; say which of its classes are clear"):
        clear_looks(codes, strange)
    assert clear_looks(codes, strange, clear=["clear"]).all()
    with pytest.raises(RecipeError, match="clear names ice; band 'quality' has: clear, cloud"):
        clear_looks(codes, LANDSAT, clear=["clear", "ice"])
    with pytest.raises(RecipeError, match="no class"):
        clear_looks(codes, LANDSAT, clear=[])
    with pytest.raises(StackError, match="holds code 9, but has 7 classes"):
        clear_looks(np.full((2, 2), 9, np.uint8), LANDSAT)
    with pytest.raises(StackError, match="uint8"):
        clear_looks(np.ones((2, 2)), LANDSAT)
    with pytest.raises(StackError, match="categorical quality band"):
        clear_looks(codes, Band("ndvi", "continuous"))
    with pytest.raises(RecipeError, match="grow_px is -1"):
        clear_looks(codes, LANDSAT, grow_px=-1)
