"""Laws of the build of domains: the layout holds, a killed build ends in the same bytes, wrong recipes are refused."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from headscarp.assemble.domain_recipe import domains_recipe_from_dict, read_domains_recipe
from headscarp.assemble.domains import build_domains
from headscarp.core.domains import HORIZONS_DAYS, check_domains, events_within, is_domains
from headscarp.core.errors import JournalError, OutputError, RecipeError, SourceError
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


def test_a_region_of_another_size_holds_the_same_samples_as_far_as_it_goes(built, tmp_path):
    table = {**TABLE, "simulate": {**TABLE["simulate"], "samples": {"alps": 7}}}
    build_domains(domains_recipe_from_dict(table), tmp_path / "domains.zarr", workers=1)
    stack = open_stack(tmp_path / "domains.zarr")
    assert stack["region"].to_numpy().tolist() == ["india"] * 30 + ["alps"] * 7
    xr.testing.assert_identical(stack["nir"].load(), open_stack(built)["nir"][:37].load())


def test_regions_of_one_size_leave_no_word_of_others_in_the_recipe():
    assert "samples" not in domains_recipe_from_dict(TABLE).resolved()["simulate"]


def test_any_number_of_workers_gives_the_same_bytes(built, tmp_path):
    build_domains(domains_recipe_from_dict(TABLE), tmp_path / "domains.zarr", workers=2)
    assert bytes_of(tmp_path / "domains.zarr") == bytes_of(built)


def test_a_killed_build_goes_on_to_the_same_bytes(built, tmp_path):
    out = tmp_path / "domains.zarr"
    code = (
        "import time\nfrom headscarp.assemble import domain_sources as s, domains as d, domain_recipe as r\n"
        "real = s.simulate_sample\n"
        "def slow(*a):\n    time.sleep(0.02)\n    return real(*a)\n"
        "s.simulate_sample = slow\n"
        f"d.build_domains(r.domains_recipe_from_dict({TABLE!r}), {str(out)!r}, workers=1)"
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
        ({"samples": {"japan": 5}}, "india"),
        ({"samples": {"india": 0}}, "whole number from 1 to"),
        ({"samples": {"india": "all"}}, "whole number"),
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
    with pytest.raises(RecipeError, match=r"one of \[simulate\]"):
        domains_recipe_from_dict({"name": "t"})
    with pytest.raises(RecipeError, match="seed"):
        domains_recipe_from_dict({**TABLE, "sede": 3})
    with pytest.raises(RecipeError, match="seed is -1"):
        domains_recipe_from_dict({**TABLE, "seed": -1})


@pytest.mark.parametrize("name", ["domains.toml", "domains_small.toml", "domains_places.toml"])
def test_the_recipes_of_the_project_are_sound(name):
    recipe = read_domains_recipe(RECIPES / name)
    assert recipe.simulate is not None
    assert set(recipe.simulate.regions) == set(REGIONS)
    assert f"{recipe.name}.toml" == name


def write_catalogue(folder: Path) -> dict:
    """Two events with days before them: one of rain with all seven days, one whose cause is not told with two."""
    events = "event_id,event_date,landslide_trigger,longitude,latitude\n"
    events += "7,2016-02-10 14:00:00,rain,-120,40\n8,2016-03-05 00:00:00,unknown,-121,41\n9,,rain,-121,41\n"
    days = [f"2016-02-{10 - k:02d},7,{10 - k},{0.2 + k / 100},{7 - k}" for k in range(7)]
    days += [f"2016-03-{5 - k:02d},8,{k},,{7 - k}" for k in range(2)]
    (folder / "events.csv").write_text(events, encoding="utf-8")
    text = "date,landslide_id,rain,soil,days-to-landslide\n" + "\n".join(days) + "\n"
    (folder / "days.csv").write_text(text, encoding="utf-8")
    files = [{"region": "somewhere", "events": "events.csv", "days": "days.csv"}]
    return {"name": "t", "antecedents": {"rain": "rain", "soil_moisture": "soil", "cutoffs": 3, "files": files}}


def test_events_come_with_the_days_before_and_never_with_their_own(tmp_path):
    recipe = domains_recipe_from_dict(write_catalogue(tmp_path), folder=tmp_path)
    stack = check_domains(build_domains(recipe, tmp_path / "domains.zarr", workers=1))
    assert stack["sample_id"].to_numpy().tolist() == ["7-0", "7-1", "7-2", "8-0", "8-1", "8-2"]
    assert stack["event_days"].to_numpy().tolist() == [0.5, 1.5, 2.5] * 2
    assert str(stack["cutoff"].to_numpy()[1])[:10] == "2016-02-09"
    rain = stack["rain_mm_per_day"].to_numpy()
    assert rain[0, -7:].tolist()[1:] == [4, 5, 6, 7, 8, 9]  # the day of the slide, 10 mm, is not there
    assert np.isnan(rain[0, :-6]).all()
    assert rain[2, -4:].tolist() == [4, 5, 6, 7]
    assert rain[3, -1] == 1.0
    assert np.isnan(rain[4]).all()
    assert np.isnan(stack["soil_moisture"].to_numpy()[3]).all()
    assert stack["causes"].to_numpy()[0].tolist() == [0, 0, 0, 1, 0, 0]
    assert (stack["causes"].to_numpy()[3] == 255).all()
    assert "simulated" not in stack.attrs
    assert len(stack.attrs["made"]["inputs"]) == 2


def test_files_that_do_not_pair_are_refused(tmp_path):
    table = write_catalogue(tmp_path)
    (tmp_path / "days.csv").write_text("date,landslide_id,rain,soil\n2016-02-09,77,1,0.2\n", encoding="utf-8")
    with pytest.raises(SourceError, match="such as 77"):
        build_domains(domains_recipe_from_dict(table, folder=tmp_path), tmp_path / "domains.zarr")
    (tmp_path / "days.csv").write_text("date,landslide_id,soil\n2016-02-09,7,0.2\n", encoding="utf-8")
    with pytest.raises(SourceError, match="no column 'rain'"):
        build_domains(domains_recipe_from_dict(table, folder=tmp_path), tmp_path / "domains.zarr")
    with pytest.raises(RecipeError, match="files"):
        domains_recipe_from_dict({"name": "t", "antecedents": {"rain": "rain", "soil_moisture": "soil"}})
    with pytest.raises(RecipeError, match="cutoffs is 0"):
        domains_recipe_from_dict({**table, "antecedents": {**table["antecedents"], "cutoffs": 0}})
