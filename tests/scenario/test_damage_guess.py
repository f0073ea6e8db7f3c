"""Burial by the guess of a net: its map is the probability of a cell, tiled as whole; totals are those of futures."""

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from affine import Affine
from scenes import TABLE, scene_of
from shapely.geometry import LineString, box

from headscarp.assemble.domain_recipe import domains_recipe_from_dict
from headscarp.assemble.domains import build_domains
from headscarp.core.errors import RecipeError
from headscarp.core.stack import open_stack, stack_grid, write_stack
from headscarp.prediction import raster
from headscarp.prediction.damage import BEST_MASK, EXTENT, LEVELS, damage, damage_of_bundle, futures_folder
from headscarp.prediction.exposed import BURIAL, Layer
from headscarp.train.burials import CONSTANT, LAW, SHARE, TRUE_SOURCES, judge_burials
from verbs import said as run
from verbs import train_nets

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.filterwarnings("ignore:the .* part has no landslide")]

NETS = {
    "flow": "epochs = 2\nnet_arguments = { base = 4, levels = 1, steps = 2 }",
    "cgan": "epochs = 1\nnet_arguments = { base = 4, levels = 1, latents = 2 }",
}
CONFIG = "\n".join(f"[train.{net}]\n{lines}\n" for net, lines in NETS.items())
DRAWING = {"task": "rain", "samples": 3, "workers": 1}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """slides.zarr of places whose slides run, scene.zarr (one of them on a grid), flow/ and cgan/."""
    folder = tmp_path_factory.mktemp("home")
    few = {**TABLE["scenarios"], "regions": ["japan"], "tasks": ["rain"], "slides": True}
    slides = build_domains(domains_recipe_from_dict({**TABLE, "scenarios": few}), folder / "slides.zarr", workers=1)
    write_stack(scene_of(slides), folder / "scene.zarr")
    train_nets(folder / "slides.zarr", tuple(NETS), CONFIG, "--label", "changed")
    return folder


@pytest.fixture(scope="module")
def drawn(home):
    """What the verb makes of flow/ and of its folder of futures; a road across the scene is exposed."""
    grid = stack_grid(open_stack(home / "scene.zarr"))
    ends = [grid.affine @ corner for corner in ((0.5, 12.5), (grid.shape[1] - 0.5, 12.5))]
    house = box(*grid.affine @ (20.2, 12.8), *grid.affine @ (20.8, 12.2))
    gpd.GeoDataFrame(geometry=[LineString(ends), house], crs="EPSG:32643").to_file(home / "stands.gpkg")
    words = ["--as-drawn", "--exposed", home / "stands.gpkg"]
    made = run(
        "damage", home / "flow", home / "scene.zarr", "--task", "rain", "--samples", 3, *words, "--out", home / "d.gpkg"
    )
    assert made.code == 0, made.text
    made = run("damage", home / "d-futures", home / "scene.zarr", *words, "--out", home / "shares.gpkg")
    assert made.code == 0, made.text
    return home


def read(path, band=1):
    with rasterio.open(path) as file:
        return file.read(band)


def test_the_map_of_burial_is_the_guess(drawn):
    guess, made = read(drawn / "d-futures" / "likely.tif"), read(drawn / "d.tif")
    assert np.array_equal(made, guess, equal_nan=True)
    assert np.isnan(made).any()  # the hole in the scene
    share = read(drawn / "shares.tif")
    assert not np.array_equal(made, share, equal_nan=True)
    assert np.isin(np.rint(3 * share[np.isfinite(share)]), (0, 1, 2, 3)).all()


def test_outlines_are_those_of_the_guess_and_the_mask_that_of_the_futures(drawn):
    guess = np.nan_to_num(read(drawn / "d.tif"))
    extent = gpd.read_file(drawn / "d.gpkg", layer=EXTENT)
    levels = [level for level in LEVELS if (guess >= level).any()]
    assert extent["at_least"].tolist() == levels
    assert extent.geometry.area.to_numpy() == pytest.approx([(guess >= p).sum() * 900.0 for p in levels])
    with rasterio.open(drawn / "d-futures" / "spread.tif") as file:
        mask = file.read(file.count)
    best = gpd.read_file(drawn / "d.gpkg", layer=BEST_MASK)
    assert best.geometry.area.sum() == pytest.approx(np.nansum(mask) * 900.0)


