"""Dates as users write them, and days as a place in the year. Refuses what is no day of the calendar."""

import numpy as np
from numpy.typing import NDArray

from headscarp.core.errors import HeadscarpError, RecipeError

TURN_PER_DAY = 2 * np.pi / 365.2425
"""Radians that the year goes on by in a day, with the mean year of the calendar."""


def day_of(text: str, *, error: type[HeadscarpError] = RecipeError) -> np.datetime64:
    """The day that is written as 2014-07-29, datetime64[D]. error: what is raised where it is none."""
    try:
        day = np.datetime64(text, "D")
    except ValueError as cause:
        raise error(f"{text!r} is not a date; write it as 2014-07-29") from cause
    if np.isnat(day):
        raise error(f"{text!r} is not a date; write it as 2014-07-29")
    return day


def day_of_year(days: NDArray[np.datetime64] | np.datetime64) -> NDArray[np.float32]:
    """Days since the year began, from 0, in the shape of `days`; NaN where there is no date."""
    dates = np.asarray(days).astype("datetime64[D]")
    day = (dates - dates.astype("datetime64[Y]")).astype("timedelta64[D]").astype(np.float32)
    return np.where(np.isnat(dates), np.float32(np.nan), day)
