"""The services are addresses of one kind; where they sign, a token is got once, kept to itself and renewed in time."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pystac_client
import pytest

from headscarp.core.errors import RecipeError, SourceError
from headscarp.sources.web.address import host_of, is_on
from headscarp.sources.web.catalogue import stac_io
from headscarp.sources.web.client import Client
from headscarp.sources.web.services import SERVICES, Service, client_for, service
from headscarp.sources.web.signing import TokenSigner
from services.faults import FaultProxy, Rule
from services.search import SearchServer


class TokenServer:
    """Gives tokens t1, t2, ... for any account and container but "open", as the Planetary Computer does."""

    def __init__(self) -> None:
        self.lasting, self.asked = timedelta(hours=1), list[str]()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                owner.asked.append(self.path)
                expiry = (datetime.now(UTC) + owner.lasting).strftime("%Y-%m-%dT%H:%M:%SZ")
                body = json.dumps({"msft:expiry": expiry, "token": f"se=1&sp=rl&sig=t{len(owner.asked)}"}).encode()
                self.send_response(404 if self.path.endswith("/open") else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.server.server_address[1]}/api/sas/v1/token"


@pytest.fixture
def tokens() -> Iterator[TokenServer]:
    found = TokenServer()
    threading.Thread(target=found.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield found
    found.server.shutdown()
    found.server.server_close()


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_says_what_it_is(name):
    known = SERVICES[name]
    assert known.name == name
    assert known.address.startswith("https://")
    assert not known.address.endswith("/")
    assert known.licence
    assert known.citation
    assert known.about
    client = client_for([known], offline=True)
    assert is_on(known.address, client.hosts)
    assert not is_on("https://example.org", client.hosts)


def test_the_address_is_configuration(monkeypatch):
    known = SERVICES["planetary-computer"]
    assert service("planetary-computer") == known
    mine = service("planetary-computer", address="http://127.0.0.1:8080/", hosts=["127.0.0.1:8081"])
    assert (mine.address, mine.hosts, mine.sign) == ("http://127.0.0.1:8080", ("127.0.0.1:8081",), "")
    assert mine.citation == known.citation
    monkeypatch.setenv("HEADSCARP_SERVICE_PLANETARY_COMPUTER", "http://127.0.0.1:9090 127.0.0.1:9091")
    theirs = service("planetary-computer")
    assert (theirs.address, theirs.hosts) == ("http://127.0.0.1:9090", ("127.0.0.1:9091",))
    assert service("planetary-computer", address="http://127.0.0.1:8080/").address == "http://127.0.0.1:8080"
    assert service("own", address="http://127.0.0.1:1/x") == Service("own", "http://127.0.0.1:1/x")
    with pytest.raises(RecipeError, match=r"no service 'own'; known: planetary-computer, .*HEADSCARP_SERVICE_OWN"):
        service("own")


def test_a_client_asks_the_hosts_of_its_services_alone():
    client = client_for([service("3dep"), service("earth-search", hosts=["files.example.org"])], offline=True)
    assert "elevation.nationalmap.gov" in client.hosts
    assert "files.example.org" in client.hosts
    assert not is_on("https://planetarycomputer.microsoft.com", client.hosts)


def test_what_needs_a_signature_gets_one_and_a_new_one_when_it_is_refused(tokens, files, holdings, cache):
    with FaultProxy(files.address, [Rule("signed-only"), Rule("expired", skip=2, times=1)]) as blobs:
        signed = Service("signed", tokens.endpoint, hosts=(blobs.host,), sign=tokens.endpoint)
        client = client_for([signed], cache=cache, backoff_s=0.01)
        got = [client.get(f"{blobs.address}/{name}").read_bytes() for name in ("noise.bin", "small.bin", "hill.tif")]
        assert got == [(holdings / name).read_bytes() for name in ("noise.bin", "small.bin", "hill.tif")]
        # One token for the container, and one more when it was refused.
        assert len(tokens.asked) == 4
        assert tokens.asked[0] == "/api/sas/v1/token/127/noise.bin"
        assert "sig" not in json.dumps([vars(item) for item in client.fetched])
        with pytest.raises(SourceError, match="HTTP 403"):
            Client([blobs.host], cache=cache).get(f"{blobs.address}/found.json")


def test_a_token_is_shared_by_threads_and_renewed_before_it_ends(tokens):
    signer = TokenSigner(tokens.endpoint, ["*.blob.core.windows.net"])
    url = "https://account.blob.core.windows.net/container/a/b.tif"
    with ThreadPoolExecutor(8) as pool:
        signed = set(pool.map(lambda _: signer(url, False), range(16)))
    assert signed == {f"{url}?se=1&sp=rl&sig=t1"}
    assert tokens.asked == ["/api/sas/v1/token/account/container"]
    assert signer("https://planetarycomputer.microsoft.com/api/stac/v1", False).endswith("/v1")
    assert (
        signer("https://account.blob.core.windows.net/open/a.tif") == "https://account.blob.core.windows.net/open/a.tif"
    )
    # Another container ends in four minutes: within the margin, so each use asks anew.
    tokens.lasting = timedelta(minutes=4)
    other = url.replace("container", "short")
    assert [signer(other).rpartition("=")[2] for _ in range(2)] == ["t3", "t4"]


def test_a_known_signer_signs_for_blobs_and_not_for_the_api():
    client = client_for([SERVICES["planetary-computer"]], offline=True)
    assert client.wire.signer is not None
    api = SERVICES["planetary-computer"].address
    assert client.wire.signer(api, False) == api
    assert host_of(api) == "planetarycomputer.microsoft.com"


def test_a_search_goes_through_the_client_page_by_page_and_offline_too(tmp_path, cache):
    with SearchServer(tmp_path, page=3) as server:
        server.items = [
            {
                "type": "Feature",
                "stac_version": "1.0.0",
                "id": f"scene-{n}",
                "collection": "scenes",
                "geometry": {"type": "Point", "coordinates": [n, 0]},
                "bbox": [n, 0, n, 0],
                "properties": {"datetime": f"2020-01-{n + 1:02d}T00:00:00Z"},
                "assets": {},
                "links": [],
            }
            for n in range(8)
        ]
        with FaultProxy(server.address, [Rule("unavailable", every=2)]) as front:
            hosts = [front.host, host_of(server.address)]

            def search(offline):
                client = Client(hosts, cache=cache, offline=offline, backoff_s=0.01)
                catalog = pystac_client.Client.open(front.address, stac_io=stac_io(client))
                found = catalog.search(method="POST", collections=["scenes"], limit=3).items_as_dicts()
                return [item["id"] for item in found], client

            online, client = search(offline=False)
            assert online == [f"scene-{n}" for n in range(8)]
            assert client.requests > 4
            offline, client = search(offline=True)
            assert offline == online
            assert client.requests == 0


def test_a_key_in_netrc_goes_to_its_host_alone(tmp_path, cache, monkeypatch):
    """As the hub of ERA5-Land wants it."""
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append((self.path, self.headers.get("Authorization", "")))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login edh password s3cr3t\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    port = server.server_address[1]
    client = Client([f"127.0.0.1:{port}", f"localhost:{port}"], cache=cache)
    client.get_json(f"http://127.0.0.1:{port}/a")
    client.get_json(f"http://localhost:{port}/b")
    server.shutdown()
    server.server_close()
    assert seen == [("/a", "Basic ZWRoOnMzY3IzdA=="), ("/b", "")]
