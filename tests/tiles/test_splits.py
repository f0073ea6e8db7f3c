"""Laws of splits: parts share no pixel and cover what is valid, the buffer holds, any window tells the same."""

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from headscarp.core.band import Band
from headscarp.core.errors import HeadscarpWarning, SplitError
from headscarp.core.stack import LABEL, make_stack, stack_bands, stack_grid, with_label
from headscarp.core.tile import Window
from headscarp.tiles.splits import PARTS, SPLITS, kmeans_folds, split_blocks, split_random

SHAPE = (130, 170)
WHOLE = Window(0, 0, *SHAPE)

WAYS = {
    "random": lambda stack, seed: split_random(stack, tile_px=12, seed=seed),
    "random folds": lambda stack, seed: split_random(stack, tile_px=12, folds=4, fold=1, seed=seed),
    "blocks": lambda stack, seed: split_blocks(stack, block_size_m=170, seed=seed),
    "blocks with buffer": lambda stack, seed: split_blocks(stack, block_size_m=230, buffer_m=45, seed=seed),
}


@pytest.fixture(params=WAYS, ids=str)
def way(request):
    return WAYS[request.param]


def test_parts_share_no_pixel_and_cover_every_valid_one(world, way):
    stack = world(SHAPE)
    split = way(stack, 3)
    count = np.zeros(SHAPE, int)
    for part in split.parts:
        count[part.window.slices] += 1
    assert count.max() == 1
    assert (count[stack.valid.to_numpy() == 1] == 1).all()
    assert {part.name for part in split.parts} == set(PARTS)
    assert len({part.id for part in split.parts}) == len(split.parts)


def test_positives_of_the_parts_are_those_of_the_labels(world, way):
    stack = world(SHAPE)
    positive = (stack[LABEL].to_numpy() == 1) & (stack.valid.to_numpy() == 1)
    for part in way(stack, 3).parts:
        assert part.positives == positive[part.window.slices].sum()


def test_codes_without_buffer_are_the_rectangles(world):
    split = split_random(world(SHAPE), tile_px=12, seed=1)
    codes = split.codes(WHOLE)
    for part in split.parts:
        assert (codes[part.window.slices] == PARTS.index(part.name) + 1).all()


@pytest.mark.parametrize("buffer_px", [0, 1, 4, 9])
def test_no_pixel_that_counts_is_nearer_than_the_buffer_to_a_part_that_judges_it(world, buffer_px):
    split = split_blocks(world(SHAPE), block_size_m=230, buffer_m=10 * buffer_px, seed=2)
    codes = split.codes(WHOLE)
    planes = [np.zeros(SHAPE, bool) for _ in PARTS]
    for part in split.parts:
        planes[PARTS.index(part.name)][part.window.slices] = True
    expected = np.zeros(SHAPE, np.uint8)
    for i, j in np.ndindex(SHAPE):
        near = np.s_[max(0, i - buffer_px) : i + buffer_px + 1, max(0, j - buffer_px) : j + buffer_px + 1]
        own = next((k for k, plane in enumerate(planes) if plane[i, j]), None)
        if own is not None and not any(judge[near].any() for judge in planes[own + 1 :]):
            expected[i, j] = own + 1
    np.testing.assert_array_equal(codes, expected)
    for own, judges in ((1, (2, 3)), (2, (3,))):
        mine, theirs = np.argwhere(codes == own), np.argwhere(np.isin(codes, judges))
        apart = np.sqrt(((mine[::7, None] - theirs[None]) ** 2).sum(axis=2)).min()
        assert apart > buffer_px


def test_any_window_tells_what_the_whole_tells(world, way):
    split = way(world(SHAPE), 5)
    padded = np.pad(split.codes(WHOLE), 60)
    rng = np.random.default_rng(0)
    for _ in range(50):
        row, col = (int(rng.integers(-50, n)) for n in SHAPE)
        window = Window(row, col, *(int(v) for v in rng.integers(1, 60, 2)))
        there = padded[row + 60 : row + 60 + window.height, col + 60 : col + 60 + window.width]
        np.testing.assert_array_equal(split.codes(window)[: there.shape[0], : there.shape[1]], there)


def test_the_same_seed_gives_the_same_split_and_another_seed_another(world, way):
    stack = world(SHAPE)
    assert way(stack, 7) == way(stack, 7)
    assert way(stack, 7).parts != way(stack, 8).parts


def test_random_shares_are_80_10_10(world):
    split = split_random(world((200, 200)), tile_px=10, seed=0)
    assert [round(len(split.part(name)) / len(split.parts), 2) for name in PARTS] == [0.8, 0.1, 0.1]


def test_every_fold_is_the_test_once_and_the_next_fold_validates(world):
    stack = world(SHAPE)
    splits = [split_blocks(stack, block_size_m=200, folds=4, fold=f, seed=1) for f in range(4)]
    tests = [{part.id for part in split.part("test")} for split in splits]
    assert sum(map(len, tests)) == len(set.union(*tests)) == len(splits[0].parts)
    for f in range(4):
        assert {part.id for part in splits[f].part("validation")} == tests[(f + 1) % 4]


def test_folds_of_blocks_hold_about_as_many_landslides_and_pixels(world):
    stack = world((300, 300))
    split = split_blocks(stack, block_size_m=200, seed=4)
    valid = stack.valid.to_numpy() == 1
    positives, pixels = np.zeros(5), np.zeros(5)
    for part in split.parts:
        positives[part.fold] += part.positives
        pixels[part.fold] += valid[part.window.slices].sum()
    assert np.ptp(positives) < 0.1 * positives.mean()
    assert np.ptp(pixels) < 0.1 * pixels.mean()


