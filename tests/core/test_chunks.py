"""Bands straight from their chunk files give what Zarr gives, whatever is asked for; what is stored otherwise is left
to Zarr; a torn chunk is told by its name."""

import numpy as np
import pytest
import xarray as xr
import zarr
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from zarr.codecs import GzipCodec, ZstdCodec

from headscarp.core.band import Band
from headscarp.core.chunks import ChunkedZarr, _Kept
from headscarp.core.errors import StackError
from headscarp.core.grid import Grid
from headscarp.core.stack import create_stack, make_stack, open_stack, write_stack

SHAPE = (300, 530)
GRID = Grid(SHAPE, Affine(10, 0, 500_000, 0, -10, 5_000_000), "EPSG:32633")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A stack on disk with numbers, codes and frames, and the same in memory."""
    rng = np.random.default_rng(0)
    elevation = rng.normal(size=SHAPE).astype(np.float32)
    elevation[:40, :90] = np.nan
    arrays = {
        Band("elevation", "continuous", "m"): elevation,
        Band("rock", "categorical", classes=("a", "b")): rng.integers(0, 3, SHAPE).astype(np.uint8),
        Band("red", "continuous"): rng.random((2, *SHAPE), dtype=np.float32),
    }
    times = np.array(["2020-01-01", "2021-01-01"], "datetime64[ns]")
    stack = make_stack(GRID, arrays, time=times)
    path = tmp_path_factory.mktemp("stacks") / "stack.zarr"
    write_stack(stack, path)
    return path, stack


def spans(size):
    ends = st.tuples(st.integers(-5, size + 5), st.integers(-5, size + 5)).map(sorted)
    return st.tuples(ends, st.sampled_from([1, 1, 3, 64, 290])).map(lambda span: slice(*span[0], span[1]))


@settings(max_examples=60, deadline=None)
@given(rows=spans(SHAPE[0]), cols=spans(SHAPE[1]), frame=st.integers(-2, 1))
def test_any_window_is_that_of_the_pixels(rows, cols, frame, saved):
    path, wanted = saved
    found = open_stack(path)
    for name in ("elevation", "rock"):
        pixels = found[name][rows, cols]
        assert pixels.dtype == wanted[name].dtype
        np.testing.assert_array_equal(pixels.values, wanted[name].values[rows, cols])
    np.testing.assert_array_equal(found["red"][frame, rows, cols].values, wanted["red"].values[frame, rows, cols])


@pytest.mark.parametrize(
    "how",
    [
        lambda band: band,
        lambda band: band[7, -1],
        lambda band: band[-1],
        lambda band: band[::3, 5:200:7],
        lambda band: band[::-1],
        lambda band: band[[3, 299, 3], 4:9],
        lambda band: band.isel(y=xr.DataArray([1, 2, 299], dims="p"), x=xr.DataArray([5, 4, 529], dims="p")),
        lambda band: band.T[10:20, 30:40],
    ],
)
def test_whatever_else_is_asked_for_is_right_too(how, saved):
    path, wanted = saved
    np.testing.assert_array_equal(how(open_stack(path)["elevation"]).values, how(wanted["elevation"]).values)


def test_pixels_off_the_raster_are_an_error(saved):
    with pytest.raises(IndexError):
        _ = open_stack(saved[0])["elevation"][0, 530].values


def test_zarr_itself_reads_the_same(saved):
    path, wanted = saved
    for name in ("elevation", "rock", "red"):
        np.testing.assert_array_equal(zarr.open_group(path, mode="r")[name][:], wanted[name].values)


def test_chunks_that_are_not_there_are_missing(tmp_path):
    create_stack(
        tmp_path / "s.zarr", GRID, [Band("slope", "continuous", "degree"), Band("rock", "categorical", classes=("a",))]
    )
    group = zarr.open_group(tmp_path / "s.zarr", mode="r+")
    group["slope"][260:, :10] = 1.0
    dataset = xr.open_dataset(
        tmp_path / "s.zarr", engine=ChunkedZarr, chunks=None, consolidated=False, mask_and_scale=False
    )
    slope, rock = dataset["slope"].values, dataset["rock"].values
    assert (slope[260:, :10] == 1).all()
    assert np.isnan(slope).sum() == slope.size - 400
    assert (rock == 0).all()


@pytest.mark.parametrize(
    "options",
    [{"compressors": ZstdCodec()}, {"compressors": GzipCodec()}, {"compressors": None}, {"shards": (512, 512)}],
)
def test_arrays_stored_in_other_ways_are_read_too(options, tmp_path):
    pixels = np.random.default_rng(1).random((600, 600), dtype=np.float32)
    group = zarr.open_group(tmp_path / "z", mode="w", zarr_format=3)
    array = group.create_array(
        "a", shape=pixels.shape, chunks=(256, 256), dtype="float32", dimension_names=("y", "x"), **options
    )
    array[:] = pixels
    found = xr.open_dataset(tmp_path / "z", engine=ChunkedZarr, chunks=None, consolidated=False)["a"]
    np.testing.assert_array_equal(found[200:590, 3:400].values, pixels[200:590, 3:400])


@pytest.mark.parametrize("band", ["elevation", "rock"])
def test_a_torn_chunk_is_named(band, saved, tmp_path):
    path = tmp_path / "stack.zarr"
    write_stack(saved[1], path)
    chunk = path / band / "c" / "0" / "1"
    chunk.write_bytes(chunk.read_bytes()[:100])
    stack = open_stack(path)
    np.testing.assert_array_equal(stack[band][:, :256].values, saved[1][band].values[:, :256])
    with pytest.raises(StackError, match=r"c.0.1 is truncated or corrupt.*build the stack again"):
        _ = stack[band][10, 300].values


def test_a_chunk_that_is_written_anew_is_read_anew(tmp_path):
    path = tmp_path / "stack.zarr"
    write_stack(make_stack(GRID, {Band("rock", "continuous"): np.zeros(SHAPE, np.float32)}), path)
    opened = open_stack(path)
    assert (opened["rock"][:300, :530].values == 0).all()
    zarr.open_group(path, mode="r+")["rock"][:, :] = np.ones(SHAPE, np.float32)
    assert (opened["rock"][:300, :530].values == 1).all()


def test_chunks_are_decoded_once_while_there_is_room_and_what_is_kept_has_a_bound(tmp_path):
    kept, asked = _Kept(3 * 800), []
    paths = [tmp_path / str(i) for i in range(5)]
    for path in paths:
        path.write_bytes(b"")

    def decode(path):
        asked.append(path)
        return np.zeros(100)

    for path in [*paths[:3], *paths[:3], *paths[3:], paths[2], paths[0]]:
        kept.get(path, decode)
    assert asked == [*paths, paths[0]]
    assert kept.bytes <= 3 * 800
