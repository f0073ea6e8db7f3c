"""Laws of the audit: it finds a planted leak, clears a buffered split, and counts what brute force counts."""

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox
from scipy import ndimage

from headscarp.core.errors import SplitError
from headscarp.core.grid import true_cell_size_m
from headscarp.core.stack import stack_grid
from headscarp.core.tile import Window
from headscarp.tiles.audit import PAIRS, audit
from headscarp.tiles.partition import PARTS, Part, Split
from headscarp.tiles.splits import split_blocks, split_random

SHAPE = (130, 170)
WAYS = {
    "random": lambda stack: split_random(stack, tile_px=24, seed=1),
    "blocks": lambda stack: split_blocks(stack, block_size_m=250, seed=1),
    "thin buffer": lambda stack: split_blocks(stack, block_size_m=300, buffer_m=50, seed=1),
    "thick buffer": lambda stack: split_blocks(stack, block_size_m=430, buffer_m=120, seed=1),
}


@pytest.mark.parametrize("halo_px", [1, 7, 12])
@pytest.mark.parametrize("way", WAYS)
def test_the_figures_are_those_of_brute_force(world, way, halo_px, monkeypatch):
    monkeypatch.setattr("headscarp.tiles.audit._PIECE_PX", 16)
    stack = world(SHAPE)
    grid, split = stack_grid(stack), WAYS[way](stack)
    report = audit(grid, split, halo_px=halo_px)
    codes = split.codes(Window(0, 0, *SHAPE))
    for found, pair in zip(report.pairs, PAIRS, strict=True):
        own, other = (codes == PARTS.index(name) + 1 for name in pair)
        seen = ndimage.binary_dilation(other, np.ones((2 * halo_px + 1,) * 2))
        assert (found.part, found.other) == pair
        assert found.pixels == own.sum()
        assert found.touched == pytest.approx((own & seen).sum() / own.sum())
        ways = ndimage.distance_transform_edt(~other, sampling=true_cell_size_m(grid))
        assert found.min_distance_m == pytest.approx(ways[own].min())
        assert found.verdict == ("context overlaps" if (own & seen).any() else "no leak")


def test_neighbouring_patches_drawn_at_random_leak_through_the_context(world):
    stack = world(SHAPE)
    report = audit(stack_grid(stack), split_random(stack, tile_px=24, seed=0), halo_px=8)
    assert report.verdict == "context overlaps"
    assert report.pairs[0].touched > 0.5
    assert report.pairs[0].min_distance_m == pytest.approx(10, rel=0.01)
    assert f"{100 * report.pairs[0].touched:.3g} % of" in report.text
    assert "blocked split with a buffer" in report.text


@pytest.mark.parametrize("halo_px", [1, 5, 8])
def test_a_buffer_as_wide_as_the_context_is_cleared_and_one_pixel_less_is_not(world, halo_px):
    stack = world(SHAPE)
    grid = stack_grid(stack)
    wide = split_blocks(stack, block_size_m=400, buffer_m=10 * halo_px, seed=3)
    report = audit(grid, wide, halo_px=halo_px)
    assert report.verdict == "no leak"
    assert all(p.touched == 0 and p.min_distance_m > 9.99 * halo_px for p in report.pairs)
    narrow = split_blocks(stack, block_size_m=400, buffer_m=10 * (halo_px - 1), seed=3)
    assert audit(grid, narrow, halo_px=halo_px).verdict == "context overlaps"


def test_a_planted_leak_is_proved(world):
    stack = world(SHAPE)
    split = split_blocks(stack, block_size_m=400, buffer_m=100, seed=3)
    stolen = split.part("test")[0]
    parts = (*split.parts, Part(stolen.window, "train", id="stolen"))
    planted = Split("by hand", split.shape, parts, buffer_px=split.buffer_px)
    report = audit(stack_grid(stack), planted, halo_px=1)
    assert report.verdict == report.pairs[0].verdict == "leak"
    assert (report.pairs[0].overlapping, report.pairs[0].identical) == (1, 1)
    assert "1 rectangles overlap, 1 of them identical" in report.text


def test_the_veneto_is_audited_without_its_raster():
    grid = GeoBox((21005, 19500), Affine(10, 0, 600000, 0, -10, 5200000), "EPSG:32632")
    parts = (
        Part(Window(0, 0, 500, 500), "test"),
        Part(Window(0, 700, 500, 500), "validation"),
        Part(Window(1000, 0, 20000, 19500), "train"),
    )
    report = audit(grid, Split("by hand", grid.shape, parts), halo_px=160)
    assert report.verdict == "no leak"
    assert report.pairs[0].min_distance_m == pytest.approx(5010, rel=0.01)
    assert report.pairs[2].min_distance_m == pytest.approx(2010, rel=0.01)
    assert report.to_json()["pairs"][0]["tiles"] == 1


def test_a_split_of_another_raster_is_refused(world):
    stack = world(SHAPE)
    with pytest.raises(SplitError, match="the split is of a raster"):
        audit(stack_grid(world((90, 90))), split_random(stack, tile_px=24), halo_px=1)
