"""Plans of planting: what they promise and what they may not, on a slope whose truth is known; the verb; bad input."""

import csv

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from affine import Affine
from scenes import scene_of
from shapely.geometry import box
from typer.testing import CliRunner

from headscarp.assemble.domain_recipe import domains_recipe_from_dict
from headscarp.assemble.domains import build_domains
from headscarp.cli import app
from headscarp.core.band import Band
from headscarp.core.errors import BundleError, OutputError, RecipeError, StackError
from headscarp.core.grid import Grid
from headscarp.core.scenarios import GENERATED_TAG
from headscarp.core.stack import VALID, make_stack, open_stack, write_stack
from headscarp.prediction.planting import plan_planting
from headscarp.prediction.reforest import from_futures, look_of_woods, with_trees, woods_and_open
from headscarp.report.planting import checked_plan_name
from headscarp.sources.world.domains import Look, draw_scene
from headscarp.sources.world.domains.futures import scene_place
from headscarp.sources.world.domains.slides import draw_slides, open_ground, run_down, storm_risk
from headscarp.sources.world.domains.slides import with_trees as place_with_trees
from headscarp.tiles.splits import split_given
from headscarp.train.burials import LAW, SHARE, TRUE_SOURCES, judge_burials
from headscarp.train.config import FitConfig
from headscarp.train.fit import fit
from headscarp.train.plantings import judge_plantings

SHAPE = (40, 50)
GRID = Grid(SHAPE, Affine(20, 0, 500_000, 0, -20, 5_000_000), "EPSG:32633")
WOODS = {"green": 0.045, "red": 0.03, "nir": 0.33}
GRASS = {"green": 0.085, "red": 0.05, "nir": 0.40}
ROCK = {"green": 0.16, "red": 0.19, "nir": 0.23}
TABLE = {
    "name": "t",
    "seed": 5,
    "scenarios": {
        "places_per_region": 20,
        "regions": ["japan", "indonesia"],
        "tasks": ["rain"],
        "futures": 3,
        "side_px": 32,
        "slides": True,
    },
}


def slope_stack():
    """Steep in the west, gentle in the east; woods in the north, grass in the middle, rock in the south."""
    steps = np.where(np.arange(SHAPE[1]) < 20, 14.0, 2.0)[::-1].cumsum()[::-1]
    dem = np.repeat(steps[None], SHAPE[0], axis=0).astype(np.float32)
    bands = {}
    for name in WOODS:
        plane = np.full(SHAPE, GRASS[name], np.float32)
        plane[:10], plane[30:] = WOODS[name], ROCK[name]
        bands[Band(name, "continuous", "1")] = plane
    valid = np.ones(SHAPE, np.uint8)
    valid[20, 5] = 0
    return make_stack(GRID, {**bands, Band("elevation", "continuous", "m"): dem, Band(VALID, "mask"): valid})


@pytest.fixture
def stack():
    return slope_stack()


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """Stacks of two worlds: trees hold the soil, and they do not."""
    folder = tmp_path_factory.mktemp("worlds")
    for roots in (1.0, 0.0):
        table = {**TABLE, "scenarios": {**TABLE["scenarios"], "roots": roots}}
        build_domains(domains_recipe_from_dict(table), folder / f"{roots}.zarr", workers=1)
    return [folder / "1.0.zarr", folder / "0.0.zarr"]


@pytest.fixture(scope="module")
def worlds(paths):
    return [open_stack(path) for path in paths]


def test_trees_are_planted_where_it_is_steep_and_open(stack):
    found = plan_planting([stack], budget_ha=4.0)
    assert 3.5 < found.ha <= 4.0
    assert not found.chosen[:10].any()
    assert not found.chosen[30:].any()
    assert not found.chosen[20, 5]
    assert not found.chosen[:, 22:].any()
    assert 0 < found.promised < 1
    shares = [share for _, share in found.years]
    assert shares[0] == 0
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(found.promised, rel=0.05)


