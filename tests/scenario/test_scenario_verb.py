"""From a recipe of scenarios to futures of a scene, as a person does it; what is generated says so, what is wrong is
one line and exit code 2."""

import json

import numpy as np
import pytest
import rasterio
from scenes import build_scenes, scene_of

from headscarp.assemble.build import build
from headscarp.assemble.recipe import recipe_from_dict
from headscarp.core.band import Band
from headscarp.core.bundle import open_bundle
from headscarp.core.errors import HeadscarpWarning, StackError
from headscarp.core.masks import best_mask, likely_mask
from headscarp.core.provenance import read_made
from headscarp.core.scenarios import GENERATED_TAG, is_generated
from headscarp.core.stack import make_stack, open_stack, stack_bands, stack_grid, write_stack
from headscarp.prediction import drawing
from headscarp.prediction.futures import scenario
from headscarp.train import loop
from headscarp.train.config import FitConfig
from headscarp.train.fit import fit
from headscarp.train.suites import judge_suites
from verbs import said as run
from verbs import train_nets

pytestmark = pytest.mark.usefixtures("one_thread")

CONFIG = """[train.flow]
epochs = 2
net_arguments = { base = 4, levels = 1, steps = 2 }

[train.direct]
epochs = 1
net_arguments = { base = 4, levels = 1 }

[train.cgan]
epochs = 2
net_arguments = { base = 4, levels = 1, latents = 2 }
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """scenes.zarr, scene.zarr (a place on a grid), flow/, direct/ and cgan/."""
    folder = tmp_path_factory.mktemp("home")
    scenes = build_scenes(folder / "scenes.zarr")
    write_stack(scene_of(scenes), folder / "scene.zarr")
    for told in train_nets(folder / "scenes.zarr", ("flow", "direct", "cgan"), CONFIG):
        assert "validation crps ndvi" in told
    return folder


@pytest.fixture(scope="module", params=["flow", "cgan"])
def futures(home, request):
    done = run(
        "scenario", home / request.param, home / "scene.zarr", "--task", "mining", "--samples", 3,
        "--out", home / f"futures of {request.param}",
        "--after-days", 200, "--date", "2020-07-01",
    )  # fmt: skip
    assert done.code == 0, done.text
    return home / f"futures of {request.param}"


def net_of(futures):
    return futures.parent / futures.name.removeprefix("futures of ")


def read(path):
    with rasterio.open(path) as file:
        return file.read(), file.descriptions, file.tags()


def test_everything_generated_says_so(futures):
    assert sorted(p.name for p in futures.iterdir()) == [
        "contact-sheet.png",
        *(f"future-00{k}.{end}" for k in (1, 2, 3) for end in ("json", "tif")),
        *([] if "cgan" in futures.name else ["likely.json", "likely.tif"]),
        "spread.json",
        "spread.tif",
    ]
    for path in futures.glob("*.tif"):
        _, names, tags = read(path)
        assert GENERATED_TAG in tags
        assert all(name.startswith("generated: ") for name in names)
        item = json.loads(path.with_suffix(".json").read_text())
        assert item["properties"]["headscarp:generated"] is True


def test_futures_differ_and_their_spread_is_what_it_says(futures, home):
    suite = np.stack([read(futures / f"future-00{k}.tif")[0] for k in (1, 2, 3)])
    valid = open_stack(home / "scene.zarr")["valid"].to_numpy() == 1
    assert suite.shape == (3, 7, 48, 48)
    assert np.isnan(suite[:, :, ~valid]).all()
    assert not np.array_equal(suite[0][:, valid], suite[1][:, valid])
    made, names, _ = read(futures / "spread.tif")
    assert names[0] == "generated: share of futures that change"
    np.testing.assert_allclose(made[0][valid], (suite[:, -1] >= 0.5).mean(axis=0)[valid], atol=1e-6)
    np.testing.assert_allclose(made[1:7][:, valid], suite[:, :6].mean(axis=0)[:, valid], atol=1e-6)
    np.testing.assert_allclose(made[7:13][:, valid], suite[:, :6].std(axis=0, ddof=1)[:, valid], atol=1e-6)
    assert names[13] == "generated: best mask"
    likely = read(futures / "likely.tif")[0][0] if (futures / "likely.tif").exists() else None
    assert (likely is None) == ("cgan" in futures.name)
    mask = best_mask(np.nan_to_num(suite[:, -1]) >= 0.5) if likely is None else likely_mask(likely)
    assert np.array_equal(made[13][valid] == 1, mask[valid])
    assert np.isnan(made[:, ~valid]).all()
    assert 0 < read_made(futures / "spread.tif")["settings"]["mask_from"] <= 4 / 3


def test_the_same_again_with_more_futures_goes_on(futures, home):
    before = (futures / "future-002.tif").read_bytes()
    words = ["scenario", net_of(futures), home / "scene.zarr", "--task", "mining", "--samples", 4, "--out", futures]
    told = ["--after-days", 200, "--date", "2020-07-01"]
    assert "exists already" in run(*words, *told).text
    done = run(*words, *told, "--resume")
    assert done.code == 0
    assert (futures / "future-002.tif").read_bytes() == before
    (futures / "future-004.tif").unlink()
    (futures / "future-004.json").unlink()
    run(*words[:-4], "--samples", 3, "--out", futures, *told, "--resume")  # as the others expect it


@pytest.mark.parametrize("net", ["flow", "direct", "cgan"])
def test_identity_gives_the_picture_back(home, tmp_path, net):
    made = scenario(home / net, home / "scene.zarr", tmp_path / "same", task="identity", samples=1)
    stack = open_stack(home / "scene.zarr")
    valid = stack["valid"].to_numpy() == 1
    pixels = read(made.futures[0])[0]
    assert np.array_equal(pixels[0][valid], stack["blue"].to_numpy()[valid])
    assert np.nanmax(pixels[-1]) == 0


@pytest.mark.parametrize("net", ["flow", "cgan"])
def test_the_size_of_blocks_changes_nothing(home, tmp_path, net):
    scenes = open_stack(home / "scenes.zarr")
    large = scene_of(scenes, times=40)  # 640 px: four blocks of 512
    small, whole = (
        scenario(home / net, large, tmp_path / name, task="mining", samples=1, block_px=px)
        for name, px in (("a", 512), ("b", 1024))
    )
    a, b = read(small.futures[0])[0], read(whole.futures[0])[0]
    assert np.nanmax(np.abs(a - b)) < 1e-5


def test_of_a_series_the_newest_frame_up_to_the_date_is_taken(home, tmp_path):
    stack = open_stack(home / "scene.zarr")
    bands = {band: np.stack([stack[band.name].to_numpy()] * 2) for band in stack_bands(stack)}
    for band, array in bands.items():
        if band.name == "blue":
            array[1] += 0.004
    series = make_stack(stack_grid(stack), bands, time=np.array(["2019-05-01", "2020-05-01"], "datetime64[ns]"))
    first = scenario(home / "flow", series, tmp_path / "a", task="identity", samples=1, date="2019-12-01")
    last = scenario(home / "flow", series, tmp_path / "b", task="identity", samples=1)
    assert np.nanmax(read(last.futures[0])[0][0] - read(first.futures[0])[0][0]) == pytest.approx(0.004, abs=1e-6)
    with pytest.raises(StackError, match="no frame up to 2018-01-01; the first is of 2019-05-01"):
        scenario(home / "flow", series, tmp_path / "c", task="identity", samples=1, date="2018-01-01")


def test_what_is_under_clouds_is_left_out_and_said(home, tmp_path):
    stack = open_stack(home / "scene.zarr")
    bands = {band: stack[band.name].to_numpy() for band in stack_bands(stack)}
    quality = np.ones((48, 48), np.uint8)
    quality[20:44, 10:34] = 2
    bands[Band("quality", "categorical", classes=("clear", "cloud", "cloud shadow"))] = quality
    clouded = make_stack(stack_grid(stack), bands)
    with pytest.warns(HeadscarpWarning, match="25% of the picture are clouds"):
        made = scenario(home / "flow", clouded, tmp_path / "a", task="mining", samples=1)
    pixels = read(made.futures[0])[0]
    assert np.isnan(pixels[:, 20:44, 10:34]).all()
    assert np.isfinite(pixels[:, 44:, :]).all()
    quality[:] = 2
    with pytest.raises(StackError, match="all clouds"):
        scenario(home / "flow", make_stack(stack_grid(stack), bands), tmp_path / "b", task="mining", samples=1)


def test_info_tells_what_scenarios_and_futures_are(home, futures):
    said = run("info", home / "scenes.zarr")
    assert "10 places, 4 tasks, 3 futures of each" in said.text
    assert "simulated" in said.text
    assert "seen by nobody" in run("info", futures / "future-001.tif").text


@pytest.mark.parametrize(
    ("bundle", "more", "words"),
    [
        ("flow", ["--task", "minning"], "did you mean 'mining'? known: identity, no_change, deforestation, mining"),
        ("flow", ["--task", "rain"], "known: identity, no_change, deforestation, mining"),
        ("flow", ["--task", "mining", "--samples", "0"], "0 futures were asked for"),
        ("flow", ["--task", "mining", "--after-days", "-3"], "after_days is -3"),
        ("flow", ["--task", "mining", "--date", "summer"], "'summer' is not a date"),
        ("direct", ["--task", "mining"], "one future only"),
        ("scenes.zarr", ["--task", "mining"], "bundle"),
    ],
)
def test_what_is_wrong_is_one_line(home, tmp_path, bundle, more, words):
    done = run("scenario", home / bundle, home / "scene.zarr", "--out", tmp_path / "out", *more)
    assert done.code == 2
    assert words in done.text
    assert not (tmp_path / "out").exists()


def test_stacks_that_do_not_fit_are_refused(home, tmp_path):
    with pytest.raises(StackError, match="'swir2'"):
        scenario(home / "flow", open_stack(home / "scene.zarr").drop_vars("swir2"), tmp_path / "a", task="mining")
    with pytest.raises(StackError, match=r"no grid|share no grid"):
        scenario(home / "flow", open_stack(home / "scenes.zarr"), tmp_path / "b", task="mining")


def test_generated_bands_are_refused_as_training_data_unless_told_otherwise(futures, tmp_path):
    recipe = {
        "name": "learned from dreams",
        "grid": {"like": str(futures / "future-001.tif")},
        "band": [
            {"name": "red", "raster": str(futures / "future-001.tif"), "index": 3},
            {"name": "nir", "raster": str(futures / "future-001.tif"), "index": 4},
        ],
    }
    stack = build(recipe_from_dict(recipe), tmp_path / "stack.zarr", workers=1)
    assert all(is_generated(band.source) for band in stack_bands(stack) if band.is_feature)
    small = {"base": 2}
    with pytest.raises(StackError, match=r"red, nir of the stack were generated.*--allow-generated"):
        fit(stack, net="anomaly", out=tmp_path / "a", config=FitConfig(epochs=1, net_arguments=small))


def test_suites_are_judged_beside_plain_opponents(home, tmp_path):
    done = run("evaluate", home / "flow", home / "scenes.zarr", "--out", tmp_path / "m", "--workers", 1)
    assert done.code == 0, done.text
    assert "fair CRPS of NDVI" in done.text
    assert (tmp_path / "m" / "ranks.csv").read_text().startswith("net,rank,cases\nflow,0,")
    for name in ("examples.png", "same-futures.png"):
        assert (tmp_path / "m" / name).read_bytes()[:4] == b"\x89PNG"
    found = judge_suites(home / "direct", home / "scenes.zarr", workers=1)
    names = list(dict.fromkeys(row.net for row in found.rows))
    assert names == ["direct", "copy_the_input", "nearest_pair", "law"]
    assert found.value("identity_error").value == 0
    assert found.value("mask_iou", net="copy_the_input").value == 0
    assert found.value("crps_ndvi", net="law").value < found.value("crps_ndvi", net="copy_the_input").value
    assert found.value("crps_ndvi", part="task: mining").value > 0
    metrics = {row["metric"] for row in open_bundle(home / "flow").metrics}
    assert {"crps_ndvi", "mask_iou", "spread_skill_ndvi"} <= metrics


class Stop(Exception):
    pass


@pytest.mark.parametrize("net", ["flow", "cgan"])
def test_an_interrupted_training_goes_on_to_the_same_weights(home, tmp_path, net):
    scenes = open_stack(home / "scenes.zarr")
    arguments = {"base": 4, "levels": 1} | ({"steps": 2} if net == "flow" else {"latents": 2})
    config = FitConfig(epochs=2, net_arguments=arguments)
    whole = fit(scenes, net=net, out=tmp_path / "whole", config=config)
    save = loop.save_checkpoint

    def then_stop(*parts, **more):
        save(*parts, **more)
        raise Stop

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "save_checkpoint", then_stop)
        with pytest.raises(Stop):
            fit(scenes, net=net, out=tmp_path / "cut", config=config)
    again = fit(scenes, net=net, out=tmp_path / "cut", config=config, resume=True)
    assert all(np.array_equal(again.weights[name], whole.weights[name]) for name in whole.weights)
    files = ("weights.safetensors", "history.csv")
    assert all((tmp_path / "cut" / f).read_bytes() == (tmp_path / "whole" / f).read_bytes() for f in files)


def test_interrupted_futures_go_on_to_the_same_bytes(home, tmp_path):
    large = scene_of(open_stack(home / "scenes.zarr"), times=36)  # 576 px: four blocks
    told = {"task": "mining", "samples": 2, "workers": 1}
    whole = scenario(home / "cgan", large, tmp_path / "whole", **told)
    do, seen = drawing._FutureWork.__call__, []

    def then_stop(self, tile):
        seen.append(tile.id)
        if len(seen) == 3:
            raise Stop
        return do(self, tile)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawing._FutureWork, "__call__", then_stop)
        with pytest.raises(Stop):
            scenario(home / "cgan", large, tmp_path / "cut", **told)
        del seen[:]
        patch.setattr(drawing._FutureWork, "__call__", lambda self, tile: seen.append(tile.id) or do(self, tile))
        again = scenario(home / "cgan", large, tmp_path / "cut", resume=True, **told)
    assert len(seen) == 2
    assert [p.read_bytes() for p in again.futures] == [p.read_bytes() for p in whole.futures]
    assert not list((tmp_path / "cut").glob(".*"))


@pytest.mark.parametrize("net", ["flow", "cgan"])
def test_a_place_unlike_the_training_places_is_warned_of(home, tmp_path, net):
    stack = open_stack(home / "scene.zarr")
    told = {"task": "mining", "samples": 1}
    scenario(home / net, stack, tmp_path / "like", **told)  # a warning would be an error
    bands = {band: stack[band.name].to_numpy() for band in stack_bands(stack)}
    bright = {band: array * 3 if band.name in ("red", "swir1") else array for band, array in bands.items()}
    with pytest.warns(HeadscarpWarning) as said:
        scenario(home / net, make_stack(stack_grid(stack), bright), tmp_path / "unlike", **told)
    assert any("100% of the place is unlike all places that the net was trained" in str(one.message) for one in said)
