"""The California inventory: parts, certainties, dates and causes from the survey's own fields."""

import geopandas as gpd
import pandas as pd
import pytest
import shapely
from pandas.testing import assert_frame_equal

from headscarp.core.errors import SourceError
from headscarp.sources.inventory import normalise, read_cgs
from headscarp.sources.inventory.cgs import cause_of_event, part_of_layer


def layer() -> gpd.GeoDataFrame:
    """Three deposits near Contra Costa with the fields and spellings of the survey's service, in Web Mercator."""
    rows = {
        "OBJECTID": [1, 2, 3],
        "ls_id": ["Orin0001", "", None],
        "activity": ["h", "dm", None],
        "init_type": ["df", "rs", None],
        "confidence": ["d", "p", None],
        "thickness": [2, None, 1],
        "mvmt_date_yr": ["1998", 2017, None],
        "mvmt_date_mon": [2, "1", None],
        "mvmt_date_day": [None, 9, None],
        "triggering_event": ["El Nino storms of February 1998", "Loma Prieta Earthquake", "unclear"],
        "superseded": ["N", "N", "Y"],
        "SHAPE.STArea()": [16_000.0, 16_000.0, 16_000.0],
    }
    outline = [shapely.box(580_000 + 500 * i, 4_195_000, 580_100 + 500 * i, 4_195_100) for i in range(3)]
    return gpd.GeoDataFrame(rows, geometry=outline, crs="EPSG:32610").to_crs("EPSG:3857")


def test_deposits():
    inventory = read_cgs(layer(), "deposit")
    table = inventory.table
    assert table["id"].tolist() == ["Orin0001", "1", "2"]
    assert table["type"].tolist() == ["deposit"] * 3
    assert table["certainty"].tolist() == ["certain", "probable", "unknown"]
    assert table["cause"].tolist() == ["rain", "earthquake", "unknown"]
    assert table["date"].tolist() == [pd.NaT, pd.Timestamp("2017-01-09"), pd.NaT]
    assert table["date_low"][0] == pd.Timestamp("1998-02-01")
    assert table["date_high"][0] == pd.Timestamp("1998-02-28 23:59:59")
    assert table["date_certainty"].tolist() == ["certain", "certain", "unknown"]
    assert table["original_thickness"].tolist()[::2] == [2, 1]
    assert inventory.reasons() == {
        "triggering event names no known cause": 1,
        "superseded by a newer map; kept": 1,
    }
    assert_frame_equal(normalise(table).table, table)


def test_areas_are_of_the_ground_and_not_of_web_mercator():
    table = read_cgs(layer(), "scarp").table
    assert table["area_m2"].to_numpy() == pytest.approx(10_000, rel=2e-3)
    assert layer().area.to_numpy() == pytest.approx(16_000, rel=0.02)


def test_names_in_capitals_and_from_shapefiles_are_known():
    short = {"mvmt_date_yr": "MVMT_DATE_", "mvmt_date_mon": "MVMT_DAT_1", "mvmt_date_day": "MVMT_DAT_2"}
    table = layer().rename(columns={**short, "confidence": "CONFIDENCE", "triggering_event": "TRIGGERING"})
    inventory = read_cgs(table, "scarp")
    assert inventory.table["certainty"].tolist() == ["certain", "probable", "unknown"]
    assert inventory.table["date"][1] == pd.Timestamp("2017-01-09")
    assert inventory.table["cause"][0] == "rain"


def test_a_file_is_read_as_well(tmp_path):
    layer().to_file(tmp_path / "cgs.gpkg", layer="deposits")
    assert len(read_cgs(tmp_path / "cgs.gpkg", "deposit", name="deposits").table) == 3


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("Landslide (Source/Scarp)", "scarp"),
        ("Landslide (Deposit-Questionable)", "deposit"),
        ("Landslide (Single Feature) Point", "whole"),
        ("CGS Mapped, Needs Review", "unknown"),
    ],
)
def test_the_name_of_a_layer_says_which_part_it_holds(name, part):
    assert part_of_layer(name) == part


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("Northridge EQ", "earthquake"),
        ("January 1982 storm", "rain"),
        ("quarry blast", "mining"),
        ("road grading", "construction"),
        ("Determined by terrain", "unknown"),
        (None, "unknown"),
    ],
)
def test_causes_of_events(text, cause):
    assert cause_of_event(text) == cause


def test_other_tables_are_refused():
    with pytest.raises(SourceError, match=r"no layer of the California landslide inventory.*it has: a, geometry"):
        read_cgs(gpd.GeoDataFrame({"a": [1]}, geometry=[shapely.Point(0, 0)], crs="EPSG:4326"), "scarp")
    with pytest.raises(SourceError, match="not 'runout'"):
        read_cgs(layer(), "runout")
