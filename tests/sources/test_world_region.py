"""The simulated region: windows agree whatever their size, and there are 94 features exactly."""

import numpy as np
import pytest

from headscarp.core.band import feature_names
from headscarp.core.errors import GridError, OutputError
from headscarp.core.stack import check_stack, feature_bands, fingerprint
from headscarp.core.tile import Window
from headscarp.sources.world import VENETO_SHAPE, simulate_bands, veneto_like
from headscarp.sources.world._noise import add_noise, uniform_plane
from headscarp.sources.world.region import REGION_BANDS
from headscarp.terrain import slope


def test_the_features_are_the_94_of_the_paper():
    names = feature_names(REGION_BANDS)
    assert len(names) == 94
    counts = {band.name: len(feature_names([band])) for band in REGION_BANDS if band.is_feature}
    expected = {"elevation": 1, "slope": 1, "rock_type": 44, "land_cover": 5, "rock_family": 5, "rock_age": 38}
    assert counts == expected


@pytest.mark.parametrize("corner", [(0, 0), (9000, 7000), (20900, 19400), (-7, -9)])
def test_a_window_equals_the_same_part_of_a_larger_one(corner):
    large = simulate_bands(Window(*corner, 90, 120), seed=3)
    small = simulate_bands(Window(corner[0] + 31, corner[1] + 17, 40, 53), seed=3)
    for name, plane in small.items():
        np.testing.assert_array_equal(plane, large[name][31:71, 17:70], err_msg=name)


def test_codes_stay_in_their_tables_and_sea_is_missing():
    sea_seen = False
    for row in range(0, VENETO_SHAPE[0], 5000):
        for col in range(0, VENETO_SHAPE[1], 4700):
            bands = simulate_bands(Window(row, col, 64, 64))
            sea = bands["valid"] == 0
            sea_seen |= sea.any()
            for band in REGION_BANDS:
                plane = bands[band.name]
                assert plane.dtype == band.dtype
                if band.kind == "categorical":
                    assert plane.max() <= len(band.classes)
                    assert (plane[sea] == 0).all()
                if band.kind == "continuous":
                    np.testing.assert_array_equal(np.isnan(plane), sea)
    assert sea_seen


def test_blocks_do_not_change_a_pixel_and_the_stack_is_whole(tmp_path):
    shape = (530, 700)
    one = veneto_like(tmp_path / "one.zarr", shape, seed=2, block_px=256)
    two = veneto_like(tmp_path / "two.zarr", shape, seed=2, block_px=1024, workers=1)
    check_stack(one)
    for name in one.data_vars:
        np.testing.assert_array_equal(one[name].to_numpy(), two[name].to_numpy(), err_msg=str(name))
    assert "not a real place" in one.attrs["simulated"]
    assert len(feature_names(feature_bands(one))) == 94
    assert fingerprint(one) == fingerprint(two) != fingerprint(veneto_like(tmp_path / "3.zarr", shape, seed=3))
    expected = slope(one["elevation"].to_numpy(), 10.0)
    known = np.isfinite(expected)
    np.testing.assert_allclose(one["slope"].to_numpy()[known], expected[known], atol=1 / 128 + 1e-4)


def test_an_output_that_exists_or_a_block_without_sense_is_refused(tmp_path):
    veneto_like(tmp_path / "a.zarr", (64, 64))
    with pytest.raises(OutputError, match="exists already"):
        veneto_like(tmp_path / "a.zarr", (64, 64))
    veneto_like(tmp_path / "a.zarr", (64, 70), overwrite=True)
    with pytest.raises(GridError, match="multiple of 256"):
        veneto_like(tmp_path / "b.zarr", (64, 64), block_px=300)


def test_noise_is_smooth_bounded_and_without_bias():
    plane = np.zeros((512, 512))
    add_noise(plane, -100, 37, 64, 1, 1.0, False)
    assert abs(plane.mean()) < 0.1
    assert np.abs(plane).max() < 1.2
    assert np.abs(np.diff(plane, axis=0)).max() < 0.15
    assert np.abs(np.diff(plane, axis=1)).max() < 0.15
    draws = np.empty((300, 300))
    uniform_plane(draws, 5, 7, 1, 9)
    assert np.abs(np.histogram(draws, 10, (0, 1))[0] - 9000).max() < 5 * 95
    assert abs(np.corrcoef(draws[1:].ravel(), draws[:-1].ravel())[0, 1]) < 0.02
