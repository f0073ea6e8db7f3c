"""The small configuration of the docs, word for word, on a recipe that is tinier still."""

import re
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from headscarp.cli import app
from headscarp.core.bundle import open_bundle
from headscarp.evaluation.tables import read_table
from headscarp.train.opponents import OPPONENTS

HOME = Path(__file__).parents[2]
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


def commands() -> list[str]:
    """The lines of the block below the heading, without the program's name."""
    page = (HOME / "docs" / "forecast.md").read_text()
    block = re.search(r"## All of it, small\n.*?```sh\n(.*?)```", page, flags=re.DOTALL)
    assert block is not None
    lines = block[1].replace("\\\n", " ").splitlines()
    assert all(line.startswith("headscarp ") for line in lines)
    return [line.removeprefix("headscarp ") for line in lines]


def test_all_of_it_runs_as_the_docs_say(tmp_path, monkeypatch):
    recipe = (HOME / "recipes" / "domains_small.toml").read_text()
    for full, tiny in TINIER.items():
        assert full in recipe, full
        recipe = recipe.replace(full, tiny)
    tomllib.loads(recipe)
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "domains_small.toml").write_text(recipe)
    monkeypatch.chdir(tmp_path)
    told = ""
    for line in commands():
        found = CliRunner().invoke(app, line.split())
        assert found.exit_code == 0, f"{line}\n{found.output}"
        told += found.output
    assert "Held-out ELBO" in told
    assert "Log-skill" in told
    assert open_bundle(tmp_path / "forecast").split["settings"]["hold_out"] == "india"
    rows = read_table(tmp_path / "metrics")
    assert {"forecast", "law", *OPPONENTS} == {row.net for row in rows}
    for page in ("metrics/report.html", "latent/latent.html"):
        assert "Simulated: no real place" in (tmp_path / page).read_text()
