"""Laws of scale and light: what is drawn is decided by the seed, nothing is made up, other bands stay as they are."""

import numpy as np
import pytest
import torch

from headscarp.core.band import Band
from headscarp.core.errors import RecipeError
from headscarp.core.tile import Tile, Window
from headscarp.tiles.augment import Changes, changed, relit, zoomed
from headscarp.tiles.reader import TilePixels, TileReader
from headscarp.tiles.sampling import batches

IMAGE = (Band("red", "continuous"), Band("nir", "continuous"))
ALL = Changes(zoom=1.5, light=0.3, light_bands=("elevation",))


class Drawn:
    """A generator whose draws are chosen."""

    def __init__(self, *draws):
        self.draws = list(draws)

    def uniform(self, *_):
        return self.draws.pop(0)


def pictures(side=24, seed=0, frames=()):
    g = np.random.default_rng(seed)
    x = g.normal([[[5.0]], [[80.0]]], [[[1.0]], [[20.0]]], (*frames, 2, side, side)).astype(np.float32)
    valid = g.random((side, side)) > 0.1
    x[..., ~valid] = np.nan
    return TilePixels(x, valid, np.where(valid, g.random((side, side)) < 0.2, 255).astype(np.uint8))


def test_nothing_asked_for_is_nothing_changed(bands, world):
    pixels = TileReader(world((40, 40)), bands).read(Tile(Window(0, 0, 40, 40)))
    rng = np.random.default_rng(0)
    assert changed(pixels, bands, Changes(turn=False), rng) is pixels
    assert rng.integers(1000) == np.random.default_rng(0).integers(1000)


@pytest.mark.parametrize("frames", [(), (3,)])
def test_light_is_another_contrast_and_brightness_of_each_band(frames):
    pixels = pictures(frames=frames)
    lit = relit(pixels, (True, True), np.random.default_rng(3), strength=0.4)
    np.testing.assert_array_equal(np.isnan(lit.x), np.isnan(pixels.x))
    assert lit.y is pixels.y
    assert lit.valid is pixels.valid
    contrasts = set()
    for old, new in zip(pixels.x.reshape(-1, 24, 24), lit.x.reshape(-1, 24, 24), strict=True):
        (contrast, base), residual, *_ = np.polyfit(old[pixels.valid], new[pixels.valid], 1, full=True)
        assert residual[0] / pixels.valid.sum() < 1e-4 * old[pixels.valid].var()
        assert np.exp(-0.6) <= contrast <= np.exp(0.6)
        assert base != 0
        contrasts.add(round(float(contrast), 6))
    assert len(contrasts) == pixels.x[..., 0, 0].size  # bands and frames each have their own


def test_light_on_average_changes_nothing():
    pixels = pictures()
    rng = np.random.default_rng(1)
    means = [np.nanmean(relit(pixels, (True, True), rng, strength=0.2).x, (1, 2)) for _ in range(400)]
    mean, deviation = np.nanmean(pixels.x, (1, 2)), np.nanstd(pixels.x, (1, 2))
    np.testing.assert_array_less(np.abs(np.mean(means, 0) - mean) / deviation, 0.03)
    np.testing.assert_array_less(0.08, np.std(means, 0) / deviation)


def test_light_falls_on_the_named_bands_only(bands, world):
    pixels = TileReader(world((40, 40)), bands).read(Tile(Window(0, 0, 40, 40)))
    lit = changed(pixels, bands, Changes(turn=False, light=0.3, light_bands=("elevation",)), np.random.default_rng(0))
    assert not np.allclose(lit.x[0], pixels.x[0], equal_nan=True)
    assert lit.x[1:].tobytes() == pixels.x[1:].tobytes()
    assert relit(pixels, (False, False, False), np.random.default_rng(0), strength=1.0) is pixels


