"""NASA's catalogue: every event stays, every trigger has a cause, what is missing is told."""

import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from headscarp.core.errors import HeadscarpWarning, RecipeError, SourceError
from headscarp.sources.datasets import DATASETS, dataset_file
from headscarp.sources.inventory import CAUSES, normalise, read_inventory, read_nasa
from headscarp.sources.inventory.fields import plain_word
from headscarp.sources.inventory.files import write_inventory
from headscarp.sources.inventory.nasa import ACCURACIES, TRIGGERS, trigger_table

needs_data = pytest.mark.skipif(
    "HEADSCARP_DATA" not in os.environ, reason="HEADSCARP_DATA names no folder of real data"
)
EVENTS = [f"glc_antecedent_rain_soilmoisture/{name}" for name in DATASETS["glc_antecedent_rain_soilmoisture"].files]
EVENTS = ["nasa_glc/Global_Landslide_Catalog_Export.csv.gz", *(name for name in EVENTS if "_7day_" not in name)]

NEW = """event_id,event_date,event_time,location_accuracy,landslide_category,landslide_trigger,country_code,\
longitude,latitude
1,8/1/2008 0:00,,exact,landslide,downpour,NA,107.45,32.56
2,1/2/2009 2:13,2:00,5km,mudslide,Tropical_Cyclone,US,-122.663,45.42
3,9/5/2007 0:00,10:00,25km,snow_avalanche,snowfall_snowmelt,PE,-75.3,-11.1
4,,,unknown,landslide,,PE,,-11.1
5,31/31/2007 0:00,,nearby,landslide,mining,PE,ten,-11.1
6,8/1/2008 0:00,Night,1km,landslide,EARTHQUAKE ,PE,190.0,5
7,03/22/2007 11:30:00 PM,,1km,landslide,volcano,PE,0,0
"""
OLD = """id,date,time,country_name,hazard_type,landslide_type,trigger,injuries,latitude,longitude,location_accuracy
34,3/2/07,Night,United States,Landslide,Landslide,Rain,,38.6,-77.2,Known_within_5_km
42,3/22/2007,,Peru,Landslide,Mudslide,Mining_digging,2,-10,-75,Known_exactly
"""
COOLR = """ev_id,ev_date,ev_time,ls_trig,ls_cat,loc_acc,longitude,latitude
9,2019-05-04T06:00:00.000Z,,leaking_pipe,landslide,10km,10.5,46.5
"""


def catalogue(folder: Path, text: str) -> Path:
    path = folder / "events.csv"
    path.write_text(text)
    return path


def test_the_export_since_2016(tmp_path):
    inventory = read_nasa(catalogue(tmp_path, NEW))
    table = inventory.table
    assert table["id"].tolist() == list("1234567")
    assert table["cause"].tolist() == ["rain", "rain", "unknown", "unknown", "mining", "earthquake", "eruption"]
    times = ["2008-08-01", "2009-01-02 02:13", "2007-09-05 10:00", None, None, "2008-08-01", "2007-03-22 23:30"]
    assert table["date"].tolist() == [pd.Timestamp(t) if t else pd.NaT for t in times]
    assert (table["type"] == "whole").all()
    np.testing.assert_array_equal(table["radius_m"], [0, 5000, 25000, np.nan, np.nan, 1000, 1000])
    certainties = ["certain", "probable", "questionable", "unknown", "unknown", "certain", "certain"]
    assert table["certainty"].tolist() == certainties
    assert table.geometry.isna().tolist() == [False] * 3 + [True] * 4
    assert table["original_country_code"][0] == "NA"  # Namibia
    assert {(n.row, n.reason) for n in inventory.notes.itertuples()} == {
        (2, "a snow avalanche, no landslide; kept"),
        (3, "no coordinates"),
        (3, "no date"),
        (4, "unreadable coordinates"),
        (4, "unreadable date"),
        (4, "location accuracy not known"),
        (5, "coordinates outside the world"),
        (6, "coordinates are 0, 0: a place that was not found"),
    }
    assert_frame_equal(normalise(table).table, table)


def test_the_export_before(tmp_path):
    table = read_nasa(catalogue(tmp_path, OLD)).table
    assert table["cause"].tolist() == ["rain", "mining"]
    assert table["date"].tolist() == [pd.Timestamp("2007-03-02"), pd.Timestamp("2007-03-22")]
    assert table["radius_m"].tolist() == [5000.0, 0.0]
    assert table["original_date"].tolist() == ["3/2/07", "3/22/2007"]
    assert table.geometry.x.tolist() == [-77.2, -75.0]


