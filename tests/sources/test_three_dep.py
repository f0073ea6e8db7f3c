"""Elevation from an image service: on the grid's own cells, without seams, in true metres, and never a wrong pixel."""

import json
import warnings
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import numpy as np
import pytest
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from rasterio.warp import transform_bounds

from headscarp.core.errors import GridError, HeadscarpWarning, SourceError
from headscarp.core.grid import window_grid
from headscarp.core.stack import check_stack
from headscarp.core.tile import Window
from headscarp.sources import three_dep as module
from headscarp.sources.request import Request
from headscarp.sources.three_dep import TileReader, three_dep
from headscarp.sources.web.client import Client
from headscarp.sources.web.services import Service
from headscarp.terrain import derive
from services.arcgis import ArcGISServer
from services.faultkinds import FAULTS
from services.faults import FaultProxy, Rule

# 38 degrees north, as in the study of Contra Costa.
LEFT, TOP, CELL, CRS = 570_000.0, 4_206_000.0, 10.0, "EPSG:32610"
GRID = GeoBox((90, 110), Affine(CELL, 0, LEFT, 0, -CELL, TOP), CRS)
SLOPE_DEG = 20.0


def height(x, y):
    """A plane that rises to the east by exactly SLOPE_DEG in true metres, and a little to the south."""
    return np.tan(np.radians(SLOPE_DEG)) * (x - LEFT) + 100.0 - 0.0 * y


def write(path, shape, transform, crs, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path, "w", driver="GTiff", height=shape[0], width=shape[1], count=1, dtype="float32", crs=crs,
        transform=transform, nodata=-9999.0,
    ) as file:  # fmt: skip
        file.write(values.astype("float32"), 1)


def write_plane(path, step_deg=1 / 10_800, *, grid=GRID, west_share=1.0):
    """The plane as 3DEP has it: by longitude and latitude, 1/3 arc-second."""
    west, south, east, north = transform_bounds(CRS, "EPSG:4269", *grid.boundingbox)
    west, north = west - 20 * step_deg, north + 20 * step_deg
    shape = (int((north - south) / step_deg) + 20, int(west_share * (east - west) / step_deg) + 20)
    lon = west + (np.arange(shape[1]) + 0.5) * step_deg
    lat = north - (np.arange(shape[0]) + 0.5) * step_deg
    x, y = Transformer.from_crs("EPSG:4269", CRS, always_xy=True).transform(*np.meshgrid(lon, lat))
    write(path, shape, Affine(step_deg, 0, west, 0, -step_deg, north), "EPSG:4269", height(x, y))


def write_noise(path, grid, cell, seed=0):
    left, bottom, right, top = grid.boundingbox
    shape = (int((top - bottom) / cell) + 40, int((right - left) / cell) + 40)
    values = np.random.default_rng(seed).normal(500, 80, shape)
    write(path, shape, Affine(cell, 0, left - 15 * cell, 0, -cell, top + 15 * cell), CRS, values)


def request_to(server, tmp_path, grid=GRID, *, offline=False, **options):
    client = Client(
        [urlsplit(server.address).netloc], cache=tmp_path / "cache", tries=2, backoff_s=0.001, offline=offline
    )
    service = Service("3dep", f"{server.address}/3DEPElevation/ImageServer")
    return Request(grid, client, service, None, options)


def pixels(request):
    return three_dep(request)["elevation"].compute(scheduler="synchronous").to_numpy()


@pytest.fixture
def server(tmp_path):
    with ArcGISServer(tmp_path / "held") as served:
        yield served


