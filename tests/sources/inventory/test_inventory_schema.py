"""Inventories: no row is lost, normalising twice changes nothing, dates lie in their intervals, areas are true."""

import os

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal, assert_series_equal
from pyproj import Geod

from headscarp.core.errors import OutputError, RecipeError, SourceError
from headscarp.core.provenance import made_by, read_made
from headscarp.sources.datasets import dataset_file
from headscarp.sources.inventory import CAUSES, COLUMNS, Fields, check_inventory, normalise, read_inventory
from headscarp.sources.inventory.dates import read_dates
from headscarp.sources.inventory.files import write_inventory
from headscarp.sources.inventory.schema import WORDS

needs_data = pytest.mark.skipif(
    "HEADSCARP_DATA" not in os.environ, reason="HEADSCARP_DATA names no folder of real data"
)

FIELDS = Fields(
    columns={"id": "nr", "date": "when", "type": "part", "cause": "trigger"},
    values={"type": {"Main scarp": "scarp", "debris": "deposit"}, "cause": {"heavy_rain": "rain"}},
    constants={"certainty": "probable"},
    source="a test",
)
# A bow tie: two triangles whose signed areas cancel.
BOW_TIE = shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)])


def square(x: float, y: float, side: float) -> shapely.Polygon:
    return shapely.box(x, y, x + side, y + side)


def raw(**columns: list) -> gpd.GeoDataFrame:
    shapes = columns.pop("geometry", None) or [shapely.Point(i, 0) for i in range(len(next(iter(columns.values()))))]
    return gpd.GeoDataFrame(columns, geometry=shapes, crs="EPSG:32633")


WHEN = st.one_of(
    st.none(),
    st.sampled_from(["", "2006", "2006-13-01", "yesterday", "2005-10"]),
    st.datetimes(pd.Timestamp("1700-01-01"), pd.Timestamp("2200-01-01")).map(str),
    st.dates(pd.Timestamp("1700-01-01").date(), pd.Timestamp("2200-01-01").date()).map(str),
)
ROW = st.tuples(
    WHEN,
    st.sampled_from(["main scarp", "DEBRIS", "whole", "toe", "", None]),
    st.sampled_from(["heavy-rain", "Earthquake", "frogs", None]),
    st.sampled_from([shapely.Point(1, 2), square(0, 0, 10), BOW_TIE, shapely.Polygon(), None]),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(ROW, min_size=1, max_size=8))
def test_no_row_is_lost_and_normalising_twice_changes_nothing(rows):
    when, part, trigger, shapes = (list(column) for column in zip(*rows, strict=True))
    table = raw(nr=[f"s{i}" for i in range(len(rows))], when=when, part=part, trigger=trigger, geometry=shapes)
    once = normalise(table, FIELDS)
    assert once.table["id"].tolist() == table["nr"].tolist()
    assert set(once.table.columns) == {*COLUMNS, "original_nr", "original_when", "original_part", "original_trigger"}
    known = once.table["date"].notna()
    assert (once.table["date"] >= once.table["date_low"])[known].all()
    assert (once.table["date"] <= once.table["date_high"])[known].all()
    for i, shape in enumerate(shapes):
        if shape is None or shape.is_empty:
            assert once.table.geometry[i] is None
            assert ((once.notes["row"] == i) & (once.notes["reason"] == "no geometry")).any()
    dark = once.table["date_low"].isna() & once.table["date_high"].isna()
    assert set(once.notes.loc[once.notes["column"] == "date", "row"]) == set(np.flatnonzero(dark))
    again = normalise(once.table)
    assert_frame_equal(again.table, once.table)
    assert "mended" not in " ".join(again.reasons())


@pytest.mark.parametrize("crs", ["EPSG:32610", "EPSG:3857", "EPSG:4326", "EPSG:2227"])
def test_areas_are_those_on_the_ground_whatever_the_crs(crs):
    outline = gpd.GeoSeries([square(590_000, 4_190_000, 200), square(600_000, 4_200_000, 3000)], crs="EPSG:32610")
    lonlat = outline.segmentize(50).to_crs("EPSG:4326")
    ellipsoid = [abs(Geod(ellps="WGS84").geometry_area_perimeter(shape)[0]) for shape in lonlat]
    table = gpd.GeoDataFrame(geometry=outline.segmentize(50).to_crs(crs))
    np.testing.assert_allclose(normalise(table).table["area_m2"], ellipsoid, rtol=1e-5)


