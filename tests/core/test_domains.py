"""Laws of the layout of domains: nothing after the cut-off, padding at the end, the unpublished is hidden."""

import numpy as np
import pytest
import xarray as xr

from headscarp.core.domains import (
    CAUSES,
    FRAME_FACTS,
    HORIZONS_DAYS,
    SERIES,
    SERIES_DAYS,
    as_available,
    check_domains,
    domain_bands,
    events_within,
    frames_available,
    has_frames,
    is_domains,
)
from headscarp.core.errors import StackError
from headscarp.core.stack import band_attrs, open_stack

N, T, SIDE = 3, 4, 8


def domains() -> xr.Dataset:
    """Three empty samples: four frames, three frames and one, of both sensors."""
    days = np.full((N, T), np.nan, np.float32)
    days[0], days[1, :3], days[2, 0] = (-90, -40, -12, 0), (-300, -7, -7), -1
    data = {}
    for band in domain_bands("empty"):
        front = (N, T) if has_frames(band.name) else (N,)
        dims = ("sample", "time", "y", "x") if has_frames(band.name) else ("sample", "y", "x")
        data[band.name] = (dims, np.zeros((*front, SIDE, SIDE), band.dtype), band_attrs(band))
    data |= {name: (("sample", "time"), np.zeros((N, T), dtype)) for name, dtype in FRAME_FACTS.items()}
    data["days"] = (("sample", "time"), days)
    data["sensor"] = (("sample", "time"), np.isfinite(days).astype(np.uint8))
    data |= {name: (("sample", "day"), np.zeros((N, SERIES_DAYS), np.float32)) for name in SERIES}
    data["event_days"] = ("sample", np.array([2.5, np.inf, np.nan], np.float32))
    data["causes"] = (("sample", "cause"), np.zeros((N, len(CAUSES)), np.uint8))
    data["thriving"] = ("sample", np.zeros(N, np.uint8))
    coords = {name: ("sample", np.zeros(N)) for name in ("latitude", "longitude", "elevation_m")}
    coords |= {name: ("sample", np.array(["a", "b", "c"], object)) for name in ("sample_id", "region")}
    coords["cutoff"] = ("sample", np.array(["2014-07-30"] * N, "datetime64[ns]"))
    coords |= {"day": np.arange(-SERIES_DAYS, 0), "cause": np.array(CAUSES, object)}
    attrs = {"headscarp_stack": 1, "pixel_m": 30.0, "bands": [band.name for band in domain_bands("")]}
    return xr.Dataset(data, coords=coords, attrs=attrs)


def test_what_holds_the_layout_passes_and_survives_the_disk(tmp_path):
    stack = check_domains(domains())
    assert is_domains(stack)
    stack.to_zarr(tmp_path / "domains.zarr", zarr_format=3, consolidated=False)
    back = check_domains(open_stack(tmp_path / "domains.zarr"))
    np.testing.assert_array_equal(back["days"], stack["days"])
    assert back["cutoff"].dtype.kind == "M"
    assert list(back["region"].to_numpy()) == ["a", "b", "c"]
    assert not is_domains(xr.Dataset())


@pytest.mark.parametrize(
    ("name", "place", "value", "words"),
    [
        ("days", (0, 3), 1.0, "after its cut-off"),
        ("days", (0, 1), -95.0, "oldest first"),
        ("days", (0, 1), np.nan, "padding at the end"),
        ("sensor", (1, 3), 2, "disagree"),
        ("cause", (0,), "giants", "giants"),
        ("day", (0,), -400, "-365..-1"),
    ],
)
def test_what_breaks_the_layout_is_named(name, place, value, words):
    stack = domains()
    values = stack[name].to_numpy().copy()
    values[place] = value
    with pytest.raises(StackError, match=words):
        check_domains(stack.assign({name: (stack[name].dims, values)}))


def test_a_lost_variable_is_named():
    with pytest.raises(StackError, match="soil_moisture"):
        check_domains(domains().drop_vars("soil_moisture"))


def test_as_available_hides_what_was_not_yet_published():
    rain = np.arange(1, SERIES_DAYS + 1, dtype=np.float32)[None].repeat(2, 0)
    np.testing.assert_array_equal(as_available(rain, 0), rain)
    late = as_available(rain, 4.5)
    assert np.isnan(late[:, -5:]).all()
    np.testing.assert_array_equal(late[:, :-5], rain[:, :-5])
    assert np.isnan(as_available(rain, 400)).all()
    with pytest.raises(StackError, match="delay_days is -1"):
        as_available(rain, -1)
    days = np.array([-20.0, -5.0, -4.0, np.nan], np.float32)
    assert frames_available(days, 5).tolist() == [True, True, False, False]
    assert frames_available(days, 0).tolist() == [True, True, True, False]


def test_events_count_from_their_horizon_on():
    within = events_within(np.array([0.5, 3.0, 200.0, np.inf, np.nan], np.float32))
    assert within.shape == (5, len(HORIZONS_DAYS))
    assert within.tolist() == [[1] * 5, [0, 1, 1, 1, 1], [0] * 5, [0] * 5, [255] * 5]
