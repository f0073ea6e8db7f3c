"""Which chips lie near each other on the ground, as far as their names say it.

Chips know no place, but many sets number them along a strip or by row and column of a scene. Refuses names that the
pattern does not fit: a chip without a group could lie anywhere.
"""

import re
from collections.abc import Sequence

from headscarp.core.errors import RecipeError


def groups_of(names: Sequence[str], pattern: str, step: int = 1) -> list[str]:
    """The group of each chip: what the brackets of a pattern hold in its name, numbers divided by `step`.

    names: with folders in front, such as "north/patch_12_7". pattern: a regular expression with brackets. With
    "patch_(\\\\d+)_(\\\\d+)" and step 4, patches of one square of 4 x 4 are a group: "patch_12_7" is of group "3-1".
    Raises RecipeError for a pattern that is none, and names that it does not fit.
    """
    wanted = compiled(pattern)
    groups = []
    for name in names:
        found = wanted.search(name)
        if found is None:
            raise RecipeError(
                f"[chips] group {pattern!r} does not fit the chip {name!r}; give a pattern that fits the folders and "
                "name of each chip"
            )
        parts = [part or "" for part in found.groups()]
        groups.append("-".join(str(int(part) // step) if part.isdecimal() else part for part in parts))
    return groups


def compiled(pattern: str) -> re.Pattern[str]:
    """The pattern, checked. Raises RecipeError where it is none, or has no brackets."""
    try:
        made = re.compile(pattern)
    except re.error as error:
        raise RecipeError(f"[chips] group {pattern!r} is no regular expression ({error}); mend it") from error
    if not made.groups:
        raise RecipeError(f"[chips] group {pattern!r} has no brackets; put what names the group into some: '_(\\d+)_'")
    return made
