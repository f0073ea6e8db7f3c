"""Laws of simulated futures: all else is equal, futures differ, nothing depends on who builds it."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from scenes import TABLE, build_scenes

from headscarp.assemble.domain_recipe import domains_recipe_from_dict
from headscarp.core.domains import REFLECTANCE
from headscarp.core.errors import RecipeError, StackError
from headscarp.core.scenarios import AFTER, TASKS, check_scenarios, numbers_of, task_code, task_codes
from headscarp.core.stack import feature_bands
from headscarp.sources.world.domains import REGIONS, Look, after_days, draw_scene, simulate_future
from headscarp.sources.world.domains.futures import _TASKS, _from_lowest_side, scene_place
from headscarp.tiles.splits import split_given

LOOK = Look(seed=2, frames=1, side_px=24)
DONE = [task for task in TASKS if task not in ("identity", "no_change")]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return build_scenes(tmp_path_factory.mktemp("scenes") / "scenes.zarr")


def change_of(made):
    return np.max([np.abs(made[AFTER + name] - made[name]) for name in REFLECTANCE], axis=0)


@pytest.mark.parametrize("task", TASKS)
def test_pictures_differ_where_the_task_was_done_and_nowhere_else(task):
    shares = []
    for number in range(4):
        made = simulate_future(draw_scene("andes", number, LOOK), LOOK, task, 0)
        done = made["changed"] == 1
        shares.append(done.mean())
        if task == "identity":
            assert change_of(made).max() == 0
        if task != "no_change":
            assert change_of(made)[~done].max(initial=0) == 0
        if done.any():
            assert (change_of(made)[done] > 0).mean() > 0.95
    assert max(shares) > 0.03 if task in DONE else max(shares) == 0


@pytest.mark.parametrize("task", DONE)
def test_how_far_a_task_goes_is_drawn_anew_for_each_future(task):
    site = draw_scene("india", 1, LOOK)
    futures = [simulate_future(site, LOOK, task, future) for future in range(4)]
    assert len({future["changed"].tobytes() for future in futures}) > 1
    again = simulate_future(site, LOOK, task, 2)
    assert all(np.array_equal(again[name], futures[2][name]) for name in again)


def test_roads_begin_at_the_lowest_side_and_turn_with_the_place():
    for number in range(4):
        place = scene_place(draw_scene("japan", number, LOOK), LOOK)
        road = _TASKS["construction"](place, np.random.default_rng(number)).changed
        for turn in range(4):
            for flip in (1, -1):
                planes = {name: getattr(place, name) for name in ("elevation_m", "slope_deg", "cover")}
                moved = {name: np.rot90(z, turn, (-2, -1))[..., ::flip] for name, z in planes.items()}
                again = _TASKS["construction"](replace(place, **moved), np.random.default_rng(number)).changed
                assert np.array_equal(again, np.rot90(road, turn)[:, ::flip])
    z = np.add.outer(np.zeros(8), np.arange(8.0))  # lowest in the west
    assert np.array_equal(_from_lowest_side(z)[3], np.arange(8) / 8)


def test_the_place_before_knows_nothing_of_the_task():
    site = draw_scene("china", 3, LOOK)
    made = [simulate_future(site, LOOK, task, future) for task in TASKS for future in range(2)]
    for name in (*REFLECTANCE, "elevation", "slope"):
        assert len({one[name].tobytes() for one in made}) == 1
    assert after_days(site, LOOK, "mining") == after_days(site, LOOK, "mining") > 0


def test_pictures_are_taken_when_no_snow_lies():
    for region in REGIONS:
        site = draw_scene(region, 0, LOOK)
        made = simulate_future(site, LOOK, "no_change", 0)
        assert made["blue"].mean() < 0.35
        assert site.cutoff - timedelta(days=1)


def test_what_is_built_holds_the_layout(scenes):
    assert check_scenarios(scenes) is scenes
    assert scenes.sizes["sample"] == 10 * 4 * 3
    assert scenes.attrs["simulated"] is True
    assert all("simulated" in scenes[name].attrs["source"] for name in scenes.data_vars)
    assert [band.name for band in feature_bands(scenes)] == [*REFLECTANCE, "elevation", "slope"]
    assert numbers_of(scenes).shape == (120, 4)
    assert np.isfinite(numbers_of(scenes)).all()
    assert len(set(task_codes(scenes).tolist())) == 4
    one = simulate_future(draw_scene("india", 4, Look(5, 1, 16)), Look(5, 1, 16), "mining", 1)
    at = scenes["sample_id"].to_numpy().astype(object).tolist().index("india-00004-mining-1")
    assert all(np.array_equal(scenes[name][at].to_numpy(), one[name]) for name in one)


def test_no_place_is_in_two_parts(scenes):
    split = split_given(scenes)
    places = scenes["group"].to_numpy().astype(object)
    parts = {part: {places[p.sample] for p in split.part(part)} for part in ("train", "validation", "test")}
    assert all(parts.values())
    assert sum(len(of) for of in parts.values()) == len(set().union(*parts.values())) == 10


def test_stacks_that_lack_something_are_refused(scenes):
    with pytest.raises(StackError, match="'after_nir'"):
        check_scenarios(scenes.drop_vars("after_nir"))
    with pytest.raises(StackError, match="no pictures before and after"):
        check_scenarios(scenes.drop_vars("task"))
    with pytest.raises(StackError, match="'future'"):
        check_scenarios(scenes.drop_vars("future"))
    with pytest.raises(StackError, match="tasks war; known: identity"):
        check_scenarios(scenes.assign_coords(task=("sample", np.array(["war"] * 120, object))))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"tasks": ["minning"]}, "mining"),
        ({"tasks": []}, "at least one task"),
        ({"tasks": ["rain", "rain"]}, "each once"),
        ({"futures": 0}, "futures is 0"),
        ({"places_per_region": 0}, "places_per_region is 0"),
        ({"regions": ["narnia"]}, "region"),
        ({"years": [2020, 2010]}, "years"),
        ({"frames": 61}, "frames is 61"),
        ({"slots": 3}, "slots"),
    ],
)
def test_wrong_recipes_are_refused(changed, words):
    with pytest.raises(RecipeError, match=words):
        domains_recipe_from_dict({**TABLE, "scenarios": {**TABLE["scenarios"], **changed}})


def test_one_kind_of_samples_is_asked_for():
    with pytest.raises(RecipeError, match="one of"):
        domains_recipe_from_dict({**TABLE, "simulate": {"samples_per_region": 1}})


def test_unknown_tasks_list_the_known():
    with pytest.raises(RecipeError, match=r"did you mean 'mining'.*known: identity, no_change, deforestation"):
        task_code("minning")
    with pytest.raises(RecipeError, match="known: identity"):
        simulate_future(draw_scene("andes", 0, LOOK), LOOK, "war", 0)
