"""Laws of the learning rate over a training, and of the average of the weights; both go on exactly after a kill."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from headscarp.core.errors import RecipeError
from headscarp.nets import NETS
from headscarp.train import loop
from headscarp.train.averaging import Average
from headscarp.train.config import FitConfig
from headscarp.train.devices import start_fabric
from headscarp.train.lesson import Ground
from headscarp.train.rates import WARM, step_rate
from headscarp.train.stage import trained_net

CONFIG = FitConfig(epochs=4, tile_px=64, batch_size=4, learning_rate=0.05, schedule="poly", average=0.9)


def test_poly_rises_then_falls_to_nothing_and_halving_ignores_the_way():
    settings = CONFIG.for_loop(NETS["llr"].schedule)
    rates = np.array([step_rate(settings, 1.0, done) for done in np.linspace(0, 4, 401)])
    top = int(rates.argmax())
    assert (np.diff(rates[: top + 1]) > 0).all()
    assert (np.diff(rates[top:]) < 0).all()
    assert top / 400 == pytest.approx(WARM, abs=0.01)
    assert rates[-1] == 0
    assert 0.9 * 0.05 < rates.max() <= 0.05
    halving = replace(settings, schedule="halve")
    assert {step_rate(halving, 0.3, done) for done in (0, 1.5, 4)} == {0.3}


def test_poly_goes_to_its_end_unless_told_otherwise():
    schedule = NETS["unet"].schedule
    assert FitConfig(epochs=40, schedule="poly").resolved(schedule).stop_after == 40
    assert FitConfig(epochs=40, schedule="poly", stop_after=5).resolved(schedule).stop_after == 5
    assert FitConfig(epochs=40).resolved(schedule).stop_after == schedule.stop_after


def test_the_average_is_that_of_the_weights_and_forgets_the_first():
    net = torch.nn.Linear(1, 1, bias=False)
    average = Average(net, 0.99)
    torch.nn.init.constant_(net.weight, 3.0)
    for _ in range(40):
        average.update()
    assert average.weights["weight"].item() == pytest.approx(3.0, abs=1e-3)
    torch.nn.init.constant_(net.weight, 5.0)
    average.update()
    with average.in_place():
        assert 3.0 < net.weight.item() < 3.5
    assert net.weight.item() == 5.0


@pytest.mark.parametrize("value", [1.0, -0.1, float("nan")])
def test_averages_that_cannot_be_are_refused(value):
    with pytest.raises(RecipeError, match="average"):
        FitConfig(average=value)
    with pytest.raises(RecipeError, match="did you mean 'poly'"):
        FitConfig(schedule="polly")


@pytest.mark.parametrize("config", [CONFIG, replace(CONFIG, zoom=1.5, light=0.2, light_bands=["elevation"])])
def test_an_interrupted_training_goes_on_to_the_same_weights_and_history(config, world, blocks, tmp_path, monkeypatch):
    ground, fabric = Ground(world, blocks), start_fabric(config)
    whole, standing = trained_net(ground, "nn", config, fabric=fabric)
    kept, save = [], loop.save_checkpoint

    def stopped(*given, **more):
        save(*given, **more)
        kept.append(given)
        if len(kept) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop, "save_checkpoint", stopped)
        with pytest.raises(KeyboardInterrupt):
            trained_net(ground, "nn", config, fabric=fabric, folder=tmp_path)
    resumed, after = trained_net(ground, "nn", config, fabric=fabric, folder=tmp_path)
    assert str(after.history) == str(standing.history)  # NaN is NaN
    for (name, there), (_, here) in zip(whole.state_dict().items(), resumed.state_dict().items(), strict=True):
        assert torch.equal(there, here), name


def test_what_is_judged_and_kept_is_the_average(world, blocks):
    ground, fabric = Ground(world, blocks), start_fabric(CONFIG)
    plain, _ = trained_net(ground, "llr", replace(CONFIG, average=0.0), fabric=fabric)
    averaged, standing = trained_net(ground, "llr", CONFIG, fabric=fabric)
    assert not all(torch.equal(a, b) for a, b in zip(plain.parameters(), averaged.parameters(), strict=True))
    assert standing.history[0]["learning_rate"] < standing.history[1]["learning_rate"]
