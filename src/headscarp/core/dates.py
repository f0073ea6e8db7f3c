"""Dates as users write them. Refuses what is no day of the calendar."""

import numpy as np

from headscarp.core.errors import HeadscarpError, RecipeError


def day_of(text: str, *, error: type[HeadscarpError] = RecipeError) -> np.datetime64:
    """The day that is written as 2014-07-29, datetime64[D]. error: what is raised where it is none."""
    try:
        day = np.datetime64(text, "D")
    except ValueError as cause:
        raise error(f"{text!r} is not a date; write it as 2014-07-29") from cause
    if np.isnat(day):
        raise error(f"{text!r} is not a date; write it as 2014-07-29")
    return day
