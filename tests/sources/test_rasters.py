"""Windows of rasters: exact on the same cells, interpolated or voted on elsewhere, the same for every window."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox

from headscarp.core.errors import SourceError
from headscarp.core.tile import Window
from headscarp.sources.rasters import prepare_raster, raster_grid, read_window, values_present

LEFT, TOP = 500_000.0, 5_000_000.0


def write(path, array, *, cell=10.0, crs="EPSG:32633", nodata=None, left=LEFT, top=TOP):
    with rasterio.open(
        path, "w", driver="GTiff", height=array.shape[0], width=array.shape[1], count=1, dtype=array.dtype, crs=crs,
        transform=Affine(cell, 0, left, 0, -cell, top), nodata=nodata,
    ) as file:  # fmt: skip
        file.write(array, 1)
    return path


def grid_of(shape, cell, *, left=LEFT, top=TOP, crs="EPSG:32633"):
    return GeoBox(shape, Affine(cell, 0, left, 0, -cell, top), crs)


def whole(raster, grid, **options):
    return read_window(raster, grid, Window(0, 0, *grid.shape), **options)


def test_the_same_cells_come_as_they_are(tmp_path):
    values = np.random.default_rng(0).normal(size=(40, 50)).astype("float32")
    path = write(tmp_path / "a.tif", values)
    raster = prepare_raster(path, raster_grid(path), kind="continuous")
    np.testing.assert_array_equal(whole(raster, raster_grid(path)), values)
    part = grid_of((10, 12), 10.0, left=LEFT + 70, top=TOP - 30)
    np.testing.assert_array_equal(whole(raster, part), values[3:13, 7:19])


def test_what_lies_around_the_grid_is_read_and_what_lies_off_the_file_is_missing(tmp_path):
    values = np.arange(2000, dtype="float32").reshape(40, 50)
    path = write(tmp_path / "a.tif", values)
    part = grid_of((10, 12), 10.0, left=LEFT + 20, top=TOP - 30)
    raster = prepare_raster(path, part, kind="continuous")
    padded = read_window(raster, part, Window(0, 0, 10, 12).grow(4), pad_px=4)
    np.testing.assert_array_equal(padded[1:, 2:], values[:17, :18])
    assert np.isnan(padded[0]).all()
    assert np.isnan(padded[:, :2]).all()


@pytest.mark.parametrize(("kind", "expected"), [("continuous", "average"), ("categorical", "mode")])
def test_a_coarser_grid_averages_or_votes(tmp_path, kind, expected):
    values = np.random.default_rng(0).integers(1, 4, (40, 60)).astype("uint8")
    path = write(tmp_path / "a.tif", values)
    grid = grid_of((8, 12), 50.0)
    raster = prepare_raster(path, grid, kind=kind)
    assert raster.resampling == expected
    cells = values.reshape(8, 5, 12, 5).swapaxes(1, 2).reshape(8, 12, 25)
    read = whole(raster, grid)
    if kind == "continuous":
        np.testing.assert_allclose(read, cells.mean(axis=2), rtol=1e-6)
    else:
        votes = np.stack([(cells == code).sum(axis=2) for code in (1, 2, 3)])
        np.testing.assert_array_equal(np.take_along_axis(votes, read.astype(int)[None] - 1, 0)[0], votes.max(axis=0))


def test_a_shifted_grid_interpolates_a_tilted_plane_exactly(tmp_path):
    rows, cols = np.mgrid[:40, :50]
    path = write(tmp_path / "a.tif", (3.0 * cols - 2.0 * rows + 7).astype("float32"))
    grid = grid_of((30, 40), 10.0, left=LEFT + 42.5, top=TOP - 37.5)
    raster = prepare_raster(path, grid, kind="continuous")
    assert raster.resampling == "bilinear"
    r, c = np.mgrid[:30, :40]
    np.testing.assert_allclose(whole(raster, grid), 3.0 * (c + 4.25) - 2.0 * (r + 3.75) + 7, atol=1e-4)


def test_categories_and_directions_are_never_mixed(tmp_path):
    values = np.where(np.random.default_rng(0).random((40, 50)) < 0.5, 1, 359).astype("float32")
    path = write(tmp_path / "a.tif", values)
    grid = grid_of((90, 110), 4.0, left=LEFT + 3, top=TOP - 3)
    for kind in ("categorical", "direction"):
        raster = prepare_raster(path, grid, kind=kind)
        assert raster.resampling == "nearest"
        assert set(np.unique(whole(raster, grid))) == {1, 359}


@pytest.mark.parametrize("resampling", ["nearest", "bilinear", "cubic", "average", "mode"])
@pytest.mark.parametrize("cell", [7.0, 33.0])
def test_every_window_sees_the_same_pixels(tmp_path, resampling, cell):
    values = np.random.default_rng(0).normal(size=(300, 330)).astype("float32")
    values[50:60, 40:90] = np.nan
    path = write(tmp_path / "a.tif", values)
    grid = grid_of((int(3200 / cell), int(3700 / cell)), cell, left=4_714_300.0, top=2_462_700.0, crs="EPSG:3035")
    raster = prepare_raster(path, grid, kind="continuous", resampling=resampling)
    full = read_window(raster, grid, Window(0, 0, *grid.shape).grow(3), pad_px=3)
    assert 0.1 < np.isfinite(full).mean() < 1
    rng = np.random.default_rng(1)
    for _ in range(5):
        row, col = rng.integers(-3, grid.shape[0] - 20), rng.integers(-3, grid.shape[1] - 30)
        part = read_window(raster, grid, Window(int(row), int(col), 20, 30), pad_px=3)
        np.testing.assert_array_equal(part, full[row + 3 : row + 23, col + 3 : col + 33])


def test_no_data_scale_and_offset(tmp_path):
    values = np.full((20, 20), 5, "int16")
    values[0, 0], values[1, 1] = -9999, 0
    path = write(tmp_path / "a.tif", values, nodata=-9999)
    grid = raster_grid(path)
    read = whole(prepare_raster(path, grid, kind="continuous", scale=0.1, offset=2.0), grid)
    assert np.isnan(read[0, 0])
    assert read[1, 1] == 2.0
    assert read[5, 5] == pytest.approx(2.5)
    instead = whole(prepare_raster(path, grid, kind="continuous", nodata=0), grid)
    assert np.isnan(instead[1, 1])
    assert instead[0, 0] == -9999


def test_missing_integers_stay_missing_when_warped(tmp_path):
    values = np.full((40, 40), 500, "int16")
    values[:20] = -9999
    for nodata, given in ((-9999, None), (None, -9999)):
        path = write(tmp_path / f"{nodata}.tif", values, nodata=nodata)
        grid = grid_of((36, 36), 10.0, left=LEFT + 14, top=TOP - 14)
        read = whole(prepare_raster(path, grid, kind="continuous", nodata=given), grid)
        assert set(np.unique(read[np.isfinite(read)])) == {500}
        assert np.isnan(read[:17]).all()


def test_the_values_of_a_file(tmp_path):
    path = write(tmp_path / "a.tif", np.array([[3, 1], [9, 0]], "uint8"), nodata=0)
    raster = prepare_raster(path, raster_grid(path), kind="categorical")
    assert values_present(raster, limit=254) == [1, 3, 9]
    assert len(values_present(raster, limit=1)) == 2


def test_bad_files_are_told(tmp_path):
    grid = grid_of((10, 10), 10.0)
    with pytest.raises(SourceError, match="there is no raster"):
        prepare_raster(tmp_path / "no.tif", grid, kind="continuous")
    (tmp_path / "text.tif").write_text("not a raster")
    with pytest.raises(SourceError, match="cannot be read as a raster"):
        prepare_raster(tmp_path / "text.tif", grid, kind="continuous")
    path = write(tmp_path / "a.tif", np.zeros((4, 4), "uint8"))
    with pytest.raises(SourceError, match="no band 2"):
        prepare_raster(path, grid, kind="continuous", index=2)


def write_tiled(path, array):
    with rasterio.open(
        path, "w", driver="GTiff", height=array.shape[0], width=array.shape[1], count=1, dtype=array.dtype,
        crs="EPSG:32633", transform=Affine(10, 0, LEFT, 0, -10, TOP), tiled=True, blockxsize=128, blockysize=128,
    ) as file:  # fmt: skip
        file.write(array, 1)
    return path


class Elsewhere:
    """Opens files of a folder under an address, counts what was asked, and fails after so many reads."""

    def __init__(self, folder, *, reads=10**9):
        self.folder, self.left, self.asked = folder, reads, []

    def __call__(self, path, mode="rb"):
        self.asked.append(path)
        file = (self.folder / path.rsplit("/", 1)[1]).open(mode)
        read = file.read

        class Counted:
            seek, tell, close = file.seek, file.tell, file.close

            def read(inner, size=-1):
                self.left -= 1
                if self.left < 0:
                    raise SourceError("the line is dead")
                return read(size)

        return Counted()


@pytest.mark.parametrize("shift", [0.0, 4.0])
def test_a_file_behind_an_opener_reads_as_on_disk(tmp_path, shift):
    values = np.random.default_rng(0).normal(size=(80, 90)).astype("float32")
    path = write(tmp_path / "a.tif", values)
    grid, address = grid_of((70, 80), 10.0, left=LEFT + shift), "https://example.org/files/a.tif"
    opener = Elsewhere(tmp_path)
    there = prepare_raster(address, grid, kind="continuous", opener=opener)
    here = prepare_raster(path, grid, kind="continuous")
    window = Window(5, 6, 40, 50)
    np.testing.assert_array_equal(read_window(there, grid, window, opener=opener), read_window(here, grid, window))
    assert set(opener.asked) == {address}


@pytest.mark.parametrize("shift", [0.0, 4.0])
def test_a_fault_of_the_opener_is_raised_itself_and_never_becomes_pixels(tmp_path, shift):
    path = write_tiled(tmp_path / "a.tif", np.random.default_rng(0).normal(size=(900, 900)).astype("float32"))
    grid, address = grid_of((800, 800), 10.0, left=LEFT + shift), "https://example.org/files/a.tif"
    raster, counted = prepare_raster(path, grid, kind="continuous"), Elsewhere(tmp_path)
    raster = dataclasses.replace(raster, path=address)
    whole(raster, grid, opener=counted)
    needed = 10**9 - counted.left
    assert needed > 10
    for reads in (*range(0, needed, 1 + needed // 20), needed - 1):
        with pytest.raises(SourceError, match="the line is dead"):
            whole(raster, grid, opener=Elsewhere(tmp_path, reads=reads))


@pytest.mark.parametrize("shift", [0.0, 4.0])
def test_a_truncated_file_behind_an_opener_is_told(tmp_path, shift):
    path = write_tiled(tmp_path / "a.tif", np.random.default_rng(0).normal(size=(900, 900)).astype("float32"))
    grid, address = grid_of((800, 800), 10.0, left=LEFT + shift), "https://example.org/files/a.tif"
    raster = dataclasses.replace(prepare_raster(path, grid, kind="continuous"), path=address)
    path.write_bytes(path.read_bytes()[:-700_000])
    with pytest.raises(SourceError, match="truncated"):
        whole(raster, grid, opener=Elsewhere(tmp_path))


def test_openers_work_in_many_threads_at_once(tmp_path):
    values = np.random.default_rng(0).normal(size=(300, 300)).astype("float32")
    path = write(tmp_path / "a.tif", values)
    grid = grid_of((280, 280), 10.0, left=LEFT + 4)
    raster = prepare_raster(path, grid, kind="continuous")
    wanted = whole(raster, grid)
    there, opener = dataclasses.replace(raster, path="https://example.org/a.tif"), Elsewhere(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(lambda _: whole(there, grid, opener=opener), range(40)):
            np.testing.assert_array_equal(found, wanted)
