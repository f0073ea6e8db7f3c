"""Laws of the patch classifier: labels of patches by a rule, one value a patch, and a planted rule is learned."""

import numpy as np
import pytest
import torch

from headscarp.core.band import Band
from headscarp.core.errors import RecipeError, SourceError
from headscarp.nets import make_net
from headscarp.nets.batch import Batch
from headscarp.nets.net import Statistics
from headscarp.nets.patch import patch_labels

BANDS = (Band("a", "continuous"),)
STATISTICS = Statistics({"a": 0.0}, {"a": 1.0}, 0.5)


def new_net(**arguments):
    torch.manual_seed(0)
    return make_net("patch", BANDS, resolution_m=10.0, statistics=STATISTICS, arguments={"patch_px": 16, **arguments})


def planted(seed, patches=4, batch=8):
    """Noise whose patches are brighter where they are landslides; labels of single pixels inside such patches."""
    rng = np.random.default_rng(seed)
    slid = rng.random((batch, patches, patches)) < 0.5
    side = patches * 16
    x = rng.normal(size=(batch, 1, side, side)) + 1.5 * np.kron(slid, np.ones((16, 16)))[:, None]
    y = np.kron(slid, np.ones((16, 16))) * (rng.random((batch, side, side)) < 0.3)
    valid = torch.ones(batch, side, side, dtype=torch.bool)
    return Batch(torch.tensor(x, dtype=torch.float32), valid, torch.tensor(y, dtype=torch.uint8)), slid


def test_a_patch_is_a_landslide_by_its_labelled_pixels_alone():
    y = torch.zeros(1, 32, 32, dtype=torch.uint8)
    y[0, :16, :16] = 255
    y[0, 3, 20] = 1
    y[0, 16:, 16:] = 255
    y[0, 20, 20] = 1
    assert patch_labels(y, 16)[0].tolist() == [[255, 1], [0, 1]]
    assert patch_labels(y, 16, share=0.5)[0].tolist() == [[255, 0], [0, 1]]


def test_it_learns_a_rule_of_patches_and_says_one_value_for_each():
    net = new_net().train()
    optimiser = torch.optim.Adam(net.parameters(), 1e-3)
    for step in range(12):
        loss = sum(net.losses(planted(step)[0]).values())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    batch, slid = planted(99)
    with torch.no_grad():
        by_patch = net.eval().predict(batch)[:, 0].numpy()
    assert by_patch.shape == slid.shape
    assert by_patch[slid].mean() > by_patch[~slid].mean() + 0.4


def test_what_cannot_be_is_refused(tmp_path):
    with pytest.raises(RecipeError, match="patch_px"):
        new_net(patch_px=20)
    with pytest.raises(RecipeError, match="no encoder"):
        new_net(encoder="resnet17")
    with pytest.raises(SourceError):
        new_net(weights=str(tmp_path / "none.safetensors"))
