"""The build: the same pixels however it is cut, interrupted or spread, and every bad input told."""

import copy
import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import warnings

import numpy as np
import pytest
import shapely
import xarray as xr
from small_region import CELL, LEFT, TOP, place

from headscarp.assemble import build, recipe_from_dict
from headscarp.assemble.build import BlockBuilder
from headscarp.core.errors import JournalError, OutputError
from headscarp.core.stack import check_stack, stack_bands
from headscarp.terrain import profile_curvature, slope

BUILD = importlib.import_module("headscarp.assemble.build")
QUIET = "ignore::headscarp.core.errors.HeadscarpWarning"


def make(region, **changes):
    data = {**copy.deepcopy(region.recipe), **changes}
    return recipe_from_dict(data, folder=region.folder)


def same_pixels(a: xr.Dataset, b: xr.Dataset) -> None:
    assert list(a.data_vars) == list(b.data_vars)
    for name in a.data_vars:
        np.testing.assert_array_equal(a[name].values, b[name].values, err_msg=str(name))


@pytest.fixture(scope="module")
def built(region, tmp_path_factory):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return build(make(region), tmp_path_factory.mktemp("built") / "whole.zarr")


@pytest.mark.filterwarnings(QUIET)
def test_blocks_equal_the_whole(region, built, tmp_path):
    assert built.sizes["y"] < 1024
    same_pixels(build(make(region), tmp_path / "blocks.zarr", block_px=256, workers=2), built)


@pytest.mark.filterwarnings(QUIET)
def test_blocks_equal_the_whole_on_another_grid(region, tmp_path):
    grid = {"crs": "EPSG:3035", "resolution_m": 30.0}
    whole = build(make(region, grid=grid), tmp_path / "whole.zarr")
    assert min(whole.sizes["y"], whole.sizes["x"]) > 512
    same_pixels(build(make(region, grid=grid), tmp_path / "blocks.zarr", block_px=256), whole)


def test_the_stack_holds_the_contract(region, built):
    check_stack(built)
    assert [b.name for b in stack_bands(built)] == [b["name"] for b in region.recipe["band"]] + ["landslide", "valid"]
    assert built.attrs["recipe"] == "region"
    assert built.attrs["made"]["settings"]["band"][4]["radius_m"] == 200.0
    assert {item["name"] for item in built.attrs["made"]["inputs"]} >= {"dem.tif", "rock.tif", "slides.gpkg"}
    assert built["aspect"].attrs["kind"] == "direction"
    assert built["age"].attrs["classes"] == ["age 0", "age 1", "age 2", "age 3"]


def test_terrain_is_that_of_the_whole_elevation(region, built):
    np.testing.assert_array_equal(built["elevation"].values, region.dem)
    np.testing.assert_array_equal(built["slope"].values, slope(region.dem, CELL))
    expected = profile_curvature(region.dem, CELL, method="zevenbergen_thorne")
    np.testing.assert_array_equal(built["profile"].values, expected)


def test_valid_is_where_all_continuous_bands_are(built):
    expected = np.ones(built["valid"].shape, bool)
    for band in stack_bands(built):
        if band.kind == "continuous":
            expected &= np.isfinite(built[band.name].values)
    np.testing.assert_array_equal(built["valid"].values == 1, expected)
    assert not expected[99:121, 199:231].any()


def test_fault_distance_equals_shapely(region, built):
    line = shapely.LineString([place(20, 30), place(300.3, 280.7), place(310, 540)])
    rows, cols = np.mgrid[0:560:7, 0:600:7]
    points = shapely.points(LEFT + (cols + 0.5) * CELL, TOP - (rows + 0.5) * CELL)
    expected = np.minimum(shapely.distance(points, line), 3000)
    np.testing.assert_allclose(built["fault"].values[::7, ::7], expected, atol=1e-3)


@pytest.mark.filterwarnings(QUIET)
def test_elevation_beyond_the_grid_is_used(region, tmp_path):
    left, top = place(100, 300)
    grid = {"crs": "EPSG:32633", "resolution_m": 30.0, "bounds": [left, top - 40 * CELL, left + 50 * CELL, top]}
    bands = [b for b in region.recipe["band"] if b["name"] in ("elevation", "slope")]
    stack = build(make(region, grid=grid, band=bands, label={"polygons": "age.gpkg"}), tmp_path / "part.zarr")
    np.testing.assert_array_equal(stack["slope"].values, slope(region.dem, CELL)[300:340, 100:150])


