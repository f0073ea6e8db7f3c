"""Laws of composites: those of numpy, order does not matter, blocks are the whole, gaps stay gaps."""

import warnings

import dask.array as da
import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from headscarp.core.band import Band
from headscarp.core.errors import RecipeError, StackError
from headscarp.core.stack import check_stack, make_stack, stack_bands
from headscarp.imagery import COMPOSITES, composite_stack, latest, mean, median, medoid, percentile, valid_share
from headscarp.imagery._sorting import sorting_network
from headscarp.imagery.composites import latest_look, medoid_look, take_looks

BY_BAND = ("median", "mean", "percentile")
BY_LOOK = ("medoid", "latest")


def looks(count=12, bands=3, shape=(20, 30), missing=0.4, seed=0):
    """Ties and gaps in single bands, a cell without any look, one with a single one."""
    generator = np.random.default_rng(seed)
    frames = np.round(generator.random((count, bands, *shape), np.float32), 2)
    frames[generator.random(frames.shape) < missing] = np.nan
    frames[:, :, 0, 0] = np.nan
    frames[1:, :, 0, 1] = np.nan
    frames[0, :, 0, 1] = 0.25
    return frames


def numpys(function, frames, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(frames, axis=0, **options)


@pytest.mark.parametrize("count", range(1, 17))
def test_the_network_sorts(count):
    """A network that sorts all rows of zeros and ones sorts everything (Knuth, section 5.3.4)."""
    every = np.arange(2**count)[:, None] >> np.arange(count) & 1
    for low, high in sorting_network(count):
        every[:, [low, high]] = np.sort(every[:, [low, high]], axis=1)
    assert (np.diff(every, axis=1) >= 0).all()


@pytest.mark.parametrize("count", [1, 2, 3, 7, 40, 133])
def test_the_median_has_the_bits_of_numpys(count):
    frames = looks(count)
    np.testing.assert_array_equal(median(frames), numpys(np.nanmedian, frames))
    np.testing.assert_array_equal(median(frames[:, 0]), numpys(np.nanmedian, frames[:, 0]))


@pytest.mark.parametrize("percent", [0, 10, 25, 50, 90, 100])
def test_percentiles_and_means_are_those_of_numpy(percent):
    frames = looks(17)
    expected = numpys(np.nanpercentile, frames.astype(float), q=percent)
    np.testing.assert_allclose(percentile(frames, percent=percent), expected, rtol=1e-6)
    np.testing.assert_allclose(mean(frames), numpys(np.nanmean, frames.astype(float)), rtol=1e-6)


@pytest.mark.parametrize("rule", COMPOSITES)
def test_no_warning_no_look_is_missing_and_a_single_look_is_itself(rule):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = COMPOSITES[rule](looks())
    assert image.dtype == np.float32
    assert np.isnan(image[:, 0, 0]).all()
    assert (image[:, 0, 1] == np.float32(0.25)).all()


@pytest.mark.parametrize("rule", COMPOSITES)
def test_infinite_is_missing(rule):
    frames = looks()
    infinite = frames.copy()
    infinite[np.isnan(frames)] = np.inf
    infinite[3][np.isnan(frames[3])] = -np.inf
    np.testing.assert_array_equal(COMPOSITES[rule](infinite), COMPOSITES[rule](frames))


@pytest.mark.parametrize("rule", COMPOSITES)
def test_blocks_threads_and_layout_change_nothing(rule):
    frames = looks(shape=(210, 330))
    whole = COMPOSITES[rule](frames, threads=3)
    np.testing.assert_array_equal(COMPOSITES[rule](frames, threads=1), whole)
    block = COMPOSITES[rule](frames[:, :, 31:77, 101:190])
    np.testing.assert_array_equal(block, whole[:, 31:77, 101:190])
    np.testing.assert_array_equal(COMPOSITES[rule](np.asfortranarray(frames)), whole)


@pytest.mark.parametrize("rule", [r for r in COMPOSITES if r != "latest"])
def test_the_order_of_looks_does_not_matter(rule):
    # Few gaps: two looks are equally near to each other, and the earlier one is the medoid.
    frames = looks(missing=0.05)
    frames += np.random.default_rng(1).random(frames.shape, np.float32) / 100
    mixed = frames[np.random.default_rng(2).permutation(len(frames))]
    np.testing.assert_allclose(COMPOSITES[rule](mixed), COMPOSITES[rule](frames), rtol=1e-6)


@pytest.mark.parametrize("rule", BY_LOOK)
def test_whole_looks_are_taken_never_mixed(rule):
    frames = looks()
    image = COMPOSITES[rule](frames)
    same = (frames == image).all(axis=1).any(axis=0)
    complete = np.isfinite(frames).all(axis=1).any(axis=0)
    np.testing.assert_array_equal(same, complete)
    np.testing.assert_array_equal(np.isfinite(image).all(axis=0), complete)


def test_the_medoid_has_the_least_sum_of_distances():
    frames = looks(9, missing=0.1)
    chosen = medoid_look(frames)
    for i, j in ((2, 3), (5, 5), (10, 20), (0, 0), (0, 1)):
        cell = frames[:, :, i, j].astype(float)
        there = np.flatnonzero(np.isfinite(cell).all(axis=1))
        sums = [np.linalg.norm(cell[there] - cell[k], axis=1).sum() for k in there]
        assert chosen[i, j] == (there[int(np.argmin(sums))] if len(there) else -1)


def test_one_cloud_does_not_move_median_or_medoid():
    frames = np.full((5, 2, 4, 4), 0.1, np.float32) + np.arange(5, dtype=np.float32)[:, None, None, None] / 1000
    clouded = frames.copy()
    clouded[3] = 0.9
    for rule in (median, medoid):
        assert np.abs(rule(clouded) - rule(frames)).max() < 0.002


def test_the_latest_is_the_last_complete_look():
    frames = np.stack([np.full((2, 3, 3), t, np.float32) for t in range(4)])
    frames[3, 1, 1, 1] = np.nan
    frames[2:, 0, 2, 2] = np.nan
    expected = np.full((3, 3), 3)
    expected[1, 1], expected[2, 2] = 2, 1
    np.testing.assert_array_equal(latest_look(frames), expected)
    np.testing.assert_array_equal(latest(frames), np.stack([expected, expected]))
    np.testing.assert_array_equal(take_looks(frames, expected), latest(frames))


def test_the_share_counts_looks_with_all_their_bands():
    frames = looks()
    expected = np.isfinite(frames).all(axis=1).mean(axis=0)
    np.testing.assert_allclose(valid_share(frames), expected, rtol=1e-6)
    np.testing.assert_allclose(valid_share(frames[:, 0]), np.isfinite(frames[:, 0]).mean(axis=0), rtol=1e-6)


def test_wrong_input_is_refused_with_advice():
    for wrong in (np.zeros((4, 4)), np.zeros((2, 4, 4), np.int16), np.zeros((0, 4, 4))):
        with pytest.raises(StackError, match=r"floating \(time, y, x\)"):
            median(wrong)
    with pytest.raises(RecipeError, match="percent is 101"):
        percentile(looks(), percent=101)


GRID = GeoBox((20, 30), Affine(10, 0, 500_000, 0, -10, 4_200_000), "EPSG:32610")
QUALITY = Band("quality", "categorical", "1", "made", ("clear", "cloud", "cloud shadow"))


def period(lazy):
    frames = looks(6, bands=2, missing=0.05)
    codes = np.random.default_rng(5).choice([0, 1, 2, 3], p=[0.02, 0.9, 0.05, 0.03], size=(6, 20, 30)).astype(np.uint8)
    keep = (lambda a: da.from_array(a, chunks=(1, 8, 11))) if lazy else np.asarray
    bands = {Band("red", "continuous", "1", "made"): frames[:, 0], Band("nir", "continuous", "1", "made"): frames[:, 1]}
    arrays = {**{b: keep(np.ascontiguousarray(a)) for b, a in bands.items()}, QUALITY: keep(codes)}
    arrays[Band("elevation", "continuous", "m", "made")] = np.ones((20, 30), np.float32)
    time = np.datetime64("2020-01-01", "ns") + np.arange(6) * np.timedelta64(16, "D")
    return make_stack(GRID, arrays, time=time, coords={"orbit": ("time", list("ABABAB"))}), frames, codes


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("rule", COMPOSITES)
def test_a_stack_becomes_its_composite(rule, lazy):
    from headscarp.imagery import clear_looks, hide

    stack, frames, codes = period(lazy)
    made = composite_stack(stack, rule, grow_px=2)
    assert [b.name for b in stack_bands(check_stack(made))] == ["elevation", "red", "nir", "valid_share"]
    assert "time" not in made.dims
    assert "orbit" not in made.coords
    assert f"{rule} of 6 looks, 2020-01-01 to 2020-03-21" in made["red"].attrs["source"]
    clear = hide(frames, clear_looks(codes, QUALITY, grow_px=2))
    if lazy:
        assert isinstance(made["red"].data, da.Array)
        made = made.compute(scheduler="synchronous")
    expected = COMPOSITES[rule](clear)
    np.testing.assert_array_equal(made["red"], expected[0])
    np.testing.assert_array_equal(made["nir"], expected[1])
    np.testing.assert_array_equal(made["valid_share"], valid_share(clear))


def test_stacks_that_have_nothing_to_compose_say_so():
    stack, frames, _ = period(False)
    with pytest.raises(RecipeError, match="'mode' is unknown; choose one of median"):
        composite_stack(stack, "mode")
    with pytest.raises(StackError, match="no continuous band over time"):
        composite_stack(stack[["elevation"]])
    with pytest.raises(StackError, match="no band 'scl'"):
        composite_stack(stack, quality="scl")
    np.testing.assert_array_equal(composite_stack(stack, quality=None)["red"], median(frames[:, 0]))
    low = composite_stack(stack, "percentile", quality=None, percent=0)
    np.testing.assert_array_equal(low["nir"], numpys(np.nanmin, frames[:, 1]))
