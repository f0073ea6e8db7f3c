"""Engines agree: OpenVINO with torch within 1e-3 in float32, and bf16 stays near both."""

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from headscarp.core.errors import BundleError, RecipeError
from headscarp.nets import net_from_bundle
from headscarp.nets.batch import Batch
from headscarp.nets.net import Net, Statistics
from headscarp.prediction.engines import ENGINES, largest_change, make_engine, middle, single_threaded_torch

PIXEL_NETS = ("llr", "nn", "sann", "cnn", "sacnn", "unet")


@pytest.fixture
def setting(world, bundle_of):
    """(name of a net) -> the net and a batch for it."""

    def make(name, rows=96, cols=128):
        stack = world(rows, cols)
        net = net_from_bundle(bundle_of(name, stack))
        x = np.stack([stack[band.name].to_numpy().astype(np.float32) for band in net.bands])
        valid = stack["valid"].to_numpy() == 1
        x[:2, ~valid] = np.nan
        return net, Batch(x=torch.from_numpy(x)[None], valid=torch.from_numpy(valid)[None])

    return make


@pytest.mark.parametrize("name", PIXEL_NETS)
@pytest.mark.parametrize("engine", sorted(ENGINES))
def test_an_engine_gives_what_the_net_predicts(engine, name, setting):
    net, batch = setting(name)
    with torch.inference_mode():
        wanted = net.predict(batch)[0].numpy()
    found = make_engine(engine, net)(batch)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, atol=1e-3 if engine == "openvino" else 1e-5)


@pytest.mark.parametrize("engine", sorted(ENGINES))
def test_bf16_is_near_and_its_change_is_measured(engine, setting):
    net, batch = setting("cnn")
    reference, reduced = make_engine("torch", net), make_engine(engine, net, "bf16")
    change = largest_change(reduced, reference, middle(batch, 64))
    assert 0 < change < 0.05


def test_one_engine_serves_several_threads_and_shapes(setting):
    net, batch = setting("cnn")
    smaller = Batch(x=batch.x[..., :64, :80].contiguous(), valid=batch.valid[..., :64, :80].contiguous())
    engine = make_engine("openvino", net, threads=2)
    wanted = {id(b): engine(b).copy() for b in (batch, smaller)}
    with ThreadPoolExecutor(2) as pool:
        jobs = [(b, pool.submit(engine, b)) for b in (batch, smaller) * 4]
        for b, job in jobs:
            np.testing.assert_array_equal(job.result(), wanted[id(b)])


def test_torch_gets_its_threads_back():
    before = torch.get_num_threads()
    with single_threaded_torch():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


def test_a_missing_engine_names_the_extra(setting, monkeypatch):
    net, _ = setting("llr")
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(RecipeError, match=r"pip install headscarp\[openvino\]"):
        make_engine("openvino", net)


class Double(Net):
    """A net with no trunk: what it is given, doubled."""

    def losses(self, batch):
        return {}

    def predict(self, batch):
        return 2 * batch.x


def test_a_net_without_a_trunk_needs_torch():
    net = Double((), resolution_m=10.0, statistics=Statistics())
    batch = Batch(x=torch.ones(1, 3, 8, 8), valid=torch.ones(1, 8, 8, dtype=torch.bool))
    with pytest.raises(BundleError, match="--engine torch"):
        make_engine("openvino", net)
    np.testing.assert_array_equal(make_engine("torch", net, "bf16")(batch), np.full((3, 8, 8), 2))
