"""Laws of explain: what is planted is found by both methods, what is constant is not missed, both stand on disk."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from headscarp.core.band import Band
from headscarp.core.bundle import Bundle
from headscarp.core.errors import GridError, OutputError, SplitError
from headscarp.core.stack import feature_bands, make_stack
from headscarp.explain.explain import explain
from headscarp.explain.permutation import skill_lost
from headscarp.nets import make_net, weights_of
from headscarp.nets.batch import Batch
from headscarp.report.explanation import write_explanation_report
from headscarp.tiles.splits import split_blocks, split_to_json
from headscarp.tiles.statistics import training_statistics

SIDE = 320


@pytest.fixture(scope="module")
def stack() -> xr.Dataset:
    """Slides follow slope and, less, rock 2; noise and a constant band say nothing."""
    rng = np.random.default_rng(0)
    rows, cols = np.mgrid[:SIDE, :SIDE]
    slope = 20 + 10 * np.sin(rows / 40) * np.cos(cols / 50) + rng.normal(0, 3, (SIDE, SIDE))
    rock = 1 + (np.sin(rows / 60 + 1) * np.cos(cols / 45) > 0).astype(int)
    odds = -2.5 + 1.5 * (slope - 20) / 6 + 0.8 * (rock == 2)
    valid = np.ones((SIDE, SIDE), np.uint8)
    valid[:20, :20] = 0
    return make_stack(
        GeoBox((SIDE, SIDE), Affine(20, 0, 500000, 0, -20, 4500000), "EPSG:32633"),
        {
            Band("slope", "continuous", "degree"): slope,
            Band("noise", "continuous"): rng.normal(size=slope.shape),
            Band("always", "continuous"): np.full(slope.shape, 7.0),
            Band("rock", "categorical", classes=("marl", "schist")): rock,
            Band("landslide", "label"): rng.random(slope.shape) < 1 / (1 + np.exp(-odds)),
            Band("valid", "mask"): valid,
        },
    )


@pytest.fixture(scope="module")
def bundle(stack) -> Bundle:
    """A logistic regression that knows the rule, and leans a little on noise."""
    split = split_blocks(stack, block_size_m=1280, seed=1)
    bands = feature_bands(stack)
    statistics = training_statistics(stack, split, bands)
    net = make_net("llr", bands, resolution_m=20, statistics=statistics)
    with torch.no_grad():
        at = {name: i for i, name in enumerate(net.feature_names())}
        for name, weight in {"slope": 1.5, "noise": 0.1, "always": 0.5, "rock=schist": 0.8}.items():
            net.first.weight[0, at[name]] = weight
        net.first.bias[:] = -2.5
    return Bundle("llr", {}, bands, 20.0, weights_of(net), split=split_to_json(split), label="landslide")


@pytest.fixture(scope="module")
def explanation(stack, bundle, tmp_path_factory):
    out = tmp_path_factory.mktemp("explain") / "why"
    return explain(bundle, stack, out, place=(502000.0, 4497000.0), tiles=12, steps=8), out


def test_both_methods_find_what_is_planted(explanation):
    found, _ = explanation
    by_name = {band.band: band for band in found.bands}
    assert [band.band for band in found.bands][:2] == ["slope", "rock"]
    assert max(found.bands, key=lambda b: b.skill_lost).band == "slope"
    assert by_name["slope"].low > 0.1
    assert by_name["rock"].mean > 0
    assert abs(by_name["noise"].skill_lost) < 0.01
    assert sum(band.share for band in found.bands) == pytest.approx(1)
    assert found.completeness_error < 1e-5
    assert found.skill > 0.1
    assert "slope" in found.text[0]


def test_a_constant_band_is_not_missed_and_says_nothing(explanation):
    always = next(band for band in explanation[0].bands if band.band == "always")
    assert (always.skill_lost, always.low, always.high) == (0, 0, 0)
    assert always.strength == 0


def test_what_is_said_stands_on_disk(explanation):
    found, out = explanation
    with (out / "bands.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["band"] for row in rows] == [band.band for band in found.bands]
    assert float(rows[0]["strength"]) == found.bands[0].strength
    record = json.loads((out / "explanation.json").read_text())
    assert record["made"]["made_by"] == "headscarp explain"
    assert record["place"]["pixel"] == [150, 100]
    page = write_explanation_report(found, out)
    assert page.read_text().count("data:image/png") == 2
    assert {path.name for path in out.glob("*.png")} == {"bands.png", "place.png"}


def test_around_a_place_a_linear_net_gives_its_own_sum(stack, bundle, explanation):
    place = explanation[0].place
    row, col = place.pixel
    net_log_odds = np.log(place.probability / (1 - place.probability))
    here = (slice(None), row - place.window.row, col - place.window.col)
    assert place.planes[here].sum() - 2.5 == pytest.approx(net_log_odds, abs=1e-4)
    assert place.planes.shape == (4, 128, 128)


def test_a_place_in_degrees_is_the_same_place(stack, bundle, explanation, tmp_path):
    lon, lat = Transformer.from_crs("EPSG:32633", "EPSG:4326", always_xy=True).transform(502010, 4496990)
    found = explain(bundle, stack, tmp_path / "why", place=(lon, lat), tiles=2, steps=2, repeats=1)
    assert found.place.pixel == explanation[0].place.pixel


def test_the_same_seed_says_the_same(stack, bundle, tmp_path):
    a, b, c = (explain(bundle, stack, tmp_path / str(i), tiles=4, steps=2, seed=s) for i, s in enumerate((1, 1, 2)))
    assert a.bands == b.bands
    assert a.bands != c.bands


def test_what_cannot_be_explained_is_refused(stack, bundle, tmp_path):
    with pytest.raises(GridError, match="not on the grid, which reaches from x 500000 to 506400"):
        explain(bundle, stack, tmp_path / "a", place=(1.0, 2.0))
    with pytest.raises(GridError, match="is not valid"):
        explain(bundle, stack, tmp_path / "a", place=(500100.0, 4499900.0), tiles=2)
    (tmp_path / "there").mkdir()
    with pytest.raises(OutputError):
        explain(bundle, stack, tmp_path / "there")


def test_shuffling_needs_two_tiles_and_gives_none_its_own():
    rng = np.random.default_rng(0)
    x = torch.arange(5.0)[:, None, None, None, None].expand(5, 1, 1, 4, 4)
    y = torch.from_numpy(rng.integers(0, 2, (5, 1, 4, 4)).astype(np.uint8))
    batches = [
        Batch(one.clone(), torch.ones(1, 4, 4, dtype=torch.bool), label) for one, label in zip(x, y, strict=True)
    ]
    seen = []

    def predictor(batch):
        seen.append(float(batch.x[0, 0, 0, 0]))
        return np.full((1, 4, 4), 0.5, np.float32)

    skill_lost(predictor, batches, rng, repeats=2)
    assert seen[:5] == [0, 1, 2, 3, 4]
    for repeat in (seen[5:10], seen[10:15]):
        assert sorted(repeat) == [0, 1, 2, 3, 4]
        assert all(mine != own for mine, own in zip(repeat, range(5), strict=True))
    assert (skill_lost(predictor, [replace(b, x=b.x * 0) for b in batches], rng)[1] == 0).all()
    with pytest.raises(SplitError, match="needs 2 or more"):
        skill_lost(predictor, batches[:1], rng)
