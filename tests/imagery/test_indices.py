"""Laws of spectral indices: worked examples, ranges, missing stays missing, nothing is cut off in silence."""

import warnings

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from headscarp.core.errors import HeadscarpWarning, RecipeError, StackError
from headscarp.imagery import INDICES, clip_to_range, index

PLANTS = {"blue": 0.03, "green": 0.06, "red": 0.04, "nir": 0.40, "swir1": 0.20, "swir2": 0.10}
BY_HAND = {
    "ndvi": 0.36 / 0.44,
    "ndwi": -0.34 / 0.46,
    "mndwi": -0.14 / 0.26,
    "nbr": 0.30 / 0.50,
    "ndmi": 0.20 / 0.60,
    "ndbi": -0.20 / 0.60,
    "bsi": (0.24 - 0.43) / (0.24 + 0.43),
    "savi": 1.5 * 0.36 / 0.94,
    "evi": 2.5 * 0.36 / (0.40 + 0.24 - 0.225 + 1),
    "brightness": ((0.0009 + 0.0036 + 0.0016) / 3) ** 0.5,
    "redness": -0.02 / 0.10,
}


def planes(**values):
    return {name: np.full((2, 3), value, np.float32) for name, value in {**PLANTS, **values}.items()}


def test_every_index_has_an_example_worked_by_hand():
    assert set(BY_HAND) == set(INDICES)
    for name, expected in BY_HAND.items():
        found = index(name, planes())
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("name", INDICES)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_reflectances_from_0_to_1_stay_in_the_range(name, data):
    share = st.floats(0, 1, width=32)
    bands = {b: np.array([[data.draw(share)]], np.float32) for b in PLANTS}
    value = float(index(name, bands)[0, 0])
    low, high = INDICES[name].range
    assert np.isnan(value) or low - 1e-6 <= value <= high + 1e-6


@pytest.mark.parametrize("name", INDICES)
def test_a_missing_band_makes_the_cell_missing_and_others_do_not_matter(name):
    for band in PLANTS:
        bands = planes()
        bands[band][0, 1] = np.nan
        found = np.isnan(index(name, bands))
        assert found.sum() == (band in INDICES[name].bands)
        assert found[0, 1] == (band in INDICES[name].bands)


@pytest.mark.parametrize("name", INDICES)
def test_dividing_by_zero_is_missing_without_a_word(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dark = index(name, {b: np.zeros((2, 2), np.float32) for b in PLANTS})
        # A band below zero that cancels the other: 0.2 / 0 says nothing either.
        cancelled = index("ndvi", {"red": np.float32([[-0.1]]), "nir": np.float32([[0.1]])})
    defined = {"savi", "evi", "brightness"}
    assert np.isnan(dark).all() == (name not in defined)
    assert np.isnan(cancelled).all()


def test_nothing_is_clipped_and_clipping_is_said():
    bands = {"red": np.float32([[-0.01, 0.1, np.nan]]), "nir": np.float32([[0.3, 0.3, 0.3]])}
    found = index("ndvi", bands)
    assert found[0, 0] > 1
    with pytest.warns(HeadscarpWarning, match=r"50\.00% of ndvi lie outside \[-1, 1\]"):
        clipped = clip_to_range("ndvi", found)
    np.testing.assert_array_equal(clipped, np.float32([[1, found[0, 1], np.nan]]))
    np.testing.assert_array_equal(clip_to_range("ndvi", clipped), clipped)


def test_stacks_stay_lazy_and_get_their_attributes():
    generator = np.random.default_rng(0)
    pixels = {b: generator.random((2, 8, 9), np.float32) for b in PLANTS}
    dims = ("time", "y", "x")
    stack = xr.Dataset({b: (dims, da.from_array(a, chunks=(1, 4, 4))) for b, a in pixels.items()})
    found = index("bsi", stack)
    assert isinstance(found.data, da.Array)
    assert found.dims == dims
    assert found.attrs["kind"] == "continuous"
    assert "Rikimaru" in found.attrs["source"]
    np.testing.assert_array_equal(found.compute(scheduler="synchronous"), index("bsi", pixels))


def test_wrong_input_is_refused_with_advice():
    with pytest.raises(RecipeError, match="'ndvy' is unknown; choose one of ndvi"):
        index("ndvy", planes())
    with pytest.raises(StackError, match="swir2 is not there"):
        index("nbr", {"nir": np.ones((2, 2), np.float32)})
    with pytest.raises(StackError, match="uint16, but ndvi needs reflectance"):
        index("ndvi", {"red": np.ones((2, 2), np.uint16), "nir": np.ones((2, 2), np.uint16)})