def test_deep_slides_get_no_credit(stack, tmp_path):
    there = box(*GRID.affine @ (10, 40), *GRID.affine @ (20, 0))
    gpd.GeoDataFrame(geometry=[there], crs="EPSG:32633").to_file(tmp_path / "deep.gpkg")
    assert plan_planting([stack], budget_ha=4.0).chosen[:, 10:20].any()
    assert not plan_planting([stack], budget_ha=4.0, deep=[tmp_path / "deep.gpkg"]).chosen[:, 10:20].any()
    nothing = plan_planting([stack], budget_ha=4.0, root_depth_m=0.1)  # every slide is deeper than roots
    assert nothing.promised == 0
    assert not nothing.chosen.any()


def test_candidates_and_tree_cover_stand_for_the_picture(stack, tmp_path):
    area = box(*GRID.affine @ (0, 40), *GRID.affine @ (50, 30))
    gpd.GeoDataFrame(geometry=[area], crs="EPSG:32633").to_file(tmp_path / "here.gpkg")
    found = plan_planting([stack], budget_ha=2.0, candidates=[tmp_path / "here.gpkg"])
    assert found.chosen.any()
    assert not found.chosen[:30].any()
    cover = np.zeros(SHAPE, np.float32)
    cover[:, 10:] = 0.9
    bands = {Band("tree_cover", "continuous", "1"): cover}
    bands |= {Band("elevation", "continuous", "m"): stack["elevation"].to_numpy()}
    assert not plan_planting([make_stack(GRID, bands)], budget_ha=2.0).chosen[:, 10:].any()


def test_planted_ground_looks_like_the_woods_of_the_picture(stack):
    planes = {name: stack[name].to_numpy() for name in WOODS}
    woods, open_ = woods_and_open(planes)
    assert woods[:10].all()
    assert open_[10:30].all()
    assert not (woods | open_)[30:].any()
    made = with_trees(planes, open_, look_of_woods(planes, woods))
    assert all(np.allclose(made[name][:30], WOODS[name]) for name in WOODS)
    assert all(np.array_equal(made[name][30:], planes[name][30:]) for name in WOODS)
    frames = {name: np.stack([plane, np.full_like(plane, np.nan), 2 * plane]) for name, plane in planes.items()}
    later = with_trees(frames, open_, look_of_woods(frames, woods))
    assert later["nir"][2, 15, 5] == pytest.approx(2 * WOODS["nir"])
    assert np.isnan(later["nir"][1]).all()


def test_generated_pictures_stand_where_futures_plant(stack):
    planes = {name: stack[name].to_numpy() for name in WOODS}
    planted = np.zeros(SHAPE, bool)
    planted[15, 5:8] = True
    futures = [{**{name: np.full(SHAPE, k + 0.1) for name in WOODS}, "changed": np.zeros(SHAPE)} for k in range(2)]
    futures[0]["changed"][15, 5:7] = 1.0
    futures[1]["changed"][15, 5] = 1.0
    look = {name: np.array(WOODS[name]) for name in WOODS}
    made = from_futures(planes, planted, futures, look)
    assert made["nir"][15, 5:9].tolist() == pytest.approx([0.6, 0.1, WOODS["nir"], GRASS["nir"]])
    with pytest.raises(StackError, match="plants nothing"):
        from_futures(planes, planted, futures, None)


def test_what_is_wrong_is_refused(stack, tmp_path):
    with pytest.raises(RecipeError, match=r"only .* ha can be planted"):
        plan_planting([stack], budget_ha=5000.0)
    with pytest.raises(RecipeError, match="nowhere to plant"):
        plan_planting([stack.assign(red=stack["nir"])], budget_ha=1.0)
    with pytest.raises(StackError, match="no band red"):
        plan_planting([stack.drop_vars("red").assign_attrs(bands=["green", "nir", "elevation", VALID])], budget_ha=1.0)
    with pytest.raises(StackError, match="no band 'elevation'"):
        plan_planting([stack.rename(elevation="height")], budget_ha=1.0)
    with pytest.raises(RecipeError, match="learned plan needs a bundle"):
        plan_planting([stack], budget_ha=1.0, by="learned")
    with pytest.raises(RecipeError, match="budget is 0"):
        plan_planting([stack], budget_ha=0.0)
    with pytest.raises(RecipeError, match="larger budget"):
        plan_planting([stack], budget_ha=0.1, patch_ha=1.0)
    with pytest.raises(StackError, match="0 cells of woods"):
        look_of_woods({name: stack[name].to_numpy() for name in WOODS}, np.zeros(SHAPE, bool))


