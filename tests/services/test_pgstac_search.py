"""Sources against a real STAC API: the same code as against the public ones."""

from datetime import date
from urllib.parse import urlsplit

import dask
import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from headscarp.core.errors import SourceError
from headscarp.sources.landsat import read_landsat
from headscarp.sources.request import Request
from headscarp.sources.sentinel1 import read_sentinel1
from headscarp.sources.web.services import client_for, service
from services.files import FileServer
from services.holdings import Footprint, landsat_item, landsat_pixels, make_collection, sentinel1_item
from services.pgstac import load

COUNT = 260
"""More items than a page of ours or of the service holds."""


@pytest.fixture(scope="module")
def holding(pgstac_service, tmp_path_factory):
    """The service with 260 days of Landsat and 4 passes of Sentinel-1, and the server of their files."""
    with FileServer(tmp_path_factory.mktemp("holding")) as files:
        pixels = landsat_pixels((60, 70), seed=1)
        first = landsat_item(files.folder, files.address, "L000", "2020-01-01T10:00:00Z", pixels, Footprint())
        days = np.datetime64("2020-01-01T10:00:00") + np.arange(COUNT) * np.timedelta64(1, "D")
        items = [
            {**first, "id": f"L{i:03}", "properties": {**first["properties"], "datetime": f"{day}Z"}}
            for i, day in enumerate(days)
        ]
        rng = np.random.default_rng(0)
        for i, orbit in enumerate(("descending", "ascending") * 2):
            power = {band: rng.gamma(4, 0.02, (60, 70)).astype("float32") for band in ("vv", "vh")}
            time = f"2020-02-0{1 + i // 2}T{'05' if orbit == 'descending' else '17'}:00:00Z"
            place = Footprint()
            items.append(sentinel1_item(files.folder, files.address, f"S{i}", time, power, place, orbit=orbit))
        load(pgstac_service, [make_collection(name) for name in ("landsat-c2-l2", "sentinel-1-rtc")], items)
        yield pgstac_service["address"], files, pixels


def request_to(holding, cache, *, dates, offline=False, left=500_000.0, **options):
    address, files, _ = holding
    known = service("planetary-computer", address=address, hosts=[urlsplit(files.address).netloc])
    grid = GeoBox((40, 50), Affine(30, 0, left, 0, -30, 5_000_000), "EPSG:32633")
    client = client_for([known], cache=cache, offline=offline, tries=2, backoff_s=0.01)
    return Request(grid, client, known, dates, options)


def computed(stack):
    with dask.config.set(scheduler="synchronous"):
        return stack.compute()


def test_all_pages_of_a_real_search_become_frames(holding, tmp_path):
    dates = (date(2020, 1, 1), date(2020, 12, 31))
    stack = read_landsat(request_to(holding, tmp_path, dates=dates, bands=["red"]))
    assert stack.attrs["scenes"] == [f"L{i:03}" for i in range(COUNT)]
    assert (np.diff(stack["time"].to_numpy()) == np.timedelta64(1, "D")).all()


def test_pixels_come_through_a_real_search_and_offline_again(holding, tmp_path):
    dates = (date(2020, 3, 1), date(2020, 3, 3))
    online = computed(read_landsat(request_to(holding, tmp_path, dates=dates)))
    assert online.sizes["time"] == 3
    wanted = (holding[2]["swir16"].astype(float) * 2.75e-05 - 0.2).astype("float32")[:40, :50]
    np.testing.assert_array_equal(online["swir1"], np.broadcast_to(wanted, (3, 40, 50)))
    offline = computed(read_landsat(request_to(holding, tmp_path, dates=dates, offline=True)))
    assert offline.equals(online)


def test_orbits_of_a_real_search_are_told_apart(holding, tmp_path):
    dates = (date(2020, 2, 1), date(2020, 2, 28))
    stack = computed(read_sentinel1(request_to(holding, tmp_path, dates=dates)))
    assert stack["orbit"].to_numpy().tolist() == ["descending", "ascending"] * 2
    assert np.isfinite(stack["vv"]).all()
    assert stack["vv"].to_numpy().max() < 10


def test_what_a_real_service_lacks_is_told(holding, tmp_path):
    dates = (date(2010, 1, 1), date(2010, 12, 31))
    with pytest.raises(SourceError, match=r"in 2010-01-01.*it has 250 or more there"):
        read_landsat(request_to(holding, tmp_path, dates=dates))
    with pytest.raises(SourceError, match=r"no scene of landsat-c2-l2 at any time"):
        read_landsat(request_to(holding, tmp_path, dates=dates, left=100_000.0))
