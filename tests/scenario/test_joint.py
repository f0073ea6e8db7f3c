"""Laws of a generator that trains beside a forecast: what the forecast says of its futures comes to agree with what it
says of what came, nothing else changes, and a forecast that cannot judge is refused."""

from dataclasses import replace

import pytest
import torch
from scenes import TABLE
from test_adversarial import FABRIC, new_play
from test_future_nets import BANDS, IDENTITY, new_net, world
from test_series_laws import new_net as net_of_series
from test_series_laws import series

from headscarp.assemble.domain_recipe import domains_recipe_from_dict
from headscarp.assemble.domains import build_domains
from headscarp.core.band import Band
from headscarp.core.bundle import Bundle, bundle_hash, open_bundle, save_bundle
from headscarp.core.domains import BACKSCATTER, CLOUD, CLOUD_CLASSES, domain_bands
from headscarp.core.errors import BundleError, JournalError, RecipeError, StackError
from headscarp.core.stack import open_stack
from headscarp.nets import make_net, weights_of
from headscarp.nets.joint import SAYS, ForecastJudge
from headscarp.nets.metadata import FEATURES
from headscarp.nets.net import Statistics
from headscarp.train import loop
from headscarp.train.adversarial import step
from headscarp.train.config import FitConfig
from headscarp.train.fit import fit
from headscarp.train.joint import agreement as told_agreement
from verbs import said as run

pytestmark = pytest.mark.usefixtures("one_thread")

QUALITY = Band(CLOUD, "categorical", classes=CLOUD_CLASSES)
RADAR = Band(BACKSCATTER[0], "continuous", "dB", optional=True)
READ = (*(replace(band, optional=band.name != "slope") for band in BANDS), QUALITY, RADAR)
USUAL = {
    "red": (0.1, 0.05), "nir": (0.3, 0.1), "vv": (-10.0, 2.0), "vh": (-17.0, 2.0), "slope": (20.0, 10.0),
    "elevation": (1000.0, 500.0), "blue": (0.05, 0.03), "green": (0.07, 0.03), "swir1": (0.2, 0.1),
    "swir2": (0.1, 0.1),
}  # fmt: skip


def new_forecast(bands=READ, resolution_m=30, **arguments):
    torch.manual_seed(3)
    statistics = Statistics({n: mean for n, (mean, _) in USUAL.items()}, {n: std for n, (_, std) in USUAL.items()})
    own = {"place_px": 16, "channels": 8, "metadata": "weather", "encoder": "stills", **arguments}
    net = make_net("forecast", bands, resolution_m=resolution_m, statistics=statistics, arguments=own)
    return net.eval()


def bundle_of(forecast, **more):
    return Bundle("forecast", forecast.arguments(), forecast.bands, forecast.resolution_m, weights_of(forecast), **more)


def agreement(play, batch, counted=8):
    """The fair CRPS of what the forecast says, the mean over pairs of futures."""
    with torch.no_grad():
        counts = play.net.pictured_of(batch)[1]
        futures = [
            play.net.shown(batch, play.net.pictured(batch, made)) for made in play.net.imagined(batch, range(counted))
        ]
        pairs = zip(futures[::2], futures[1::2], strict=True)
        return float(torch.stack([play.judge.crps(batch, batch, pair, counts) for pair in pairs]).mean())


def half(count, seed):
    """Places that are always mined where they are steeper than their mean, so that nothing is uncertain."""
    batch = world(count, seed)
    steep = batch.x[:, 2] > batch.x[:, 2].mean(dim=(1, 2), keepdim=True)
    after = batch.x[:, :2] + torch.tensor([0.1, -0.15])[:, None, None] * steep[:, None]
    return replace(batch, y=steep.to(torch.uint8), after=after)


def test_agreement_comes_with_training(monkeypatch, tmp_path):
    """By what a forecast says alone: no other loss knows what came."""
    forecast = new_forecast()
    with torch.no_grad():
        for layer in (forecast.cells.ground, forecast.cells.traces.say, forecast.cause[-1], forecast.rate):
            layer.weight.mul_(5.0)
    save_bundle(bundle_of(forecast), tmp_path / "f")
    only = {"l1": 0.0, "latent_l1": 0.0, "kl": 0.0, "forecast": str(tmp_path / "f"), "joint": 3000.0}
    play = new_play(monkeypatch, latents=2, **only)
    before = agreement(play, half(24, 50_001))
    for number in range(40):
        torch.manual_seed(number)
        step(play, half(8, number), FABRIC, 1.0)
    after = agreement(play, half(24, 50_001))
    assert after < 0.5 * before


