"""Laws of composite layers: blocks equal the whole, only clear looks count, and the numbers are those of numpy."""

from datetime import date

import numpy as np
import pytest

from headscarp.assemble.composite import Looks, composite_layer
from headscarp.assemble.layers import Context
from headscarp.assemble.places import grown, place_grid
from headscarp.core.band import Band
from headscarp.core.errors import RecipeError, SourceError
from headscarp.core.stack import make_stack, write_stack
from headscarp.core.tile import Window

GRID = place_grid((-122.12, 37.9, -122.0, 38.0), 30.0)
WIDE = grown(GRID, 4)
QUALITY = Band("quality", "categorical", classes=("clear", "cloud", "cloud shadow", "snow", "water"))
TIME = np.array(["2019-01-05", "2019-03-02", "2019-06-10", "2019-06-26", "2019-09-14"], "datetime64[ns]")
WHOLE = Window(0, 0, *GRID.shape)


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    rng = np.random.default_rng(5)
    shape = (len(TIME), *WIDE.shape)
    red, nir = (rng.uniform(0.01, 0.6, shape).astype("float32") for _ in range(2))
    red[1, :50] = np.nan
    vv = rng.normal(-10, 2, shape).astype("float32")
    codes = rng.choice(6, shape, p=[0.03, 0.75, 0.01, 0.01, 0.1, 0.1]).astype("uint8")
    path = tmp_path_factory.mktemp("series") / "landsat.zarr"
    bands = {
        Band("red", "continuous"): red,
        Band("nir", "continuous"): nir,
        Band("vv", "continuous", "dB"): vv,
        QUALITY: codes,
    }
    orbits = ("time", np.array(["ascending", "descending"] * 2 + ["ascending"]))
    write_stack(make_stack(WIDE, bands, time=TIME, coords={"orbit": orbits}), path)
    return path, {"red": red, "nir": nir, "vv": vv, "quality": codes}


def pixels(layer, window=WHOLE):
    return layer.read(Context(GRID, window))[0]


@pytest.mark.filterwarnings("ignore:All-NaN slice")
def test_the_median_of_an_index_is_that_of_its_clear_looks(series):
    path, arrays = series
    looks = Looks(dates=(date(2019, 3, 1), date(2019, 6, 26)))
    got = pixels(composite_layer("ndvi", str(path), "ndvi", "median", looks))
    red, nir, codes = (arrays[name][1:4, 4:-4, 4:-4] for name in ("red", "nir", "quality"))
    ndvi = np.where((codes == 1) | (codes == 5), (nir - red) / (nir + red), np.nan)
    np.testing.assert_allclose(got, np.nanmedian(ndvi, axis=0), rtol=1e-5)
    share = pixels(composite_layer("share", str(path), "ndvi", "valid_share", looks))
    np.testing.assert_allclose(share, np.isfinite(ndvi).mean(axis=0))


@pytest.mark.parametrize(
    ("of", "method", "looks", "more"),
    [
        ("ndvi", "medoid", Looks(grow_px=3), {}),
        ("red", "percentile", Looks(clear=("clear",)), {"options": {"percent": 10.0}}),
        ("vv", "mean", Looks(speckle="lee", window_px=7, orbit="ascending"), {}),
        (
            "vv",
            "log_ratio",
            Looks(dates=(date(2019, 6, 1), date(2019, 12, 31)), speckle="gamma_map", window_px=5),
            {"reference": (date(2019, 1, 1), date(2019, 3, 31))},
        ),
    ],
)
def test_blocks_give_what_the_whole_gives(series, of, method, looks, more):
    layer = composite_layer("c", str(series[0]), of, method, looks, **more)
    whole = pixels(layer)
    assert np.isfinite(whole).mean() > 0.5
    for window in (Window(0, 0, 100, 90), Window(200, 37, 77, 200).clip(GRID.shape), Window(255, 0, 3, 60)):
        np.testing.assert_array_equal(pixels(layer, window), whole[window.slices])


def test_what_the_series_does_not_have_is_told(series):
    path = str(series[0])
    with pytest.raises(SourceError, match="no frame for 2020"):
        composite_layer("c", path, "red", "median", Looks(dates=(date(2020, 1, 1), date(2020, 2, 1))))
    with pytest.raises(SourceError, match="no band 'swir2'"):
        composite_layer("c", path, "nbr", "median", Looks())
    with pytest.raises(RecipeError, match="needs reference"):
        composite_layer("c", path, "vv", "log_ratio", Looks())
    with pytest.raises(RecipeError, match="in dB"):
        composite_layer("c", path, "red", "median", Looks(speckle="lee"))
