"""From a recipe of scenarios with frames to futures of a place with a series, as a person does it."""

import numpy as np
import pytest
import rasterio
from series import CLOUD, build_series, series_of, with_bands

from headscarp.core.bundle import open_bundle
from headscarp.core.domains import CLOUD as CLOUD_BAND
from headscarp.core.domains import REFLECTANCE
from headscarp.core.errors import HeadscarpWarning, RecipeError, StackError
from headscarp.core.stack import feature_bands, make_stack, open_stack, stack_bands, stack_grid, write_stack
from headscarp.imagery.composites import latest
from headscarp.prediction.futures import scenario
from headscarp.tiles.reader import TileReader, make_batch
from headscarp.tiles.scenes import picture_bands, picture_before
from headscarp.tiles.tiling import whole_tile
from headscarp.train import loop
from headscarp.train.config import FitConfig
from headscarp.train.fit import fit
from verbs import said as run
from verbs import train_nets

pytestmark = pytest.mark.usefixtures("one_thread")

CONFIG = """[train]
epochs = 2
net_arguments = { base = 4, levels = 1 }
"""
TOLD = {"task": "mining", "samples": 1, "workers": 1}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """scenes.zarr with five frames a place, place.zarr (a series on a grid), direct/ and cgan/."""
    folder = tmp_path_factory.mktemp("home")
    scenes = build_series(folder / "scenes.zarr")
    write_stack(series_of(scenes), folder / "place.zarr")
    train_nets(folder / "scenes.zarr", ("direct", "cgan"), CONFIG)
    return folder


def read(path):
    with rasterio.open(path) as file:
        return file.read()


def of(made):
    return read(made.futures[0])


def test_from_a_recipe_to_futures_of_a_series(home, tmp_path):
    bundle = open_bundle(home / "cgan")
    assert bundle.arguments["frames"] == 5
    assert [band.name for band in bundle.bands] == [*REFLECTANCE, "elevation", "slope"]
    done = run(
        "scenario", home / "cgan", home / "place.zarr", "--task", "mining", "--samples", 2, "--out", tmp_path / "out"
    )
    assert done.code == 0, done.text
    assert (tmp_path / "out" / "contact-sheet.png").read_bytes()[:4] == b"\x89PNG"
    assert np.isfinite(read(tmp_path / "out" / "future-001.tif")).all()
    said = run("evaluate", home / "cgan", home / "scenes.zarr", "--out", tmp_path / "m", "--workers", 1)
    assert said.code == 0, said.text
    assert "Identity is off by 0.0000" in said.text
    assert "5 frames" in run("info", home / "scenes.zarr").text


def test_futures_depart_from_the_newest_clear_value_up_to_the_date(home, tmp_path):
    place = open_stack(home / "place.zarr")
    frames = np.stack([place[name].to_numpy() for name in REFLECTANCE], axis=1)
    made = scenario(home / "direct", place, tmp_path / "a", **{**TOLD, "task": "identity"})
    assert np.array_equal(of(made)[:6], frames[-1])
    early = str(place["time"].to_numpy()[-2].astype("datetime64[D]"))
    made = scenario(home / "direct", place, tmp_path / "b", date=early, **{**TOLD, "task": "identity"})
    assert np.array_equal(of(made)[:6], frames[-2])
    quality = place["quality"].to_numpy().copy()
    quality[-1, 4:20, 4:20] = CLOUD
    clouded = with_bands(place, quality=quality)
    made = scenario(home / "direct", clouded, tmp_path / "c", **{**TOLD, "task": "identity"})
    assert np.array_equal(of(made)[:6, 4:20, 4:20], frames[-2][:, 4:20, 4:20])
    assert np.array_equal(of(made)[:6, 20:], frames[-1][:, 20:])


def test_frames_after_the_date_change_nothing_and_those_before_do(home, tmp_path):
    place = open_stack(home / "place.zarr")
    told = {**TOLD, "date": str(place["time"].to_numpy()[-2].astype("datetime64[D]"))}
    red = place["red"].to_numpy()

    def drawn(stack, name, **more):
        return of(scenario(home / "direct", stack, tmp_path / name, **told, **more))

    def brighter(frame):
        return with_bands(place, red=red + np.float32(0.1) * (np.arange(len(red)) == frame)[:, None, None])

    whole = drawn(place, "whole")
    assert np.array_equal(whole, drawn(brighter(len(red) - 1), "later"))
    assert not np.array_equal(whole, drawn(brighter(0), "earlier"))
    assert np.array_equal(drawn(brighter(0), "newest of it", frames=1), drawn(place, "newest", frames=1))


def test_blocks_of_a_series_make_the_whole(home, tmp_path):
    large = series_of(open_stack(home / "scenes.zarr"), times=33)  # 528 px: four blocks, or one
    small = scenario(home / "cgan", large, tmp_path / "small", **TOLD)
    whole = scenario(home / "cgan", large, tmp_path / "whole", block_px=1024, **TOLD)
    assert np.nanmax(np.abs(of(small) - of(whole))) < 1e-5


