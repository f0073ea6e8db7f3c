"""check_fits: what a stack must have for a bundle, and what the message says when it has not."""

import dataclasses

import numpy as np
import pytest

from headscarp.core.errors import HeadscarpWarning, StackError
from headscarp.core.stack import VALID, feature_bands
from headscarp.tiles.fits import check_fits, check_one_place


@pytest.fixture
def stack(world):
    return world(40, 30)


@pytest.fixture
def bundle(bundle_of, stack):
    return bundle_of("llr", stack)


def test_bands_are_taken_by_name(bundle, stack):
    turned = stack[list(reversed(list(stack.data_vars)))]
    fit = check_fits(bundle, turned)
    assert [band.name for band in fit.bands] == [band.name for band in bundle.bands]
    assert not fit.recodes


def test_a_missing_band_is_named_with_those_that_are_there(bundle, stack):
    with pytest.raises(StackError, match=r"no band 'slope'.*'elevation', 'aspect', 'lithology'"):
        check_fits(bundle, stack.drop_vars("slope"))


def test_other_units(bundle, stack):
    stack["slope"].attrs["units"] = "percent"
    with pytest.raises(StackError, match=r"'percent' in the stack.*trained on 'degree'"):
        check_fits(bundle, stack)


def test_holes_that_training_never_saw(bundle, stack):
    stack["slope"].attrs["optional"] = True
    with pytest.raises(StackError, match=r"'slope' may be missing.*optional = false"):
        check_fits(bundle, stack)
    learnt = dataclasses.replace(bundle, bands=feature_bands(stack))
    assert check_fits(learnt, stack).bands == learnt.bands
    del stack["slope"].attrs["optional"]
    assert not check_fits(learnt, stack).bands[1].optional


def test_another_kind(bundle, stack):
    stack["aspect"].attrs["kind"] = "continuous"
    with pytest.raises(StackError, match=r"is continuous in the stack.*as direction"):
        check_fits(bundle, stack)


@pytest.mark.parametrize(("trained_m", "fits"), [(10.3, True), (9.7, True), (30.0, False), (9.0, False)])
def test_resolution_within_five_per_cent(trained_m, fits, bundle, stack):
    bundle = dataclasses.replace(bundle, resolution_m=trained_m)
    if fits:
        check_fits(bundle, stack)
        return
    with pytest.raises(StackError, match=f"stack is 10 m but this bundle was trained at {trained_m:g} m; resample"):
        check_fits(bundle, stack)


def test_no_valid_pixel(bundle, stack):
    stack[VALID][:] = 0
    with pytest.raises(StackError, match="no valid pixel"):
        check_fits(bundle, stack)


def test_one_valid_pixel_in_a_far_corner_is_enough(bundle, stack):
    stack[VALID][:] = 0
    stack[VALID][-1, -1] = 1
    check_fits(bundle, stack)


def test_the_same_classes_in_another_order_are_recoded_in_silence(bundle, stack):
    stack["lithology"].attrs["classes"] = ["flysch", "granite", "marl"]
    (band,) = (i for i, b in enumerate(feature_bands(stack)) if b.name == "lithology")
    fit = check_fits(bundle, stack)
    x = np.zeros((4, 1, 4), np.float32)
    x[band] = [0, 1, 2, 3]
    assert fit.recode(x)[band].tolist() == [[0, 3, 1, 2]]


def test_unknown_classes_become_no_value_and_are_named(bundle, stack):
    stack["lithology"].attrs["classes"] = ["granite", "peat", "flysch"]
    with pytest.warns(HeadscarpWarning, match="1 of 3 classes.*'peat'"):
        fit = check_fits(bundle, stack)
    x = np.full((4, 1, 1), 2, np.float32)
    assert fit.recode(x)[3].item() == 0


@pytest.mark.parametrize(("dimension", "check"), [("sample", "place"), ("time", "frame")])
def test_a_map_needs_one_place_and_one_frame(dimension, check, bundle, stack):
    several = stack.expand_dims({dimension: 2})
    with pytest.raises(StackError, match=f"stack.isel.{dimension}="):
        check_one_place(several) if check == "place" else check_fits(bundle, several)


def test_samples_fit_a_bundle_of_their_resolution(bundle, stack):
    samples = stack.expand_dims({"sample": 2}).assign_attrs(pixel_m=bundle.resolution_m)
    assert check_fits(bundle, samples).bands == check_fits(bundle, stack).bands
    with pytest.raises(StackError, match="resample the stack"):
        check_fits(bundle, samples.assign_attrs(pixel_m=3 * bundle.resolution_m))
    with pytest.raises(StackError, match="pixel_m"):
        check_fits(bundle, stack.expand_dims({"sample": 2}))
