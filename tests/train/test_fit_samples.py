"""Fitting, judging and comparing on chips, end to end: from files to a table, resampled chip by chip."""

import numpy as np
import pytest

from headscarp.assemble.build import build
from headscarp.assemble.recipe import recipe_from_dict
from headscarp.core.errors import RecipeError
from headscarp.evaluation.evaluate import evaluate
from headscarp.report.comparison import write_comparison_report
from headscarp.report.evaluation import write_evaluation_report
from headscarp.report.run import run_recipe
from headscarp.tiles.splits import read_split
from headscarp.train.compare import compare
from headscarp.train.config import FitConfig
from headscarp.train.fit import fit
from headscarp.train.plan import chosen_split

SIDE = 32
CONFIG = FitConfig(
    epochs=3, batch_size=4, tile_px=SIDE, context_px=32, learning_rate=0.02, workers=1, net_arguments={"base": 2}
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("chips")


@pytest.fixture(scope="module")
def stack(folder):
    """Chips in which bright squares are slides: 24 to train with, 8 to judge."""
    rng = np.random.default_rng(0)
    for number in range(32):
        grey = rng.normal(80, 10, (1, SIDE, SIDE))
        mask = np.zeros((SIDE, SIDE), np.uint8)
        row, col = rng.integers(2, SIDE - 12, 2)
        mask[row : row + 8, col : col + 8] = 1
        place = folder / ("train" if number < 24 else "test")
        place.mkdir(exist_ok=True)
        np.savez(place / f"chip_{number}.npz", pixels=(grey + 40 * mask).astype(np.float32), mask=mask)
    chips = {"images": "*/*.npz#pixels", "masks": "*/*.npz#mask", "bands": ["grey"]}
    chips |= {"parts": {"train": "train", "test": "test"}}
    return build(recipe_from_dict({"name": "chips", "chips": chips}, folder=folder), folder / "chips.zarr", workers=1)


def test_a_net_learns_chips_and_is_judged_on_the_given_part(stack, folder, tmp_path):
    bundle = fit(stack, net="unet", out=tmp_path / "unet", config=CONFIG)
    split = read_split(tmp_path / "unet" / "split.geojson")
    assert split.kind == "given"
    assert [sum(p.name == name for p in split.parts) for name in ("train", "validation", "test")] == [22, 2, 8]
    evaluation = evaluate(bundle, stack, workers=1, out=tmp_path / "scores")
    row = evaluation.value("auroc")
    assert row.value > 0.8
    assert len(evaluation.parts["test"].blocks) == 8  # a chip each
    assert row.low < row.value <= row.high
    page = write_evaluation_report(evaluation, tmp_path / "unet", folder / "chips.zarr", tmp_path)
    assert "The parts are those that the set came with" in page.read_text(encoding="utf-8")


@pytest.mark.filterwarnings("ignore::headscarp.core.errors.HeadscarpWarning")
def test_nets_and_tables_compare_on_chips(stack, tmp_path):
    comparison = compare(
        stack,
        ["prevalence", "threshold"],
        splits=["given"],
        out=tmp_path / "compare",
        configs={"": FitConfig(workers=1)},
        workers=1,
    )
    found = {(r.net, r.metric): r.value for r in comparison.rows if r.part == "test"}
    assert found["threshold", "f1"] > found["prevalence", "f1"]
    assert found["threshold", "n"] == 8 * SIDE * SIDE
    assert write_comparison_report(comparison, stack, tmp_path / "compare").is_file()


def test_samples_are_parted_as_given_unless_asked_otherwise(stack):
    assert chosen_split(stack).kind == "given"
    assert chosen_split(stack, "random", seed=1).kind == "random"
    assert chosen_split(stack.drop_vars("part")).kind == "random"


def test_a_run_of_chips_is_refused_before_any_work(tmp_path):
    recipe = tmp_path / "chips.toml"
    recipe.write_text('name = "chips"\n[chips]\nimages = "*.png"\nbands = ["grey"]\n')
    with pytest.raises(RecipeError, match="a run ends in a map of one place"):
        run_recipe(recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()
