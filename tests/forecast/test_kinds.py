"""Classes of places from pairs of frames: how they are read, learned, judged, and refused."""

import os
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from pairs_world import BANDS, CLASSES, write_pairs
from series_world import series_world

from headscarp.assemble.domain_recipe import domains_recipe_from_dict, read_domains_recipe
from headscarp.assemble.domains import build_domains
from headscarp.core.band import Band
from headscarp.core.bundle import open_bundle
from headscarp.core.errors import RecipeError, SourceError, StackError
from headscarp.core.samples import class_codes, class_names
from headscarp.core.stack import open_stack
from headscarp.evaluation.kinds import KindSaid, KindTruth, kind_confusion, kind_truth, kind_values
from headscarp.evaluation.tables import read_table
from headscarp.nets import make_net
from headscarp.nets.batch import Batch
from headscarp.nets.net import Statistics
from headscarp.report.describe import describe
from headscarp.report.kinds import write_kinds_report
from headscarp.sources.inventory.pairs import read_pairs
from headscarp.tiles.splits import split_given, split_regions
from headscarp.tiles.statistics import class_shares
from headscarp.train.config import FitConfig
from headscarp.train.fit import fit
from headscarp.train.kinds import judge_kinds
from headscarp.train.plan import chosen_configs

RECIPES = Path(__file__).parents[2] / "recipes"
pytestmark = pytest.mark.filterwarnings("ignore:.* resamples had no")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("kinds")
    recipe = domains_recipe_from_dict(write_pairs(home), folder=home)
    stack = build_domains(recipe, home / "pairs.zarr", workers=1)
    config = chosen_configs(stack, workers=1)["kind"]
    fit(home / "pairs.zarr", net="kind", out=home / "kind", config=config)
    return home


def test_pairs_become_a_stack_of_two_frames_with_classes_and_parts(home):
    stack = open_stack(home / "pairs.zarr")
    assert stack.sizes["sample"] == 72
    assert stack["red"].dims == ("sample", "time", "y", "x")
    assert class_names(stack) == CLASSES
    assert class_codes(stack)[:4].tolist() == [0, 1, 2, 0]
    with h5py.File(home / "train.h5") as file:
        expected = file["x"][7, 1, 2] * np.float32(0.0001)
    expected[0, 0] = np.nan
    np.testing.assert_array_equal(stack["swir1"][7, 1].to_numpy(), expected)
    assert np.isnan(stack["red"][:, :, 0, 0].to_numpy()).all()
    assert (np.diff(stack["days"].to_numpy(), axis=1) > 0).all()
    assert (stack["days"].to_numpy() <= 0).all()
    assert describe(home / "pairs.zarr")["red"].startswith("continuous")


def test_neighbours_are_never_parted(home):
    stack = open_stack(home / "pairs.zarr")
    parts, groups = stack["part"].to_numpy(), stack["group"].to_numpy()
    assert set(parts) == {"train", "validation", "test"}
    assert not set(groups[parts == "train"]) & set(groups[parts == "validation"])
    assert 0.15 <= (parts == "validation").sum() / 48 <= 0.35


def test_a_planted_class_is_learned_and_judged_beside_its_opponents(home):
    evaluation = judge_kinds(home / "kind", home / "pairs.zarr", out=home / "metrics", workers=1)
    assert evaluation.value("accuracy").value > 0.8
    assert evaluation.value("auroc").value > 0.9
    assert evaluation.value("macro_f1", net="majority").value <= 1 / 3
    assert evaluation.value("auroc", net="majority").value == 0.5
    assert evaluation.value("accuracy", net="forest").value > 0.8
    assert {row.part for row in read_table(home / "metrics")} == {"train", "validation", "test"}
    page = write_kinds_report(evaluation, home / "metrics").read_text()
    assert "Who is taken for whom" in page
    assert "macro F1" in evaluation.text


