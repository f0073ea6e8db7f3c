"""From a box on the map to two evaluated nets, against services on this machine, as a user would: by the command line,
also after being killed at any moment."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio

from headscarp.core.bundle import open_bundle
from headscarp.core.stack import open_stack, stack_grid
from headscarp.terrain import slope
from services.arcgis import ArcGISServer
from services.survey import hold_county, inner_box

RECIPE = Path(__file__).parents[2] / "recipes" / "contra_costa.toml"
KILLS = 5
LABELS = ("scarp", "deposit")


@pytest.fixture(scope="module")
def county(tmp_path_factory):
    folder = tmp_path_factory.mktemp("county")
    return folder, hold_county(folder)


@pytest.fixture(scope="module")
def recipe(county, tmp_path_factory):
    """The recipe of Contra Costa on the simulated county: another box, a small net, few epochs."""
    text = RECIPE.read_text(encoding="utf-8")
    text = text.replace("[-122.3, 37.8, -121.9, 38.1]", str(list(inner_box(county[1].grid))))
    text = text.replace("block_size_m = 2000.0", "block_size_m = 400.0").replace("epochs = 30", "epochs = 2")
    text = text.replace('"prevalence", "slope", "llr", "unet"', '"prevalence", "slope", "unet"')
    text = text.replace('splits = ["blocks", "random"]', 'splits = ["blocks"]')
    path = tmp_path_factory.mktemp("recipe") / "small.toml"
    path.write_text(text + "\n[train.unet]\nnet_arguments = { base = 4 }\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def environment(county, tmp_path_factory):
    """What a run is told: where the services are, and a cache of its own."""
    with ArcGISServer(county[0]) as server:
        yield {
            **os.environ,
            "HEADSCARP_CACHE": str(tmp_path_factory.mktemp("cache")),
            "HEADSCARP_SERVICE_3DEP": f"{server.address}/3DEPElevation/ImageServer",
            "HEADSCARP_SERVICE_CGS_LANDSLIDES": f"{server.address}/LandslideInventory/FeatureServer",
            "OMP_WAIT_POLICY": "PASSIVE",
        }


def command(*words):
    return [sys.executable, "-m", "headscarp", *map(str, words)]


@pytest.fixture(scope="module")
def whole(recipe, environment, tmp_path_factory):
    """A run that nobody disturbs."""
    out = tmp_path_factory.mktemp("whole") / "run"
    started = time.monotonic()
    done = subprocess.run(
        command("run", recipe, "--out", out, "--workers", 1), env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return out, time.monotonic() - started


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_killed_at_five_moments_ends_as_one_that_nobody_disturbed(recipe, environment, whole, tmp_path):
    out, moments = tmp_path / "run", random.Random(7)
    environment = {**environment, "HEADSCARP_CACHE": str(tmp_path / "cache")}
    killed = 0
    for _ in range(KILLS):
        process = subprocess.Popen(
            command("run", recipe, "--out", out, "--workers", 1, "--resume"),
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            process.wait(timeout=moments.uniform(0.1, 0.6) * whole[1])
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            killed += 1
        process.wait()
    assert killed >= 1, "the run was too quick to be killed"
    done = subprocess.run(
        command("run", recipe, "--out", out, "--workers", 1, "--resume"),
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (out / "metrics.csv").read_bytes() == (whole[0] / "metrics.csv").read_bytes()
    for label in ("scarp", "deposit"):
        assert (out / label / "map.tif").read_bytes() == (whole[0] / label / "map.tif").read_bytes()
    ours, theirs = (json.loads((run / "fetched" / "manifest.json").read_text()) for run in (out, whole[0]))
    for manifest in (ours, theirs):
        for origin in manifest["fetched"]:
            origin.pop("from_cache", None)
    assert ours["fetched"] == theirs["fetched"], "no origin was lost on the way"
    assert (whole[0] / "report.html").is_file()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_nets_share_nothing_but_the_split(whole):
    scarp, deposit = (open_bundle(whole[0] / label / "compare" / "runs" / "blocks-0" / "unet") for label in LABELS)
    assert scarp.split == deposit.split
    assert scarp.label == "scarp"
    assert deposit.label == "deposit"
    different = [name for name in scarp.weights if (scarp.weights[name] != deposit.weights[name]).any()]
    assert different
    table = pd.read_csv(whole[0] / "metrics.csv")
    assert set(table["label"]) == set(LABELS)
    assert {"prevalence", "slope", "unet"} == set(table["net"])


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_stack_is_the_county_and_its_slopes_are_true(whole, county):
    stack = open_stack(whole[0] / "stack.zarr")
    grid, truth = stack_grid(stack), county[1]
    assert grid.crs.epsg == 32610
    assert np.isfinite(stack["slope"].values).all(), "the margin that was fetched gives the edge its neighbours"
    # The same cells of the county as it was simulated, before it went through degrees and back.
    col = round((grid.affine.c - truth.grid.affine.c) / 10)
    row = round((truth.grid.affine.f - grid.affine.f) / 10)
    inside = (slice(row, row + grid.shape[0]), slice(col, col + grid.shape[1]))
    true_slope = slope(truth.band("elevation"), (10.0, 10.0))[inside]
    assert np.median(np.abs(stack["slope"].values - true_slope)) < 1.5
    # In Web Mercator the same ground would be 27 % too gentle: the flaw of the original.
    assert np.nanmean(stack["slope"].values) == pytest.approx(np.nanmean(true_slope), rel=0.05)
    for label in LABELS:
        agree = (stack[label].values == 1) == (truth.band(label)[inside] == 1)
        assert agree.mean() > 0.98


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_map_lies_where_the_county_lies(whole):
    with rasterio.open(whole[0] / "scarp" / "map.tif") as file:
        values = file.read(1)
        assert file.crs.to_epsg() == 32610
    assert np.isfinite(values).all()
    inventory = gpd.read_file(whole[0] / "fetched" / "inventory.gpkg")
    assert set(inventory["type"]) == set(LABELS)
