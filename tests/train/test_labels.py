"""Laws of several targets in one stack: each trained on its own label, from fresh weights, on one common split."""

from pathlib import Path

import numpy as np
import pytest

from headscarp.core.band import Band
from headscarp.core.bundle import open_bundle
from headscarp.core.errors import JournalError, StackError
from headscarp.core.stack import band_attrs
from headscarp.evaluation.evaluate import evaluate
from headscarp.tiles.splits import split_to_json
from headscarp.train.compare import compare
from headscarp.train.config import FitConfig
from headscarp.train.fit import fit
from headscarp.train.plan import chosen_split
from headscarp.train.search import search

CONFIG = FitConfig(epochs=2, tile_px=64, batch_size=4)
OPTIONS = {"block_size_m": 480.0, "buffer_m": 60.0, "seed": 1}


@pytest.fixture(scope="module")
def both(world):
    """The world with two labels: its own, called scarp, and another that follows rock of type 3."""
    stack = world.rename(landslide="scarp")
    rng = np.random.default_rng(5)
    deposit = (rng.random(stack.rock.shape) < np.where(stack.rock == 3, 0.3, 0.02)).astype(np.uint8)
    band = Band("deposit", "label")
    return stack.assign(deposit=(("y", "x"), deposit, band_attrs(band)))


@pytest.fixture(scope="module")
def bundles(both, tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("targets")
    split = chosen_split(both, **OPTIONS)
    for label in ("scarp", "deposit"):
        fit(both, net="llr", split=split, out=folder / label, label=label, config=CONFIG, cache=folder / "cache")
    return {label: folder / label for label in ("scarp", "deposit")}


def test_each_target_has_a_bundle_of_its_own_on_the_same_split(bundles):
    scarp, deposit = (open_bundle(bundles[label]) for label in ("scarp", "deposit"))
    assert (scarp.label, deposit.label) == ("scarp", "deposit")
    assert scarp.split == deposit.split
    assert any((scarp.weights[name] != deposit.weights[name]).any() for name in scarp.weights)


def test_a_target_learns_the_same_as_if_it_were_alone(world, both, bundles, tmp_path):
    split = chosen_split(both, **OPTIONS)
    alone = fit(world, net="llr", split=split, out=tmp_path / "alone", config=CONFIG)
    assert alone.label == "landslide"
    for name, array in open_bundle(bundles["scarp"]).weights.items():
        np.testing.assert_array_equal(array, alone.weights[name], err_msg=name)


def test_a_bundle_is_judged_by_its_own_label_unless_another_is_named(both, bundles):
    own = evaluate(bundles["deposit"], both, parts=("test",))
    named = evaluate(bundles["deposit"], both, parts=("test",), label="deposit")
    other = evaluate(bundles["deposit"], both, parts=("test",), label="scarp")
    assert own.value("nll").value == named.value("nll").value
    assert own.value("auroc").value > other.value("auroc").value


def test_another_label_is_another_job(both, bundles):
    with pytest.raises(JournalError):
        fit(both, net="llr", split=chosen_split(both, **OPTIONS), out=bundles["scarp"], label="deposit",
            config=CONFIG, resume=True)  # fmt: skip


def test_verbs_ask_which_label(both, tmp_path):
    with pytest.raises(StackError, match="2 labels: scarp, deposit"):
        fit(both, net="prevalence", out=tmp_path / "fit")
    with pytest.raises(StackError, match="2 labels"):
        search(both, net="llr", out=tmp_path / "search")
    with pytest.raises(StackError, match="2 labels"):
        compare(both, ["prevalence"], out=tmp_path / "compare")
    with pytest.raises(StackError, match="nearest is 'scarp'"):
        fit(both, net="prevalence", out=tmp_path / "fit", label="scarps", overwrite=True)


def test_compare_splits_by_all_labels_and_scores_one(both, tmp_path):
    out = tmp_path / "compare"
    found = compare(both, ["prevalence"], out=out, label="deposit", splits=("blocks",), split_options=OPTIONS)
    rate = next(row.value for row in found.rows if (row.part, row.metric) == ("train", "prevalence"))
    bundle = open_bundle(out / "runs" / "blocks-0" / "prevalence")
    assert bundle.label == "deposit"
    assert rate < 0.2
    assert dict(bundle.split) == split_to_json(chosen_split(both, **OPTIONS))
