"""Simulated scenes: valid files that say what they are, in the shape of the public catalogue, true to the ground."""

import json
from datetime import date, datetime
from itertools import pairwise

import numpy as np
import pystac
import pytest
import rasterio
from affine import Affine
from rasterio.enums import Resampling
from rasterio.warp import reproject, transform_bounds
from rio_cogeo.cogeo import cog_validate
from scipy.special import polygamma
from shapely.geometry import box, shape

from headscarp.core.errors import RecipeError
from headscarp.core.grid import Grid
from headscarp.sources.world._ground import SURFACES, ground_on
from headscarp.sources.world._optics import sun_position
from headscarp.sources.world._radar import see_backscatter, speckle
from headscarp.sources.world.clouds import Sky, qa_pixel, simulate_sky
from headscarp.sources.world.place import simulate_county
from headscarp.sources.world.scenes import write_scenes
from headscarp.sources.world.slides import Sizes
from headscarp.sources.world.spectra import LANDSAT_BANDS, SPECTRA, WAVELENGTHS_UM, spectrum

ADDRESS = "http://127.0.0.1:9000/files"
GRID = Grid((200, 260), Affine(10.0, 0, 573_000, 0, -10.0, 4_205_500), "EPSG:32610")


@pytest.fixture(scope="module")
def county():
    return simulate_county(3, grid=GRID, count=40, sizes=Sizes(smallest_m2=6_000.0), until=date(2020, 1, 1))


@pytest.fixture(scope="module")
def holdings(county, tmp_path_factory):
    return write_scenes(county, tmp_path_factory.mktemp("served"), ADDRESS + "/", dates=4, sentinel2_dates=1)


@pytest.fixture(scope="module")
def items(holdings):
    return [json.loads(line) for line in holdings.items.read_text().splitlines()]


def local(holdings, asset):
    assert asset["href"].startswith(ADDRESS + "/")
    return holdings.folder / asset["href"][len(ADDRESS) + 1 :]


def of(items, collection):
    return [item for item in items if item["collection"] == collection]


def read(holdings, item, asset):
    with rasterio.open(local(holdings, item["assets"][asset])) as file:
        return file.read(1)


def test_every_file_is_a_valid_cog_that_says_it_is_simulated(holdings):
    paths = [p for p in holdings.folder.rglob("*") if p.suffix.lower() in (".tif", ".cog")]
    rain = [p for p in paths if p.suffix == ".cog"]
    assert len(rain) == 365 + 60
    for path in [p for p in paths if p.suffix != ".cog"] + rain[::60]:
        valid, errors, warnings = cog_validate(path)
        assert valid, (path, errors)
        assert not warnings
        with rasterio.open(path) as file:
            assert "simulated" in file.tags()["SIMULATED"]


def test_items_are_stac_items_and_agree_with_their_files(holdings, items):
    collections = [json.loads(line) for line in holdings.collections.read_text().splitlines()]
    known = {c["id"] for c in collections}
    assert {"landsat-c2-l2", "sentinel-1-rtc", "sentinel-2-l2a", "cop-dem-glo-30"} < known
    for collection in collections:
        assert "simulated" in pystac.Collection.from_dict(collection).description
    assert len({item["id"] for item in items}) == len(items)
    for raw in [item for item in items if item["collection"] != "chirps-daily"] + of(items, "chirps-daily")[:3]:
        item = pystac.Item.from_dict(raw)
        assert item.collection_id in known
        assert "simulated" in item.properties["headscarp:simulated"]
        assert box(*item.bbox).buffer(1e-6).contains(shape(item.geometry))
        for asset in raw["assets"].values():
            with rasterio.open(local(holdings, asset)) as file:
                said = {**raw["properties"], **asset}
                assert said["proj:shape"] == list(file.shape)
                np.testing.assert_allclose(said["proj:transform"], tuple(file.transform)[:6])
                code = said.get("proj:code") or f"EPSG:{said['proj:epsg']}"
                assert file.crs.to_string() == code
                for band in asset.get("raster:bands", []):
                    assert file.nodata == band["nodata"]
                    assert file.dtypes[0] == band["data_type"]
                west, south, east, north = transform_bounds(file.crs, "EPSG:4326", *file.bounds)
                assert west - 1e-4 < item.bbox[0] < item.bbox[2] < east + 1e-4
                assert south - 1e-4 < item.bbox[1] < item.bbox[3] < north + 1e-4


