"""Figures come whole from plain arrays, hillshade is light from the north-west, and a page stands by itself."""

import numpy as np
import pytest

from headscarp.evaluation.streaming import ScoreHistogram
from headscarp.report import figures
from headscarp.report.page import Page, Section, Table, write_page

EXTENT = (2.0, 1.0)


@pytest.fixture
def scores() -> ScoreHistogram:
    rng = np.random.default_rng(0)
    p = rng.beta(1, 20, 5000).astype("float32")
    return ScoreHistogram.of(p, (rng.uniform(size=5000) < p).astype("uint8"))


def test_every_figure_can_be_saved(scores, tmp_path):
    roc, found, bins = scores.roc_curve(), scores.precision_recall_curve(), scores.reliability_by_mass(10)
    rng = np.random.default_rng(1)
    labels = rng.choice(np.array([0, 1, 255], np.uint8), (50, 100), p=[0.8, 0.05, 0.15])
    probability = rng.uniform(0, 0.2, (50, 100)).astype("float32")
    probability[:5] = np.nan
    history = {"epoch": [1, 2, 3], "validation_nll": [0.2, 0.1, float("nan")], "loss": [0.3, 0.2, 0.1]}
    made = {
        "roc": figures.roc_figure({"a": (roc.x, roc.y)}, {"a": 0.8}),
        "pr": figures.precision_recall_figure({"a": (found.x, found.y)}, {"a": 0.2}, 0.05),
        "reliability": figures.reliability_figure({"a": (bins.predicted, bins.observed, bins.n)}, 0.05),
        "history": figures.history_figure({"a": history}, 0.15),
        "partition": figures.partition_figure(rng.integers(0, 4, (50, 100)), labels, EXTENT),
        "map": figures.susceptibility_figure({"a": probability}, labels, rng.normal(size=(50, 100)), EXTENT),
        "flat map": figures.susceptibility_figure({"a": probability}, labels, None, EXTENT),
        "intervals": figures.intervals_figure({"blocks": {"a": (0.5, 0.4, 0.6), "b": (0.5, np.nan, np.nan)}}, "auroc"),
    }
    for name, figure in made.items():
        path = figures.save_figure(figure, tmp_path / f"{name}.png")
        assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_light_comes_from_the_north_west():
    rows, cols = np.mgrid[0:40, 0:40].astype("float32")
    facing = figures.hillshade((rows + cols) * 10, (0.4, 0.4))  # rises to the south-east: it faces the light
    turned = figures.hillshade(-(rows + cols) * 10, (0.4, 0.4))
    flat = figures.hillshade(np.zeros((40, 40), "float32"), (0.4, 0.4))
    assert facing[20, 20] > flat[20, 20] > turned[20, 20]
    assert flat[20, 20] == pytest.approx(np.sin(np.pi / 4))


def test_a_page_stands_by_itself_and_escapes_what_it_is_given(scores, tmp_path):
    curve = scores.roc_curve()
    png = figures.save_figure(figures.roc_figure({"a": (curve.x, curve.y)}, {"a": 0.8}), tmp_path / "roc.png")
    table = Table(("", "auroc"), (("llr <b>", "0.8"),))
    page = Page("A & B", ("First.",), [Section("S", ("text",), ((png, "caption"),), table)], notice="simulated")
    html = write_page(page, tmp_path / "page.html").read_text()
    assert "A &amp; B" in html
    assert "llr &lt;b&gt;" in html
    assert "data:image/png;base64," in html
    assert "<script" not in html
    assert 'src="http' not in html