@pytest.mark.parametrize("encoder", ["stills", "ltae", "temporal_first", "convlstm"])
def test_what_came_is_agreed_with_and_every_encoder_says_what_to_change(encoder):
    net, batch = new_net("cgan"), world(3, 0)
    judge = ForecastJudge(new_forecast(encoder=encoder), net)
    batch.after[0, :, 3, 4] = torch.nan
    batch.y[0, 3, 4] = 255
    counts = net.pictured_of(batch)[1]
    assert float(judge.crps(batch, batch, (batch.after, batch.after), counts)) == 0
    near, far = (batch.after + 0.01, batch.after + 0.1)
    errors = [judge.scores(batch, batch, [one], counts)[0]["traces"].mean() for one in (near, far)]
    assert 0 < errors[0] < errors[1]
    made = [torch.nan_to_num(batch.after, 0.2).add(0.05 * k).requires_grad_() for k in (1, 2)]
    lost = judge.crps(batch, batch, tuple(made), counts)
    lost.backward()
    assert lost > 0
    for one in made:
        assert torch.isfinite(one.grad).all()
        assert one.grad[1:].abs().sum() > 0
        assert not one.grad[0, :, 3, 4].any()  # what is not known says nothing
    assert not any(weight.requires_grad for weight in judge.forecast.parameters())
    nothing = replace(batch, task=torch.full((3,), IDENTITY))
    assert judge.crps(nothing, nothing, tuple(made), net.pictured_of(nothing)[1]).item() == 0
    said = judge.says(batch, batch, batch.after)
    assert list(said) == list(SAYS)
    assert all(float(part.min()) >= 0 and float(part.max()) <= 1 for part in said.values())


def test_the_frames_that_a_forecast_reads_end_with_the_picture_after():
    net, batch = net_of_series("cgan"), series(count=2)
    batch = replace(batch, metadata=torch.tensor([[40.0, 0, 1, 20], [torch.nan] * 4]))
    batch.present[1, -1] = False
    judge = ForecastJudge(new_forecast(), net)
    picture = net.as_picture(batch)
    after = torch.full((2, 2, 16, 16), 0.25)
    seen = judge.seen(batch, picture, after)
    names = [band.name for band in READ]
    assert seen.x.shape == (2, 5, len(READ), 16, 16)
    for name in ("red", "nir"):
        i = names.index(name)
        assert torch.equal(seen.x[:, :-1, i].nan_to_num(9), batch.x[:, :, net.at[net.change.index(name)]].nan_to_num(9))
        assert (seen.x[:, -1, i] == 0.25).all()
    assert torch.equal(seen.x[:, :, names.index("slope")], batch.x[:, :1, 2].expand(-1, 5, -1, -1))
    assert seen.x[:, :, names.index("vv")].isnan().all()
    assert (seen.x[:, -1, names.index(CLOUD)] == 1).all()
    assert torch.equal(seen.days[0], torch.cat([batch.days[0] - 41, torch.tensor([-1.0])]))
    assert (seen.days <= 0).all()
    assert seen.present.tolist() == [[True] * 5, [True, True, True, False, True]]
    assert seen.metadata.shape == (2, 5, len(FEATURES))
    numbers = judge.forecast._numbers(seen)
    assert (numbers[..., 0] == 0).all()  # usual weather, and known
    assert (numbers[..., 1] == 1).all()


def test_a_forecast_of_other_bands_ground_or_places_is_refused(tmp_path, monkeypatch):
    net = new_net("cgan")
    with pytest.raises(RecipeError, match="draws red, nir, and the forecast does not read red"):
        ForecastJudge(new_forecast([band for band in READ if band.name != "red"]), net)
    with pytest.raises(RecipeError, match="reads swir1, elevation, which the scenarios do not have"):
        ForecastJudge(
            new_forecast((*READ, Band("swir1", "continuous", optional=True), Band("elevation", "continuous", "m"))), net
        )
    with pytest.raises(RecipeError, match="trained at 10 m and the scenarios are 30 m"):
        ForecastJudge(new_forecast(resolution_m=10), net)
    save_bundle(bundle_of(new_forecast(place_px=32)), tmp_path / "large")
    with pytest.raises(RecipeError, match="places of 32 px, but a training tile is 16 x 16"):
        new_play(monkeypatch, forecast=str(tmp_path / "large"))
    two = {f"{k}.{name}": array for k in (0, 1) for name, array in weights_of(new_forecast()).items()}
    save_bundle(replace(bundle_of(new_forecast()), weights=two, members=2), tmp_path / "two")
    with pytest.raises(BundleError, match="of 2 members"):
        new_play(monkeypatch, forecast=str(tmp_path / "two"))
    with pytest.raises(RecipeError, match="joint is -1"):
        new_net("cgan", joint=-1)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """scenes.zarr of ten places, and forecast/ that reads all of their bands and radar."""
    folder = tmp_path_factory.mktemp("home")
    few = {**TABLE["scenarios"], "tasks": ["mining", "deforestation"], "futures": 1}
    build_domains(domains_recipe_from_dict({**TABLE, "scenarios": few}), folder / "scenes.zarr", workers=1)
    save_bundle(bundle_of(new_forecast([b for b in domain_bands("t") if b.is_feature])), folder / "forecast")
    return folder