def test_landsat_comes_every_16_days_on_two_tracks_that_cut_the_box(holdings, items):
    scenes = of(items, "landsat-c2-l2")
    tracks = {item["properties"]["landsat:wrs_path"] for item in scenes}
    assert tracks == {"043", "044"}
    for track in tracks:
        own = [item for item in scenes if item["properties"]["landsat:wrs_path"] == track]
        days = [datetime.fromisoformat(item["properties"]["datetime"]) for item in own]
        assert all((b - a).days % 16 == 0 for a, b in pairwise(days))
        assert all(day.year == 2019 for day in days)
        seen = read(holdings, own[0], "red") > 0
        assert 0.3 < seen.mean() < 0.95
    assert {len(item["assets"]) for item in scenes} == {7}


def test_landsat_numbers_are_reflectance_and_bits_say_what_hides_it(holdings, items):
    bright = []
    for item in of(items, "landsat-c2-l2"):
        said = item["assets"]["red"]["raster:bands"][0]
        numbers, quality = read(holdings, item, "red"), read(holdings, item, "qa_pixel")
        fill = numbers == 0
        np.testing.assert_array_equal(fill, quality == 1)
        red = numbers[~fill] * said["scale"] + said["offset"]
        assert red.min() > -0.01
        assert red.max() < 1.4
        bits = {bit: (quality >> bit) & 1 == 1 for bit in range(16)}
        cloud, shadow, clear = bits[3], bits[4], bits[6]
        np.testing.assert_array_equal((quality >> 8)[cloud] & 3, 3)
        np.testing.assert_array_equal(clear & ~fill, ~(cloud | bits[1]) & ~fill)
        assert not (cloud & shadow).any()
        share = 100 * cloud[~fill].mean()
        assert item["properties"]["eo:cloud_cover"] == pytest.approx(share, abs=0.01)
        if cloud.sum() > 50 and (clear & ~shadow).sum() > 50:
            clean = clear & ~shadow & ~fill & ~bits[2]
            bright.append(np.median(numbers[cloud]) > np.median(numbers[clean]))
            if (shadow & ~fill).sum() > 200:
                assert np.median(numbers[shadow & ~fill]) < np.median(numbers[clean])
    assert bright
    assert all(bright)


def test_bits_are_the_documented_values():
    shape_ = (1, 40)
    thickness = np.zeros(shape_, np.float32)
    thickness[0, 0] = 0.9
    shade = np.ones(shape_, np.float32)
    shade[0, 20] = 0.4
    water = np.zeros(shape_, bool)
    water[0, 30] = True
    fill = np.zeros(shape_, bool)
    fill[0, 39] = True
    bits = qa_pixel(Sky(thickness, np.zeros(shape_, np.float32), shade), water, fill, 30.0)[0]
    # USGS LSDS-1619, table 6-3: clear land, cloud, dilated cloud, cloud shadow, water, fill.
    assert [bits[k] for k in (10, 0, 2, 20, 30, 39)] == [21824, 22280, 21762, 23888, 21952, 1]


def test_shadows_fall_away_from_the_sun():
    rng = np.random.default_rng(0)
    sky = simulate_sky((300, 300), 30.0, 0.3, (45.0, 135.0), rng)  # the sun in the south-east
    away = round(1400.0 / 30.0 * np.sqrt(0.5))
    dark = 1.0 - sky.shade
    northwest = (dark[:-away, :-away] * sky.thickness[away:, away:]).mean()
    southeast = (dark[away:, away:] * sky.thickness[:-away, :-away]).mean()
    assert northwest > 2 * southeast
    assert sky.cloud.mean() == pytest.approx(0.3, abs=0.05)


