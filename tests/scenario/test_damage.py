"""From sources to buried ground and what stands on it: probabilities by hand, marks, and what is refused."""

import csv
import json

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from affine import Affine
from shapely.geometry import LineString, box
from typer.testing import CliRunner

from headscarp.cli import app
from headscarp.core.band import Band
from headscarp.core.errors import OutputError, RecipeError, SourceError, StackError
from headscarp.core.grid import Grid
from headscarp.core.scenarios import GENERATED_TAG
from headscarp.core.stack import VALID, make_stack, write_stack
from headscarp.prediction.damage import BEST_MASK, EXTENT, damage
from headscarp.prediction.exposed import BURIAL, People

SHAPE = (60, 30)
GRID = Grid(SHAPE, Affine(10, 0, 500_000, 0, -10, 5_000_000), "EPSG:32633")
BREAK = 25


@pytest.fixture
def stack():
    """A slope of 31 degrees to the south, flat from row BREAK on."""
    dem = np.repeat(np.maximum(BREAK - np.arange(SHAPE[0]), 0)[:, None] * 6.0, SHAPE[1], axis=1).astype(np.float32)
    return make_stack(GRID, {Band("elevation", "continuous", "m"): dem, Band(VALID, "mask"): np.ones(SHAPE, np.uint8)})


def write(path, row, *, generated=False):
    """A map whose source is one cell in the middle column."""
    pixels = np.zeros((2, *SHAPE), np.float32)
    pixels[1, row, 15] = 0.9
    kind = {"driver": "GTiff", "height": SHAPE[0], "width": SHAPE[1], "count": 2, "dtype": "float32"}
    with rasterio.open(path, "w", crs=GRID.crs.to_wkt(), transform=GRID.affine, **kind) as file:
        file.write(pixels)
        file.descriptions = ("generated: red", "generated: changed")
        if generated:
            file.update_tags(**{GENERATED_TAG: "yes"})
    return path


def row_box(row, col=15):
    x, y = GRID.affine @ (col + 0.5, row + 0.5)
    return box(x - 2, y - 2, x + 2, y + 2)


def end_of(row, angle):
    """The last row that a slide from a row reaches, straight down."""
    return row + int((BREAK - row) * 6.0 / np.tan(np.radians(angle)) / 10 + 1e-4)


def test_probabilities_are_shares_of_draws_and_features_are_counted(stack, tmp_path):
    folder = tmp_path / "futures"
    folder.mkdir()
    write(folder / "future-001.tif", 15, generated=True)
    write(folder / "future-002.tif", 5)
    near, far = end_of(15, 25.0), end_of(5, 25.0)
    assert near < far
    houses = gpd.GeoDataFrame(
        {"name": ["both", "far", "none", "outside"]},
        geometry=[row_box(near), row_box(far), row_box(far + 1), row_box(400)],
        crs="EPSG:32633",
    )
    houses.to_crs("EPSG:4326").to_file(tmp_path / "houses.gpkg")
    road = LineString([GRID.affine @ (0.5, far - 0.5), GRID.affine @ (29.5, far - 0.5)])
    gpd.GeoDataFrame(geometry=[road], crs="EPSG:32633").to_file(tmp_path / "roads.gpkg")
    made = damage(
        folder, stack, tmp_path / "damage.tif", angle_deg=25.0, scatter=0.0, draws=4,
        exposed=[tmp_path / "houses.gpkg", tmp_path / "roads.gpkg"],
    )  # fmt: skip
    with rasterio.open(made.map) as file:
        pixels, tags, names = file.read(1), file.tags(), file.descriptions
    assert pixels[5, 15] == 0.5
    assert pixels[near, 15] == 1.0
    assert pixels[far, 15] == 0.5
    assert pixels[far + 1 :].max() == 0
    assert GENERATED_TAG in tags
    assert names[0].startswith("generated: ")
    assert json.loads(made.map.with_suffix(".json").read_text())["properties"]["headscarp:generated"] is True
    read = gpd.read_file(made.layers, layer="houses")
    assert dict(zip(read["name"], read[BURIAL], strict=True)) == pytest.approx(
        {"both": 1.0, "far": 0.5, "none": 0.0, "outside": float("nan")}, nan_ok=True
    )
    assert gpd.read_file(made.layers, layer="roads")[BURIAL].tolist() == [0.5]
    extent = gpd.read_file(made.layers, layer=EXTENT)
    assert extent["at_least"].tolist() == [0.05, 0.25, 0.5, 0.75]
    assert extent.geometry.area.to_numpy() == pytest.approx([(pixels >= p).sum() * 100.0 for p in extent["at_least"]])
    best = gpd.read_file(made.layers, layer=BEST_MASK)
    assert best["at_least"].tolist() == [1.0]  # the short slide lies in the long one, either overlaps as much
    assert best.geometry.area.to_numpy() == pytest.approx([(pixels == 1).sum() * 100.0])
    rows = {row["what"]: row for row in csv.DictReader(made.table.read_text().splitlines())}
    assert float(rows["houses, reached"]["mean"]) == 1.5
    area = float(rows["buried area, km2"]["mean"])
    assert area == pytest.approx(np.nansum(pixels) * 1e-4, rel=0.01)  # cells of about 100 m2 on the ground


