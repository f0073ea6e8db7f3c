"""Laws of the stack: what is written is what is read; what breaks the contract is named."""

import numpy as np
import pytest
import xarray as xr
import zarr
from affine import Affine
from odc.geo.geobox import GeoBox

from headscarp.core.band import Band, feature_names
from headscarp.core.errors import StackError
from headscarp.core.stack import (
    check_stack,
    complete_stack,
    create_stack,
    feature_bands,
    fingerprint,
    make_stack,
    open_stack,
    stack_bands,
    stack_grid,
    with_label,
    write_stack,
)

GRID = GeoBox((70, 90), Affine(10, 0, 500000, 0, -10, 5000000), "EPSG:32632")
ELEVATION = Band("elevation", "continuous", "m", "survey")
ASPECT = Band("aspect", "direction", "degree")
ROCK = Band("rock", "categorical", classes=("granite", "marl"))
LABEL = Band("landslide", "label")


def small_stack() -> xr.Dataset:
    rng = np.random.default_rng(0)
    elevation = rng.normal(size=GRID.shape)
    elevation[3, 4] = np.nan
    return make_stack(
        GRID,
        {
            ELEVATION: elevation,
            ASPECT: rng.uniform(0, 360, GRID.shape),
            ROCK: rng.integers(0, 3, GRID.shape),
            LABEL: rng.choice([0, 1, 255], GRID.shape),
        },
    )


def test_disk_and_memory_hold_the_same_pixels_bands_and_grid(tmp_path):
    stack = small_stack()
    back = write_stack(stack, tmp_path / "s.zarr")
    assert stack_bands(back) == stack_bands(stack)
    assert stack_grid(back) == GRID
    for band in stack_bands(stack):
        np.testing.assert_array_equal(back[band.name].values, stack[band.name].values)
        assert str(back[band.name].dtype) == band.dtype
    assert fingerprint(back) == fingerprint(stack)


def test_the_fingerprint_knows_no_order():
    stack = small_stack()
    turned = stack[list(reversed(list(stack.data_vars)))]
    assert list(turned.data_vars) != list(stack.data_vars)
    assert fingerprint(turned) == fingerprint(stack)


def test_the_fingerprint_changes_with_any_pixel_or_class():
    stack = small_stack()
    other = small_stack()
    other["rock"].values[5, 5] = (other["rock"].values[5, 5] + 1) % 3
    assert fingerprint(stack) != fingerprint(other)
    renamed = small_stack()
    renamed["rock"].attrs["classes"] = ["granite", "clay"]
    assert fingerprint(stack) != fingerprint(renamed)


def test_an_unfinished_stack_is_refused_until_it_is_complete(tmp_path):
    arrays = create_stack(tmp_path / "s.zarr", GRID, [ELEVATION, ROCK, LABEL])
    with pytest.raises(StackError, match="not finished"):
        open_stack(tmp_path / "s.zarr")
    arrays["elevation"][:] = 1.0
    back = complete_stack(tmp_path / "s.zarr", {"fingerprint": "f"})
    assert (back["elevation"].values == 1).all()
    assert (back["rock"].values == 0).all(), "categories start as no value"
    assert (back["landslide"].values == 255).all(), "labels start as unlabelled"


def test_gdal_and_qgis_find_the_grid(tmp_path):
    write_stack(small_stack(), tmp_path / "s.zarr")
    plain = xr.open_zarr(tmp_path / "s.zarr", consolidated=False)
    assert plain["elevation"].attrs["grid_mapping"] == "spatial_ref"
    assert plain["spatial_ref"].attrs["GeoTransform"].split() == [
        "500000.0",
        "10.0",
        "0.0",
        "5000000.0",
        "0.0",
        "-10.0",
    ]
    assert plain.x.values[0] == 500005
    assert plain.y.values[0] == 4999995


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.assign(elevation=s["elevation"].astype("float64")), "float64; needed: float32"),
        (lambda s: s.assign(elevation=s["elevation"].transpose("x", "y")), "has dimensions"),
        (lambda s: s.assign(extra=s["elevation"].drop_attrs()), "no attribute 'kind'"),
        (lambda s: s[["landslide"]], "no band that a net could read"),
    ],
)
def test_a_broken_contract_is_named(change, message):
    with pytest.raises(StackError, match=message):
        check_stack(change(small_stack()))


def test_open_stack_says_what_is_wrong_with_a_folder(tmp_path):
    with pytest.raises(StackError, match="there is no stack"):
        open_stack(tmp_path / "nothing.zarr")
    (tmp_path / "empty.zarr").mkdir()
    with pytest.raises(StackError, match=r"cannot be read|not a Headscarp stack"):
        open_stack(tmp_path / "empty.zarr")
    zarr.create_group(tmp_path / "other.zarr")
    with pytest.raises(StackError, match="not a Headscarp stack"):
        open_stack(tmp_path / "other.zarr")
    write_stack(small_stack(), tmp_path / "s.zarr")
    (tmp_path / "s.zarr" / "elevation" / "zarr.json").write_text("{")
    with pytest.raises(StackError):
        open_stack(tmp_path / "s.zarr")


def test_features_leave_out_labels_and_name_every_class():
    bands = feature_bands(small_stack())
    assert [b.name for b in bands] == ["elevation", "aspect", "rock"]
    assert feature_names(bands) == (
        "elevation",
        "aspect:north",
        "aspect:east",
        "rock=no value",
        "rock=granite",
        "rock=marl",
    )


