"""Laws of nets that draw futures from a series of frames: the newest clear value is what a future departs from; what is
not seen, not there, or not yet there changes nothing."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from test_future_nets import BANDS, MINING, SMALL, STATISTICS

from headscarp.core.band import Band
from headscarp.core.domains import CLOUD, CLOUD_CLASSES, REFLECTANCE
from headscarp.core.errors import StackError
from headscarp.core.scenarios import AFTER, TASKS
from headscarp.core.tile import Tile, Window
from headscarp.imagery.clouds import clear_looks, hide
from headscarp.imagery.composites import latest
from headscarp.nets import make_net
from headscarp.nets.batch import Batch
from headscarp.sources.world.domains import Look, draw_scene, simulate_future

pytestmark = pytest.mark.usefixtures("one_thread")

FRAMED = tuple(replace(band, optional=band.name != "slope") for band in BANDS)
EACH = pytest.mark.parametrize("name", ["flow", "direct", "cgan"])
LOOK = Look(seed=2, frames=6, side_px=24, series=6)
QUALITY = Band(CLOUD, "categorical", classes=CLOUD_CLASSES)


def new_net(name, **more):
    torch.manual_seed(1)
    steps = {"steps": 2} if name == "flow" else {}
    arguments = {**SMALL, **steps, "frames": 4, **more}
    net = make_net(name, FRAMED, resolution_m=30, statistics=STATISTICS, arguments=arguments).eval()
    torch.nn.init.normal_(net.unet.entry.first.weight, std=0.1)  # what the past adds is nothing until it is learned
    return net


def series(count=2, side=16, slots=4, seed=0, task=MINING):
    """Places with clouds (NaN) over a third of each frame, each on a day of its own."""
    rng = np.random.default_rng(seed)
    x = np.concatenate(
        [rng.normal(0.1, 0.03, (count, slots, 1, side, side)), rng.normal(0.3, 0.05, (count, slots, 1, side, side)),
         np.broadcast_to(rng.normal(20, 10, (count, 1, 1, side, side)), (count, slots, 1, side, side))], axis=2,
    )  # fmt: skip
    clouds = rng.random((count, slots, side, side)) < 0.3
    for band in (0, 1):
        x[:, :, band][clouds] = np.nan
    days = np.sort(-rng.permuted(np.tile(np.arange(1, 300), (count, 1)), axis=1)[:, :slots], axis=1)
    tiles = tuple(Tile(Window(0, 0, side, side), 0, sample) for sample in range(count))
    return Batch(
        torch.tensor(x, dtype=torch.float32), torch.ones((count, side, side), dtype=torch.bool), tiles=tiles,
        days=torch.tensor(days, dtype=torch.float32), present=torch.ones((count, slots), dtype=torch.bool),
        task=torch.full((count,), task),
    )  # fmt: skip


def newest(batch):
    """(B, 2, H, W) by the project's own rule, frame after frame."""
    x = batch.x[:, :, :2].numpy()
    return torch.from_numpy(
        np.stack([latest(frames[np.argsort(d)]) for frames, d in zip(x, batch.days.numpy(), strict=True)])
    )


def drawn(net, batch, number=1):
    with torch.no_grad():
        return net.picture(batch, number)


def slots(batch, order):
    return replace(batch, x=batch.x[:, order], days=batch.days[:, order], present=batch.present[:, order])


@EACH
def test_what_the_task_does_not_touch_is_the_newest_clear_value(name):
    net, batch = new_net(name), series(task=TASKS.index("identity"))
    want, made = newest(batch), drawn(net, batch)
    seen = torch.isfinite(want).all(dim=1, keepdim=True).expand_as(want)
    assert torch.equal(made[:, :2][seen], want[seen])
    assert torch.equal(net.as_picture(batch).valid, torch.isfinite(want).all(dim=1))


@EACH
def test_clouding_a_frame_brings_the_newest_value_below_it_and_leaves_the_rest(name):
    net, batch = new_net(name), series(task=TASKS.index("identity"))
    clouded = batch.x.clone()
    clouded[:, -1, :2, 4:12, 4:12] = float("nan")
    clouded = replace(batch, x=clouded)
    one, other, want = drawn(net, batch), drawn(net, clouded), newest(clouded)
    hole = torch.zeros(16, 16, dtype=torch.bool)
    hole[4:12, 4:12] = True
    assert torch.equal(one[..., ~hole], other[..., ~hole])
    seen = torch.isfinite(want).all(dim=1, keepdim=True).expand_as(want)
    assert torch.equal(other[:, :2][seen], want[seen])


@EACH
def test_the_order_of_slots_changes_nothing(name):
    net, batch = new_net(name), series()
    assert torch.equal(drawn(net, batch), drawn(net, slots(batch, [2, 0, 3, 1])))


@EACH
def test_empty_slots_change_nothing(name):
    net, batch = new_net(name), series()
    more = torch.cat([batch.x, torch.full_like(batch.x[:, :2], 0.7)], dim=1)
    more[:, 4:, 2] = batch.x[:, :2, 2]
    days = torch.cat([batch.days, torch.full((2, 2), float("nan"))], dim=1)
    present = torch.cat([batch.present, torch.zeros((2, 2), dtype=torch.bool)], dim=1)
    assert torch.equal(drawn(net, batch), drawn(net, replace(batch, x=more, days=days, present=present)))


