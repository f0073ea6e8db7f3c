import math

import pytest
import torch

from headscarp.core.errors import TrainingError
from headscarp.nets.net import Schedule
from headscarp.train.config import FitConfig
from headscarp.train.standing import Standing, Validation, goes_on, judge

NET = torch.nn.Linear(1, 1)


def after(nlls, **settings):
    """Where a training stands after epochs with these validation NLLs."""
    loop = FitConfig(learning_rate=1.0, epochs=100, **settings).for_loop(Schedule())
    standing = Standing(1.0)
    for i, nll in enumerate(nlls):
        with torch.no_grad():
            NET.bias.fill_(i)
        judge(standing, NET, loop, loss=0.5, found=Validation(nll, 100, 14, 10, 7))
    return standing, loop


def test_the_rate_is_halved_after_patience_epochs_without_improvement():
    assert after([0.3, 0.31])[0].learning_rate == 1.0
    assert after([0.3, 0.31, 0.3])[0].learning_rate == 0.5
    assert after([0.3, 0.31, 0.29, 0.3])[0].learning_rate == 1.0
    assert after([0.3, 0.31, 0.32, 0.33, 0.34])[0].learning_rate == 0.25
    assert after([0.3, 0.31, 0.32], patience=3)[0].learning_rate == 1.0


def test_the_best_weights_are_kept_not_the_last():
    standing, _ = after([0.5, 0.3, 0.4, 0.35])
    assert (standing.best_epoch, standing.best_nll) == (2, 0.3)
    assert standing.best["bias"].item() == 1


def test_training_stops_early():
    assert goes_on(*after([0.3] + [0.4] * 5))
    assert not goes_on(*after([0.3] + [0.4] * 6))
    assert not goes_on(*after([0.3, 0.4], stop_after=1))


def test_history_tells_skill_against_the_constant():
    row = after([0.3])[0].history[0]
    assert row["skill"] == pytest.approx(1 - 0.3 / row["constant_nll"])
    assert row["epoch"] == 1


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_validation_nll_that_is_not_finite_says_what_to_try(value):
    with pytest.raises(TrainingError, match=r"in epoch 2 .* try learning_rate = 0\.125"):
        after([0.3, value])


def test_calls_are_counted_as_by_hand():
    """100 pixels, 14 landslides, 10 called, 7 of them rightly: 3 false alarms, 7 missed."""
    found = Validation(0.3, 100, 14, 10, 7)
    assert found.accuracy == pytest.approx(0.9)
    assert found.precision == pytest.approx(0.7)
    assert found.recall == pytest.approx(0.5)
    assert found.iou == pytest.approx(7 / 17)
    assert found.constant == pytest.approx(-0.14 * math.log(0.14) - 0.86 * math.log(0.86))
    nothing = Validation(0.3, 100, 14, 0, 0)
    assert nothing.accuracy == pytest.approx(0.86)
    assert math.isnan(nothing.precision)
    assert nothing.recall == nothing.iou == 0
