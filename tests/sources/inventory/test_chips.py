"""Landslide4Sense: chips as a stack of samples, read one by one, with the published bands."""

import os

import h5py
import numpy as np
import pytest
from PIL import Image

from headscarp.core.errors import SourceError
from headscarp.core.stack import check_stack, feature_bands
from headscarp.sources.datasets import dataset_file
from headscarp.sources.inventory import read_landslide4sense
from headscarp.sources.inventory.landslide4sense import BANDS

needs_data = pytest.mark.skipif(
    "HEADSCARP_DATA" not in os.environ, reason="HEADSCARP_DATA names no folder of real data"
)


def write_chip(path, pixels, key="img"):
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file[key] = pixels


@pytest.fixture
def chips(tmp_path):
    """Ten chips whose bands hold 100 x chip + band, the published folders, masks for all but the last."""
    for i in range(1, 11):
        pixels = np.broadcast_to(100.0 * i + np.arange(14), (128, 128, 14)).copy()
        pixels[0, 1, 0] = -i
        write_chip(tmp_path / "TrainData" / "img" / f"image_{i}.h5", pixels)
        if i < 10:
            mask = np.zeros((128, 128), "uint8")
            mask[:i, :2] = 1
            write_chip(tmp_path / "TrainData" / "mask" / f"mask_{i}.h5", mask, "mask")
    return tmp_path / "TrainData"


def test_chips_are_samples_in_order_of_their_number(chips):
    stack = read_landslide4sense(chips)
    check_stack(stack)
    assert stack.sizes == {"sample": 10, "y": 128, "x": 128}
    assert stack["number"].values.tolist() == list(range(1, 11))
    assert stack["sample"].values[9] == "image_10"
    assert stack["split"].values.tolist() == ["train"] * 10
    assert [b.name for b in feature_bands(stack)] == [*(f"B{i}" for i in range(1, 13)), "slope", "DEM"]
    assert stack["DEM"].values[:, 5, 5].tolist() == [100.0 * i + 13 for i in range(1, 11)]
    assert stack["B1"].values[:, 0, 1].tolist() == [-i for i in range(1, 11)]
    label = stack["landslide"].values
    assert (label == 1).sum(axis=(1, 2)).tolist() == [*(2 * i for i in range(1, 10)), 0]
    assert (label[9] == 255).all()
    assert (label[:9] != 255).all()


def test_a_chip_is_read_when_it_is_asked_for_and_no_other(chips):
    stack = read_landslide4sense(chips)
    (chips / "img" / "image_2.h5").write_bytes(b"rubbish")
    assert stack["B1"][0].values[5, 5] == 100.0
    with pytest.raises(SourceError, match=r"image_2\.h5 cannot be read as HDF5"):
        stack["B1"][1].compute()


def test_what_is_no_chip_is_told(chips, tmp_path):
    write_chip(chips / "img" / "image_1.h5", np.zeros((64, 64, 14)))
    with pytest.raises(SourceError, match=r"holds img \(64, 64, 14\); a chip is \(128, 128, 14\)"):
        read_landslide4sense(chips)["B1"][0].compute()
    write_chip(chips / "img" / "image_2.h5", np.zeros((128, 128, 14)), "image")
    with pytest.raises(SourceError, match="has no 'img'; it has: image"):
        read_landslide4sense(chips)["B1"][1].compute()
    write_chip(chips / "mask" / "mask_3.h5", np.full((128, 128), 7), "mask")
    with pytest.raises(SourceError, match="a mask is 0 = not"):
        read_landslide4sense(chips)["landslide"][2].compute()
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="no chips found"):
        read_landslide4sense(tmp_path / "empty")
    with pytest.raises(SourceError, match="there is no file"):
        read_landslide4sense([tmp_path / "image_1.h5"])


def test_pictures_keep_their_numbers(tmp_path):
    for split in ("train", "validation"):
        for kind in ("images", "masks"):
            (tmp_path / split / kind).mkdir(parents=True)
        pixels = np.zeros((128, 128, 3), "uint8")
        pixels[3, 4] = (10, 20, 255)
        Image.fromarray(pixels).save(tmp_path / split / "images" / "image_7.png")
        mask = np.zeros((128, 128), bool)
        mask[3, 4] = True
        Image.fromarray(mask).save(tmp_path / split / "masks" / "mask_7.png")
    stack = read_landslide4sense(tmp_path)
    assert stack["sample"].values.tolist() == ["train/images/image_7", "validation/images/image_7"]
    assert stack["split"].values.tolist() == ["train", "validation"]
    assert [float(stack[c][0, 3, 4]) for c in ("red", "green", "blue")] == [10.0, 20.0, 255.0]
    assert int(stack["landslide"][1, 3, 4]) == 1
    assert int(stack["landslide"][1].sum()) == 1


@needs_data
def test_the_real_chips():
    files = [dataset_file(f"landslide4sense_14band_unlabelled/image_{n}.h5") for n in (31, 37, 409)]
    stack = read_landslide4sense(files)
    assert stack["number"].values.tolist() == [31, 37, 409]
    assert "landslide" not in stack
    for band in BANDS:
        # Each was divided by its mean over the set.
        assert 0.1 < float(stack[band.name].mean()) < 10
    with h5py.File(files[1]) as file:
        np.testing.assert_array_equal(stack["B8"][1].values, file["img"][..., 7])


@needs_data
def test_the_real_pictures():
    stack = read_landslide4sense(dataset_file("landslide4sense_rgb/validation/"))
    assert stack.sizes["sample"] == 396
    assert set(stack["split"].values) == {"validation"}
    share = float((stack["landslide"][:40] == 1).mean())
    assert 0.01 < share < 0.1
    assert float(stack["red"][0].max()) > 1