def test_agreement_is_told_of_places_and_beside_the_input(home, tmp_path):
    config = FitConfig(epochs=1, calibration="none", net_arguments={"base": 4, "levels": 1})
    bundle = fit(home / "scenes.zarr", net="cgan", out=tmp_path / "g", config=config)
    told = told_agreement(bundle, home / "forecast", home / "scenes.zarr", part="train", samples=3)
    assert list(told) == ["cgan", "copy_the_input"]
    for of in told.values():
        assert list(of) == list(SAYS)
        assert all(len(values) == 7 for values in of.values())  # of ten places seven train
    assert all(values.mean() > 0 for values in told["copy_the_input"].values())
    assert told_agreement(bundle, home / "forecast", home / "scenes.zarr", samples=1)["cgan"]["where"].min() >= 0
    small = replace(bundle_of(new_forecast([b for b in domain_bands("t") if b.is_feature], place_px=32)))
    with pytest.raises(RecipeError, match="places of 32 px, but a place is 16 x 16"):
        told_agreement(bundle, small, home / "scenes.zarr")
    blind = open_stack(home / "scenes.zarr").drop_vars("after_red")
    with pytest.raises(StackError, match="'red' and no 'after_red'"):
        told_agreement(bundle, home / "forecast", blind)


class Stop(Exception):
    pass


def config_of(**arguments):
    return FitConfig(epochs=2, calibration="none", net_arguments={"base": 4, "levels": 1, "latents": 2, **arguments})


def test_trainings_go_on_to_the_same_bytes_and_tell_who_judged(home, tmp_path, monkeypatch):
    judged = config_of(forecast=str(home / "forecast"), joint=5.0)
    whole = fit(home / "scenes.zarr", net="cgan", out=tmp_path / "whole", config=judged)
    save = loop.save_checkpoint

    def then_stop(*parts, **more):
        save(*parts, **more)
        raise Stop

    with monkeypatch.context() as patch:
        patch.setattr(loop, "save_checkpoint", then_stop)
        with pytest.raises(Stop):
            fit(home / "scenes.zarr", net="cgan", out=tmp_path / "cut", config=judged)
    kept = open_bundle(home / "forecast")
    save_bundle(replace(kept, threshold=0.4), home / "forecast", overwrite=True)
    with pytest.raises(JournalError, match="holds another training"):
        fit(home / "scenes.zarr", net="cgan", out=tmp_path / "cut", config=judged, resume=True)
    save_bundle(kept, home / "forecast", overwrite=True)
    fit(home / "scenes.zarr", net="cgan", out=tmp_path / "cut", config=judged, resume=True)
    files = ("weights.safetensors", "history.csv", "bundle.json")
    assert all((tmp_path / "cut" / f).read_bytes() == (tmp_path / "whole" / f).read_bytes() for f in files)
    assert whole.made["inputs"][-1]["fingerprint"] == bundle_hash(kept)
    assert not {"forecast", "joint"} & set(whole.arguments)  # what was trained needs neither
    told = run("info", tmp_path / "whole").text
    assert "pretrained judge" in told
    assert bundle_hash(kept)[:16] in told
    plain = fit(home / "scenes.zarr", net="cgan", out=tmp_path / "plain", config=config_of())
    assert "pretrained" not in plain.made
    silent = config_of(forecast=str(home / "forecast"), joint=0.0)
    fit(home / "scenes.zarr", net="cgan", out=tmp_path / "silent", config=silent)
    weights = [(tmp_path / name / "weights.safetensors").read_bytes() for name in ("plain", "silent", "whole")]
    assert weights[0] == weights[1]
    assert weights[0] != weights[2]


def test_the_verb_trains_beside_a_forecast_and_says_what_is_wrong(home, tmp_path):
    def train(forecast):
        lines = [
            "[train]", "epochs = 1", "calibration = 'none'",
            f"net_arguments = {{ base = 4, levels = 1, forecast = '{forecast}' }}",
        ]  # fmt: skip
        (tmp_path / "train.toml").write_text("\n".join(lines), encoding="utf-8")
        words = ["train", home / "scenes.zarr", "--net", "cgan", "--out", tmp_path / "out", "--accelerator", "cpu"]
        return run(*words, "--config", tmp_path / "train.toml", "--workers", 1, "--overwrite")

    gone = train(tmp_path / "nowhere")
    assert gone.code == 2
    assert "there is no bundle at" in gone.text
    other = fit(home / "scenes.zarr", net="direct", out=tmp_path / "direct", config=FitConfig(epochs=1))
    assert other.net == "direct"
    wrong = train(tmp_path / "direct")
    assert wrong.code == 2
    assert "holds the net 'direct'" in wrong.text
    done = train(home / "forecast")
    assert done.code == 0, done.text
    assert open_bundle(tmp_path / "out").made["pretrained"]["judge"].endswith("weight 1")
