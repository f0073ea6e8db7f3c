"""The small configuration of the docs, word for word, on a recipe that is tinier still."""

import pytest

from headscarp.core.bundle import open_bundle
from headscarp.evaluation.tables import read_table
from headscarp.train.opponents import OPPONENTS
from verbs import all_of_it

TINIER = {
    "samples_per_region = 140": "samples_per_region = 14",
    "frames = 8": "frames = 3",
    "side_px = 32": "side_px = 16",
    "place_px = 32": "place_px = 16",
    "epochs = 16": "epochs = 2",
    "epochs = 6": "epochs = 1",
    '"india", "japan", "andes", "alps", "indonesia"': '"india"',
}
pytestmark = [
    pytest.mark.filterwarnings("ignore:the .* part has no landslide"),
    pytest.mark.filterwarnings("ignore:.* resamples had no"),
]


def test_all_of_it_runs_as_the_docs_say(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = all_of_it("forecast.md", "domains_small.toml", TINIER, tmp_path)
    assert "Held-out ELBO" in told
    assert "Log-skill" in told
    assert open_bundle(tmp_path / "forecast").split["settings"]["hold_out"] == "india"
    rows = read_table(tmp_path / "metrics")
    assert {"forecast", "law", *OPPONENTS} == {row.net for row in rows}
    for page in ("metrics/report.html", "latent/latent.html"):
        assert "Simulated: no real place" in (tmp_path / page).read_text()
