"""Laws of the build of domains: the layout holds, a killed build ends in the same bytes, wrong recipes are refused."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from headscarp.assemble.domains import build_domains, domains_recipe_from_dict, read_domains_recipe
from headscarp.core.domains import HORIZONS_DAYS, check_domains, events_within, is_domains
from headscarp.core.errors import JournalError, OutputError, RecipeError
from headscarp.core.stack import open_stack
from headscarp.sources.world.domains import CLASSES, REGIONS
from headscarp.tiles.dataset import cache_stack

RECIPES = Path(__file__).parents[2] / "recipes"
TABLE = {"name": "t", "simulate": {"samples_per_region": 30, "regions": ["india", "alps"], "frames": 3, "side_px": 16}}


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("domains") / "domains.zarr"
    build_domains(domains_recipe_from_dict(TABLE), out, workers=1)
    return out


def test_what_is_built_holds_the_layout_and_says_that_it_is_simulated(built):
    stack = check_domains(open_stack(built))
    assert is_domains(stack)
    assert stack.sizes["sample"] == 60
    assert stack.attrs["simulated"] is True
    assert all("simulated" in stack[name].attrs["source"] for name in stack.data_vars)
    assert stack["region"].to_numpy().tolist() == ["india"] * 30 + ["alps"] * 30
    assert stack["class"].to_numpy().tolist()[:7] == list(CLASSES)
    assert stack["horizon"].to_numpy().tolist() == list(HORIZONS_DAYS)
    within = events_within(stack["event_days"].to_numpy())
    slid = (stack["landslide"].to_numpy() == 1).any(axis=(1, 2))
    np.testing.assert_array_equal(within[:, -1] == 1, slid)
    assert np.isfinite(stack["law"].to_numpy()).all()
    assert (stack["cutoff"].to_numpy() >= np.datetime64("2015-01-01")).all()


def test_a_sample_reads_lazily_and_caches_as_any_stack(built, tmp_path):
    stack = open_stack(built)
    frame = stack["nir"][3, 0].to_numpy()
    assert frame.shape == (16, 16)
    cached = cache_stack(stack, tmp_path)
    np.testing.assert_array_equal(cached["nir"][3, 0].to_numpy(), frame)


def test_any_number_of_workers_gives_the_same_bytes(built, tmp_path):
    build_domains(domains_recipe_from_dict(TABLE), tmp_path / "domains.zarr", workers=2)
    assert bytes_of(tmp_path / "domains.zarr") == bytes_of(built)


def test_a_killed_build_goes_on_to_the_same_bytes(built, tmp_path):
    out = tmp_path / "domains.zarr"
    code = (
        "import sys, time; from headscarp.assemble import domains as d; real = d.simulate_sample\n"
        "def slow(*a):\n    time.sleep(0.02); return real(*a)\n"
        "d.simulate_sample = slow\n"
        f"d.build_domains(d.domains_recipe_from_dict({TABLE!r}), {str(out)!r}, workers=1)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], env=os.environ.copy())
    journal = out.with_name(".domains.zarr.journal")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (journal.exists() and journal.read_bytes().count(b"\n") > 1):
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not out.exists()
    other = domains_recipe_from_dict({**TABLE, "seed": 5})
    with pytest.raises(JournalError, match="settings"):
        build_domains(other, out, resume=True)
    torn = out.with_name(".domains.zarr.partial") / "elevation" / "c" / "0" / "0" / "0"
    torn.write_bytes(torn.read_bytes()[:20])
    build_domains(domains_recipe_from_dict(TABLE), out, workers=1, resume=True)
    assert bytes_of(out) == bytes_of(built)
    build_domains(domains_recipe_from_dict(TABLE), out, resume=True)
    with pytest.raises(OutputError):
        build_domains(domains_recipe_from_dict(TABLE), out)
    with pytest.raises(OutputError):
        build_domains(other, out, resume=True)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sample_per_region": 3}, "samples_per_region"),
        ({"regions": ["indja"]}, "india"),
        ({"regions": ["india", "india"]}, "each once"),
        ({"regions": []}, "at least one"),
        ({"samples_per_region": 0}, "from 1 to"),
        ({"frames": 0}, "from 1 to"),
        ({"side_px": 4}, "from 16 to"),
        ({"years": [2020, 2015]}, "first and the last"),
        ({"years": [2020]}, "first and the last"),
        ({"frames": "many"}, "a whole number"),
    ],
)
def test_a_wrong_recipe_is_refused(change, words):
    with pytest.raises(RecipeError, match=words):
        domains_recipe_from_dict({**TABLE, "simulate": {**TABLE["simulate"], **change}})


def test_a_recipe_needs_its_sections_and_knows_its_keys():
    with pytest.raises(RecipeError, match=r"\[simulate\] is missing"):
        domains_recipe_from_dict({"name": "t"})
    with pytest.raises(RecipeError, match="seed"):
        domains_recipe_from_dict({**TABLE, "sede": 3})
    with pytest.raises(RecipeError, match="seed is -1"):
        domains_recipe_from_dict({**TABLE, "seed": -1})


@pytest.mark.parametrize("name", ["domains.toml", "domains_small.toml"])
def test_the_recipes_of_the_project_are_sound(name):
    recipe = read_domains_recipe(RECIPES / name)
    assert set(recipe.simulate.regions) == set(REGIONS)
    assert f"{recipe.name}.toml" == name