def test_totals_are_those_of_the_futures(drawn):
    assert (drawn / "d.csv").read_bytes() == (drawn / "shares.csv").read_bytes()


def test_a_house_on_one_cell_is_as_likely_as_that_cell(drawn):
    guess = read(drawn / "d.tif")
    road, house = gpd.read_file(drawn / "d.gpkg", layer="stands")[BURIAL]
    assert house == pytest.approx(guess[12, 20])
    assert np.nanmax(guess[12]) <= road <= 1.0


def test_a_road_is_likelier_than_its_likeliest_cell_where_slides_take_turns():
    grid = _Grid((1, 4))
    table = gpd.GeoDataFrame(geometry=[LineString([(0, 0), (4, 0)]), box(9, 9, 10, 10)])
    layer = Layer("r", table, [np.arange(4), np.zeros(0, np.int64)], np.zeros(2))
    for cell in range(4):
        reached = np.zeros(grid.shape, bool)
        reached[0, cell] = True
        layer.count(reached)
    share = np.full(grid.shape, 0.25)
    road, outside = layer.with_probability(share)[BURIAL]
    assert road == 1.0
    assert np.isnan(outside)
    guess = np.array([[0.1, 0.2, np.nan, 0.05]])
    assert layer.with_probability(share, guess)[BURIAL][0] == pytest.approx(0.8)
    assert layer.with_probability(share, 4 * guess)[BURIAL][0] == 1.0
    assert layer.with_probability(share * 0, guess)[BURIAL][0] == pytest.approx(0.2)
    assert np.isnan(layer.with_probability(share, guess * np.nan)[BURIAL][0])


class _Grid:
    def __init__(self, shape):
        self.shape, self.affine = shape, Affine(1, 0, 0, 0, -1, 1)


def test_tiles_are_as_the_whole(drawn, tmp_path, monkeypatch):
    monkeypatch.setattr(raster, "TILE", 16)  # blocks smaller than a scene of a test
    for block in (16, 64):
        out = tmp_path / f"{block}.tif"
        drawing = {**DRAWING, "block_px": block}
        damage_of_bundle(drawn / "flow", drawn / "scene.zarr", out, drawing=drawing, as_drawn=True)
        np.testing.assert_allclose(read(out), read(drawn / "d.tif"), atol=1e-5)


def test_what_has_no_guess_stays_a_share_of_draws(drawn, tmp_path):
    made, futures = damage_of_bundle(
        drawn / "cgan", drawn / "scene.zarr", tmp_path / "c.tif", drawing=DRAWING, as_drawn=True
    )
    assert futures.likely is None
    alone = damage(futures_folder(tmp_path / "c.tif"), drawn / "scene.zarr", tmp_path / "a.tif", as_drawn=True)
    assert np.array_equal(read(made.map), read(alone.map), equal_nan=True)
    runs, _ = damage_of_bundle(
        drawn / "flow", drawn / "scene.zarr", tmp_path / "r.tif", drawing=DRAWING, draws=4, scatter=0.0
    )
    share = read(runs.map)
    assert np.isin(4 * share[np.isfinite(share)], range(5)).all()  # slides that run further are counted
    with pytest.raises(RecipeError, match="say as_drawn"):
        damage(futures.futures, drawn / "scene.zarr", tmp_path / "b.tif", likely=drawn / "d.tif")


@pytest.mark.filterwarnings("ignore:.*of 1000 resamples")
def test_the_guess_is_judged_beside_the_share_of_futures(home):
    found = judge_burials(home / "flow", home / "slides.zarr", samples=3)
    assert list(found.cuts)[:2] == ["flow", SHARE]
    assert {TRUE_SOURCES, LAW, CONSTANT, "travel_angle", "travel_angle_steep"} == set(list(found.cuts)[2:])
    maps = found.examples[0].maps
    assert np.isin(np.rint(3 * maps[SHARE]) / 3, maps[SHARE]).all()
    assert ((maps["flow"] >= 0) & (maps["flow"] <= 1)).all()
    assert not np.array_equal(maps["flow"], maps[SHARE])
    assert SHARE not in judge_burials(home / "cgan", home / "slides.zarr", samples=3).cuts
    assert SHARE not in judge_burials(home / "flow", home / "slides.zarr", samples=3, as_drawn=False).cuts
