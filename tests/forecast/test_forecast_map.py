"""Maps of forecasts: from the stacks of one place and a date to bands of hazard, confidence, causes and where."""

from dataclasses import replace

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from odc.geo.geobox import GeoBox
from series_world import series_world
from shapely.geometry import box
from typer.testing import CliRunner

from headscarp.cli import app
from headscarp.core.band import Band
from headscarp.core.bundle import Bundle, save_bundle
from headscarp.core.domains import REFLECTANCE
from headscarp.core.errors import BundleError, RecipeError, StackError
from headscarp.core.stack import CHUNK, feature_bands, make_stack, write_stack
from headscarp.nets import make_net, net_from_bundle, weights_of
from headscarp.prediction.engines import PIECE_PX
from headscarp.prediction.frames import MOST_FRAMES, forecast, frames_before, frames_of
from headscarp.prediction.planting import plan_planting
from headscarp.prediction.prevalence import calibrated_share, with_prevalence
from headscarp.tiles.reader import TileReader, make_batch
from headscarp.tiles.series import read_series, with_delay
from headscarp.tiles.statistics import training_statistics
from headscarp.tiles.tiling import score_tiles
from headscarp.train.ensemble import ensemble

SHAPE, DATE = (40, 56), "2014-07-29"
GRID = GeoBox(SHAPE, Affine(30, 0, 500000, 0, -30, 2100000), "EPSG:32643")
BANDS = feature_bands(series_world(6))


def days(*numbers):
    return np.datetime64(DATE, "ns") + np.array(numbers) * np.timedelta64(86400, "s")


@pytest.fixture(scope="module")
def bundle():
    torch.manual_seed(0)
    statistics = training_statistics(series_world(12), None, BANDS)
    arguments = {"place_px": 16, "channels": 8}
    net = make_net("forecast", BANDS, resolution_m=30, statistics=statistics, arguments=arguments).eval()
    return Bundle("forecast", net.arguments(), BANDS, 30.0, weights_of(net))


@pytest.fixture(scope="module")
def place():
    rng = np.random.default_rng(0)
    when = days(-40, -24.5, -8, 5)
    quality = Band("quality", "categorical", classes=("clear", "cloud", "dilated cloud"))
    optical = {Band(name, "continuous"): rng.uniform(0, 0.4, (4, *SHAPE)) for name in REFLECTANCE}
    landsat = make_stack(GRID, {**optical, quality: rng.integers(0, 4, (4, *SHAPE))}, time=when)
    radar = {Band(name, "continuous", "dB"): rng.normal(-12, 2, (2, *SHAPE)) for name in ("vv", "vh")}
    sentinel = make_stack(GRID, radar, time=days(-30, -3))
    height = np.add.outer(np.arange(SHAPE[0]) * 15.0, np.zeros(SHAPE[1]))
    height[:3, :5] = np.nan
    dem = make_stack(GRID, {Band("elevation", "continuous", "m"): height})
    rain = {Band("rain_1d_mm", "continuous", "mm"): np.arange(30.0)[:, None, None] * np.ones(SHAPE)}
    weather = make_stack(GRID, rain, time=days(*range(-28, 2)))
    return {"landsat": landsat, "sentinel": sentinel, "dem": dem, "weather": weather}


def read(path):
    with rasterio.open(path) as file:
        return file.read(), file.descriptions


def test_the_map_is_what_the_net_says(bundle, place, tmp_path):
    path = forecast(bundle, list(place.values()), tmp_path / "risk.tif", date=DATE, delay_days=0)
    values, names = read(path)
    assert names[0] == "hazard: 7 d"
    assert {"confidence", "familiarity", "cause: rain", "where"} <= set(names)
    assert not {"hazard: 1 d", "hazard: 30 d"} & set(names)
    assert np.isnan(values[:, :2, :4]).all()
    known = values[:, 5:-1, 1:-1]
    assert np.isfinite(known).all()
    assert known.min() >= 0
    assert known.max() <= 1
    stack = with_delay(frames_before(list(place.values()), DATE, bands=BANDS), 0)
    reader = TileReader(stack, BANDS)
    tile = score_tiles(SHAPE, 64, 0)[0]
    net = net_from_bundle(bundle)
    with torch.no_grad():
        whole = net.predict(make_batch([reader.read(tile)], [tile]))[0, :, : SHAPE[0], : SHAPE[1]].numpy()
    chosen = [[o.name for o in net.outputs].index(name) for name in names]
    np.testing.assert_allclose(known, whole[chosen][:, 5:-1, 1:-1], atol=1e-5)