@pytest.mark.parametrize("name", ["aspect", "rock", "snow"])
def test_bands_without_light_are_refused(name, bands):
    with pytest.raises(RecipeError, match=f"light_bands names '{name}'.*among elevation"):
        Changes(light=0.1, light_bands=(name,)).check(bands)
    Changes(light=0.1, light_bands=("elevation",)).check(bands)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("power", [-1.0, -0.4, 0.5, 1.0])
def test_scale_moves_pixels_labels_and_validity_together(power, share):
    side, most = 32, 2.0
    rows, columns = np.mgrid[:side, :side].astype(np.float32)
    valid = np.ones((side, side), bool)
    y = ((rows.astype(int) // 4 + columns.astype(int) // 4) % 2).astype(np.uint8)
    found = zoomed(TilePixels(np.stack([rows, columns]), valid, y), IMAGE, Drawn(power, share, share), most=most)
    factor, inside = most**power, found.valid
    assert inside.sum() == pytest.approx(min(1, factor) ** 2 * side**2, rel=0.12)
    assert (found.y[~inside] == 255).all()
    near = np.rint(found.x[:, inside]).astype(int)
    clear = (np.abs(found.x[:, inside] % 1 - 0.5) > 1e-3).all(0)  # no tie
    np.testing.assert_array_equal(found.y[inside][clear], y[tuple(near)][clear])
    steps = np.diff(found.x[0], axis=0)[inside[1:] & inside[:-1]]
    inner = steps[(steps > 0) & (np.abs(steps - 1 / factor) < 0.3)]
    assert np.median(inner) == pytest.approx(1 / factor, abs=1e-3)


def test_nothing_is_made_up(bands, world):
    pixels = TileReader(world((60, 60)), bands).read(Tile(Window(0, 0, 40, 40), halo=8))
    low, high = np.nanmin(pixels.x[0]), np.nanmax(pixels.x[0])
    for seed in range(20):
        found = zoomed(pixels, bands, np.random.default_rng(seed), most=2.0, halo=8)
        assert found.x.shape == pixels.x.shape
        assert found.x.dtype == np.float32
        assert np.isin(found.x[1][~np.isnan(found.x[1])], pixels.x[1]).all()
        assert np.isin(found.x[2], pixels.x[2]).all()
        assert set(np.unique(found.y)) <= {0, 1, 255}
        assert low <= np.nanmin(found.x[0]) <= np.nanmax(found.x[0]) <= high
        assert not np.isnan(found.x[0][found.valid]).any()
        assert (found.y[~found.valid] == 255).all()
        rows, columns = np.nonzero(found.y != 255)
        assert 8 <= min(rows.min(), columns.min()) <= max(rows.max(), columns.max()) < 48


def test_tiles_that_are_not_square_and_single_rows_keep_their_shape():
    for shape in ((16, 32), (1, 8)):
        one = TilePixels(np.zeros((2, *shape), np.float32), np.ones(shape, bool), np.zeros(shape, np.uint8))
        assert {zoomed(one, IMAGE, np.random.default_rng(s), most=2).x.shape for s in range(5)} == {(2, *shape)}


def test_changes_hang_on_the_place_in_the_epoch_not_on_threads_or_batches(world, bands):
    reader = TileReader(world((130, 170)), bands)
    tiles = [Tile(Window(r, c, 16, 16), halo=8) for r in range(0, 112, 16) for c in range(0, 160, 16)]

    def epoch(batch_size, workers, seed=(5, 1), changes=ALL):
        found = batches(reader, tiles, batch_size=batch_size, augment_seed=seed, changes=changes, workers=workers)
        parts = [(b.x, b.valid, b.y) for b in found]
        return [torch.cat(part) for part in zip(*parts, strict=True)]

    once = epoch(4, 1)
    for again in (epoch(4, 4), epoch(7, 2)):
        assert all(torch.equal(a.nan_to_num(-1), b.nan_to_num(-1)) for a, b in zip(once, again, strict=True))
    assert not torch.equal(once[2], epoch(4, 1, seed=(5, 2))[2])
    assert not torch.equal(once[2], epoch(4, 1, changes=None)[2])
