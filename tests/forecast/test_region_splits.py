"""Laws of splits by region: the held-out region judges alone, places are never parted, folds leave out each once."""

import numpy as np
import pytest
from series_world import REGIONS, series_world

from headscarp.core.errors import SplitError
from headscarp.tiles.splits import split_from_json, split_regions, split_to_json
from headscarp.train.plan import chosen_split

pytestmark = pytest.mark.filterwarnings("ignore:the .* part has no landslide")


@pytest.fixture(scope="module")
def world():
    return series_world(72)


def regions_of(world, split, part):
    return {str(world["region"][p.sample].item()) for p in split.part(part)}


def test_the_held_out_region_judges_and_no_other(world):
    split = split_regions(world, hold_out="india")
    assert regions_of(world, split, "test") == {"india"}
    assert "india" not in regions_of(world, split, "train") | regions_of(world, split, "validation")
    assert regions_of(world, split, "validation") == {"andes", "sichuan"}
    assert len(split.parts) == 72
    assert split_from_json(split_to_json(split)) == split


def test_folds_leave_out_each_region_once(world):
    assert [split_regions(world, fold=k).settings["hold_out"] for k in range(3)] == sorted(REGIONS)
    with pytest.raises(SplitError, match="no fold 3"):
        split_regions(world, fold=3)


def test_samples_of_one_place_are_in_one_part(world):
    twins = world.assign_coords(latitude=("sample", np.arange(72) // 4 * 1.0), longitude=("sample", np.zeros(72)))
    split = split_regions(twins, hold_out="andes", seed=3)
    of_sample = {part.sample: part.name for part in split.parts}
    place = np.arange(72) // 4
    for region in ("india", "sichuan"):
        for number in np.unique(place):
            same = [s for s in range(72) if place[s] == number and world["region"][s].item() == region]
            assert len({of_sample[s] for s in same}) <= 1


def test_later_dates_judge_what_earlier_ones_taught(world):
    split = split_regions(world, hold_out="india", later_than="2018-01-01")
    dates = world["cutoff"].to_numpy()
    assert min(dates[p.sample] for p in split.part("test")) >= np.datetime64("2018-01-01")
    assert max(dates[p.sample] for p in split.part("train")) < np.datetime64("2018-01-01")


def test_the_seed_draws_who_validates(world):
    first, other = (
        {p.sample for p in split_regions(world, hold_out="india", seed=seed).part("validation")} for seed in (0, 1)
    )
    assert first != other


def test_a_held_out_region_names_the_kind_of_split(world):
    assert chosen_split(world, hold_out="india").kind == "regions"
    assert chosen_split(world, hold_out="india") == split_regions(world, hold_out="india", seed=0)


def test_unknown_regions_are_refused(world):
    with pytest.raises(SplitError, match=r"nearest is 'india'"):
        split_regions(world, hold_out="indja")
    with pytest.raises(SplitError, match="two regions"):
        split_regions(world.isel(sample=slice(6)), hold_out="andes")
    with pytest.raises(SplitError, match="no 'region'"):
        split_regions(world.drop_vars("region"), hold_out="andes")
