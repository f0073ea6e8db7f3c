"""Laws of what is taken from a forecast: it is gone, nothing else is, and all cases are scored on the same places."""

import csv
from dataclasses import replace

import numpy as np
import pytest
import torch
from series_world import series_world
from typer.testing import CliRunner

from headscarp.cli import app
from headscarp.core.domains import HORIZONS_DAYS, REFLECTANCE
from headscarp.core.errors import HeadscarpWarning, RecipeError, SplitError
from headscarp.core.stack import feature_bands, fingerprint
from headscarp.evaluation.cases import cases_of, clouds_over, newest_frames, only_sensors
from headscarp.evaluation.casetable import place_learned
from headscarp.nets.metadata import NAMES
from headscarp.tiles.reader import TileReader, make_batch
from headscarp.tiles.series import read_series, with_delay
from headscarp.tiles.tiling import score_tiles
from headscarp.train.ablate import ablate
from headscarp.train.config import FitConfig
from headscarp.train.fit import fit
from headscarp.train.judging import judge_places
from headscarp.train.plan import chosen_split

SIDE, COUNT = 16, 42
BANDS = feature_bands(series_world(6))
OPTICAL = [i for i, band in enumerate(BANDS) if band.name in REFLECTANCE]
RADAR = [i for i, band in enumerate(BANDS) if band.name in ("vv", "vh")]
pytestmark = [
    pytest.mark.filterwarnings("ignore:the .* part has no landslide"),
    pytest.mark.filterwarnings("ignore:.* resamples had no"),
]


def world():
    stack = series_world(COUNT)
    rain = stack["rain_mm_per_day"]
    return stack.assign({f"rain_{km}km": rain * (1 - km / 50) for km in (10, 30)})


def read(stack, given=None):
    tiles = [replace(score_tiles((SIDE, SIDE), SIDE, 0)[0], sample=i) for i in range(COUNT)]
    reader = TileReader(stack, BANDS)
    batch = make_batch([reader.read(tile) for tile in tiles], tiles)
    return given(batch) if given else batch


@pytest.mark.parametrize("count", [1, 2, 4, 9])
def test_the_newest_published_frames_are_kept(count):
    stack = world()
    whole, kept = (read_series(s) for s in (stack, newest_frames(stack, count)))
    assert (kept.present.sum(1) == np.minimum(whole.present.sum(1), count)).all()
    oldest_kept = np.where(kept.present, whole.days, np.inf).min(1)
    left_out = whole.present & ~kept.present
    assert (np.where(left_out, whole.days, -np.inf).max(1) <= oldest_kept).all()
    late = read_series(newest_frames(with_delay(stack, 90), count))
    assert (late.days[late.present] <= -90).all()


def test_one_sensor_is_all_that_is_left():
    landsat, radar, nothing = (read(only_sensors(world(), kept)) for kept in (("landsat",), ("sentinel1",), ()))
    assert torch.isnan(landsat.x[:, :, RADAR]).all()
    assert torch.isnan(radar.x[:, :, OPTICAL]).all()
    assert radar.present.any()
    assert not nothing.present.any()


def test_clouds_cover_every_landsat_frame_and_nothing_else():
    stack = world()
    plain, under = read(stack), read(stack, clouds_over(stack, BANDS))
    seen = torch.isfinite(plain.x[:, :, OPTICAL[0]]).flatten(2).any(-1)
    assert (under.x[:, :, OPTICAL][seen] > 0.3).all()
    assert torch.isnan(under.x[:, :, OPTICAL][~seen]).all()
    others = [i for i in range(len(BANDS)) if i not in OPTICAL and BANDS[i].name != "cloud"]
    assert torch.equal(under.x[:, :, others].nan_to_num(), plain.x[:, :, others].nan_to_num())
    assert (under.metadata[..., NAMES.index("cloud_share")][seen] == 1).all()
    assert torch.equal(under.event_days, plain.event_days)
    assert torch.equal(under.x.nan_to_num(), read(stack, clouds_over(stack, BANDS)).x.nan_to_num())


def test_no_case_changes_what_came_or_the_ground():
    stack = world()
    plain, rains = read(stack), [i for i, name in enumerate(NAMES) if name.startswith("rain")]
    still = [i for i, band in enumerate(BANDS) if band.name in ("elevation", "slope")]
    cases = cases_of(stack, BANDS)
    assert len({case.id for case in cases}) == len(cases)
    assert {case.table for case in cases} == {"frames", "sensors", "delay", "rain", "clouds"}
    for case in cases:
        found = read(case.stack, case.given)
        for name in ("y", "event_days", "causes"):
            assert torch.equal(getattr(found, name), getattr(plain, name)), case.id
        assert torch.equal(found.x[:, :, still], plain.x[:, :, still]), case.id
        if case.table == "rain":
            moved = (found.metadata != plain.metadata) & ~found.metadata.isnan()
            assert moved.flatten(0, 1).any(0).nonzero().flatten().tolist() == rains
    assert "rain" not in {case.table for case in cases_of(series_world(6), BANDS)}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("ablation")
    path = home / "domains.zarr"
    stack = world()
    told = {"simulated": "a small world", "fingerprint": fingerprint(stack)}
    stack.assign_attrs(told).to_zarr(path, zarr_format=3, consolidated=False)
    config = FitConfig(
        epochs=1, batch_size=14, workers=1, net_arguments={"place_px": SIDE, "channels": 4, "metadata": "weather"}
    )
    fit(stack, net="forecast", out=home / "net", config=config, split=chosen_split(stack, hold_out="india"))
    words = ("ablate", home / "net", path, "--out", home / "out", "--workers", 1, "--anew", "metadata,delay,clouds")
    found = CliRunner().invoke(app, [*map(str, words)])
    assert found.exit_code == 0, found.output
    return home


