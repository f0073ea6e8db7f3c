"""Laws of layers that nets of futures stand on: heights without a datum, extents of one scale, smooth noise."""

import pytest
import torch

from headscarp.nets.draws import smooth_fresh
from headscarp.nets.extents import Extents
from headscarp.nets.familiarity import KnownPlaces
from headscarp.nets.layers import HeightAround


def test_the_same_relief_stands_the_same_at_the_sea_and_on_a_plateau():
    torch.manual_seed(0)
    layer = HeightAround(1, 300.0)
    relief = torch.randn(1, 2, 70, 60).cumsum(2) * 0.01
    raised = relief.clone()
    raised[:, 1] += 7.0
    assert torch.allclose(layer(relief), layer(raised), atol=1e-3)
    assert layer(torch.full((1, 2, 60, 60), 3.0)).abs().max() < 1e-6


def test_height_on_a_tilted_plane_is_0_and_rises_with_it():
    z = (torch.arange(101.0)[:, None] * 0.1 + torch.zeros(101, 101))[None, None]
    seen = HeightAround(0, 100.0)(z)[0, 0]
    inside = slice(HeightAround.reach, -HeightAround.reach)
    assert seen[inside, inside].abs().max() < 1e-4
    assert seen[-1, 50] > 1
    assert seen[0, 50] < -1


def test_extents_have_mean_0_and_spread_1_under_each_task():
    torch.manual_seed(0)
    layer = Extents(3, 2).train()
    task = torch.arange(400) % 2
    level = torch.where(task == 0, 0.01, 10.0)[:, None, None, None]
    planes = level * (torch.randn(400, 2, 1, 1) + 5) + torch.zeros(400, 2, 4, 4)
    counts = torch.ones(400, 1, 4, 4)
    layer(planes, counts, task)
    said = layer.eval()(planes, counts, task)
    for code in (0, 1):
        of_task = said[task == code][:, :, 0, 0]
        assert of_task.mean(0).abs().max() < 1e-3
        assert (of_task.std(0) - 1).abs().max() < 0.01
    assert layer(planes, counts, torch.full((400,), 2)).abs().max() == 0  # of a task that was never seen
    assert torch.equal(said[:, :, 0, 0], said[:, :, 3, 2])


def trained_extents():
    """Of one task: three numbers, the first two of which go together, and one that never varies."""
    torch.manual_seed(0)
    layer, mixed = Extents(1, 4).train(), torch.randn(4000, 3)
    mixed[:, 1] = 0.8 * mixed[:, 0] + 0.6 * mixed[:, 1]
    planes = torch.cat([mixed * torch.tensor([0.1, 3.0, 1.0]) + 5, torch.ones(4000, 1)], dim=1)[:, :, None, None]
    layer(planes, torch.ones(4000, 1, 1, 1), torch.zeros(4000, dtype=torch.int64))
    return layer.eval()


def test_extents_that_follow_what_is_usual_end_as_varied_as_the_training_places_and_as_alike():
    layer, task = trained_extents(), torch.zeros(3000, dtype=torch.int64)
    x = torch.randn(3000, 4, 1, 1)
    for k in range(100):
        t = k / 100
        x = torch.lerp(x, layer.usual(x, task, t), 0.01 / (1 - t))
    held = torch.cov(x[:, :, 0, 0].T)
    wanted = torch.eye(4)
    wanted[0, 1] = wanted[1, 0] = 0.8
    wanted[3, 3] = 0
    assert (held - wanted).abs().max() < 0.12


def test_bundles_without_products_open_and_their_extents_go_each_for_itself():
    layer, x = trained_extents(), torch.randn(2, 4, 3, 3)
    old = {name: value for name, value in layer.state_dict().items() if name != "products"}
    opened = Extents(1, 4)
    opened.load_state_dict(old)
    task = torch.zeros(2, dtype=torch.int64)
    said = opened.usual(x, task, 0.5)
    torch.testing.assert_close(said[:, :3], x[:, :3])  # 0.5 / (0.25 + 0.25) of it
    assert said[:, 3].abs().max() == 0
    assert not torch.allclose(layer.usual(x, task, 0.5)[:, 0], said[:, 0])


def test_fresh_smooth_noise_has_one_variance_and_is_smooth():
    torch.manual_seed(0)
    many = torch.cat([smooth_fresh(torch.zeros(60, 1, 24, 20), 16) for _ in range(20)])
    assert many.std(0).sub(1).abs().max() < 0.15
    assert (many[..., 3, 3] * many[..., 3, 5]).mean() > 0.7


def test_what_is_far_from_the_cloud_is_beyond_all_held_out_places():
    torch.manual_seed(0)
    known = KnownPlaces(3)
    assert known.beyond(torch.randn(2, 3)).max() < 1e-6
    for _ in range(10):
        known.remember(torch.randn(50, 3) + 1, 32)
    known.settle(torch.randn(40, 3) + 1)
    assert known.mean.numpy() == pytest.approx(1, abs=0.15)
    assert known.beyond(torch.ones(1, 3)).item() < 0.3
    assert known.beyond(torch.full((1, 3), 30.0)).item() > 5