@pytest.mark.filterwarnings(QUIET)
def test_each_named_inventory_becomes_a_label_band(region, built, tmp_path):
    early = {"polygons": "slides.gpkg", "where": "year < 2005"}
    bands = region.recipe["band"][:2]
    label = {"all": {"polygons": "slides.gpkg"}, "early": early}
    stack = build(make(region, band=bands, label=label), tmp_path / "several.zarr", block_px=256)
    assert [b.name for b in stack_bands(stack)] == ["elevation", "slope", "all", "early", "valid"]
    np.testing.assert_array_equal(stack["all"].values, built["landslide"].values)
    assert 0 < (stack["early"] == 1).sum() < (stack["all"] == 1).sum()
    report = stack.attrs["report"]["labels"]
    assert report["all"] == built.attrs["report"]["labels"] | {
        key: report["all"][key] for key in ("positive_valid", "negative_valid")
    }
    assert report["early"]["total"] == 40
    assert report["early"]["positive"] == int((stack["early"] == 1).sum())


@pytest.mark.filterwarnings(QUIET)
def test_an_interrupted_build_goes_on_to_the_same_pixels(region, built, tmp_path, monkeypatch):
    whole, calls = BlockBuilder.__call__, []

    def stops(self, block):
        calls.append(block.id)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return whole(self, block)

    out = tmp_path / "stack.zarr"
    monkeypatch.setattr(BlockBuilder, "__call__", stops)
    with pytest.raises(KeyboardInterrupt):
        build(make(region), out, block_px=256, workers=1)
    assert not out.exists()
    monkeypatch.setattr(BlockBuilder, "__call__", lambda self, block: calls.append(block.id) or whole(self, block))
    stack = build(make(region), out, block_px=256, workers=1, resume=True)
    assert len(calls) < 9 + 4
    same_pixels(stack, built)
    assert [p.name for p in tmp_path.iterdir()] == ["stack.zarr"]
    assert build(make(region), out, resume=True).attrs["fingerprint"] == stack.attrs["fingerprint"]


@pytest.mark.filterwarnings(QUIET)
def test_a_killed_build_goes_on_to_the_same_pixels(region, built, tmp_path):
    out, journal = tmp_path / "stack.zarr", tmp_path / ".stack.zarr.journal"
    script = (
        "import json, sys; from headscarp.assemble import build, recipe_from_dict\n"
        "recipe = recipe_from_dict(json.loads(sys.argv[1]), folder=sys.argv[2])\n"
        "build(recipe, sys.argv[3], block_px=256, workers=1)"
    )
    arguments = [sys.executable, "-W", "ignore", "-c", script, json.dumps(region.recipe), str(region.folder), str(out)]
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not (journal.exists() and journal.read_bytes().count(b"\n") >= 3):
        time.sleep(0.002)
    process.kill()
    process.wait()
    assert not out.exists()
    same_pixels(build(make(region), out, block_px=256, resume=True), built)


@pytest.mark.filterwarnings(QUIET)
def test_a_damaged_block_is_done_again(region, built, tmp_path, monkeypatch):
    out = tmp_path / "stack.zarr"
    with monkeypatch.context() as patch:
        patch.setattr(BUILD, "judge", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            build(make(region), out, block_px=256)
    chunk = tmp_path / ".stack.zarr.partial" / "slope" / "c" / "1" / "1"
    chunk.write_bytes(chunk.read_bytes()[:100])
    same_pixels(build(make(region), out, block_px=256, resume=True), built)


@pytest.mark.filterwarnings(QUIET)
def test_the_journal_of_another_recipe_is_refused(region, tmp_path, monkeypatch):
    out = tmp_path / "stack.zarr"
    with monkeypatch.context() as patch:
        patch.setattr(BUILD, "judge", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            build(make(region), out)
    with pytest.raises(JournalError, match="recipe"):
        build(make(region, seed=5), out, resume=True)


@pytest.mark.filterwarnings(QUIET)
def test_an_output_that_exists_is_kept(region, tmp_path):
    out = tmp_path / "stack.zarr"
    recipe = make(region, band=region.recipe["band"][:1])
    first = build(recipe, out).attrs["fingerprint"]
    with pytest.raises(OutputError, match="overwrite"):
        build(recipe, out)
    with pytest.raises(OutputError, match="overwrite"):
        build(make(region, band=region.recipe["band"][:2]), out, resume=True)
    assert build(recipe, out, overwrite=True).attrs["fingerprint"] == first


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_dask_cluster_that_loses_a_worker_builds_the_same(region, tmp_path):
    distributed = pytest.importorskip("distributed")
    here = build(make(region), tmp_path / "here.zarr", block_px=256)
    journal = tmp_path / ".there.zarr.journal"
    killed = []

    def kill_one(pids):
        while not (journal.exists() and journal.read_bytes().count(b"\n") >= 2):
            time.sleep(0.002)
        os.kill(pids[0], signal.SIGKILL)
        killed.append(pids[0])

    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        with distributed.Client(cluster) as client:
            pids = list(client.run(os.getpid).values())
        watcher = threading.Thread(target=kill_one, args=(pids,), daemon=True)
        watcher.start()
        there = build(make(region), tmp_path / "there.zarr", block_px=256, scheduler=cluster.scheduler_address)
        watcher.join(timeout=5)
    assert killed
    assert there.attrs["fingerprint"] == here.attrs["fingerprint"]
    same_pixels(there, here)
