"""The cache: nothing half is ever seen, damage is mended, processes share it, offline gives what online gave."""

import errno
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from headscarp.core.errors import OutputError, SourceError
from headscarp.sources.web.cache import Draft
from headscarp.sources.web.client import AnswerError, Client
from services.faults import Rule

FETCH = """
import sys, hashlib
from pathlib import Path
from headscarp.sources.web.client import Client
address, cache = sys.argv[1:]
client = Client([address.split("//")[1]], cache=Path(cache), backoff_s=0.01)
print("ready", flush=True)
whole = client.get(address + "/noise.bin").read_bytes()
with client.open(address + "/hill.tif") as file:
    parts = file.read()
print(hashlib.sha256(whole + parts).hexdigest(), flush=True)
"""


def fetch_in_a_process(address: str, cache: Path) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", FETCH, address, str(cache)], stdout=subprocess.PIPE, text=True)


def bodies(cache: Path) -> list[Path]:
    return sorted(path for path in (cache / "bodies").rglob("*") if path.is_file())


def test_a_body_has_the_name_of_its_content_and_cannot_be_changed_by_mistake(proxy, holdings, client_of, cache):
    path = client_of(proxy).get(f"{proxy.address}/hill.tif")
    import hashlib

    assert path.stem == hashlib.sha256((holdings / "hill.tif").read_bytes()).hexdigest()
    assert path.suffix == ".tif"
    assert not path.stat().st_mode & 0o222


def test_what_is_kept_is_not_asked_for_again(proxy, client_of):
    client = client_of(proxy)
    for _ in range(2):
        client.get(f"{proxy.address}/noise.bin")
        client.open(f"{proxy.address}/hill.tif").read()
        client_of(proxy).open(f"{proxy.address}/hill.tif").read()
    # The whole file; the head of the other, and all the rest of it at once.
    assert len(proxy.log) == 3
    client.get(f"{proxy.address}/noise.bin", fresh=True)
    assert len(proxy.log) == 4


def test_killed_in_the_middle_nothing_half_is_seen(proxy, holdings, client_of, cache):
    proxy.rules = [Rule("slow", path="noise", seconds=0.4)]
    child = fetch_in_a_process(proxy.address, cache)
    assert child.stdout.readline() == "ready\n"
    end = time.monotonic() + 20
    while not list(cache.glob("partial/*")) and time.monotonic() < end:
        time.sleep(0.02)
    time.sleep(0.5)
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    (left,) = cache.glob("partial/*")
    assert 0 < left.stat().st_size < (holdings / "noise.bin").stat().st_size
    assert bodies(cache) == []
    with pytest.raises(SourceError, match="not in the cache"):
        client_of(proxy, offline=True).get(f"{proxy.address}/noise.bin")
    proxy.rules = []
    assert client_of(proxy).get(f"{proxy.address}/noise.bin").read_bytes() == (holdings / "noise.bin").read_bytes()


def test_processes_share_a_cache(proxy, holdings, cache, client_of):
    children = [fetch_in_a_process(proxy.address, cache) for _ in range(3)]
    assert len({child.communicate(timeout=60)[0] for child in children}) == 1
    client = client_of(proxy, offline=True)
    assert client.get(f"{proxy.address}/noise.bin").read_bytes() == (holdings / "noise.bin").read_bytes()
    assert client.open(f"{proxy.address}/hill.tif").read() == (holdings / "hill.tif").read_bytes()
    assert client.requests == 0


@pytest.mark.parametrize("damage", ["flip", "cut", "empty"])
def test_a_damaged_body_is_fetched_anew(damage, proxy, holdings, cache, client_of):
    first = client_of(proxy)
    first.get(f"{proxy.address}/noise.bin")
    first.open(f"{proxy.address}/hill.tif").read()
    for path in bodies(cache):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.chmod(0o644)
        path.write_bytes({"flip": data, "cut": data[:-10], "empty": b""}[damage])
    with pytest.raises(SourceError, match="offline nothing is fetched"):
        client_of(proxy, offline=True).open(f"{proxy.address}/hill.tif").read()
    for client in (first, client_of(proxy)):
        assert client.get(f"{proxy.address}/noise.bin").read_bytes() == (holdings / "noise.bin").read_bytes()
        assert client.open(f"{proxy.address}/hill.tif").read() == (holdings / "hill.tif").read_bytes()


