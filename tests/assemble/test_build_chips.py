"""Laws of stacks of chips: what was in the files is in the stack, each chip by its own name and part; what is wrong is
said."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.errors import NotGeoreferencedWarning

from headscarp.assemble.build import build
from headscarp.assemble.recipe import recipe_from_dict
from headscarp.assemble.samples import find_samples
from headscarp.core.errors import HeadscarpWarning, OutputError, RecipeError, SourceError, StackError
from headscarp.core.samples import has_samples, sample_ids, stack_resolution_m
from headscarp.core.stack import open_stack

SIDE = 16


def write_picture(path: Path, planes: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    planes = planes[None] if planes.ndim == 2 else planes
    driver = {".png": "PNG", ".tif": "GTiff"}[path.suffix]
    size = {"count": len(planes), "height": planes.shape[1], "width": planes.shape[2]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "w", driver=driver, dtype=planes.dtype, **size) as file:
            file.write(planes)
    return path


def picture(number: int, dtype=np.uint8) -> np.ndarray:
    top = 255 if dtype == np.uint8 else 60_000
    return np.random.default_rng(number).integers(1, top, (3, SIDE, SIDE)).astype(dtype)


def mask(number: int) -> np.ndarray:
    values = np.zeros((SIDE, SIDE), np.uint8)
    values[2 : 3 + number % 5, 4:9] = 1
    values[-1] = 255
    return values


@pytest.fixture
def folder(tmp_path) -> Path:
    """Five chips to train and three to judge, with masks of three states, one place for each."""
    for number in range(8):
        part = "train" if number < 5 else "test"
        write_picture(tmp_path / part / "images" / f"image_{number}.png", picture(number))
        write_picture(tmp_path / part / "masks" / f"mask_{number}.png", mask(number))
    return tmp_path


def recipe(folder: Path, **chips):
    told = {
        "images": "*/images/*.png",
        "masks": "*/masks/*.png",
        "bands": ["red", "green", "blue"],
        "parts": {"train": "train", "test": "test"},
    }
    told = {key: value for key, value in {**told, **chips}.items() if value is not None}
    return recipe_from_dict({"name": "chips", "chips": told}, folder=folder)


def test_groups_are_read_from_the_names_into_the_stack(folder, tmp_path):
    stack = build(recipe(folder, group=r"image_(\d+)", group_step=3), tmp_path / "out.zarr", workers=2)
    numbers = [int(name.removeprefix("image_")) for name in sample_ids(stack)]
    assert stack["group"].to_numpy().tolist() == [str(number // 3) for number in numbers]
    with pytest.raises(RecipeError, match="group_step is 0"):
        recipe(folder, group=r"image_(\d+)", group_step=0)


def test_what_is_in_the_files_is_in_the_stack(folder, tmp_path):
    stack = build(recipe(folder, pixel_m=5.0), tmp_path / "out.zarr", workers=2)
    assert has_samples(stack)
    assert sample_ids(stack) == [f"image_{i}" for i in (5, 6, 7, 0, 1, 2, 3, 4)]
    assert stack["part"].to_numpy().tolist() == ["test"] * 3 + ["train"] * 5
    assert stack_resolution_m(stack) == 5.0
    for i, name in enumerate(sample_ids(stack)):
        number = int(name.removeprefix("image_"))
        for band, plane in zip(("red", "green", "blue"), picture(number), strict=True):
            np.testing.assert_array_equal(stack[band][i], plane)
        np.testing.assert_array_equal(stack["landslide"][i], mask(number))
    assert (stack["valid"] == 1).all()
    report = stack.attrs["report"]
    assert report["parts"] == {"test": 3, "train": 5}
    assert report["labels"]["all"]["positive"] == int((stack["landslide"] == 1).sum())
    assert report["labels"]["all"]["unlabelled"] == 8 * SIDE


def test_the_same_chips_give_the_same_stack_and_resume_finds_it(folder, tmp_path):
    one = build(recipe(folder), tmp_path / "one.zarr", workers=1)
    two = build(recipe(folder), tmp_path / "two.zarr", workers=3)
    assert one.attrs["fingerprint"] == two.attrs["fingerprint"]
    again = build(recipe(folder), tmp_path / "one.zarr", resume=True)
    assert again.attrs["fingerprint"] == one.attrs["fingerprint"]
    write_picture(folder / "train" / "images" / "image_0.png", picture(99))
    with pytest.raises(OutputError, match="exists already"):
        build(recipe(folder), tmp_path / "one.zarr", resume=True)


def test_a_build_that_was_stopped_goes_on(folder, tmp_path):
    good = folder / "train" / "masks" / "mask_4.png"
    saved = good.read_bytes()
    write_picture(good, np.full((SIDE, SIDE), 7, np.uint8))
    with pytest.raises(SourceError, match=r"mask_4.png holds 7 in 256 pixels, which is no class"):
        build(recipe(folder), tmp_path / "out.zarr", workers=1)
    assert not (tmp_path / "out.zarr").exists()
    good.write_bytes(saved)
    # The mended file makes it another job: its bytes decide the result.
    stack = build(recipe(folder), tmp_path / "out.zarr", workers=1, overwrite=True)
    assert stack.sizes["sample"] == 8


def test_sixteen_bits_stay_sixteen_and_do_not_mix_with_eight(folder, tmp_path):
    deep = tmp_path / "deep"
    for number in range(3):
        write_picture(deep / f"chip_{number}.png", picture(number, np.uint16))
    stack = build(recipe(deep, images="*.png", masks=None, parts=None), tmp_path / "deep.zarr")
    np.testing.assert_array_equal(stack["red"][0], picture(0, np.uint16)[0])
    assert stack.attrs["report"]["depth"] == "uint16"
    assert float(stack["red"].max()) > 255
    write_picture(folder / "train" / "images" / "image_1.png", picture(1, np.uint16))
    with pytest.raises(SourceError, match=r"uint8 but .*image_1.png is uint16"):
        build(recipe(folder), tmp_path / "mixed.zarr")


def test_another_range_is_named(tmp_path):
    for number in range(5):
        np.savez(tmp_path / f"chip_{number}.npz", pixels=picture(number) / (255.0 if number else 0.01))
    with pytest.warns(HeadscarpWarning, match="another range than the others: scale all alike: chip_0"):
        build(recipe(tmp_path, images="*.npz", masks=None, parts=None), tmp_path / "out.zarr")


def test_a_mask_of_another_size_and_chips_of_two_sizes_are_refused(folder, tmp_path):
    path = folder / "train" / "masks" / "mask_2.png"
    write_picture(path, np.zeros((SIDE, SIDE - 1), np.uint8))
    with pytest.raises(SourceError, match=r"mask_2.png is 16 x 15 pixels, its image .*image_2.png is 16 x 16"):
        build(recipe(folder), tmp_path / "out.zarr")
    write_picture(path, mask(2))
    write_picture(folder / "train" / "images" / "image_3.png", np.ones((3, 8, 8), np.uint8))
    with pytest.raises(SourceError, match=r"image_3.png is 8 x 8 pixels; the first chip is 16 x 16"):
        build(recipe(folder), tmp_path / "out.zarr", overwrite=True)


def test_black_chips_are_listed_and_count_for_nothing(folder, tmp_path):
    write_picture(folder / "train" / "images" / "image_2.png", np.zeros((3, SIDE, SIDE), np.uint8))
    with pytest.warns(HeadscarpWarning, match="1 chips are black and count for nothing: image_2"):
        stack = build(recipe(folder), tmp_path / "out.zarr")
    black = sample_ids(stack).index("image_2")
    assert not stack["valid"][black].any()
    assert stack["valid"].sum() == 7 * SIDE * SIDE
    assert stack.attrs["report"]["black"] == ["image_2"]


def test_chips_that_stand_in_two_parts_are_named(folder, tmp_path):
    write_picture(folder / "test" / "images" / "image_6.png", picture(1))
    near = np.clip(picture(2).astype(int) + np.random.default_rng(0).integers(-2, 3, (3, SIDE, SIDE)), 1, 255)
    write_picture(folder / "test" / "images" / "image_7.png", near.astype(np.uint8))
    with pytest.warns(HeadscarpWarning, match=r"2 pairs of chips stand in two parts.*image_6 \(test\) = image_1"):
        stack = build(recipe(folder), tmp_path / "out.zarr")
    twins = stack.attrs["report"]["twins"]
    assert {tuple(twin["chips"]): twin["exact"] for twin in twins} == {
        ("image_6", "image_1"): True,
        ("image_7", "image_2"): False,
    }


def test_chips_without_a_mask_are_unlabelled_and_named(folder, tmp_path):
    (folder / "test" / "masks" / "mask_5.png").unlink()
    with pytest.warns(HeadscarpWarning, match="1 chips have no mask and are unlabelled: image_5"):
        stack = build(recipe(folder), tmp_path / "out.zarr")
    assert (stack["landslide"][sample_ids(stack).index("image_5")] == 255).all()


def test_masks_of_0_and_255_need_their_meaning(folder, tmp_path):
    for path in folder.glob("*/masks/*.png"):
        write_picture(path, np.where(mask(1) == 1, 255, 0).astype(np.uint8))
    with pytest.raises(StackError, match=r'no valid pixel of any chip is a landslide.*"255" = "landslide"'):
        build(recipe(folder), tmp_path / "out.zarr")
    told = recipe(folder, classes={"0": "not", "255": "landslide"})
    stack = build(told, tmp_path / "told.zarr")
    np.testing.assert_array_equal(stack["landslide"][0], mask(1) == 1)


def test_second_files_come_to_the_pixels_of_the_chip(folder, tmp_path):
    rows, cols = np.meshgrid(np.arange(4), np.arange(4), indexing="ij")
    for number in range(8):
        part = "train" if number < 5 else "test"
        write_picture(folder / part / "dem" / f"dem_{number}.tif", (100.0 * rows + cols).astype(np.float32))
    also = [{"files": "*/dem/*.tif", "bands": ["elevation"], "units": ["m"], "scale": 0.5}]
    stack = build(recipe(folder, also=also), tmp_path / "out.zarr")
    assert stack["elevation"].attrs["units"] == "m"
    fine = stack["elevation"][0].to_numpy()
    assert fine.shape == (SIDE, SIDE)
    # A plane stays a plane between the outermost centres: 4 pixels a step of 50.
    np.testing.assert_allclose(np.diff(fine[2:14, 8]), 50 / 4, rtol=1e-5)
    (folder / "test" / "dem" / "dem_5.tif").unlink()
    with pytest.raises(SourceError, match=r"image_5.png has no second file"):
        build(recipe(folder, also=also), tmp_path / "less.zarr")


def test_many_chips_in_one_array_file(tmp_path):
    import h5py

    for part, count in (("train", 4), ("other", 2)):
        with h5py.File(tmp_path / f"{part}.h5", "w") as file:
            file["img"] = np.stack([picture(i + 100 * (part == "other")) for i in range(count)])
            file["mask"] = np.stack([mask(i) for i in range(count)])
            file["dem"] = np.ones((count, SIDE, SIDE), np.uint16) * 1000
            file["name"] = [f"{part}_{i}".encode() for i in range(count)]
    chips = {
        "images": "*.h5#img",
        "masks": "*.h5#mask",
        "names": "name",
        "bands": ["red", "-", "blue"],
        "parts": {"train": "train", "test": "other"},
        "also": [{"files": "*.h5#dem", "bands": ["elevation"], "scale": 0.001}],
    }
    stack = build(recipe(tmp_path, **chips), tmp_path / "out.zarr")
    assert [*stack.data_vars] == ["red", "blue", "elevation", "landslide", "valid"]
    assert sample_ids(stack)[2:] == [f"train_{i}" for i in range(4)]
    np.testing.assert_array_equal(stack["blue"][2], picture(0)[2])
    assert float(stack["elevation"].mean()) == 1.0
    with pytest.raises(SourceError, match=r"no array 'pixels'; it holds"):
        find_samples(recipe(tmp_path, **{**chips, "images": "*.h5#pixels"}).chips, tmp_path)


def test_pairs_are_by_folder_and_name_or_number(folder):
    samples = find_samples(recipe(folder).chips, folder)
    for sample in samples:
        assert Path(sample.mask.path).name == Path(sample.image.path).name.replace("image", "mask")
        assert Path(sample.mask.path).parts[-3] == Path(sample.image.path).parts[-3] == sample.part
    stray = write_picture(folder / "test" / "masks" / "mask_77.png", mask(0))
    with pytest.raises(SourceError, match=r"1 masks have no image, such as .*mask_77"):
        find_samples(recipe(folder).chips, folder)
    stray.unlink()
    with pytest.raises(SourceError, match="no file is named"):
        find_samples(recipe(folder, images="*/nowhere/*.png").chips, folder)


def test_parts_may_be_lists_of_names(folder, tmp_path):
    (folder / "judge.txt").write_text("image_1\nimage_6\n")
    told = recipe(folder, parts={"test": "judge.txt", "train": "image_*"})
    assert {s.id: s.part for s in find_samples(told.chips, folder)} == {
        f"image_{i}": "test" if i in (1, 6) else "train" for i in range(8)
    }


@pytest.mark.parametrize(
    ("chips", "match"),
    [
        ({"image": "x"}, "did you mean 'images'"),
        ({"bands": ["red", "red", "blue"]}, "twice"),
        ({"parts": {"training": "a"}}, "did you mean 'train'"),
        ({"classes": {"0": "not", "1": "slide"}}, "class 'slide'"),
        ({"classes": {"0": "not"}}, "no number for 'landslide'"),
        ({"pixel_m": 0.0}, "positive length"),
        ({"units": ["1"]}, "1 units for 3 bands"),
    ],
)
def test_what_a_recipe_cannot_mean_is_refused(chips, match, tmp_path):
    with pytest.raises(RecipeError, match=match):
        recipe(tmp_path, **chips)


def test_chips_and_a_grid_do_not_go_together(tmp_path):
    with pytest.raises(RecipeError, match="leave grid out"):
        recipe_from_dict({"name": "x", "grid": {"like": "a.tif"}, "chips": {"images": "a", "bands": ["b"]}})


def test_a_stack_of_chips_is_written_whole_or_not_at_all(folder, tmp_path):
    build(recipe(folder), tmp_path / "out.zarr")
    assert open_stack(tmp_path / "out.zarr").attrs["complete"]
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".out")]


@pytest.mark.parametrize("moved_px", [0, 1])
def test_masks_that_lie_beside_their_images_are_told(moved_px, tmp_path):
    for number in range(16):
        rng = np.random.default_rng(number)
        slide = np.zeros((40, 40), np.uint8)
        slide[6 : 20 + number % 9, 8 : 18 + number % 7] = 1
        image = (90 + 10 * rng.normal(size=(3, 40, 40)) + 40 * slide).clip(1, 255).astype(np.uint8)
        part = "train" if number < 10 else "test"
        write_picture(tmp_path / part / "images" / f"image_{number}.png", image)
        write_picture(tmp_path / part / "masks" / f"mask_{number}.png", np.roll(slide, moved_px, 1))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", HeadscarpWarning)
        stack = build(recipe(tmp_path), tmp_path / "out.zarr", workers=1)
    told = [str(one.message) for one in said if "beside their images" in str(one.message)]
    assert len(told) == moved_px
    assert all("moved 1 px left" in one for one in told)
    assert stack.attrs["report"]["masks_shifted"] == ({"rows": 0, "columns": -1} if moved_px else None)