def test_a_point_has_the_area_that_its_table_states_and_a_polygon_its_own():
    table = raw(m2=[12.0, 99.0, "much"], geometry=[shapely.Point(0, 0), square(5e5, 5e6, 10), shapely.Point(1, 1)])
    inventory = normalise(table, Fields(columns={"area_m2": "m2"}))
    np.testing.assert_allclose(inventory.table["area_m2"], [12.0, 100.0, np.nan], rtol=1e-2)
    assert inventory.reasons() == {"not a number": 1}


def test_what_is_known_of_a_date_is_an_interval():
    dates = read_dates(pd.Series(["2005", "2005-10", "2005-10-08", "2005-10-08T03:50:40", None, "soon"]))
    day = pd.Timestamp("2005-10-08")
    assert dates.date.tolist()[2:4] == [day, pd.Timestamp("2005-10-08 03:50:40")]
    assert dates.date[[0, 1, 4, 5]].isna().all()
    assert dates.low.tolist()[:4] == [pd.Timestamp("2005-01-01"), pd.Timestamp("2005-10-01"), day, day]
    ends = ["2005-12-31 23:59:59", "2005-10-31 23:59:59", "2005-10-08 23:59:59", "2005-10-08 23:59:59"]
    assert dates.high.tolist()[:4] == [pd.Timestamp(end) for end in ends]
    assert dates.unreadable.tolist() == [False] * 5 + [True]


def test_times_with_a_zone_are_brought_to_utc_and_epochs_read():
    given_ = pd.Series(pd.to_datetime(["2020-01-01 23:30:00-08:00"]))
    assert read_dates(given_).date[0] == pd.Timestamp("2020-01-02 07:30:00")
    assert read_dates(pd.Series([1362700800000]), ("epoch_ms",)).date[0] == pd.Timestamp("2013-03-08")


def test_the_year_of_an_image_is_an_upper_bound_only():
    inventory = normalise(raw(seen=[2006, 2010]), Fields(columns={"date_high": "seen"}))
    assert inventory.table["date"].isna().all()
    assert inventory.table["date_low"].isna().all()
    assert inventory.table["date_high"].tolist() == [pd.Timestamp(f"{y}-12-31 23:59:59") for y in (2006, 2010)]


def test_a_date_outside_its_interval_is_told():
    table = raw(
        date=["2010-05-05", None], date_low=["2011-01-01", "2012-01-01"], date_high=["2011-02-01", "2011-01-01"]
    )
    inventory = normalise(table)
    assert set(inventory.reasons()) == {
        "date outside its interval; the interval is now the day",
        "interval ends before it begins; left out",
    }
    assert inventory.table["date_low"][0] == pd.Timestamp("2010-05-05")
    assert inventory.table.loc[1, ["date_low", "date_high"]].isna().all()
    assert inventory.table["original_date_low"].tolist() == ["2011-01-01", "2012-01-01"]


def test_invalid_polygons_are_mended_and_keep_their_area():
    inventory = normalise(raw(n=[1], geometry=[shapely.transform(BOW_TIE, lambda xy: xy * 100 + [5e5, 5e6])]))
    assert inventory.reasons() == {"invalid shape, mended": 1}
    assert inventory.table.geometry.is_valid.all()
    assert inventory.table["area_m2"][0] == pytest.approx(5000, rel=1e-2)


def test_words_that_mean_nothing_are_told_and_kept():
    inventory = normalise(
        raw(part=["Main scarp", "toe"], trigger=["frogs", "MINING"], when=[None, None], nr=[1, 2]), FIELDS
    )
    assert inventory.table["type"].tolist() == ["scarp", "unknown"]
    assert inventory.table["cause"].tolist() == ["unknown", "mining"]
    assert inventory.table["certainty"].tolist() == ["probable"] * 2
    assert inventory.table["id"].tolist() == ["1", "2"]
    told = {(n.column, n.value) for n in inventory.notes.itertuples() if "not known" in n.reason}
    assert told == {("type", "toe"), ("cause", "frogs")}
    assert inventory.table["original_part"].tolist() == ["Main scarp", "toe"]


def test_columns_that_differ_only_in_case_both_survive_a_database(tmp_path):
    inventory = normalise(raw(Note=["a"], note=["b"]))
    read = read_inventory(write_inventory(inventory, tmp_path / "i.gpkg"))
    assert {"original_Note", "original_note_"} <= set(read.table.columns)


