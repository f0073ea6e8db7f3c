"""Stacks from a STAC API: each pixel that of its scene, whichever chunk asks, whatever else fails."""

import dataclasses

import dask
import numpy as np
import pytest
from scene_requests import grid_of, plain_warp, request_to

from headscarp.core.errors import RecipeError, SourceError
from headscarp.sources.landsat import LANDSAT, read_landsat
from headscarp.sources.stac import search_areas
from services.holdings import Footprint, landsat_item, landsat_pixels, make_item
from services.search import SearchServer

HERE = Footprint()
RED = {"bands": ["red"]}


@pytest.fixture
def server(tmp_path):
    with SearchServer(tmp_path / "files") as running:
        yield running


@pytest.fixture
def add(server):
    """Puts a Landsat scene into the service and returns its pixels."""

    def scene(name, time, *, shape=(200, 220), place=HERE, seed=1, pixels=None, **properties):
        pixels = pixels or landsat_pixels(shape, seed=seed)
        item = landsat_item(server.folder, server.address, name, time, pixels, place)
        item["properties"].update(properties)
        server.items.append(item)
        return pixels

    return scene


def computed(stack):
    with dask.config.set(scheduler="synchronous"):
        return stack.compute()


def reflectance(numbers):
    return (numbers * 2.75e-05 - 0.2).astype("float32")


def test_aligned_cells_come_as_they_are_scaled(server, add, tmp_path):
    pixels = add("A", "2020-05-01T10:00:00Z")
    stack = read_landsat(request_to(server.address, grid_of((150, 160)), tmp_path / "cache"))
    assert list(stack.data_vars) == ["blue", "green", "red", "nir", "swir1", "swir2", "quality"]
    assert stack["red"].chunks is not None
    stack = computed(stack)
    np.testing.assert_array_equal(stack["nir"][0], reflectance(pixels["nir08"].astype(float))[:150, :160])
    assert (stack["quality"] == 1).all()
    assert stack["time"].to_numpy().tolist() == [np.datetime64("2020-05-01T10:00:00", "ns").astype(int)]
    assert stack["red"].attrs["units"] == "1"


@pytest.mark.parametrize(
    "grid",
    [
        grid_of((150, 160), 31.0, left=500_310.0, top=4_999_800.0),
        grid_of((150, 140), left=4_713_900.0, top=2_462_700.0, crs="EPSG:3035"),
    ],
    ids=["shifted", "other CRS"],
)
def test_pixels_equal_a_plain_warp_of_the_same_file(server, add, tmp_path, grid):
    add("A", "2020-05-01T10:00:00Z")
    stack = computed(read_landsat(request_to(server.address, grid, tmp_path / "cache")))
    wanted = plain_warp(server.folder / "A" / "red.tif", grid) * 2.75e-05 - 0.2
    assert 0.2 < np.isfinite(wanted).mean() <= 1
    both = np.isfinite(wanted) & np.isfinite(stack["red"][0])
    assert both.sum() > 0.99 * np.isfinite(wanted).sum()
    np.testing.assert_allclose(stack["red"].to_numpy()[0][both], wanted[both], atol=5e-4)  # a thousandth of a cell


def test_any_window_has_the_same_bits(server, add, tmp_path):
    add("A", "2020-05-01T10:00:00Z")
    add("B", "2020-05-01T10:00:20Z", place=dataclasses.replace(HERE, top=HERE.top - 3000), seed=2)
    grid = grid_of((190, 170), 27.0, left=500_310.0, top=4_999_800.0)
    stack = read_landsat(request_to(server.address, grid, tmp_path / "cache", options={"bands": ["red", "quality"]}))
    whole = computed(stack)
    rng = np.random.default_rng(0)
    for _ in range(4):
        row, col = rng.integers(0, 120, 2)
        part = computed(stack.isel(y=slice(row, row + 60), x=slice(col, None, 3)))
        for band in ("red", "quality"):
            wanted = whole[band][:, row : row + 60, col::3]
            np.testing.assert_array_equal(part[band], wanted)


def test_offline_gives_what_online_gave(server, add, tmp_path):
    add("A", "2020-05-01T10:00:00Z")
    online = computed(read_landsat(request_to(server.address, grid_of((150, 160)), tmp_path / "cache", options=RED)))
    server.log.clear()
    request = request_to(server.address, grid_of((150, 160)), tmp_path / "cache", options=RED, offline=True)
    offline = computed(read_landsat(request))
    np.testing.assert_array_equal(offline["red"], online["red"])
    assert not server.log
    assert not request.client.missing


