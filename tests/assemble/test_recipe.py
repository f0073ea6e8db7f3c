"""Recipes: what is known, what is missing, and the nearest key to what is not known."""

from pathlib import Path

import pytest

from headscarp.assemble import read_recipe, recipe_from_dict
from headscarp.assemble.domain_recipe import domains_recipe_from_dict, read_domains_recipe
from headscarp.core.errors import RecipeError

ALL = sorted((Path(__file__).parents[2] / "recipes").glob("*.toml"))
OF_DOMAINS = [path for path in ALL if path.stem.startswith(("domains", "mining", "scenarios", "slides"))]
RECIPES = [path for path in ALL if path not in OF_DOMAINS]
BASE = {"name": "a", "grid": {"like": "dem.tif"}, "band": [{"name": "elevation", "raster": "dem.tif"}]}


def with_band(**band):
    return {**BASE, "band": [*BASE["band"], {"name": "b", **band}]}


def test_the_base_is_a_recipe():
    recipe = recipe_from_dict(BASE)
    assert recipe.resolved()["band"][0]["kind"] == "continuous"
    assert recipe.seed == 0


def test_several_inventories_have_a_table_each():
    recipe = recipe_from_dict({**BASE, "label": {"scarp": {"polygons": "a"}, "deposit": {"points": "b"}}})
    assert [(name, label.polygons, label.points) for name, label in recipe.labels.items()] == [
        ("scarp", "a", None),
        ("deposit", None, "b"),
    ]
    assert recipe_from_dict(recipe.resolved()) == recipe
    one = recipe_from_dict({**BASE, "label": {"polygons": "a"}})
    assert list(one.labels) == ["landslide"]
    assert list(recipe_from_dict(BASE).labels) == []


@pytest.mark.parametrize("path", RECIPES, ids=[p.stem for p in RECIPES])
def test_recipes_in_the_house_are_complete(path):
    recipe = read_recipe(path)
    assert recipe.name == path.stem
    assert recipe.labels or recipe.chips or "no landslide labels" in path.read_text(encoding="utf-8")
    assert recipe.chips or recipe.split["kind"] in ("blocks", "random")
    again = recipe_from_dict(recipe.resolved())
    assert again.resolved() == recipe.resolved()


@pytest.mark.parametrize("path", OF_DOMAINS, ids=[p.stem for p in OF_DOMAINS])
def test_recipes_of_domains_in_the_house_are_complete_and_name_their_verb(path):
    recipe = read_domains_recipe(path)
    assert domains_recipe_from_dict(recipe.resolved()).resolved() == recipe.resolved()
    with pytest.raises(RecipeError, match="headscarp domains build"):
        read_recipe(path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({**BASE, "grids": {}}, "unknown key 'grids'; did you mean 'grid'"),
        ({**BASE, "bands": []}, "unknown key 'bands'; did you mean 'band'"),
        ({**BASE, "grid": {"like": "a", "resolution": 3}}, r"\[grid\].*'resolution'; did you mean 'resolution_m'"),
        ({**BASE, "grid": {"crs": "EPSG:32633"}}, "resolution_m"),
        ({**BASE, "grid": {"like": "a", "crs": "b"}}, "either like, or"),
        ({**BASE, "grid": {"crs": "a", "resolution_m": 3, "bounds": [0, 0, -1, 1]}}, "xmin, ymin"),
        ({**BASE, "name": 3}, "it has to be text"),
        ({"name": "a", "band": BASE["band"]}, r"\[grid\] is missing"),
        ({**BASE, "band": []}, r"no \[\[band\]\]"),
        ({**BASE, "label": {"polygons": "a", "al_touched": True}}, "did you mean 'all_touched'"),
        ({**BASE, "label": {}}, "either polygons or points"),
        ({**BASE, "label": {"scarp": {"polygon": "a"}}}, r"\[label.scarp\].*did you mean 'polygons'"),
        ({**BASE, "label": {"scarp": {}}}, r"\[label.scarp\] needs either polygons or points"),
        ({**BASE, "label": {"scarp": {"polygons": "a"}, "polygons": "b"}}, "'polygons' beside the named table"),
        ({**BASE, "label": {"valid": {"polygons": "a"}}}, "'valid', and that name is taken"),
        ({**BASE, "label": {"elevation": {"polygons": "a"}}}, "'elevation', and that name is taken"),
        ({**BASE, "split": {"block_size": 3}}, "did you mean 'block_size_m'"),
        (with_band(), "'b' has no source; give it one of raster, terrain, vector, distance_to"),
        (with_band(raster="a", vector="b", attribute="c"), "raster and vector"),
        (with_band(raster="a", kind="categoric"), "did you mean 'categorical'"),
        (with_band(raster="a", unit="m"), "did you mean 'units'"),
        (with_band(raster="a", classes={"1": "x"}), "but is continuous"),
        (with_band(vector="a"), "lacks the key 'attribute'"),
        (with_band(terrain="slop", **{"from": "elevation"}), "did you mean 'slope'"),
        (with_band(terrain="slope", **{"from": "elevatoin"}), "did you mean 'elevation'"),
        (with_band(terrain="slope"), "lacks the key 'from'"),
        (with_band(terrain="slope", method="hron", **{"from": "elevation"}), "did you mean 'horn'"),
        (with_band(terrain="relief", **{"from": "elevation"}), "needs radius_m"),
        (with_band(terrain="slope", radius_m=3, **{"from": "elevation"}), "has no radius"),
        (with_band(terrain="relief", radius_m=3, method="horn", **{"from": "elevation"}), "relief has none"),
        (with_band(distance_to="a", max_m=-1), "positive length"),
        ({**BASE, "band": BASE["band"] * 2}, "is there twice"),
        ({**BASE, "band": [{"name": "valid", "raster": "a"}]}, "taken by the stack"),
    ],
)
def test_what_is_wrong_is_told(data, message):
    with pytest.raises(RecipeError, match=message):
        recipe_from_dict(data)


def test_class_tables_are_tables_or_lists():
    band = recipe_from_dict(with_band(raster="a", kind="categorical", classes={2: "x", 3: "y"})).bands[1]
    assert band.classes == {"2": "x", "3": "y"}
    band = recipe_from_dict(with_band(vector="a", attribute="c", classes=["x", "y"])).bands[1]
    assert band.classes == {"x": "x", "y": "y"}


def test_files_that_are_no_recipes(tmp_path):
    with pytest.raises(RecipeError, match="cannot be read"):
        read_recipe(tmp_path / "no.toml")
    (tmp_path / "bad.toml").write_text("name = ")
    with pytest.raises(RecipeError, match="not valid TOML"):
        read_recipe(tmp_path / "bad.toml")


def test_paths_start_from_the_recipe(tmp_path):
    (tmp_path / "r.toml").write_text('name = "a"\n[grid]\nlike = "dem.tif"\n[[band]]\nname = "e"\nraster = "dem.tif"\n')
    recipe = read_recipe(tmp_path / "r.toml")
    assert recipe.file("sub/dem.tif") == tmp_path / "sub" / "dem.tif"
    assert str(tmp_path) not in str(recipe.resolved())