def rows_of(home):
    with (home / "out" / "cases.csv").open() as file:
        rows = list(csv.DictReader(file))
    return {(r["table"], r["case"], f"{r['metric']} {r['days']} d"): r for r in rows}


def test_a_case_says_what_evaluate_says(home):
    rows = rows_of(home)
    for case, delay in ((("", "as it is"), None), (("delay", "15 days"), 15)):
        judged = judge_places(
            home / "net", home / "domains.zarr", parts=("test",), opponents=False, delay_days=delay, workers=1
        )
        for name in ("average_precision 180 d", "log_skill 30 d"):
            row, found = rows[(*case, name)], judged.value(name)
            assert float(row["value"]) == pytest.approx(found.value, rel=1e-6)
            assert float(row["low"]) == pytest.approx(found.low, rel=1e-6)
    assert rows["", "law", "ece 180 d"]["value"]
    assert not rows["", "as it is", "log_skill 30 d"]["loss"]


def test_the_bundle_stands_for_its_own_choice_and_the_page_tells_all(home):
    rows = rows_of(home)
    own = rows["metadata", "weather", "average_precision 180 d"]
    assert float(own["loss"]) == float(own["loss_low"]) == float(own["loss_high"]) == 0
    assert rows["metadata", "none", "log_skill 180 d"]["value"] != rows["metadata", "all", "log_skill 180 d"]["value"]
    assert len({days for *_, days in (key[2].split(" ") for key in rows)}) == 1
    page = (home / "out" / "ablation.html").read_text()
    for words in (
        "newest 1",
        "sentinel1 only",
        "15 days, trained so",
        "from 30 km away",
        "Landsat clouded",
        "position",
    ):
        assert words in page
    assert "a small world" in page


def test_an_ablation_goes_on_where_it_was(home):
    before = (home / "out" / "cases.csv").read_bytes()
    (home / "out" / "said" / "rain-from-10-km-away.npz").unlink()
    options = {"out": home / "out", "anew": ("metadata", "delay", "clouds"), "workers": 1, "resume": True}
    ablate(home / "net", home / "domains.zarr", **options)
    assert (home / "out" / "cases.csv").read_bytes() == before


def test_tables_that_are_asked_for_are_the_only_ones(home, tmp_path):
    some = ablate(home / "net", home / "domains.zarr", out=tmp_path / "out", tables=("frames",), workers=1)
    assert some.tables == ["frames"]
    whole = rows_of(home)
    for case in some.cases("frames"):
        row = some.row("frames", case, "log_skill", 30)
        assert row.loss == pytest.approx(float(whole["frames", case, "log_skill 30 d"]["loss"]), rel=1e-6)
    with pytest.raises(RecipeError, match="unknown table"):
        ablate(home / "net", world(), out=tmp_path / "a", tables=("frame",))


def test_a_score_that_position_explains_is_told():
    name = "average_precision 30 d"
    draws = np.linspace(-0.01, 0.01, 101)
    told = {"none": 0.2, "position": 0.5, "weather": 0.3, "all": 0.5}
    drawn = {("metadata", c): {name: v + draws * (i + 1)} for i, (c, v) in enumerate(told.items())}
    with pytest.warns(HeadscarpWarning, match="position alone"):
        assert place_learned(drawn)
    assert not place_learned(drawn | {("metadata", "all"): {name: 0.8 + draws}})
    assert not place_learned(drawn | {("metadata", "position"): {name: 0.2 + draws}})
    assert not place_learned({})


def test_what_cannot_be_is_refused(home, tmp_path):
    assert HORIZONS_DAYS[3] == 30
    with pytest.raises(RecipeError, match="table to train anew"):
        ablate(home / "net", world(), out=tmp_path / "a", anew=("metdata",))
    with pytest.raises(SplitError, match="no part"):
        ablate(home / "net", world(), out=tmp_path / "b", part="tset")
    vae = fit(
        world(),
        net="vae",
        out=tmp_path / "vae",
        config=FitConfig(epochs=1, net_arguments={"place_px": SIDE, "base": 4}),
    )
    with pytest.raises(RecipeError, match="does not judge places"):
        ablate(vae, world(), out=tmp_path / "c")
