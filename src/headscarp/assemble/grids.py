"""The grid that a recipe asks for: that of a raster, or a CRS with a resolution in true metres.

Refuses a resolution in metres where the CRS has none.
"""

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import CRS
from pyproj.exceptions import CRSError
from rasterio.warp import transform_bounds

from headscarp.assemble.places import box_of_file, place_grid
from headscarp.assemble.recipe import Recipe
from headscarp.assemble.tables import RasterBand
from headscarp.assemble.wanted import source_name
from headscarp.core.errors import GridError, RecipeError
from headscarp.core.grid import Grid, cell_corner, check_grid
from headscarp.sources.rasters import grid_crs, raster_grid

_SLACK = 1e-6


def make_grid(recipe: Recipe) -> Grid:
    """The grid of a recipe: like another raster, or in a CRS at a resolution.

    A box or place in degrees is covered by whole cells, in its UTM zone unless there is a crs. Given bounds fix the
    left and upper edge; the right and lower one move out to whole cells. Without any of these the grid
    covers the first raster of the recipe, its edges on whole multiples of the resolution.
    Raises RecipeError, GridError, SourceError.
    """
    wanted = recipe.grid
    if wanted.like is not None:
        return raster_grid(recipe.file(wanted.like))
    if wanted.bbox is not None or wanted.place is not None:
        box = wanted.bbox or box_of_file(recipe.file(str(wanted.place)))
        return place_grid(box, float(wanted.resolution_m or 0), crs=wanted.crs)
    try:
        crs = CRS.from_user_input(wanted.crs)
    except CRSError as error:
        raise RecipeError(f"[grid] crs = {wanted.crs!r} is not known; give e.g. EPSG:32643 ({error})") from error
    if not crs.is_projected:
        raise GridError(
            f"[grid] crs = {wanted.crs!r} has no metres, but resolution_m is given; use a projected CRS such as the "
            'UTM zone of the place, or like = "some.tif" to keep the grid of a geographic raster'
        )
    step = float(wanted.resolution_m or 0)
    left, bottom, right, top = wanted.bounds or _snapped(_first_extent(recipe, crs), step)
    rows, cols = (int(np.ceil(length / step - _SLACK)) for length in (top - bottom, right - left))
    return check_grid(GeoBox((rows, cols), Affine(step, 0.0, left, 0.0, -step, top), crs.to_wkt()))


def _snapped(bounds: tuple[float, float, float, float], step: float) -> tuple[float, ...]:
    low = np.floor(np.array(bounds[:2]) / step + _SLACK) * step
    high = np.ceil(np.array(bounds[2:]) / step - _SLACK) * step
    return (*low.tolist(), *high.tolist())


def _first_extent(recipe: Recipe, crs: CRS) -> tuple[float, float, float, float]:
    first = next((band for band in recipe.bands if _is_file(band)), None)
    if not isinstance(first, RasterBand):
        raise RecipeError("[grid] has no bounds and no band is a raster to take them from; add bounds or like")
    source = raster_grid(recipe.file(first.raster))
    (left, top), (right, bottom) = cell_corner(source, 0, 0), cell_corner(source, source.shape[1], source.shape[0])
    bounds = transform_bounds(grid_crs(source).to_wkt(), crs.to_wkt(), left, bottom, right, top, densify_pts=21)
    if not np.isfinite(bounds).all():
        raise GridError(f"{first.raster} lies outside the area where [grid] crs is defined; give another crs")
    return bounds


def _is_file(band: object) -> bool:
    return isinstance(band, RasterBand) and not source_name(band.raster)