def test_the_verb_writes_plan_map_years_picture_and_page(stack, tmp_path):
    write_stack(stack, tmp_path / "stack.zarr")
    words = ["planting", tmp_path / "stack.zarr", "--out", tmp_path / "plan.gpkg"]
    run = CliRunner()
    done = run.invoke(app, [str(word) for word in (*words, "--budget-ha", 4)])
    assert done.exit_code == 0, done.output
    assert "promise of a model" in done.output
    plan = gpd.read_file(tmp_path / "plan.gpkg")
    assert plan["ha"].sum() == pytest.approx(4.0, rel=0.1)
    assert plan["gain_share"].is_monotonic_decreasing
    with rasterio.open(tmp_path / "plan.tif") as file:
        assert file.descriptions == ("risk", "gain", "plan")
    rows = list(csv.reader((tmp_path / "plan.csv").read_text().splitlines()))
    assert [row[0] for row in rows[1:3]] == ["0", "5"]
    assert (tmp_path / "plan.png").exists()
    assert "Where to plant" in (tmp_path / "plan.html").read_text()
    assert run.invoke(app, [str(word) for word in (*words, "--budget-ha", 4)]).exit_code == 2  # it exists
    assert run.invoke(app, [str(word) for word in words]).exit_code == 2
    with pytest.raises(OutputError, match="GeoPackage"):
        checked_plan_name(tmp_path / "plan.tif", overwrite=False)


def test_slides_run_down_and_stop():
    """Down a slope, on over flat ground by their speed, and less far where there is more friction."""
    ground = np.repeat(np.maximum(20 - np.arange(60), 0)[:, None] * 18.0, 21, axis=1)
    source = np.zeros(ground.shape, bool)
    source[3, 10] = True
    ends = []
    for friction in (0.2, 0.3, 0.45):
        buried = run_down(ground, source, np.random.default_rng(0), friction=friction, mass_over_drag_m=70.0)
        assert buried[3, 10]
        assert not buried[:2].any()
        ends.append(int(np.nonzero(buried)[0].max()))
    assert ends == sorted(ends, reverse=True)
    assert ends[0] > ends[-1] >= 20
    stays = run_down(ground, source, np.random.default_rng(0), friction=0.9, mass_over_drag_m=70.0)
    assert np.array_equal(stays, source)


def test_the_truth_of_planting_follows_the_world():
    look = Look(3, 1, 32, slides=True)
    place = scene_place(draw_scene("japan", 2, look), look)
    planted = open_ground(place)
    before, after = storm_risk(place), storm_risk(place_with_trees(place, planted))
    assert planted.any()
    assert (after <= before + 1e-12).all()
    assert after[planted].sum() < before[planted].sum()
    assert np.array_equal(after[~planted], before[~planted])
    still = scene_place(draw_scene("japan", 2, look), Look(3, 1, 32, slides=True, roots=0.0))
    assert np.array_equal(storm_risk(still), storm_risk(place_with_trees(still, planted)))
    storm = draw_slides(place, np.random.default_rng(0))
    assert (storm.buried | ~storm.source).all()


