"""Laws of reading over time: what was not published is not read, and turning the ground turns the sun."""

import numpy as np
import pytest
import torch
from series_world import series_world

from headscarp.core.domains import check_domains
from headscarp.core.errors import StackError
from headscarp.core.stack import feature_bands
from headscarp.core.tile import Tile, Window
from headscarp.nets.metadata import FEATURES, NAMES, metadata_columns
from headscarp.tiles.augment import augment
from headscarp.tiles.dataset import cache_stack
from headscarp.tiles.reader import TileReader, make_batch
from headscarp.tiles.series import read_series, turned_metadata, with_delay
from headscarp.tiles.statistics import metadata_scales, training_statistics

SIDE = 16


@pytest.fixture(scope="module")
def world():
    return check_domains(series_world())


def read(stack, sample=0, halo=0):
    reader = TileReader(stack, feature_bands(stack))
    tile = Tile(Window(0, 0, SIDE, SIDE), halo, sample)
    return make_batch([reader.read(tile)], [tile])


def test_a_tile_holds_the_frames_and_what_goes_with_them(world):
    batch = read(world, sample=3, halo=4)
    assert batch.x.shape == (1, 5, 11, SIDE + 8, SIDE + 8)
    inner = batch.x[0, :, 0, 4:-4, 4:-4].numpy()
    np.testing.assert_array_equal(inner[:4], world["blue"][3, :4])
    assert batch.present.tolist() == [[True, True, True, True, False]]
    assert np.isnan(inner[4]).all()
    elevation = batch.x[0, :, [b.name for b in feature_bands(world)].index("elevation"), 4:-4, 4:-4]
    assert all(torch.equal(elevation[0], plane) for plane in elevation)
    assert batch.metadata.shape == (1, 5, len(FEATURES))
    assert batch.event_days.tolist() == [float(world["event_days"][3])]
    np.testing.assert_array_equal(batch.causes[0], world["causes"][3])


def test_a_cache_gives_the_same_batch(world, tmp_path):
    plain, cached = read(world, 1), read(cache_stack(world, tmp_path), 1)
    for name in ("x", "days", "metadata", "event_days", "causes"):
        torch.testing.assert_close(getattr(plain, name), getattr(cached, name), rtol=0, atol=0, equal_nan=True)


def test_nothing_that_came_too_late_is_read(world):
    """Values of days and frames after (cut-off - delay) may be anything: the batch is the same."""
    changed = world.copy(deep=True)
    changed["rain_mm_per_day"][:, -20:] = 999
    changed["soil_moisture"][:, -20:] = 0.9
    late = world["days"].to_numpy() > -20
    for name in ("red", "vv"):
        changed[name].values[late] = 7.0
    changed["sun_elevation"].values[late] = -5
    for sample in range(4):
        a, b = (read(with_delay(stack, 20), sample) for stack in (world, changed))
        for name in ("x", "days", "present", "metadata"):
            torch.testing.assert_close(getattr(a, name), getattr(b, name), rtol=0, atol=0, equal_nan=True)
    a, b = (read_series(with_delay(stack, 0)).metadata for stack in (world, changed))
    assert not np.array_equal(a, b, equal_nan=True)


def test_sums_of_rain_end_with_what_is_published_last(world):
    series = read_series(with_delay(world, 5))
    rain = world["rain_mm_per_day"].to_numpy()
    column = NAMES.index("rain_7d before the cut-off")
    np.testing.assert_allclose(np.expm1(series.metadata[:, 0, column]), rain[:, -12:-5].sum(axis=1), rtol=1e-4)
    days = int(world["days"][0, 0])
    frame = NAMES.index("rain_3d before the frame")
    np.testing.assert_allclose(np.expm1(series.metadata[0, 0, frame]), rain[0, days - 3 : days].sum(), rtol=1e-4)


def test_the_coming_season_is_told_by_the_year_before(world):
    rain, soil = world["rain_mm_per_day"].to_numpy(), world["soil_moisture"].to_numpy()
    for delay in (0, 15):
        found = read_series(with_delay(world, delay)).metadata[:, 0]
        column = NAMES.index("rain_90d from a year before the cut-off")
        np.testing.assert_allclose(np.expm1(found[:, column]), rain[:, :90].sum(axis=1), rtol=1e-4)
        column = NAMES.index("soil_moisture_180d from a year before the cut-off")
        np.testing.assert_allclose(found[:, column], soil[:, :180].mean(axis=1), rtol=1e-4)


def test_absurd_positions_count_as_unknown(world):
    absurd = world.assign_coords(latitude=("sample", np.full(24, 95, np.float32)))
    assert np.isnan(read_series(absurd).metadata[..., NAMES.index("latitude:sin")]).all()
    without = read_series(world.drop_vars(["latitude", "longitude", "rain_mm_per_day", "cutoff"]))
    for name in ("latitude:sin", "rain_1d before the frame", "date:sin"):
        assert np.isnan(without.metadata[..., NAMES.index(name)]).all(), name


def test_metadata_is_scaled_by_training_samples_alone(world):
    scales = metadata_scales(read_series(world), None)
    values = read_series(world).metadata[..., NAMES.index("elevation_m")]
    mean, farthest = scales["elevation_m"]
    assert mean == pytest.approx(values.mean(), rel=1e-5)
    assert farthest == pytest.approx(np.abs(values - values.mean()).max(), rel=1e-5)
    statistics = training_statistics(world, None, feature_bands(world))
    assert statistics.metadata == scales
    optical = world["nir"].to_numpy()
    assert statistics.mean["nir"] == pytest.approx(optical[np.isfinite(optical)].mean(), rel=1e-4)


def test_the_sun_turns_with_the_ground(world):
    series = read_series(world)
    one = series.metadata[0]
    north, east = NAMES.index("sun:north"), NAMES.index("sun:east")
    turned = turned_metadata(one, 1, False)  # a quarter to the left: 140 degrees become 50
    np.testing.assert_allclose(turned[0, [north, east]], [np.cos(np.deg2rad(50)), np.sin(np.deg2rad(50))], atol=1e-5)
    back = turned_metadata(turned_metadata(one, 3, True), 3, True)
    np.testing.assert_allclose(back, one, atol=1e-5)
    reader = TileReader(world, feature_bands(world))
    pixels = reader.read(Tile(Window(0, 0, SIDE, SIDE)))
    found = augment(pixels, reader.bands, np.random.default_rng(1))
    assert found.x.shape == pixels.x.shape
    assert np.nansum(found.x) == pytest.approx(np.nansum(pixels.x), rel=1e-5)


def test_choices_of_metadata_are_nested():
    none, position, weather, everything = (metadata_columns(c) for c in ("none", "position", "weather", "all"))
    assert none == ()
    assert set(position) | set(weather) < set(everything)
    assert not set(position) & set(weather)
    assert len(metadata_columns("all", leave_out=["cloud_share"])) == len(everything) - 1


def test_frames_without_days_are_refused(world):
    with pytest.raises(StackError, match="no days before a cut-off"):
        TileReader(world.drop_vars("days"), feature_bands(world))
    with pytest.raises(StackError, match="from 0 to 364"):
        with_delay(world, 400)
