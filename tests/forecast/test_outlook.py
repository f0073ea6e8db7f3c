"""What a forecast says of one place: the numbers are those of the net, the interval holds them, and a picture."""

import numpy as np
import pytest
import torch
from series_world import series_world
from typer.testing import CliRunner

from headscarp.cli import app
from headscarp.core.bundle import Bundle, save_bundle
from headscarp.core.errors import BundleError
from headscarp.core.stack import feature_bands
from headscarp.evaluation.places import run_places, samples_of
from headscarp.explain.outlook import outlook_of
from headscarp.nets import make_net, net_from_bundle, weights_of
from headscarp.tiles.splits import split_regions
from headscarp.tiles.statistics import training_statistics
from headscarp.train.ensemble import ensemble


@pytest.fixture(scope="module")
def stack():
    return series_world(24)


def bundle_of(stack, seed=0, **arguments):
    bands = feature_bands(stack)
    torch.manual_seed(seed)
    statistics = training_statistics(stack, None, bands)
    arguments = {"place_px": 16, "channels": 8, **arguments}
    net = make_net("forecast", bands, resolution_m=30, statistics=statistics, arguments=arguments)
    rows = ({"net": "forecast", "part": "validation", "metric": "set_cut", "value": 0.4},)
    return Bundle("forecast", net.arguments(), bands, 30.0, weights_of(net), metrics=rows)


def test_the_numbers_are_those_of_the_net_and_the_interval_holds_them(stack):
    bundle, split = bundle_of(stack), split_regions(stack, hold_out="india")
    samples = samples_of(split, "test")[:3]
    said = run_places(net_from_bundle(bundle), stack, split, "test", bands=bundle.bands, workers=1)
    for i, told in enumerate(outlook_of(bundle, stack, samples)):
        np.testing.assert_allclose(told.hazards, said.hazards[i], atol=1e-5)
        np.testing.assert_allclose(told.causes, said.causes[i], atol=1e-5)
        assert (told.low <= told.hazards).all()
        assert (told.hazards <= told.high).all()
        assert (told.high > told.low).any()
        assert told.attention.sum() <= 1 + 1e-6
        assert (told.attention[~(stack["sensor"].to_numpy()[samples[i]] > 0)] == 0).all()
        assert (told.cut, told.apart) == (0.4, "20 dropout masks")


def test_the_same_seed_draws_the_same_masks_and_the_net_is_left_as_it_was(stack):
    bundle = bundle_of(stack)
    first, again = (outlook_of(bundle, stack, [1])[0] for _ in range(2))
    np.testing.assert_array_equal(first.low, again.low)
    other = outlook_of(bundle, stack, [1], seed=1)[0]
    assert not np.array_equal(first.low, other.low)
    np.testing.assert_array_equal(first.hazards, other.hazards)


def test_without_dropout_there_is_no_interval(stack):
    told = outlook_of(bundle_of(stack, dropout=0.0), stack, [0])[0]
    np.testing.assert_array_equal(told.low, told.high)
    assert told.apart == ""


def test_an_ensemble_reaches_from_its_least_to_its_greatest_member(stack, tmp_path):
    members = [bundle_of(stack, seed) for seed in range(3)]
    told = outlook_of(ensemble(members, tmp_path / "whole"), stack, [2])[0]
    each = np.stack([outlook_of(member, stack, [2])[0].hazards for member in members])
    np.testing.assert_allclose(told.hazards, each.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(told.low, each.min(axis=0), atol=1e-6)
    np.testing.assert_allclose(told.high, each.max(axis=0), atol=1e-6)
    assert told.apart == "3 members"


def test_the_verb_draws_places_with_what_is_said_of_them(stack, tmp_path):
    save_bundle(bundle_of(stack), tmp_path / "forecast")
    stack.to_zarr(tmp_path / "domains.zarr", zarr_format=3, consolidated=False)
    words = ["domains", "show", tmp_path / "domains.zarr", "--bundle", tmp_path / "forecast", "--sample", "p1"]
    found = CliRunner().invoke(app, [*map(str, words), "--sample", "p2", "--out", str(tmp_path / "places.png")])
    assert found.exit_code == 0, found.output
    assert (tmp_path / "places.png").read_bytes()[:4] == b"\x89PNG"


def test_other_nets_are_refused(stack):
    bands = feature_bands(stack)
    arguments = {"place_px": 16, "channels": 4, "classes": ["a", "b"]}
    statistics = training_statistics(stack, None, bands)
    net = make_net("kind", bands, resolution_m=30, statistics=statistics, arguments=arguments)
    bundle = Bundle("kind", net.arguments(), bands, 30.0, weights_of(net))
    with pytest.raises(BundleError, match="does not forecast"):
        outlook_of(bundle, stack, [0])
