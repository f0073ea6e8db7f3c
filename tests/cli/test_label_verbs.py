"""The verbs advise and next from the command line, on a small stack labelled in one half."""

import json

import geopandas as gpd
import numpy as np
import pytest
import typer
from affine import Affine
from odc.geo.geobox import GeoBox
from typer.testing import CliRunner

from headscarp.cli.advise import advise
from headscarp.cli.next import next as propose
from headscarp.core.band import Band
from headscarp.core.errors import RecipeError
from headscarp.core.stack import make_stack, write_stack
from headscarp.train.fit import fit

SIDE = 96


def made(folder, name, *, labelled):
    rng = np.random.default_rng(2)
    slope = rng.random((SIDE, SIDE)).astype(np.float32) * 40
    label = (rng.random(slope.shape) < 0.01 + 0.2 * (slope > 30)).astype(np.uint8)
    label[:, SIDE // 2 :] = 255
    bands = {Band("slope", "continuous", "degree"): slope, Band("valid", "mask"): np.ones(slope.shape, np.uint8)}
    bands |= {Band("landslide", "label"): label} if labelled else {}
    grid = GeoBox((SIDE, SIDE), Affine(100, 0, 500000, 0, -100, 4500000), "EPSG:32633")
    return write_stack(make_stack(grid, bands), folder / name), folder / name


@pytest.fixture(scope="module")
def stacks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("labels")
    return {labelled: made(folder, f"{labelled}.zarr", labelled=labelled) for labelled in (True, False)}


def ran(verb, *words):
    app = typer.Typer()
    app.command()(verb)
    return CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False).output


def test_advise_says_what_holds_and_what_to_run(stacks):
    assert "Rule: part of the ground is labelled" in ran(advise, stacks[True][1])
    assert "Nothing is labelled" in ran(advise, stacks[False][1])


@pytest.mark.filterwarnings("ignore::headscarp.core.errors.HeadscarpWarning")
def test_a_curve_leaves_a_table_a_figure_and_sentences(stacks, tmp_path):
    out = tmp_path / "ladder"
    told = ran(advise, stacks[True][1], "--curve", "--out", out, "--methods", "threshold", "--shares", "0,10,100")
    assert {path.name for path in out.iterdir()} >= {"metrics.csv", "ladder.json", "ladder.png", "made.json"}
    assert "With 100 % of the training labels" in told
    assert "No score of threshold with 0 %" in told
    assert json.loads((out / "ladder.json").read_text())["minutes_per_slide"] == 3
    with pytest.raises(RecipeError, match="--shares is 'some'"):
        ran(advise, stacks[True][1], "--curve", "--out", tmp_path / "other", "--shares", "some")
    with pytest.raises(RecipeError, match="add --out"):
        ran(advise, stacks[True][1], "--curve")


def test_next_writes_ranked_tiles(stacks, tmp_path):
    stack, path = stacks[True]
    fit(stack, net="prevalence", out=tmp_path / "bundle")
    told = ran(propose, tmp_path / "bundle", path, "--out", tmp_path / "next.gpkg", "--count", 3, "--tile-px", 16)
    assert "mean entropy" in told
    table = gpd.read_file(tmp_path / "next.gpkg")
    assert list(table["rank"]) == [1, 2, 3]
    assert (table.bounds["minx"] >= 500000 + 100 * SIDE / 2).all()
