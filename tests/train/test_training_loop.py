from dataclasses import replace

import numpy as np
import pytest
import torch

from headscarp.core.errors import DeviceError, SplitError, TrainingError
from headscarp.tiles.splits import PARTS
from headscarp.tiles.tiling import halo_of
from headscarp.train.config import FitConfig
from headscarp.train.devices import start_fabric
from headscarp.train.lesson import Ground, make_lesson
from headscarp.train.loop import train, validate
from headscarp.train.stage import trained_net

CONFIG = FitConfig(epochs=4, tile_px=64, batch_size=4, learning_rate=0.05)


@pytest.fixture(scope="module")
def ground(world, blocks):
    return Ground(world, blocks)


@pytest.fixture(scope="module")
def fabric():
    return start_fabric(CONFIG)


def lesson_and_net(ground, name="llr", config=CONFIG, fabric=None):
    net, _ = trained_net(ground, name, replace(config, epochs=0), fabric=fabric)
    return make_lesson(ground, net, config), net, config.for_loop(type(net).schedule)


@pytest.mark.parametrize("name", ["slope", "llr", "nn"])
def test_loss_falls_and_beats_the_constant(ground, fabric, name):
    _, standing = trained_net(ground, name, CONFIG, fabric=fabric)
    first, last = standing.history[0], standing.history[-1]
    assert last["loss"] < first["loss"]
    assert standing.best_nll < 0.9 * first["constant_nll"]


def test_the_net_ends_with_the_weights_of_its_best_epoch(ground, fabric):
    wild = replace(CONFIG, learning_rate=8.0, clip_norm=None, epochs=6, patience=6)
    net, standing = trained_net(ground, "llr", wild, fabric=fabric)
    assert standing.best_epoch < 6
    settings = wild.for_loop(type(net).schedule)
    nll = validate(net, make_lesson(ground, net, wild), settings, fabric=fabric).nll
    assert nll == standing.best_nll == min(row["validation_nll"] for row in standing.history)
    assert nll < standing.history[-1]["validation_nll"]


def test_validation_is_at_natural_prevalence_over_every_pixel_once(ground, fabric):
    lesson, net, settings = lesson_and_net(ground, "prevalence", fabric=fabric)
    constant = validate(net, lesson, settings, fabric=fabric).constant
    world, shape = ground.stack, ground.split.shape
    codes = ground.split.codes(lesson.validation[0].window._replace(row=0, col=0, height=shape[0], width=shape[1]))
    counts = (codes == 1 + PARTS.index("validation")) & (world["valid"].to_numpy() == 1)
    p = world["landslide"].to_numpy()[counts].mean()
    assert constant == pytest.approx(-p * np.log(p) - (1 - p) * np.log1p(-p), rel=1e-9)
    assert {tile.split for tile in lesson.validation} == {"validation"}


def test_test_pixels_change_nothing(ground, fabric):
    """Scaling test features and turning test labels round leaves every weight as it was, scaling included."""
    spoilt = ground.stack.copy(deep=True)
    whole = type(ground.split.parts[0].window)(0, 0, *ground.split.shape)
    test = ground.split.codes(whole) == 1 + PARTS.index("test")
    spoilt["slope"].values[test] *= 50
    spoilt["elevation"].values[test] += 7000
    spoilt["landslide"].values[test] = 1 - spoilt["landslide"].values[test]
    config = replace(CONFIG, epochs=2)
    a, b = (trained_net(g, "llr", config, fabric=fabric)[0] for g in (ground, Ground(spoilt, ground.split)))
    for (name, there), (_, here) in zip(a.state_dict().items(), b.state_dict().items(), strict=True):
        assert torch.equal(there, here), name


def test_global_random_state_is_left_alone(ground, fabric):
    before = torch.get_rng_state()
    trained_net(ground, "nn", replace(CONFIG, epochs=1), fabric=fabric)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
def test_a_loss_that_is_not_finite_is_an_error_that_says_what_to_try(ground, fabric, optimiser):
    lesson, net, _ = lesson_and_net(ground, fabric=fabric)
    settings = replace(CONFIG, optimiser=optimiser).for_loop(type(net).schedule)
    net.losses = lambda batch: {"nll": batch.x.sum() * float("nan") * net.first.bias.sum()}
    with pytest.raises(TrainingError, match=rf"loss became nan in epoch 1 \({optimiser}, .*try learning_rate"):
        train(net, lesson, settings, fabric=fabric)


def test_a_part_without_landslides_is_refused(ground, fabric):
    bare = ground.stack.copy(deep=True)
    whole = type(ground.split.parts[0].window)(0, 0, *ground.split.shape)
    bare["landslide"].values[ground.split.codes(whole) == 2] = 0
    with pytest.raises(SplitError, match="validation part of the split holds no landslide"):
        trained_net(Ground(bare, ground.split), "llr", CONFIG, fabric=fabric)


def test_mixed_precision_trains_too_and_elevations_are_not_rounded(ground):
    config = replace(CONFIG, precision="bf16-mixed", epochs=2)
    lesson, net, settings = lesson_and_net(ground, config=config, fabric=start_fabric(config))
    seen, plain = [], net.losses
    net.losses = lambda batch: seen.append(batch.x) or plain(batch)
    standing = train(net, lesson, settings, fabric=start_fabric(config))
    elevation = seen[0][:, 0]
    assert not torch.equal(elevation.nan_to_num(), elevation.nan_to_num().bfloat16().float())
    assert standing.best_nll < standing.history[0]["constant_nll"]


def test_tiles_keep_to_the_net_and_to_small_rasters(ground, fabric):
    _, cnn, _ = lesson_and_net(ground, "cnn", fabric=fabric)
    lesson = make_lesson(ground, cnn, FitConfig())
    assert {(t.window.height, t.halo) for t in lesson.training} == {(128, 64)}
    assert make_lesson(ground, cnn, FitConfig(context_px=10**6)).training[0].halo == halo_of(cnn)
    assert make_lesson(ground, cnn, FitConfig(tile_px=50)).training[0].window.height % cnn.align == 0


def test_memory_that_runs_out_halves_the_batch_and_changes_no_step(ground, fabric, caplog):
    def trained(holds):
        lesson, net, settings = lesson_and_net(ground, fabric=fabric)
        plain, sizes = net.losses, []

        def losses(batch):
            sizes.append(len(batch.x))
            if len(batch.x) > holds:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 96.00 MiB")
            return plain(batch)

        net.losses = losses
        standing = train(net, lesson, replace(settings, epochs=2), fabric=fabric, label="")
        return net, standing, sizes

    whole, wanted, _ = trained(4)
    assert "memory ran out" not in caplog.text
    halved, found, sizes = trained(1)
    assert sizes[:3] == [4, 2, 1]
    assert "memory ran out with 2 tiles at once; going on with 1 at once" in caplog.text
    assert found.best_nll == pytest.approx(wanted.best_nll, rel=1e-5)
    for (name, a), (_, b) in zip(whole.state_dict().items(), halved.state_dict().items(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5, msg=name)
    with pytest.raises(DeviceError, match=r"one tile does not fit.*tile_px"):
        trained(0)
