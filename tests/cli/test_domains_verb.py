"""headscarp domains as a person uses it: looked at first, built, drawn; what is wrong is one line and exit code 2."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from headscarp.cli import app, output

RECIPE = """name = "tiny"

[simulate]
regions = ["japan", "andes"]
samples_per_region = 7
frames = 2
side_px = 16
"""


def run(*words: object) -> SimpleNamespace:
    done = CliRunner().invoke(app, [str(word) for word in words])
    output.as_json = False
    return SimpleNamespace(code=done.exit_code, text=done.output)


@pytest.fixture
def recipe(tmp_path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(RECIPE, encoding="utf-8")
    return path


def test_a_dry_run_says_what_would_be_built_and_builds_nothing(recipe, tmp_path):
    said = run("domains", "build", recipe, "--out", tmp_path / "d.zarr", "--dry-run")
    assert said.code == 0
    assert "14 samples of 2 slots, 16 x 16 cells" in said.text
    assert "simulated; no real place" in said.text
    assert not (tmp_path / "d.zarr").exists()


def test_domains_are_built_and_drawn(recipe, tmp_path):
    said = run("--json", "domains", "build", recipe, "--out", tmp_path / "d.zarr", "--workers", 1)
    assert said.code == 0
    facts = json.loads(said.text.strip().splitlines()[-1])
    assert (facts["samples"], facts["simulated"]) == (14, True)
    drawn = run("domains", "show", tmp_path / "d.zarr", "--out", tmp_path / "p.png", "--sample", "japan-00002")
    assert drawn.code == 0
    assert (tmp_path / "p.png").is_file()
    again = run("domains", "build", recipe, "--out", tmp_path / "d.zarr")
    assert again.code == 2
    assert "exists already" in again.text


def test_an_unknown_key_is_one_line_and_exit_code_2(tmp_path):
    path = tmp_path / "wrong.toml"
    path.write_text(RECIPE.replace("frames", "frame"), encoding="utf-8")
    said = run("domains", "build", path, "--out", tmp_path / "d.zarr")
    assert said.code == 2
    assert "did you mean 'frames'" in said.text
