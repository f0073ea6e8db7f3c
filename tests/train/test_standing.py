import math

import pytest
import torch

from headscarp.core.errors import TrainingError
from headscarp.nets.net import Schedule
from headscarp.train.config import FitConfig
from headscarp.train.standing import Standing, goes_on, judge

NET = torch.nn.Linear(1, 1)


def after(nlls, **settings):
    """Where a training stands after epochs with these validation NLLs."""
    loop = FitConfig(learning_rate=1.0, epochs=100, **settings).for_loop(Schedule())
    standing = Standing(1.0)
    for i, nll in enumerate(nlls):
        with torch.no_grad():
            NET.bias.fill_(i)
        judge(standing, NET, loop, loss=0.5, nll=nll, constant=0.4)
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
    assert row["skill"] == pytest.approx(1 - 0.3 / 0.4)
    assert row["epoch"] == 1


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_validation_nll_that_is_not_finite_says_what_to_try(value):
    with pytest.raises(TrainingError, match=r"in epoch 2 .* try learning_rate = 0\.125"):
        after([0.3, value])
