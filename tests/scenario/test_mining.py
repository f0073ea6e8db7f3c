"""Sites that may have become mines: pairs as scenarios, scores, dossiers, areas, and what is refused."""

import json
from dataclasses import replace

import geopandas as gpd
import numpy as np
import pytest
import shapely
import torch
from mining_world import CLASSES, SIDE, write_mines
from scenes import TABLE
from typer.testing import CliRunner

from headscarp.assemble.domain_recipe import domains_recipe_from_dict
from headscarp.assemble.domains import build_domains
from headscarp.cli import app
from headscarp.core.bundle import open_bundle
from headscarp.core.errors import OutputError, RecipeError, SplitError, StackError
from headscarp.core.scenarios import check_scenarios
from headscarp.core.stack import feature_bands, open_stack, with_label
from headscarp.core.tile import Tile, Window
from headscarp.evaluation.sites import (
    SiteTruth,
)
from headscarp.evaluation.tables import read_table
from headscarp.nets import net_from_bundle
from headscarp.sources.areas import Ground
from headscarp.tiles.pairs import as_scenes
from headscarp.tiles.reader import TileReader, make_batch
from headscarp.tiles.splits import split_given
from headscarp.train.fit import fit
from headscarp.train.minetable import read_scores, site_rows
from headscarp.train.minetools import parts_of
from headscarp.train.mining import find_mines
from headscarp.train.plan import chosen_configs
from headscarp.train.suites import judge_suites

pytestmark = pytest.mark.filterwarnings("ignore:.* resamples had no")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("mines")
    stack = build_domains(domains_recipe_from_dict(write_mines(home), folder=home), home / "pairs.zarr", workers=1)
    for net, config in chosen_configs(stack, workers=1).items():
        if net in ("flow", "kind", "vae"):
            fit(home / "pairs.zarr", net=net, out=home / net, config=config)
    return home


