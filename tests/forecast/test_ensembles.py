"""Several trainings of one net as one bundle: the mean, the spread, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from series_world import series_world
from typer.testing import CliRunner

from headscarp.cli import app
from headscarp.core.bundle import Bundle, open_bundle, save_bundle
from headscarp.core.errors import BundleError
from headscarp.core.stack import feature_bands
from headscarp.evaluation.places import run_places
from headscarp.nets import make_net, net_from_bundle, weights_of
from headscarp.tiles.reader import TileReader, make_batch
from headscarp.tiles.splits import split_regions, split_to_json
from headscarp.tiles.statistics import training_statistics
from headscarp.tiles.tiling import train_tiles
from headscarp.train.ensemble import ensemble

ARGUMENTS = {"place_px": 16, "channels": 8}


@pytest.fixture(scope="module")
def stack():
    return series_world(24)


@pytest.fixture(scope="module")
def members(stack, tmp_path_factory):
    """Three bundles of the net forecast, untrained, each from its own seed."""
    home, bands = tmp_path_factory.mktemp("members"), feature_bands(stack)
    split = split_regions(stack, hold_out="india")
    statistics = training_statistics(stack, split, bands)
    paths = []
    for seed in range(3):
        torch.manual_seed(seed)
        net = make_net("forecast", bands, resolution_m=30, statistics=statistics, arguments=ARGUMENTS)
        told = split_to_json(split)
        rows = ({"net": "forecast", "part": "validation", "metric": "n 7 d", "value": 9.0},)
        facts = {"split": told, "threshold": 0.1 * seed, "metrics": rows}
        bundle = Bundle("forecast", net.arguments(), bands, 30.0, weights_of(net), **facts)
        paths.append(save_bundle(bundle, home / f"forecast-{seed}"))
    return paths


def said(bundle, stack):
    net = net_from_bundle(open_bundle(bundle))
    return run_places(net, stack, split_regions(stack, hold_out="india"), "test", bands=feature_bands(stack), workers=1)


def test_an_ensemble_says_the_mean_of_its_members(members, stack, tmp_path):
    whole = ensemble(members, tmp_path / "whole")
    assert whole.members == 3
    assert whole.threshold == pytest.approx(0.1)
    expected = np.mean([said(path, stack).hazards for path in members], axis=0)
    np.testing.assert_allclose(said(tmp_path / "whole", stack).hazards, expected, atol=1e-6)


def test_the_spread_is_the_deviation_over_members_and_0_where_they_agree(members, stack, tmp_path):
    net = net_from_bundle(ensemble(members, tmp_path / "whole"))
    twin = net_from_bundle(ensemble([members[0]] * 2, tmp_path / "twin"))
    names = [output.name for output in net.outputs]
    k = names.index("spread: hazard: 7 d")
    split = split_regions(stack, hold_out="india")
    tiles = train_tiles(split, "test", size=16, halo=0)[:3]
    reader = TileReader(stack, feature_bands(stack), split=split)
    batch = make_batch([reader.read(tile) for tile in tiles], tiles)
    with torch.no_grad():
        told, same = net.predict(batch), twin.predict(batch)
        each = [net_from_bundle(open_bundle(path)).predict(batch)[:, names.index("hazard: 7 d")] for path in members]
    torch.testing.assert_close(told[:, k], torch.stack(each).std(dim=0, correction=0), atol=1e-6, rtol=0)
    assert (same[:, k] == 0).all()
    for plane, output in zip(told.unbind(1), net.outputs, strict=True):
        assert output.low <= plane.min()
        assert plane.max() <= output.high


def test_an_ensemble_of_ensembles_counts_all_members(members, tmp_path):
    ensemble(members[:2], tmp_path / "two")
    assert ensemble([tmp_path / "two", members[2]], tmp_path / "three").members == 3


def test_the_verb_joins_bundles(members, tmp_path):
    found = CliRunner().invoke(app, ["ensemble", *map(str, members), "--out", str(tmp_path / "whole")])
    assert found.exit_code == 0, found.output
    assert "members" in found.output


def test_bundles_that_do_not_go_together_are_refused(members, tmp_path):
    first = open_bundle(members[0])
    with pytest.raises(BundleError, match="has 1 member"):
        ensemble(members[:1], tmp_path / "out")
    with pytest.raises(BundleError, match="differ in split"):
        ensemble([first, replace(first, split={})], tmp_path / "out")
    reseeded = replace(first, split={**first.split, "seed": 7})
    assert ensemble([first, reseeded], tmp_path / "reseeded").members == 2
    with pytest.raises(BundleError, match="differ in arguments"):
        ensemble([first, replace(first, arguments={})], tmp_path / "out")
    with pytest.raises(BundleError, match="nets that judge places: forecast, kind"):
        ensemble([replace(first, net="llr")] * 2, tmp_path / "out")