@pytest.mark.filterwarnings("ignore:.*of 1000 resamples")
def test_the_promise_vanishes_where_trees_mean_nothing(worlds, tmp_path):
    """The causal test: the same places, the same picture; only in one world do roots hold the soil."""
    config = FitConfig(epochs=8, calibration="none", workers=1)
    promises = []
    for number, world in enumerate(worlds):
        bundle = fit(
            world, net="nn", split=split_given(world), out=tmp_path / f"nn{number}", config=config, label="source"
        )
        found = judge_plantings(bundle, world, budget_ha=3.0)
        promises.append(found.everywhere["nn"].value)
        true = found.value("risk_reduction", net="law").value
        assert true > 0.1 if number == 0 else true == 0
        assert found.value("risk_reduction").value <= true + 1e-9
        assert found.value("risk_reduction", net="random").value <= true + 1e-9
    assert promises[0] > 0.15
    assert abs(promises[1]) < 0.3 * promises[0], promises


def _picture_net(world, out):
    config = FitConfig(epochs=1, workers=1, net_arguments={"base": 4, "levels": 1})
    return fit(world, net="direct", split=split_given(world), out=out, config=config, label="changed")


def test_bundles_without_risk_and_stacks_without_truth_are_refused(worlds, tmp_path):
    flow = _picture_net(worlds[0], tmp_path / "direct")
    with pytest.raises(BundleError, match="gives no risk"):
        judge_plantings(flow, worlds[0])
    plain = {key: value for key, value in TABLE["scenarios"].items() if key != "slides"}
    plain |= {"places_per_region": 4, "futures": 1}
    other = build_domains(domains_recipe_from_dict({**TABLE, "scenarios": plain}), tmp_path / "o.zarr", workers=1)
    with pytest.raises(StackError, match="whose slides run"):
        judge_plantings(None, other)


def test_judging_burial_lays_the_opponents_beside(worlds, tmp_path):
    net = _picture_net(worlds[0], tmp_path / "direct")
    found = judge_burials(net, worlds[0], as_drawn=True, out=tmp_path / "judged")
    opponents = {SHARE, "travel_angle", "travel_angle_steep", TRUE_SOURCES, LAW, "constant"}
    assert {"direct", *opponents} == set(found.cuts)
    assert found.value("brier", net=LAW).value < found.value("brier", net="constant").value
    assert (tmp_path / "judged" / "metrics.csv").exists()
    assert (tmp_path / "judged" / "reliability.csv").exists()


def test_the_verbs_draw_judge_and_refuse(worlds, paths, tmp_path):
    run = CliRunner()

    def said(*words, code=0):
        done = run.invoke(app, [str(word) for word in words])
        assert done.exit_code == code, done.output
        return done.output

    _picture_net(worlds[0], tmp_path / "net")
    write_stack(scene_of(worlds[0], times=1), tmp_path / "scene.zarr")
    words = ["damage", tmp_path / "net", tmp_path / "scene.zarr", "--out", tmp_path / "d.gpkg", "--samples", 1]
    assert "buried area, km2" in said(*words, "--task", "rain", "--as-drawn")
    with rasterio.open(tmp_path / "d.tif") as file:
        assert GENERATED_TAG in file.tags()
    assert (tmp_path / "d-futures" / "future-001.tif").exists()
    said(*words, "--task", "rain", code=2)  # it exists
    said(*words, "--overwrite", code=2)  # no task
    said(*words, "--task", "war", "--overwrite", code=2)
    said("damage", tmp_path / "d.tif", tmp_path / "scene.zarr", "--task", "rain", "--out", tmp_path / "e.tif", code=2)
    judged = said("damage", tmp_path / "net", paths[0], "--task", "rain", "--judge", "--out", tmp_path / "burial")
    assert "travel_angle_true_sources: brier" in judged
    assert (tmp_path / "burial" / "burials.png").exists()
    plans = said("planting", paths[0], "--judge", "--out", tmp_path / "plans")
    assert "physics ahead of random by" in plans
    assert (tmp_path / "plans" / "plans.png").exists()
    said("planting", tmp_path / "net", "--budget-ha", 1, "--out", tmp_path / "p.gpkg", code=2)  # no stack