def test_a_map_of_many_squares_is_what_the_net_says_at_once(bundle, tmp_path):
    shape = (CHUNK + 40, CHUNK + PIECE_PX + 24)
    grid = GeoBox(shape, Affine(30, 0, 500000, 0, -30, 2100000), "EPSG:32643")
    rng = np.random.default_rng(1)
    optical = {Band(name, "continuous"): rng.uniform(0, 0.4, (1, *shape)) for name in REFLECTANCE}
    height = rng.normal(800, 5, shape)
    height[:CHUNK, :CHUNK] = np.nan  # a whole square of nothing
    stacks = [
        make_stack(grid, optical, time=days(-3)),
        make_stack(grid, {Band("elevation", "continuous", "m"): height}),
    ]
    values, names = read(forecast(bundle, stacks, tmp_path / "risk.tif", date=DATE, delay_days=0))
    reader = TileReader(with_delay(frames_before(stacks, DATE, bands=BANDS), 0), BANDS)
    tile = score_tiles(shape, 512, 0)[0]
    net = net_from_bundle(bundle)
    with torch.no_grad():
        whole = net.predict(make_batch([reader.read(tile)], [tile]))[0, :, : shape[0], : shape[1]].numpy()
    chosen = [[o.name for o in net.outputs].index(name) for name in names]
    there = np.isfinite(height) & np.isfinite(reader.stack["slope"].to_numpy())
    assert np.isnan(values[:, :CHUNK, :CHUNK]).all()
    np.testing.assert_array_equal(np.isfinite(values), np.broadcast_to(there, values.shape))
    np.testing.assert_allclose(values[:, there], whole[chosen][:, there], atol=1e-5)


def test_frames_stand_in_slots_with_what_is_known(place):
    stack = frames_before(list(place.values()), DATE, bands=BANDS)
    assert stack["days"].to_numpy().tolist() == [-40, -30, -24.5, -8, -3]
    assert stack["sensor"].to_numpy().tolist() == [1, 2, 1, 1, 2]
    assert np.isnan(stack["red"][1]).all()
    np.testing.assert_array_equal(stack["vv"][4], place["sentinel"]["vv"][1])
    quality, cloud = place["landsat"]["quality"][0].to_numpy(), stack["cloud"][0].to_numpy()
    np.testing.assert_array_equal(cloud[quality == 2], 2)
    np.testing.assert_array_equal(cloud[quality == 3], 0)  # a class that the bundle has never seen
    rain = stack["rain_mm_per_day"].to_numpy()
    assert rain[-1] == 28  # the frame of the date tells of the day before it
    assert np.isnan(rain[:-29]).all()
    assert np.isfinite(stack["slope"].to_numpy()[5:-1, 1:-1]).all()
    series = read_series(stack)
    assert series.days.tolist() == [[-40, -30, -24.5, -8, -3]]
    assert frames_before(list(place.values()), DATE, bands=BANDS, frames=2)["days"].to_numpy().tolist() == [-8, -3]


def test_a_map_reads_as_many_frames_as_the_net_learned_from(bundle, place, tmp_path):
    stacks = [place["landsat"], place["sentinel"], place["dem"]]
    of_two = replace(bundle, arguments={**bundle.arguments, "slots": 2})
    two, told, all_ = (
        read(forecast(one, stacks, tmp_path / f"{name}.tif", date=DATE, delay_days=0, frames=frames))[0]
        for one, name, frames in ((of_two, "two", None), (bundle, "told", 2), (bundle, "all", None))
    )
    np.testing.assert_array_equal(two, told)
    assert np.nanmax(np.abs(two - all_)) > 0
    assert frames_of(of_two) == 2
    assert frames_of(bundle) == MOST_FRAMES


def test_nothing_after_the_date_matters(bundle, place, tmp_path):
    later = place["landsat"].copy(deep=True)
    later["red"][3] = 9.0
    a, b = (
        read(forecast(bundle, [stack, place["sentinel"], place["dem"]], tmp_path / name, date=DATE))[0]
        for stack, name in ((place["landsat"], "a.tif"), (later, "b.tif"))
    )
    np.testing.assert_array_equal(a, b)


def test_one_sensor_and_one_frame_are_enough(bundle, place, tmp_path):
    for number, names in enumerate((("landsat", "dem"), ("sentinel", "dem"))):
        stacks = [place[name] for name in names]
        path = forecast(bundle, stacks, tmp_path / f"{number}.tif", date=DATE, horizon="180d", frames=1)
        assert np.isfinite(read(path)[0][:, 5:-1, 1:-1]).all()


def test_the_command_writes_the_map(bundle, place, tmp_path):
    save_bundle(bundle, tmp_path / "forecast")
    paths = []
    for name in ("landsat", "sentinel", "dem"):
        write_stack(place[name], tmp_path / f"{name}.zarr")
        paths.append(str(tmp_path / f"{name}.zarr"))
    out = tmp_path / "risk.tif"
    words = ["forecast", str(tmp_path / "forecast"), *paths, "--date", DATE, "--horizon", "30d", "--out", str(out)]
    found = CliRunner().invoke(app, words)
    assert found.exit_code == 0, found.output
    assert read(out)[1][0] == "hazard: 30 d"


