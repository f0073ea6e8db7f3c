"""The small scenarios of the docs, word for word, on a recipe that is tinier still."""

import pytest

from headscarp.core.bundle import open_bundle
from headscarp.evaluation.tables import read_table
from verbs import all_of_it

TINIER = {
    "places_per_region = 12": "places_per_region = 10",
    "side_px = 32": "side_px = 16",
    '"china", "india", "japan", "andes", "alps", "indonesia"': '"india"',
    "futures = 2": 'futures = 2\ntasks = ["identity", "mining", "rain"]',
    "epochs = 6": "epochs = 1",
    "epochs = 4": "epochs = 1",
    "base = 16": "base = 8",
}
pytestmark = pytest.mark.filterwarnings("ignore:.* resamples had no")


def test_all_of_it_runs_as_the_docs_say(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = all_of_it("scenario.md", "scenarios_small.toml", TINIER, tmp_path)
    assert "differences.csv" in told
    assert {"flow", "direct", "cgan"} == {open_bundle(tmp_path / net).net for net in ("flow", "direct", "cgan")}
    judged = {row.net for row in read_table(tmp_path / "metrics")}
    assert {"flow", "direct", "cgan", "copy_the_input", "nearest_pair", "law"} <= judged
    for picture in ("examples.png", "same-futures.png"):
        assert (tmp_path / "metrics" / picture).exists(), picture
