"""Elevation from tiles of degrees: one picture without time, in true metres, without a seam where tiles meet."""

import dask
import numpy as np
import pytest
from scene_requests import grid_of, request_to

from headscarp.core.errors import SourceError
from headscarp.core.grid import cell_size_m
from headscarp.sources.copernicus_dem import COPERNICUS_DEM, read_copernicus_dem
from headscarp.terrain import slope
from services.holdings import Footprint, dem_item
from services.search import SearchServer

CELL = 1 / 3600
GRID = grid_of((80, 200), left=500_000.0, top=4_983_500.0)


@pytest.fixture
def server(tmp_path):
    with SearchServer(tmp_path / "files") as running:
        yield running


def add_tiles(server, heights):
    """One field of heights over longitude and latitude, cut into two tiles that meet at 15.02 degrees east."""
    rows, cols = np.mgrid[:180, :360] + 0.5
    values = heights(14.99 + cols * CELL, 45.01 - rows * CELL).astype("float32")
    for name, first in (("west", 0), ("east", 108)):
        place = Footprint(left=14.99 + first * CELL, top=45.01, cell=CELL, crs="EPSG:4326")
        part = values[:, :108] if name == "west" else values[:, 108:]
        server.items.append(dem_item(server.folder, server.address, name, np.ascontiguousarray(part), place))


def computed(stack):
    with dask.config.set(scheduler="synchronous"):
        return stack.compute()


def test_tiles_become_one_elevation_in_metres_without_a_seam(server, tmp_path):
    # A plane that rises by 20 m a cell to the east: the slope that the ground has, everywhere alike.
    add_tiles(server, lambda lon, lat: (lon - 14.99) / CELL * 20 + 100)
    stack = read_copernicus_dem(request_to(server.address, GRID, tmp_path / "cache", dates=None))
    assert stack["elevation"].dims == ("y", "x")
    assert stack["elevation"].attrs["units"] == "m"
    elevation = computed(stack)["elevation"].to_numpy()
    assert np.isfinite(elevation).all()
    east_m = 111_320 * np.cos(np.deg2rad(44.99)) * CELL
    found = slope(elevation, cell_size_m=cell_size_m(GRID))[2:-2, 2:-2]
    np.testing.assert_allclose(found, np.rad2deg(np.arctan(20 / east_m)), atol=0.3)


def test_any_window_over_the_seam_has_the_same_bits(server, tmp_path):
    rng = np.random.default_rng(0)
    add_tiles(server, lambda lon, lat: rng.normal(500, 100, lon.shape))
    stack = read_copernicus_dem(request_to(server.address, GRID, tmp_path / "cache", dates=None))
    whole = computed(stack)["elevation"].to_numpy()
    for row, col in ((0, 30), (13, 45), (37, 7)):
        part = computed(stack.isel(y=slice(row, row + 40), x=slice(col, col + 33)))["elevation"]
        np.testing.assert_array_equal(part, whole[row : row + 40, col : col + 33])


def test_a_tile_that_cannot_be_had_is_missing_and_listed(server, tmp_path):
    add_tiles(server, lambda lon, lat: lat * 0 + 7)
    server.dead.add("west/dem.tif")
    request = request_to(server.address, GRID, tmp_path / "cache", dates=None)
    elevation = computed(read_copernicus_dem(request))["elevation"].to_numpy()
    edge = (15.02 - 15) * 111_320 * np.cos(np.deg2rad(44.99)) / 30
    assert np.isnan(elevation[:, : int(edge) - 1]).all()
    assert (elevation[:, int(edge) + 2 :] == 7).all()
    assert [missing.source for missing in request.client.missing] == ["copernicus-dem"]


def test_a_place_without_tiles_is_told(server, tmp_path):
    with pytest.raises(SourceError, match="no scene of cop-dem-glo-30 at any time"):
        read_copernicus_dem(request_to(server.address, GRID, tmp_path / "cache", dates=None))
    assert not COPERNICUS_DEM.needs_dates