def test_the_sun_stands_where_it_should():
    for day in (datetime(2019, 3, 20, 12, 7), datetime(2019, 9, 23, 11, 52)):  # solar noon at 0 E at the equinoxes
        high, _ = sun_position(day, 0.0, 38.0)
        assert high == pytest.approx(52.0, abs=0.5)
    high, turn = sun_position(datetime(2019, 6, 21, 18, 45), -122.1, 37.95)
    assert 62 < high < 70
    assert 110 < turn < 130  # a June morning: south-east


def test_grass_dries_and_slides_are_bare_from_their_day(county):
    ground = ground_on(county, GRID)
    spring, autumn = (ground.shares_on(date(2019, month, 20))[:, ground.valid] for month in (3, 9))
    np.testing.assert_allclose(spring.sum(axis=0), 1.0, atol=1e-4)
    green = SURFACES.index("grass")
    assert autumn[green].mean() < 0.3 * spring[green].mean()
    days = np.unique(ground.slid[np.isfinite(ground.slid)])
    assert days.size
    one = days[-1]
    before, after = (ground.shares_on(date.fromordinal(date(1970, 1, 1).toordinal() + int(one) + k)) for k in (-1, 1))
    hit = (ground.slid == one).any(axis=0)
    soil = SURFACES.index("soil")
    assert (after[soil][hit] > before[soil][hit] + 0.2).mean() > 0.8


def test_speckle_has_the_stated_number_of_looks(county, holdings, items):
    for looks in (1.0, 4.4, 12.0):
        noise = speckle((500, 500), looks, np.random.default_rng(1))
        assert noise.mean() == pytest.approx(1.0, abs=0.01)
        assert noise.mean() ** 2 / noise.var() == pytest.approx(looks, rel=0.03)
    said = of(items, "sentinel-1-rtc")[0]["properties"]["sar:looks_equivalent_number"]
    ground = ground_on(county, GRID)
    one, two = (
        see_backscatter(ground, date(2019, 5, 1), "ascending", looks=said, wet=0.5, rng=np.random.default_rng(k))
        for k in (1, 2)
    )
    ratio = np.log(one / two)  # what is the same in both cancels; each log of speckle has the variance psi'(looks)
    assert np.nanvar(ratio) == pytest.approx(2 * polygamma(1, said), rel=0.03)


def test_slopes_that_face_the_radar_are_brighter(county):
    ground = ground_on(county, GRID)
    mean = {}
    for orbit in ("ascending", "descending"):
        gamma = see_backscatter(ground, date(2019, 5, 1), orbit, looks=100.0, wet=0.5, rng=np.random.default_rng(1))
        west = ground.normal[0] < -0.15
        mean[orbit] = np.nanmean(gamma[0][west])
    assert mean["ascending"] > 1.05 * mean["descending"]  # ascending looks east


def test_radar_holds_linear_power_on_both_orbits(holdings, items):
    scenes = of(items, "sentinel-1-rtc")
    assert {item["properties"]["sat:orbit_state"] for item in scenes} == {"ascending", "descending"}
    for item in scenes[:2]:
        vv, vh = (read(holdings, item, key) for key in ("vv", "vh"))
        seen = vv != -32768
        assert 0.3 < seen.mean() < 1.0
        assert (vv[seen] > 0).all()
        assert -16 < 10 * np.log10(np.median(vv[seen])) < -7
        assert np.median(vh[seen]) < 0.5 * np.median(vv[seen])


def test_sentinel2_numbers_carry_the_offset(holdings, items):
    (item,) = of(items, "sentinel-2-l2a")
    assert item["properties"]["s2:processing_baseline"] == "05.09"
    classes = read(holdings, item, "SCL")
    nir = read(holdings, item, "B8A")
    np.testing.assert_array_equal(classes == 0, nir == 0)
    clear = np.isin(classes, (4, 5))
    if clear.any():
        assert 0.02 < np.median((nir[clear] - 1000.0) / 10_000) < 0.6
    assert item["assets"]["B04"]["proj:shape"] != item["assets"]["SCL"]["proj:shape"]


