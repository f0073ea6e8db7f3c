"""Names into neighbourhoods: numbers in steps, words as they are, and nothing without a group."""

import pytest

from headscarp.assemble.chipgroups import groups_of
from headscarp.core.errors import RecipeError


def test_patches_of_one_square_are_a_group():
    names = [f"north/patch_{row}_{col}" for row in range(9) for col in range(12)]
    groups = groups_of(names, r"patch_(\d+)_(\d+)", 4)
    assert len(set(groups)) == 3 * 3
    assert groups[names.index("north/patch_3_4")] == groups[names.index("north/patch_0_7")] == "0-1"
    assert groups[names.index("north/patch_4_4")] == "1-1"


def test_words_are_groups_as_they_stand():
    assert groups_of(["nepal/a_1", "japan/a_1", "nepal/b"], r"^(\w+)/") == ["nepal", "japan", "nepal"]


@pytest.mark.parametrize(
    ("pattern", "told"), [("(", "regular expression"), ("patch", "brackets"), (r"tile_(\d+)", "does not fit")]
)
def test_patterns_that_do_not_fit_are_refused(pattern, told):
    with pytest.raises(RecipeError, match=told):
        groups_of(["patch_3"], pattern)
