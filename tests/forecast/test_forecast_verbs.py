"""The verbs of forecasts, from a stack on disk to a bundle, a table and a page."""

import numpy as np
import pytest
from series_world import series_world
from typer.testing import CliRunner

from headscarp.cli import app
from headscarp.core.bundle import open_bundle
from headscarp.core.errors import StackError
from headscarp.core.stack import open_stack
from headscarp.evaluation.tables import read_table
from headscarp.train.config import FitConfig
from headscarp.train.fit import fit
from headscarp.train.judging import judge_places
from headscarp.train.opponents import OPPONENTS
from verbs import succeed as run

CONFIG = """
[train.forecast]
epochs = 2
batch_size = 8
net_arguments = { place_px = 16, channels = 8 }
[train.vae]
epochs = 2
net_arguments = { place_px = 16, base = 4, latents = 4 }
"""
pytestmark = [
    pytest.mark.filterwarnings("ignore:the .* part has no landslide"),
    pytest.mark.filterwarnings("ignore:.* resamples had no"),
]


def store(stack, path):
    stack.assign_attrs(simulated="a small world").to_zarr(path, zarr_format=3, consolidated=False)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("forecast")
    store(series_world(48), home / "domains.zarr")
    (home / "train.toml").write_text(CONFIG)
    config, workers = ("--config", home / "train.toml"), ("--workers", 1)
    for net in ("forecast", "vae"):
        more = ("--hold-out-region", "india")
        run("train", home / "domains.zarr", "--net", net, "--out", home / net, *more, *config, *workers)
    return home


def test_a_forecast_is_trained_judged_and_told(home):
    bundle = open_bundle(home / "forecast")
    assert bundle.split["settings"]["hold_out"] == "india"
    assert bundle.arguments["slots"] == open_stack(home / "domains.zarr").sizes["time"]
    assert any(row["metric"] == "log_skill 30 d" for row in bundle.metrics)
    told = run("evaluate", home / "forecast", home / "domains.zarr", "--out", home / "metrics")
    assert "Log-skill" in told
    rows = read_table(home / "metrics")
    assert {"forecast", "law", *OPPONENTS} == {row.net for row in rows}
    assert {"region: india", "region: andes", "test", "train", "validation"} <= {row.part for row in rows}
    assert any(row.metric.startswith("gap: ") for row in rows)
    page = (home / "metrics" / "report.html").read_text()
    assert "a small world" in page
    assert "Worst region" in page
    surest = {row.net for row in rows if row.metric == "accuracy of the surest 40 %" and row.part == "test"}
    assert surest == {row.net for row in rows}
    assert {row.part for row in rows if row.metric == "set_coverage"} >= {"test", "region: india", "region: andes"}
    assert {"set_cut", "cause_cut: rain"} <= {row["metric"] for row in bundle.metrics}
    assert {row.part for row in rows if row.metric == "cause_f1 from cuts"} == {"train", "test"}
    assert "A cause is said from a probability on" in page
    assert "Warnings" in page
    assert "Lead over opponents" in page
    assert "ahead of it" in told


def test_trainings_of_other_seeds_on_one_split_are_joined_and_judged(home):
    one, both = home / "forecast-1", home / "both"
    more = ("--split", home / "forecast" / "split.geojson", "--seed", 1, "--config", home / "train.toml")
    run("train", home / "domains.zarr", "--net", "forecast", "--out", one, *more, "--workers", 1)
    run("ensemble", home / "forecast", one, "--out", both)
    assert "2 members" in run("info", both)
    bundles = (home / "forecast", one, both)
    said = [judge_places(b, home / "domains.zarr", parts=("test",), opponents=False) for b in bundles]
    each = [found.said["forecast", "test"].hazards for found in said]
    np.testing.assert_allclose(each[2], (each[0] + each[1]) / 2, atol=1e-6)


def test_a_forecast_may_be_judged_with_another_delay(home):
    plain, late = (
        judge_places(home / "forecast", home / "domains.zarr", parts=("test",), opponents=False, delay_days=delay)
        for delay in (None, 60)
    )
    assert not np.array_equal(plain.said["forecast", "test"].hazards, late.said["forecast", "test"].hazards)


def test_the_latent_space_is_shown(home):
    told = run("latent", home / "vae", home / "domains.zarr", "--out", home / "latent")
    assert "Held-out ELBO" in told
    page = (home / "latent" / "latent.html").read_text()
    assert "region" in page
    assert page.count("data:image/png") >= 5


def test_nets_and_stacks_that_do_not_go_together_are_refused(home, tmp_path):
    stack = series_world(6)
    with pytest.raises(StackError, match="frames in time and this net reads one"):
        fit(stack, net="llr", out=tmp_path / "llr", config=FitConfig(epochs=1))
    one = stack.isel(time=0, sample=0)
    with pytest.raises(StackError, match=r"no frames|no grid"):
        judge_places(home / "forecast", one)
    found = CliRunner().invoke(app, ["latent", str(home / "forecast"), str(home / "domains.zarr"), "--out", "x"])
    assert found.exit_code == 2
