"""The law of blocks: each derivation on a block with its halo has the same bits as on the whole raster."""

import numpy as np
import pytest

from headscarp.core.errors import GridError, RecipeError
from headscarp.terrain import METHODS, NAMES, derive, halo_px, relief, topographic_position, uphill

ROWS_M = np.linspace(20, 31, 150)
COLUMNS_M = np.linspace(15, 19, 150)


def patchy_dem():
    """Ties, missing cells and a patch of them, more than one chunk of columns wide."""
    generator = np.random.default_rng(3)
    dem = np.round(generator.normal(900, 40, (150, 1300)), 1).astype(np.float32)
    dem[generator.random(dem.shape) < 0.02] = np.nan
    dem[60:90, 500:700] = np.nan
    return dem


def by_blocks(work, dem, halo, rows=47, columns=389):
    """work(block of dem with halo, its rows) for every block, cropped and put together."""
    out = None
    for top in range(0, dem.shape[0], rows):
        for left in range(0, dem.shape[1], columns):
            bottom, right = min(top + rows, dem.shape[0]), min(left + columns, dem.shape[1])
            north, west = max(0, top - halo), max(0, left - halo)
            south, east = min(bottom + halo, dem.shape[0]), min(right + halo, dem.shape[1])
            band = work(dem[north:south, west:east], slice(north, south))
            out = np.empty(dem.shape, band.dtype) if out is None else out
            out[top:bottom, left:right] = band[top - north : bottom - north, left - west : right - west]
    return out


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", NAMES)
def test_neighbourhood_derivations(name, method):
    dem = patchy_dem()

    def work(block, rows):
        return derive(block, (ROWS_M[rows], COLUMNS_M[rows]), [name], method=method)[name]

    blocks = by_blocks(work, dem, halo_px(name))
    assert np.array_equal(blocks, work(dem, slice(None)), equal_nan=True)


@pytest.mark.parametrize("radius_px", [1, 7, 30])
@pytest.mark.parametrize("function", [relief, topographic_position])
def test_disc_derivations(function, radius_px):
    dem = patchy_dem()
    halo = halo_px(function.__name__, radius_px=radius_px)
    blocks = by_blocks(lambda block, _: function(block, radius_px), dem, halo)
    assert np.array_equal(blocks, function(dem, radius_px), equal_nan=True)


@pytest.mark.parametrize("part", [0, 1, 2])
@pytest.mark.parametrize("radius_px", [1, 10, 30])
def test_uphill(radius_px, part):
    dem = patchy_dem()
    halo = halo_px("uphill", radius_px=radius_px)
    blocks = by_blocks(lambda block, _: uphill(block, radius_px)[part], dem, halo)
    assert np.array_equal(blocks, uphill(dem, radius_px)[part])


def test_what_cannot_be_cut_says_so():
    for name in ("flow_accumulation", "wetness_index", "distance_to"):
        with pytest.raises(GridError, match="whole raster"):
            halo_px(name)
    with pytest.raises(RecipeError, match="unknown"):
        halo_px("steepness")
    with pytest.raises(RecipeError, match="radius"):
        halo_px("relief")