def test_what_cannot_be_is_refused(bundle, place, tmp_path):
    stacks, out = list(place.values()), tmp_path / "x.tif"
    with pytest.raises(StackError, match="no frame up to 2010-01-01; the first is of 2014-06-19"):
        forecast(bundle, stacks, out, date="2010-01-01")
    with pytest.raises(RecipeError, match="1d, 3d, 7d, 30d, 180d"):
        forecast(bundle, stacks, out, date=DATE, horizon="14d")
    with pytest.raises(RecipeError, match="not a date"):
        forecast(bundle, stacks, out, date="July")
    with pytest.raises(StackError, match="ground band 'elevation'"):
        forecast(bundle, [place["landsat"]], out, date=DATE)
    with pytest.raises(BundleError, match="does not forecast"):
        forecast(Bundle("llr", {}, BANDS, 30.0, {}), stacks, out, date=DATE)


def told(bundle, events=20.0, n=100.0):
    """The bundle with what its validation part held within 7 and 30 days."""
    of = {"net": "forecast", "part": "validation"}
    rows = [
        {**of, "metric": f"{name} {d} d", "value": v} for d in (7, 30) for name, v in (("events", events), ("n", n))
    ]
    return replace(bundle, metrics=tuple(rows))


def test_another_prevalence_moves_every_rate_by_one_factor(bundle, place, tmp_path):
    whole = told(bundle)
    stacks = list(place.values())
    usual, rare, same = (
        read(forecast(whole, stacks, tmp_path / f"{i}.tif", date=DATE, prevalence=share))[0][0]
        for i, share in enumerate((None, 0.002, 0.2))
    )
    known = np.isfinite(usual)
    factor = np.log1p(-rare[known].astype(float)) / np.log1p(-usual[known].astype(float))
    np.testing.assert_allclose(factor, np.log1p(-0.002) / np.log1p(-0.2), rtol=1e-3)
    np.testing.assert_allclose(same[known], usual[known], rtol=1e-4)
    threshold = with_prevalence(replace(whole, threshold=0.2), 0.002, 7).threshold
    assert threshold == pytest.approx(0.002)


def test_every_member_of_an_ensemble_is_moved_and_its_spread_is_a_band(bundle, place, tmp_path):
    whole = ensemble([told(bundle), told(bundle)], tmp_path / "whole")
    values, names = read(forecast(whole, list(place.values()), tmp_path / "a.tif", date=DATE, prevalence=0.002))
    one, _ = read(forecast(told(bundle), list(place.values()), tmp_path / "b.tif", date=DATE, prevalence=0.002))
    np.testing.assert_allclose(values[0], one[0], rtol=1e-5)
    assert "spread: hazard: 7 d" in names
    assert "spread: hazard: 30 d" not in names
    assert np.nanmax(values[names.index("spread: hazard: 7 d")]) == 0


def test_the_share_of_samples_of_several_places_is_that_of_a_place(bundle):
    whole = told(bundle)
    assert calibrated_share(replace(whole, split={"shape": [16, 16]}), 7) == pytest.approx(0.2)
    four = calibrated_share(replace(whole, split={"shape": [32, 32]}), 7)
    assert 1 - (1 - four) ** 4 == pytest.approx(0.2)


def test_a_prevalence_that_cannot_be_is_refused(bundle):
    for share in (0.0, 1.0, -0.1):
        with pytest.raises(RecipeError, match="above 0 and below 1"):
            with_prevalence(told(bundle), share, 7)
    with pytest.raises(BundleError, match="does not tell how common events within 7 d were"):
        with_prevalence(bundle, 0.01, 7)
    with pytest.raises(BundleError, match="with and without events"):
        with_prevalence(told(bundle, events=0.0), 0.01, 7)


def test_a_forecast_ranks_where_to_plant(bundle, place, tmp_path):
    there = box(*GRID.affine @ (5, 35), *GRID.affine @ (50, 5))
    gpd.GeoDataFrame(geometry=[there], crs="EPSG:32643").to_file(tmp_path / "here.gpkg")
    landsat = place["landsat"].copy(deep=True)
    for name, woods in {"green": 0.045, "red": 0.03, "nir": 0.33}.items():
        landsat[name][:, 35:] = woods
    stacks, here = [landsat, *list(place.values())[1:]], [tmp_path / "here.gpkg"]
    found = plan_planting(stacks, budget_ha=9.0, patch_ha=0.1, risk=bundle, date=DATE, candidates=here)
    assert found.source == "learned"
    assert found.beside is not None
    inside = found.open_ground
    assert inside.any()
    assert np.isfinite(found.gain[inside]).all()
    assert np.isfinite(found.beside[1][inside]).all()
    assert found.ha <= 9.0
    assert not (found.chosen & ~inside).any()
    with pytest.raises(RecipeError, match="judges a place from a day on"):
        plan_planting(stacks, budget_ha=9.0, risk=bundle, candidates=here)