def people_on(path, side_m, *, crs="EPSG:32633"):
    """A raster of one person per 10 m, in cells of another size, that reaches beyond the stack."""
    cells = (1200 // side_m, 1200 // side_m)
    kind = {"driver": "GTiff", "height": cells[0], "width": cells[1], "count": 1, "dtype": "float32", "nodata": -1}
    there = Affine(side_m, 0, 499_700, 0, -side_m, 5_000_300)
    with rasterio.open(path, "w", crs=crs, transform=there, **kind) as file:
        file.write(np.full((1, *cells), (side_m / 10) ** 2, np.float32))
    return path


@pytest.mark.parametrize("side_m", [5, 10, 30, 100])
def test_people_are_neither_lost_nor_born_between_grids(side_m, tmp_path):
    held = People.open(people_on(tmp_path / "people.tif", side_m), GRID)
    assert held.per_cell.sum() == pytest.approx(SHAPE[0] * SHAPE[1], rel=0.02)
    half = np.zeros(SHAPE, bool)
    half[:, :15] = True
    assert held.count(half)["people, reached"] == pytest.approx(900, rel=0.02)


def test_people_elsewhere_are_refused(tmp_path):
    path = people_on(tmp_path / "people.tif", 10, crs="EPSG:32640")
    with pytest.raises(SourceError, match="lies elsewhere"):
        People.open(path, GRID)


def test_maps_that_show_all_that_is_buried_are_taken_as_drawn(stack, tmp_path):
    folder = tmp_path / "futures"
    folder.mkdir()
    for number, row in enumerate((10, 20, 20)):
        write(folder / f"future-00{number}.tif", row)
    road = LineString([GRID.affine @ (0.0, 20.5), GRID.affine @ (30.0, 20.5)])
    gpd.GeoDataFrame(geometry=[road], crs="EPSG:32633").to_file(tmp_path / "roads.gpkg")
    people = people_on(tmp_path / "people.tif", 10)
    made = damage(
        folder, stack, tmp_path / "d.gpkg", as_drawn=True, exposed=[tmp_path / "roads.gpkg"], people=people
    )  # fmt: skip
    with rasterio.open(made.map) as file:
        pixels = file.read(1)
    assert pixels[20, 15] == np.float32(2 / 3)
    assert (pixels > 0).sum() == 2
    rows = {row["what"]: row for row in csv.DictReader(made.table.read_text().splitlines())}
    assert float(rows["people, reached"]["mean"]) == pytest.approx(1.0, rel=0.01)
    assert float(rows["roads, km reached"]["mean"]) == pytest.approx(0.01 * 2 / 3, rel=0.02)
    assert made.map.name == "d.tif"


def test_scatter_blurs_the_end_and_the_seed_brings_it_again(stack, tmp_path):
    source = write(tmp_path / "map.tif", 10)
    made = [
        damage(source, stack, tmp_path / f"{k}.tif", angle_deg=24.0, scatter=s, draws=30, seed=1)
        for k, s in enumerate((0.0, 0.1, 0.1))
    ]
    sharp, blurred, again = (rasterio.open(m.map).read(1) for m in made)
    assert set(np.unique(sharp)) == {0.0, 1.0}
    assert ((blurred > 0) & (blurred < 1)).any()
    assert np.array_equal(blurred, again)
    low, middle, high = made[1].quantiles["buried area, km2"]
    assert low < middle < high
    with rasterio.open(made[0].map) as file:
        assert GENERATED_TAG not in file.tags()


def test_what_is_wrong_is_refused(stack, tmp_path):
    source = write(tmp_path / "map.tif", 10)
    with pytest.raises(StackError, match="no band 'elevation'"):
        damage(source, stack.rename(elevation="height"), tmp_path / "a.tif")
    with pytest.raises(SourceError, match="not on the grid"):
        damage(source, stack.isel(y=slice(0, 30)).assign_attrs(grid=_smaller(stack)), tmp_path / "a.tif")
    with pytest.raises(SourceError, match="holds no futures"):
        damage(tmp_path, stack, tmp_path / "a.tif")
    with pytest.raises(SourceError, match="cannot be read as a raster"):
        damage(tmp_path / "none.tif", stack, tmp_path / "a.tif")
    with pytest.raises(RecipeError, match="0 draws"):
        damage(source, stack, tmp_path / "a.tif", draws=0)
    with pytest.raises(RecipeError, match="angle of reach"):
        damage(source, stack, tmp_path / "a.tif", angle_deg=90.0)
    with pytest.raises(OutputError, match=r"\.gpkg and \.tif"):
        damage(source, stack, tmp_path / "a.csv")
    with pytest.raises(SourceError, match="people per cell"):
        damage(source, stack, tmp_path / "a.tif", people=tmp_path / "none.tif")
    gpd.GeoDataFrame({"a": []}, geometry=[], crs="EPSG:4326").to_file(tmp_path / "empty.gpkg")
    with pytest.raises(SourceError, match="no shapes"):
        damage(source, stack, tmp_path / "a.tif", exposed=[tmp_path / "empty.gpkg"])
    assert not (tmp_path / "a.tif").exists()


def _smaller(stack):
    grid = json.loads(stack.attrs["grid"])
    grid["shape"] = [30, SHAPE[1]]
    return json.dumps(grid)


def test_the_verb_says_how_much(stack, tmp_path):
    write_stack(stack, tmp_path / "stack.zarr")
    words = ["damage", write(tmp_path / "map.tif", 10), tmp_path / "stack.zarr", "--out", tmp_path / "d.tif"]
    done = CliRunner().invoke(app, [str(word) for word in (*words, "--draws", 5)])
    assert done.exit_code == 0, done.output
    assert "buried area, km2: " in done.output
    assert "(95%)" in done.output
    assert CliRunner().invoke(app, [str(word) for word in words]).exit_code == 2
