"""Laws of splits and tiles of samples: whole chips, parts as they were given, nothing around a chip."""

import numpy as np
import pytest
import xarray as xr

from headscarp.core.band import Band
from headscarp.core.errors import HeadscarpWarning, SplitError, StackError
from headscarp.core.samples import GROUP, PART, stack_resolution_m
from headscarp.core.stack import band_attrs, check_stack
from headscarp.tiles.dataset import cache_stack
from headscarp.tiles.splits import read_split, split_blocks, split_given, split_groups, split_random, write_split
from headscarp.tiles.tiling import halo_within, train_tiles

SIDE = 24


def chips(parts: list[str], seed: int = 0) -> xr.Dataset:
    rng = np.random.default_rng(seed)
    shape = (len(parts), SIDE, SIDE)
    bands = {
        Band("red", "continuous", "1"): rng.normal(size=shape).astype(np.float32),
        Band("landslide", "label"): (rng.random(shape) < 0.2).astype(np.uint8),
        Band("valid", "mask"): np.ones(shape, np.uint8),
    }
    data = {band.name: (("sample", "y", "x"), pixels, band_attrs(band)) for band, pixels in bands.items()}
    names = np.array([f"chip {i}" for i in range(len(parts))], object)
    coords = {"sample_id": ("sample", names), PART: ("sample", np.array(parts, object))}
    return check_stack(xr.Dataset(data, coords=coords, attrs={"headscarp_stack": 1, "pixel_m": 10.0}))


def test_given_parts_are_kept():
    told = ["train", "test", "validation", "train", "", "test"]
    split = split_given(chips(told))
    assert {part.sample: part.name for part in split.parts} == {i: name for i, name in enumerate(told) if name}
    assert all(part.window == (0, 0, SIDE, SIDE) for part in split.parts)
    assert split.settings["given"] == {"train": 2, "validation": 1, "test": 2}


@pytest.mark.parametrize("judge", ["validation", "test"])
def test_with_two_parts_the_second_judges_and_some_of_train_validate(judge):
    told = ["train"] * 20 + [judge] * 5
    split = split_given(chips(told), validation_share=0.2, seed=1)
    names = {part.sample: part.name for part in split.parts}
    assert all(names[i] == "test" for i in range(20, 25))
    assert sorted(names[i] for i in range(20)) == ["train"] * 16 + ["validation"] * 4
    assert split == split_given(chips(told), validation_share=0.2, seed=1)
    assert split != split_given(chips(told), validation_share=0.2, seed=2)


def test_a_random_split_of_samples_takes_them_whole():
    split = split_random(chips([""] * 20), tile_px=7, seed=3)
    assert sorted(part.sample for part in split.parts) == list(range(20))
    assert {part.window for part in split.parts} == {(0, 0, SIDE, SIDE)}
    folds = split_random(chips([""] * 20), folds=5, fold=1, seed=3)
    assert [sum(part.name == name for part in folds.parts) for name in ("train", "validation", "test")] == [12, 4, 4]


@pytest.mark.parametrize("fold", [0, 1, 3])
def test_groups_stay_whole_and_every_fold_tests_once(fold):
    stack = chips([""] * 40).assign_coords({GROUP: ("sample", np.array([f"{i // 5}" for i in range(40)], object))})
    split = split_groups(stack, folds=4, fold=fold, seed=2)
    assert sorted(part.sample for part in split.parts) == list(range(40))
    by_group = {group: {p.name for p in split.parts if p.sample // 5 == group} for group in range(8)}
    assert all(len(names) == 1 for names in by_group.values())
    assert {name for names in by_group.values() for name in names} == {"train", "validation", "test"}
    tested = [{p.sample for p in split_groups(stack, folds=4, fold=f, seed=2).part("test")} for f in range(4)]
    assert sum(map(len, tested)) == len(set.union(*tested)) == 40
    assert all(len(samples) == 10 for samples in tested)


def test_groups_are_read_whatever_type_of_text_a_stack_on_disk_gives():
    names = [f"{i // 5}" for i in range(40)]
    plain, zarrs = (
        chips([""] * 40).assign_coords({GROUP: ("sample", np.array(names, kind))})
        for kind in (object, np.dtypes.StringDType())
    )
    assert split_groups(plain, folds=4, seed=2) == split_groups(zarrs, folds=4, seed=2)


def test_groups_that_are_not_there_or_too_few_are_refused():
    with pytest.raises(SplitError, match="group"):
        split_groups(chips([""] * 9))
    stack = chips([""] * 9).assign_coords({GROUP: ("sample", np.array(["a"] * 5 + ["b"] * 4, object))})
    with pytest.raises(SplitError, match="2 groups of samples cannot make 5 folds"):
        split_groups(stack)


def test_samples_have_no_blocks_and_need_parts_for_a_given_split():
    with pytest.raises(SplitError, match='"random", "given" or "groups"'):
        split_blocks(chips(["train", "test"]), block_size_m=100)
    with pytest.raises(SplitError, match="no given parts"):
        split_given(chips(["train", "test"]).drop_vars(PART))
    with pytest.raises(SplitError, match="some to train and some to judge"):
        split_given(chips(["train"] * 3))
    with pytest.raises(StackError, match="pixel_m"):
        stack_resolution_m(chips(["train"]).assign_attrs(pixel_m=10.0).drop_attrs())


def test_a_part_without_a_class_is_warned_of():
    stack = chips(["train", "train", "test"])
    stack["landslide"][2] = 0
    with pytest.warns(HeadscarpWarning, match="the test part has no landslide"):
        split_given(stack)


def test_tiles_of_whole_samples_have_no_context():
    stack = chips(["train", "train", "train", "test"])
    split = split_given(stack)
    assert halo_within(112, stack, SIDE) == 0
    assert halo_within(112, stack, SIDE // 2) == 112
    tiles = train_tiles(split, "test", size=32, halo=0)
    assert [(tile.sample, tile.split) for tile in tiles] == [(3, "test")]


def test_names_and_parts_outlive_the_cache_and_the_split_its_file(tmp_path):
    stack = chips(["train", "train", "test"])
    cached = cache_stack(stack, tmp_path / "cache")
    assert cached[PART].to_numpy().tolist() == ["train", "train", "test"]
    np.testing.assert_array_equal(cached["red"], stack["red"])
    split = split_given(cached)
    assert read_split(write_split(split, tmp_path / "split.geojson", None)) == split
