"""Points: a planted rule is found, areas are harder than neighbours, and the published Ecuador figures are met."""

import os
from pathlib import Path

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from headscarp.assemble import build
from headscarp.sources.datasets import dataset_file
from headscarp.sources.points import Points
from headscarp.train.points import auroc_in_sample, cross_validated_auroc, logistic_regression, point_table

RECIPE = Path(__file__).parents[2] / "recipes" / "ecuador.toml"


def neighbours() -> KNeighborsClassifier:
    return KNeighborsClassifier(7)


def test_areas_are_harder_than_neighbours():
    rng = np.random.default_rng(0)
    places = rng.uniform(0, 1000, (300, 2))
    bumps = np.sin(places[:, 0] / 120) * np.cos(places[:, 1] / 120)
    y = (bumps + 0.3 * rng.normal(size=300) > 0).astype(int)
    found = {
        kind: cross_validated_auroc(neighbours, (places, y, places), kind=kind, repeats=5).mean()
        for kind in ("random", "kmeans")
    }
    assert found["kmeans"] < found["random"] - 0.1


@pytest.mark.skipif("HEADSCARP_DATA" not in os.environ, reason="HEADSCARP_DATA names no mirror of the data sets")
@pytest.mark.filterwarnings("ignore::headscarp.core.errors.HeadscarpWarning")
def test_the_published_figures_of_ecuador(tmp_path):
    """Lovelace, Nowosad and Muenchow, Geocomputation with R, ch. 12: 0.82 in sample, 0.81 random, 0.77 spatial."""
    stack = build(RECIPE, tmp_path / "ecuador.zarr")
    points = Points(str(dataset_file("ecuador_susceptibility/lsl.csv")), value="lslpts", crs="EPSG:32717")
    table = point_table(stack, points)
    assert table[0].shape == (350, 5)
    assert auroc_in_sample(logistic_regression(), *table[:2]) == pytest.approx(0.8216, abs=5e-4)
    assert cross_validated_auroc(logistic_regression, table, kind="random", repeats=20).mean() == pytest.approx(
        0.81, abs=0.01
    )
    assert cross_validated_auroc(logistic_regression, table, kind="kmeans", repeats=20).mean() == pytest.approx(
        0.77, abs=0.015
    )
