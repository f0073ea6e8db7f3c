"""A remote file is the file: any range of it, by GDAL too, from any number of threads."""

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.windows import Window

from headscarp.core.errors import SourceError
from headscarp.sources.rasterfiles import open_raster
from headscarp.sources.web.client import Client
from services.faults import FaultProxy, Rule

BLOCK = 65536

SIZE = 10 * BLOCK + 1234


@pytest.fixture(scope="module")
def noise(holdings):
    return (holdings / "noise.bin").read_bytes()


@pytest.fixture(scope="module")
def steady(files, tmp_path_factory):
    """A client with a cache that grows over the tests of this file."""
    return Client([files.address.split("//")[1]], cache=tmp_path_factory.mktemp("steady"))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, SIZE + 100), st.integers(-1, 3 * BLOCK)), min_size=1, max_size=6))
def test_any_ranges_equal_the_file(files, steady, noise, reads):
    local = io.BytesIO(noise)
    with steady.open(f"{files.address}/noise.bin") as file:
        assert file.size == SIZE
        for offset, size in reads:
            assert file.seek(offset) == local.seek(offset)
            assert file.read(size) == local.read(size)
            assert file.tell() == local.tell()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, SIZE - 1), st.integers(1, 2 * BLOCK)), min_size=1, max_size=8))
def test_many_ranges_at_once_equal_the_file(files, steady, noise, reads):
    with steady.open(f"{files.address}/noise.bin") as file:
        got = file.get_byte_ranges(*zip(*reads, strict=True))
    assert got == [noise[offset : offset + size] for offset, size in reads]


def test_it_is_a_file(files, steady, noise):
    with steady.open(f"{files.address}/noise.bin") as file:
        assert file.readable()
        assert file.seekable()
        assert not file.writable()
        assert file.seek(-100, io.SEEK_END) == SIZE - 100
        buffer = bytearray(60)
        assert file.readinto(buffer) == 60
        assert buffer == noise[-100:-40]
        assert file.seek(10, io.SEEK_CUR) == SIZE - 30
        assert file.read() == noise[-30:]
        assert file.read(10) == b""
        with pytest.raises(ValueError, match="before the start"):
            file.seek(-1)
    with pytest.raises(ValueError, match="closed"):
        file.read(1)
    assert steady.open(f"{files.address}/empty.bin").read() == b""
    assert io.BufferedReader(steady.open(f"{files.address}/small.bin")).read(10) == noise_of_small(files)


def noise_of_small(files):
    return (files.folder / "small.bin").read_bytes()[:10]


def test_neighbours_come_in_one_request_and_only_what_is_needed(proxy, client_of):
    client = client_of(proxy)
    file = client.open(f"{proxy.address}/noise.bin")
    file.seek(2 * BLOCK + 5)
    file.read(3 * BLOCK)
    file.seek(2 * BLOCK)
    file.read(100)
    file.get_byte_ranges([7 * BLOCK, 9 * BLOCK], [10, 10])
    ranges = [asked for _, _, asked, _ in proxy.log]
    assert ranges == [
        "bytes=0-65535",
        f"bytes={2 * BLOCK}-{6 * BLOCK - 1}",
        # One block between two is fetched along.
        f"bytes={7 * BLOCK}-{10 * BLOCK - 1}",
    ]
    assert client.bytes_read == 8 * BLOCK
    (origin,) = client.fetched
    assert origin.ranges == ((2 * BLOCK, 6 * BLOCK - 1), (7 * BLOCK, 8 * BLOCK - 1), (9 * BLOCK, 10 * BLOCK - 1))


def test_a_service_without_ranges_gives_the_whole_once(proxy, client_of, noise):
    proxy.rules = [Rule("no-ranges")]
    client = client_of(proxy)
    for _ in range(2):
        with client.open(f"{proxy.address}/noise.bin") as file:
            file.seek(400_000)
            assert file.read(1000) == noise[400_000:401_000]
    assert client.get(f"{proxy.address}/noise.bin").read_bytes() == noise
    assert len(proxy.log) == 1


def test_windows_through_gdal_equal_those_of_the_local_file(files, holdings, proxy, client_of):
    windows = [Window(x, y, 210, 170) for x in range(0, 690, 230) for y in range(0, 530, 176)]
    with rasterio.open(holdings / "hill.tif") as local:
        truth = [local.read(1, window=window) for window in windows]
    client = client_of(proxy, connections=4)

    def read(window):
        with rasterio.open(f"{proxy.address}/hill.tif", opener=client.opener) as remote:
            return remote.read(1, window=window)

    with ThreadPoolExecutor(6) as pool:
        got = list(pool.map(read, windows))
    for mine, theirs in zip(got, truth, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    # GDAL looked for side-car files, and nobody was asked for one.
    assert {path for _, path, *_ in proxy.log} == {"/hill.tif"}
    assert client.missing == []


def test_overviews_through_gdal_too(holdings, proxy, client_of):
    with rasterio.open(holdings / "hill.tif", overview_level=1) as local:
        truth = local.read(1)
    client = client_of(proxy)
    with rasterio.open(f"{proxy.address}/hill.tif", opener=client.opener, overview_level=1) as remote:
        np.testing.assert_array_equal(remote.read(1), truth)


@pytest.mark.parametrize("fault", ["truncated", "changed", "page", "reset", "expired", "wrong-range"])
@pytest.mark.parametrize("skip", [1, 2])
def test_a_fault_below_gdal_is_an_error_with_its_own_words(fault, skip, proxy, client_of):
    proxy.rules = [Rule(fault, skip=skip)]
    client = client_of(proxy, tries=2)
    with (
        pytest.raises(SourceError, match=r"hill\.tif"),
        open_raster(f"{proxy.address}/hill.tif", opener=client.opener) as file,
    ):
        file.read(1)


def test_an_opener_only_reads(files, steady):
    with pytest.raises(SourceError, match="can only be read"):
        steady.opener(f"{files.address}/hill.tif", "r+b")
    with pytest.raises(FileNotFoundError):
        steady.opener("/somewhere/else.tif")
    for name in (
        "hill.tif.aux.xml",
        "hill.tif.ovr",
        "hill.tif.msk",
        "hill.tfw",
        "HILL.IMD",
        "hill_RPC.TXT",
        "hill.aux",
    ):
        with pytest.raises(FileNotFoundError):
            steady.opener(f"{files.address}/{name}")
    assert steady.opener(f"{files.address}/hill.tif".replace("://", ":/")).read(2) == b"II"


def test_waiting_readers_ask_together_not_one_after_another(files, tmp_path):
    """Eight threads on one file that takes 50 ms a request have several requests under way at once."""
    with FaultProxy(files.address, [Rule("latency", seconds=0.05)]) as slow:
        client = Client([slow.host], cache=tmp_path / "one", connections=8)
        file = client.open(f"{slow.address}/noise.bin")

        def read(block):
            with client.open(f"{slow.address}/noise.bin") as part:
                part.seek(block * BLOCK)
                return part.read(BLOCK)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(read, range(1, 9)))
        assert slow.most_at_once > 3
        file.close()
