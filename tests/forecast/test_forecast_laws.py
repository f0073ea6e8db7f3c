"""Laws of the forecast net, on a small one trained in seconds on a world where bare soil and rain bring slides."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from series_world import series_world

from headscarp.core.domains import HORIZONS_DAYS, REFLECTANCE
from headscarp.core.errors import RecipeError, StackError
from headscarp.core.stack import feature_bands
from headscarp.nets import make_net
from headscarp.nets.frames import ENCODERS
from headscarp.nets.hazard import Odds, fit_odds, log_odds, probability_of, rates_of, survival_nll, within
from headscarp.nets.places import cut_places, join_places, spread_places
from headscarp.tiles.reader import TileReader, make_batch
from headscarp.tiles.series import with_delay
from headscarp.tiles.statistics import training_statistics
from headscarp.tiles.tiling import score_tiles

pytestmark = pytest.mark.usefixtures("one_thread")

SIDE = 16
BANDS = feature_bands(series_world(6))
OPTICAL = [i for i, band in enumerate(BANDS) if band.name in REFLECTANCE]


def batch_of(seed, count=48):
    stack = with_delay(series_world(count, seed=seed), 0)
    reader = TileReader(stack, BANDS)
    tiles = [replace(score_tiles((SIDE, SIDE), SIDE, 0)[0], sample=i) for i in range(count)]
    return make_batch([reader.read(tile) for tile in tiles], tiles)


def new_net(**arguments):
    torch.manual_seed(0)
    stack = with_delay(series_world(48), 0)
    return make_net(
        "forecast",
        BANDS,
        resolution_m=30,
        statistics=training_statistics(stack, None, BANDS),
        arguments={"place_px": SIDE, "channels": 16, "leave_out": ["cloud", "cloud_share"], **arguments},
    )


@pytest.fixture(scope="module")
def trained():
    net = new_net(metadata="weather").train()
    optimiser = torch.optim.Adam(net.parameters(), 5e-3)
    held = [batch_of(seed) for seed in range(6)]
    for step in range(90):
        loss = sum(net.losses(held[step % len(held)]).values())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    net.eval()
    net.settle([batch_of(100), batch_of(101)])
    return net


def outlook(net, batch):
    with torch.no_grad():
        return net.outlook(batch)


def test_bare_and_wet_places_slide(trained):
    batch = batch_of(200)
    hazards = outlook(trained, batch).hazards[:, HORIZONS_DAYS.index(30)]
    bare = torch.arange(48) % 2 == 0
    assert hazards[bare].mean() > 2 * hazards[~bare].mean()
    assert outlook(trained, batch).causes[bare, 2].mean() > 0.6


def test_no_hazard_falls_with_its_horizon(trained):
    hazards = outlook(trained, batch_of(200)).hazards
    assert (hazards.diff(dim=1) >= 0).all()
    assert hazards.min() >= 0
    assert hazards.max() <= 1


def test_clouding_a_frame_lowers_its_attention(trained):
    batch = batch_of(200)
    clear = batch.present & (batch.x[:, :, OPTICAL[0]].mean(dim=(-2, -1)).nan_to_num(9) < 0.3)
    before, changes = outlook(trained, batch).attention, []
    for slot in (0, 2):
        x = batch.x.clone()
        x[:, slot, OPTICAL] = 0.6 + 0.05 * torch.randn(x[:, slot, OPTICAL].shape)
        clouded = torch.where(clear[:, slot].view(-1, 1, 1, 1, 1), x, batch.x)
        after = outlook(trained, replace(batch, x=clouded)).attention
        changes.append((after - before)[clear[:, slot], slot])
    changes = torch.cat(changes)
    assert (changes < 0).float().mean() > 0.8


def test_clouding_a_useless_frame_moves_the_probability_less_than_the_precursor_does(trained):
    batch = batch_of(200)
    bare = torch.arange(48) % 2 == 0
    optical = torch.isfinite(batch.x[:, :, OPTICAL[0], 0, 0]) & batch.present
    clouded = optical & (batch.x[:, :, OPTICAL[0]].mean(dim=(-2, -1)).nan_to_num(0) > 0.3)
    seen_later = (optical & ~clouded)[:, 2:].any(dim=1)
    oldest = torch.zeros_like(clouded)
    oldest[:, 0] = optical[:, 0] & ~clouded[:, 0] & seen_later

    def moved(frames):
        clouds = 0.6 + 0.05 * torch.randn(batch.x.shape, generator=torch.Generator().manual_seed(0))
        at = (
            frames[:, :, None, None, None]
            & torch.isin(torch.arange(batch.x.shape[2]), torch.tensor(OPTICAL))[:, None, None]
        )
        said = outlook(trained, replace(batch, x=torch.where(at, clouds, batch.x))).hazards
        rows = frames.any(dim=1)
        return (said - outlook(trained, batch).hazards)[rows, HORIZONS_DAYS.index(30)].abs().mean(), int(rows.sum())

    x = batch.x.clone()
    x[bare, :, :, 4:8, 4:8] = batch.x[bare, :, :, 9:13, 9:13]
    k = HORIZONS_DAYS.index(30)
    precursor = (outlook(trained, replace(batch, x=x)).hazards - outlook(trained, batch).hazards)[bare, k].abs().mean()
    for frames in (clouded, oldest):  # clouds over clouds, and over what a later frame shows as well
        change, count = moved(frames)
        assert count >= 8
        assert change < 0.1 * precursor


def test_what_quality_calls_cloud_moves_nothing():
    net, batch = new_net(leave_out=[]).eval(), batch_of(7, 12)
    quality = [band.name for band in BANDS].index("cloud")
    x = batch.x.clone()
    x[:, 0, quality] = 2
    clouded = replace(batch, x=x)
    brighter = x.clone()
    brighter[:, 0, OPTICAL] += 0.3
    plain, other = (outlook(net, b) for b in (clouded, replace(batch, x=brighter)))
    for name in ("hazards", "causes", "where", "attention"):
        torch.testing.assert_close(getattr(other, name), getattr(plain, name), rtol=1e-5, atol=1e-6)


def test_taking_the_precursor_away_lowers_the_hazard(trained):
    batch = batch_of(200)
    bare = (torch.arange(48) % 2 == 0).nonzero()[:, 0]
    x = batch.x.clone()
    x[bare, :, :, 4:8, 4:8] = batch.x[bare, :, :, 9:13, 9:13]  # the ground beside it, green
    k = HORIZONS_DAYS.index(30)
    with_it, without = (outlook(trained, replace(batch, x=v)).hazards[bare, k] for v in (batch.x, x))
    assert (without < with_it).float().mean() > 0.9
    assert without.mean() < 0.7 * with_it.mean()


def test_a_slide_would_be_where_it_is_bare(trained):
    where = outlook(trained, batch_of(200)).where[::2]
    assert where[:, 4:8, 4:8].mean() > 3 * where[:, 10:, 10:].mean()


@pytest.mark.parametrize("encoder", list(ENCODERS))
def test_empty_slots_and_the_order_of_slots_change_nothing(encoder):
    net, batch = new_net(encoder=encoder).eval(), batch_of(7, 12)
    plain = outlook(net, batch)
    order = torch.tensor([3, 0, 4, 2, 1])
    empty = torch.full((12, 3, *batch.x.shape[2:]), 777.0)
    padded = {
        "x": torch.cat([empty, batch.x], 1),
        "days": torch.cat([torch.full((12, 3), float("nan")), batch.days], 1),
        "present": torch.cat([torch.zeros(12, 3, dtype=torch.bool), batch.present], 1),
        "metadata": torch.cat([batch.metadata[:, :1].expand(-1, 3, -1), batch.metadata], 1),
    }
    shuffled = {name: getattr(batch, name)[:, order] for name in padded}
    for change, slots in ((padded, slice(3, None)), (shuffled, order.argsort())):
        found = outlook(net, replace(batch, **change))
        torch.testing.assert_close(found.hazards, plain.hazards, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(found.where, plain.where, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(found.attention[:, slots], plain.attention, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("encoder", list(ENCODERS))
def test_other_days_give_another_answer(encoder):
    net, batch = new_net(encoder=encoder).eval(), batch_of(7, 6)
    assert not torch.allclose(
        outlook(net, batch).hazards, outlook(net, replace(batch, days=batch.days - 150)).hazards, rtol=1e-4
    )


def test_a_missing_sensor_one_frame_or_none_is_answered(trained):
    batch = batch_of(200)
    optical = torch.isfinite(batch.x[:, :, OPTICAL[0]]).flatten(2).any(2)
    one = torch.zeros_like(batch.present)
    one[:, 0] = True
    nothing = torch.zeros_like(one)
    for kept in (batch.present & optical, batch.present & ~optical, one, nothing):
        found = outlook(trained, replace(batch, present=kept))
        assert all(v.isfinite().all() for v in vars(found).values())
        assert found.attention[~kept].abs().max() == 0 if (~kept).any() else True
        assert (found.attention.sum(dim=1) <= 1 + 1e-5).all()


def test_clouds_everywhere_leave_little_confidence(trained):
    batch = batch_of(200)
    x = batch.x.clone()
    x[:, :, OPTICAL] = torch.where(x[:, :, OPTICAL].isnan(), torch.nan, 0.6)
    blind = replace(batch, x=x, present=batch.present & torch.isfinite(x[:, :, OPTICAL[0], 0, 0]))
    clear, clouded = (outlook(trained, b).confidence.mean() for b in (batch, blind))
    assert clouded < clear


def test_what_is_unlike_training_is_trusted_less(trained):
    batch = batch_of(200)
    strange = replace(batch, x=batch.x * 6 + 3)
    usual, odd = (outlook(trained, b) for b in (batch, strange))
    assert usual.familiarity.median() > 0.15
    assert odd.familiarity.max() < 0.05
    nothing = outlook(trained, replace(batch, present=torch.zeros_like(batch.present)))
    assert nothing.confidence.mean() < usual.confidence.mean()
    assert odd.confidence.mean() < usual.confidence.mean()


def test_rates_of_places_side_by_side_add_up():
    net, batch = new_net().eval(), batch_of(3, 4)
    x, valid = (torch.cat([v, v], -1) for v in (batch.x, batch.valid))
    wide = replace(batch, x=x, valid=valid, tiles=())
    with torch.no_grad():
        one, two = (net.judged(b, net.predict(b))[0] for b in (batch, wide))
    torch.testing.assert_close(two, 1 - (1 - one) ** 2, rtol=1e-4, atol=1e-6)


def test_the_likelihood_is_that_of_the_interval():
    rates = rates_of(torch.zeros(3, 5))
    r = float(rates[0, 0])
    event_days = torch.tensor([2.0, float("inf"), float("nan")])
    expected = (r - np.log(-np.expm1(-r)) + 5 * r) / 2
    assert float(survival_nll(rates, event_days, HORIZONS_DAYS)) == pytest.approx(expected, rel=1e-5)
    assert within(event_days, HORIZONS_DAYS).tolist() == [[0, 1, 1, 1, 1], [0] * 5, [255] * 5]


def drawn_places(count=400):
    rng = np.random.default_rng(0)
    true = torch.tensor(rng.gamma(1.0, 0.2, (count, 1))) * torch.tensor([[0.2, 0.5, 1.0]])
    came = torch.tensor(rng.random((count, 1)) < probability_of(true).numpy())
    return true, came.to(torch.uint8)


def test_calibration_mends_rates_that_are_too_small():
    true, labels = drawn_places()
    numbers = fit_odds(true / 3, labels)
    assert numbers.shape == (3, 2)
    assert numbers[:, 0].numpy() == pytest.approx(1, abs=0.25)
    odds = Odds(3)
    assert torch.allclose(odds(true), true.cummax(dim=1).values)  # nothing, before it is fitted
    odds.fit(true / 3, labels)
    for k in range(3):
        assert probability_of(odds(true / 3))[:, k].mean() == pytest.approx(
            float(labels[:, k].float().mean()), abs=0.02
        )


def test_powers_of_horizons_stay_together_unless_places_tell_otherwise():
    timid, came = (part.repeat(1, 1) for part in drawn_places(4000))
    timid[:, 2] = torch.nn.functional.softplus(log_odds(timid[:, 2]) / 2)  # half as bold within the longest horizon
    power = fit_odds(timid, came)[:, 0]
    few = fit_odds(timid[:100], came[:100])[:, 0]
    assert power[2] > 1.4 * power[0]
    assert few[2] / few[0] < power[2] / power[0]


def test_calibration_is_left_alone_where_nothing_tells_and_never_turns_horizons_round():
    true, labels = drawn_places()
    nothing = torch.tensor([[1.0, 0.0]]).repeat(3, 1)
    assert torch.equal(fit_odds(true, torch.zeros_like(labels)), nothing)
    assert torch.equal(fit_odds(true, torch.full_like(labels, 255)), nothing)
    one = torch.zeros_like(labels)
    one[7] = 1  # a single event moves shifts, not powers
    assert torch.equal(fit_odds(true, one)[:, 0], nothing[:, 0])
    odds = Odds(3)
    odds.numbers.copy_(torch.tensor([[1.0, 3.0], [1.0, 0.0], [2.0, -1.0]]))
    assert (odds(true).diff(dim=1) >= 0).all()
    assert torch.isfinite(odds(torch.tensor([[0.0, 1e-9, 500.0]]))).all()


def test_weights_from_before_load_and_say_what_they_said():
    net, batch = new_net().eval(), batch_of(3, 8)
    old = {name: value for name, value in net.state_dict().items() if not name.startswith("odds.")}
    other = new_net().eval()
    other.odds.numbers.fill_(2.0)
    other.load_state_dict(old)
    assert torch.equal(other.predict(batch), net.predict(batch))


def test_cutting_places_and_joining_them_is_nothing():
    x = torch.arange(2 * 3 * 4 * 8.0).view(2, 3, 4, 8)
    assert torch.equal(join_places(cut_places(x, 2), (4, 8)), x)
    spread = spread_places(torch.arange(16.0)[:, None], (4, 8), 2)
    assert torch.equal(cut_places(spread, 2)[:, 0, 0, 0], torch.arange(16.0))
    with pytest.raises(StackError, match="divisor"):
        cut_places(x, 3)


def test_what_cannot_be_is_refused():
    with pytest.raises(RecipeError, match="encoder"):
        new_net(encoder="lstm")
    with pytest.raises(RecipeError, match=r"sight .*cells, pixels"):
        new_net(sight="far")
    with pytest.raises(RecipeError, match="place_px"):
        new_net(place_px=20)
    with pytest.raises(RecipeError, match="metadata"):
        new_net(metadata="some")
    batch = batch_of(1, 2)
    with pytest.raises(StackError, match="reads frames"):
        new_net().predict(replace(batch, x=batch.x[:, 0]))
