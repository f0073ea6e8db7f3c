"""headscarp catalog and headscarp datasets as a person uses them."""

import json
import os
from types import SimpleNamespace

import geopandas as gpd
import pytest
import typer
from typer.testing import CliRunner

from headscarp.cli import _mendable, output
from headscarp.cli.catalog import catalog
from headscarp.cli.datasets import datasets
from headscarp.core.errors import HeadscarpWarning
from headscarp.core.provenance import file_sha256, read_made
from headscarp.sources.datasets import CACHE, DATASETS, MIRROR, dataset_file

EVENTS = """event_id,event_date,event_time,landslide_trigger,longitude,latitude
1,8/1/2008 0:00,,downpour,107.45,32.56
2,sometime,,Earthquake,-122.663,45.42
3,9/5/2007 0:00,10:00,snowfall_snowmelt,,
"""


def run(verb, *words) -> SimpleNamespace:
    """One verb in a process that lives on: its exit code and all that it said."""
    app = typer.Typer()
    app.command()(_mendable(verb))
    done = CliRunner().invoke(app, [str(word) for word in words])
    return SimpleNamespace(code=done.exit_code, text=done.output)


@pytest.fixture
def events(tmp_path):
    (tmp_path / "events.csv").write_text(EVENTS)
    return tmp_path / "events.csv"


def test_events_become_a_geopackage_with_what_made_it(events, tmp_path):
    done = run(catalog, events, "--out", tmp_path / "events.gpkg")
    assert done.code == 0, done.text
    lines = [line.split() for line in done.text.splitlines()]
    assert ["downpour", "rain", "1"] in lines
    assert ["snowfall", "snowmelt", "unknown", "1"] in lines
    assert ["without", "date", "1"] in lines
    assert "unreadable date: 1" in done.text
    assert "no coordinates: 1" in done.text
    table = gpd.read_file(tmp_path / "events.gpkg")
    assert table["cause"].tolist() == ["rain", "earthquake", "unknown"]
    made = read_made(tmp_path / "events.gpkg")
    assert made["inputs"][0]["sha256"] == file_sha256(events)
    assert made["settings"]["causes"]["downpour"] == "rain"
    assert {(note["row"], note["value"]) for note in made["notes"]["rows"]} == {(1, "sometime"), (2, "nan, nan")}


def test_an_existing_file_is_refused_unless_told(events, tmp_path):
    (tmp_path / "events.gpkg").write_text("mine")
    done = run(catalog, events, "--out", tmp_path / "events.gpkg")
    assert done.code == 2
    assert "exists already" in done.text
    assert (tmp_path / "events.gpkg").read_text() == "mine"
    assert run(catalog, events, "--out", tmp_path / "events.gpkg", "--overwrite").code == 0


def test_causes_can_be_named(events, tmp_path):
    done = run(catalog, events, "--out", tmp_path / "a.gpkg", "--cause", "snowfall_snowmelt=rain")
    assert done.code == 0
    assert gpd.read_file(tmp_path / "a.gpkg")["cause"].tolist() == ["rain", "earthquake", "rain"]
    for wrong, message in (("rain", "TRIGGER=CAUSE"), ("rain=frogs", "no cause 'frogs'")):
        done = run(catalog, events, "--out", tmp_path / "b.gpkg", "--cause", wrong)
        assert done.code == 2
        assert message in done.text
    assert not (tmp_path / "b.gpkg").exists()


def test_unknown_triggers_and_columns(events, tmp_path):
    events.write_text(EVENTS.replace("downpour", "meteor"))
    with pytest.warns(HeadscarpWarning, match=r"'meteor' \(1\)"):
        assert run(catalog, events, "--out", tmp_path / "a.gpkg").code == 0
    events.write_text(EVENTS.replace("landslide_trigger", "colour"))
    done = run(catalog, events, "--out", tmp_path / "b.gpkg")
    assert done.code == 2
    assert "lacks landslide_trigger" in done.text
    assert "event_id, event_date, event_time, colour" in done.text


def test_json_of_both(events, tmp_path, monkeypatch):
    monkeypatch.setattr(output, "as_json", True)
    told = json.loads(run(catalog, events, "--out", tmp_path / "a.gpkg").text)
    assert told["events"] == 3
    assert told["causes"] == {"rain": 1, "earthquake": 1, "unknown": 1}
    known = json.loads(run(datasets).text)
    assert set(known["datasets"]) == set(DATASETS)
    assert "3dep" in known["sources"]
    assert all(service["address"].startswith("http") for service in known["services"].values())


def test_what_is_on_this_machine_is_told(tmp_path, monkeypatch):
    monkeypatch.delenv(MIRROR, raising=False)
    monkeypatch.setenv(CACHE, str(tmp_path))
    text = run(datasets).text
    for name, dataset in DATASETS.items():
        assert f"\n{name}\n" in text
        assert dataset.licence in text
        assert dataset.citation in text
    assert "all files" not in text
    (tmp_path / "nasa_glc").mkdir()
    (tmp_path / "nasa_glc" / "Global_Landslide_Catalog_Export.csv.gz").write_text("x")
    assert run(datasets).text.count("all files") == 1


@pytest.mark.skipif("HEADSCARP_DATA" not in os.environ, reason="HEADSCARP_DATA names no folder of real data")
def test_the_real_catalogue(tmp_path):
    path = dataset_file("nasa_glc/Global_Landslide_Catalog_Export.csv.gz")
    done = run(catalog, path, "--out", tmp_path / "events.gpkg")
    assert done.code == 0
    assert ["events", "8594"] in [line.split() for line in done.text.splitlines()]