def test_a_plane_has_its_true_slope_and_web_mercator_would_not(server, tmp_path):
    write_plane(server.folder / "3DEPElevation" / "third.tif")
    request = request_to(server, tmp_path)
    stack = check_stack(three_dep(request))
    assert stack["elevation"].attrs["units"] == "m"
    dem = pixels(request)
    rows, cols = np.mgrid[:90, :110]
    expected = height(LEFT + (cols + 0.5) * CELL, TOP - (rows + 0.5) * CELL)
    np.testing.assert_allclose(dem, expected, atol=0.02)
    slope = derive(dem, (CELL, CELL), ("slope",), threads=1)["slope"][2:-2, 2:-2]
    np.testing.assert_allclose(slope, SLOPE_DEG, atol=0.02)

    # What the original did: the same service, asked in Web Mercator, its "metres" taken as metres.
    left, bottom, right, top = transform_bounds(CRS, "EPSG:3857", *GRID.boundingbox)
    size = int((right - left) / CELL), int((top - bottom) / CELL)
    mercator = GeoBox((size[1], size[0]), Affine(CELL, 0, left, 0, -CELL, bottom + size[1] * CELL), "EPSG:3857")
    box = f"{left},{bottom},{left + size[0] * CELL},{bottom + size[1] * CELL}"
    address = (
        f"{request.service.address}/exportImage?bbox={box}&bboxSR=3857&imageSR=3857&size={size[0]},{size[1]}"
        "&format=tiff&pixelType=F32&interpolation=RSP_BilinearInterpolation&f=image&adjustAspectRatio=false"
    )
    (tmp_path / "mercator.tif").write_bytes(urlopen(address).read())
    with rasterio.open(tmp_path / "mercator.tif") as file:
        wrong = derive(file.read(1), (CELL, CELL), ("slope",), threads=1)["slope"][30:-30, 30:-30]
    lat = transform_bounds(CRS, "EPSG:4326", *GRID.boundingbox)[1]
    told = np.tan(np.radians(np.nanmean(wrong))) / np.tan(np.radians(SLOPE_DEG))
    assert told == pytest.approx(np.cos(np.radians(lat)), abs=0.003)
    assert np.nanmean(wrong) < SLOPE_DEG - 3
    with pytest.raises(GridError, match="Web Mercator, whose metres are not metres"):
        three_dep(request_to(server, tmp_path, mercator))


def test_geographic_grids_are_refused(server, tmp_path):
    grid = GeoBox((50, 50), Affine(1e-4, 0, -122.2, 0, -1e-4, 38.0), "EPSG:4326")
    with pytest.raises(GridError, match="true metres are needed"):
        three_dep(request_to(server, tmp_path, grid))


def test_tiles_join_without_a_seam_and_every_layout_has_the_same_bits(server, tmp_path, monkeypatch):
    write_noise(server.folder / "3DEPElevation" / "a.tif", GRID, 7.0)
    request = request_to(server, tmp_path)
    whole = TileReader(request, request.service.address, "best")(Window(0, 0, *GRID.shape))
    assert np.isfinite(whole).all()
    monkeypatch.setattr(module, "TILE", 32)
    stack = three_dep(request)
    assert stack["elevation"].chunks == ((32, 32, 26), (32, 32, 32, 14))
    tiled = stack["elevation"].compute(scheduler="synchronous").to_numpy()
    # To the last bit of a float: the service places every image by its own corner.
    np.testing.assert_allclose(tiled, whole, rtol=1e-7)
    other = stack["elevation"].chunk({"y": 17, "x": 41})
    np.testing.assert_array_equal(other.compute(scheduler="synchronous").to_numpy(), tiled)
    np.testing.assert_array_equal(
        stack["elevation"][40:71, 25:90].compute(scheduler="synchronous"), tiled[40:71, 25:90]
    )


def test_one_chunk_is_one_request_when_it_is_computed(server, tmp_path, monkeypatch):
    write_noise(server.folder / "3DEPElevation" / "a.tif", GRID, 10.0)
    monkeypatch.setattr(module, "TILE", 64)
    stack = three_dep(request_to(server, tmp_path))
    assert not any(path.endswith("exportImage") for path, _ in server.log)
    stack["elevation"][:10, :10].compute(scheduler="synchronous")
    asked = [params for path, params in server.log if path.endswith("exportImage")]
    assert [a["size"] for a in asked] == ["64,64"]
    assert [float(v) for v in asked[0]["bbox"].split(",")] == [LEFT, TOP - 640, LEFT + 640, TOP]
    assert asked[0]["imageSR"] == asked[0]["bboxSR"] == "32610"


def test_the_limits_of_the_service_hold(tmp_path):
    write_noise(tmp_path / "held" / "3DEPElevation" / "a.tif", GRID, 10.0)
    with ArcGISServer(tmp_path / "held", max_image=50) as server:
        request = request_to(server, tmp_path)
        assert np.isfinite(pixels(request)).all()
        assert not request.client.missing
        too_large = TileReader(request, request.service.address, "best")(Window(0, 0, 60, 60))
        assert np.isnan(too_large).all()
        assert "exceeds the size limit" in request.client.missing[0].why


