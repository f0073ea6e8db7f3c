"""Sen12Landslides and other series: patches as samples with frames in order of time, each band read when asked for."""

import os

import numpy as np
import pytest
import xarray as xr

from headscarp.core.errors import SourceError
from headscarp.core.stack import check_stack, stack_bands
from headscarp.sources.datasets import dataset_file
from headscarp.sources.inventory import read_sen12landslides
from headscarp.sources.inventory.sen12landslides import OPTICAL, date_certainty, read_patch_list
from headscarp.sources.inventory.worldcereal import read_worldcereal

needs_data = pytest.mark.skipif(
    "HEADSCARP_DATA" not in os.environ, reason="HEADSCARP_DATA names no folder of real data"
)
SIDE = 8


def write_patch(path, *, bands=("B02", "B8A"), days=("2022-10-05", "2023-01-05", "2023-05-20"), side=SIDE, **attrs):
    """A patch as it is documented: (time, x, y), y falling, masks and DEM repeated in every frame."""
    shape = (len(days), side, side)
    # Frame t, column x, row y hold 1000 + 100 t + 10 x + y.
    t, x, y = np.indices(shape)
    data = {name: (("time", "x", "y"), (1000 + 100 * t + 10 * x + y).astype("int16")) for name in bands}
    data["DEM"] = (("time", "x", "y"), np.broadcast_to(500 + x[0] * 0 + y[0], shape).astype("int16"))
    data["MASK"] = (("time", "x", "y"), np.broadcast_to((x[0] == 2) & (y[0] == 5), shape).astype("uint8"))
    data["SCL"] = (("time", "x", "y"), np.full(shape, 4, "int16"))
    data["spatial_ref"] = ((), 0)
    coords = {
        "time": np.array(days, "datetime64[ns]"),
        "x": 755_000.0 + 10 * np.arange(side),
        "y": 4_882_000.0 - 10 * np.arange(side),
    }
    said = {
        "ann_id": "41125,41124",
        "event_date": "2023-05-16",
        "date_confidence": 1.0,
        "pre_post_dates": "{'pre': 1, 'post': 2}",
        "annotated": "True",
        "satellite": "s2",
        "crs": "EPSG:32632",
        **attrs,
    }
    dataset = xr.Dataset(data, coords=coords, attrs={k: v for k, v in said.items() if v is not None})
    dataset.to_netcdf(path, engine="h5netcdf")
    return dataset


def test_patches_are_samples_with_frames(tmp_path):
    write_patch(tmp_path / "italy_s2_12.nc")
    write_patch(
        tmp_path / "italy_s2_9.nc", event_date=None, annotated="False", pre_post_dates=None, date_confidence=None
    )
    stack = read_sen12landslides(tmp_path)
    check_stack(stack)
    assert stack["sample"].values.tolist() == ["italy_s2_9", "italy_s2_12"]
    assert stack["B8A"].dims == ("sample", "time", "y", "x")
    assert stack["DEM"].dims == stack["landslide"].dims == ("sample", "y", "x")
    assert float(stack["B02"][0, 2, 5, 3]) == 1000 + 200 + 30 + 5
    assert np.argwhere(stack["landslide"][0].values == 1).tolist() == [[5, 2]]
    assert stack["DEM"][0, :, 0].values.tolist() == [500 + i for i in range(SIDE)]
    assert stack["SCL"].attrs["classes"][3] == "vegetation"
    assert [b.name for b in stack_bands(stack)] == ["B02", "B8A", "SCL", "DEM", "landslide"]
    assert stack["region"].values.tolist() == ["italy", "italy"]
    assert np.isnat(stack["event_date"].values[0])
    assert stack["event_date"].values[1] == np.datetime64("2023-05-16")
    assert stack["date_certainty"].values.tolist() == ["unknown", "certain"]
    assert list(zip(stack["pre"].values.tolist(), stack["post"].values.tolist(), strict=True)) == [(-1, -1), (1, 2)]
    assert stack["annotated"].values.tolist() == [False, True]


def test_frames_come_in_order_of_time_and_missing_ones_are_told(tmp_path):
    write_patch(
        tmp_path / "a_s2_1.nc",
        days=("2023-05-20", "2022-10-05", "2023-01-05"),
        pre_post_dates="[{'pre': 1, 'post': 2}, {'pre': 2, 'post': 0}]",
    )
    write_patch(tmp_path / "a_s2_2.nc", days=("2020-01-01", "2020-02-01"))
    stack = read_sen12landslides([tmp_path / "a_s2_1.nc", tmp_path / "a_s2_2.nc"])
    assert stack["B02"][0, :, 0, 0].values.tolist() == [1100.0, 1200.0, 1000.0]
    dates = stack["date"].values
    assert (np.diff(dates[0]) > np.timedelta64(0)).all()
    assert stack["present"].values.tolist() == [[True, True, True], [True, True, False]]
    assert np.isnat(dates[1, 2])
    assert np.isnan(stack["B02"][1, 2].values).all()
    assert (stack["SCL"][1, 2].values == 0).all()
    # The first frame before all slides, the last after all, where they stand now.
    assert (int(stack["pre"][0]), int(stack["post"][0])) == (0, 2)