@pytest.fixture(scope="module")
def evidence(home):
    """What the command writes, with all nets and both layers."""
    stack = open_stack(home / "pairs.zarr")
    sites = [
        Ground(float(x), float(y), (SIDE, SIDE), 10.0) for x, y in zip(stack.longitude, stack.latitude, strict=True)
    ]
    first = list(stack["sample_id"].to_numpy()).index("val_28")  # a pit of unknown class
    ground = sites[first]
    half = shapely.box(-80, -80, 0, 80)  # the western half of the site
    square = gpd.GeoDataFrame({"Name": ["Park"]}, geometry=[ground.lonlat(half)], crs="OGC:CRS84")
    square.to_crs(32721).to_file(home / "park.gpkg")
    far = gpd.GeoDataFrame({"id": [1]}, geometry=[sites[0].lonlat(sites[0].square)], crs="OGC:CRS84")
    far.to_file(home / "permits.gpkg")
    command = ["mining", home / "flow", home / "pairs.zarr", "--out", home / "evidence", "--samples", "3"]
    command += ["--beside", home / "kind", "--beside", home / "vae"]
    command += ["--protected", home / "park.gpkg", "--concessions", home / "permits.gpkg"]
    result = CliRunner().invoke(app, list(map(str, command)), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return home / "evidence"


def features_of(folder):
    features = json.loads((folder / "sites.geojson").read_text())["features"]
    return {f["properties"]["site"]: f for f in features}


def test_a_planted_pit_ranks_above_what_did_not_change(evidence):
    features = features_of(evidence)
    assert [f["properties"]["rank"] for f in features.values()] == list(range(1, len(features) + 1))
    pits = [f["properties"]["rank"] for f in features.values() if f["properties"]["known"] == "pit"]
    quiet = [f["properties"]["rank"] for f in features.values() if f["properties"]["known"] == "quiet"]
    assert np.median(pits) < min(quiet)
    unknown = {name: features[name]["properties"] for name in ("val_28", "val_29")}
    assert all(one["known"] == "" for one in unknown.values())
    assert unknown["val_28"]["rank"] < unknown["val_29"]["rank"]
    assert unknown["val_28"]["chance"] > unknown["val_29"]["chance"]


def test_what_trains_is_not_ranked_and_the_table_is_of_the_test_part(evidence, home):
    stack = open_stack(home / "pairs.zarr")
    trains = {
        str(n) for n, p in zip(stack["sample_id"].to_numpy(), stack["part"].to_numpy(), strict=True) if p == "train"
    }
    assert not trains & set(features_of(evidence))
    rows = {(row.net, row.metric): row for row in read_table(evidence)}
    assert {row.part for row in rows.values()} == {"test"}
    assert rows["all", "n"].value == 28
    assert rows["all", "auroc"].value > 0.9
    assert rows["constant", "auroc"].value == 0.5
    assert rows["dates and position alone", "auroc"].value < 0.9
    names = {"scenarios", "evidence", "latents", "random features", "inpainting", "kind", "forest", "direct"}
    assert names <= {net for net, _ in rows}
    gain = rows["direct and scenarios beside direct", "gain: auroc"]
    assert gain.low <= gain.value <= gain.high


def test_hectares_are_those_of_the_planted_square(evidence):
    park = features_of(evidence)["val_28"]["properties"]
    assert park["site_ha"] == pytest.approx(2.56)
    assert park["protected_ha"] == pytest.approx(1.28, rel=1e-3)
    assert park["protected_names"] == ["Park"]
    assert park["changed_in_protected_ha"] <= park["changed_ha"]
    assert park["concessions_ha"] == 0
    assert park["changed_outside_concessions_ha"] == pytest.approx(park["changed_ha"])
    other = features_of(evidence)["val_29"]["properties"]
    assert other["protected_ha"] == 0
    assert other["changed_ha"] == 0


def test_pages_hold_all_they_show_and_say_what_is_generated(evidence):
    pages = sorted((evidence / "sites").glob("*.html"))
    assert len(pages) == len(features_of(evidence))
    text = pages[0].read_text()
    assert "data:image/png;base64," in text
    assert "GENERATED" in text
    assert "2019-07-02" in text
    assert 'src="sites' not in text
    assert 'href="http' not in text
    index = (evidence / "index.html").read_text()
    assert all(f'href="sites/{page.name}"' in index for page in pages)
    assert "unlicensed" in (evidence / features_of(evidence)["val_28"]["properties"]["page"]).read_text()


def test_nothing_is_called_unlicensed_without_a_layer_and_work_is_kept(evidence, home):
    before = (evidence / "scores.csv").read_bytes()
    journal = (evidence / ".scores.journal").read_bytes()
    command = ["mining", home / "flow", home / "pairs.zarr", "--out", evidence, "--samples", "3", "--resume"]
    command += ["--beside", home / "kind", "--beside", home / "vae"]
    result = CliRunner().invoke(app, list(map(str, command)), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert (evidence / ".scores.journal").read_bytes() == journal  # nothing was measured again
    assert (evidence / "scores.csv").read_bytes() == before
    pages = list((evidence / "sites").glob("*.html"))
    assert len(pages) == len(features_of(evidence))
    texts = [page.read_text() for page in (*pages, evidence / "index.html")]
    assert not any("unlicensed" in text for text in texts)
    assert all("an image shows no permit" in text for text in texts)
    assert not any("concession" in key for f in features_of(evidence).values() for key in f["properties"])


def test_pairs_are_scenarios_without_date_or_place(home):
    stack = open_stack(home / "pairs.zarr")
    scenes = check_scenarios(as_scenes(stack))
    assert as_scenes(scenes) is scenes
    known = [CLASSES.index(str(name)) if str(name) else 3 for name in stack["class"].to_numpy()]
    tasks = ("mining", "construction", "no_change", "identity")
    assert list(scenes["task"].to_numpy()) == [tasks[k] for k in known]
    np.testing.assert_array_equal(scenes["after_nir"][5].to_numpy(), stack["nir"][5, 1].to_numpy())
    reader = TileReader(with_label(scenes), feature_bands(scenes))
    batch = make_batch([reader.read(Tile(Window(0, 0, SIDE, SIDE)))], [Tile(Window(0, 0, SIDE, SIDE))])
    assert batch.metadata is not None
    assert torch.isnan(batch.metadata).all()
    with pytest.raises(StackError, match="no pairs"):
        as_scenes(stack.drop_vars("task"))
    evaluation = judge_suites(home / "flow", stack, samples=2)
    assert np.isfinite(evaluation.value("crps_ndvi").value)


def test_evidence_knows_the_task_that_came(home):
    stack = open_stack(home / "pairs.zarr")
    net = net_from_bundle(open_bundle(home / "flow"))
    scenes = with_label(as_scenes(stack))
    reader = TileReader(scenes, net.bands)
    pits = [i for i in range(48) if str(stack["class"].to_numpy()[i]) == "pit"][:6]
    tiles = [Tile(Window(0, 0, SIDE, SIDE), 0, i) for i in pits]
    batch = make_batch([reader.read(tile) for tile in tiles], tiles)
    with torch.inference_mode():
        as_told = net.evidence(batch)
        again = net.evidence(batch)
    assert as_told.shape == (6,)
    torch.testing.assert_close(as_told, again)
    assert (as_told < 0).all()


def test_parts_are_those_that_the_generator_was_trained_on(home):
    stack = open_stack(home / "pairs.zarr")
    flow = open_bundle(home / "flow")
    other = stack.assign_coords(part=("sample", np.full(stack.sizes["sample"], "test", object)))
    part, kind = parts_of([flow, open_bundle(home / "kind"), open_bundle(home / "vae")], other)
    assert kind == "given"
    np.testing.assert_array_equal(part, [str(name) for name in stack["part"].to_numpy()])
    elsewhere = other.assign_attrs(fingerprint="another")
    assert set(parts_of([flow], elsewhere)[0]) == {"test"}


def test_what_cannot_be_measured_is_refused(home, tmp_path):
    stack = home / "pairs.zarr"
    other = open_stack(stack).load()
    parts = np.where(other["part"] == "train", "test", "train").astype(object)
    parts[np.flatnonzero(parts == "train")[:6]] = "validation"
    moved = other.assign_coords(part=("sample", parts))
    config = replace(chosen_configs(other, workers=1)["kind"], epochs=1)
    fit(moved, net="kind", split=split_given(moved), out=tmp_path / "kind", config=config)
    with pytest.raises(SplitError, match="has learned from"):
        find_mines(home / "flow", stack, tmp_path / "a", beside=[tmp_path / "kind"], samples=1)
    member = open_bundle(tmp_path / "kind")
    with pytest.raises(SplitError, match="has learned from"):  # an ensemble names its members
        find_mines(home / "flow", stack, tmp_path / "a", beside=[replace(member, made={"inputs": [member.made]})])
    with pytest.raises(RecipeError, match="prevalence"):
        find_mines(home / "flow", stack, tmp_path / "b", prevalence=0)
    with pytest.raises(RecipeError, match="0 futures"):
        find_mines(home / "flow", stack, tmp_path / "b", samples=0)
    with pytest.raises(RecipeError, match="--steps is 0; it has to be from 1 to 100"):
        find_mines(home / "flow", stack, tmp_path / "b", steps=0)
    with pytest.raises(RecipeError, match="'kind' makes a future in one pass, not in 3 steps"):
        find_mines(home / "kind", stack, tmp_path / "b", steps=3)
    with pytest.raises(RecipeError, match="no task 'rein'"):
        find_mines(home / "flow", stack, tmp_path / "b", against=["rein"])
    bare = open_stack(stack).load().drop_vars("nir")
    with pytest.raises(StackError, match="no band 'nir'"):
        find_mines(home / "flow", bare, tmp_path / "b")


def test_sites_without_any_known_class_are_ranked_by_evidence(home, tmp_path):
    stack = open_stack(home / "pairs.zarr").load()
    rows = np.flatnonzero(stack["part"].to_numpy() == "test")
    new = stack.isel(sample=rows).drop_vars(["part", "class"]).assign_attrs(fingerprint="another")
    new["red"] = new["red"].where(np.arange(len(rows))[:, None, None, None] != 3)
    new["red"].attrs = stack["red"].attrs
    unknown = new.assign_coords(task=("sample", np.full(len(rows), "", object)))
    found = find_mines(home / "flow", unknown, tmp_path / "e", samples=1, steps=2)
    assert found.tools.generator.steps == 2
    assert found.rows == ()
    assert np.isnan(found.chance).all()
    assert found.lost == (("val_3", "no pixel is seen in both pictures"),)
    assert len(found.names) == len(rows) - 1


def test_runs_on_other_regions_are_judged_together(evidence, tmp_path):
    earlier = read_scores(evidence)
    count = sum(part == "test" for part in earlier["part"])
    holds = np.arange(40) % 2.0
    truth = SiteTruth(holds, np.full(40, "south"), np.arange(40))
    rows = site_rows({"all": holds, "latents": -holds, "other": holds}, truth, ("regions", 0.01, 0), [earlier])
    found = {(row.net, row.part, row.metric): row.value for row in rows}
    assert found["all", "test", "n"] == 40 + count
    assert found["all", "region: south", "auroc"] == 1
    assert found["latents", "region: south", "auroc"] == 0
    assert ("other", "test", "n") not in found  # not all runs have it
    rng = np.random.default_rng(0)
    told = {"direct": rng.normal(size=40), "direct and scenarios": holds}
    rows = site_rows(told, truth, ("regions", 0.01, 0), [earlier])
    gains = {row.part: row for row in rows if row.metric == "gain: auroc"}
    assert set(gains) == {"test", "region: ", "region: south"}  # the other run knows of no regions
    assert gains["region: south"].low > 0.1
    with pytest.raises(OutputError, match="headscarp mining"):
        read_scores(tmp_path)


def test_simulated_scenarios_are_sites_too(tmp_path):
    few = {**TABLE["scenarios"], "tasks": ["no_change", "mining"], "futures": 1}
    scenes = build_domains(domains_recipe_from_dict({**TABLE, "scenarios": few}), tmp_path / "scenes.zarr", workers=1)
    small = {"base": 4, "levels": 1, "steps": 1}
    config = replace(chosen_configs(scenes, workers=1)[""], epochs=1, batch_size=16, net_arguments=small)
    fit(tmp_path / "scenes.zarr", net="flow", out=tmp_path / "flow", config=config)
    found = find_mines(tmp_path / "flow", scenes, tmp_path / "e", samples=1, against=["no_change"])
    assert found.simulated
    assert found.tools.tasks == ("mining", "no_change")
    tasks = scenes["task"].to_numpy()[found.at]
    np.testing.assert_array_equal(found.mine, [float(str(task) == "mining") for task in tasks])
    assert found.site(0).given(found.tools.generator, "mining").metadata is None  # days since would give the task away
