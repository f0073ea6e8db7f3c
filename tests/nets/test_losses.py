"""Laws of losses: unlabelled is never negative, and of sure calls the losses of overlap are the scores themselves."""

import pytest
import torch

from headscarp.core.errors import RecipeError
from headscarp.nets.losses import dice, lovasz, make_objective, nll, nnpu


def logits_and_truth(seed=0):
    g = torch.Generator().manual_seed(seed)
    truth = (torch.rand((1, 40, 40), generator=g) < 0.3).to(torch.uint8)
    return torch.randn(truth.shape, generator=g) + truth, truth


def test_with_all_pixels_as_unlabelled_the_risk_is_that_of_full_labels():
    logits, truth = logits_and_truth()
    prior = truth.float().mean().item()
    both = torch.cat([logits, logits]), torch.cat([torch.where(truth == 1, 1, 255).to(torch.uint8), truth * 0 + 255])
    valid = torch.cat([truth == 1, torch.ones_like(truth, dtype=torch.bool)])
    only_positive_of_first = torch.where(valid, both[1], 255)
    found = nnpu(both[0], only_positive_of_first, valid & (both[1] != 1) | (both[1] == 1), prior=prior)
    assert found.item() == pytest.approx(nll(logits, truth).item(), rel=1e-5)


def test_it_is_never_negative_and_turns_its_gradient_round_below_zero():
    y = torch.tensor([[[1, 255]]], dtype=torch.uint8)
    logits = torch.tensor([[[5.0, -9.0]]], requires_grad=True)  # the unlabelled pixel is overfitted
    risk = nnpu(logits, y, torch.ones(1, 1, 2, dtype=torch.bool), prior=0.5)
    risk.backward()
    assert risk >= 0
    assert logits.grad[0, 0, 1] < 0  # it is pushed back up, not further down


def test_pixels_that_are_not_valid_are_not_unlabelled_either():
    logits, truth = logits_and_truth()
    y, valid = torch.where(truth == 1, 1, 255).to(torch.uint8), torch.rand(truth.shape) > 0.5
    other = torch.where(valid | (y == 1), logits, 7.0)
    assert nnpu(logits, y, valid, prior=0.3) == nnpu(other, y, valid, prior=0.3)


@pytest.mark.parametrize(
    ("loss", "prior"), [("nnpu", None), ("nnpu", 1.0), ("nll", 0.5), ("dice", 0.5), ("foca", None)]
)
def test_losses_that_cannot_be_are_refused(loss, prior):
    with pytest.raises(RecipeError):
        make_objective(loss, prior)


def iou(called, truth):
    return float((called & truth).sum() / (called | truth).sum())


def test_dice_and_lovasz_of_sure_calls_are_their_scores():
    _, truth = logits_and_truth()
    called = truth.roll(1, -1) | truth
    logits = torch.where(called == 1, 60.0, -60.0)
    share = iou(called == 1, truth == 1)
    assert lovasz(logits, truth).item() == pytest.approx(1 - share, rel=1e-5)
    assert dice(logits, truth).item() == pytest.approx(1 - 2 * share / (1 + share), rel=1e-5)
    perfect = torch.where(truth == 1, 60.0, -60.0)
    assert dice(perfect, truth).item() == pytest.approx(0, abs=1e-6) == lovasz(perfect, truth).item()


@pytest.mark.parametrize("loss", ["dice", "lovasz"])
def test_overlap_counts_labelled_pixels_only_and_nothing_where_there_is_no_landslide(loss):
    logits, truth = logits_and_truth()
    objective, valid = make_objective(loss), torch.ones_like(truth, dtype=torch.bool)
    known = torch.rand(truth.shape, generator=torch.Generator().manual_seed(1)) < 0.5
    y = torch.where(known, truth, 255).to(torch.uint8)
    leaf = logits.clone().requires_grad_()
    found = objective(leaf, y, valid)
    assert set(found) == {"nll", loss}
    sum(found.values()).backward()
    assert (leaf.grad[~known] == 0).all()
    assert (leaf.grad[known] != 0).any()
    other = objective(torch.where(known, logits, -logits), y, valid)
    assert other[loss].item() == found[loss].item()
    assert objective(logits, truth * 0, valid)[loss].item() == 0
