"""The verb score: from two files to a table and a figure, and what it refuses."""

import geopandas as gpd
import pytest
import shapely
import typer
from typer.testing import CliRunner

from headscarp.cli.score import score
from headscarp.core.errors import HeadscarpWarning, OutputError, SourceError
from headscarp.evaluation.tables import read_table
from headscarp.report.objects import score_inventory

UTM = "EPSG:32633"


def squares(count: int, *, moved: float = 0.0) -> list[shapely.Polygon]:
    return [
        shapely.box(5e5 + 900 * i + moved, 5e6, 5e5 + 900 * i + 20 * (i + 1) + moved, 5e6 + 60) for i in range(count)
    ]


@pytest.fixture
def files(tmp_path):
    gpd.GeoDataFrame(geometry=squares(9, moved=10), crs=UTM).to_file(tmp_path / "inventory.gpkg")
    gpd.GeoDataFrame(geometry=squares(12), crs=UTM).to_crs("EPSG:4326").to_file(tmp_path / "truth.gpkg")
    return tmp_path


def test_two_files_give_a_table_and_a_figure(files):
    found = score_inventory(files / "inventory.gpkg", files / "truth.gpkg", out=files / "scores")
    assert found.text.startswith("9 of 12 slides are found, 0 of 9 polygons are false.")
    assert found.figure.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    rows = read_table(files / "scores")
    assert {row.net for row in rows} == {"inventory"}
    assert [repr(row) for row in rows] == [repr(row) for row in found.rows]
    with pytest.raises(OutputError, match="exists already"):
        score_inventory(files / "inventory.gpkg", files / "truth.gpkg", out=files / "scores")


def test_the_command_scores_within_an_area(files):
    app = typer.Typer()
    app.command()(score)
    gpd.GeoDataFrame(geometry=[shapely.box(4.9e5, 4.9e6, 5e5 + 2000, 5.1e6)], crs=UTM).to_file(files / "area.gpkg")
    told = [str(files / "inventory.gpkg"), str(files / "truth.gpkg"), "--out", str(files / "out")]
    result = CliRunner().invoke(app, [*told, "--area", str(files / "area.gpkg")])
    assert result.exit_code == 0, result.output
    assert "3 of 3 slides are found" in result.output


def test_points_and_missing_files_are_refused_and_other_shapes_left_out(files):
    places = gpd.GeoDataFrame(geometry=gpd.points_from_xy([5e5], [5e6]), crs=UTM)
    places.to_file(files / "points.gpkg")
    with pytest.raises(SourceError, match="no polygon among its 1 shapes"):
        score_inventory(files / "points.gpkg", files / "truth.gpkg", out=files / "scores")
    with pytest.raises(SourceError, match="no file at"):
        score_inventory(files / "nowhere.gpkg", files / "truth.gpkg", out=files / "scores")
    mixed = gpd.GeoDataFrame(geometry=[*squares(2), shapely.Point(5e5, 5e6)], crs=UTM)
    mixed.to_parquet(files / "mixed.parquet")
    with pytest.warns(HeadscarpWarning, match="1 of 3 shapes of mixed.parquet are no polygons"):
        found = score_inventory(files / "mixed.parquet", files / "truth.gpkg", out=files / "scores")
    assert found.text.startswith("2 of 12")
