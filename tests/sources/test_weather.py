"""Rain before a day: sums are those of the days, missing days and the sea stay missing, all stores tell the same."""

import json
from datetime import date
from functools import partial

import dask
import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from weather_service import CELL, COAST, FILES, LATITUDE, LONGITUDE, WEST, days, rain_mm, serve, write_day, write_store

from headscarp.core.errors import RecipeError, SourceError
from headscarp.core.stack import check_stack, write_stack
from headscarp.core.tile import Window
from headscarp.sources.coarse import CoarsePlanes, planes_on_grid
from headscarp.sources.request import Request, check_request
from headscarp.sources.weather import WEATHER, as_metadata, daily_rain, read_weather
from headscarp.sources.web.client import Client
from headscarp.sources.web.services import Service

PLACE = (-121.537, 38.212)
GRID = GeoBox((300, 400), Affine(100, 0, 600_000, 0, -100, 4_250_000), "EPSG:32610")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weather")
    for day in days("2019-12-20", "2020-03-05"):
        if day != np.datetime64("2020-02-10"):
            write_day(folder, day)
    with serve(folder) as made:
        yield made


@pytest.fixture
def client(server, tmp_path):
    server.broken.clear()
    server.asked.clear()
    return Client([server.address.removeprefix("http://")], cache=tmp_path / "cache", tries=2, backoff_s=0.01)


@pytest.fixture
def chirps(server):
    return Service("chirps", server.address)


def ask(client, service, dates=("2020-03-01", "2020-03-03"), grid=GRID, **options):
    period = None if dates is None else tuple(date.fromisoformat(day) for day in dates)
    files = {} if ".zarr" in service.address else {"files": FILES}
    return check_request("weather", WEATHER, Request(grid, client, service, period, {**files, **options}))


def lonlat(grid=GRID):
    a = grid.affine
    xs, ys = np.meshgrid(a.c + (np.arange(grid.shape[1]) + 0.5) * a.a, a.f + (np.arange(grid.shape[0]) + 0.5) * a.e)
    return Transformer.from_crs(grid.crs.to_wkt(), "EPSG:4326", always_xy=True).transform(xs, ys)


def compute(stack):
    with dask.config.set(scheduler="synchronous"):
        return stack.compute()


def test_daily_rain_over_the_turn_of_the_year_and_the_leap_day(client, chirps):
    for first, last in (("2019-12-29", "2020-01-02"), ("2020-02-27", "2020-03-02")):
        table = daily_rain(PLACE, (date.fromisoformat(first), date.fromisoformat(last)), chirps, client, files=FILES)
        assert list(table.index) == list(days(first, last).astype("datetime64[ns]"))
        row, column = np.abs(LATITUDE - PLACE[1]).argmin(), np.abs(LONGITUDE - PLACE[0]).argmin()
        expected = [rain_mm(day, LATITUDE[row], LONGITUDE[column]) for day in days(first, last)]
        np.testing.assert_allclose(table["rain_mm"], expected, rtol=1e-6)
        assert table["found"].all()


def test_a_day_that_is_not_there_is_missing_and_said(client, chirps, server):
    server.broken.add("2020.02.12")
    table = daily_rain(PLACE, (date(2020, 2, 9), date(2020, 2, 13)), chirps, client, files=FILES)
    assert list(table["found"]) == [True, False, True, False, True]
    assert list(table["rain_mm"].isna()) == [False, True, False, True, False]
    assert ["2020.02.10" in m.address or "2020.02.12" in m.address for m in client.missing] == [True, True]
    assert "2020-02-10 of rain" in client.missing[0].why


def test_the_sea_is_missing(client, chirps):
    table = daily_rain((COAST - 0.6, 38.2), (date(2020, 1, 1), date(2020, 1, 2)), chirps, client, files=FILES)
    assert table["rain_mm"].isna().all()
    assert table["found"].all()


