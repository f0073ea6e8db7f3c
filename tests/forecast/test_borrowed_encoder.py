"""Laws of an encoder that was trained elsewhere: it sees what it knows, is that of its file, and its licence is kept.

The files are made by timm in the layouts that encoders of SSL4EO-L and SSL4EO-S12 are stored in; no published weights
are at hand.
"""

import subprocess
from dataclasses import replace

import numpy as np
import pytest
import torch
from encoder_files import ENCODER, FORMS, encoder_of_timm, write
from series_world import series_world

from headscarp.core.band import Band
from headscarp.core.bundle import open_bundle
from headscarp.core.domains import REFLECTANCE
from headscarp.core.errors import HeadscarpWarning, RecipeError, SourceError, StackError
from headscarp.core.provenance import file_sha256
from headscarp.core.stack import feature_bands
from headscarp.nets import make_net, net_from_bundle
from headscarp.nets.borrowed import LAYOUTS, Layout, Reflectance
from headscarp.nets.pretrained import UNKNOWN_LICENCE
from headscarp.tiles.reader import TileReader, make_batch
from headscarp.tiles.series import with_delay
from headscarp.tiles.statistics import training_statistics
from headscarp.tiles.tiling import score_tiles
from headscarp.train.ablate import ablate
from headscarp.train.ensemble import ensemble
from headscarp.train.judging import judge_places
from verbs import succeed as run

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:the .* part has no landslide"),
    pytest.mark.filterwarnings("ignore:.* resamples had no"),
]
SIDE, COUNT = 16, 8
BANDS = feature_bands(series_world(6))
OPTICAL = [i for i, band in enumerate(BANDS) if band.name in REFLECTANCE]
BORROWED, CC0 = ("test_resnet", "test_vit"), "CC0-1.0"
WITHIN = "encoder.eye.encoder."


def batch_of(seed=7, count=COUNT):
    stack = with_delay(series_world(count, seed=seed), 0)
    reader = TileReader(stack, BANDS)
    tiles = [replace(score_tiles((SIDE, SIDE), SIDE, 0)[0], sample=i) for i in range(count)]
    return make_batch([reader.read(tile) for tile in tiles], tiles)


def new_net(bands=BANDS, encoder=ENCODER, **arguments):
    torch.manual_seed(0)
    given = {"encoder": encoder, "place_px": SIDE, "channels": 8, **arguments}
    statistics = training_statistics(series_world(12), None, BANDS)
    return make_net("forecast", bands, resolution_m=30, statistics=statistics, arguments=given)


def from_file(path, **more):
    return new_net(**{"weights": str(path), "weights_licence": CC0, "weights_bands": "oli_sr", **more})


def said_by(net, batch):
    with torch.no_grad():
        return net.eval().predict(batch)


@pytest.mark.parametrize("form", list(FORMS))
@pytest.mark.parametrize("name", BORROWED)
def test_what_it_sees_is_what_timm_sees_on_the_same_bands(name, form, tmp_path):
    net = from_file(write(tmp_path, name, form), encoder=name).eval()
    ground = torch.linspace(-0.1, 0.5, 6 * 32 * 32)[torch.randperm(6 * 32 * 32)].view(1, 6, 32, 32)
    frame = torch.full((1, len(BANDS), 32, 32), torch.nan)
    frame[:, OPTICAL] = ground
    as_stored = (ground / 0.3).clamp(0, 1)  # blue, green, red, nir, swir1, swir2
    landsat = torch.cat([as_stored[:, :1], as_stored], dim=1)  # and coastal before them
    with torch.no_grad():
        seen = net.encoder.eye.stages_of(net.encoder.reads(frame[:, net.read]))
        wanted = encoder_of_timm(name).forward_features(landsat)
    if name == "test_vit":
        wanted = wanted[:, 1:].transpose(1, 2).reshape(1, -1, 2, 2)
    torch.testing.assert_close(seen[-1], wanted)
    assert seen[-1].std() > 0.01


def test_every_layout_reads_bands_by_their_names():
    names = ("nir", "vv", "red", "swir2", "green", "swir1", "blue")
    x = torch.arange(7.0).view(1, 7, 1, 1) * 0.03
    for layout in LAYOUTS.values():
        planes = Reflectance([Band(name, "continuous") for name in names], layout)(x).flatten().tolist()
        wanted = [0.03 * names.index("blue" if b == "coastal" else b) / layout.full if b else 0.0 for b in layout.bands]
        assert planes == pytest.approx(wanted)
    assert [len(LAYOUTS[name].bands) for name in ("tm_toa", "etm_toa", "etm_sr", "oli_tirs_toa", "oli_sr")] == [
        7, 9, 6, 11, 7,
    ]  # fmt: skip
    x[0, 6] = torch.nan
    assert Reflectance([Band(name, "continuous") for name in names], Layout(("blue",)))(x).item() == 0


