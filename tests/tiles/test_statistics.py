"""Laws of training statistics: they are numpy's on the training pixels, and know nothing of the others."""

import numpy as np
import pytest

from headscarp.core.band import feature_names
from headscarp.core.errors import SplitError
from headscarp.core.stack import LABEL, feature_bands
from headscarp.core.tile import Window
from headscarp.tiles.splits import PARTS, split_blocks
from headscarp.tiles.statistics import labelled_table, training_statistics

SHAPE = (130, 170)


@pytest.fixture(autouse=True)
def small_windows(monkeypatch):
    monkeypatch.setattr("headscarp.tiles.statistics._BLOCK_PX", 48)


@pytest.fixture
def stack(world):
    return world(SHAPE)


@pytest.fixture
def split(stack):
    return split_blocks(stack, block_size_m=200, buffer_m=30, seed=1)


def masks(stack, split):
    codes = split.codes(Window(0, 0, *SHAPE))
    return {name: (codes == k) & (stack.valid.to_numpy() == 1) for k, name in enumerate(PARTS, start=1)}


def test_mean_deviation_and_prevalence_are_numpys(stack, split, bands):
    training = masks(stack, split)["train"]
    found = training_statistics(stack, split, bands)
    values = stack.elevation.to_numpy()[training].astype(np.float64)
    labels = stack[LABEL].to_numpy()[training]
    assert set(found.mean) == set(found.std) == {"elevation"}
    np.testing.assert_allclose(found.mean["elevation"], values.mean(), rtol=1e-12)
    np.testing.assert_allclose(found.std["elevation"], values.std(), rtol=1e-12)
    assert found.prevalence == (labels == 1).sum() / (labels <= 1).sum()


def test_pixels_outside_training_change_nothing(stack, split, bands):
    before = training_statistics(stack, split, bands)
    other = ~masks(stack, split)["train"]
    spoilt = stack.copy(deep=True)
    spoilt.elevation.to_numpy()[other] = np.inf
    spoilt[LABEL].to_numpy()[other] = 1
    assert training_statistics(spoilt, split, bands) == before


def test_the_number_of_workers_changes_nothing(stack, split, bands):
    assert training_statistics(stack, split, bands, workers=3) == training_statistics(stack, split, bands)


def test_constants_have_deviation_one_and_missing_values_do_not_count(stack, split, bands):
    stack.elevation[:] = 1234.5
    stack.elevation[::2] = np.nan
    found = training_statistics(stack, split, bands)
    assert found.mean["elevation"] == pytest.approx(1234.5)
    assert found.std["elevation"] == 1.0


def test_far_from_zero_no_digit_is_lost(stack, split, bands):
    training = masks(stack, split)["train"]
    stack.elevation[:] = (1e6 + np.random.default_rng(0).normal(size=SHAPE)).astype(np.float32)
    found = training_statistics(stack, split, bands)
    expected = stack.elevation.to_numpy()[training].astype(np.float64).std()
    assert found.std["elevation"] == pytest.approx(expected, rel=1e-9)


def test_without_labels_there_are_no_statistics(stack, split, bands):
    with pytest.raises(SplitError, match="no labelled valid pixel"):
        training_statistics(stack.drop_vars(LABEL), split, bands)


@pytest.mark.parametrize("part", [*PARTS, None])
def test_the_table_holds_the_labelled_pixels_of_its_part_once(stack, split, bands, part):
    x, y, rows, cols = labelled_table(stack, bands, split=split if part else None, part=part)
    wanted = masks(stack, split)[part] if part else stack.valid.to_numpy() == 1
    wanted = wanted & (stack[LABEL].to_numpy() != 255)
    found = np.zeros(SHAPE, int)
    np.add.at(found, (rows, cols), 1)
    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(y, stack[LABEL].to_numpy()[rows, cols])
    names = feature_names(bands)
    assert x.shape == (len(y), len(names))
    assert x.dtype == np.float32
    column = dict(zip(names, x.T, strict=True))
    np.testing.assert_array_equal(column["elevation"], stack.elevation.to_numpy()[rows, cols])
    aspect = np.deg2rad(stack.aspect.to_numpy()[rows, cols])
    np.testing.assert_allclose(column["aspect:north"], np.cos(aspect), atol=1e-6)
    np.testing.assert_allclose(column["aspect:east"], np.sin(aspect), atol=1e-6)
    rock = stack.rock.to_numpy()[rows, cols]
    for code, label in enumerate(("no value", "granite", "marl", "flysch")):
        np.testing.assert_array_equal(column[f"rock={label}"], rock == code)


def test_directions_that_are_missing_point_nowhere(stack, bands):
    stack.aspect[:] = np.nan
    x, *_ = labelled_table(stack, bands)
    assert (x[:, 1:3] == 0).all()


def test_what_is_missing_of_an_optional_band_is_told_and_finite(stack, bands):
    stack.elevation[:20] = np.nan
    stack.elevation.attrs["optional"] = True
    told = feature_bands(stack)
    x, _, rows, _ = labelled_table(stack, told)
    assert feature_names(told)[:2] == ("elevation", "elevation:present")
    np.testing.assert_array_equal(x[:, 1], rows >= 20)
    assert (x[rows < 20, 0] == 0).all()
    assert x.shape[1] == len(feature_names(bands)) + 1
    before = stack.elevation.values[20:][stack.valid.values[20:] == 1]
    assert training_statistics(stack, None, told).mean["elevation"] == pytest.approx(before.mean(dtype=float))


def test_a_limit_draws_some_of_the_rows_by_seed(stack, split, bands):
    whole = labelled_table(stack, bands, split=split, part="train")
    some = labelled_table(stack, bands, split=split, part="train", limit=200, seed=4)
    again = labelled_table(stack, bands, split=split, part="train", limit=200, seed=4)
    assert len(some[1]) == 200
    for a, b in zip(some, again, strict=True):
        np.testing.assert_array_equal(a, b)
    where = {(r, c): x.tobytes() for r, c, x in zip(whole[2], whole[3], whole[0], strict=True)}
    assert all(where[r, c] == x.tobytes() for r, c, x in zip(some[2], some[3], some[0], strict=True))
    assert len(set(zip(some[2], some[3], strict=True))) == 200
