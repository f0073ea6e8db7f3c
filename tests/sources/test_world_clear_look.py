"""A clear look at a county: fresh slides are bare, and what is called fresh changes no pixel."""

from datetime import date, datetime

import numpy as np
import pytest
from affine import Affine

from headscarp.core.errors import RecipeError
from headscarp.core.grid import Grid
from headscarp.core.stack import check_stack
from headscarp.sources.world import clear_look, simulate_county

DAY = datetime(2019, 6, 1)
GRID = Grid((160, 160), Affine(10.0, 0.0, 573_000.0, 0.0, -10.0, 4_205_500.0), "EPSG:32610")


@pytest.fixture(scope="module")
def county():
    return simulate_county(1, grid=GRID, count=12, ages_years=(0.05, 15.0), until=DAY.date())


def test_fresh_slides_are_bare(county):
    stack = clear_look(county, DAY)
    check_stack(stack)
    assert stack.attrs["simulated"]
    fresh, ndvi = stack["landslide"].values == 1, stack["ndvi"].values
    assert 0.001 < fresh.mean() < 0.3
    assert np.median(ndvi[fresh]) < np.median(ndvi[~fresh]) - 0.1
    names = ("blue", "green", "red", "nir08", "swir16", "swir22")
    assert all(0 <= stack[name].values.min() <= stack[name].values.max() <= 1.3 for name in names)
    red, nir = stack["red"].values, stack["nir08"].values
    assert np.allclose(ndvi, (nir - red) / (nir + red), atol=1e-3)


def test_what_is_fresh_is_a_matter_of_days_and_changes_no_pixel(county):
    short, long = clear_look(county, DAY), clear_look(county, DAY, fresh_days=20 * 365)
    assert (long["landslide"].values >= short["landslide"].values).all()
    assert long["landslide"].values.sum() > short["landslide"].values.sum()
    assert np.array_equal(short["red"].values, long["red"].values)


def test_a_day_before_all_slides_is_refused(county):
    with pytest.raises(RecipeError, match="no slide of this county happened from 1950"):
        clear_look(county, datetime(1951, 1, 1))
    assert date(1951, 1, 1) < min(county.slides.scarps.date).date()