def test_a_dead_file_is_missing_where_its_scene_alone_stood_and_is_listed(server, add, tmp_path):
    add("A", "2020-05-01T10:00:00Z")
    b = add("B", "2020-05-01T10:00:20Z", place=dataclasses.replace(HERE, top=HERE.top - 3000), seed=2)
    server.dead.add("A/red.tif")
    request = request_to(server.address, grid_of((250, 200)), tmp_path / "cache", options={"bands": ["red", "green"]})
    stack = computed(read_landsat(request))
    alone = np.arange(250) < 100
    assert np.isnan(stack["red"][0, alone]).all()
    np.testing.assert_array_equal(stack["red"][0, 100:], reflectance(b["red"].astype(float))[:150, :200])
    assert np.isfinite(stack["green"][0]).all()
    assert [m.source for m in request.client.missing] == ["landsat"]
    (missing,) = request.client.missing
    assert missing.address.endswith("/A/red.tif")
    assert "scene A, band red, rows 0-250" in missing.why


def test_of_scenes_of_one_day_the_first_wins_and_later_ones_fill(server, add, tmp_path):
    first = landsat_pixels((200, 220), seed=1)
    first["red"][40:60, 50:90] = 0
    late = add("0-late", "2020-05-01T10:00:20Z", seed=2)
    add("9-early", "2020-05-01T10:00:00Z", pixels=first)
    add("other day", "2020-05-17T10:00:00Z", seed=3)
    stack = computed(read_landsat(request_to(server.address, grid_of((200, 220)), tmp_path / "cache", options=RED)))
    wanted = np.where(first["red"] == 0, late["red"], first["red"]).astype(float)
    np.testing.assert_array_equal(stack["red"][0], reflectance(wanted))
    assert stack["scenes_in_frame"].to_numpy().tolist() == [2, 1]
    assert stack.attrs["scenes"] == ["9-early", "0-late", "other day"]


def test_a_solar_day_is_one_frame_across_midnight_in_utc(server, add, tmp_path):
    east = Footprint(crs="EPSG:32760")  # 177 degrees east: solar noon at 00:12 UTC
    for i, time in enumerate(("2020-05-01T23:59:50Z", "2020-05-02T00:00:10Z", "2020-05-03T00:00:10Z")):
        add(f"S{i}", time, place=east, seed=i)
    grid = grid_of((100, 100), crs="EPSG:32760")
    stack = read_landsat(request_to(server.address, grid, tmp_path / "cache", options=RED))
    assert stack["scenes_in_frame"].to_numpy().tolist() == [2, 1]


def test_scenes_of_two_utm_zones_meet_on_one_grid(server, add, tmp_path):
    # Both on the meridian of 12 degrees east, between the zones 32 and 33.
    for name, crs, left in (("west", "EPSG:32632", 723_000.0), ("east", "EPSG:32633", 268_000.0)):
        add(name, "2020-05-01T10:00:00Z", place=Footprint(left, 5_100_000.0, 30.0, crs), shape=(300, 300))
    grid = grid_of((150, 300), left=268_000.0 - 4500, top=5_095_500.0)
    stack = computed(read_landsat(request_to(server.address, grid, tmp_path / "cache", options=RED)))
    east = reflectance(landsat_pixels((300, 300), seed=1)["red"].astype(float))
    np.testing.assert_array_equal(stack["red"][0, :, 150:], east[150:300, :150])
    wanted = plain_warp(server.folder / "west" / "red.tif", grid) * 2.75e-05 - 0.2
    seen = np.isfinite(wanted) & (np.arange(300) < 149)
    assert seen.sum() > 2000
    np.testing.assert_allclose(stack["red"].to_numpy()[0][seen], wanted[seen], atol=5e-4)  # a thousandth of a cell


def test_a_band_that_an_item_lacks_is_missing_without_a_fault(server, add, tmp_path):
    add("A", "2020-05-01T10:00:00Z")
    del server.items[0]["assets"]["red"]
    request = request_to(server.address, grid_of((50, 50)), tmp_path / "cache", options={"bands": ["red", "green"]})
    stack = computed(read_landsat(request))
    assert np.isnan(stack["red"]).all()
    assert np.isfinite(stack["green"]).all()
    assert not request.client.missing


def test_every_page_of_an_answer_is_read(server, add, tmp_path):
    add("A", "2020-05-01T10:00:00Z", shape=(20, 20))
    item = server.items[0]
    server.items = [
        {**item, "id": f"S{day:02}", "properties": {**item["properties"], "datetime": f"2020-05-{day:02}T10:00:00Z"}}
        for day in range(1, 24)
    ]
    server.page = 5
    stack = read_landsat(request_to(server.address, grid_of((10, 10)), tmp_path / "cache", options=RED))
    assert stack.sizes["time"] == 23


def test_both_days_of_a_period_are_whole(server, add, tmp_path):
    for i, time in enumerate(("2019-12-31T23:59:59Z", "2020-01-01T00:00:00Z", "2020-12-31T23:59:59.5Z")):
        add(f"S{i}", time, shape=(20, 20))
    stack = read_landsat(request_to(server.address, grid_of((10, 10)), tmp_path / "cache", options=RED))
    assert stack.attrs["scenes"] == ["S1", "S2"]


