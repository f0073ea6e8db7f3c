"""Terrain against other programs on real ground: SAGA's published rasters, GDAL's slope, aspect and position."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import rasterio

from headscarp.terrain import aspect, derive, slope, topographic_position

DATA = os.environ.get("HEADSCARP_DATA")
GDALDEM = shutil.which("gdaldem")
needs_data = pytest.mark.skipif(DATA is None, reason="HEADSCARP_DATA names no folder of real data")
needs_gdaldem = pytest.mark.skipif(GDALDEM is None, reason="the program gdaldem is not installed")


def read(*parts):
    """First band as float32 with its cell size (dy, dx), or a skip that says what is not there."""
    path = Path(DATA, *parts)
    if not path.exists():
        pytest.skip(f"{path} is not there")
    with rasterio.open(path) as raster:
        return raster.read(1).astype(np.float32), (abs(raster.transform.e), raster.transform.a)


@needs_data
@pytest.mark.parametrize(("band", "name"), [(1, "slope"), (2, "plan_curvature"), (3, "profile_curvature")])
def test_zevenbergen_thorne_equals_the_published_ecuador_raster(band, name):
    dem, cell_size_m = read("ecuador_susceptibility", "dem_rsaga.tif")
    with rasterio.open(Path(DATA, "ecuador_susceptibility", "ta.tif")) as raster:
        published = raster.read(band)
    dem = np.where(np.isfinite(published), dem, np.nan)
    found = derive(dem, cell_size_m, [name], method="zevenbergen_thorne")[name]
    both = np.isfinite(found)
    assert both.mean() > 0.98
    assert np.abs(found[both] - published[both]).max() < 1e-3


@needs_data
def test_horn_slope_equals_the_published_jiuzhaigou_raster():
    dem, cell_size_m = read("terrain_reference", "jiuzhaigou_30m", "DEM_030.tif")
    published, _ = read("terrain_reference", "jiuzhaigou_30m", "DEM_030_SLOPE.tif")
    found = slope(dem, cell_size_m)
    both = np.isfinite(found) & (published >= 0)
    assert both.sum() > 350_000
    assert np.abs(found[both] - published[both]).max() < 1e-3


@needs_data
@needs_gdaldem
@pytest.mark.parametrize("algorithm", ["Horn", "ZevenbergenThorne"])
def test_slope_and_aspect_equal_gdaldem_with_missing_cells(tmp_path, algorithm):
    dem, cell_size_m = read("terrain_reference", "jiuzhaigou_30m", "DEM_030.tif")
    dem[dem == 0] = np.nan
    method = {"Horn": "horn", "ZevenbergenThorne": "zevenbergen_thorne"}[algorithm]
    theirs = gdaldem(tmp_path, dem, cell_size_m, "slope", "-alg", algorithm)
    found = slope(dem, cell_size_m, method=method)
    assert np.array_equal(np.isnan(found), np.isnan(theirs))
    assert np.nanmax(np.abs(found - theirs)) < 1e-3
    # gdaldem takes cells as square for aspect, which these are to within 0.02 % (0.004 degrees of aspect).
    theirs = gdaldem(tmp_path, dem, (30.0, 30.0), "aspect", "-alg", algorithm)
    found = aspect(dem, 30.0, method=method)
    assert np.array_equal(np.isnan(found), np.isnan(theirs))
    assert np.nanmax(np.abs((found - theirs + 180) % 360 - 180)) < 1e-3


@needs_data
@needs_gdaldem
def test_topographic_position_at_one_cell_equals_gdaldem(tmp_path):
    dem, cell_size_m = read("ecuador_susceptibility", "dem_rsaga.tif")
    theirs = gdaldem(tmp_path, dem, cell_size_m, "TPI")
    both = np.isfinite(theirs)
    assert both.mean() > 0.9
    assert np.abs(topographic_position(dem, 1)[both] - theirs[both]).max() < 1e-3


def gdaldem(folder, dem, cell_size_m, *words):
    """What gdaldem makes of a dem, missing = NaN."""
    source, target = folder / "dem.tif", folder / "out.tif"
    profile = {"driver": "GTiff", "height": dem.shape[0], "width": dem.shape[1], "count": 1, "dtype": "float32"}
    transform = rasterio.Affine(cell_size_m[1], 0, 0, 0, -cell_size_m[0], 0)
    with rasterio.open(source, "w", **profile, crs="EPSG:32648", transform=transform, nodata=-32768) as raster:
        raster.write(np.where(np.isfinite(dem), dem, -32768).astype(np.float32), 1)
    subprocess.run([GDALDEM, words[0], source, target, *words[1:], "-q"], check=True)
    with rasterio.open(target) as raster:
        band = raster.read(1)
        return np.where(band == raster.nodata, np.nan, band)
