"""Nets that label patches are counted in patches, nets that give ranks have no likelihood, and both stand in one
comparison: in tables of their own, on the same ground."""

import csv
from dataclasses import replace

import numpy as np
import pytest
import rasterio
from safetensors.torch import save_file

from headscarp.core.bundle import open_bundle
from headscarp.core.errors import HeadscarpWarning
from headscarp.core.tile import Window
from headscarp.evaluation.evaluate import evaluate
from headscarp.evaluation.metrics import OF_PROBABILITIES
from headscarp.nets._torchvision import import_with_torchvision
from headscarp.prediction.raster import predict
from headscarp.report.comparison import write_comparison_report
from headscarp.report.detection import MAJORITY, detection_tables
from headscarp.tiles.partition import PARTS
from headscarp.train.compare import compare
from headscarp.train.config import FitConfig
from headscarp.train.fit import fit

SIDE, SHARE = 16, 0.15
SMALL = {"patch_px": SIDE, "share": SHARE, "encoder": "test_resnet"}
PATCH = FitConfig(epochs=1, batch_size=4, sampling="uniform", net_arguments=SMALL, workers=1)
CONFIGS = {"patch": PATCH, "spectral": FitConfig(net_arguments={"of": ["slope"]})}
OPTIONS = {"block_size_m": 480.0, "buffer_m": 60.0, "seed": 1}


