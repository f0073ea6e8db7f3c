"""Each region held out once: who has learned from whom, and what stands in the table."""

import numpy as np
import pytest
from series_world import REGIONS, series_world
from typer.testing import CliRunner

from headscarp.cli import app
from headscarp.core.errors import RecipeError, SplitError
from headscarp.core.stack import fingerprint
from headscarp.evaluation.tables import read_table
from headscarp.tiles.regions import region_names
from headscarp.tiles.splits import split_regions
from headscarp.train.leaveout import leave_out

COUNT = 54
CONFIG = """
[train.forecast]
epochs = 1
batch_size = 18
net_arguments = { place_px = 16, channels = 4 }
"""
pytestmark = [
    pytest.mark.filterwarnings("ignore:the .* part has no landslide"),
    pytest.mark.filterwarnings("ignore:.* resamples had no"),
]


def test_only_the_regions_that_are_named_teach():
    stack = series_world(COUNT)
    told = np.array(region_names(stack))
    split = split_regions(stack, hold_out="india", learn_from=("andes",), seed=1)
    parts = {part: {str(told[p.sample]) for p in split.part(part)} for part in ("train", "validation", "test")}
    assert parts == {"train": {"andes"}, "validation": {"andes"}, "test": {"india"}}
    with pytest.raises(SplitError, match="no region 'alps'"):
        split_regions(stack, hold_out="india", learn_from=("alps",))


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home, stack = tmp_path_factory.mktemp("regions"), series_world(COUNT)
    told = {"simulated": "a small world", "fingerprint": fingerprint(stack)}
    stack.assign_attrs(told).to_zarr(home / "domains.zarr", zarr_format=3, consolidated=False)
    (home / "train.toml").write_text(CONFIG)
    words = ["regions", home / "domains.zarr", "--out", home / "out", "--config", home / "train.toml"]
    words += ["--workers", 1, "--curve", "india"]
    found = CliRunner().invoke(app, [*map(str, words)])
    assert found.exit_code == 0, found.output
    assert "on the mean of 3 regions" in found.output
    return home


def test_every_region_is_held_out_and_the_law_stands_beside(home):
    rows = {(r.net, r.part, r.metric): r for r in read_table(home / "out")}
    for region in REGIONS:
        for who in ("forecast", "law"):
            assert (who, f"region: {region}", "average_precision 30 d") in rows
            assert (who, f"region: {region}", "gap: log_skill 180 d") in rows
        assert 0 <= rows["forecast", f"region: {region}", "set_coverage"].value <= 1
    name = "gap: average_precision 180 d"
    each = [rows["law", f"region: {region}", name].value for region in REGIONS]
    assert rows["law", "test", name].value == pytest.approx(np.mean(each))
    assert rows["law", "test", name].low <= rows["law", "test", name].value <= rows["law", "test", name].high
    assert ("forecast from 1", "region: india", name) in rows
    page = (home / "out" / "regions.html").read_text()
    assert "a small world" in page
    assert "Worst region: " in page
    assert "data:image/png" in page


def test_it_goes_on_where_it_was(home):
    before = (home / "out" / "metrics.csv").read_bytes()
    (home / "out" / "said" / "andes-test.npz").unlink()
    words = ["regions", home / "domains.zarr", "--out", home / "out", "--config", home / "train.toml"]
    words += ["--workers", 1, "--curve", "india", "--resume"]
    found = CliRunner().invoke(app, [*map(str, words)])
    assert found.exit_code == 0, found.output
    assert (home / "out" / "metrics.csv").read_bytes() == before


def test_what_cannot_be_is_refused(tmp_path):
    with pytest.raises(RecipeError, match="does not judge places"):
        leave_out(series_world(18), net="vae", out=tmp_path / "a")
    with pytest.raises(SplitError, match="no region 'indja'"):
        leave_out(series_world(18), out=tmp_path / "b", regions=["indja"])
