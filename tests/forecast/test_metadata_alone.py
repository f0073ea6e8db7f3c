"""What position, date and weather alone tell of the class of places, and that squares are never parted."""

import numpy as np
import pytest
from series_world import series_world
from typer.testing import CliRunner

from headscarp.cli import app
from headscarp.core.errors import StackError
from headscarp.evaluation.tables import read_table
from headscarp.train.metadata import FEWEST, judge_metadata

pytestmark = pytest.mark.filterwarnings("ignore:.* resamples had no")


def world(classes, count=120):
    stack = series_world(count)
    rng = np.random.default_rng(0)
    stack = stack.assign_coords(latitude=("sample", rng.uniform(-40, 40, count).astype(np.float32)))
    return stack.assign_coords({"class": ("sample", np.array(classes(stack), object))})


def store(stack, path):
    stack.to_zarr(path, zarr_format=3, consolidated=False)
    return path


def test_rain_that_tells_the_class_is_found_in_the_weather_and_nowhere_else(tmp_path):
    wet = world(lambda stack: np.where(stack["soil_moisture"][:, -1] > 0.25, "wet", "dry"))
    found = judge_metadata(store(wet, tmp_path / "wet.zarr"), out=tmp_path / "told")
    assert found.value("auroc", net="weather").value > 0.95
    assert found.value("auroc", net="all").value > 0.95
    assert found.value("auroc", net="position").value < 0.75
    assert found.value("auroc", net="majority").value == 0.5
    assert {row.net for row in read_table(tmp_path / "told")} == {"all", "position", "date", "weather", "majority"}


def test_a_collection_that_was_gathered_by_date_gives_itself_away(tmp_path):
    late = world(lambda stack: np.where(np.arange(120) % 2, "a", "b"))
    late["days"] = late["days"] - 200 * np.arange(120)[:, None] % 400
    found = judge_metadata(store(late, tmp_path / "late.zarr"))
    assert found.value("auroc", net="date").value > 0.9


def test_what_cannot_be_judged_is_refused(tmp_path):
    one = world(lambda stack: ["a"] * 120)
    with pytest.raises(StackError, match="has 1 classes of places"):
        judge_metadata(store(one, tmp_path / "one.zarr"))
    few = world(lambda stack: ["a"] * (121 - FEWEST) + ["b"] * (FEWEST - 1))
    with pytest.raises(StackError, match="nothing to tell apart"):
        judge_metadata(store(few, tmp_path / "few.zarr"))
    half = store(world(lambda stack: ["a", "b"] * 60), tmp_path / "half.zarr")
    near = world(lambda stack: ["a", "b"] * 60)
    near = near.assign_coords({name: near[name] * 0 for name in ("latitude", "longitude")})
    with pytest.raises(StackError, match="take smaller squares"):
        judge_metadata(store(near, tmp_path / "near.zarr"))
    with pytest.raises(StackError, match="at most 90"):
        judge_metadata(half, square_deg=0)


def test_an_inventory_with_causes_may_be_judged_too(tmp_path):
    head = "event_id,event_date,landslide_category,landslide_trigger,longitude,latitude"
    rng = np.random.default_rng(0)
    rows = [head]
    for i in range(120):
        cause, x = (("rain", 0), ("earthquake", 40), ("", 0))[i % 3]
        date = f"{1 + i % 12:02d}/{1 + i % 28:02d}/2012 12:00:00 AM"
        rows.append(f"{i},{date},landslide,{cause},{x + rng.uniform(0, 20):.3f},{rng.uniform(0, 20):.3f}")
    (tmp_path / "events.csv").write_text("\n".join(rows) + "\n")
    for words in (
        ("catalog", tmp_path / "events.csv", "--out", tmp_path / "events.gpkg"),
        ("domains", "metadata", tmp_path / "events.gpkg", "--out", tmp_path / "told"),
    ):
        found = CliRunner().invoke(app, [*map(str, words)])
        assert found.exit_code == 0, found.output
    of = {(row.net, row.metric): row.value for row in read_table(tmp_path / "told")}
    assert of["all", "n"] == 80
    assert of["position", "auroc"] > 0.95
    assert "Who is taken for whom" in (tmp_path / "told" / "report.html").read_text()
