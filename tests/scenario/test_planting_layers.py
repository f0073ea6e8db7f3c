"""Layers of where to plant and of deep slides: polygons, mended where they are invalid, near the place."""

import geopandas as gpd
import numpy as np
import pytest
from affine import Affine
from shapely.geometry import Polygon, box

from headscarp.core.band import Band
from headscarp.core.errors import HeadscarpWarning, SourceError
from headscarp.core.grid import Grid
from headscarp.core.stack import make_stack
from headscarp.prediction.planting import plan_planting

SHAPE = (40, 50)
GRID = Grid(SHAPE, Affine(20, 0, 500_000, 0, -20, 5_000_000), "EPSG:32633")


@pytest.fixture
def stack():
    dem = np.tile(np.arange(SHAPE[1])[::-1] * 10.0, (SHAPE[0], 1))
    look = {"green": 0.085, "red": 0.05, "nir": 0.40}
    bands = {Band(name, "continuous", "1"): np.full(SHAPE, value) for name, value in look.items()}
    return make_stack(GRID, {**bands, Band("elevation", "continuous", "m"): dem})


def test_layers_are_read_as_those_of_other_verbs(stack, tmp_path):
    corners = [GRID.affine @ at for at in ((0, 40), (50, 30), (0, 30), (50, 40))]  # crosses itself
    where = tmp_path / "here.gpkg"
    gpd.GeoDataFrame(geometry=[Polygon(corners)], crs="EPSG:32633").to_file(where)
    with pytest.warns(HeadscarpWarning, match="1 of its 1 polygons were invalid and have been mended"):
        found = plan_planting([stack], budget_ha=0.5, candidates=[where])
    assert found.open_ground[30:, :10].any()
    assert not found.open_ground[:30].any()
    gpd.GeoDataFrame(geometry=[Polygon(corners).convex_hull.centroid], crs="EPSG:32633").to_file(where)
    with pytest.raises(SourceError, match="holds no polygons, so it is no layer of deep slides"):
        plan_planting([stack], budget_ha=0.5, deep=[where])
    away = box(*GRID.affine @ (100000, 40), *GRID.affine @ (100050, 30))
    gpd.GeoDataFrame(geometry=[away], crs="EPSG:32633").to_file(where)
    with pytest.raises(SourceError, match=r"none of the areas to plant of .* lies near"):
        plan_planting([stack], budget_ha=0.5, candidates=[where])
