"""A small made-up region on disk: elevation, rain on another grid, rock units, faults, landslides."""

from types import SimpleNamespace

import numpy as np
import pytest
import shapely
from small_region import LEFT, TOP, cells_box, from_origin, hills, place, write_raster, write_vector


@pytest.fixture(scope="session")
def region(tmp_path_factory) -> SimpleNamespace:
    """Paths and a recipe (plain values) of a region of 560 x 600 cells of 30 m."""
    folder = tmp_path_factory.mktemp("region")
    shape = (560, 600)
    dem = hills(shape)
    dem[100:120, 200:230] = np.nan
    write_raster(folder / "dem.tif", dem)
    rng = np.random.default_rng(1)
    units = np.kron(rng.integers(1, 5, (56, 60)), np.ones((10, 10))).astype("uint8")
    write_raster(folder / "rock.tif", units, nodata=0)
    rain = hills((260, 280), 2) + 500
    transform = from_origin(LEFT - 900, TOP + 900, 75, 75)
    write_raster(folder / "rain.tif", rain, transform=transform)
    ages = [cells_box(40 * i, 0, 40, 560) for i in range(15)]
    write_vector(folder / "age.gpkg", ages, age=[f"age {i % 4}" for i in range(15)])
    faults = [shapely.LineString([place(20, 30), place(300.3, 280.7), place(310, 540)])]
    write_vector(folder / "faults.gpkg", faults, name=["main"])
    slides = [shapely.Point(place(*rng.uniform(5, 550, 2))).buffer(rng.uniform(20, 120)) for _ in range(80)]
    slides = [s.union(shapely.box(*s.bounds)) for s in slides]
    write_vector(folder / "slides.gpkg", slides, year=[2000 + i % 10 for i in range(80)])
    recipe = {
        "name": "region",
        "grid": {"like": "dem.tif"},
        "band": [
            {"name": "elevation", "raster": "dem.tif", "units": "m"},
            {"name": "slope", "terrain": "slope", "from": "elevation"},
            {"name": "aspect", "terrain": "aspect", "from": "elevation"},
            {"name": "profile", "terrain": "profile_curvature", "from": "elevation", "method": "zevenbergen_thorne"},
            {"name": "position", "terrain": "topographic_position", "from": "elevation", "radius_m": 200.0},
            {"name": "relief", "terrain": "relief", "from": "elevation", "radius_m": 90.0},
            {"name": "wetness", "terrain": "wetness_index", "from": "elevation"},
            {"name": "rain", "raster": "rain.tif", "units": "mm"},
            {"name": "rain_slope", "terrain": "slope", "from": "rain"},
            {"name": "rock", "raster": "rock.tif", "kind": "categorical"},
            {"name": "age", "vector": "age.gpkg", "attribute": "age"},
            {"name": "fault", "distance_to": "faults.gpkg", "max_m": 3000.0},
        ],
        "label": {"polygons": "slides.gpkg"},
    }
    return SimpleNamespace(folder=folder, recipe=recipe, shape=shape, dem=dem, units=units)
