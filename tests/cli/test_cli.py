"""The command line as a person uses it: every verb, its files, its exit codes, its errors."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import rasterio

from headscarp.core.stack import write_stack
from headscarp.sources.world import simulate_valley
from headscarp.tiles.splits import read_split

COLUMNS = ["net", "split", "part", "metric", "value", "low", "high"]
METRICS = {
    *("nll", "skill", "auroc", "average_precision", "brier", "ece", "accuracy"),
    *("precision", "recall", "f1", "iou", "iou_not", "mean_iou", "prevalence", "n"),
}
VERBS = ("demo", "run", "build", "audit", "train", "evaluate", "compare", "search", "predict", "info", "datasets")


def headscarp(*words: object, ok: bool = True, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from headscarp.cli import main; main()", *map(str, words)]
    environment = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, env=environment, cwd=cwd)
    if ok:
        assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with a small valley, a quick training configuration and a trained llr."""
    folder = tmp_path_factory.mktemp("place")
    write_stack(simulate_valley((160, 200), seed=1, prevalence=0.05).stack, folder / "stack.zarr")
    (folder / "quick.toml").write_text("[train]\nepochs = 2\ntile_px = 64\nlearning_rate = 0.02\n")
    headscarp(
        *("train", folder / "stack.zarr", "--net", "llr", "--out", folder / "llr", "--block-size-m", 400),
        *("--config", folder / "quick.toml"),
    )
    return folder


def test_help_teaches_and_needs_nothing_heavy():
    text = headscarp("--help").stdout
    for verb in VERBS:
        assert verb in text
        assert "--help" in headscarp(verb, "--help").stdout
    code = "import headscarp.cli, sys; print([m for m in ('torch','numpy','xarray','rasterio') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_version():
    assert headscarp("--version").stdout.startswith("headscarp 0.")


def test_train_leaves_a_bundle_and_refuses_to_replace_it(place):
    names = {p.name for p in (place / "llr").iterdir()}
    assert {"bundle.json", "weights.safetensors", "split.geojson", "history.csv"} <= names
    again = headscarp("train", place / "stack.zarr", "--net", "llr", "--out", place / "llr", ok=False)
    assert again.returncode == 2
    assert "--overwrite" in again.stderr
    assert "Traceback" not in again.stderr


