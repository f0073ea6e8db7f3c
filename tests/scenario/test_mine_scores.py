"""What sites are scored and held against: areas in hectares, metrics by hand, scores that say nothing."""

import geopandas as gpd
import numpy as np
import pytest
import shapely
import torch
from mining_world import BANDS

from headscarp.assemble.pairs import regions_of
from headscarp.core.errors import HeadscarpWarning, SourceError
from headscarp.evaluation.sites import (
    SiteTruth,
    precision_at_prevalence,
    sensitivity_at_specificity,
    site_gains,
    site_scores,
)
from headscarp.nets.randomfeatures import RandomFeatures
from headscarp.sources.areas import Ground, open_areas
from headscarp.train.minescores import fit_scores, grouped

pytestmark = pytest.mark.filterwarnings("ignore:.* resamples had no")


def test_layers_that_will_not_do_are_refused(tmp_path):
    near = [(-60.0, -8.0)]
    box = shapely.box(-60.1, -8.1, -59.9, -7.9)
    gpd.GeoDataFrame({"a": []}, geometry=[], crs=4326).to_file(tmp_path / "empty.gpkg")
    with pytest.raises(SourceError, match="holds no protected areas at all"):
        open_areas(tmp_path / "empty.gpkg", "protected areas", near)
    with pytest.warns(UserWarning, match="'crs' was not provided"):
        gpd.GeoDataFrame(geometry=[box]).to_file(tmp_path / "bare.gpkg")
    with pytest.raises(SourceError, match="has no CRS"):
        open_areas(tmp_path / "bare.gpkg", "concessions", near)
    gpd.GeoDataFrame(geometry=[shapely.Point(-60, -8)], crs=4326).to_file(tmp_path / "points.gpkg")
    with pytest.raises(SourceError, match="no polygons"):
        open_areas(tmp_path / "points.gpkg", "concessions", near)
    gpd.GeoDataFrame(geometry=[shapely.box(-8.1, -60.1, -7.9, -59.9)], crs=4326).to_file(tmp_path / "turned.gpkg")
    with pytest.raises(SourceError, match="latitude where longitude belongs"):
        open_areas(tmp_path / "turned.gpkg", "concessions", near)
    bow = shapely.Polygon([(-60.1, -8.1), (-59.9, -7.9), (-59.9, -8.1), (-60.1, -7.9)])
    gpd.GeoDataFrame(geometry=[bow, box], crs=4326).to_file(tmp_path / "bow.gpkg")
    with pytest.warns(HeadscarpWarning, match="1 of its 2 polygons were invalid"):
        areas = open_areas(tmp_path / "bow.gpkg", "concessions", near)
    ground = Ground(-60.0, -8.0, (10, 10), 10.0)
    assert areas.over(ground).area_m2 == pytest.approx(
        10_000
    )  # where two areas lie over each other, ground counts once
    with pytest.raises(SourceError, match="no vector file"):
        open_areas(tmp_path / "none.gpkg", "concessions", near)


@pytest.mark.parametrize("crs", [4326, 3857, 32720, 5880])
def test_hectares_do_not_depend_on_the_projection_of_a_layer(tmp_path, crs):
    ground = Ground(-60.02, -8.01, (48, 48), 10.0)
    mask = np.zeros((48, 48), np.bool_)
    mask[:10, :20] = True
    quarter = gpd.GeoDataFrame(geometry=[ground.lonlat(shapely.box(-240, 0, 0, 240))], crs="OGC:CRS84").to_crs(crs)
    quarter.to_file(tmp_path / "quarter.gpkg")
    areas = open_areas(tmp_path / "quarter.gpkg", "concessions", [(-60.02, -8.01)])
    assert areas.over(ground).area_m2 == pytest.approx(240**2, rel=1e-4)
    assert areas.over(ground, ground.cells(mask)).area_m2 == pytest.approx(200 * 100, rel=1e-4)
    assert areas.over(ground, ground.cells(~mask & False)).area_m2 == 0
    assert ground.cells(np.ones((48, 48), np.bool_)).equals(ground.square)


def test_metrics_of_sites_by_hand():
    p = np.array([5.0, 4.0, 3.0, 2.0, 1.0, 0.0])
    y = np.array([1.0, 1.0, 0.0, 1.0, 0.0, 0.0])
    once = np.ones((1, 6))
    assert sensitivity_at_specificity(p, y, once)[0] == pytest.approx(2 / 3)
    assert precision_at_prevalence(p, y, once, prevalence=0.01)[0] == pytest.approx(0.01 / (0.01 + 0.99 / 3))
    assert precision_at_prevalence(p, y, once, prevalence=0.5)[0] == pytest.approx(0.75)
    flat = np.zeros(6)
    assert precision_at_prevalence(flat, y, once, prevalence=0.01)[0] == pytest.approx(0.01)
    assert sensitivity_at_specificity(flat, y, once)[0] == 0
    truth = SiteTruth(y, np.full(6, ""), np.arange(6))
    found = site_scores(p, truth, 0.01, np.random.default_rng(0))
    assert found["auroc"].value == pytest.approx(8 / 9)
    assert found["looked_for"].value == 3
    gain = site_gains(p, p, truth, np.random.default_rng(0))["gain: auroc"]
    assert (gain.value, gain.low, gain.high) == (0, 0, 0)


def test_a_score_that_says_nothing_adds_nothing():
    rng = np.random.default_rng(0)
    holds = (np.arange(200) % 2).astype(float)
    groups = {"kind": (holds + rng.normal(0, 0.6, 200))[:, None], "scenarios": rng.normal(size=(200, 6))}
    fit_part = np.arange(200) < 120
    fitted = fit_scores(groups, holds, fit_part, np.arange(200) // 4)
    test = ~fit_part
    assert fitted.share == 0.5
    assert np.corrcoef(fitted.scores["all"][test], fitted.scores["kind"][test])[0, 1] > 0.95
    assert ((fitted.scores["direct"][test] > 0) == (holds[test] == 1)).mean() > 0.75


def test_what_is_hard_to_explain_at_all_is_no_mine_for_that():
    tasks = ("mining", "no_change", "rain")
    hard = np.array([1.0, 100.0])
    numbers = {f"evidence: {task}": -hard for task in tasks}
    numbers |= {f"scenarios: {space}, {task}": hard for space in ("a", "b") for task in tasks}
    numbers |= {"evidence: mining": -hard + 2, "latents: moved": hard, "scenarios: b, rain": hard + 4}
    groups = grouped(numbers, tasks)
    np.testing.assert_allclose(groups["evidence"], [[2], [2]])
    np.testing.assert_allclose(groups["scenarios"], [[0, 2], [0, 2]])
    np.testing.assert_allclose(groups["latents"][:, 0], hard)


def test_regions_are_clusters_of_positions():
    longitude = np.array([-70, -70.1, 10, 10.1, 179.9, -179.9])
    found = regions_of(np.zeros(6), longitude, 3)
    assert found[:4] == ["region 1", "region 1", found[2], found[2]]
    assert found[4] == found[5]
    assert len(set(found)) == 3
    with pytest.raises(SourceError, match="regions were asked for"):
        regions_of(np.array([np.nan, 0.0]), np.zeros(2), 2)


def test_random_features_are_the_same_again_and_see_pictures_apart():
    x = torch.randn(2, len(BANDS), 16, 16)
    first, again = (RandomFeatures(len(BANDS))(x) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first[0], first[1])