def test_a_damaged_index_is_no_index(proxy, holdings, cache, client_of):
    client_of(proxy).get(f"{proxy.address}/noise.bin")
    client_of(proxy).open(f"{proxy.address}/hill.tif").read()
    for path in [*cache.glob("index/*/*.json"), *cache.glob("ranges/*/*/*.jsonl")]:
        path.write_text(path.read_text()[:-20])
    client = client_of(proxy)
    assert client.get(f"{proxy.address}/noise.bin").read_bytes() == (holdings / "noise.bin").read_bytes()
    assert client.open(f"{proxy.address}/hill.tif").read() == (holdings / "hill.tif").read_bytes()


def test_offline_gives_what_online_gave(proxy, client_of):
    def everything(client: Client) -> list[object]:
        file = client.open(f"{proxy.address}/hill.tif")
        file.seek(70_000)
        found = [
            client.get(f"{proxy.address}/noise.bin", params={"a": 1}).read_bytes(),
            client.get_json(f"{proxy.address}/found.json"),
            file.read(200_000),
            client.open(f"{proxy.address}/empty.bin").read(),
        ]
        with pytest.raises(AnswerError) as absent:
            client.get(f"{proxy.address}/none.bin")
        with pytest.raises(AnswerError):
            client.open(f"{proxy.address}/none.tif")
        return [*found, absent.value.status]

    online = client_of(proxy)
    there = everything(online)
    asked = len(proxy.log)
    offline = client_of(proxy, offline=True)
    assert everything(offline) == there
    assert len(proxy.log) == asked
    assert (offline.requests, offline.bytes_read) == (0, 0)
    with pytest.raises(SourceError, match="run the same once without --offline"):
        offline.get(f"{proxy.address}/noise.bin")


def test_what_is_absent_is_asked_for_again_online(proxy, client_of, holdings):
    with pytest.raises(AnswerError):
        client_of(proxy).get(f"{proxy.address}/late.bin")
    (holdings / "late.bin").write_bytes(b"here")
    try:
        assert client_of(proxy).get(f"{proxy.address}/late.bin").read_bytes() == b"here"
    finally:
        (holdings / "late.bin").unlink()


def test_threads_that_want_the_same_ask_once(proxy, client_of):
    proxy.rules = [Rule("latency", seconds=0.1)]
    client = client_of(proxy)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: client.get(f"{proxy.address}/noise.bin"), range(8)))
        list(pool.map(lambda _: client.open(f"{proxy.address}/hill.tif").read(), range(8)))
    assert len(proxy.log) == 3


def test_a_check_keeps_wrong_bodies_out(proxy, client_of, cache):
    def refuse(path: Path) -> None:
        raise SourceError(f"{path.stat().st_size} bytes are no raster")

    with pytest.raises(SourceError, match="5000 bytes are no raster"):
        client_of(proxy).get(f"{proxy.address}/small.bin", check=refuse)
    assert bodies(cache) == []
    assert list(cache.glob("partial/*")) == []


def test_the_folder_is_that_of_the_environment(proxy, tmp_path, monkeypatch):
    monkeypatch.setenv("HEADSCARP_CACHE", str(tmp_path / "mine"))
    path = Client([proxy.host]).get(f"{proxy.address}/small.bin")
    assert path.is_relative_to(tmp_path / "mine")


def test_a_full_disk_is_said_at_once_and_leaves_nothing(proxy, client_of, cache, monkeypatch):
    def write(draft: Draft, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Draft, "write", write)
    for ask in (client_of(proxy).get, client_of(proxy).open):
        with pytest.raises(OutputError, match="the disk is full"):
            ask(f"{proxy.address}/noise.bin")
    assert len(proxy.log) == 2
    assert list(cache.glob("partial/*")) == bodies(cache) == []
