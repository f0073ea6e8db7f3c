"""Laws of vectorize: the polygons are those of one pass over the whole map, whatever the blocks; nothing is lost or
counted twice; an interrupted run goes on to the same table."""

from xml.etree import ElementTree

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import rasterio.features
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from headscarp.core.band import Band
from headscarp.core.errors import GridError, OutputError, RecipeError, StackError
from headscarp.core.grid import Grid
from headscarp.core.stack import make_stack, write_stack
from headscarp.core.tile import windows
from headscarp.prediction import vectorize as verb
from headscarp.prediction.joining import join_regions
from headscarp.prediction.outlines import Rules
from headscarp.prediction.pieces import make_pieces, write_pieces
from headscarp.prediction.vectorize import vectorize

CELL = 10.0
TRANSFORM = Affine(CELL, 0, 500000, 0, -CELL, 4200000)


def write_map(path, values, *, crs="EPSG:32610"):
    profile = {"driver": "GTiff", "dtype": "float32", "count": 1, "height": values.shape[0], "width": values.shape[1]}
    with rasterio.open(path, "w", **profile, crs=crs, transform=TRANSFORM, nodata=np.nan) as file:
        file.write(values.astype("float32"), 1)
    return path


def probabilities(shape=(300, 420), seed=0):
    rng = np.random.default_rng(seed)
    smooth = gaussian_filter(rng.normal(size=shape), 3) + 0.02 * rng.normal(size=shape)
    values = 1 / (1 + np.exp(-(smooth / smooth.std() * 2 - 1.5)))
    values[40:60, 50:90] = np.nan
    return values.astype("float32")


def whole_outlines(mask):
    shapes = rasterio.features.shapes(mask.astype("uint8"), mask=mask, connectivity=4)
    return sorted(shapely.normalize(shapely.geometry.shape(shape)).wkt for shape, _ in shapes)


@settings(max_examples=80, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    share=st.floats(0.2, 0.85),
    block=st.integers(2, 20),
    seed=st.integers(0, 1000),
)
def test_joined_pieces_are_the_outlines_of_one_pass(tmp_path_factory, shape, share, block, seed):
    rng = np.random.default_rng(seed)
    mask, values = rng.random(shape) < share, rng.random(shape).astype("float32")
    folder, files = tmp_path_factory.mktemp("pieces"), {}
    for number, window in enumerate(w.clip(shape) for w in windows(shape, block)):
        files[window] = folder / f"{number}.npz"
        write_pieces(
            make_pieces(mask[window.slices], values[None][(slice(None), *window.slices)], window), files[window]
        )
    found = list(join_regions(files))
    outlines = [polygon for regions in found for polygon in regions.polygons]
    assert all(shapely.is_valid(outlines)) if outlines else not mask.any()
    assert sorted(shapely.normalize(polygon).wkt for polygon in outlines) == whole_outlines(mask)
    for regions in found:
        np.testing.assert_array_equal(shapely.area(regions.polygons), regions.cells)
        for polygon, total in zip(regions.polygons, regions.sums[:, 0], strict=True):
            inside = rasterio.features.rasterize([polygon], shape, transform=Affine.identity()) == 1
            assert total == pytest.approx(values[inside].sum(dtype=float))


def test_the_table_does_not_depend_on_blocks_or_threads(tmp_path):
    path = write_map(tmp_path / "map.tif", probabilities())
    tables = []
    for number, (block, workers) in enumerate([(512, 1), (64, 1), (96, 3)]):
        out = vectorize(path, tmp_path / f"{number}.gpkg", block_px=block, workers=workers)
        table = gpd.read_file(out)
        table["place"] = shapely.normalize(np.asarray(table.geometry.array)).astype(str)
        tables.append(table.drop(columns=["geometry", "id"]).sort_values("place").reset_index(drop=True))
    for other in tables[1:]:
        assert len(other) == len(tables[0])
        assert other["place"].tolist() == tables[0]["place"].tolist()
        for column in ("area_m2", "mean_probability", "max_probability", "length_m", "width_m"):
            np.testing.assert_allclose(other[column], tables[0][column], rtol=1e-9)
    values = probabilities()
    assert tables[0]["area_m2"].sum() == (values >= 0.5).sum() * CELL * CELL
    assert (tables[0]["mean_probability"] >= 0.5).all()


def test_small_regions_holes_and_slivers_go_as_the_rules_say(tmp_path):
    values = np.zeros((60, 60))
    values[5:25, 5:25] = 0.9
    values[10:12, 10:12] = 0.1  # a hole of 4 cells
    values[14:22, 14:22] = 0.1  # a hole of 64 cells
    values[40:42, 5:7] = 0.7  # 4 cells
    values[50, 5:45] = 0.95  # a sliver of 40 cells
    path = write_map(tmp_path / "map.tif", values)
    rules = Rules(min_area_m2=500.0, fill_holes_m2=1000.0, min_width_m=15.0)
    table = gpd.read_file(vectorize(path, tmp_path / "a.gpkg", rules=rules, block_px=16))
    assert len(table) == 1
    assert table["area_m2"][0] == (400 - 64) * 100
    assert len(table.geometry[0].interiors) == 1
    assert table["length_m"][0] == pytest.approx(200)
    assert table["certainty"][0] == "certain"
    assert len(gpd.read_file(vectorize(path, tmp_path / "b.gpkg"))) == 3
    nothing = gpd.read_file(vectorize(path, tmp_path / "c.gpkg", rules=Rules(threshold=1.0)))
    assert len(nothing) == 0
    assert "area_m2" in nothing.columns


