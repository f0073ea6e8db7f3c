"""`headscarp fetch` of satellite images against a real STAC API, as a user would, and what recipes make of them."""

import json
from datetime import date

import numpy as np
import pytest
from affine import Affine
from typer.testing import CliRunner

from headscarp.assemble.build import build
from headscarp.assemble.fetch import fetch
from headscarp.assemble.places import place_grid
from headscarp.assemble.recipe import recipe_from_dict
from headscarp.assemble.wanted import SourceRecipe
from headscarp.cli import app
from headscarp.core.errors import OutputError, SourceError
from headscarp.core.grid import Grid
from headscarp.core.stack import open_stack
from headscarp.sources.world.place import simulate_county
from headscarp.sources.world.scenes import write_scenes
from services.faults import FAULTS, FaultProxy, Rule
from services.files import FileServer
from services.pgstac import load
from services.survey import inner_box

GRID = Grid((260, 280), Affine(10.0, 0, 580_000, 0, -10, 4_205_000), "EPSG:32610")
YEAR = (date(2019, 1, 1), date(2019, 12, 31))


@pytest.fixture(scope="module")
def sky(pgstac_service, tmp_path_factory):
    """The STAC API with a year of scenes of a small simulated county, and the server of their files behind the fault
    injector."""
    with FileServer(tmp_path_factory.mktemp("sky")) as files, FaultProxy(files.address) as proxy:
        county = simulate_county(5, grid=GRID, count=30)
        held = write_scenes(county, files.folder, proxy.address, dates=3)
        rows = [[json.loads(line) for line in path.read_text().splitlines()] for path in (held.collections, held.items)]
        load(pgstac_service, *rows)
        yield pgstac_service["address"], proxy


@pytest.fixture
def told(sky, tmp_path, monkeypatch):
    """The environment of a user whose services are those."""
    monkeypatch.setenv("HEADSCARP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HEADSCARP_SERVICE_PLANETARY_COMPUTER", f"{sky[0]} {sky[1].host}")
    return tmp_path


def box_words():
    return [str(v) for v in inner_box(GRID)]


def command(out, *more):
    words = ["fetch", "--bbox", *box_words(), "--sources", "landsat,sentinel1", "--dates", "2019-01-01/2019-12-31"]
    return [*words, "--resolution-m", "30", "--out", str(out), *more]


