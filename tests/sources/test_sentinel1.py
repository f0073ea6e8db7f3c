"""Sentinel-1: power becomes decibels after it is brought onto the grid; passes up and down never share a frame."""

import dask
import numpy as np
import pytest
from scene_requests import grid_of, plain_warp, request_to

from headscarp.core.errors import RecipeError, SourceError
from headscarp.sources.sentinel1 import decibels, read_sentinel1
from services.holdings import Footprint, sentinel1_item
from services.search import SearchServer

TEN = Footprint(cell=10.0)


@pytest.fixture
def server(tmp_path):
    with SearchServer(tmp_path / "files") as running:
        yield running


def add(server, name, time, orbit, *, seed=1):
    rng = np.random.default_rng(seed)
    pixels = {band: rng.gamma(4, 0.02, (200, 220)).astype("float32") for band in ("vv", "vh")}
    pixels["vv"][:10] = -32768
    pixels["vh"][5, 5] = 0
    server.items.append(sentinel1_item(server.folder, server.address, name, time, pixels, TEN, orbit=orbit))
    return pixels


def computed(stack):
    with dask.config.set(scheduler="synchronous"):
        return stack.compute()


def test_decibels():
    np.testing.assert_allclose(decibels(np.array([1.0, 10.0, 0.001])), [0, 10, -30])
    assert np.isnan(decibels(np.array([0.0, -1.0, np.nan]))).all()


def test_power_becomes_decibels_and_what_has_none_is_missing(server, tmp_path):
    pixels = add(server, "A", "2020-05-01T17:00:00Z", "ascending")
    stack = computed(read_sentinel1(request_to(server.address, grid_of((150, 150), 10.0), tmp_path / "cache")))
    assert stack["vv"].attrs["units"] == "dB"
    assert np.isnan(stack["vv"][0, :10]).all()
    wanted = (10 * np.log10(pixels["vv"][10:150, :150].astype(float))).astype("float32")
    np.testing.assert_array_equal(stack["vv"][0, 10:], wanted)
    assert np.isnan(stack["vh"][0, 5, 5])


def test_a_coarser_grid_averages_power_not_decibels(server, tmp_path):
    pixels = add(server, "A", "2020-05-01T17:00:00Z", "ascending")
    grid = grid_of((50, 50), 30.0, top=5_000_000.0 - 300)
    stack = computed(read_sentinel1(request_to(server.address, grid, tmp_path / "cache")))
    mean = pixels["vv"][30:180, :150].astype(float).reshape(50, 3, 50, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(stack["vv"][0], 10 * np.log10(mean), atol=1e-4)
    warped = plain_warp(server.folder / "A" / "vv.tif", grid, resampling="average", nodata=-32768, shrink=3)
    np.testing.assert_allclose(stack["vv"][0], 10 * np.log10(warped), atol=1e-4)


def test_passes_up_and_down_are_frames_of_their_own_in_order_of_time(server, tmp_path):
    add(server, "evening", "2020-05-01T17:00:00Z", "ascending")
    add(server, "evening, next slice", "2020-05-01T17:00:25Z", "ascending")
    add(server, "morning", "2020-05-01T05:00:00Z", "descending")
    add(server, "next day", "2020-05-02T17:00:00Z", "ascending")
    request = request_to(server.address, grid_of((50, 50), 10.0), tmp_path / "cache")
    stack = read_sentinel1(request)
    assert stack["orbit"].to_numpy().tolist() == ["descending", "ascending", "ascending"]
    assert stack["scenes_in_frame"].to_numpy().tolist() == [1, 2, 1]
    assert (np.diff(stack["time"].to_numpy()) > np.timedelta64(0)).all()


def test_one_direction_can_be_asked_for(server, tmp_path):
    add(server, "evening", "2020-05-01T17:00:00Z", "ascending")
    add(server, "morning", "2020-05-01T05:00:00Z", "descending")
    grid = grid_of((50, 50), 10.0)
    ask = lambda orbit: request_to(server.address, grid, tmp_path / "cache", options={"orbit": orbit})  # noqa: E731
    assert read_sentinel1(ask("descending")).attrs["scenes"] == ["morning"]
    with pytest.raises(RecipeError, match="ascending or descending"):
        read_sentinel1(ask("up"))
    del server.items[1]
    with pytest.raises(SourceError, match="leave none"):
        read_sentinel1(request_to(server.address, grid, tmp_path / "other", options={"orbit": "descending"}))
