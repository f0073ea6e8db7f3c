"""Chips as they come: the same picture in two parts, black ones, and a part without a landslide. Nothing stops, and it
is told."""

import html

import numpy as np
import pytest

from headscarp.assemble.build import build
from headscarp.assemble.recipe import recipe_from_dict
from headscarp.core.errors import HeadscarpWarning
from headscarp.evaluation.evaluate import evaluate
from headscarp.report.comparison import write_comparison_report
from headscarp.report.evaluation import write_evaluation_report
from headscarp.train.compare import compare
from headscarp.train.config import FitConfig
from headscarp.train.fit import fit

SIDE, BLACK = 32, (3, 13)
CONFIG = FitConfig(epochs=1, batch_size=4, tile_px=SIDE, context_px=0, sampling="uniform", workers=1,
                   net_arguments={"base": 2})  # fmt: skip


def build_chips(folder, *, slides_to_judge):
    """16 chips: 12 to train with, 4 to judge, of which one is a copy of the first and one is black; as is one of 12."""
    rng = np.random.default_rng(0)
    for number in range(16):
        grey, mask = rng.normal(80, 10, (1, SIDE, SIDE)), np.zeros((SIDE, SIDE), np.uint8)
        row, col = rng.integers(2, SIDE - 12, 2)
        if number < 12 or slides_to_judge:
            mask[row : row + 8, col : col + 8] = 1
        grey = (grey + 40 * mask).astype(np.float32)
        if number == 0:
            first = grey
        grey = first if number == 15 else np.zeros_like(grey) if number in BLACK else grey
        (folder / ("train" if number < 12 else "test")).mkdir(exist_ok=True)
        np.savez(folder / ("train" if number < 12 else "test") / f"chip_{number:02d}.npz", pixels=grey, mask=mask)
    chips = {"images": "*/*.npz#pixels", "masks": "*/*.npz#mask", "bands": ["grey"]}
    chips |= {"parts": {"train": "train", "test": "test"}}
    with pytest.warns(HeadscarpWarning) as told:
        stack = build(recipe_from_dict({"name": "c", "chips": chips}, folder=folder), folder / "chips.zarr", workers=1)
    assert [w for w in told if "2 chips are black" in str(w.message)]
    assert [w for w in told if "stand in two parts" in str(w.message)]
    return stack


@pytest.mark.filterwarnings("ignore::headscarp.core.errors.HeadscarpWarning")
@pytest.mark.parametrize("slides_to_judge", [True, False])
def test_a_comparison_survives_bad_chips_and_tells(tmp_path, slides_to_judge):
    stack = build_chips(tmp_path, slides_to_judge=slides_to_judge)
    nets = ["prevalence", "threshold", "unet", "anomaly"]
    found = compare(stack, nets, splits=["given"], out=tmp_path / "c", configs={"": CONFIG, "prevalence": FitConfig()})
    value = {(r.net, r.metric): r.value for r in found.rows if r.part == "test"}
    assert all(value[net, "n"] == 3 * SIDE * SIDE for net in nets), "a black chip counts for nothing"
    for metric in ("auroc", "average_precision", "recall", "f1", "iou", "mean_iou"):
        assert all(np.isfinite(value[net, metric]) == slides_to_judge for net in nets), metric
    assert all(np.isfinite(value[net, "accuracy"]) for net in nets)
    (twins,) = [s for s in found.sentences if "look alike" in s]
    assert "1 pair of chips that look alike stands in two parts (" in twins
    assert bool([s for s in found.sentences if "no landslide at all" in s]) == (not slides_to_judge)
    page = write_comparison_report(found, stack, tmp_path / "c").read_text(encoding="utf-8")
    assert twins in html.unescape(page)


@pytest.mark.filterwarnings("ignore::headscarp.core.errors.HeadscarpWarning")
def test_an_evaluation_without_a_landslide_tells(tmp_path):
    stack = build_chips(tmp_path, slides_to_judge=False)
    bundle = fit(stack, net="llr", out=tmp_path / "llr", config=FitConfig(epochs=1, workers=1, tile_px=SIDE))
    found = evaluate(bundle, stack, workers=1, out=tmp_path / "scores")
    assert np.isnan(found.value("auroc").value)
    assert "look alike" in found.text
    assert "no landslide at all" in found.text
    assert write_evaluation_report(found, tmp_path / "llr", tmp_path / "chips.zarr", tmp_path / "scores").is_file()
