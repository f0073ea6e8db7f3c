from pathlib import Path

import pytest
import torch

from headscarp.core.errors import TrainingError
from headscarp.train.averaging import Average
from headscarp.train.checkpoint import load_checkpoint, save_checkpoint
from headscarp.train.packing import packed, unpacked
from headscarp.train.standing import Standing

VALUES = {
    "net": {"w": torch.randn(2, 3, 4), "b": torch.randn(3)[::2], "steps": torch.tensor(7), "none": torch.zeros(0, 2)},
    "optimiser": {"state": {0: {"step": torch.tensor(3.0)}}, "groups": [{"lr": 0.1, "betas": (0.9, 0.99), "ids": [0]}]},
    "half": torch.randn(4).to(torch.bfloat16),
    "there": torch.tensor([True, False]),
    "odd": torch.tensor([float("nan"), -0.0, float("inf")]),
    "text": "as it was",
    "nothing": None,
}


def tensors_of(value):
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        yield from (tensor for one in value.values() for tensor in tensors_of(one))
    elif isinstance(value, (list, tuple)):
        yield from (tensor for one in value for tensor in tensors_of(one))


def plain(value):
    """The same with tensors as their type, shape and bits."""
    if isinstance(value, torch.Tensor):
        bits = value.contiguous().reshape(-1).view(torch.uint8) if value.numel() else value.reshape(-1)
        return str(value.dtype), tuple(value.shape), bits.tolist()
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, (list, tuple)) else value


def test_what_is_packed_comes_back_to_the_last_bit():
    tree, long = packed(VALUES)
    assert plain(unpacked(tree, long)) == plain(VALUES)
    assert not list(tensors_of(tree))
    assert {tensor.ndim for tensor in long.values()} == {1}
    assert len(long) == len({tensor.dtype for tensor in tensors_of(VALUES)})
    assert isinstance(unpacked(tree, long)["optimiser"]["groups"][0]["betas"], tuple)


def test_what_comes_back_shares_no_memory_with_anything():
    tree, long = packed(VALUES)
    back = unpacked(tree, long)
    for tensor in tensors_of(back):
        tensor.zero_()
    assert plain(unpacked(tree, long)) == plain(VALUES)
    assert float(VALUES["net"]["w"].abs().sum()) > 0


def test_parts_that_do_not_match_are_errors():
    tree, long = packed({"w": torch.ones(4)})
    with pytest.raises(KeyError):
        unpacked(tree, {})
    with pytest.raises(RuntimeError):
        unpacked(tree, {"torch.float32": long["torch.float32"][:2]})


def a_training(seed):
    torch.manual_seed(seed)
    net = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    optimiser, average = torch.optim.Adam(net.parameters(), 1e-2), Average(net, 0.9)
    average.follow(optimiser)
    net(torch.randn(8, 3)).square().sum().backward()
    optimiser.step()
    return net, optimiser, average


def test_a_checkpoint_brings_all_back_and_one_of_another_layout_is_refused(tmp_path: Path):
    net, optimiser, average = a_training(0)
    standing = Standing(0.5, epoch=3, best=dict(net.state_dict()), history=[{"epoch": 3, "loss": float("nan")}])
    save_checkpoint(tmp_path, average, optimiser, standing)
    other, by, of = a_training(1)
    assert plain(vars(load_checkpoint(tmp_path, of, by))).__repr__() == plain(vars(standing)).__repr__()
    assert plain(other.state_dict()) == plain(net.state_dict())
    assert plain(by.state_dict()) == plain(optimiser.state_dict())
    assert plain(of.state()) == plain(average.state())
    torch.save({"net": net.state_dict()}, tmp_path / "state.pt")
    with pytest.raises(TrainingError, match=r"another version .* --overwrite"):
        load_checkpoint(tmp_path, of, by)
