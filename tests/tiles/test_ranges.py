"""Numbers on another scale than in training are told, by name; other landscapes and unknown scales are not."""

import warnings

import numpy as np
import pytest
from affine import Affine

from headscarp.core.band import Band
from headscarp.core.bundle import Bundle
from headscarp.core.errors import HeadscarpWarning
from headscarp.core.grid import Grid
from headscarp.core.stack import VALID, make_stack
from headscarp.tiles.ranges import check_ranges

SCALES = {"red": (1500.0, 600.0), "nir": (2600.0, 800.0), "elevation": (700.0, 300.0)}


def stack_of(change=lambda name, values: values, shape=(300, 520)):
    """A place whose numbers are those of training, changed; one corner is not valid and full of nonsense."""
    rng = np.random.default_rng(1)
    valid = np.ones(shape, np.uint8)
    valid[:256, :256] = 0
    arrays = {}
    for name, (mean, std) in SCALES.items():
        values = change(name, rng.normal(mean, std, shape).clip(1, None)).astype(np.float32)
        values[valid == 0] = 1e9
        arrays[Band(name, "continuous", "m" if name == "elevation" else "1")] = values
    grid = Grid(shape, Affine(10, 0, 500_000, 0, -10, 5_000_000), "EPSG:32633")
    return make_stack(grid, {**arrays, Band(VALID, "mask"): valid})


def bundle(scales=SCALES):
    return Bundle("llr", {}, (), 10.0, {}, scales=scales)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda name, v: v / 257 if name == "red" else v, r"'red' is 5\.8.*was 1500.*times as small"),
        (lambda name, v: v * 257 if name == "nir" else v, r"'nir' .*257 times as large"),
        (lambda name, v: np.minimum(v, 255) if name == "nir" else v, r"'nir' .*cut off at 255"),
        (lambda name, v: v + 9000 if name == "elevation" else v, r"'elevation' is 9\d\d\d"),
        (lambda name, v: v / 257, r"'red'.*'nir'.*'elevation'"),
    ],
)
def test_another_scale_is_told_with_the_band(change, told):
    with pytest.warns(HeadscarpWarning, match=told):
        check_ranges(bundle(), stack_of(change))


@pytest.mark.parametrize(
    "change",
    [
        lambda name, v: v,
        lambda name, v: v * 2.5,  # a brighter day
        lambda name, v: np.full_like(v, v.mean()),  # a coarse band, constant over a small place
        lambda name, v: np.where(np.arange(v.size).reshape(v.shape) % 3, v, np.nan),
    ],
)
def test_another_place_is_not(change):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_ranges(bundle(), stack_of(change))
        check_ranges(bundle({}), stack_of(lambda name, v: v / 257))


def test_samples_are_looked_at_too():
    chips = stack_of(lambda name, v: v / 257).expand_dims({"sample": 3})
    with pytest.warns(HeadscarpWarning, match="times as small"):
        check_ranges(bundle(), chips)


@pytest.mark.parametrize("cloudy", [0, 3])
def test_a_clear_day_is_not_another_scale(cloudy):
    def cloud(name, values):
        share = np.zeros_like(values)
        share[-1, :cloudy] = 1
        return share if name == "red" else values

    clear = stack_of(cloud)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_ranges(bundle({**SCALES, "red": (0.12, 0.3)}), clear)
    with pytest.warns(HeadscarpWarning, match="'red' .*times as small"):
        check_ranges(bundle(), clear)  # a band that is nowhere 0 in training
    with pytest.warns(HeadscarpWarning, match="'red' .*times as small"):
        check_ranges(bundle({**SCALES, "red": (0.12, 0.3)}), stack_of(lambda n, v: np.float32(v / 1e6)))
