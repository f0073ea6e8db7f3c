"""The manifest names every byte's origin, and is the same bytes for the same work, however it went."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor

import pystac
import pytest

from headscarp.core.provenance import describe_input
from headscarp.sources.web.manifest import Manifest
from headscarp.sources.web.services import Service
from services.faults import Rule

BLOCK = 65536


@pytest.fixture
def services(proxy):
    return {"hills": Service("hill-service", f"{proxy.address}/api", licence="CC-BY-4.0", citation="Hill (2020)")}


def work(client, address, order, threads=1):
    jobs = [
        lambda: client.get(f"{address}/small.bin", source="hills"),
        lambda: client.get_json(f"{address}/found.json", source="hills"),
        lambda: read(client.open(f"{address}/noise.bin", source="hills"), 0, 100),
        lambda: read(client.open(f"{address}/noise.bin", source="hills"), 3 * BLOCK, 2 * BLOCK),
        lambda: read(client.open(f"{address}/noise.bin", source="hills"), 4 * BLOCK + 7, 2 * BLOCK),
        lambda: client.note_missing(f"{address}/none.tif", "not there", "hills"),
        lambda: client.note_missing(f"{address}/a.tif", "not there", "hills"),
    ]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda n: jobs[n](), order))


def read(file, offset, size):
    file.seek(offset)
    return file.read(size)


def test_the_same_work_leaves_the_same_bytes(proxy, client_of, services, tmp_path):
    def written(name, client, *order, threads=1):
        work(client, proxy.address, order, threads)
        Manifest(client, services, settings={"job": 1}).write(tmp_path / name)
        return [(tmp_path / name / file).read_bytes() for file in ("manifest.json", "manifest.stac.json")]

    first = written("one", client_of(proxy), 0, 1, 2, 3, 4, 5, 6)
    assert written("from the cache", client_of(proxy), 6, 5, 4, 3, 2, 1, 0) == first
    assert written("offline", client_of(proxy, offline=True), 0, 1, 2, 3, 4, 5, 6) == first
    proxy.rules = [Rule("unavailable", every=3), Rule("latency", seconds=0.02)]
    anew = client_of(proxy, cache=tmp_path / "other", tries=9)
    assert written("in threads", anew, 4, 0, 3, 1, 2, 6, 5, 3, threads=4) == first


def test_it_names_each_origin_with_its_checksum_licence_and_citation(proxy, client_of, services, holdings, tmp_path):
    client = client_of(proxy)
    work(client, proxy.address, range(7))
    client.get(f"{proxy.address}/hill.tif")
    manifest = Manifest(client, services)
    manifest.add_input(describe_input(holdings / "empty.bin", licence="CC0-1.0"))
    path = manifest.write(tmp_path, bbox=(1, 2, 3, 4))
    told = json.loads(path.read_text())
    by_name = {origin["address"].rpartition("/")[2]: origin for origin in told["fetched"]}
    assert set(by_name) == {"small.bin", "found.json", "noise.bin", "hill.tif"}
    noise = (holdings / "noise.bin").read_bytes()
    blocks = {at: hashlib.sha256(noise[at : at + BLOCK]).hexdigest() for at in (0, *(n * BLOCK for n in range(3, 7)))}
    lines = "".join(f"{at} {digest}\n" for at, digest in blocks.items())
    assert by_name["noise.bin"]["ranges"] == [[0, BLOCK - 1], [3 * BLOCK, 7 * BLOCK - 1]]
    assert by_name["noise.bin"]["sha256"] == hashlib.sha256(lines.encode()).hexdigest()
    assert by_name["noise.bin"]["bytes"] == 5 * BLOCK
    for name in ("small.bin", "hill.tif"):
        assert by_name[name]["sha256"] == hashlib.sha256((holdings / name).read_bytes()).hexdigest()
        assert by_name[name]["bytes"] == (holdings / name).stat().st_size
    # The last was read without the name of a source: its host tells whose it is.
    assert {(o["service"], o["licence"], o["citation"]) for o in told["fetched"]} == {
        ("hill-service", "CC-BY-4.0", "Hill (2020)")
    }
    assert [gap["address"].rpartition("/")[2] for gap in told["missing"]] == ["a.tif", "none.tif"]
    assert told["inputs"][0]["licence"] == "CC0-1.0"
    assert told["bytes"] == sum(origin["bytes"] for origin in told["fetched"])


def test_the_collection_is_stac(proxy, client_of, services, tmp_path):
    client = client_of(proxy)
    work(client, proxy.address, range(7))
    Manifest(client, services).write(tmp_path, bbox=(1, 2, 3, 4))
    collection = pystac.Collection.from_file(str(tmp_path / "manifest.stac.json"))
    assert collection.extent.spatial.bboxes == [[1, 2, 3, 4]]
    assert len(collection.assets) == len(client.fetched)
    for asset in collection.assets.values():
        assert asset.href.startswith(proxy.address)
        assert asset.extra_fields["headscarp:licence"] == "CC-BY-4.0"


def test_work_that_goes_on_knows_its_origins(proxy, client_of, services, tmp_path):
    """Half of it in one process, half in the next, which finds what the first left, and its last line torn."""
    whole = client_of(proxy)
    work(whole, proxy.address, range(7))
    expected = Manifest(whole, services).as_json()["fetched"]
    record = tmp_path / "origins.jsonl"
    first = client_of(proxy)
    first.ledger.keep_in(record)
    work(first, proxy.address, [0, 1, 3])
    with record.open("a") as file:
        file.write('\n{"address": "http')
    second = client_of(proxy)
    second.ledger.keep_in(record)
    work(second, proxy.address, [2, 4, 5, 6])
    assert Manifest(second, services).as_json()["fetched"] == expected
    third = client_of(proxy)
    third.ledger.keep_in(record)
    assert Manifest(third, services).as_json()["fetched"] == expected