def test_sums_are_those_of_the_days_before_on_every_cell(client, chirps, tmp_path):
    stack = read_weather(ask(client, chirps, days_before=[1, 3, 7]))
    check_stack(stack)
    assert list(stack.data_vars) == ["rain_1d_mm", "rain_3d_mm", "rain_7d_mm"]
    assert stack["rain_3d_mm"].data.chunks[0] == (1, 1, 1)
    assert list(stack["time"].to_numpy()) == list(days("2020-03-01", "2020-03-03").astype("datetime64[ns]"))
    longitude, latitude = lonlat()
    made = compute(stack)
    for length in (1, 3, 7):
        for frame, day in enumerate(days("2020-03-01", "2020-03-03")):
            expected = sum(rain_mm(day - k, latitude, longitude) for k in range(1, length + 1))
            np.testing.assert_allclose(made[f"rain_{length}d_mm"][frame], expected, rtol=2e-6)
    assert made["rain_7d_mm"].attrs["days"] == "the 7 days before, the day itself left out"
    assert made["rain_7d_mm"].attrs["days_found"] == [7, 7, 7]
    kept = write_stack(made, tmp_path / "rain.zarr")
    np.testing.assert_array_equal(kept["rain_3d_mm"], made["rain_3d_mm"])
    assert "chirps, sum over the 7 days before, the day itself left out" in kept["rain_7d_mm"].attrs["source"]


def test_with_the_day_itself_everything_is_a_day_later(client, chirps):
    with_day = compute(read_weather(ask(client, chirps, ("2020-02-29", "2020-03-01"), include_day=True)))
    without = compute(read_weather(ask(client, chirps, ("2020-03-01", "2020-03-02"))))
    for name in without.data_vars:
        np.testing.assert_array_equal(with_day[name], without[name])
    assert with_day["rain_1d_mm"].attrs["days"] == "the day itself"
    assert "the day itself being the last of them" in with_day["rain_30d_mm"].attrs["days"]


def test_longer_sums_are_sums_of_shorter_ones(client, chirps):
    made = compute(read_weather(ask(client, chirps, ("2020-02-20", "2020-03-03"), days_before=[1, 3])))
    one, three = made["rain_1d_mm"].to_numpy().astype(float), made["rain_3d_mm"].to_numpy()
    np.testing.assert_allclose(three[2:], one[2:] + one[1:-1] + one[:-2], rtol=1e-6)


def test_a_missing_day_makes_every_sum_over_it_missing(client, chirps):
    made = compute(read_weather(ask(client, chirps, ("2020-02-10", "2020-02-14"), days_before=[1, 3])))
    gone = {name: np.isnan(made[name]).all(("y", "x")).to_numpy() for name in made.data_vars}
    assert list(gone["rain_1d_mm"]) == [False, True, False, False, False]
    assert list(gone["rain_3d_mm"]) == [False, True, True, True, False]
    assert made["rain_3d_mm"].attrs["days_found"] == [3, 2, 2, 2, 3]
    assert not np.isnan(made["rain_3d_mm"][[0, 4]]).any()


def test_cells_are_missing_exactly_where_their_coarse_cell_is(client, chirps):
    grid = GeoBox((120, 90), Affine(300, 0, 530_000, 0, -300, 4_250_000), "EPSG:32610")
    plane = compute(read_weather(ask(client, chirps, ("2020-03-01", "2020-03-01"), grid, days_before=[1])))
    longitude, latitude = lonlat(grid)
    values = plane["rain_1d_mm"][0].to_numpy()
    column = ((longitude - WEST) / CELL).astype(int)
    np.testing.assert_array_equal(np.isnan(values), LONGITUDE[column] < COAST)
    assert np.isnan(values).any()
    inland = longitude > COAST + CELL
    expected = rain_mm("2020-02-29", latitude, longitude)
    np.testing.assert_allclose(values[inland], expected[inland], rtol=2e-6)