def test_a_user_gets_stacks_a_manifest_and_the_same_again_offline(told):
    done = CliRunner().invoke(app, command(told / "here"), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    landsat, radar = (open_stack(told / "here" / f"{name}.zarr") for name in ("landsat", "sentinel1"))
    assert landsat.sizes["time"] >= 4
    assert set(radar["orbit"].to_numpy().tolist()) == {"ascending", "descending"}
    assert np.isfinite(radar["vv"].values).mean() > 0.9
    assert 0 < float(np.nanmean(landsat["nir"].values)) < 0.7
    manifest = json.loads((told / "here" / "manifest.json").read_text())
    assert {origin["source"] for origin in manifest["fetched"]} >= {"landsat", "sentinel1"}
    assert all(origin["licence"] and origin["citation"] and origin["sha256"] for origin in manifest["fetched"])
    assert manifest["missing"] == []

    again = CliRunner().invoke(app, ["--json", *command(told / "here")], catch_exceptions=False)
    assert json.loads(again.output.splitlines()[-1])["downloaded"] == "0.0 MB", "what is there is gone on with"
    offline = CliRunner().invoke(app, command(told / "there", "--offline"), catch_exceptions=False)
    assert offline.exit_code == 0, offline.output
    for name in ("landsat", "sentinel1"):
        ours, theirs = (open_stack(told / where / f"{name}.zarr") for where in ("here", "there"))
        assert ours.attrs["fingerprint"] == theirs.attrs["fingerprint"]


def recipe(**sources):
    return recipe_from_dict(
        {
            "name": "images",
            "grid": {"bbox": list(inner_box(GRID)), "resolution_m": 30.0},
            "source": [
                {"name": "landsat", "dates": "2019-01-01/2019-12-31", **sources},
                {"name": "radar", "source": "sentinel1", "dates": "2019-01-01/2019-12-31"},
                {"name": "dem", "source": "copernicus-dem"},
            ],
            "band": [
                {"name": "elevation", "raster": "source:dem/elevation"},
                {"name": "slope", "terrain": "slope", "from": "elevation"},
                {"name": "ndvi", "composite": "source:landsat", "of": "ndvi"},
                {"name": "looks", "composite": "source:landsat", "of": "red", "method": "valid_share"},
                {
                    "name": "change",
                    "composite": "source:radar",
                    "of": "vv",
                    "method": "log_ratio",
                    "orbit": "ascending",
                    "speckle": "lee",
                    "dates": "2019-07-01/2019-12-31",
                    "reference": "2019-01-01/2019-06-30",
                },
            ],
        }
    )


@pytest.mark.filterwarnings("ignore::headscarp.core.errors.HeadscarpWarning")
def test_a_recipe_makes_composites_of_what_it_fetches(told):
    stack = build(recipe(), told / "stack.zarr")
    assert -1 <= float(np.nanmin(stack["ndvi"].values)) < float(np.nanmax(stack["ndvi"].values)) <= 1
    looks = stack["looks"].values
    assert ((looks >= 0) & (looks <= 1)).all()
    np.testing.assert_array_equal(np.isnan(stack["ndvi"].values), looks == 0)
    assert abs(float(np.nanmedian(stack["change"].values))) < 3
    assert np.isfinite(stack["slope"].values).all()
    names = [item["name"] for item in stack.attrs["made"]["inputs"]]
    assert sorted(names) == ["dem.zarr", "landsat.zarr", "radar.zarr"]


def test_another_request_does_not_replace_what_stands_there_unasked(told, sky):
    grid = place_grid(inner_box(GRID), 60.0)
    wanted = [SourceRecipe("landsat", "landsat", dates=YEAR, options={"bands": ["red"]})]
    fetch(grid, wanted, told / "out")
    other = [SourceRecipe("landsat", "landsat", dates=YEAR, options={"bands": ["nir"]})]
    with pytest.raises(OutputError, match="another request"):
        fetch(grid, other, told / "out")
    fetch(grid, other, told / "out", overwrite=True)
    assert "nir" in open_stack(told / "out" / "landsat.zarr")


def test_no_scene_in_the_period_says_what_there_is(told, sky):
    wanted = [SourceRecipe("landsat", "landsat", dates=(date(1999, 1, 1), date(1999, 2, 1)))]
    with pytest.raises(SourceError, match="1999") as raised:
        fetch(place_grid(inner_box(GRID), 60.0), wanted, told / "out")
    assert "the same command" in str(raised.value).lower()


@pytest.fixture(scope="module")
def truth(sky, tmp_path_factory):
    """What stands in the files, fetched when nothing goes wrong."""
    return open_stack(fetch_red(sky, tmp_path_factory.mktemp("truth")).paths["landsat"])


def fetch_red(sky, folder):
    known = [SourceRecipe("landsat", "landsat", address=sky[0], hosts=(sky[1].host,), dates=YEAR, options=RED)]
    return fetch(place_grid(inner_box(GRID), 30.0), known, folder / "out", cache=folder / "cache", **QUICK)


RED = {"bands": ["red", "quality"]}
QUICK = {"tries": 3, "timeout_s": 1.0, "backoff_s": 0.01}


@pytest.mark.parametrize("fault", sorted(FAULTS))
@pytest.mark.parametrize("times", [2, 1000])
def test_every_fault_ends_in_right_pixels_or_a_list_of_what_is_missing(sky, truth, tmp_path, fault, times):
    sky[1].rules = [Rule(fault, path=r"\.tif", times=times)]
    found = said = None
    try:
        found = fetch_red(sky, tmp_path)
    except SourceError as error:
        said = str(error)
    finally:
        sky[1].rules = []
    if found is None:
        assert "could not be had" in str(said)
        return
    stack = open_stack(found.paths["landsat"])
    holes = False
    for name, empty in (("red", np.isnan), ("quality", lambda values: values == 0)):
        ours, theirs = stack[name].values, truth[name].values
        wrong = ~((ours == theirs) | (empty(ours) & empty(theirs)))
        assert empty(ours[wrong]).all(), "a pixel is right or missing, never wrong"
        holes |= bool(wrong.any())
    if holes:
        assert found.missing
        assert json.loads(found.manifest.read_text())["missing"]
    sky[1].rules = []
    mended = fetch_red(sky, tmp_path)
    assert not mended.missing, "the next run asks again for what is missing"
    assert open_stack(mended.paths["landsat"]).attrs["fingerprint"] == truth.attrs["fingerprint"]
