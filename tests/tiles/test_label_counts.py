"""Laws of counting labels: the same however the raster is cut into strips, and unlabelled is never "no landslide"."""

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox
from scipy.ndimage import label as pieces_of

from headscarp.core.band import Band
from headscarp.core.stack import make_stack
from headscarp.tiles import labels as counting
from headscarp.tiles.labels import count_labels
from headscarp.tiles.splits import split_blocks


def stack_of(label, *, valid=None, cell_m=10.0):
    grid = GeoBox(label.shape, Affine(cell_m, 0, 500000, 0, -cell_m, 4500000), "EPSG:32633")
    valid = np.ones(label.shape, np.uint8) if valid is None else valid
    arrays = {Band("slope", "continuous", "degree"): np.zeros(label.shape, np.float32), Band("valid", "mask"): valid}
    return make_stack(grid, {**arrays, Band("landslide", "label"): label.astype(np.uint8)})


@pytest.mark.parametrize("chunk", [1, 2, 7, 64])
@pytest.mark.parametrize("share", [0.05, 0.35, 0.5])
def test_pieces_are_those_of_the_whole_raster(monkeypatch, chunk, share):
    rng = np.random.default_rng(int(share * 100))
    label = (rng.random((53, 41)) < share).astype(np.uint8)
    monkeypatch.setattr(counting, "CHUNK", chunk)
    found = count_labels(stack_of(label))
    assert found.landslides == pieces_of(label, structure=np.ones((3, 3)))[1]
    assert found.positive_px == label.sum()


def test_a_spiral_is_one_landslide(monkeypatch):
    monkeypatch.setattr(counting, "CHUNK", 3)
    label = np.zeros((15, 15), np.uint8)
    for i in range(0, 7, 2):
        label[i, i : 15 - i] = label[14 - i, i : 15 - i] = label[i : 15 - i, i] = label[i : 15 - i, 14 - i] = 1
        label[i + 1, i] = 0 if i else 1
    assert count_labels(stack_of(label)).landslides == pieces_of(label, structure=np.ones((3, 3)))[1]


def test_unlabelled_and_invalid_cells_are_neither(monkeypatch):
    rng = np.random.default_rng(0)
    label = rng.choice([0, 1, 255], (250, 130), p=[0.5, 0.1, 0.4])
    valid = (rng.random(label.shape) < 0.8).astype(np.uint8)
    label[:100, :100] = 255
    found = count_labels(stack_of(label, valid=valid))
    there = valid == 1
    assert found.valid_px == there.sum()
    assert found.labelled_px == (there & (label != 255)).sum()
    assert found.negative_px == (there & (label == 0)).sum()
    assert found.prevalence == pytest.approx((there & (label == 1)).sum() / (there & (label != 255)).sum())
    assert found.blocks == 3 * 2
    assert found.labelled_blocks == found.landslide_blocks == 5
    assert found.labelled_km2 == pytest.approx(found.labelled_px * 1e-4, rel=1e-2)  # as measured on the ellipsoid


def test_one_part_is_counted_alone():
    rng = np.random.default_rng(1)
    stack = stack_of(rng.choice([0, 1], (120, 120), p=[0.9, 0.1]))
    split = split_blocks(stack, block_size_m=200, buffer_m=20, seed=0)
    parts = [count_labels(stack, split=split, part=part) for part in ("train", "validation", "test")]
    assert 0 < sum(p.labelled_px for p in parts) < count_labels(stack).labelled_px
    assert parts[2].positive_px == sum(p.positives for p in split.part("test"))


def test_a_stack_without_labels_has_none():
    found = count_labels(stack_of(np.zeros((30, 30))).drop_vars("landslide"))
    assert (found.labelled_px, found.landslides, found.prevalence, found.labelled_share) == (0, 0, 0.0, 0.0)
    assert found.valid_px == 900
