"""Overviews are exact means of what is there, whatever the shape; facts of blocks add up to those of the map."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headscarp.core.tile import Window, windows
from headscarp.prediction import overviews
from headscarp.prediction.facts import finish_block, summarise
from headscarp.prediction.workfile import WorkFile


def pixels_with_holes(bands, shape, seed=0):
    rng = np.random.default_rng(seed)
    pixels = rng.random((bands, *shape), dtype=np.float32)
    pixels[:, rng.random(shape) < 0.3] = np.nan
    pixels[:, : shape[0] // 2, : shape[1] // 3] = np.nan
    return pixels


def means(pixels, factor):
    """Over factor x factor pixels, one cell at a time."""
    bands, rows, cols = pixels.shape
    found = np.full((bands, -(-rows // factor), -(-cols // factor)), np.nan)
    for band, row, col in np.ndindex(found.shape):
        cell = pixels[band, row * factor : (row + 1) * factor, col * factor : (col + 1) * factor].astype(float)
        if np.isfinite(cell).any():
            found[band, row, col] = np.nanmean(cell)
    return found


@settings(max_examples=30, deadline=None)
@given(rows=st.integers(1, 70), cols=st.integers(1, 70), bands=st.integers(1, 2), largest=st.integers(1, 20))
def test_every_level_is_the_mean_of_the_pixels_under_it(rows, cols, bands, largest, tmp_path_factory):
    pixels = pixels_with_holes(bands, (rows, cols))
    work = WorkFile(tmp_path_factory.mktemp("work") / "map.work", bands, (rows, cols))
    work.create()
    work.write(Window(0, 0, rows, cols), pixels)
    levels = overviews.write_overviews(work, largest_px=largest)
    sides = [max(work.shape), *(max(level.shape) for level in levels)]
    assert sides[-1] <= largest
    assert all(side > largest for side in sides[:-1])
    for i, level in enumerate(levels, start=1):
        found = level.read(Window(0, 0, *level.shape))
        np.testing.assert_allclose(found, means(pixels, 2**i), rtol=2e-6)


def test_strips_change_no_bit(tmp_path, monkeypatch):
    pixels = pixels_with_holes(1, (333, 257))
    work = WorkFile(tmp_path / "map.work", 1, (333, 257))
    work.create()
    work.write(Window(0, 0, 333, 257), pixels)
    found = []
    for strip_px in (1, 10_000, 1 << 20):
        monkeypatch.setattr(overviews, "_STRIP_PX", strip_px)
        levels = overviews.write_overviews(work, largest_px=50)
        found.append([level.path.read_bytes() for level in levels])
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("bands", [1, 3])
def test_facts_of_blocks_add_up(bands):
    pixels = pixels_with_holes(bands, (130, 90), seed=3)
    valid = np.random.default_rng(4).random((130, 90)) < 0.8
    facts = []
    for window in (w.clip((130, 90)) for w in windows((130, 90), 40)):
        block = pixels[(slice(None), *window.slices)].copy()
        facts.append(finish_block(block, valid[window.slices]))
        np.testing.assert_array_equal(np.isnan(block[0]), np.isnan(block[0]) | ~valid[window.slices])
    there = valid & np.isfinite(pixels[0])
    for band, summary in enumerate(summarise(facts, bands)):
        values = pixels[band][there].astype(float)
        assert summary.valid == there.sum()
        assert (summary.low, summary.high) == (values.min(), values.max())
        assert (summary.mean, summary.std) == pytest.approx((values.mean(), values.std()))


def test_a_map_without_a_pixel_has_no_summary():
    block = np.ones((2, 4, 4), np.float32)
    facts = finish_block(block, np.zeros((4, 4), bool))
    assert facts == {"valid": 0}
    assert np.isnan(block).all()
    assert [s.valid for s in summarise([facts], 2)] == [0, 0]
