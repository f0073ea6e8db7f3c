"""The fast paths against dense torch: the first layer, its gradients, and the dense features themselves."""

import numpy as np
import pytest
import torch
from torch import nn

from headscarp.core.band import Band, feature_names
from headscarp.nets.batch import Batch
from headscarp.nets.coded import CodedConv2d
from headscarp.nets.codes import Layout
from headscarp.nets.features import FeatureNet
from headscarp.nets.layers import Align
from headscarp.nets.net import Statistics

NUMBERS = (Band("elevation", "continuous"), Band("slope", "continuous"), Band("aspect", "direction"))
CLASSES = tuple(
    Band(name, "categorical", classes=tuple(f"{name}{i}" for i in range(count)))
    for name, count in (("rock", 44), ("cover", 4), ("age", 37), ("soil", 254))
)
BANDS = (NUMBERS[0], CLASSES[0], NUMBERS[2], *CLASSES[1:], NUMBERS[1])
MAYBE = (Band("ndvi", "continuous", optional=True), *BANDS[:4], Band("slope", "continuous", optional=True))
SOME = ("slope", "rock=rock3", "rock=no value", "aspect:east", "age=age0", "soil=soil253", "elevation")
STATISTICS = Statistics(
    {"elevation": 500, "slope": 20, "ndvi": 15}, {"elevation": 80, "slope": 9, "ndvi": 11}, prevalence=0.1
)


class Bare(FeatureNet):
    """Only a first layer."""

    def __init__(self, bands, aligned, out, kernel):
        super().__init__(bands, resolution_m=10, statistics=STATISTICS)
        self.alignment = Align(bands, aligned, resolution_m=10) if aligned else None
        self.first = self.make_first(out, kernel)
        nn.init.normal_(self.first.bias)
        self.trunk = nn.Identity()


def batch_of(bands, shape, seed=0):
    g = np.random.default_rng(seed)
    make = {
        "continuous": lambda band: g.normal(500 if band.name == "elevation" else 20, 30, (2, *shape)),
        "direction": lambda band: g.uniform(0, 360, (2, *shape)),
        "categorical": lambda band: g.integers(0, min(len(band.classes) + 5, 256), (2, *shape)),
    }
    x = np.stack([make[band.kind](band) for band in bands], axis=1).astype(np.float32)
    x[g.random(x.shape) < 0.05] = np.nan
    x[0, 0, -1, -1] = np.inf
    valid = torch.from_numpy(g.random((2, *shape)) > 0.1)
    return Batch(torch.from_numpy(x), valid)


CASES = [
    (BANDS, SOME, 16, 3, (40, 45)),
    (BANDS, (), 16, 3, (33, 34)),
    (BANDS, SOME, 32, 1, (40, 47)),
    (BANDS, (), 1, 1, (5, 3)),
    (BANDS, ("soil=soil7",), 20, 3, (33, 66)),
    (NUMBERS, ("slope",), 16, 3, (35, 35)),
    (NUMBERS, (), 4, 5, (17, 19)),
    (CLASSES, (), 16, 3, (1, 1)),
    (BANDS, SOME, 16, 3, (2, 70)),
    (MAYBE, (), 16, 3, (33, 34)),
    (MAYBE, ("slope", "slope:present", "ndvi:present", "rock=rock3"), 20, 3, (40, 45)),
]


@pytest.mark.parametrize(("bands", "aligned", "out", "kernel", "shape"), CASES)
def test_coded_equals_dense_and_so_do_gradients(bands, aligned, out, kernel, shape):
    torch.manual_seed(1)
    net, batch = Bare(bands, aligned, out, kernel), batch_of(bands, shape)
    dense = net.first(net.dense_features_anywhere(batch))
    coded = net.front(batch)
    assert coded.shape == dense.shape == (2, out, *shape)
    assert (coded - dense).abs().max() <= 1e-5
    wanted = torch.randn(dense.shape)
    parameters = [net.first.weight, net.first.bias]
    expected = torch.autograd.grad((dense * wanted).sum(), parameters)
    found = torch.autograd.grad((coded * wanted).sum(), parameters)
    for one, other in zip(found, expected, strict=True):
        assert (one - other).abs().max() <= 1e-5 * max(1, other.abs().max())
    with torch.no_grad():
        assert torch.equal(net.front(batch), coded)


