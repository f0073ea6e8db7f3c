"""vectorize survives kill -9: what is resumed has the bytes of an undisturbed run."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import rasterio
from affine import Affine
from scipy.ndimage import gaussian_filter

from headscarp.prediction import vectorize as verb
from headscarp.prediction.vectorize import vectorize

RUN = (
    "import sys; from headscarp.prediction.vectorize import vectorize; "
    "vectorize(*sys.argv[1:3], block_px=64, workers=2, resume=True)"
)
BLOCKS = 12 * 13


@pytest.fixture
def raster(tmp_path):
    """A map of some hundred slides, many of them across the edges of blocks."""
    rng = np.random.default_rng(2)
    smooth = gaussian_filter(rng.normal(size=(760, 800)), 4)
    values = (smooth / smooth.std() / 4 + 0.25).clip(0, 1).astype(np.float32)
    profile = {"driver": "GTiff", "dtype": "float32", "count": 1, "height": 760, "width": 800, "nodata": np.nan}
    place = {"crs": "EPSG:32633", "transform": Affine(10, 0, 500_000, 0, -10, 5_000_000)}
    with rasterio.open(tmp_path / "map.tif", "w", **profile, **place) as file:
        file.write(values, 1)
    return tmp_path / "map.tif"


def finished_blocks(out):
    journal = out.with_name(f".{out.name}.pieces") / "journal.jsonl"
    return journal.read_bytes().count(b"\n") - 1 if journal.exists() else -1


def kill_when(out, raster, reached):
    """kill -9 as soon as `reached()`, or not at all where the process was faster."""
    process = subprocess.Popen([sys.executable, "-c", RUN, str(raster), str(out)], env={**os.environ})
    deadline = time.monotonic() + 60
    while process.poll() is None and not reached() and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_kill_then_resume_gives_the_same_bytes(raster, tmp_path):
    wanted = vectorize(raster, tmp_path / "a" / "slides.gpkg", block_px=64).read_bytes()
    out = tmp_path / "b" / "slides.gpkg"
    kill_when(out, raster, lambda: finished_blocks(out) >= 20)
    assert 20 <= finished_blocks(out) <= BLOCKS or out.exists()
    kill_when(out, raster, (out.parent / ".slides.gpkg.gpkg").exists)  # while polygons are put together
    vectorize(raster, out, block_px=64, resume=True)
    assert out.read_bytes() == wanted
    assert not list(out.parent.glob(".slides.gpkg*"))


def test_a_piece_that_changed_under_the_journal_is_done_again(raster, tmp_path, monkeypatch):
    wanted = vectorize(raster, tmp_path / "a" / "slides.gpkg", block_px=64).read_bytes()
    out = tmp_path / "b" / "slides.gpkg"

    def stopped(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(verb, "_write", stopped)
        with pytest.raises(KeyboardInterrupt):
            vectorize(raster, out, block_px=64)
    pieces = sorted(out.with_name(".slides.gpkg.pieces").glob("r*.npz"))
    assert len(pieces) == BLOCKS
    for path in pieces[3:5]:
        path.write_bytes(b"torn")
    vectorize(raster, out, block_px=64, resume=True)
    assert out.read_bytes() == wanted