def test_neither_dates_nor_positions_reach_the_net(home):
    stack = open_stack(home / "pairs.zarr").load()
    moved = stack.assign_coords(latitude=stack["latitude"] + 40, longitude=-stack["longitude"], cutoff=stack["cutoff"])
    moved["days"] = moved["days"] - 500
    said = [
        judge_kinds(home / "kind", s, parts=("test",), opponents=False).said["kind", "test"] for s in (stack, moved)
    ]
    np.testing.assert_array_equal(said[0].p, said[1].p)


def test_a_bundle_refuses_other_classes(home):
    stack = open_stack(home / "pairs.zarr").load()
    names = np.where(stack["class"] == "dig", "drill", stack["class"]).astype(object)
    with pytest.raises(StackError, match="trained on dig, fell, flood"):
        judge_kinds(home / "kind", stack.assign_coords({"class": ("sample", names)}), opponents=False)
    with pytest.raises(StackError, match="names 0 classes"):
        judge_kinds(home / "kind", stack.drop_vars("class"), opponents=False)
    with pytest.raises(StackError, match="learns classes of places, and there are 0"):
        make_net("kind", open_bundle(home / "kind").bands, resolution_m=10, statistics=Statistics())
    assert open_bundle(home / "kind").arguments["classes"] == list(CLASSES)


def test_places_of_unknown_class_teach_and_judge_nothing(home):
    stack = open_stack(home / "pairs.zarr").load()
    names = stack["class"].to_numpy().astype(object)
    names[:30], names[-6:] = "", ""
    half = stack.assign_coords({"class": ("sample", names)})
    assert len(kind_truth(half, range(72)).kind) == 36
    split = split_given(half)
    assert sum(class_shares(half, split).values()) == pytest.approx(1)
    said = judge_kinds(home / "kind", half, parts=("test",), opponents=False)
    assert said.value("n").value == 18


def test_the_first_and_the_last_frame_that_are_there_are_read():
    bands = (Band("a", "continuous", "1"),)
    statistics = Statistics({"a": 0.0}, {"a": 1.0}, classes={"x": 0.5, "y": 0.5})
    torch.manual_seed(0)
    net = make_net("kind", bands, resolution_m=10, statistics=statistics, arguments={"place_px": 8}).eval()
    x, valid = torch.randn(2, 5, 1, 8, 8), torch.ones(2, 8, 8, dtype=torch.bool)
    present = torch.tensor([[False, True, True, False, True]] * 2)
    with torch.no_grad():
        whole = net.predict(Batch(x, valid, present=present))
        two = net.predict(Batch(x[:, [1, 4]], valid))
        none = net.predict(Batch(x, valid, present=torch.zeros_like(present)))
    assert torch.equal(whole, two)
    assert none.isfinite().all()
    assert torch.allclose(whole[:, :2].sum(dim=1), torch.ones(2, 8, 8))


def test_metrics_of_classes_by_hand():
    truth = KindTruth(np.arange(4), np.array([0, 0, 1, 1]), np.array([""] * 4), np.arange(4), ("a", "b"))
    p = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.3, 0.7]])
    said = KindSaid(p, np.array([0.5, 0.5]), cut=0.4)
    values = {name: float(v[0]) for name, v in kind_values(said, truth, np.ones((1, 4))).items()}
    assert kind_confusion(said, truth).tolist() == [[1, 1], [0, 2]]
    assert values["accuracy"] == 0.75
    assert values["macro_f1"] == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert values["auroc"] == 1
    assert values["set_coverage"] == 1
    assert values["set_size"] == pytest.approx(5 / 4)
    rare = KindSaid(p, np.array([0.05, 0.95]))
    assert rare.said.tolist() == [0, 0, 0, 0]  # the rarer class gets the benefit of the doubt