def test_sides_are_rounded_to_pixels_and_cells_need_not_be_square():
    grid = GeoBox((60, 60), Affine(20, 0, 500000, 0, -10, 5000000), "EPSG:32632")
    label = np.random.default_rng(0).integers(0, 2, grid.shape)
    stack = make_stack(grid, {Band("a", "continuous"): label * 1.0, Band(LABEL, "label"): label})
    split = split_blocks(stack, block_size_m=104, buffer_m=25, folds=3)
    assert split.parts[0].window == Window(0, 0, 10, 5)
    assert split.buffer_px == 3


def test_rectangles_without_a_valid_pixel_are_left_out(world):
    stack = world(SHAPE)
    stack.valid[:24, :24] = 0
    split = split_random(stack, tile_px=12, seed=0)
    assert min(part.window.row + part.window.col for part in split.parts) == 24


def test_a_part_without_a_class_is_named(world):
    stack = world(SHAPE)
    stack[LABEL][:] = 0
    stack[LABEL][60, 60] = 1
    stack.valid[60, 60] = 1
    with pytest.warns(HeadscarpWarning, match="no landslide pixel") as caught:
        split_random(stack, tile_px=12, seed=0)
    assert len(caught) == 2


def test_several_labels_share_one_split_made_from_all_of_them(world):
    one = world(SHAPE)
    west = np.arange(SHAPE[1]) < SHAPE[1] // 2
    parts = {name: np.where(where, one[LABEL], 0) for name, where in (("scarp", west), ("deposit", ~west))}
    bands = {band: one[band.name].values for band in stack_bands(one) if band.kind != "label"}
    several = make_stack(stack_grid(one), {**bands, **{Band(name, "label"): plane for name, plane in parts.items()}})
    common = split_blocks(several, block_size_m=170, seed=3)
    positive = np.logical_or(parts["scarp"] == 1, parts["deposit"] == 1) & (one.valid.to_numpy() == 1)
    for part in common.parts:
        assert part.positives == positive[part.window.slices].sum()
    assert common != split_blocks(with_label(several, "scarp"), block_size_m=170, seed=3)


def test_what_cannot_be_split_is_refused_with_a_way_out(world):
    stack = world(SHAPE)
    nothing = stack.copy(deep=True)
    nothing[LABEL][:] = 0
    with pytest.raises(SplitError, match="no valid pixel of the stack is labelled"):
        split_blocks(nothing, block_size_m=100)
    with pytest.raises(SplitError, match="take 3 or more"):
        split_blocks(stack, block_size_m=100, folds=2)
    with pytest.raises(SplitError, match="take 0 to 4"):
        split_blocks(stack, block_size_m=100, fold=5)
    with pytest.raises(SplitError, match="sum 1"):
        split_random(stack, shares=(0.9, 0.2, 0.1))
    with pytest.raises(SplitError, match="needed: 3 or more: take tile_px = ") as caught:
        split_random(stack, tile_px=500)
    assert split_random(stack, tile_px=int(str(caught.value).split("tile_px = ")[1].split(" ")[0]))
    with pytest.raises(SplitError, match="block_size_m") as caught:
        split_blocks(stack, block_size_m=5000)
    assert split_blocks(stack, block_size_m=float(str(caught.value).split("block_size_m = ")[1].split(" ")[0]))


def test_a_stack_without_labels_is_split_by_its_valid_pixels(world):
    """For nets that need no labels; those that do refuse such a stack in `fit`."""
    stack = world(SHAPE)
    blind, seeing = (split_random(s, tile_px=12, seed=0) for s in (stack.drop_vars(LABEL), stack))
    assert [(p.window, p.name) for p in blind.parts] == [(p.window, p.name) for p in seeing.parts]
    assert sum(part.positives for part in blind.parts) == 0


def test_splits_of_samples_name_the_sample(world):
    import xarray as xr

    chips = xr.concat([world((24, 24), seed) for seed in range(6)], "sample")
    split = split_random(chips, tile_px=12, seed=0)
    assert split.samples == tuple(range(6))
    assert len(split.parts) == len({part.id for part in split.parts})
    for part in split.parts:
        assert (split.codes(part.window, sample=part.sample) == PARTS.index(part.name) + 1).all()


def test_kmeans_folds_are_compact_and_seeded():
    rng = np.random.default_rng(0)
    centres = np.array([[0, 0], [1000, 0], [0, 1000], [5e5, 5e6]])
    xy = np.repeat(centres, 25, axis=0) + rng.normal(size=(100, 2))
    fold = kmeans_folds(xy, folds=4, seed=1)
    np.testing.assert_array_equal(fold, kmeans_folds(xy, folds=4, seed=1))
    assert all(len(set(group)) == 1 for group in np.split(fold, 4))
    assert sorted(set(fold)) == [0, 1, 2, 3]
    with pytest.raises(SplitError, match="different points"):
        kmeans_folds(np.zeros((9, 2)), folds=2, seed=0)


def test_the_dict_names_what_recipes_may_ask_for(world):
    assert set(SPLITS) == {"random", "blocks", "given", "groups", "regions"}
    assert stack_grid(world(SHAPE)).shape == SHAPE