def test_files_hold_all_of_it(tmp_path):
    table = raw(
        nr=["a", "b", "c"],
        when=["2005-10-08", "2006", None],
        part=["whole", "toe", None],
        trigger=["earthquake", None, "rain"],
        deaths=[1.0, np.nan, 3.0],
        geometry=[square(5e5, 5e6, 9), None, shapely.Point(5e5, 5e6)],
    )
    inventory = normalise(table, FIELDS)
    path = write_inventory(inventory, tmp_path / "i.gpkg", made=made_by("catalog", settings={"a": 1}))
    read = read_inventory(path)
    for column in inventory.table.columns:
        assert_series_equal(read.table[column], inventory.table[column], check_dtype=False)
    assert read_made(path)["settings"] == {"a": 1}
    assert read_made(path)["notes"]["counts"] == inventory.reasons()
    with pytest.raises(OutputError, match="exists already"):
        write_inventory(inventory, path)
    write_inventory(inventory, path, overwrite=True)
    with pytest.raises(OutputError, match=r"ends in \.gpkg"):
        write_inventory(inventory, tmp_path / "i.shp")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["i.gpkg", "i.json"]


def test_tables_of_points_are_read_with_rows_that_have_no_place(tmp_path):
    (tmp_path / "p.csv").write_text("nr;east;north;cause\n7;500000;5000000;rain\n8;;5000000;mining\n")
    inventory = read_inventory(tmp_path / "p.csv", Fields(columns={"id": "nr"}), points=("east", "north", "EPSG:32633"))
    assert inventory.table["cause"].tolist() == ["rain", "mining"]
    assert inventory.reasons() == {"no geometry": 1}
    with pytest.raises(SourceError, match="has no column 'x'; it has: nr, east"):
        read_inventory(tmp_path / "p.csv", points=("x", "north", "EPSG:32633"))
    with pytest.raises(SourceError, match="name its columns of coordinates"):
        read_inventory(tmp_path / "p.csv")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda t: t.drop(columns="cause"), "lacks the columns cause"),
        (lambda t: t.assign(cause="frogs"), "'cause' holds frogs; it may hold: eruption"),
        (lambda t: t.assign(date="2005-10-08"), "'date' is str"),
        (lambda t: t.assign(area_m2=1), "'area_m2' is int64"),
        (lambda t: t.assign(id=[3]), "'id' has to hold text"),
        (lambda t: t.assign(date_low=pd.Timestamp("2030-01-01")), "a date before date_low"),
        (lambda t: t.set_crs(None, allow_override=True), "no CRS"),
        (lambda t: pd.DataFrame(t), "a GeoDataFrame, not DataFrame"),
    ],
)
def test_a_table_that_is_no_inventory_is_refused(spoil, message):
    table = normalise(raw(date=["2005-10-08"])).table
    assert check_inventory(table) is table
    assert check_inventory(table.drop(columns="radius_m")) is not None
    with pytest.raises(SourceError, match=message):
        check_inventory(spoil(table))


def test_mappings_that_make_no_sense_are_refused():
    with pytest.raises(RecipeError, match="no column 'colour'"):
        Fields(columns={"colour": "x"})
    with pytest.raises(RecipeError, match="cause 'frogs' is not known"):
        Fields(values={"cause": {"amphibia": "frogs"}})
    with pytest.raises(SourceError, match="no column 'nr' for id; it has: a, geometry"):
        normalise(raw(a=[1]), Fields(columns={"id": "nr"}))
    with pytest.raises(SourceError, match="no CRS"):
        normalise(gpd.GeoDataFrame({"a": [1]}, geometry=[shapely.Point(0, 0)]))


def test_causes_are_the_seven():
    assert len(CAUSES) == 7
    assert all("unknown" in words for words in WORDS.values())


@needs_data
def test_balakot_by_the_generic_reader():
    fields = Fields(columns={"date_high": "Year_obs"}, constants={"type": "whole"}, source="LSAT")
    inventory = read_inventory(dataset_file("balakot_lsat/landslides.gpkg"), fields)
    assert len(inventory.table) == 2641
    assert inventory.table["date_high"].notna().all()
    assert 500 < inventory.table["area_m2"].median() < 1500
    assert inventory.table.crs.to_epsg() == 32643
    assert_frame_equal(normalise(inventory.table).table, inventory.table)


@needs_data
def test_wenchuan_areas_agree_with_those_published():
    inventory = read_inventory(
        dataset_file("multitemporal_inventories/wenchuan_landslides_2009_2017.gpkg"),
        Fields(columns={"date_high": "year"}, constants={"certainty": "questionable"}),
    )
    stated = inventory.table["original_area_m2"]
    assert np.median(np.abs(inventory.table["area_m2"] / stated - 1)) < 2e-3
    assert set(inventory.table["date_high"].dt.year) <= set(range(2009, 2018))
