"""Laws of how wide futures are drawn: 1 changes nothing, more is wider, and validation places alone decide."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scenes import asks, build_scenes
from test_future_nets import IDENTITY, MINING, RAIN, new_net, world

from headscarp.core.bundle import open_bundle
from headscarp.core.errors import BundleError, RecipeError
from headscarp.core.tile import Tile, Window
from headscarp.nets import net_from_bundle
from headscarp.nets.flow import Flow
from headscarp.tiles.splits import split_from_json
from headscarp.train.config import FitConfig
from headscarp.train.fit import fit
from headscarp.train.guess import guess_of
from headscarp.train.spread import FACTORS, best_factor, choose_spread, with_spread

pytestmark = pytest.mark.usefixtures("one_thread")

BY_CHANCE = pytest.mark.parametrize("name", ["flow", "cgan"])
ARGUMENTS = {"flow": {"base": 4, "levels": 1, "steps": 2}, "cgan": {"base": 4, "levels": 1, "latents": 2}}


def ones(name, factor=1.0):
    return [factor] * (2 if name == "flow" else 1)


def drawn(net, batch, many=6):
    with torch.no_grad():
        return torch.stack(list(net.imagined(batch, range(many))))


@BY_CHANCE
def test_a_factor_of_one_leaves_every_bit_as_it_was(name):
    batch = world(2, 0)
    plain, told = new_net(name), new_net(name, spread={"mining": ones(name)})
    assert torch.equal(drawn(plain, batch), drawn(told, batch))
    assert "spread" not in plain.arguments()


@BY_CHANCE
def test_more_is_wider_and_nothing_is_one_future(name):
    batch = world(2, 0)
    spread = [
        float(drawn(new_net(name, spread={"mining": ones(name, factor)}), batch).std(dim=0).mean())
        for factor in (0.0, 0.5, 1.0, 2.0)
    ]
    assert spread[0] < 1e-6
    assert spread == sorted(spread)
    assert spread[3] > 1.2 * spread[2]


@BY_CHANCE
def test_each_task_has_a_factor_of_its_own(name):
    net, plain = new_net(name, spread={"mining": ones(name, 2.0)}), new_net(name)
    batch = replace(world(3, 0), task=torch.tensor([MINING, RAIN, IDENTITY]))
    wide, narrow = drawn(net, batch), drawn(plain, batch)
    assert torch.equal(wide[:, 1:], narrow[:, 1:])
    assert not torch.equal(wide[:, 0], narrow[:, 0])


@BY_CHANCE
def test_wide_futures_belong_to_places_whatever_the_tile_and_the_order(name):
    net, batch = new_net(name, spread={"mining": ones(name, 1.5)}), world(1, 0, side=64)
    tile = Tile(Window(16, 16, 32, 32), 16, sample=0)
    cut = replace(batch, x=batch.x[..., 0:64, 0:64], tiles=(tile,), valid=batch.valid, y=None, after=None)
    with torch.no_grad():
        one, other = (net.picture(batch, 3), list(net.pictures(cut, (5, 3)))[1])
    inner = slice(28, 36)
    torch.testing.assert_close(one[..., inner, inner], other[..., inner, inner], rtol=1e-4, atol=1e-5)


def test_the_spread_of_flow_has_two_kinds_of_chance():
    batch = world(2, 0)
    near, far = (drawn(new_net("flow", spread={"mining": of}), batch) for of in ([2.0, 1.0], [1.0, 2.0]))
    assert not torch.equal(near, far)


@BY_CHANCE
def test_factors_that_cannot_be_are_refused(name):
    for spread, words in (({"mining": [1.0] * 3}, "give"), ({"mining": ones(name, -1.0)}, "from 0 to 10")):
        with pytest.raises(RecipeError, match=words):
            new_net(name, spread=spread)
    with pytest.raises(RecipeError, match="ploughing"):
        new_net(name, spread={"ploughing": ones(name)})


def test_extents_that_follow_all_places_listen_to_the_place_as_far_as_they_should():
    net, batch = (
        new_net("flow", shrink={"mining": 0.25}),
        replace(world(3, 0), task=torch.tensor([MINING, MINING, RAIN])),
    )
    x, said = torch.randn(3, 6, 16, 16), torch.randn(3, 6, 16, 16)
    said[1, :3], x[1] = said[0, :3], x[0]
    made = net._shrunk(batch, x, said, 0.4)
    assert torch.equal(made[:, :3], said[:, :3])
    assert torch.equal(made[2], said[2])
    torch.testing.assert_close(made[0, 3:] - made[1, 3:], 0.75 * (said[0, 3:] - said[1, 3:]))
    assert net.arguments()["shrink"] == {"mining": 0.25}
    assert "shrink" not in new_net("flow").arguments()


def test_shares_that_cannot_be_are_refused():
    for share in (-0.1, 1.5):
        with pytest.raises(RecipeError, match="from 0 to 1"):
            new_net("flow", shrink={"mining": share})
    with pytest.raises(RecipeError, match="ploughing"):
        new_net("flow", shrink={"ploughing": 1.0})


def scored(area, ndvi, held_area, held_ndvi):
    return {"crps_area": area, "crps_ndvi": ndvi, "coverage_80_area": held_area, "coverage_80_ndvi": held_ndvi}


def test_the_best_factor_scores_well_and_then_holds_rightly():
    narrow, right = scored(0.1, 0.05, 0.5, 0.5), scored(0.1, 0.05, 0.8, 0.78)
    wide, bad = scored(0.1, 0.05, 0.97, 0.99), scored(0.13, 0.05, 0.8, 0.8)
    assert best_factor({1.0: narrow, 1.25: right, 1.5: wide}) == 1.25
    assert best_factor({1.0: narrow, 1.25: bad}) == 1.0  # rightly held, but said worse
    assert best_factor({1.0: narrow, 1.25: scored(0.08, 0.05, 0.5, 0.5), 1.5: right}) == 1.25  # said better
    assert best_factor(dict.fromkeys(FACTORS, narrow)) == 1.0
    assert best_factor({0.0: narrow, 0.5: right, 1.0: wide}) == 0.5  # shares count from the first one, too
    assert best_factor(dict.fromkeys(FACTORS, scored(0.0, 0.02, 1.0, 0.8))) == 1.0  # nothing changes under no_change


@pytest.fixture
def drawn_as(monkeypatch):
    """Lets dials be turned by what a function says of how futures of a task are drawn; and what was asked."""
    asked = []

    def of(told, net, scenes, split, areas=None):
        def means(self, how):
            asked.extend((task, dict(of)) for task, of in how.items())
            return {task: told(task, of) for task, of in how.items()}

        monkeypatch.setattr("headscarp.train.spread._Trials.of", means)
        if areas is not None:
            net.keep_areas(areas)
        choose_spread(net, scenes, split, net.bands)
        return asked

    return of


def test_each_dial_is_turned_as_long_as_futures_get_better(trained, drawn_as):
    path, scenes = trained
    net, split = net_from_bundle(open_bundle(path)), split_from_json(open_bundle(path).split)
    flow = isinstance(net, Flow)

    def told(task, how):
        if not flow:
            return scored(0.1, 0.05, 0.5, 0.5 + 0.15 * (min(how["z"], 2.0) - 1) * (task == "mining"))
        held = 0.8 - abs(0.4 - how.get("strength", 0)) if task == "mining" else 0.8 - abs(2 - how["planes"]) / 5
        return scored(0.1, 0.05, 0.8 - abs(1.2 - how["share"]) if task == "mining" else 0.8, held)

    areas = {"mining": asks(0.1, 0.6)} if flow else None
    asked = drawn_as(told, net, scenes, split, areas)
    if not flow:
        assert net.spread == {"mining": [2.0]}
        assert [task for task, how in asked if how["z"] > 2] == ["mining"]
        return
    assert net.areas == {"mining": asks(0.1, 0.6, wide=1.2, strength=0.4)}
    assert net.spread == {"deforestation": [2.0, 1.0], "no_change": [2.0, 1.0]}
    assert net.shrink == {}
    assert {how["strength"] for task, how in asked if task != "mining"} == {0.0}
    assert {how["planes"] for task, how in asked if task == "mining"} == {1.0}
    assert max(how["shrink"] for _, how in asked) == 0.5  # nobody took it, so more was not asked for


@pytest.fixture(scope="module", params=["flow", "cgan"])
def trained(tmp_path_factory, request):
    folder = tmp_path_factory.mktemp("trained")
    scenes = build_scenes(folder / "scenes.zarr")
    config = FitConfig(epochs=1, workers=1, calibration="none", net_arguments=ARGUMENTS[request.param])
    fit(scenes, net=request.param, out=folder / "net", config=config)
    return folder / "net", scenes.load()


def test_only_validation_places_decide(trained):
    path, scenes = trained
    chosen = with_spread(path, scenes)
    others = {p.sample for part in ("train", "test") for p in split_from_json(chosen.split).part(part)}
    poisoned = scenes.copy(deep=True)
    for name in ("after_red", "after_nir"):
        poisoned[name][sorted(others)] = np.float32(0.9)
    poisoned["changed"][sorted(others)] = 1
    again = with_spread(path, poisoned)
    assert again.arguments == chosen.arguments
    assert again.metrics == chosen.metrics
    assert {row["part"] for row in chosen.metrics} == {"validation"}


def test_the_guess_of_a_flow_is_a_bundle_of_direct(trained):
    path, scenes = trained
    if open_bundle(path).net != "flow":
        with pytest.raises(BundleError, match="makes no guess"):
            guess_of(path, scenes)
        return
    alone, net = guess_of(path, scenes), net_from_bundle(open_bundle(path))
    x = torch.tensor(np.stack([scenes[b.name].to_numpy()[:2] for b in alone.bands], axis=1))
    batch = replace(world(2, 0), x=x, after=None, y=None)
    with torch.no_grad():
        assert torch.equal(
            next(net_from_bundle(alone).imagined(batch)), net.guess(net.features(batch), net.told(batch)).float()
        )
    assert alone.net == "direct"
    assert {row["net"] for row in alone.metrics} == {"direct"}
    assert {row["part"] for row in alone.metrics} == {"validation"}


def test_a_bundle_without_factors_draws_as_it_did_and_keeps_its_weights(trained):
    path, scenes = trained
    plain, wide = open_bundle(path), with_spread(path, scenes)
    assert "spread" not in plain.arguments
    assert all(np.array_equal(plain.weights[name], wide.weights[name]) for name in plain.weights)
    batch = replace(world(1, 0), x=torch.tensor(np.stack([scenes[b.name].to_numpy()[:1] for b in plain.bands], axis=1)))
    spread = {"mining": ones(plain.net, 2.0)}
    told = replace(plain, arguments={**plain.arguments, "spread": spread})
    assert not torch.equal(drawn(net_from_bundle(plain), batch), drawn(net_from_bundle(told), batch))
    back = replace(told, arguments={**told.arguments, "spread": {"mining": ones(plain.net)}})
    assert torch.equal(drawn(net_from_bundle(plain), batch), drawn(net_from_bundle(back), batch))


def test_fit_chooses_unless_calibration_is_none(trained, tmp_path, monkeypatch):
    path, scenes = trained
    looked = []
    monkeypatch.setattr(
        "headscarp.train.spread.choose_spread",
        lambda net, *_: (
            looked.append(1) or setattr(net, "spread", {"mining": ones(net.__class__.__name__.lower(), 2.0)})
        ),
    )
    net = open_bundle(path).net
    config = FitConfig(epochs=1, workers=1, net_arguments=ARGUMENTS[net])
    made = fit(scenes, net=net, out=tmp_path / "net", config=config)
    assert looked == [1]
    assert made.arguments["spread"] == {"mining": ones(net, 2.0)}


def test_a_net_without_chance_has_no_spread(tmp_path):
    scenes = build_scenes(tmp_path / "scenes.zarr")
    config = FitConfig(epochs=1, workers=1, net_arguments={"base": 4, "levels": 1})
    fit(scenes, net="direct", out=tmp_path / "net", config=config)
    with pytest.raises(BundleError, match="take flow or cgan"):
        with_spread(tmp_path / "net", scenes)
