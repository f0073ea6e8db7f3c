"""Encoding and alignment against their definitions, and the torch search uphill against the compiled one."""

import numpy as np
import pytest
import torch

from headscarp.core.band import Band, feature_names
from headscarp.core.errors import RecipeError, StackError
from headscarp.nets.layers import Align, Encode, highest_on_ring, radii_px
from headscarp.nets.net import Statistics
from headscarp.terrain import ring

BANDS = (
    Band("elevation", "continuous", "m"),
    Band("aspect", "direction", "degree"),
    Band("rock", "categorical", classes=("marl", "flysch")),
)
STATISTICS = Statistics({"elevation": 100.0}, {"elevation": 50.0}, 0.1)


def encoded(*pixel):
    x = torch.tensor(pixel, dtype=torch.float32).view(1, len(BANDS), 1, 1)
    return dict(zip(feature_names(BANDS), Encode(BANDS, STATISTICS)(x).flatten().tolist(), strict=True))


def test_a_pixel_worked_by_hand():
    assert encoded(200.0, 90.0, 2) == pytest.approx(
        {
            "elevation": 2.0,
            "aspect:north": 0.0,
            "aspect:east": 1.0,
            "rock=no value": 0.0,
            "rock=marl": 0.0,
            "rock=flysch": 1.0,
        },
        abs=1e-6,
    )


@pytest.mark.parametrize("code", [0, 3, 254, 255, 300, -1, np.nan, np.inf])
def test_missing_is_zero_and_an_unknown_code_is_no_value(code):
    assert list(encoded(np.nan, np.nan, code).values()) == [0, 0, 0, 1, 0, 0]


def test_bands_that_are_no_features_or_have_no_scale_are_refused():
    with pytest.raises(StackError, match="'landslide' is a label"):
        Encode([Band("landslide", "label")], STATISTICS)
    with pytest.raises(StackError, match="slope are missing"):
        Encode([Band("slope", "continuous")], STATISTICS)


@pytest.mark.parametrize("points", ["full", "thinned"])
@pytest.mark.parametrize("radius_px", [1, 3, 10])
def test_torch_and_compiled_search_find_the_same(radius_px, points):
    g = np.random.default_rng(radius_px)
    elevation = g.integers(0, 6, (2, 37, 41)).astype(np.float32)  # few levels: ties everywhere
    elevation[g.random(elevation.shape) < 0.1] = np.nan
    elevation[0, 5, 5] = np.inf
    valid = torch.from_numpy(g.random(elevation.shape) > 0.1)
    x = torch.zeros(2, 3, 37, 41)
    x[:, 0] = torch.from_numpy(elevation)
    align = Align(BANDS, ["elevation"], resolution_m=1, ranges_m=[radius_px], points=points)
    source, above = align.find(x, valid)
    expected = highest_on_ring(x[:, 0], valid, ring(radius_px, points=points))
    assert torch.equal(source[:, 0], expected[0])
    assert torch.equal(above[:, 0], expected[1])
    assert above.any()


def test_on_a_tilted_plane_features_come_from_straight_uphill():
    rows = torch.arange(40.0).view(1, 1, 40, 1).expand(1, 1, 40, 40)
    x = torch.cat([-rows, torch.zeros(1, 2, 40, 40)], dim=1)
    features = Encode(BANDS, STATISTICS)(x)
    align = Align(BANDS, ["elevation", "rock=no value"], resolution_m=10)
    aligned = align(x, torch.ones(1, 40, 40, dtype=torch.bool), features)
    assert align.names[:2] == ("elevation @ 30 m uphill", "rock=no value @ 30 m uphill")
    for r, radius in enumerate((3, 10, 30)):
        assert torch.equal(aligned[0, 2 * r, radius:], features[0, 0, :-radius])
        assert torch.equal(aligned[0, 2 * r + 1, radius:], torch.ones(40 - radius, 40))


def test_on_a_summit_and_on_flat_ground_all_aligned_features_are_zero():
    rows, columns = torch.meshgrid(torch.arange(21.0), torch.arange(21.0), indexing="ij")
    for elevation in (-torch.hypot(rows - 10, columns - 10), torch.zeros(21, 21)):
        x = torch.stack([elevation, torch.zeros(21, 21), torch.ones(21, 21)])[None]
        align = Align(BANDS, ["rock=marl"], resolution_m=10, ranges_m=[30])
        aligned = align(x, torch.ones(1, 21, 21, dtype=torch.bool), Encode(BANDS, STATISTICS)(x))
        assert not aligned[0, :, 10, 10].any()
    assert not aligned.any()


def test_ranges_become_distinct_radii():
    assert radii_px((30, 100, 300), 10) == (3, 10, 30)
    assert radii_px((30, 100, 300), 30) == (1, 3, 10)
    assert radii_px((30, 100, 300), 100) == (1, 2, 3)
    assert radii_px((30, 100, 300), 500) == (1, 2, 3)
    for wrong in ((), (30, 30), (100, 30), (0, 30)):
        with pytest.raises(RecipeError, match="ranges_m"):
            radii_px(wrong, 10)
    with pytest.raises(RecipeError, match="300 cells"):
        radii_px((30, 100, 300), 1)


def test_alignment_says_what_it_lacks():
    with pytest.raises(StackError, match="'dem'"):
        Align(BANDS, ["aspect:north"], resolution_m=10, elevation="dem")
    with pytest.raises(RecipeError, match="nearest is 'rock=flysch'"):
        Align(BANDS, ["rock=flish"], resolution_m=10)
    for names in ([], ["elevation", "elevation"]):
        with pytest.raises(RecipeError, match="at least one"):
            Align(BANDS, names, resolution_m=10)
