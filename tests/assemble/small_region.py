"""Small files for the tests of builds: rasters, vectors, and where cells are."""

import warnings
from pathlib import Path

import geopandas as gpd
import numpy as np
import rasterio
import shapely
from affine import Affine

LEFT, TOP, CELL = 500_000.0, 5_100_000.0, 30.0


def from_origin(left: float, top: float, width: float, height: float) -> Affine:
    return Affine(width, 0, left, 0, -height, top)


def write_raster(path: Path, array: np.ndarray, *, crs="EPSG:32633", transform=None, nodata=None, **more) -> Path:
    transform = transform or from_origin(LEFT, TOP, CELL, CELL)
    planes = array[None] if array.ndim == 2 else array
    options = {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"} | more
    with rasterio.open(
        path, "w", driver="GTiff", height=planes.shape[1], width=planes.shape[2], count=planes.shape[0],
        dtype=planes.dtype, crs=crs, transform=transform, nodata=nodata, **options,
    ) as file:  # fmt: skip
        file.write(planes)
    return path


def write_vector(path: Path, shapes: list, *, crs="EPSG:32633", **columns) -> Path:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "'crs' was not provided")
        gpd.GeoDataFrame(columns, geometry=shapes, crs=crs).to_file(path, driver="GPKG")
    return path


def place(col: float, row: float) -> tuple[float, float]:
    """The point at a column and row of the region's grid."""
    return LEFT + col * CELL, TOP - row * CELL


def cells_box(col: float, row: float, cols: float, rows: float) -> shapely.Polygon:
    """The box of some cells of the region's grid."""
    x, y = place(col, row)
    return shapely.box(x, y - rows * CELL, x + cols * CELL, y)


def hills(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    z = 800 + 200 * np.sin(x / 23) * np.cos(y / 31) + 3 * rng.normal(size=shape)
    return z.astype("float32")
