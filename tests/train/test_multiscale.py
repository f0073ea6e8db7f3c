"""Laws of features over several scales, and the forest that stands on them."""

import numpy as np
import pytest

from headscarp.core.stack import feature_bands
from headscarp.tiles.statistics import labelled_table
from headscarp.train.multiscale import RADII_PX, MultiscaleFeatures, local_statistics
from headscarp.train.tables import fit_table_model


@pytest.mark.parametrize("radius", RADII_PX)
def test_mean_and_deviation_are_those_of_the_finite_cells_of_the_square(radius):
    rng = np.random.default_rng(radius)
    plane = (1500 + rng.normal(0, 3, (24, 31))).astype(np.float32)
    plane[rng.random(plane.shape) < 0.2] = np.nan
    mean, deviation = local_statistics(plane, radius)
    for row, col in ((0, 0), (12, 15), (23, 4)):
        square = plane[max(row - radius, 0) : row + radius + 1, max(col - radius, 0) : col + radius + 1]
        finite = square[np.isfinite(square)].astype(np.float64)
        assert mean[row, col] == pytest.approx(finite.mean(), rel=1e-6)
        assert deviation[row, col] == pytest.approx(finite.std(), rel=1e-4, abs=1e-4)


def test_where_nothing_is_known_nothing_is_said():
    plane = np.full((20, 20), np.nan, np.float32)
    plane[0, 0] = 7
    mean, deviation = local_statistics(plane, 3)
    assert mean[3, 3] == 7
    assert deviation[3, 3] == 0
    assert np.isnan(mean[4, 4])
    assert np.isnan(deviation[4, 4])
    assert np.isnan(local_statistics(plane[1:, 1:], 3)[0]).all()


def test_rows_are_those_of_the_pixels_with_more_columns(tiny_world):
    bands = feature_bands(tiny_world)
    plain, y, rows, cols = labelled_table(tiny_world, bands, limit=300, seed=2)
    many, *same = labelled_table(tiny_world, bands, limit=300, seed=2, features=MultiscaleFeatures(bands))
    for before, after in zip((y, rows, cols), same, strict=True):
        np.testing.assert_array_equal(before, after)
    np.testing.assert_array_equal(many[:, : plain.shape[1]], plain)
    continuous = [band for band in bands if band.kind == "continuous"]
    assert many.shape[1] == plain.shape[1] + 2 * len(RADII_PX) * len(continuous)


def test_a_tile_gives_the_features_of_the_whole(tiny_world):
    bands = feature_bands(tiny_world)
    x = np.stack([tiny_world[b.name].values.astype(np.float32) for b in bands])
    made, halo = MultiscaleFeatures(bands), MultiscaleFeatures.halo_px
    rows, cols = (np.ravel(i) for i in np.mgrid[30:40, 50:60])
    piece = x[:, 30 - halo : 40 + halo, 50 - halo : 60 + halo]
    np.testing.assert_allclose(
        made(piece, rows - 30 + halo, cols - 50 + halo), made(x, rows, cols), rtol=1e-5, atol=1e-4
    )


def test_the_forest_on_several_scales_is_scored_on_the_same_pixels(world, blocks):
    several = fit_table_model("multiscale_forest", world, blocks)
    plain = fit_table_model("forest", world, blocks)
    assert several.value("n").value == plain.value("n").value
    assert several.value("auroc").value > 0.6
    assert several.value("skill").value > 0