def test_the_layout_of_coolr(tmp_path):
    inventory = read_nasa(catalogue(tmp_path, COOLR))
    assert inventory.table["date"].tolist() == [pd.Timestamp("2019-05-04 06:00")]
    assert trigger_table(inventory) == [("leaking pipe", "unknown", 1)]


def test_triggers_that_nobody_knows_are_a_warning_and_causes_can_be_named(tmp_path):
    path = catalogue(tmp_path, OLD.replace("Rain", "Meteor"))
    with pytest.warns(HeadscarpWarning, match=r"'meteor' \(1\).*--cause TRIGGER=CAUSE"):
        assert read_nasa(path).table["cause"].tolist() == ["unknown", "mining"]
    assert read_nasa(path, causes={"METEOR": "eruption", "mining_digging": "construction"}).table["cause"].tolist() == [
        "eruption",
        "construction",
    ]
    with pytest.raises(RecipeError, match="no cause 'fate'"):
        read_nasa(path, causes={"meteor": "fate"})


def test_files_that_are_no_catalogue_are_refused(tmp_path):
    with pytest.raises(SourceError, match=r"lacks landslide_trigger or ls_trig or trigger; .* columns: id, date"):
        read_nasa(catalogue(tmp_path, OLD.replace("trigger", "colour").replace("longitude", "lng")))
    with pytest.raises(SourceError, match="cannot be read as CSV"):
        read_nasa(catalogue(tmp_path, ""))
    with pytest.raises(SourceError, match="there is no catalogue"):
        read_nasa(tmp_path / "nowhere.csv")
    (tmp_path / "torn.csv.gz").write_bytes(b"\x1f\x8b\x08\x00half")
    with pytest.raises(SourceError, match="cannot be read as CSV"):
        read_nasa(tmp_path / "torn.csv.gz")


def test_texts_in_another_encoding_are_read_with_a_warning(tmp_path):
    (tmp_path / "events.csv").write_bytes(OLD.replace("Peru", "Perú").encode("cp1252"))
    with pytest.warns(HeadscarpWarning, match="not UTF-8"):
        assert read_nasa(tmp_path / "events.csv").table["original_country_name"][1] == "Perú"


def test_the_tables_hold_words_of_the_schema_only():
    assert set(TRIGGERS.values()) <= set(CAUSES)
    assert all(trigger == plain_word(trigger) for trigger in (*TRIGGERS, *ACCURACIES))


def test_the_documentation_has_the_table_of_causes():
    page = (Path(__file__).parents[3] / "docs" / "inventories.md").read_text(encoding="utf-8")
    told: dict[str, str] = {}
    for triggers, cause in re.findall(r"^\| (`[^|]*`) \| (\w+) \|", page, re.MULTILINE):
        told |= dict.fromkeys((plain_word(t) for t in re.findall(r"`([^`]+)`", triggers)), cause)
    assert {t: c for t, c in told.items() if t in TRIGGERS} == {t: c for t, c in TRIGGERS.items() if t}


@needs_data
@pytest.mark.parametrize("name", EVENTS)
def test_real_catalogues(name, tmp_path):
    """No row is lost, every trigger is in the table (a warning would be an error), every date in its interval."""
    path = dataset_file(name)
    inventory = read_nasa(path)
    table = inventory.table
    assert len(table) == len(pd.read_csv(path))
    assert sum(count for _, _, count in trigger_table(inventory)) == len(table)
    dated = table["date"].notna()
    assert ((table["date_low"] <= table["date"]) & (table["date"] <= table["date_high"]))[dated].all()
    assert dated.all()
    assert table.geometry.notna().all()
    assert_frame_equal(normalise(table).table, table)
    read = read_inventory(write_inventory(inventory, tmp_path / "events.gpkg"))
    assert_frame_equal(read.table, table, check_dtype=False)


@needs_data
def test_the_figures_of_the_real_catalogue():
    table = read_nasa(dataset_file(EVENTS[0])).table
    assert len(table) == 8594
    counts = {"rain": 7062, "unknown": 1385, "mining": 58, "earthquake": 54, "construction": 34, "eruption": 1}
    assert table["cause"].value_counts().to_dict() == counts
    assert table["radius_m"].value_counts()[0.0] == 962


@needs_data
def test_the_days_before_are_no_catalogue():
    with pytest.raises(SourceError, match="lacks landslide_trigger"):
        read_nasa(dataset_file("glc_antecedent_rain_soilmoisture/glc_smap_esa_gpm_2015-2020_7day_Utah.csv"))