@pytest.mark.parametrize(("bands", "aligned", "out", "kernel", "shape"), CASES)
def test_dense_features_are_those_of_torch(bands, aligned, out, kernel, shape):
    net, batch = Bare(bands, aligned, out, kernel), batch_of(bands, shape)
    fused, plain = net.dense_features(batch), net.dense_features_anywhere(batch)
    assert fused.shape == (2, len(net.feature_names()), *shape)
    assert (fused - plain).abs().max() <= 1e-6
    room = torch.full_like(fused, torch.nan)
    assert net.dense_features(batch, out=room) is room
    assert torch.equal(room, fused)


def test_what_is_missing_of_an_optional_band_is_the_mean_and_told():
    net, batch = Bare(MAYBE, (), 16, 3), batch_of(MAYBE, (20, 20))
    hole = torch.zeros(20, 20, dtype=torch.bool)
    hole[4:9, 3:12] = True
    results = []
    for value in (np.nan, np.inf, -np.inf):
        batch.x[:, 0, hole] = value
        for features in (net.dense_features(batch), net.dense_features_anywhere(batch)):
            number, present = (net.feature_names().index(name) for name in ("ndvi", "ndvi:present"))
            there = torch.isfinite(batch.x[:, 0])
            assert torch.equal(features[:, present], there.float())
            assert (features[:, number][~there] == 0).all()
        with torch.no_grad():
            results.append(net.front(batch))
    assert all(torch.equal(one, results[0]) for one in results[1:])
    batch.x[:, 0, hole] = 15.0  # the mean itself: the same number, but seen
    with torch.no_grad():
        assert not torch.equal(net.front(batch), results[0])


def test_the_dense_path_can_be_forced_and_serves_gradients_of_x():
    torch.manual_seed(1)
    net, batch = Bare(BANDS, SOME, 16, 3), batch_of(BANDS, (40, 40))
    with torch.no_grad():
        coded = net.front(batch)
        net.front_dense = True
        dense = net.front(batch)
    assert not torch.equal(coded, dense)  # rounded in another order
    assert (coded - dense).abs().max() <= 1e-5
    net.front_dense = False
    x = batch.x.clone().requires_grad_()
    net.front(Batch(x, batch.valid)).sum().backward()
    assert x.grad is not None


def test_changed_weights_are_seen_at_once():
    net, batch = Bare(BANDS, SOME, 16, 3), batch_of(BANDS, (20, 20))
    with torch.no_grad():
        net.front(batch)
        net.first.weight.data.mul_(2)
        net.first.bias.data.add_(1)
        assert (net.front(batch) - net.first(net.dense_features(batch))).abs().max() <= 2e-5


def test_threads_change_nothing():
    torch.manual_seed(1)
    net, batch = Bare(BANDS, SOME, 16, 3), batch_of(BANDS, (40, 40))
    before, results = torch.get_num_threads(), []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        net.zero_grad()
        out = net.front(batch)
        out.square().sum().backward()
        results.append((out.detach(), net.first.weight.grad.clone()))
    torch.set_num_threads(before)
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


def test_small_tables_are_shared_and_large_ones_are_not():
    layout = Bare(BANDS, SOME, 16, 3).first.layout
    rows = [int(np.prod([plane.rows for plane in group])) for group in layout.groups]
    assert sum(len(group) for group in layout.groups) == len(CLASSES)
    assert len(layout.groups) < len(CLASSES)
    assert max(rows) <= 2048
    assert len(layout.aligned_groups) == 1


def test_first_weights_keep_the_variance_of_what_is_at_work():
    torch.manual_seed(0)
    net, batch = Bare(BANDS, (), 64, 3), batch_of(BANDS, (32, 32))
    assert isinstance(net.first, CodedConv2d)
    assert isinstance(net.first.layout, Layout)
    assert len(feature_names(BANDS)) == net.first.weight.shape[1]
    assert 0.5 < net.front(batch).detach()[..., 2:-2, 2:-2].std() < 2.5


def test_a_result_stays_as_it_is_for_as_long_as_it_is_held():
    net, first, second = Bare(BANDS, SOME, 16, 3), batch_of(BANDS, (40, 40)), batch_of(BANDS, (40, 40), 1)
    with torch.no_grad():
        held = net.front(first)[:, :2]
        before = held.clone()
        other = net.front(second)
        assert torch.equal(held, before)
        assert not torch.equal(other[:, :2], before)
        del held
        assert torch.equal(net.front(first)[:, :2], before)
        assert not torch.equal(other[:, :2], before)