def test_the_same_cell_has_the_same_bits_in_every_window(client, chirps, monkeypatch):
    request = ask(client, chirps, days_before=[3])
    whole = compute(read_weather(request))["rain_3d_mm"].to_numpy()
    monkeypatch.setattr("headscarp.sources.coarse._CHUNK_PX", 64)
    cut = read_weather(request)
    assert cut["rain_3d_mm"].data.numblocks == (3, 5, 7)
    window = Window(50, 130, 80, 60)
    np.testing.assert_array_equal(compute(cut)["rain_3d_mm"], whole)
    np.testing.assert_array_equal(compute(cut["rain_3d_mm"][(..., *window.slices)]), whole[(..., *window.slices)])


@pytest.mark.parametrize("turn", [1, -1])
def test_planes_go_on_beyond_the_antimeridian(turn):
    fiji = GeoBox((60, 90), Affine(1000, 0, 780_000, 0, -1000, 8_060_000), "EPSG:32760")
    latitude, longitude = np.linspace(-17, -19, 21)[::turn], np.linspace(179, 181, 21)
    values = (latitude[:, None] + 20 + 3 * (longitude[None] - 178)).astype("float32")
    found = planes_on_grid(CoarsePlanes(values[None], latitude, longitude), fiji)[0].compute(scheduler="synchronous")
    x, y = lonlat(fiji)
    inside = (x % 360 > 179) & (x % 360 < 181) & (y > -19) & (y < -17)
    assert (x[inside] < 0).any()
    assert (x[inside] > 0).any()
    np.testing.assert_allclose(found[inside], (y + 20 + 3 * (x % 360 - 178))[inside], rtol=1e-6)
    beyond = (x % 360 < 178.95) | (x % 360 > 181.05) | (y > -16.95) | (y < -19.05)
    np.testing.assert_array_equal(np.isnan(found)[beyond], True)


def test_metadata_is_the_mean_over_the_place(client, chirps):
    request = ask(client, chirps, None, on=["2020-03-01", "2020-01-20"])
    found, planes = as_metadata(request), compute(read_weather(request))
    assert list(found["time"].to_numpy()) == [np.datetime64("2020-01-20"), np.datetime64("2020-03-01")]
    assert set(found.data_vars) == {f"rain_{n}d_mm" for n in (1, 3, 7, 30)}
    for name, values in found.data_vars.items():
        assert values.dims == ("time",)
        np.testing.assert_allclose(values, planes[name].mean(("y", "x")), rtol=1e-3)
        assert values.attrs["days_found"] == planes[name].attrs["days_found"]


def test_offline_reads_what_was_read_before(client, chirps, server, tmp_path):
    first = compute(read_weather(ask(client, chirps, days_before=[1])))
    server.asked.clear()
    offline = Client([server.address.removeprefix("http://")], cache=tmp_path / "cache", offline=True)
    again = compute(read_weather(ask(offline, chirps, days_before=[1])))
    np.testing.assert_array_equal(again["rain_1d_mm"], first["rain_1d_mm"])
    assert not server.asked


STORES = {
    "since midnight": {"zarr_format": 2, "consolidated": True},
    "hourly": {"zarr_format": 3, "consolidated": False},
    "daily": {"zarr_format": 2, "consolidated": False},
}


@pytest.mark.parametrize("reading", STORES)
def test_every_kind_of_store_tells_the_same_rain(client, server, reading):
    name = f"{reading.replace(' ', '-')}.zarr"
    write_store(server.folder / name, reading, **STORES[reading])
    service = Service("era5-land", f"{server.address}/{name}")
    made = compute(
        read_weather(ask(client, service, ("2020-03-01", "2020-03-02"), days_before=[1, 3], accumulation=reading))
    )
    longitude, latitude = lonlat()
    for frame, day in enumerate(days("2020-03-01", "2020-03-02")):
        expected = sum(rain_mm(day - k, latitude, longitude) for k in (1, 2, 3))
        np.testing.assert_allclose(made["rain_3d_mm"][frame], expected, rtol=1e-5)
    # The state at 00 UTC of the day is that at the end of the day before.
    step = 1 if reading == "daily" else 24
    np.testing.assert_allclose(made["soil_moisture"][:, 0, 0], 0.2 + np.array([4, 5]) * step / 1000, rtol=1e-5)
    assert not client.missing