def test_what_no_frame_shows_is_left_out_and_said(home, tmp_path):
    place = open_stack(home / "place.zarr")
    quality = place["quality"].to_numpy().copy()
    quality[:, 12:24] = CLOUD
    with pytest.warns(HeadscarpWarning, match="25% of the place, in all frames, are clouds"):
        made = scenario(home / "direct", with_bands(place, quality=quality), tmp_path / "a", **TOLD)
    assert np.isnan(of(made)[:, 12:24]).all()
    assert np.isfinite(of(made)[:, 24:]).all()
    quality[:] = CLOUD
    with pytest.raises(StackError, match="all clouds"):
        scenario(home / "direct", with_bands(place, quality=quality), tmp_path / "b", **TOLD)


def test_frames_and_ground_may_stand_in_stacks_of_their_own(home, tmp_path):
    place = open_stack(home / "place.zarr")
    time, grid = place["time"].to_numpy(), stack_grid(place)
    framed = {band: place[band.name].to_numpy() for band in stack_bands(place) if "time" in place[band.name].dims}
    ground = {b: place[b.name].to_numpy() for b in feature_bands(place) if b.name in ("elevation", "slope")}
    apart = [make_stack(grid, framed, time=time), make_stack(grid, ground)]
    made = of(scenario(home / "direct", apart, tmp_path / "a", **TOLD))
    assert np.array_equal(made, of(scenario(home / "direct", place, tmp_path / "b", **TOLD)))
    whole = make_stack(grid, framed | {b: np.stack([p] * len(time)) for b, p in ground.items()}, time=time)
    assert np.array_equal(made, of(scenario(home / "direct", whole, tmp_path / "c", **TOLD)))


def test_stacks_that_do_not_fit_are_refused(home, tmp_path):
    place = open_stack(home / "place.zarr")
    with pytest.raises(StackError, match="reads a series of frames, and the stack has one picture"):
        scenario(home / "direct", place.isel(time=-1, drop=True), tmp_path / "a", **TOLD)
    with pytest.raises(StackError, match="no frame has the band swir2"):
        scenario(home / "direct", place.drop_vars("swir2"), tmp_path / "b", **TOLD)
    with pytest.raises(StackError, match="no frame up to 1999-01-01"):
        scenario(home / "direct", place, tmp_path / "c", date="1999-01-01", **TOLD)
    with pytest.raises(RecipeError, match="'summer' is not a date"):
        scenario(home / "direct", place, tmp_path / "d", date="summer", **TOLD)


def test_the_reader_hides_clouds_and_what_comes_after_the_cut_off(home):
    scenes = open_stack(home / "scenes.zarr").load()
    bands = picture_bands(scenes)
    assert CLOUD_BAND not in [band.name for band in bands]

    def batch_of(stack, sample=7):
        tile = whole_tile((16, 16), 2, sample=sample, name="t")
        return make_batch([TileReader(stack, bands).read(tile)], [tile])

    batch = batch_of(scenes)
    hidden = np.isin(scenes[CLOUD_BAND][7].to_numpy(), (2, 3, 4))
    present = batch.present[0].numpy()
    assert hidden[present].any()
    assert np.array_equal(np.isnan(batch.x[0, :, 0].numpy())[present], hidden[present])
    order = np.argsort(scenes["days"][7].to_numpy())
    newest = latest(batch.x[0, :, :6].numpy()[order])
    assert np.array_equal(newest, picture_before(scenes, REFLECTANCE, 7), equal_nan=True)
    late = scenes["days"].to_numpy().copy()
    late[7, -1] = 3.0
    after = batch_of(scenes.assign(days=(("sample", "time"), late)))
    assert not after.present[0, -1]
    assert np.isnan(after.x[0, -1, 0].numpy()).all()


class Stop(Exception):
    pass


def test_an_interrupted_training_on_series_goes_on_to_the_same_bytes(home, tmp_path):
    scenes = open_stack(home / "scenes.zarr")
    config = FitConfig(epochs=2, net_arguments={"base": 4, "levels": 1, "latents": 2})
    fit(scenes, net="cgan", out=tmp_path / "whole", config=config)
    save = loop.save_checkpoint

    def then_stop(*parts, **more):
        save(*parts, **more)
        raise Stop

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "save_checkpoint", then_stop)
        with pytest.raises(Stop):
            fit(scenes, net="cgan", out=tmp_path / "cut", config=config)
    fit(scenes, net="cgan", out=tmp_path / "cut", config=config, resume=True)
    files = ("weights.safetensors", "history.csv")
    assert all((tmp_path / "cut" / f).read_bytes() == (tmp_path / "whole" / f).read_bytes() for f in files)