@EACH
def test_a_frame_that_shows_nothing_changes_nothing(name):
    net, batch = new_net(name), series()
    hidden = torch.cat([batch.x, batch.x[:, :1]], dim=1)
    hidden[:, 4, :2] = float("nan")
    days = torch.cat([batch.days, torch.full((2, 1), -0.5)], dim=1)
    present = torch.cat([batch.present, torch.ones((2, 1), dtype=torch.bool)], dim=1)
    assert torch.equal(drawn(net, batch), drawn(net, replace(batch, x=hidden, days=days, present=present)))


@EACH
@pytest.mark.parametrize("count", [1, 2, 7])
def test_any_number_of_frames_is_read(name, count):
    made = drawn(new_net(name), series(slots=count))
    assert made.isfinite().all()
    assert made.shape == (2, 3, 16, 16)


@EACH
def test_the_past_steers_and_not_the_newest_picture_alone(name):
    net, batch = new_net(name), series()
    older = batch.x.clone()
    older[:, 0, :2] += 0.2
    seen_later = torch.isfinite(batch.x[:, 1:, :2]).any(dim=1, keepdim=True)
    older[:, :1, :2] = torch.where(seen_later, older[:, :1, :2], batch.x[:, :1, :2])
    changed = replace(batch, x=older)
    assert torch.equal(torch.nan_to_num(newest(batch)), torch.nan_to_num(newest(changed)))
    assert not torch.equal(drawn(net, batch), drawn(net, changed))


@EACH
def test_tiles_of_a_series_make_the_whole(name):
    net, side = new_net(name), 32
    halo = -(-net.reach // net.align) * net.align
    world = series(1, side + 2 * halo, seed=3)

    def of(window):
        rows, cols = (slice(a, a + n + 2 * halo) for a, n in ((window.row, window.height), (window.col, window.width)))
        tile = Tile(window, halo)
        part = replace(world, x=world.x[..., rows, cols], valid=world.valid[:, rows, cols], tiles=(tile,))
        return drawn(net, part)[..., halo:-halo, halo:-halo]

    whole = of(Window(0, 0, side, side))
    for row in (0, 16):
        for col in (0, 16):
            part = of(Window(row, col, 16, 16))
            assert (part - whole[..., row : row + 16, col : col + 16]).abs().max() <= 1e-5


def test_a_net_of_series_and_one_of_pictures_are_not_taken_for_each_other():
    picture = series()
    with pytest.raises(StackError, match="has one and this net reads frames in time"):
        new_net("flow").predict(replace(picture, x=picture.x[:, 0]))
    with pytest.raises(StackError, match="has frames in time and this net reads one picture"):
        new_net("flow", frames=0).predict(picture)
    with pytest.raises(StackError, match="red, nir of the stack has no frames"):
        make_net("direct", BANDS, resolution_m=30, statistics=STATISTICS, arguments={**SMALL, "frames": 3})
    assert "frames" not in new_net("direct", frames=0).arguments()


@pytest.mark.parametrize("task", TASKS)
def test_simulated_series_depart_from_the_newest_clear_value_and_differ_where_the_task_was_done(task):
    done, unseen = [], []
    for number in range(4):
        made = simulate_future(draw_scene("andes", number, LOOK), LOOK, task, 0)
        frames = np.stack([made[name] for name in REFLECTANCE], axis=1)
        before = latest(hide(frames, clear_looks(made[CLOUD], QUALITY)))
        after = np.stack([made[AFTER + name] for name in REFLECTANCE])
        assert np.array_equal(np.isfinite(before), np.isfinite(after))
        there, changed = np.isfinite(before).all(axis=0), made["changed"] == 1
        apart = np.abs(after - before).max(axis=0)
        if task != "no_change":
            assert apart[there & ~changed].max(initial=0) == 0
        done.append(changed.mean())
        unseen.append(1 - there.mean())
        if (there & changed).any():
            assert (apart[there & changed] > 0).mean() > 0.95
        days = made["days"][np.isfinite(made["days"])]
        assert (days < 0).all()
        assert (np.diff(days) > 0).all()
    assert (max(done) > 0.03) == (task not in ("identity", "no_change"))
    assert np.mean(unseen) < 0.5


def test_what_was_before_knows_nothing_of_the_task_and_single_pictures_are_what_they_were():
    site = draw_scene("china", 3, LOOK)
    made = [simulate_future(site, LOOK, task, future) for task in TASKS for future in range(2)]
    for name in (*REFLECTANCE, CLOUD, "days", "elevation", "slope"):
        assert len({one[name].tobytes() for one in made}) == 1
    assert len({one["changed"].tobytes() for one in made}) > 5
    single = replace(LOOK, series=0)
    assert np.array_equal(
        simulate_future(site, single, "mining", 1)["changed"], simulate_future(site, LOOK, "mining", 1)["changed"]
    )