def test_the_dems_in_degrees_are_the_ground(county, holdings, items):
    (surface,) = of(items, "cop-dem-glo-30")
    paths = {"survey": holdings.survey, "surface": local(holdings, surface["assets"]["data"])}
    error = {}
    for name, path in paths.items():
        with rasterio.open(path) as file:
            assert file.crs.to_epsg() == {"survey": 4269, "surface": 4326}[name]
            back = np.full(GRID.shape, np.nan, np.float32)
            reproject(
                file.read(1),
                back,
                src_transform=file.transform,
                src_crs=file.crs,
                src_nodata=file.nodata,
                dst_transform=GRID.affine,
                dst_crs="EPSG:32610",
                dst_nodata=np.nan,
                resampling=Resampling.bilinear,
            )
        inside = (slice(5, -5), slice(5, -5))
        error[name] = (back - county.band("elevation"))[inside]
        assert np.isfinite(error[name]).all()
    assert np.abs(error["survey"]).mean() < 0.6
    assert abs(error["survey"].mean()) < 0.1  # a shift of half a cell would show on slopes
    woods = county.band("land_cover")[5:-5, 5:-5] == 3
    assert np.median(error["surface"][woods]) > np.median(error["surface"][~woods]) + 3.0


def test_rain_falls_in_winter_and_before_slides(county, holdings):
    def total(day):
        path = holdings.rain / f"{day:%Y}" / f"chirps-v2.0.{day:%Y.%m.%d}.cog"
        with rasterio.open(path) as file:
            assert file.transform.a == pytest.approx(0.05)
            return float(file.read(1).mean())

    monthly = {month: sum(total(date(2019, month, day)) for day in range(1, 29)) for month in (1, 8)}
    assert monthly[1] > 20
    assert monthly[8] < 0.3 * monthly[1]
    table = county.slides.scarps
    wet = table[(table.cause == "rain") & (table.date >= "2019-01-01") & (table.date < "2020-01-01")]
    for day in set(wet.date.dt.date):
        assert total(day) > 30


def test_scenes_do_not_depend_on_which_others_are_written_nor_on_the_zone_of_others(county, holdings, items, tmp_path):
    zones = ("EPSG:32610", "EPSG:32611")
    again = write_scenes(county, tmp_path, ADDRESS, dates=1, crs=zones)
    lines = [json.loads(line) for line in again.items.read_text().splitlines()]
    landsat = of(lines, "landsat-c2-l2")
    assert {item["properties"]["proj:code"] for item in landsat} == set(zones)
    known = {item["id"]: item for item in items}
    same = [item for item in lines if item["properties"].get("proj:code") != "EPSG:32611"]
    assert len(same) == 1 + 2 + 1 + 425
    for item in same:
        assert item == known[item["id"]]
        for asset in item["assets"].values():
            assert local(again, asset).read_bytes() == local(holdings, asset).read_bytes()
    assert again.survey.read_bytes() == holdings.survey.read_bytes()
    # The scene in the next zone shows the same ground.
    (other,) = [item for item in landsat if item not in same]
    np.testing.assert_allclose(other["bbox"], known[other["id"]]["bbox"], atol=2e-3)


def test_senseless_numbers_of_dates_are_refused(county, tmp_path):
    with pytest.raises(RecipeError, match="at least 1"):
        write_scenes(county, tmp_path, ADDRESS, dates=0)


def test_spectra_are_reflectances_and_plants_are_green():
    for name, values in SPECTRA.items():
        assert len(values) == len(WAVELENGTHS_UM)
        assert 0 < min(values) <= max(values) < 1, name
    blue, _, red, nir, *_ = spectrum("grass", tuple(LANDSAT_BANDS.values()))
    assert (nir - red) / (nir + red) > 0.7
    assert blue < red or spectrum("tree", [0.56])[0] > spectrum("tree", [0.655])[0]
    np.testing.assert_allclose(spectrum("soil", WAVELENGTHS_UM), SPECTRA["soil"], rtol=1e-6)