def labels_of_patches(stack, split, part):
    """(rows, cols) uint8 by a plain loop: 1 where enough valid pixels of the part are landslides, 255 where none is."""
    shape = stack["landslide"].shape
    counts = (split.codes(Window(0, 0, *shape)) == PARTS.index(part) + 1) & (stack["valid"].values == 1)
    found = np.full((shape[0] // SIDE, shape[1] // SIDE), 255, np.uint8)
    for row, col in np.ndindex(found.shape):
        here = (slice(row * SIDE, (row + 1) * SIDE), slice(col * SIDE, (col + 1) * SIDE))
        if counts[here].any():
            found[row, col] = stack["landslide"].values[here][counts[here]].mean() > SHARE
    return found


def test_each_labelled_patch_is_counted_once(world, blocks, tmp_path):
    bundle = fit(world, net="patch", split=blocks, out=tmp_path / "patch", config=PATCH)
    found = evaluate(bundle, world, workers=1)
    assert found.stride == SIDE
    with rasterio.open(predict(bundle, world, tmp_path / "map.tif", workers=1)) as file:
        drawn = file.read(1)
    by_patch = np.nanmax(drawn.reshape(12, SIDE, 12, SIDE), axis=(1, 3))  # (12, 12)
    spread = by_patch.repeat(SIDE, 0).repeat(SIDE, 1)
    assert np.array_equal(np.where(np.isfinite(drawn), spread, np.nan), drawn, equal_nan=True), "one value a patch"
    for part in PARTS:
        wanted = labels_of_patches(world, blocks, part)
        counted = wanted != 255
        called, true = by_patch[counted] >= bundle.threshold, wanted[counted] == 1
        assert found.value("n", part).value == counted.sum()
        assert found.value("prevalence", part).value == pytest.approx(true.mean())
        # the patch that the threshold was set at may fall on either side of the edge of its bin
        assert found.value("accuracy", part).value == pytest.approx((called == true).mean(), abs=1.5 / counted.sum())
        assert found.value("recall", part).value == pytest.approx(called[true].mean(), abs=1.5 / true.sum())
    assert f"of the patches of {SIDE} x {SIDE} pixels" in found.text


def test_weights_that_a_net_began_with_are_told_by_the_bundle(world, blocks, tmp_path):
    encoder = import_with_torchvision("timm").create_model("test_resnet", pretrained=False, in_chans=3, num_classes=0)
    save_file(encoder.state_dict(), tmp_path / "w.safetensors", metadata={"license": "apache-2.0"})
    own = {**PATCH.net_arguments, "weights": str(tmp_path / "w.safetensors")}
    fit(world, net="patch", split=blocks, out=tmp_path / "patch", config=replace(PATCH, net_arguments=own))
    (tmp_path / "w.safetensors").unlink()
    bundle = open_bundle(tmp_path / "patch")
    assert bundle.made["pretrained"]["licence"] == "apache-2.0"
    assert len(bundle.made["pretrained"]["sha256"]) == 64
    assert "weights" not in bundle.arguments, "a trained net brings its own"
    assert np.isfinite(evaluate(bundle, world, parts=("test",), workers=1).value("nll").value)


def test_patches_of_one_class_are_told_and_do_not_stop_the_training(world, blocks, tmp_path):
    config = replace(PATCH, net_arguments={"patch_px": 64, "encoder": "test_resnet"})
    with pytest.warns(HeadscarpWarning, match="of one class: patch is not calibrated"):
        bundle = fit(world, net="patch", split=blocks, out=tmp_path / "patch", config=config)
    found = evaluate(bundle, world, parts=("test",), workers=1)
    assert found.value("prevalence").value == 1
    assert np.isnan(found.value("auroc").value)
    assert 'Always saying "landslide", the majority class, is right on 1.0000' in found.text


@pytest.fixture(scope="module")
def compared(world, tmp_path_factory):
    out = tmp_path_factory.mktemp("comparison") / "c"
    nets = ["prevalence", "patch", "threshold", "spectral"]
    return compare(world, nets, out=out, splits=("blocks",), split_options=OPTIONS, configs=CONFIGS, workers=1), out


def test_patches_and_pixels_are_never_compared(compared):
    found, _ = compared
    assert found.strides == {"prevalence": 1, "patch": SIDE, "threshold": 1, "spectral": 1}
    better = [s for s in found.sentences if " is better than " in s or " is not distinguishable " in s]
    assert better
    assert not [s for s in better if "patch" in s]
    majority = [s for s in found.sentences if "majority class" in s]
    assert len(majority) == 2
    assert "patches of 16 x 16 pixels; patch" in majority[1]


def test_ranks_have_no_likelihood(compared):
    found, _ = compared
    test = {(r.net, r.metric): r.value for r in found.rows if r.part == "test"}
    for metric in OF_PROBABILITIES:
        assert np.isnan(test["spectral", metric])
        assert np.isfinite(test["threshold", metric])
    for metric in ("auroc", "average_precision", "mean_iou", "f1"):
        assert np.isfinite(test["spectral", metric])
    assert not [s for s in found.sentences if "test nll" in s and "spectral" in s]
    assert [s for s in found.sentences if "test average_precision" in s and "spectral" in s]
    assert test["spectral", "n"] == test["threshold", "n"], "the same ground"


def test_the_two_tables_stand_beside_the_majority_class(compared, world):
    found, out = compared
    first, second = detection_tables(found)
    assert list(first.lines) == [
        (net, "blocks", part) for net in (MAJORITY, "patch") for part in ("train", "test")
    ]  # as in the paper
    assert [net for net, _, _ in second.lines] == [MAJORITY, "prevalence", "threshold", "spectral"]
    share = first.lines["patch", "blocks", "test"]["prevalence"].value
    assert first.lines[MAJORITY, "blocks", "test"]["accuracy"].value == pytest.approx(max(share, 1 - share))
    page = write_comparison_report(found, world, out).read_text(encoding="utf-8")
    assert "Table 1: classification of patches of 16 x 16 pixels" in page
    assert "Table 2: masks" in page
    rows = list(csv.DictReader((out / "masks.csv").read_text().splitlines()))
    written = {row["net"]: float(row["mean_iou"]) for row in rows}
    test = {r.net: r.value for r in found.rows if (r.part, r.metric) == ("test", "mean_iou")}
    assert written["threshold"] == test["threshold"]
    assert written[MAJORITY] == pytest.approx((1 - float(rows[0]["prevalence"])) / 2)
    assert (out / "patches.csv").read_text().splitlines()[0] == "net,split,part,accuracy,f1,precision,recall,prevalence"
