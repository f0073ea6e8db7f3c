"""Files on a server of this machine, a proxy before it that can spoil everything, and quick clients."""

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine

from headscarp.sources.web.client import Client
from services.faults import FaultProxy
from services.files import FileServer

BLOCK = 65536


@pytest.fixture(scope="session")
def holdings(tmp_path_factory) -> Path:
    """noise.bin (about 10 blocks), small.bin, empty.bin, found.json, and a tiled raster with a mask of blocks."""
    folder = tmp_path_factory.mktemp("holdings")
    random = np.random.default_rng(7)
    (folder / "noise.bin").write_bytes(random.bytes(10 * BLOCK + 1234))
    (folder / "small.bin").write_bytes(random.bytes(5000))
    (folder / "empty.bin").write_bytes(b"")
    (folder / "found.json").write_text(json.dumps({"found": list(range(2000))}))
    values = random.normal(size=(700, 900)).astype("float32")
    profile = {"driver": "GTiff", "width": 900, "height": 700, "count": 1, "dtype": "float32", "crs": "EPSG:32633"}
    where = Affine(10, 0, 500_000, 0, -10, 4_500_000)
    with rasterio.open(
        folder / "hill.tif", "w", **profile, transform=where, tiled=True, blockxsize=128, blockysize=128
    ) as file:
        file.write(values, 1)
        file.build_overviews([2, 4])
    return folder


@pytest.fixture(scope="session")
def files(holdings: Path) -> Iterator[FileServer]:
    with FileServer(holdings) as server:
        yield server


@pytest.fixture
def proxy(files: FileServer) -> Iterator[FaultProxy]:
    with FaultProxy(files.address) as front:
        yield front


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def client_of(cache: Path) -> Callable[..., Client]:
    """Clients of the proxy's host with one cache, that do not wait long."""

    def make(*fronts: Any, **options: Any) -> Client:
        quick = {"cache": cache, "tries": 4, "timeout_s": 0.6, "backoff_s": 0.01}
        return Client([front.address.split("//")[1] for front in fronts], **{**quick, **options})

    return make


@pytest.fixture
def dead_address() -> str:
    """An address of this machine where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"
