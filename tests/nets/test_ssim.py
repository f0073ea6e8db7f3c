"""SSIM: the same is 1, and what torchmetrics says, forward and backward."""

from importlib.util import find_spec

import pytest
import torch

from headscarp.nets._torchvision import import_with_torchvision
from headscarp.nets.ssim import ssim, ssim_map


def images(height=37, width=300, seed=0):
    g = torch.Generator().manual_seed(seed)
    x = torch.rand((2, 3, height, width), generator=g)
    return x, (x + 0.2 * torch.randn(x.shape, generator=g)).clamp(0, 1)


def test_an_image_is_like_itself_and_similarity_has_no_order():
    x, y = images()
    assert torch.allclose(ssim_map(x, x, data_range=1.0), torch.ones_like(x), atol=1e-6)
    assert torch.allclose(ssim_map(x, y, data_range=1.0), ssim_map(y, x, data_range=1.0), atol=1e-6)
    assert ssim_map(x, y, data_range=1.0).abs().max() <= 1 + 1e-6


def test_a_map_depends_on_five_pixels_around_only():
    x, y = images()
    changed = y.clone()
    changed[..., 20:, :] = 0.5
    same = (ssim_map(x, y, data_range=1.0) - ssim_map(x, changed, data_range=1.0)).abs().amax(dim=(0, 1, 3))
    assert same[:15].max() <= 1e-6
    assert same[15] > 1e-4


def test_it_is_what_torchmetrics_says():
    if find_spec("torchmetrics") is None:
        pytest.skip("torchmetrics, a peer of the benchmarks, is not installed")
    image = import_with_torchvision("torchmetrics.functional.image")
    x, y = images()
    ours, theirs = (x.clone().requires_grad_() for _ in range(2))
    found = ssim(ours, y, data_range=1.0)
    wanted, full = image.structural_similarity_index_measure(theirs, y, data_range=1.0, return_full_image=True)
    found.backward()
    wanted.backward()
    assert found.item() == pytest.approx(wanted.item(), abs=1e-5)
    assert (ssim_map(x, y, data_range=1.0) - full).abs().max() <= 1e-5
    assert (ours.grad - theirs.grad).abs().max() <= 1e-5


def test_a_band_made_while_predicting_serves_for_a_gradient():
    x, y = images(23, 29)
    with torch.inference_mode():
        ssim(x, y, data_range=1.0)
    ssim(x.requires_grad_(), y, data_range=1.0).backward()
    assert x.grad.isfinite().all()