@pytest.mark.parametrize("name", BORROWED)
def test_a_map_made_of_places_is_the_map_made_at_once(name, tmp_path):
    net, batch = from_file(write(tmp_path, name), encoder=name), batch_of(count=4)
    parts = said_by(net, batch)
    wide = replace(batch, x=torch.cat([batch.x[:2], batch.x[2:]], -1), valid=batch.valid[:2].repeat(1, 1, 2), tiles=())
    facts = {k: getattr(batch, k)[:2] for k in ("days", "present", "metadata", "event_days", "causes", "traces", "y")
             if getattr(batch, k) is not None}  # fmt: skip
    same = replace(batch, **{k: torch.cat([v, v]) for k, v in facts.items()}, tiles=())
    whole = said_by(net, replace(wide, **facts))
    torch.testing.assert_close(whole, torch.cat(said_by(net, same).split(2), dim=-1), rtol=1e-4, atol=1e-5)
    assert parts.isfinite().all()
    assert parts.std(dim=(0, 2, 3))[-6] > 0  # "where" differs from pixel to pixel


def test_radar_is_left_to_the_nets_own_layers(tmp_path):
    batch = batch_of()
    optical = torch.isfinite(batch.x[:, :, OPTICAL]).flatten(2).any(2)
    for kept, moves in ((batch.present & ~optical, False), (batch.present & optical, True)):
        net = from_file(write(tmp_path))
        before = said_by(net, replace(batch, present=kept))
        with torch.no_grad():
            net.encoder.eye.weigh[0].weight.mul_(-3)
        assert torch.equal(said_by(net, replace(batch, present=kept)), before) is not moves


@pytest.mark.parametrize("frozen", [True, False])
def test_what_is_frozen_does_not_learn_and_the_rest_does(frozen, tmp_path):
    net = from_file(write(tmp_path), frozen=frozen).train()
    optimiser = torch.optim.Adam(net.parameters(), 1e-2, weight_decay=0.1)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    for _ in range(2):
        optimiser.zero_grad()
        sum(net.losses(batch_of(count=4)).values()).backward()
        optimiser.step()
    kept = [name for name, value in net.state_dict().items() if torch.equal(value, before[name])]
    own = [name for name in before if name.startswith(WITHIN)]
    assert len(own) > 50
    assert set(own) <= set(kept) if frozen else not set(own) & set(kept)
    assert "encoder.eye.weigh.0.weight" not in kept
    assert "encoder.stem.0.weight" not in kept


def test_one_lonely_frame_can_be_learned_from(tmp_path):
    net, batch = from_file(write(tmp_path), drop_frames=0.0).train(), batch_of(count=1)
    one = torch.zeros_like(batch.present)
    one[:, 0] = True
    net.encoder.eye.weigh[1].eval()
    assert sum(net.losses(replace(batch, present=one)).values()).isfinite()


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A forecast that was trained from a file, which is gone since."""
    home = tmp_path_factory.mktemp("borrowed")
    stack = series_world(42).assign_attrs(simulated="a small world")
    stack.to_zarr(home / "domains.zarr", zarr_format=3, consolidated=False)
    path = write(home)
    (home / "train.toml").write_text(f"""