def test_no_scene_in_the_period_says_what_there_is(server, add, tmp_path):
    add("A", "2018-05-01T10:00:00Z", shape=(20, 20))
    add("B", "2019-05-01T10:00:00Z", shape=(20, 20))
    with pytest.raises(SourceError, match=r"2020-01-01.*it has 2 there.*2018-05-01 to 2019-05-01"):
        read_landsat(request_to(server.address, grid_of((10, 10)), tmp_path / "cache"))


def test_no_scene_at_all_and_scenes_beside_the_grid_are_told(server, add, tmp_path):
    with pytest.raises(SourceError, match="no scene of landsat-c2-l2 at any time"):
        read_landsat(request_to(server.address, grid_of((10, 10)), tmp_path / "cache"))
    add("A", "2020-05-01T10:00:00Z", shape=(20, 20))
    server.items[0]["geometry"]["coordinates"] = [[[15, 44], [15.001, 44], [15.001, 44.001], [15, 44]]]
    server.items[0]["bbox"] = [14, 44, 16, 46]
    with pytest.raises(SourceError, match=r"all 1 scenes of landsat-c2-l2 .* lie beside the grid"):
        read_landsat(request_to(server.address, grid_of((10, 10)), tmp_path / "other"))


def test_options_that_leave_nothing_or_mean_nothing_are_told(server, add, tmp_path):
    add("A", "2020-05-01T10:00:00Z", shape=(20, 20))
    for options, error, text in (
        ({"max_cloud": 5}, SourceError, r"max_cloud = 5\) leave none of the 1"),
        ({"platforms": "landsat-9"}, SourceError, "leave none"),
        ({"max_cloud": "little"}, RecipeError, "a percentage"),
        ({"bands": ["red", "ultraviolet"]}, RecipeError, "no band ultraviolet"),
        ({"bands": []}, RecipeError, "empty list"),
    ):
        with pytest.raises(error, match=text):
            read_landsat(request_to(server.address, grid_of((10, 10)), tmp_path / "cache", options=options))
    assert set(LANDSAT.options) == {"bands", "max_cloud", "platforms"}


def test_files_on_a_host_that_was_not_named_are_refused_before_any_is_asked_for(server, add, tmp_path):
    add("A", "2020-05-01T10:00:00Z", shape=(20, 20))
    server.items[0]["assets"]["red"]["href"] = "https://elsewhere.example.org/red.tif"
    with pytest.raises(SourceError, match=r"elsewhere\.example\.org"):
        read_landsat(request_to(server.address, grid_of((10, 10)), tmp_path / "cache"))


def test_a_service_that_is_down_or_is_none_is_told(server, tmp_path):
    with pytest.raises(SourceError, match=r"127\.0\.0\.1"):
        read_landsat(request_to("http://127.0.0.1:9", grid_of((10, 10)), tmp_path / "cache"))
    (server.folder).mkdir(exist_ok=True)
    (server.folder / "v1.json").write_text('{"hello": "world"}')
    with pytest.raises(SourceError, match="does not answer as a STAC API"):
        read_landsat(request_to(f"{server.address}/v1.json", grid_of((10, 10)), tmp_path / "cache"))


def test_a_grid_over_the_antimeridian_is_searched_in_two_parts(server, add, tmp_path):
    across = Footprint(left=819_000.0, top=8_200_000.0, crs="EPSG:32760")  # Fiji: 180 degrees lie within
    pixels = add("A", "2020-05-01T22:00:00Z", place=across, seed=4)
    item = make_item("landsat-c2-l2", "A", "2020-05-01T22:00:00Z", server.items[0]["assets"], (0, 0, 0, 0), {})
    two = [{**item, "bbox": box, "geometry": _ring(box)} for box in ([179.9, -17, 180, -16], [-180, -17, -179.9, -16])]
    grid = grid_of((60, 190), left=819_000.0, top=8_200_000.0, crs="EPSG:32760")
    request = request_to(server.address, grid, tmp_path / "cache", options=RED)
    areas = [area.bounds for area in search_areas(request)]
    assert len(areas) == 2
    assert sorted((round(a[0]), round(a[2])) for a in areas) == [(-180, -180), (180, 180)]
    for only in two:
        server.items = [only]
        stack = computed(read_landsat(request_to(server.address, grid, tmp_path / str(only["bbox"][0]), options=RED)))
        np.testing.assert_array_equal(stack["red"][0], reflectance(pixels["red"][:60, :190].astype(float)))


def _ring(box):
    west, south, east, north = box
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


def test_a_grid_around_a_pole_is_refused(tmp_path):
    around = grid_of((100, 100), 1000.0, left=-50_000.0, top=50_000.0, crs="EPSG:3031")
    with pytest.raises(SourceError, match="around a pole"):
        search_areas(request_to("http://127.0.0.1:9", around, tmp_path))
