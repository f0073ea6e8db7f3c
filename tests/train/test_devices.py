import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from headscarp.core.bundle import open_bundle
from headscarp.core.errors import RecipeError
from headscarp.core.tile import Tile, Window
from headscarp.train.config import FitConfig
from headscarp.train.devices import check_batch_size, training_share
from headscarp.train.fit import fit

CONFIG = FitConfig(epochs=2, tile_px=64, batch_size=4, augment=False, calibration="none")


@dataclass
class Process:
    global_rank: int
    world_size: int


@pytest.mark.parametrize("tiles", [1, 7, 8, 9, 12])
@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_processes_take_the_same_steps_and_every_tile_counts_once(tiles, world_size):
    order = [Tile(Window(i, 0, 1, 1)) for i in range(tiles)]
    shares = [training_share(order, 4, Process(rank, world_size)) for rank in range(world_size)]
    counted = [tile for share, spare in shares for tile in (share[:-1] if spare else share)]
    assert sorted(counted, key=order.index) == order
    size = 4 // world_size
    assert len({-(-len(share) // size) for share, _ in shares}) == 1
    for step in range(-(-tiles // 4)):
        of_step = {t for share, _ in shares for t in share[step * size : (step + 1) * size]}
        assert of_step == set(order[step * 4 : step * 4 + 4])


def test_a_batch_has_to_be_dealt_out_evenly():
    with pytest.raises(RecipeError, match="batch_size = 16"):
        check_batch_size(15, 2)
    check_batch_size(16, 2)


@pytest.mark.slow
def test_two_processes_learn_what_one_learns(world, blocks, tmp_path):
    """The gradient of a step is the same, so the weights are, up to rounding."""
    from headscarp.core.stack import stack_grid, write_stack
    from headscarp.tiles.splits import write_split

    write_stack(world, tmp_path / "stack.zarr")
    write_split(blocks, tmp_path / "split.geojson", stack_grid(world))
    one = fit(tmp_path / "stack.zarr", net="llr", split=blocks, out=tmp_path / "one", config=CONFIG)
    script = tmp_path / "train.py"
    script.write_text(
        textwrap.dedent(f"""
        from headscarp.train.config import FitConfig
        from headscarp.train.fit import fit

        config = FitConfig(epochs=2, tile_px=64, batch_size=4, augment=False, calibration="none", devices=2)
        here = {str(tmp_path)!r}
        fit(here + "/stack.zarr", net="llr", split=here + "/split.geojson", out=here + "/two", config=config)
        """)
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, str(script)], env=environment, capture_output=True, text=True, timeout=200, cwd=Path(tmp_path)
    )
    assert done.returncode == 0, done.stderr[-3000:]
    two = open_bundle(tmp_path / "two")
    for name, weights in one.weights.items():
        np.testing.assert_allclose(two.weights[name], weights, rtol=0, atol=1e-4, err_msg=name)
    nll = [{row["metric"]: row["value"] for row in bundle.metrics}["nll"] for bundle in (one, two)]
    assert nll[0] == pytest.approx(nll[1], abs=1e-5)
