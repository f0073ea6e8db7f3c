"""Feature services of ArcGIS: each feature once, all of them, as they are."""

import warnings
from contextlib import suppress
from types import SimpleNamespace
from urllib.parse import urlsplit

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox

from headscarp.core.errors import GridError, HeadscarpWarning, SourceError
from headscarp.core.tile import Window
from headscarp.sources.arcgis import arcgis_features, esri_shape
from headscarp.sources.paging import join_pages, lonlat_box
from headscarp.sources.request import Request
from headscarp.sources.vectors import Vector, burn, load_features
from headscarp.sources.web.client import Client
from headscarp.sources.web.services import Service
from services.arcgis import ArcGISServer
from services.arcgis_json import esri_shape as as_esri
from services.faultkinds import FAULTS
from services.faults import FaultProxy, Rule

GRID = GeoBox((400, 500), Affine(10, 0, 570_000, 0, -10, 4_206_000), "EPSG:32610")


def slides(count, seed=0):
    """Slides on the grid, and as many again to the south of it."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(570_100, 574_900, 2 * count), rng.uniform(4_202_100, 4_205_900, 2 * count)
    y[count:] -= 20_000
    return gpd.GeoDataFrame(
        {
            "name": [f"slide {i}" for i in range(2 * count)],
            "year": rng.integers(1990, 2024, 2 * count),
            "seen": pd.to_datetime("2017-01-10") + pd.to_timedelta(rng.integers(0, 900, 2 * count), unit="D"),
        },
        geometry=shapely.buffer(shapely.points(x, y), rng.uniform(10, 90, 2 * count), quad_segs=2),
        crs="EPSG:32610",
    )


def request_to(server, tmp_path, **options):
    client = Client([urlsplit(server.address).netloc], cache=tmp_path / "cache", tries=2, backoff_s=0.001)
    return Request(GRID, client, Service("slides", f"{server.address}/slides/FeatureServer"), None, options)


@pytest.fixture(params=[True, False], ids=["pages", "object ids"])
def server(request, tmp_path):
    (tmp_path / "held").mkdir()
    with ArcGISServer(tmp_path / "held", pages=request.param) as served:
        yield served


def test_each_feature_comes_once(server, tmp_path):
    count = 2500 if server.pages else 450
    table = slides(count)
    table.to_file(server.folder / "slides.gpkg", layer="landslides")
    found = arcgis_features(request_to(server, tmp_path))
    assert len(found) == count
    assert found["OBJECTID"].is_unique
    assert set(found["name"]) == set(table["name"][:count])
    assert found.attrs["duplicates"] == 0
    asked = [p for path, p in server.log if path.endswith("query") and p.get("f") == "geojson"]
    assert len(asked) == (3 if server.pages else 5)
    expected = table[:count].to_crs("OGC:CRS84").set_index("name").geometry
    same = found.set_index("name").geometry.loc[expected.index]
    np.testing.assert_allclose(shapely.get_coordinates(same.array), shapely.get_coordinates(expected.array), atol=1e-9)
    whens = found.set_index("name")["seen"].loc[expected.index]
    np.testing.assert_array_equal(whens.to_numpy("datetime64[s]"), table["seen"][:count].to_numpy("datetime64[s]"))


def test_what_comes_burns_like_the_file(server, tmp_path):
    table = slides(60)
    table.to_file(server.folder / "slides.gpkg", layer="landslides")
    arcgis_features(request_to(server, tmp_path)).to_file(tmp_path / "fetched.gpkg")
    burnt = []
    for path in (server.folder / "slides.gpkg", tmp_path / "fetched.gpkg"):
        features = load_features(Vector(str(path)), GRID)
        burnt.append(burn(features, np.ones(len(features), np.uint8), Window(0, 0, 400, 500)))
    assert burnt[0].any()
    # Degrees are written with fewer digits than metres: a cell on an edge may change.
    assert (burnt[0] != burnt[1]).mean() < 1e-5


def test_where_attributes_and_layer(server, tmp_path):
    table = slides(40)
    table.to_file(server.folder / "slides.gpkg", layer="landslides")
    table[:3].to_file(server.folder / "slides.gpkg", layer="faults")
    found = arcgis_features(request_to(server, tmp_path, layer="landslides", where="year >= 2010", attributes=["year"]))
    assert set(found.columns) == {"OBJECTID", "year", "geometry"}
    assert sorted(found["year"]) == sorted(y for y in table["year"][:40] if y >= 2010)
    assert len(arcgis_features(request_to(server, tmp_path, layer=1))) == 3
    with pytest.raises(SourceError, match=r"names no layer, .* has: 0 \(landslides\), 1 \(faults\)"):
        arcgis_features(request_to(server, tmp_path))
    with pytest.raises(SourceError, match="asks for the layer 'slumps'"):
        arcgis_features(request_to(server, tmp_path, layer="slumps"))
    with pytest.raises(SourceError, match="no fields yaer; it has: OBJECTID, name, year"):
        arcgis_features(request_to(server, tmp_path, layer=0, attributes=["yaer"]))
    with pytest.raises(SourceError, match="Unable to perform query operation"):
        arcgis_features(request_to(server, tmp_path, layer=0, where="yaer >> 3"))


def test_invalid_and_missing_shapes_are_kept(server, tmp_path):
    table = slides(3)[:3]
    x, y = 572_000, 4_204_000
    bow = shapely.Polygon([(x, y), (x + 90, y + 90), (x + 90, y), (x, y + 90)])
    table.loc[1, "geometry"] = bow
    table.to_file(server.folder / "slides.gpkg", layer="landslides")
    found = arcgis_features(request_to(server, tmp_path))
    assert len(found) == 3
    assert found.geometry.is_valid.tolist() == [True, False, True]


def test_error_bodies_and_pages_are_errors(server, tmp_path):
    with pytest.raises(SourceError, match="Service not found"):
        arcgis_features(request_to(server, tmp_path))
    slides(3).to_file(server.folder / "slides.gpkg", layer="landslides")
    server.broken += ["html"]
    with pytest.raises(SourceError, match="web page"):
        arcgis_features(request_to(server, tmp_path))


def test_features_that_do_not_come_are_noticed(server, tmp_path):
    slides(30).to_file(server.folder / "slides.gpkg", layer="landslides")
    request = request_to(server, tmp_path)
    real = request.client.get_json

    def lossy(url, *, params=None, **given):
        answer = real(url, params=params, **given)
        if params.get("f") == "geojson":
            answer["features"] = answer["features"][:-1]
        return answer

    losing = Request(GRID, SimpleNamespace(get_json=lossy), request.service)
    with pytest.raises(SourceError, match="counts 30 features here but gave 29"):
        arcgis_features(losing)


def test_features_that_come_twice_are_told():
    page = [{"properties": {"id": i}, "geometry": {"type": "Point", "coordinates": [i, 2 * i]}} for i in range(5)]
    with pytest.warns(HeadscarpWarning, match="gave 2 of 7 features more than once"):
        table = join_pages([page[:3], page[1:]], "id", (0, 0, 9, 9), "somebody")
    assert table["id"].tolist() == [0, 1, 2, 3, 4]
    assert table.attrs["duplicates"] == 2


def test_turned_axes_are_told():
    page = [{"properties": {}, "geometry": {"type": "Point", "coordinates": [37.9, -122.1]}}]
    with pytest.raises(SourceError, match="latitude where longitude belongs"):
        join_pages([page], "id", (-122.3, 37.8, -121.9, 38.1), "somebody")


def test_the_box_of_a_grid():
    box = lonlat_box(GRID)
    assert -122.3 < box[0] < box[2] < -122.1
    assert 37.9 < box[1] < box[3] < 38.1
    across = GeoBox((100, 100), Affine(1000, 0, 770_000, 0, -1000, 50_000), "EPSG:32660")
    with pytest.raises(GridError, match="crosses the antimeridian"):
        lonlat_box(across)


@pytest.mark.parametrize(
    "shape",
    [
        shapely.box(0, 0, 4, 4),
        shapely.Polygon(shapely.box(0, 0, 9, 9).exterior, [shapely.box(1, 1, 3, 3).exterior]),
        shapely.MultiPolygon([shapely.box(0, 0, 9, 9) - shapely.box(1, 1, 8, 8), shapely.box(2, 2, 5, 5)]),
        shapely.Point(3, 4),
        shapely.MultiLineString([[(0, 0), (1, 1)], [(5, 5), (6, 5)]]),
    ],
    ids=lambda shape: shape.geom_type,
)
def test_shapes_survive_esri_json(shape):
    again = esri_shape(as_esri(shape))
    assert again.equals(shape)
    assert again.is_valid
    assert esri_shape(None) is None


def test_esri_json_is_read_where_there_is_no_geojson(tmp_path):
    (tmp_path / "held").mkdir()
    slides(20).to_file(tmp_path / "held" / "slides.gpkg", layer="landslides")
    with ArcGISServer(tmp_path / "held") as server:
        request = request_to(server, tmp_path)
        real = request.client.get_json

        def old(url, *, params=None, **given):
            answer = real(url, params=params, **given)
            return {**answer, "supportedQueryFormats": "JSON, AMF"} if "fields" in answer else answer

        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = arcgis_features(Request(GRID, SimpleNamespace(get_json=old), request.service))
            expected = arcgis_features(request)
    assert not any(p.get("f") == "geojson" for _, p in server.log[:4])
    assert found["name"].tolist() == expected["name"].tolist()
    assert (shapely.area(found.geometry.array) > 0).all()
    np.testing.assert_allclose(shapely.area(found.geometry.array), shapely.area(expected.geometry.array), rtol=1e-9)


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_whatever_goes_wrong_no_feature_is_lost_in_silence(tmp_path, fault):
    (tmp_path / "held").mkdir()
    slides(60).to_file(tmp_path / "held" / "slides.gpkg", layer="landslides")
    rule = Rule(fault, path="resultOffset=40", times=1, seconds=0.0)
    with ArcGISServer(tmp_path / "held", max_records=20) as server, FaultProxy(server.address, [rule]) as proxy:
        client = Client([proxy.host], cache=tmp_path / "cache", tries=3, timeout_s=0.5, backoff_s=0.001)
        service = Service("slides", f"{proxy.address}{urlsplit(server.address).path}/slides/FeatureServer")
        found = None
        with suppress(SourceError):
            found = arcgis_features(Request(GRID, client, service))
        assert found is None or sorted(found["OBJECTID"]) == list(range(1, 61))