def test_a_chunk_that_cannot_be_had_is_missing_and_one_that_is_not_there_is_fill(client, server):
    write_store(server.folder / "broken.zarr", "since midnight", zarr_format=2, consolidated=True)
    service = Service("era5-land", f"{server.address}/broken.zarr")
    read = partial(daily_rain, PLACE, (date(2020, 2, 26), date(2020, 3, 1)), service, soil_moisture="")
    # Days stand at 00 UTC of the next day: 28 February is in the fourth chunk of 24 hours.
    for path in (server.folder / "broken.zarr" / "tp").glob("3.*"):
        path.unlink()
    settings = json.loads((server.folder / "broken.zarr" / ".zmetadata").read_text())
    settings["metadata"]["tp/.zarray"]["fill_value"] = 0.0
    (server.folder / "broken.zarr" / ".zmetadata").write_text(json.dumps(settings))
    server.broken.add("/tp/2.")
    table = read(client)
    assert list(table["found"]) == [True, False, True, True, True]
    assert np.isnan(table["rain_mm"].iloc[1])
    assert table["rain_mm"].iloc[2] == 0
    assert (table["rain_mm"].iloc[[0, 3, 4]] > 0).all()
    assert [m.why.startswith("2020-02-27 of tp") for m in client.missing] == [True]


def test_days_beyond_the_store_are_missing_and_said(client, server):
    write_store(server.folder / "short.zarr", "hourly", zarr_format=3, consolidated=False)
    service = Service("era5", f"{server.address}/short.zarr")
    table = daily_rain(PLACE, (date(2020, 3, 1), date(2020, 3, 4)), service, client, accumulation="hourly")
    assert list(table["found"]) == [True, True, False, False]
    assert table["soil_moisture"].notna().tolist() == [True, True, False, False]
    assert any("2020-03-03 of tp: not all of it is in the store" in m.why for m in client.missing)
    with pytest.raises(SourceError, match="none of the days 2021-01-01 to 2021-01-02: it holds 2020-02-26"):
        daily_rain(PLACE, (date(2021, 1, 1), date(2021, 1, 2)), service, client)


def test_what_cannot_be_answered_is_refused_with_advice(client, chirps, server):
    far = GeoBox((10, 10), Affine(100, 0, 500_000, 0, -100, 5_500_000), "EPSG:32632")
    with pytest.raises(SourceError, match="it covers latitudes 37 to 40"):
        read_weather(ask(client, chirps, grid=far))
    fiji = GeoBox((400, 600), Affine(100, 0, 680_000, 0, -100, 4_250_000), "EPSG:32760")
    with pytest.raises(SourceError, match="antimeridian"):
        read_weather(ask(client, chirps, grid=fiji))
    with pytest.raises(SourceError, match="none of the first 8 days of rain could be read"):
        read_weather(ask(client, chirps, ("2022-01-01", "2022-01-02")))
    for wrong, message in (
        ({"days_before": [0]}, "whole numbers of days from 1 to 366"),
        ({"days_before": []}, "whole numbers of days"),
        ({"on": ["yesterday"]}, "on is a list of days such as 2020-01-31"),
        ({"every_days": 0}, "every_days is 0"),
        ({"include_day": "no"}, "include_day is 'no'; true or false is needed"),
        ({"files": "rain.tif"}, "one file for several days"),
        ({"files": "{day}.tif"}, "cannot be filled in"),
    ):
        with pytest.raises(RecipeError, match=message):
            read_weather(ask(client, chirps, **wrong))
    with pytest.raises(RecipeError, match="needs a period"):
        read_weather(ask(client, chirps, None))
    with pytest.raises(RecipeError, match="are swapped"):
        daily_rain((38.2, -121.5), (date(2020, 1, 1), date(2020, 1, 2)), chirps, client, files=FILES)
    nothing = Service("era5-land", f"{server.address}/nothing.zarr")
    with pytest.raises(SourceError, match="no Zarr group"):
        read_weather(ask(client, nothing))
