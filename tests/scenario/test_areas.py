"""Laws of the share of a place that a future is asked for: met, local, and fitted to places that were held out."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scenes import TABLE, asks
from test_future_nets import BANDS, MINING, RAIN, STATISTICS, new_net, world

from headscarp.assemble.domain_recipe import domains_recipe_from_dict
from headscarp.assemble.domains import build_domains
from headscarp.core.band import Band
from headscarp.core.errors import RecipeError
from headscarp.core.tile import Tile, Window
from headscarp.nets import make_net, net_from_bundle
from headscarp.nets.areas import QUANTILES, angle, asked_share, strengths, with_mean, with_share
from headscarp.nets.batch import Batch
from headscarp.nets.layers import mean_within
from headscarp.nets.turns import LOOKS, turned_features
from headscarp.train.areas import table
from headscarp.train.config import FitConfig
from headscarp.train.fit import fit
from headscarp.train.spread import with_spread

pytestmark = pytest.mark.usefixtures("one_thread")


def hills(count, side, seed=0):
    """(B, 1, H, W) smooth planes between -1 and 1."""
    noise = torch.randn(count, 1, side, side, generator=torch.Generator().manual_seed(seed))
    smooth = mean_within(mean_within(noise, 3), 2)
    return (smooth / smooth.std()).tanh()


def test_shares_follow_chance_and_the_guess_and_nothing_is_asked_of_other_tasks():
    areas, task = {"mining": asks(0.1, 0.5, follow=0.5)}, torch.tensor([MINING, MINING, RAIN])
    around, chance = torch.full((3, 1, 40, 40), 0.2), torch.randn(3, 1, 40, 40)
    around[1] = 0.4
    asked = asked_share(areas, task, around, chance)
    assert asked[2].isnan().all()
    order = chance[0].flatten().argsort()
    assert (asked[0].flatten()[order].diff() >= 0).all()
    mid = asked_share(areas, task, around, torch.zeros_like(chance))
    assert mid[1].mean() > mid[0].mean() + 0.05
    middle = angle(torch.tensor([0.1, 0.5])).mean() + 0.5 * angle(torch.tensor(0.2))
    assert mid[0].mean() == pytest.approx(float(middle.sin() ** 2), abs=1e-5)
    plain = asked_share({"mining": asks(0.1, 0.5)}, task, around, torch.randn(3, 1, 200, 200)[:, :, :40, :40])
    assert 0.1 <= plain[:2].min() < 0.15
    assert 0.45 < plain[:2].max() <= 0.5


@pytest.mark.parametrize("share", [0.05, 0.3, 0.8])
def test_planes_are_moved_until_they_meet_the_share_and_keep_their_order(share):
    plane, wanted = hills(4, 32), torch.full((4, 1, 32, 32), share)
    met = with_share(plane, wanted)
    assert torch.allclose((met > 0).float().mean(dim=(1, 2, 3)), torch.tensor(share), atol=0.06)
    assert met.abs().max() <= 1
    wide, large = hills(1, 160), torch.full((1, 1, 160, 160), share)
    around = mean_within((with_share(wide, large) > 0).float(), 24)
    assert (around - share).abs().mean() < 0.06
    expected = with_mean(plane, wanted)
    assert torch.allclose(expected.mean(dim=(1, 2, 3)), torch.tensor(2 * share - 1), atol=0.1)
    sure = torch.where(plane > 0, 1.0, -1.0)
    assert torch.allclose(with_mean(sure, (mean_within(sure, 24) + 1) / 2), sure, atol=0.1)


def test_a_future_changes_the_share_that_it_was_asked_for():
    batch = world(4, 0, side=32)
    with torch.no_grad():
        shares = []
        for low, high in ((0.1, 0.12), (0.5, 0.52)):
            net = new_net("flow", areas={"mining": asks(low, high)})
            drawn = torch.stack(list(net.pictures(batch, range(3))))[:, :, -1] >= 0.5
            shares.append(float(drawn.float().mean()))
            assert drawn.float().mean(dim=(2, 3)).sub(low).abs().max() < 0.12
        others = replace(batch, task=torch.full((4,), RAIN))
        plain = new_net("flow")
        assert torch.equal(net.picture(others, 1), plain.picture(others, 1))
    assert shares[1] > shares[0] + 0.3
    assert net.arguments()["areas"] == {"mining": asks(0.5, 0.52)}
    assert "areas" not in plain.arguments()
    assert "turns" not in plain.arguments()


def test_strengths_change_how_much_bands_change_and_not_where():
    batch, tables = world(4, 0, side=32), [{"mining": asks(0.2, 0.6, strength=of)} for of in (0.0, 0.4)]
    with torch.no_grad():
        plain, strong = (torch.stack(list(new_net("flow", areas=areas).imagined(batch, range(40)))) for areas in tables)
    assert torch.equal(plain[:, :, -1], strong[:, :, -1])
    ratio = strong[:, :, :-1] / plain[:, :, :-1]
    torch.testing.assert_close(ratio, ratio[:, :, :1].expand_as(ratio), rtol=1e-3, atol=1e-3)  # all bands alike
    of_place = ratio.mean(dim=(2, 3, 4))
    assert (of_place > 0).all()
    assert float(of_place.mean()) == pytest.approx(1.0, abs=0.15)
    assert float(of_place.log().std()) == pytest.approx(0.4, abs=0.08)
    other = strengths(tables[1], torch.tensor([RAIN, MINING]), torch.full((2, 1, 2, 2), 1.0))
    assert other[0].eq(1).all()
    assert torch.allclose(other[1], torch.tensor(0.4 - 0.08).exp())


def test_what_is_asked_for_is_the_same_in_tiles_and_at_once():
    areas = {"mining": asks(0.05, 0.7, follow=0.3, strength=0.4)}
    net, whole = new_net("flow", areas=areas), world(1, 0, side=288)
    plain = new_net("flow")
    assert net.reach == plain.reach + 24  # three steps meet it once
    halo = -(-net.reach // 2) * 2
    core = slice(128, 160)
    cut = slice(128 - halo, 160 + halo)
    tile = replace(
        whole, x=whole.x[..., cut, cut], valid=whole.valid[..., cut, cut], y=None, after=None,
        tiles=(Tile(Window(128, 128, 32, 32), halo, 0),),
    )  # fmt: skip
    with torch.no_grad():
        at_once, alone = net.picture(whole, 2), net.picture(tile, 2)
    inner = slice(halo, halo + 32)
    torch.testing.assert_close(at_once[..., core, core], alone[..., inner, inner], rtol=1e-4, atol=1e-5)
    assert not torch.equal(at_once[..., core, core], plain.picture(whole, 2)[..., core, core])


def test_tables_and_turns_that_cannot_be_are_refused():
    for bad in ([0.5, 1.0, 0.1], asks(0.5, 0.1), [float("nan"), *asks(0.1, 0.5)[1:]]):
        with pytest.raises(RecipeError, match="areas of mining"):
            new_net("flow", areas={"mining": bad})
    with pytest.raises(RecipeError, match="ploughing"):
        new_net("flow", areas={"ploughing": asks(0.1, 0.5)})
    with pytest.raises(RecipeError, match="turns is 3"):
        new_net("direct", turns=3)


def test_a_table_follows_the_guess_as_far_as_held_out_places_do():
    rng = np.random.default_rng(0)
    usual, likely = rng.normal(0.6, 0.2, 3000), rng.normal(0.7, 0.15, 300)
    follows = [0.8 * one + 0.05 + rng.normal(0, 0.05, 3) for one in likely]
    rise, wide, strength, *quantiles = table(usual, follows, likely, 1.05)
    assert (rise, wide, strength) == (pytest.approx(0.8, abs=0.05), 1.05, 0.0)
    assert np.std(quantiles) < 0.6 * usual.std()
    assert np.median(quantiles) + rise * 0.7 == pytest.approx(0.61, abs=0.02)
    rise, _, _, *quantiles = table(usual, [rng.normal(0.6, 0.2, 3) for _ in likely], likely, 1.0)
    assert rise < 0.2
    assert quantiles[QUANTILES // 2] + rise * 0.7 == pytest.approx(0.6, abs=0.03)
    against = table(usual, [1.3 - one + rng.normal(0, 0.01, 3) for one in likely], likely, 1.0)
    assert against[0] == 0  # never against the guess
    assert against[3:] == sorted(against[3:])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("areas")
    told = {**TABLE["scenarios"], "places_per_region": 90, "tasks": ["no_change", "mining"], "futures": 1}
    scenes = build_domains(domains_recipe_from_dict({**TABLE, "scenarios": told}), folder / "scenes.zarr", workers=1)
    config = FitConfig(epochs=1, workers=1, calibration="none", net_arguments={"base": 4, "levels": 1, "steps": 2})
    return fit(scenes, net="flow", out=folder / "flow", config=config), scenes.load()


def test_shares_are_fitted_to_training_and_validation_places_and_to_no_others(trained, monkeypatch):
    bundle, scenes = trained
    monkeypatch.setattr("headscarp.train.spread.choose_spread", lambda *_: None)
    made = with_spread(bundle, scenes)
    assert list(made.arguments["areas"]) == ["mining"]  # nothing changes without a task
    assert made.arguments["turns"] == 8
    poisoned = scenes.copy(deep=True)
    test = np.flatnonzero(scenes["part"].to_numpy() == "test")
    poisoned["changed"][test] = 1
    assert with_spread(bundle, poisoned).arguments == made.arguments
    told = {**made.arguments, "areas": {"mining": [0.5] * (2 + QUANTILES)}}  # from before strengths
    before = replace(made, arguments=told)
    assert with_spread(before, scenes).arguments == made.arguments
    net = net_from_bundle(made)
    assert net.arguments() == made.arguments
    assert net.reach == net_from_bundle(bundle).reach + 24


@pytest.mark.parametrize("name", ["flow", "direct"])
def test_how_likely_it_is_turns_with_the_ground(name):
    bands = (*BANDS, Band("aspect", "direction", "degree"))
    torch.manual_seed(1)
    net = make_net(name, bands, resolution_m=30, statistics=STATISTICS, arguments={"base": 8, "levels": 1, "turns": 8})
    x = torch.cat([world(2, 0).x[..., :12], 360 * torch.rand(2, 1, 16, 12)], dim=1)
    batch = Batch(x, torch.ones(2, 16, 12, dtype=torch.bool), task=torch.full((2,), MINING))
    with torch.no_grad():
        likely = net.eval().likely(batch)
        assert likely.shape == (2, 16, 12)
        for quarter, flip in LOOKS[8]:
            ground = turned_features(net.encode(x), [3], quarter, flip)
            degrees = torch.rad2deg(torch.atan2(ground[:, 4:5], ground[:, 3:4]))
            back = [ground[:, i : i + 1] * net.encode.std[i] + net.encode.mean[i] for i in range(3)]
            there = net.likely(replace(batch, x=torch.cat([*back, degrees], dim=1), valid=batch.valid))
            found = torch.rot90(there, -quarter, dims=(-2, -1))
            torch.testing.assert_close(found.flip(-1) if flip else found, likely, rtol=1e-4, atol=1e-4)
        plain = make_net(name, bands, resolution_m=30, statistics=STATISTICS, arguments={"base": 8, "levels": 1})
        plain.load_state_dict(net.state_dict())
        assert not torch.allclose(plain.eval().likely(batch), likely, atol=1e-4)
        assert torch.equal(plain.glance(batch), net.glance(batch))  # training is judged by one look