@pytest.mark.parametrize("how", ["error", "html", "turned"])
def test_a_tile_that_cannot_be_had_is_missing_and_listed_and_the_rest_is_right(server, tmp_path, monkeypatch, how):
    write_noise(server.folder / "3DEPElevation" / "a.tif", GRID, 10.0)
    monkeypatch.setattr(module, "TILE", 64)
    request = request_to(server, tmp_path)
    stack = three_dep(request)
    server.broken += [how]
    first = stack["elevation"].compute(scheduler="synchronous").to_numpy()
    assert len(request.client.missing) == 1
    lost = np.isnan(first)
    assert lost.any()
    # The next run asks again for what was missing.
    again = pixels(request_to(server, tmp_path))
    assert np.isfinite(again).all()
    np.testing.assert_array_equal(first[~lost], again[~lost])


def test_half_a_tile_is_asked_for_again(server, tmp_path):
    write_noise(server.folder / "3DEPElevation" / "a.tif", GRID, 10.0)
    request = request_to(server, tmp_path)
    stack = three_dep(request)
    server.broken += ["short"]
    assert np.isfinite(stack["elevation"].compute(scheduler="synchronous")).all()
    assert not request.client.missing


def test_what_was_read_once_is_there_offline(server, tmp_path):
    write_noise(server.folder / "3DEPElevation" / "a.tif", GRID, 10.0)
    first = pixels(request_to(server, tmp_path))
    count = len(server.log)
    np.testing.assert_array_equal(pixels(request_to(server, tmp_path, offline=True)), first)
    assert len(server.log) == count


def test_no_data_is_missing(server, tmp_path):
    write_plane(server.folder / "3DEPElevation" / "part.tif", west_share=0.5)
    found = pixels(request_to(server, tmp_path))
    assert np.isfinite(found[:, :40]).all()
    assert np.isnan(found[:, 90:]).all()
    assert np.nanmin(found) > 0


def test_resolutions(server, tmp_path):
    folder = server.folder / "3DEPElevation"
    write_plane(folder / "third.tif")
    half = window_grid(GRID, Window(0, 0, 90, 55))
    left, _, right, top = half.boundingbox
    write(folder / "fine.tif", (900, int(right - left)), Affine(1, 0, left, 0, -1, top), CRS, np.full((900, 550), 7.0))
    with pytest.warns(HeadscarpWarning, match=r"1 m elevation for 5\d% of the grid"):
        best = pixels(request_to(server, tmp_path, resolution="1 m"))
    np.testing.assert_array_equal(best[2:-2, 2:50], 7.0)
    assert np.isfinite(best).all()
    third = pixels(request_to(server, tmp_path, resolution="1/3 arc-second"))
    assert third[5, 5] == pytest.approx(height(LEFT + 55, 0), abs=0.02)
    rule = [json.loads(p["mosaicRule"]) for path, p in server.log if "mosaicRule" in p]
    assert {r["where"] for r in rule} == {"LowPS >= 8 AND LowPS <= 12"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pixels(request_to(server, tmp_path, window_grid(GRID, Window(10, 10, 20, 20)), resolution="1m"))
    with pytest.raises(SourceError, match="3DEP has no resolution '5 m'; give one of best"):
        three_dep(request_to(server, tmp_path, resolution="5 m"))


def test_away_from_its_surveys_there_is_none(server, tmp_path):
    write_plane(server.folder / "3DEPElevation" / "third.tif")
    away = GeoBox((50, 50), Affine(CELL, 0, 500_000, 0, -CELL, 5_000_000), "EPSG:32633")
    with pytest.raises(SourceError, match=r"no elevation .* it covers the United States"):
        three_dep(request_to(server, tmp_path, away))


def test_a_service_that_is_not_there_says_so(tmp_path):
    with ArcGISServer(Path(tmp_path)) as server, pytest.raises(SourceError, match="Service not found"):
        three_dep(request_to(server, tmp_path))


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_whatever_goes_wrong_no_pixel_is_wrong(server, tmp_path, monkeypatch, fault):
    write_noise(server.folder / "3DEPElevation" / "a.tif", GRID, 10.0)
    monkeypatch.setattr(module, "TILE", 64)
    expected = pixels(request_to(server, tmp_path))
    # All tiles but the first that is asked for are spoilt, for good.
    with FaultProxy(server.address, [Rule(fault, path="exportImage", skip=1, seconds=0.0)]) as proxy:
        client = Client([proxy.host], cache=tmp_path / "other", tries=3, timeout_s=0.5, backoff_s=0.001)
        service = Service("3dep", f"{proxy.address}{urlsplit(server.address).path}/3DEPElevation/ImageServer")
        found = pixels(Request(GRID, client, service))
    lost = np.isnan(found)
    np.testing.assert_array_equal(found[~lost], expected[~lost])
    assert not lost.all()
    assert lost.any() == bool(client.missing)
