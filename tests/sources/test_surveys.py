"""Laws of surveys: every mapped slide once, whatever layers draw it, and of the part that its layer says."""

import geopandas as gpd
import numpy as np
import pytest
import shapely

from headscarp.assemble.places import place_grid
from headscarp.core.errors import SourceError
from headscarp.sources.request import Request
from headscarp.sources.surveys import _polygon_layers, cgs_landslides
from headscarp.sources.web.client import Client
from headscarp.sources.web.services import Service
from services.arcgis import ArcGISServer
from services.survey import LAYERS

GRID = place_grid((-122.1, 37.9, -122.0, 38.0), 30.0)


def write_survey(folder, counts):
    """So many squares a layer, all on the grid but one far away."""
    rng = np.random.default_rng(1)
    for part, count in counts.items():
        x, y = rng.uniform(-122.09, -122.01, count), rng.uniform(37.91, 37.99, count)
        shapes = [*shapely.box(x, y, x + 0.001, y + 0.001), shapely.box(-120, 35, -119.9, 35.1)]
        table = gpd.GeoDataFrame(
            {
                "ls_id": [f"{part}{i}" for i in range(count + 1)],
                "confidence": "Definite",
                "activity": "dormant",
            },
            geometry=shapes,
            crs=4326,
        )
        table.to_file(folder / "Survey.gpkg", driver="GPKG", layer=LAYERS[part])


def request(server, tmp_path, **options):
    address = f"{server.address}/Survey/FeatureServer"
    client = Client([server.address.split("/")[2]], cache=tmp_path / "cache", tries=1)
    return Request(GRID, client, Service("survey", address), options=options)


def test_every_slide_on_the_grid_comes_once_with_its_part(tmp_path):
    write_survey(tmp_path, {"scarp": 30, "deposit": 12})
    with ArcGISServer(tmp_path, max_records=10) as server:
        table = cgs_landslides(request(server, tmp_path))
        alone = cgs_landslides(request(server, tmp_path, parts=["scarp"]))
    assert table["type"].value_counts().to_dict() == {"scarp": 30, "deposit": 12}
    assert table["id"].is_unique
    assert set(table["certainty"]) == {"certain"}
    assert len(alone) == 30


def test_a_place_without_slides_says_so(tmp_path):
    write_survey(tmp_path, {"scarp": 0})
    with ArcGISServer(tmp_path) as server, pytest.raises(SourceError, match="has mapped no"):
        cgs_landslides(request(server, tmp_path))


def test_layers_drawn_anew_for_other_scales_count_once_and_symbols_not_at_all():
    kind = "esriGeometryPolygon"
    layers = [
        {"id": 3, "name": "Landslide (Deposit) symbols", "geometryType": "esriGeometryPoint"},
        {"id": 7, "name": "Landslide (Deposit)", "geometryType": kind},
        {"id": 9, "name": "Landslide (Deposit)", "geometryType": kind},
        {"id": 10, "name": "Landslide (Source/Scarp)", "geometryType": kind},
    ]
    assert _polygon_layers(layers) == {7: "deposit", 10: "scarp"}