def test_bad_pairs_are_refused(tmp_path):
    table = write_pairs(tmp_path, counts=(6, 3))
    files = [tmp_path / "train.h5", tmp_path / "val.h5"]
    assert len(read_pairs(files, tmp_path / "places.csv").ids) == 9
    with pytest.raises(SourceError, match="stands in the files twice"):
        read_pairs([files[0], files[0]], tmp_path / "places.csv")
    with pytest.raises(SourceError, match="has no column 'kind'"):
        read_pairs(files, tmp_path / "places.csv", class_column="kind")
    with pytest.raises(SourceError, match="cannot be read as HDF5"):
        read_pairs([tmp_path / "places.csv"], tmp_path / "places.csv")
    with pytest.raises(SourceError, match="cannot be read as CSV"):
        read_pairs(files, tmp_path / "none.csv")
    with h5py.File(tmp_path / "flat.h5", "w") as file:
        file["sample_id"], file["x"] = np.array(["a"], "S4"), np.zeros((1, 6, 16, 16), np.int16)
    with pytest.raises(SourceError, match=r"needed: \(1, 2, bands"):
        read_pairs([tmp_path / "flat.h5"], tmp_path / "places.csv")
    with h5py.File(tmp_path / "nameless.h5", "w") as file:
        file["x"] = np.zeros((1, 2, 3, 16, 16), np.int16)
    with pytest.raises(SourceError, match="has no array 'sample_id'"):
        read_pairs([tmp_path / "nameless.h5"], tmp_path / "places.csv")
    short = pd.read_csv(tmp_path / "places.csv")
    short.iloc[1:].to_csv(tmp_path / "short.csv", index=False)
    with pytest.raises(SourceError, match="does not know 1 of the pairs, such as 'train_0'"):
        read_pairs(files, tmp_path / "short.csv")
    pd.concat([short, short.iloc[:1]]).to_csv(tmp_path / "twice.csv", index=False)
    with pytest.raises(SourceError, match="has the pair 'train_0' twice"):
        read_pairs(files, tmp_path / "twice.csv")
    fewer = {**table, "pairs": {**table["pairs"], "bands": list(BANDS[:2])}}
    with pytest.raises(SourceError, match="frames of 3 planes"):
        build_domains(domains_recipe_from_dict(fewer, folder=tmp_path), tmp_path / "out.zarr")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"files": []}, "names no files"),
        ({"bands": ["red", "red"]}, "each once"),
        ({"group_deg": 0.0}, "group_deg"),
        ({"validation_share": 1.0}, "validation_share"),
        ({"files": [{"images": "a.h5", "part": "val"}]}, "part"),
        ({"bandz": []}, "bandz"),
    ],
)
def test_bad_recipes_of_pairs_are_refused(tmp_path, change, said):
    table = write_pairs(tmp_path, counts=(3, 3))
    with pytest.raises(RecipeError, match=said):
        domains_recipe_from_dict({**table, "pairs": {**table["pairs"], **change}})


def test_places_of_simulated_domains_have_classes_too(tmp_path):
    stack = series_world(36)
    names = np.array(["felled", "thriving"], object)[np.arange(36) % 2]
    stack = stack.assign_coords({"class": ("sample", names)})
    config = FitConfig(epochs=2, batch_size=12, workers=1, net_arguments={"place_px": 16, "channels": 8})
    split = split_regions(stack, hold_out="india")
    fit(stack, net="kind", out=tmp_path / "kind", split=split, config=config)
    found = judge_kinds(tmp_path / "kind", stack, opponents=False, workers=1)
    assert found.value("n").value == (stack["region"] == "india").sum()
    assert found.truth["test"].names == ("felled", "thriving")
    assert np.isfinite(found.value("set_coverage").value)


def test_the_recipe_of_mines_reads_the_real_pairs():
    recipe = read_domains_recipe(RECIPES / "mining.toml")
    assert recipe.pairs is not None
    assert recipe.train["kind"]["net_arguments"]["place_px"] == 48
    if not os.environ.get("HEADSCARP_DATA"):
        pytest.skip("HEADSCARP_DATA names no folder of real data")
    pairs = read_pairs([recipe.file(one.images) for one in recipe.pairs.files], recipe.file(recipe.pairs.table))
    assert len(pairs.ids) == 634
    assert pairs.shape == (len(recipe.pairs.bands), 48, 48)
    assert pairs.classes.count("mining_emergence") == 444
    assert pairs.pixels(633).shape == (2, 6, 48, 48)