[train.forecast]
epochs = 1
batch_size = 8
[train.forecast.net_arguments]
place_px = {SIDE}
channels = 8
encoder = "{ENCODER}"
weights = "{path}"
weights_licence = "{CC0}"
weights_source = "https://hf.co/torchgeo/ssl4eo_landsat"
weights_bands = "oli_sr"
frozen = true
""")
    more = ("--hold-out-region", "india", "--config", home / "train.toml", "--workers", 1)
    run("train", home / "domains.zarr", "--net", "forecast", "--out", home / "forecast", *more)
    path.rename(home / "moved.pth")
    return home, file_sha256(home / "moved.pth")


def test_a_bundle_keeps_the_licence_and_needs_no_file(home):
    home, digest = home
    bundle = open_bundle(home / "forecast")
    source = "https://hf.co/torchgeo/ssl4eo_landsat"
    assert bundle.made["pretrained"] == {
        "source": source,
        "file": "published.pth",
        "sha256": digest,
        "licence": CC0,
    }
    assert bundle.arguments["encoder"] == ENCODER
    assert bundle.arguments["weights_bands"] == "oli_sr"
    assert "weights" not in bundle.arguments
    told = " ".join(run("info", home / "forecast").split())
    for words in (f"pretrained source {source}", f"pretrained licence {CC0}", "pretrained sha256", digest[:16]):
        assert words in told
    file = torch.load(home / "moved.pth", weights_only=True)
    kept = {name.removeprefix(WITHIN): value for name, value in bundle.weights.items() if name.startswith(WITHIN)}
    assert set(kept) == set(file)
    assert all(np.array_equal(kept[name].reshape(-1), value.numpy().reshape(-1)) for name, value in file.items())
    assert said_by(net_from_bundle(bundle), batch_of()).isfinite().all()
    found = judge_places(bundle, home / "domains.zarr", parts=("test",), opponents=False)
    assert np.isfinite(found.said["forecast", "test"].hazards).all()


def test_an_ensemble_keeps_the_licence(home):
    home, digest = home
    both = ensemble([home / "forecast", home / "forecast"], home / "both")
    assert both.made["pretrained"]["licence"] == CC0
    assert f"pretrained sha256 {digest[:8]}" in " ".join(run("info", home / "both").split())


def test_what_is_trained_anew_begins_with_the_same_weights(home):
    home, digest = home
    (home / "moved.pth").rename(home / "published.pth")
    ablate(home / "forecast", home / "domains.zarr", out=home / "anew", tables=["clouds"], anew=["clouds"], workers=1)
    (home / "published.pth").rename(home / "moved.pth")
    (anew,) = (open_bundle(path.parent) for path in (home / "anew" / "nets").rglob("bundle.json"))
    assert anew.made["pretrained"]["sha256"] == digest
    assert anew.arguments["leave_out"] == []


def test_a_licence_that_nobody_states_is_warned_of_and_two_are_refused(tmp_path):
    path = write(tmp_path)
    with pytest.warns(HeadscarpWarning, match="states no licence"):
        assert from_file(path, weights_licence="").pretrained["licence"] == UNKNOWN_LICENCE
    assert from_file(path).pretrained["licence"] == CC0
    assert from_file(path).pretrained["source"] == str(path)
    (tmp_path / "published.pth.license").write_text("CC-BY-NC-4.0\n")
    assert from_file(path, weights_licence="").pretrained["licence"] == "CC-BY-NC-4.0"
    with pytest.raises(RecipeError, match=r"states the licence 'CC-BY-NC-4\.0', weights_licence says 'CC0-1\.0'"):
        from_file(path)


def test_a_file_of_something_else_is_refused(tmp_path):
    path = write(tmp_path)
    with pytest.raises(RecipeError, match=r"reads 7 bands, but weights_bands names 6 \(blue, green"):
        from_file(path, weights_bands="etm_sr")
    with pytest.raises(RecipeError, match=r"reads 7 bands, but weights_bands names 11 \(coastal, .*, -, -, -, -\)"):
        from_file(path, weights_bands="oli_tirs_toa")
    with pytest.raises(RecipeError, match=r"no weights for .* layers of the encoder"):
        from_file(path, encoder="test_vit")
    with pytest.raises(SourceError, match="no file of weights"):
        from_file(tmp_path / "none.pth")
    torch.save({"state_dict": encoder_of_timm(ENCODER).state_dict(), "by": subprocess.run}, tmp_path / "code.pth")
    with pytest.raises(SourceError, match="tensors only"):
        from_file(tmp_path / "code.pth")


def test_what_cannot_be_is_refused(tmp_path):
    path = write(tmp_path)
    with pytest.raises(RecipeError, match="say what its first layer reads, one of oli_sr"):
        from_file(path, weights_bands=None)
    with pytest.raises(RecipeError, match="no weights_bands 'olisr'; use one of oli_sr"):
        from_file(path, weights_bands="olisr")
    with pytest.raises(RecipeError, match=r"names 'thermal', which is no continuous band .* put '' in its place"):
        from_file(path, weights_bands=["blue", "green", "red", "nir", "swir1", "thermal", "swir2"])
    with pytest.raises(RecipeError, match="frozen is true, but there are no weights"):
        new_net(frozen=True)
    with pytest.raises(RecipeError, match="encoder 'stills' is the net's own"):
        from_file(path, encoder="stills")
    with pytest.raises(RecipeError, match=r"no encoder 'resnet19'; use one of ltae, .* or of timm"):
        new_net(encoder="resnet19")
    with pytest.raises(StackError, match="no reflectance"):
        new_net([band for band in BANDS if band.name not in REFLECTANCE])
    tm = from_file(path, weights_bands=["blue", "green", "red", "nir", "swir1", "", "swir2"])
    assert said_by(tm, batch_of(count=2)).isfinite().all()


def test_an_encoder_without_weights_begins_from_scratch():
    net = new_net(weights_bands=["nir", "red"])
    assert net.pretrained == {}
    assert net.arguments()["weights_bands"] == ["nir", "red"]
    again = make_net("forecast", BANDS, resolution_m=30, statistics=net.statistics, arguments=net.arguments())
    assert list(again.state_dict()) == list(net.state_dict())
