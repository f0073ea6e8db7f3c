"""Laws of dates: days as a place in the year, and texts that are no day."""

import numpy as np
import pytest

from headscarp.core.dates import TURN_PER_DAY, day_of, day_of_year
from headscarp.core.errors import RecipeError, StackError


def test_days_count_from_the_first_of_the_year_whatever_their_unit():
    days = np.array(["2020-01-01", "2020-12-31", "2021-12-31", "NaT"], "datetime64[ns]")
    assert np.array_equal(day_of_year(days), np.array([0, 365, 364, np.nan], np.float32), equal_nan=True)
    assert float(day_of_year(np.datetime64("2014-07-29T13:00"))) == 209
    assert day_of_year(days.reshape(2, 2)).shape == (2, 2)


def test_a_mean_year_is_one_turn():
    assert pytest.approx(400 * 2 * np.pi) == 400 * 365.2425 * TURN_PER_DAY


def test_what_is_no_day_is_refused():
    assert day_of("2014-07-29") == np.datetime64("2014-07-29")
    with pytest.raises(RecipeError, match="'2014-02-31' is not a date"):
        day_of("2014-02-31")
    with pytest.raises(StackError, match="'NaT' is not a date"):
        day_of("NaT", error=StackError)