def test_simplified_outlines_do_not_cross(tmp_path):
    path = write_map(tmp_path / "map.tif", probabilities(seed=4))
    table = gpd.read_file(vectorize(path, tmp_path / "a.gpkg", rules=Rules(simplify_m=25.0)))
    plain = gpd.read_file(vectorize(path, tmp_path / "b.gpkg"))
    shapes = np.asarray(table.geometry.array)
    assert shapely.get_num_coordinates(shapes).sum() < 0.7 * shapely.get_num_coordinates(plain.geometry.array).sum()
    assert shapely.is_valid(shapes).all()
    tree = shapely.STRtree(shapes)
    a, b = tree.query(shapes, predicate="intersects")
    shared = shapely.area(shapely.intersection(shapes[a[a < b]], shapes[b[a < b]]))
    assert (shared < 1e-6).all()


def test_drop_and_slope_come_from_the_stack(tmp_path):
    values = np.zeros((50, 50))
    values[10:20, 10:14] = 0.8
    path = write_map(tmp_path / "map.tif", values)
    grid = Grid((50, 50), TRANSFORM, "EPSG:32610")
    elevation = np.repeat(np.arange(50.0)[:, None], 50, axis=1) * 5
    stack = make_stack(
        grid, {Band("elevation", "continuous", "m"): elevation, Band("slope", "continuous", "degree"): elevation / 5}
    )
    write_stack(stack, tmp_path / "s.zarr")
    table = gpd.read_file(vectorize(path, tmp_path / "a.gpkg", stack=tmp_path / "s.zarr", block_px=16))
    assert table["drop_m"][0] == 45.0
    assert table["slope_deg"][0] == pytest.approx(14.5)
    other = make_stack(Grid((50, 51), TRANSFORM, "EPSG:32610"), {Band("slope", "continuous"): np.zeros((50, 51))})
    write_stack(other, tmp_path / "t.zarr")
    with pytest.raises(StackError, match="not that of the map"):
        vectorize(path, tmp_path / "b.gpkg", stack=tmp_path / "t.zarr")


def test_going_on_after_an_interruption_gives_the_same_table(tmp_path, monkeypatch):
    path = write_map(tmp_path / "map.tif", probabilities())
    whole = gpd.read_file(vectorize(path, tmp_path / "whole.gpkg", block_px=64, workers=1))
    done = []
    real = verb.write_pieces

    def failing(pieces, to):
        if len(done) == 9:
            raise KeyboardInterrupt
        done.append(to.name)
        return real(pieces, to)

    monkeypatch.setattr(verb, "write_pieces", failing)
    with pytest.raises(KeyboardInterrupt):
        vectorize(path, tmp_path / "a.gpkg", block_px=64, workers=1)
    assert not (tmp_path / "a.gpkg").exists()
    monkeypatch.setattr(verb, "write_pieces", lambda pieces, to: (done.append(to.name), real(pieces, to))[1])
    again = gpd.read_file(vectorize(path, tmp_path / "a.gpkg", block_px=64, workers=1, resume=True))
    assert len(done) == len(set(done)) == 5 * 7
    assert again.equals(whole)
    assert not list(tmp_path.glob(".a.gpkg*"))


def test_a_style_for_qgis_stands_beside_it(tmp_path):
    path = vectorize(write_map(tmp_path / "map.tif", probabilities()), tmp_path / "inventory.gpkg")
    style = ElementTree.parse(path.with_suffix(".qml")).getroot()
    classes = {category.get("value"): category.get("symbol") for category in style.iter("category")}
    assert set(gpd.read_file(path).certainty) <= set(classes)
    assert set(classes.values()) == {symbol.get("name") for symbol in style.iter("symbol")}
    with pytest.raises(OutputError, match=r"would share one \.qml"):
        vectorize(tmp_path / "map.tif", tmp_path / "map.gpkg")


def test_bad_input_is_told(tmp_path):
    path = write_map(tmp_path / "map.tif", probabilities((20, 20)))
    with pytest.raises(OutputError, match="end it in"):
        vectorize(path, tmp_path / "a.shp")
    with pytest.raises(RecipeError, match="threshold"):
        Rules(threshold=0)
    with pytest.raises(GridError, match="no CRS"):
        vectorize(write_map(tmp_path / "nowhere.tif", probabilities((20, 20)), crs=None), tmp_path / "a.gpkg")
    vectorize(path, tmp_path / "a.gpkg")
    with pytest.raises(OutputError, match="exists already"):
        vectorize(path, tmp_path / "a.gpkg")
