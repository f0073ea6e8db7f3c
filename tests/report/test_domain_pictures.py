"""What is told of a stack of domains, and the picture of its places."""

from pathlib import Path

import numpy as np
import pytest

from headscarp.assemble.domain_recipe import domains_recipe_from_dict
from headscarp.assemble.domains import build_domains
from headscarp.core.errors import StackError
from headscarp.core.stack import open_stack
from headscarp.report.describe import describe
from headscarp.report.domains import draw_places, example_samples
from headscarp.sources.world.domains import CLASSES


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("domains") / "domains.zarr"
    table = {"samples_per_region": 14, "regions": ["india", "alps"], "frames": 3, "side_px": 16}
    build_domains(domains_recipe_from_dict({"name": "t", "simulate": table}), out, workers=1)
    return out


def test_info_tells_what_domains_hold(built):
    facts = describe(built)
    stack = open_stack(built)
    assert facts["kind"] == "stack of domains"
    assert "no real place" in facts["origin"]
    assert all(f"{name} 2" in facts["region india"] for name in CLASSES)
    share = float((stack["event_days"].to_numpy() <= 180).mean())
    assert f"180 d: {share:.3f}" in facts["events within"]
    assert facts["frames"].startswith(f"{(stack['sensor'].to_numpy() > 0).sum() / 28:.1f} a sample")
    assert "Landsat frames" in facts["clouds"]


def test_a_picture_shows_a_place_of_each_class(built, tmp_path):
    stack = open_stack(built)
    chosen = example_samples(stack)
    assert sorted(stack["class"].to_numpy()[chosen].tolist()) == sorted(CLASSES)
    path = draw_places(built, tmp_path / "places.png", frames=3)
    assert path.read_bytes()[:4] == b"\x89PNG"
    draw_places(built, tmp_path / "one.png", ["alps-00003"], frames=2)
    with pytest.raises(StackError, match="atlantis-00001"):
        draw_places(built, tmp_path / "none.png", ["atlantis-00001"])
    assert np.all([0 <= k < 28 for k in chosen])
