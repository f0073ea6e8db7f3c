"""Collections of a real OGC API Features service (pygeoapi): each feature once, all of them, as they are."""

from types import SimpleNamespace
from urllib.parse import urlsplit

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox

from headscarp.core.errors import SourceError
from headscarp.core.tile import Window
from headscarp.sources.ogc_features import ogc_features
from headscarp.sources.request import Request
from headscarp.sources.vectors import Vector, burn, load_features
from headscarp.sources.web.client import Client
from headscarp.sources.web.services import Service
from services import features

# All of the example's slides, and its south-west corner.
GRID = GeoBox((340, 440), Affine(100, 0, 558_000, 0, -100, 4_212_000), "EPSG:32610")
CORNER = GeoBox((500, 600), Affine(20, 0, 558_000, 0, -20, 4_188_000), "EPSG:32610")


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    why = features.missing()
    if why:
        pytest.skip(why)
    x, y = 570_000, 4_200_000
    bow = shapely.Polygon([(x, y), (x + 90, y + 90), (x + 90, y), (x, y + 90)])
    odd = gpd.GeoDataFrame({"name": ["bow", "box"]}, geometry=[bow, shapely.box(x, y, x + 50, y + 50)], crs=32610)
    state = features.start(tmp_path_factory.mktemp("ogc"), slides=features.slides(), odd=odd)
    yield state
    features.stop(state)


def request_to(service, tmp_path, grid=GRID, **options):
    client = Client([urlsplit(service["address"]).netloc], cache=tmp_path / "cache", tries=2, backoff_s=0.001)
    return Request(grid, client, Service("geology", service["address"]), None, options)


def test_each_feature_comes_once_over_all_pages(service, tmp_path):
    request = request_to(service, tmp_path, collection="slides")
    found = ogc_features(request)
    assert len(found) == 2500
    assert found["id"].is_unique
    assert found["name"].is_unique
    assert found.attrs["duplicates"] == 0
    # The list of collections, and three pages.
    assert request.client.requests == 4
    expected = features.slides().to_crs("OGC:CRS84").set_index("name").geometry
    same = found.set_index("name").geometry.loc[expected.index]
    np.testing.assert_allclose(shapely.get_coordinates(same.array), shapely.get_coordinates(expected.array), atol=1e-9)


def test_only_what_touches_the_grid_comes_and_burns_like_the_file(service, tmp_path):
    found = ogc_features(request_to(service, tmp_path, CORNER, collection="slides"))
    inside = features.slides().geometry.intersects(shapely.box(*CORNER.boundingbox))
    assert int(inside.sum()) <= len(found) < 1000
    features.slides().to_file(tmp_path / "a.gpkg")
    found.to_file(tmp_path / "b.gpkg")
    burnt = []
    for name in ("a.gpkg", "b.gpkg"):
        layer = load_features(Vector(str(tmp_path / name)), CORNER)
        burnt.append(burn(layer, np.ones(len(layer), np.uint8), Window(0, 0, 500, 600)))
    assert burnt[0].any()
    assert (burnt[0] != burnt[1]).mean() < 1e-5


def test_where_and_attributes(service, tmp_path):
    request = request_to(service, tmp_path, collection="slides", where={"rock": "chalk"}, attributes=["rock", "year"])
    found = ogc_features(request)
    assert set(found["rock"]) == {"chalk"}
    assert len(found) == int((features.slides()["rock"] == "chalk").sum())
    assert set(found.columns) == {"id", "rock", "year", "geometry"}
    # The service itself would pass over names that it does not know, and give everything.
    with pytest.raises(SourceError, match=r"no property rok; it has: .*name.*rock"):
        ogc_features(request_to(service, tmp_path, collection="slides", where={"rok": "chalk"}))
    with pytest.raises(SourceError, match="no property yaer"):
        ogc_features(request_to(service, tmp_path, collection="slides", attributes=["yaer"]))


def test_collections_that_are_not_there(service, tmp_path):
    with pytest.raises(SourceError, match=r"'slumps', and http.* has: odd, slides; give"):
        ogc_features(request_to(service, tmp_path, collection="slumps"))
    with pytest.raises(SourceError, match="names no collection"):
        ogc_features(request_to(service, tmp_path))


def test_invalid_shapes_are_kept(service, tmp_path):
    found = ogc_features(request_to(service, tmp_path, collection="odd"))
    assert found.set_index("name").geometry.is_valid.to_dict() == {"bow": False, "box": True}


def pages_of(*answers):
    """A service whose pages are given."""
    listed = {"collections": [{"id": "slides"}]}
    left = iter(answers)
    client = SimpleNamespace(get_json=lambda url, **_: listed if url.endswith("/collections") else next(left))
    return Request(GRID, client, Service("geology", "http://127.0.0.1:1"))


def page(ids, following=None, **more):
    points = [{"type": "Feature", "id": i, "geometry": None, "properties": {"n": i}} for i in ids]
    links = [{"rel": "next", "href": following}] if following else []
    return {"type": "FeatureCollection", "features": points, "links": links, **more}


def test_links_may_be_relative_and_never_lead_in_circles():
    found = ogc_features(pages_of(page([1, 2], "?offset=2", numberMatched=3), page([3])))
    assert found["id"].tolist() == [1, 2, 3]
    with pytest.raises(SourceError, match="in a circle"):
        ogc_features(pages_of(page([1], "?offset=1"), page([2], "?offset=1"), page([3])))


def test_links_to_the_inner_name_of_a_service_are_followed_at_its_address():
    inner = "http://inside:5000/api/collections/slides/items?offset=1&limit=1"
    request, asked = pages_of(page([1], inner), page([2])), []
    given = request.client.get_json
    request.client.get_json = lambda url, **more: asked.append(url) or given(url, **more)
    assert ogc_features(request)["id"].tolist() == [1, 2]
    assert asked[-1] == "http://127.0.0.1:1/collections/slides/items?offset=1&limit=1"


def test_features_that_do_not_come_are_noticed():
    with pytest.raises(SourceError, match="counts 5 features here but gave 3"):
        ogc_features(pages_of(page([1, 2], "?offset=2", numberMatched=5), page([3])))


def test_what_is_no_collection_of_features_is_told():
    with pytest.raises(SourceError, match="gave no features but: nothing today"):
        ogc_features(pages_of({"code": "x", "description": "nothing today"}))
