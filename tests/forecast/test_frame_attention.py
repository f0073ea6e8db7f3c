"""Laws of attention over frames: one product instead of keys, planes instead of tiny matrices, and the same numbers."""

import math

import pytest
import torch

from headscarp.nets.frames import each_frame
from headscarp.nets.temporal import FrameAttention, mixed


def test_what_a_query_makes_of_keys_is_one_product():
    torch.manual_seed(0)
    layer = FrameAttention(16)
    torch.nn.init.normal_(layer.keys.bias)
    values, tokens = torch.randn(5, 7, 16), torch.randn(5, 7, 16)
    present = torch.rand(5, 7) < 0.6
    present[0] = False
    read, weights = layer(values, tokens, present)
    seen = layer.norm(torch.cat([values + tokens, layer.nothing.expand(5, 1, 16)], dim=1))
    keys = layer.keys(seen).view(5, 8, 4, 4)
    scores = torch.einsum("nthk,hk->nht", keys, layer.query) / math.sqrt(4)
    there = torch.cat([present, torch.ones(5, 1, dtype=torch.bool)], dim=1)
    expected = scores.masked_fill(~there[:, None], -torch.inf).softmax(dim=-1)
    torch.testing.assert_close(weights, expected[..., :7])
    whole = torch.einsum("nht,nthc->nhc", expected, seen.view(5, 8, 4, 4)).reshape(5, 16)
    torch.testing.assert_close(read, layer.out(whole))
    assert (weights.transpose(1, 2)[~present] == 0).all()
    (read.square().sum() + weights.square().sum()).backward()
    assert layer.query.grad.abs().max() > 0


@pytest.mark.parametrize("frames", [1, 6])
def test_mixed_frames_and_their_gradients_are_those_of_a_sum(frames):
    torch.manual_seed(0)
    weights = torch.rand(2, 4, frames, 3, 5, dtype=torch.float64, requires_grad=True)
    planes = torch.randn(2, frames, 6, 3, 5, dtype=torch.float64, requires_grad=True)
    found = mixed(weights, planes)
    torch.testing.assert_close(found, torch.einsum("nkthw,ntchw->nkchw", weights, planes))
    assert torch.autograd.gradcheck(mixed, (weights[:1, :2], planes[:1, :, :2]))
    low = mixed(weights.float(), planes.bfloat16())
    low.sum().backward()
    assert low.dtype == torch.float32
    torch.testing.assert_close(low.double(), found, atol=0.05, rtol=0.05)


def test_frames_that_are_all_there_are_seen_as_others_are():
    torch.manual_seed(0)
    layer, x = torch.nn.Conv2d(3, 4, 1), torch.randn(2, 5, 3, 4, 4)
    whole = each_frame(x, torch.ones(2, 5, dtype=torch.bool), layer)[0]
    present = torch.ones(2, 5, dtype=torch.bool)
    present[1, 3] = False
    torch.testing.assert_close(each_frame(x, present, layer)[0][present], whole[present])
    assert (each_frame(x, present, layer)[0][~present] == 0).all()
