"""The contract that every net in the dict keeps, on a small world with a planted rule."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from headscarp.core.band import Band
from headscarp.core.bundle import Bundle, open_bundle, save_bundle
from headscarp.core.domains import CAUSES
from headscarp.core.tile import Tile, Window
from headscarp.nets import NETS, make_net, net_from_bundle, weights_of
from headscarp.nets.batch import Batch
from headscarp.nets.metadata import FEATURES
from headscarp.nets.net import Statistics

pytestmark = pytest.mark.usefixtures("one_thread")

BANDS = (
    Band("elevation", "continuous", "m"),
    Band("slope", "continuous", "degree"),
    Band("aspect", "direction", "degree"),
    Band("rock", "categorical", classes=("marl", "limestone", "flysch")),
    Band("cover", "categorical", classes=("forest", "bare")),
)
STATISTICS = Statistics({"elevation": 500.0, "slope": 20.0}, {"elevation": 80.0, "slope": 10.0}, prevalence=0.2)
ALIGNED = {"aligned": ["slope", "aspect:north", "rock=marl", "cover=no value"]}
ARGUMENTS: dict[str, dict] = {
    "sann": ALIGNED,
    "sacnn": ALIGNED,
    "unet": {"base": 8},
    "deeplab": {"window_px": 64},
    "patch": {"patch_px": 16},
    "anomaly": {"base": 4},
    "spectral": {"of": ["slope", "-elevation"]},
    "vae": {"place_px": 16, "base": 4, "latents": 4},
    "forecast": {"place_px": 16, "channels": 8},
    "kind": {"place_px": 16, "channels": 8, "classes": ["holds", "slides"]},
    "flow": {"base": 4, "levels": 1, "steps": 2, "change": ["slope"], "task": "mining"},
    "direct": {"base": 4, "levels": 1, "change": ["slope"], "task": "mining"},
    "cgan": {"base": 4, "levels": 1, "latents": 3, "change": ["slope"], "task": "mining"},
}
NO_WEIGHTS = {"random", "spectral"}
CANNOT_LEARN = {
    "prevalence": "it is the constant",
    "random": "it is a straw man",
    "patch": "it has 9 patches a tile to learn from here; tests/nets/test_patch.py gives it a rule for patches",
    "anomaly": "it knows no labels; tests/nets/test_anomaly.py plants something abnormal",
    "spectral": "it has nothing to learn",
    "vae": "it knows no labels; tests/forecast/test_vae.py looks at what it rebuilds",
    "forecast": "it judges places by what came later; tests/forecast/test_forecast_laws.py plants a rule for that",
    "kind": "it judges places by their class; tests/forecast/test_kinds.py plants a rule for that",
    "flow": "it learns pictures; tests/scenario/test_future_nets.py plants a task",
    "direct": "it learns pictures; tests/scenario/test_future_nets.py plants a task",
    "cgan": "it learns pictures against a critic; tests/scenario/test_adversarial.py plants a task",
}
MISSING_IS_LEFT_OUT = {
    "spectral": "where a band is missing the others decide; tests/nets/test_spectral_net.py",
    "vae": "what is missing cannot be rebuilt wrongly, so it counts for nothing",
}
JUDGES_PLACES = {
    name: "its labels are of places; tests/forecast"
    for name in NETS
    if NETS[name].judges_places or NETS[name].judges_classes
}
ALL = pytest.mark.parametrize("name", list(NETS))
LOCAL = pytest.mark.parametrize("name", [name for name in NETS if NETS[name].local])
LABELLED = pytest.mark.parametrize("name", [name for name in NETS if NETS[name].needs_labels])


def new_net(name, seed=0):
    torch.manual_seed(seed)
    return make_net(name, BANDS, resolution_m=10, statistics=STATISTICS, arguments=ARGUMENTS.get(name)).eval()


def world(shape, seed=0):
    """x (C, H, W), valid, y: rough ground, gaps, and landslides where it is steep and the rock is flysch."""
    g = np.random.default_rng(seed)
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    waves = [np.sin(rows / 7 + phase) * np.cos(columns / 9 + 2 * phase) for phase in g.uniform(0, 6, 4)]
    elevation = 500 + 80 * waves[0] + g.normal(0, 3, shape)
    slope = np.clip(20 + 12 * waves[1] + g.normal(0, 3, shape), 0, 89)
    rock, cover = np.digitize(waves[2], (-0.8, -0.2, 0.2)), np.digitize(waves[3], (-0.5, 0.3))
    odds = (slope - 26) / 4 + 2.0 * (rock == 3) - 1
    y = (g.random(shape) < 1 / (1 + np.exp(-odds))).astype(np.uint8)
    valid = g.random(shape) > 0.03
    valid[shape[0] // 3 : shape[0] // 3 + 5, shape[1] // 4 : shape[1] // 4 + 9] = False
    x = np.stack([elevation, slope, g.uniform(0, 360, shape), rock, cover]).astype(np.float32)
    x[:3, ~valid], x[3:, ~valid], y[~valid] = np.nan, 0, 255
    return x, valid, y


def batch_of(name, *worlds):
    return given(name, Batch(*(torch.from_numpy(np.stack(part)) for part in zip(*worlds, strict=True))))


def given(name, batch):
    """The batch as the net wants it: nets over time get three frames, and an event where there is a landslide; nets
    that make pictures one that is steeper where there is."""
    if NETS[name].makes_pictures and batch.y is not None:
        after = torch.nan_to_num(batch.x[:, 1:2]) + 5.0 * (batch.y == 1)[:, None]
        return replace(batch, after=after, task=torch.full((len(batch.x),), 3))
    if NETS[name].frames != "needed":
        return batch
    b = len(batch.x)
    days = torch.tensor([-90.0, -30.0, -3.0]).expand(b, 3)
    more = {"days": days, "present": torch.ones(b, 3, dtype=torch.bool), "metadata": torch.zeros(b, 3, len(FEATURES))}
    if batch.y is not None:
        slides = (batch.y == 1).flatten(1).any(1)
        event_days = torch.where(slides, 4.0, float("inf"))
        known = (batch.y != 255).flatten(1).any(1)
        more["event_days"] = torch.where(known, event_days, float("nan"))
        more["causes"] = torch.where(known, 1, 255).to(torch.uint8)[:, None].repeat(1, len(CAUSES))
        more["kind"] = torch.where(known, slides.long(), -1)
    return replace(batch, x=batch.x[:, None].repeat(1, 3, 1, 1, 1), **more)


def tile_batch(name, x, valid, tile):
    """A tile as the reader gives it: mirrored off the raster, and not valid there."""
    window, pad = tile.read_window, 2 * tile.halo + tile.window.height
    mirrored = np.pad(x, ((0, 0), (pad, pad), (pad, pad)), mode="reflect")
    inside = np.pad(valid, pad)
    part = tuple(slice(a + pad, a + pad + n) for a, n in ((window.row, window.height), (window.col, window.width)))
    one = torch.from_numpy(mirrored[:, *part].copy())[None], torch.from_numpy(inside[part].copy())[None]
    return given(name, Batch(*one, tiles=(tile,)))


@ALL
def test_a_net_gives_each_output_within_its_range(name):
    net, batch = new_net(name), batch_of(name, world((48, 64)), world((48, 64), 1))
    with torch.no_grad():
        predicted = net.predict(batch)
    assert predicted.shape == (2, len(net.outputs), 48 // net.stride, 64 // net.stride)
    assert predicted.dtype == torch.float32
    assert predicted.isfinite().all()
    assert len({output.name for output in net.outputs}) == len(net.outputs)
    for plane, output in zip(predicted.unbind(1), net.outputs, strict=True):
        assert output.low <= plane.min()
        assert plane.max() <= output.high


@ALL
def test_the_gradient_reaches_every_parameter(name):
    net = new_net(name).train()
    total = sum(net.losses(batch_of(name, world((48, 48)), world((48, 48), 3))).values())
    assert total.isfinite()
    assert bool(list(net.parameters())) == (name not in NO_WEIGHTS)
    if name not in NO_WEIGHTS:
        total.backward()
    for key, parameter in net.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
        assert parameter.grad.abs().max() > 0, key


@ALL
def test_missing_numbers_mean_the_training_mean(name):
    if name in MISSING_IS_LEFT_OUT:
        pytest.skip(MISSING_IS_LEFT_OUT[name])
    net, (x, valid, y) = new_net(name), world((48, 48))
    filled = x.copy()
    filled[0, ~valid], filled[1, ~valid] = STATISTICS.mean["elevation"], STATISTICS.mean["slope"]
    with torch.no_grad():
        assert torch.equal(net.predict(batch_of(name, (x, valid, y))), net.predict(batch_of(name, (filled, valid, y))))


@ALL
def test_garbage_at_invalid_pixels_changes_nothing_where_a_pixel_is_seen_alone(name):
    net, (x, valid, y) = new_net(name), world((48, 48))
    if net.align > 1:
        pytest.skip("convolutions see their neighbours, which the reader has wiped; their alignment is tested below")
    rubbish = x.copy()
    rubbish[:, ~valid] = np.float32([9999, -77, 1e30, 200, np.inf])[:, None]
    with torch.no_grad():
        clean, dirty = net.predict(batch_of(name, (x, valid, y))), net.predict(batch_of(name, (rubbish, valid, y)))
    assert dirty.isfinite().all()
    assert torch.equal(clean[0, :, valid], dirty[0, :, valid])


@pytest.mark.parametrize("name", ["sann", "sacnn"])
def test_invalid_ground_never_wins_uphill(name):
    net, (x, valid, y) = new_net(name), world((48, 48))
    rubbish = x.copy()
    rubbish[:, ~valid] = np.float32([9999, 89, 45, 1, 2])[:, None]
    aligned = slice(len(net.encode.names), None)
    clean, dirty = (net.dense_features(batch_of(name, (part, valid, y)))[0, aligned] for part in (x, rubbish))
    assert torch.equal(clean, dirty)


@ALL
def test_a_square_of_a_net_begins_where_tiles_begin(name):
    net = new_net(name)
    assert net.align % net.stride == 0
    y = torch.tensor([0, 1, 255], dtype=torch.uint8)[torch.randint(3, (2, 48, 64))]
    wanted = net.targets(y)
    assert wanted.shape == (2, 48 // net.stride, 64 // net.stride)
    assert net.stride > 1 or torch.equal(wanted, y)
    assert (net.targets(torch.full_like(y, 255)) == 255).all()


@ALL
def test_a_net_that_sees_whole_windows_says_how_large_they_are(name):
    net = new_net(name)
    assert (net.window_px is None) == net.local
    assert net.local or net.reach >= net.window_px - 1


@LABELLED
def test_unlabelled_pixels_do_not_count(name):
    if name in JUDGES_PLACES:
        pytest.skip(JUDGES_PLACES[name])
    net, (x, valid, y) = new_net(name), world((48, 48))
    with torch.no_grad():
        p = net.predict(batch_of(name, (x, valid, y)))[0, 0].double().numpy()
        loss = net.losses(batch_of(name, (x, valid, y)))
    said = net.targets(torch.from_numpy(y)[None])[0].numpy()
    expected = -np.log(np.where(said == 1, p, 1 - p))[said != 255].mean()
    assert sum(loss.values()).item() == pytest.approx(expected, rel=1e-5)


@ALL
def test_without_a_pixel_that_counts_the_loss_is_nothing(name):
    net, (x, valid, y) = new_net(name), world((48, 48))
    with torch.no_grad():
        nothing = net.losses(batch_of(name, (x, valid, np.full_like(y, 255))))
    assert sum(nothing.values()).item() == 0


@ALL
def test_a_bundle_gives_the_same_net(name, tmp_path):
    net, batch = new_net(name), batch_of(name, world((48, 48)))
    save_bundle(Bundle(name, net.arguments(), BANDS, 10.0, weights_of(net)), tmp_path / "bundle")
    again = net_from_bundle(open_bundle(tmp_path / "bundle"))
    assert not again.training
    with torch.no_grad():
        assert torch.equal(net.predict(batch), again.predict(batch))
    assert (again.reach, again.align, again.outputs) == (net.reach, net.align, net.outputs)


@ALL
def test_arguments_make_the_net_again(name):
    net = new_net(name)
    arguments = json.loads(json.dumps(net.arguments()))
    again = make_net(name, BANDS, resolution_m=10, statistics=STATISTICS, arguments=arguments)
    assert again.arguments() == net.arguments()
    assert {k: v.shape for k, v in again.state_dict().items()} == {k: v.shape for k, v in net.state_dict().items()}


@ALL
def test_the_same_seed_gives_the_same(name):
    batch = batch_of(name, world((48, 48)))
    with torch.no_grad():
        first, again = new_net(name, seed=4).predict(batch), new_net(name, seed=4).predict(batch)
    assert torch.equal(first, again)


@ALL
def test_tiled_equals_whole(name):
    net = new_net(name)
    x, valid, _ = world((80, 64))
    halo = -(-net.reach // net.align) * net.align
    whole = Tile(Window(0, 0, 80, 64), halo)

    def of_pixels(made):
        return made.repeat_interleave(net.stride, -1).repeat_interleave(net.stride, -2)

    with torch.no_grad():
        expected = of_pixels(net.predict(tile_batch(name, x, valid, whole)))[0, :, halo : halo + 80, halo : halo + 64]
        for row in (0, 48):
            for col in (0, 48):
                tile = Tile(Window(row, col, 48, 48), halo)
                part = of_pixels(net.predict(tile_batch(name, x, valid, tile)))[
                    0, :, halo : halo + 48, halo : halo + 48
                ]
                there = expected[:, row : row + 48, col : col + 48]
                assert (part[:, : there.shape[1], : there.shape[2]] - there).abs().max() <= 1e-5


@LOCAL
def test_nothing_beyond_the_reach_is_seen(name):
    net = new_net(name)
    size = 16 + 2 * (-(-net.reach // 16) * 16) + 32
    first = (size - 16) // 2 // 16 * 16
    x, valid, y = world((size, size))
    other, _, _ = world((size, size), 7)
    inside = np.zeros((size, size), bool)
    inside[first - net.reach : first + 16 + net.reach, first - net.reach : first + 16 + net.reach] = True
    changed = np.where(inside | ~valid, x, np.nan_to_num(other))
    middle = slice(first // net.stride, (first + 16) // net.stride)
    block = (0, slice(None), middle, middle)
    with torch.no_grad():
        kept, seen = net.predict(batch_of(name, (x, valid, y))), net.predict(batch_of(name, (changed, valid, y)))
    assert (kept[block] - seen[block]).abs().max() <= 1e-6


@ALL
def test_a_planted_rule_is_learned(name):
    if name in CANNOT_LEARN:
        pytest.skip(CANNOT_LEARN[name])
    net = new_net(name).train()
    schedule = net.schedule
    make = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}[schedule.optimiser]
    optimiser = make(net.parameters(), lr=schedule.learning_rate, weight_decay=schedule.weight_decay)
    batch, held_out = (
        batch_of(name, *(world((48, 48), seed) for seed in range(1, 7))),
        batch_of(name, world((96, 96), 9)),
    )
    share = (held_out.y == 1).sum() / (held_out.y != 255).sum()
    constant = -(share * share.log() + (1 - share) * (1 - share).log())  # the best that a constant can do there
    for step in range(50):
        optimiser.zero_grad()
        sum(net.train().losses(batch).values()).backward()
        optimiser.step()
        if step % 10 == 9:
            with torch.no_grad():
                learned = sum(net.eval().losses(held_out).values())
            if learned < 0.97 * constant:
                break
    assert learned < 0.97 * constant
