"""Masks that lie beside their images are found by their outlines, with the way to move them; others are not."""

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, gaussian_filter

from headscarp.assemble.edges import edge_facts, find_shift

SIDE = 48


def chip(number, shift=(0, 0)):
    """An image with a brighter patch amid texture, and its mask moved by `shift` against it."""
    rng = np.random.default_rng(number)
    patch = gaussian_filter(rng.normal(size=(SIDE, SIDE)), 5)
    patch = patch > np.quantile(patch, 0.8)
    image = 100 + 12 * rng.normal(size=(3, SIDE, SIDE)) + 25 * patch
    return image.astype(np.float32), np.roll(patch, shift, (0, 1)).astype(np.uint8)


def shift_of(chips):
    return find_shift([edge_facts(list(image), mask) for image, mask in chips])


@pytest.mark.parametrize(
    ("shift", "told"),
    [((0, 1), "1 px left"), ((-1, 0), "1 px down"), ((1, 1), "1 px up and 1 px left"), ((0, -2), "2 px right")],
)
def test_a_shift_is_found_with_the_way_back(shift, told):
    found = shift_of([chip(i, shift) for i in range(20)])
    assert str(found) == told
    assert found.stronger > 1.15


def test_masks_that_lie_right_are_left_in_peace():
    assert shift_of([chip(i) for i in range(20)]) is None
    wide = [(image, binary_dilation(mask, iterations=1).astype(np.uint8)) for image, mask in map(chip, range(20))]
    assert shift_of(wide) is None  # drawn too wide is not shifted


def test_images_that_know_nothing_of_their_masks_tell_nothing():
    chips = [(chip(i)[0], chip(i + 100)[1]) for i in range(40)]
    assert shift_of(chips) is None


def test_shifts_of_single_chips_are_no_shift_of_the_set():
    rng = np.random.default_rng(0)
    assert shift_of([chip(i, tuple(rng.integers(-2, 3, 2))) for i in range(40)]) is None


def test_what_is_unlabelled_or_missing_is_no_edge():
    image, mask = chip(1)
    assert edge_facts(list(image), np.full_like(mask, 255)) == {}
    assert edge_facts(list(image), np.zeros_like(mask)) == {}
    half = mask.copy()
    half[:, : SIDE // 2] = 255
    assert 0 < edge_facts(list(image), half)["count"] < edge_facts(list(image), mask)["count"]
    assert np.isfinite(edge_facts([np.full_like(image[0], np.nan)], mask)["steps"]).all()
