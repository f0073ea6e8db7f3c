"""Unlabelled is never "no landslide": not in a loss, a sample, a split, a table, a score or a calibration."""

import numpy as np
import pytest
import torch

from headscarp.core.calibration import fit_isotonic, fit_platt, fit_temperature
from headscarp.core.stack import LABEL, feature_bands
from headscarp.core.tile import Tile, Window
from headscarp.evaluation.evaluate import evaluate_predictor
from headscarp.evaluation.intervals import BlockScores
from headscarp.evaluation.metrics import METRICS
from headscarp.evaluation.streaming import ScoreHistogram
from headscarp.nets.losses import nll
from headscarp.tiles.sampling import tile_positives
from headscarp.tiles.splits import split_blocks
from headscarp.tiles.statistics import labelled_table, training_statistics
from headscarp.train.tables import fit_table_model

HIDDEN = np.s_[60:150, 40:170]


@pytest.fixture(scope="module")
def partly(world):
    """The world with a large part of it unlabelled, landslides of that part too."""
    label = world[LABEL].values.copy()
    label[HIDDEN] = 255
    return world.assign({LABEL: (world[LABEL].dims, label, world[LABEL].attrs)})


@pytest.fixture(scope="module")
def split(partly):
    return split_blocks(partly, block_size_m=480, seed=1)


def counted(stack):
    return (stack["valid"].values == 1) & (stack[LABEL].values != 255)


def test_no_loss_and_no_gradient_comes_from_unlabelled_pixels():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 8, 8, generator=generator, requires_grad=True)
    y = torch.randint(0, 2, (2, 8, 8), generator=generator, dtype=torch.uint8)
    y[:, ::2] = 255
    loss = nll(logits, y)
    loss.backward()
    labelled = y != 255
    assert (logits.grad[~labelled] == 0).all()
    assert (logits.grad[labelled] != 0).all()
    alone = torch.nn.functional.binary_cross_entropy_with_logits(logits[labelled], y[labelled].float())
    torch.testing.assert_close(loss, alone)


def test_prevalence_is_that_of_labelled_pixels(partly, split):
    bands = feature_bands(partly)
    label = partly[LABEL].values[counted(partly)]
    assert training_statistics(partly, None, bands).prevalence == pytest.approx((label == 1).mean())
    train = counted(partly) & (split.codes(Window(0, 0, 192, 192)) == 1)
    found = training_statistics(partly, split, bands).prevalence
    assert found == pytest.approx((partly[LABEL].values[train] == 1).mean())


def test_tiles_without_a_label_hold_no_landslide_and_no_negative(partly):
    inside = Tile(Window(70, 50, 40, 40), 0, 0, "", "hidden")
    whole = Tile(Window(0, 0, 192, 192), 0, 0, "", "all")
    positives = tile_positives(partly, [inside, whole])
    assert positives[0] == 0
    assert positives[1] == ((partly[LABEL].values == 1) & (partly["valid"].values == 1)).sum()


def test_splits_share_out_what_is_labelled(partly, split):
    assert sum(part.positives for part in split.parts) == (partly[LABEL].values[counted(partly)] == 1).sum()


@pytest.mark.parametrize("name", ["forest", "logistic", "threshold"])
def test_what_hides_under_255_changes_no_table_model(partly, split, name):
    """Other bands under unlabelled pixels, and the model and its scores are the same."""
    _, y, *_ = labelled_table(partly, feature_bands(partly))
    assert len(y) == counted(partly).sum()
    assert set(np.unique(y)) == {0, 1}
    slope = partly["slope"].values.copy()
    slope[HIDDEN] = 77.0
    other = partly.assign(slope=(("y", "x"), slope, partly["slope"].attrs))
    a, b = (fit_table_model(name, stack, split, seed=1) for stack in (partly, other))
    for row, same in zip(a.rows, b.rows, strict=True):
        np.testing.assert_equal(row.value, same.value)
    assert a.value("n", "train").value == (counted(partly) & (split.codes(Window(0, 0, 192, 192)) == 1)).sum()


def test_scores_count_labelled_pixels_only(partly, split):
    def always_sure(batch):
        """Right where there is a label, and loudly wrong to whoever takes 255 for "none"."""
        y = batch.y.numpy()
        return np.where(y == 0, 0.01, 0.99).astype(np.float32)

    found = evaluate_predictor(always_sure, partly, split, bands=feature_bands(partly), halo_px=0, name="sure")
    assert found.value("precision").value == 1
    assert found.value("accuracy").value == 1
    test = counted(partly) & (split.codes(Window(0, 0, 192, 192)) == 3)
    assert found.value("n").value == test.sum()
    assert found.parts["test"].blocks.pixels(found.parts["test"].blocks.names).sum() == test.sum()


@pytest.mark.parametrize("fit", [fit_temperature, fit_platt, fit_isotonic])
def test_no_calibration_and_no_metric_moves_by_unlabelled_pixels(fit):
    rng = np.random.default_rng(2)
    p, y = rng.random(4000).astype(np.float32), (rng.random(4000) < 0.3).astype(np.uint8)
    more_p = np.concatenate([p, np.full(9000, 0.97, np.float32)])
    more_y = np.concatenate([y, np.full(9000, 255, np.uint8)])
    few, many = ScoreHistogram.of(p, y), ScoreHistogram.of(more_p, more_y)
    np.testing.assert_array_equal(fit(few).apply(p), fit(many).apply(p))
    blocks, more = BlockScores(), BlockScores()
    blocks.update("a", p, y)
    more.update("a", more_p, more_y)
    for name, metric in METRICS.items():
        np.testing.assert_equal(float(metric(few.counts(0.5))), float(metric(many.counts(0.5))), err_msg=name)
        np.testing.assert_equal(float(metric(blocks.counts())), float(metric(more.counts())), err_msg=name)
