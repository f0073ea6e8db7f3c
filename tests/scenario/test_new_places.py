"""Suites are judged on places that nobody has learned from, all of them, and bundles beside each other on the same."""

import csv

import pytest
from scenes import TABLE, build_scenes

from headscarp.assemble.domain_recipe import domains_recipe_from_dict
from headscarp.assemble.domains import build_domains
from headscarp.core.errors import StackError
from headscarp.evaluation.tables import read_table
from headscarp.train.config import FitConfig
from headscarp.train.fit import fit
from headscarp.train.suites import judge_suites
from verbs import said as run

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """scenes.zarr, flow/ and direct/."""
    folder = tmp_path_factory.mktemp("home")
    scenes = build_scenes(folder / "scenes.zarr")
    for net, more in (("flow", {"steps": 2}), ("direct", {})):
        arguments = {"base": 4, "levels": 1, **more}
        config = FitConfig(epochs=1, workers=1, calibration="none", net_arguments=arguments)
        fit(scenes, net=net, out=folder / net, config=config)
    return folder


def test_new_places_are_judged_all_beside_other_bundles_on_the_same(home, tmp_path):
    recipe = {**TABLE, "seed": 6, "scenarios": {**TABLE["scenarios"], "places_per_region": 3}}
    new = build_domains(domains_recipe_from_dict(recipe), tmp_path / "new.zarr", workers=1)
    more = ("--trained-on", home / "scenes.zarr", "--beside", home / "direct", "--beside", home / "direct")
    done = run("evaluate", home / "flow", tmp_path / "new.zarr", *more, "--out", tmp_path / "m", "--workers", 1)
    assert done.code == 0, done.text
    rows = read_table(tmp_path / "m")
    assert list(dict.fromkeys(row.net for row in rows)) == [
        *("flow", "direct", "direct 2", "copy_the_input", "nearest_pair", "law")
    ]
    apart = list(csv.DictReader((tmp_path / "m" / "differences.csv").read_text().splitlines()))
    assert {row["net"] for row in apart} == {"flow"}
    value = {(row.net, row.metric): row.value for row in rows if row.part == "test"}
    for row in apart:
        if (row["part"], row["metric"]) == ("test", "crps_area"):
            expected = value["flow", "crps_area"] - value[row["less"], "crps_area"]
            assert float(row["value"]) == pytest.approx(expected, abs=1e-9)
            assert float(row["low"]) <= expected <= float(row["high"])
    cases = sum(int(line.split(",")[2]) for line in (tmp_path / "m" / "ranks.csv").read_text().splitlines()[1:18])
    assert cases == 3 * 2 * 3  # every place, two tasks in which something changes, three futures
    assert new.sizes["sample"] == 3 * 4 * 3


def test_new_places_have_to_be_new_and_nets_to_make_pictures(home, tmp_path):
    where = ("--out", tmp_path / "m")
    done = run("evaluate", home / "flow", home / "scenes.zarr", "--trained-on", home / "scenes.zarr", *where)
    assert done.code == 2
    assert "10 place(s) of the stack were there in training" in done.text
    large = {**TABLE, "seed": 6, "scenarios": {**TABLE["scenarios"], "places_per_region": 2, "side_px": 24}}
    other = build_domains(domains_recipe_from_dict(large), tmp_path / "large.zarr", workers=1)
    with pytest.raises(StackError, match="24 x 24 pixels, and those that were learned from 16 x 16"):
        judge_suites(home / "flow", other, trained_on=home / "scenes.zarr")
    assert not (tmp_path / "m").exists()