def test_evaluate_writes_the_tidy_table_and_a_page(place):
    headscarp("evaluate", place / "llr", place / "stack.zarr", "--out", place / "metrics")
    with (place / "metrics" / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == COLUMNS
    assert {row["metric"] for row in rows} == METRICS
    assert {row["part"] for row in rows} == {"train", "validation", "test"}
    assert len(json.loads((place / "metrics" / "metrics.json").read_text())) == len(rows)
    page = (place / "metrics" / "report.html").read_text()
    assert "data:image/png;base64," in page
    assert "simulated" in page
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_predict_and_info(place):
    headscarp("predict", place / "llr", place / "stack.zarr", "--out", place / "map.tif", "--block-px", 512)
    with rasterio.open(place / "map.tif") as raster:
        assert (raster.height, raster.width) == (160, 200)
        values = raster.read(1, masked=True)
        assert 0 < values.min() < values.max() < 1
    text = headscarp("info", place / "map.tif").stdout
    assert "headscarp predict" in text
    assert "EPSG:32632" in text
    facts = json.loads(headscarp("--json", "info", place / "llr").stdout)
    assert "llr" in facts["kind"]
    assert "stack" in headscarp("info", place / "stack.zarr").stdout


def test_audit_reads_a_saved_split_and_says_a_verdict(place):
    split = place / "llr" / "split.geojson"
    assert read_split(split).kind == "blocks"
    found = headscarp("audit", place / "stack.zarr", "--split", split, "--net", "llr")
    assert "no leak" in found.stdout
    crossed = headscarp("audit", place / "stack.zarr", "--split", "random", "--net", "cnn")
    assert "context overlaps" in crossed.stdout


def test_compare_goes_on_where_it_was_stopped(place):
    words = [
        *("compare", place / "stack.zarr", "--nets", "prevalence,slope,llr,forest", "--splits", "blocks,random"),
        *("--block-size-m", 400, "--config", place / "quick.toml", "--out", place / "compare"),
    ]
    headscarp(*words)
    first = (place / "compare" / "metrics.csv").read_bytes()
    refused = headscarp(*words, ok=False)
    assert refused.returncode == 2
    journal = place / "compare" / "journal.jsonl"
    journal.write_text("".join(line + "\n" for line in journal.read_text().splitlines()[:4]))
    done = headscarp(*words, "--resume")
    assert (place / "compare" / "metrics.csv").read_bytes() == first
    assert "forest" in done.stdout
    assert "optimism of neighbours" in done.stdout


def test_search_names_a_rate(place):
    done = headscarp(
        *("search", place / "stack.zarr", "--net", "llr", "--out", place / "search", "--folds", 3),
        *("--block-size-m", 300),
    )
    assert "learning rate" in done.stdout
    assert (place / "search" / "search.csv").is_file()


def test_run_does_a_whole_recipe(tmp_path):
    write_recipe(tmp_path)
    headscarp("run", tmp_path / "recipe.toml", "--out", tmp_path / "run")
    assert (tmp_path / "run" / "map.tif").is_file()
    assert (tmp_path / "run" / "report.html").is_file()
    refused = headscarp("run", tmp_path / "recipe.toml", "--out", tmp_path / "run", ok=False)
    assert refused.returncode == 2
    again = headscarp("run", tmp_path / "recipe.toml", "--out", tmp_path / "run", "--resume")
    assert "report" in again.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["predict", "{place}/none", "{place}/stack.zarr", "--out", "{tmp}/m.tif"], "there is no bundle"),
        (["predict", "{place}/llr", "{place}/none.zarr", "--out", "{tmp}/m.tif"], "there is no stack"),
        (["train", "{place}/stack.zarr", "--net", "sacn", "--out", "{tmp}/x"], "did you mean 'sacnn'"),
        (["build", "{place}/none.toml", "--out", "{tmp}/x.zarr"], "none.toml"),
        (["info", "{place}/none.tif"], "there is no"),
        (["compare", "{place}/stack.zarr", "--nets", "llr,forrest", "--out", "{tmp}/c"], "did you mean 'forest'"),
        (["evaluate", "{place}/llr", "{place}/stack.zarr", "--out", "{place}/llr"], "exists already"),
    ],
)
def test_what_a_user_can_mend_is_one_line_and_exit_code_2(place, tmp_path, words, message):
    done = headscarp(*[w.format(place=place, tmp=tmp_path) for w in words], ok=False)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_key_in_a_recipe_names_the_nearest(tmp_path):
    write_recipe(tmp_path)
    text = (tmp_path / "recipe.toml").read_text().replace("block_size_m", "blok_size_m")
    (tmp_path / "recipe.toml").write_text(text)
    done = headscarp("build", tmp_path / "recipe.toml", "--out", tmp_path / "s.zarr", ok=False)
    assert done.returncode == 2
    assert "block_size_m" in done.stderr


def write_recipe(folder: Path) -> None:
    """A recipe over a DEM, a rock map and landslide polygons made from a small valley."""
    import geopandas
    import rasterio.features
    from shapely.geometry import shape

    from headscarp.core.stack import stack_grid

    stack = simulate_valley((160, 160), seed=2, prevalence=0.05).stack
    grid = stack_grid(stack)
    profile = {
        "driver": "GTiff",
        "height": 160,
        "width": 160,
        "count": 1,
        "crs": str(grid.crs),
        "transform": grid.affine,
    }
    for name, dtype in (("elevation", "float32"), ("lithology", "uint8")):
        with rasterio.open(folder / f"{name}.tif", "w", dtype=dtype, **profile) as file:
            file.write(stack[name].values, 1)
    slides = stack["landslide"].values
    polygons = [shape(g) for g, v in rasterio.features.shapes(slides, transform=grid.affine) if v == 1]
    geopandas.GeoDataFrame(geometry=polygons, crs=str(grid.crs)).to_file(folder / "slides.gpkg")
    (folder / "recipe.toml").write_text(
        """
name = "small"
[grid]
like = "elevation.tif"
[[band]]
name = "elevation"
raster = "elevation.tif"
kind = "continuous"
units = "m"
[[band]]
name = "slope"
terrain = "slope"
from = "elevation"
[[band]]
name = "lithology"
raster = "lithology.tif"
kind = "categorical"
[label]
polygons = "slides.gpkg"
[split]
kind = "blocks"
block_size_m = 400.0
folds = 4
[train]
net = "llr"
epochs = 2
tile_px = 64
[compare]
nets = ["prevalence", "llr"]
splits = ["blocks", "random"]
"""
    )


def test_the_written_reference_is_what_help_says():
    from headscarp.cli.reference import reference

    written = Path(__file__).parents[2] / "docs" / "cli.md"
    assert written.read_text(encoding="utf-8") == reference(), "docs/cli.md has drifted from --help; run: make docs"