def test_too_many_or_no_classes_are_refused():
    with pytest.raises(StackError, match="merge rare classes"):
        Band("rock", "categorical", classes=tuple(str(i) for i in range(255)))
    with pytest.raises(StackError, match="0 classes"):
        Band("rock", "categorical")


def test_an_optional_band_says_so_everywhere_and_others_say_nothing(tmp_path):
    ndvi = Band("ndvi", "continuous", optional=True)
    stack = make_stack(GRID, {ndvi: np.zeros(GRID.shape), ELEVATION: np.ones(GRID.shape)})
    back = write_stack(stack, tmp_path / "s.zarr")
    assert stack_bands(back) == stack_bands(stack) == (ndvi, ELEVATION)
    assert feature_names(stack_bands(back)) == ("ndvi", "ndvi:present", "elevation")
    assert Band.from_json(ndvi.to_json()) == ndvi
    assert "optional" not in ELEVATION.to_json()
    assert "optional" not in back["elevation"].attrs
    assert Band.from_json({"name": "elevation", "kind": "continuous", "units": "m", "source": "survey"}) == ELEVATION
    with pytest.raises(StackError, match=r"'aspect' is direction and optional.*leave optional out"):
        Band("aspect", "direction", optional=True)


def series(frames: int = 3) -> xr.Dataset:
    rng = np.random.default_rng(1)
    time = np.datetime64("2019-01-01T10:30", "ns") + np.arange(frames) * np.timedelta64(16, "D")
    red = rng.normal(size=(frames, *GRID.shape)).astype("float32")
    orbits = np.array(["ascending", "descending", "ascending"][:frames])
    return make_stack(
        GRID,
        {Band("red", "continuous"): red, ELEVATION: rng.normal(size=GRID.shape)},
        time=time,
        coords={"orbit": ("time", orbits)},
    )


def test_frames_come_back_from_disk_with_their_times_and_orbits(tmp_path):
    stack = series()
    back = write_stack(stack, tmp_path / "s.zarr")
    np.testing.assert_array_equal(back["red"].values, stack["red"].values)
    np.testing.assert_array_equal(back["time"].values, stack["time"].values)
    assert back["orbit"].values.tolist() == stack["orbit"].values.tolist()
    assert back["red"].dims == ("time", "y", "x")
    assert back["elevation"].dims == ("y", "x"), "a band without frames keeps two dimensions"
    assert zarr.open_group(tmp_path / "s.zarr")["red"].chunks == (1, 256, 256)
    assert fingerprint(back) == fingerprint(stack)


def test_frames_that_do_not_rise_and_arrays_without_their_frames_are_refused():
    time = np.array(["2019-02-01", "2019-01-01"], "datetime64[ns]")
    red = np.zeros((2, *GRID.shape))
    with pytest.raises(StackError, match="rise"):
        make_stack(GRID, {Band("red", "continuous"): red}, time=time)
    with pytest.raises(StackError, match="frames"):
        make_stack(GRID, {Band("red", "continuous"): red}, time=time[:1])


def with_two_labels() -> xr.Dataset:
    rng = np.random.default_rng(2)
    scarp, deposit = (rng.integers(0, 2, GRID.shape) for _ in range(2))
    arrays = {ELEVATION: rng.normal(size=GRID.shape), Band("scarp", "label"): scarp, Band("deposit", "label"): deposit}
    return make_stack(GRID, {**arrays, Band("valid", "mask"): np.ones(GRID.shape)})


def test_a_chosen_label_is_called_landslide_and_the_others_are_gone(tmp_path):
    stack = with_two_labels()
    written = write_stack(stack, tmp_path / "s.zarr")
    prints = {fingerprint(written)}
    for name in ("scarp", "deposit"):
        view = with_label(written, name)
        assert [band.name for band in stack_bands(view) if not band.is_feature] == ["landslide", "valid"]
        np.testing.assert_array_equal(view["landslide"].values, stack[name].values)
        assert with_label(view, name) is view
        assert with_label(view) is view
        prints.add(fingerprint(view))
        again = write_stack(view, tmp_path / f"{name}.zarr")
        assert again.attrs["label"] == name
    assert len(prints) == 3, "another label is other work"
    assert fingerprint(with_label(stack, "scarp")) != fingerprint(with_label(stack, "deposit"))


def test_the_only_label_needs_no_name():
    stack = with_two_labels()
    one = stack.drop_vars("deposit")
    np.testing.assert_array_equal(with_label(one)["landslide"].values, stack["scarp"].values)
    plain = stack.drop_vars(["deposit", "scarp"])
    assert with_label(plain) is plain
    landslide = one.rename(scarp="landslide")
    assert with_label(landslide, "landslide") is landslide
    assert with_label(landslide) is landslide


def test_which_label_has_to_be_said_and_known():
    stack = with_two_labels()
    with pytest.raises(StackError, match="2 labels: scarp, deposit; choose one, such as --label scarp"):
        with_label(stack)
    with pytest.raises(StackError, match="no label 'deposits'; the nearest is 'deposit'"):
        with_label(stack, "deposits")
    with pytest.raises(StackError, match="build it with"):
        with_label(stack.drop_vars(["deposit", "scarp"]), "scarp")
