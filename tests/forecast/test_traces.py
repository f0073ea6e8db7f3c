"""What cells show: traces are mapped on the ground as it is at the cut-off, turn with the pixels, and are learned."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from series_world import series_world

from headscarp.core.band import Band
from headscarp.core.domains import TRACE, TRACES, trace_bands
from headscarp.core.errors import StackError
from headscarp.core.stack import band_attrs, feature_bands
from headscarp.nets import make_net
from headscarp.nets.traces import SIGHTS, Traces, TracesAround, cells_of_pixels, trace_nll
from headscarp.sources.world.domains import Look, draw_site
from headscarp.sources.world.domains.simulate import draw_ground
from headscarp.sources.world.domains.stories import CLEARED, traces_at_cutoff
from headscarp.tiles.augment import augment, zoomed
from headscarp.tiles.reader import TileReader, make_batch
from headscarp.tiles.statistics import training_statistics
from headscarp.tiles.tiling import score_tiles

SIDE = 16
PATCH = slice(4, 8)
BANDS = feature_bands(series_world(6))
CLEARED_AT = TRACES.index("cleared")


def mapped_world(count=48, seed=0):
    """The small world with its bare patches mapped at every second place that has one, and nothing but them."""
    stack = series_world(count, seed=seed)
    shares = np.full((count, SIDE, SIDE), np.nan, np.float32)
    shares[:] = 0.0
    shares[::2, PATCH, PATCH] = 1.0
    shares[count // 2 :: 3] = np.nan
    band = trace_bands("a small world")[CLEARED_AT]
    return stack.assign({band.name: (("sample", "y", "x"), shares, band_attrs(band))})


def read(stack, number):
    tile = replace(score_tiles((SIDE, SIDE), SIDE, 0)[0], sample=number)
    return TileReader(stack, BANDS).read(tile), tile


def batch_of(stack):
    return make_batch(*zip(*(read(stack, number) for number in range(stack.sizes["sample"])), strict=True))


def new_net(stack, sight="cells"):
    torch.manual_seed(0)
    statistics = training_statistics(stack, None, BANDS)
    arguments = {"place_px": SIDE, "encoder": "stills", "channels": 8, "drop_frames": 0.2, "sight": sight}
    return make_net("forecast", BANDS, resolution_m=30, statistics=statistics, arguments=arguments)


def test_no_net_reads_traces_and_a_stack_need_not_have_them():
    stack = mapped_world(6)
    assert feature_bands(stack) == BANDS
    assert batch_of(series_world(2)).traces is None
    with pytest.raises(StackError, match="target"):
        TileReader(stack, [Band(TRACE + "cleared", "target", "1")])


def test_what_nobody_mapped_is_missing():
    traces = batch_of(mapped_world(12)).traces
    assert traces.shape == (12, len(TRACES), SIDE, SIDE)
    assert torch.isnan(traces[:, [i for i in range(len(TRACES)) if i != CLEARED_AT]]).all()
    assert (traces[0, CLEARED_AT, PATCH, PATCH] == 1).all()
    assert torch.isnan(traces[6]).all()
    assert torch.isnan(batch_of(mapped_world(4)).without_labels().traces).all()


def test_traces_turn_with_the_pixels():
    pixels, _ = read(mapped_world(4), 0)
    for seed in range(8):
        turned = augment(pixels, BANDS, np.random.default_rng(seed))
        bare = np.nanmin(turned.x[:, [b.name for b in BANDS].index("nir")], axis=0) < 0.2
        assert (turned.traces[CLEARED_AT][bare] == 1).all()
    larger = zoomed(pixels, BANDS, np.random.default_rng(3), most=1.5)
    assert larger.traces.shape == pixels.traces.shape
    assert np.isnan(larger.traces[:, ~larger.valid]).all()


def test_unknown_traces_do_not_count():
    logits, shares = torch.zeros(2, len(TRACES), 4, 4), torch.full((2, len(TRACES), 8, 8), torch.nan)
    assert trace_nll(logits, None) == 0
    assert trace_nll(logits, shares) == 0
    shares[0, 1] = 1.0
    assert float(trace_nll(logits, shares)) == pytest.approx(np.log(2))
    assert float(trace_nll(logits + 50, shares)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("sight", SIGHTS)
def test_a_net_learns_to_see_what_was_mapped_elsewhere(sight):
    held = [batch_of(mapped_world(seed=seed)) for seed in range(3)]
    net = new_net(mapped_world(), sight).train()
    assert net.arguments()["sight"] == sight
    optimiser = torch.optim.Adam(net.parameters(), 5e-3)
    for step in range(60):
        optimiser.zero_grad()
        sum(net.losses(held[step % 3]).values()).backward()
        optimiser.step()
    with torch.no_grad():
        seen = net.eval().outlook(batch_of(series_world(24, seed=9))).traces[:, CLEARED_AT]
    assert seen.shape == (24, SIDE, SIDE)
    assert seen[::2, PATCH, PATCH].mean() > 0.8
    assert seen[1::2].mean() < 0.1
    assert seen[::2, 10:, 10:].mean() < 0.1


def test_pixels_of_one_mean_look_different_and_the_whole_place_has_a_say():
    torch.manual_seed(0)
    even = torch.ones(1, 3, 8, 8)
    checked = even.clone()
    checked[..., ::2, ::2], checked[..., 1::2, 1::2] = 2.0, 0.0
    look = cells_of_pixels(3, 8).eval()
    assert (look(even) - look(checked)).abs().max() > 0.01
    cells = torch.rand(2, 6, 16, 16)
    moved = cells.clone()
    moved[..., -1, -1] += 5
    apart = [
        (net(cells) - net(moved)).abs()[..., 0, 0].max() for net in (Traces(6, 8).eval(), TracesAround(6, 8).eval())
    ]
    assert apart[0] == 0
    assert apart[1] > 0


def test_simulated_traces_are_those_before_the_cut_off():
    look, found = Look(seed=3, side_px=24), set()
    for number in range(21):
        place, story = draw_ground(draw_site("china", number, look), look)
        shows = traces_at_cutoff(story)
        assert tuple(shows) == TRACES
        found |= {name for name, share in shows.items() if share.any()}
        np.testing.assert_array_equal(shows["cleared"] == 1, (story.kind == CLEARED) & (story.day < 0))
        assert all(share.shape == place.shape and share.min() >= 0 and share.max() <= 1 for share in shows.values())
    assert found == set(TRACES)