def test_what_is_missing_is_nan(tmp_path):
    dataset = write_patch(tmp_path / "a_s2_1.nc")
    dataset["B02"][1, 3, 4] = 0
    dataset["DEM"] = dataset["DEM"].astype("float32")
    dataset["DEM"][0, 0, 0] = np.nan
    dataset["SCL"][0, 0, 0] = 99
    dataset.to_netcdf(tmp_path / "a_s2_1.nc", engine="h5netcdf")
    stack = read_sen12landslides(tmp_path)
    assert np.argwhere(np.isnan(stack["B02"].values)).tolist() == [[0, 1, 4, 3]]
    assert float(stack["DEM"][0, 0, 0]) == 500.0
    assert int(stack["SCL"][0, 0, 0, 0]) == 0


def test_radar_is_a_stack_of_its_own(tmp_path):
    write_patch(tmp_path / "a_s1asc_1.nc", bands=("VV", "VH"))
    write_patch(tmp_path / "a_s2_1.nc")
    assert read_sen12landslides(tmp_path / "a_s1asc_1.nc")["VV"].attrs["units"] == "dB"
    with pytest.raises(SourceError, match="read the sensors as several stacks"):
        read_sen12landslides(tmp_path)


def test_a_patch_is_read_when_it_is_asked_for_and_no_other(tmp_path):
    for i in (1, 2):
        write_patch(tmp_path / f"a_s2_{i}.nc")
    stack = read_sen12landslides(tmp_path)
    (tmp_path / "a_s2_2.nc").unlink()
    assert np.isfinite(stack["B02"][0].values).all()
    with pytest.raises(SourceError, match=r"a_s2_2\.nc cannot be read as NetCDF"):
        stack["B02"][1].compute()


def test_files_that_do_not_fit_are_told(tmp_path):
    write_patch(tmp_path / "a_s2_1.nc")
    write_patch(tmp_path / "a_s2_2.nc", side=4)
    with pytest.raises(SourceError, match="different sizes"):
        read_sen12landslides(tmp_path)
    write_patch(tmp_path / "a_s2_2.nc", bands=("B02", "B99"))
    with pytest.raises(SourceError, match="has B99; known are: B02"):
        read_sen12landslides(tmp_path)
    (tmp_path / "a_s2_2.nc").write_bytes(b"no netcdf")
    with pytest.raises(SourceError, match="cannot be read as NetCDF"):
        read_sen12landslides(tmp_path)
    (tmp_path / "none").mkdir()
    with pytest.raises(SourceError, match="no patches found"):
        read_sen12landslides(tmp_path / "none")


@pytest.mark.parametrize(
    ("confidence", "word"), [("1.0", "certain"), (0.7, "probable"), ("0.1", "questionable"), ("", "unknown")]
)
def test_confidence_in_the_words_of_the_schema(confidence, word):
    assert date_certainty(confidence) == word


def test_there_are_ten_optical_bands():
    assert len(OPTICAL) == 10


@needs_data
def test_the_real_list_of_patches():
    patches = read_patch_list(dataset_file("sen12landslides_metadata/ld_s2_patches.csv.gz"))
    assert len(patches) == 4988
    assert patches["split"].value_counts().to_dict() == {"train": 3192, "test": 998, "val": 798}
    assert patches.geometry.is_valid.all()
    with pytest.raises(SourceError, match="lacks patch_id"):
        read_patch_list(dataset_file("nasa_glc/Global_Landslide_Catalog_Export.csv.gz"))


@needs_data
@pytest.mark.parametrize(
    ("name", "frames", "size"), [("100x100_12months", 12, (100, 100)), ("50x48_20months", 20, (50, 48))]
)
def test_the_real_cubes(name, frames, size):
    path = dataset_file(f"s1_s2_timeseries/worldcereal_belgium_{name}.nc")
    stack = read_worldcereal(path)
    assert (stack.sizes["time"], stack.sizes["y"], stack.sizes["x"]) == (frames, *size)
    assert stack["present"].values.all()
    assert stack["elevation"].dims == ("sample", "y", "x")
    with xr.open_dataset(path, engine="h5netcdf") as raw:
        variable = "S2-L2A-B08" if "S2-L2A-B08" in raw else "B8"
        expected = raw[variable].values.astype("float32")
    expected[expected == 65535] = np.nan
    np.testing.assert_array_equal(stack["B08"][0].values, expected)
    assert np.nanmax(stack["VV"].values) < 65535
