"""Nobody is asked but who was named, not even by redirect, at most so many at once, and no secret is ever written."""

import traceback
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headscarp.core.errors import SourceError
from headscarp.sources.web.address import check_host, key_of, shown, with_params
from headscarp.sources.web.client import Client
from headscarp.sources.web.manifest import Manifest
from services.faults import FaultProxy, Rule

SECRET = "s3cr3t"


@pytest.mark.parametrize(
    ("url", "hosts", "allowed"),
    [
        ("https://example.org/a", ["example.org"], True),
        ("https://EXAMPLE.org:443/a", ["example.org"], True),
        ("http://example.org:8080/a", ["example.org"], False),
        ("http://example.org:8080/a", ["example.org:8080"], True),
        ("https://a.b.example.org/a", ["*.example.org"], True),
        ("https://example.org/a", ["*.example.org"], False),
        ("https://badexample.org/a", ["*.example.org"], False),
        ("https://example.org.evil.net/a", ["*.example.org"], False),
        ("https://example.org@evil.net/a", ["example.org"], False),
        ("https://evil.net/?example.org", ["example.org"], False),
        ("http://[::1]:80/", ["[::1]"], True),
        ("ftp://example.org/a", ["example.org"], False),
        ("file:///etc/passwd", ["example.org", ""], False),
        ("example.org/a", ["example.org"], False),
        ("http://example.org:port/", ["example.org"], False),
    ],
)
def test_only_named_hosts_may_be_asked(url, hosts, allowed):
    if allowed:
        assert check_host(url, hosts) == url
    else:
        with pytest.raises(SourceError, match=r"may be asked|needed: http"):
            check_host(url, hosts)


def test_a_host_that_is_not_named_is_not_asked(files, cache):
    client = Client(["example.org"], cache=cache)
    before = len(files.log)
    for ask in (client.get, client.get_json, client.open, client.opener):
        with pytest.raises(SourceError, match=r"127.0.0.1:\d+, and only example.org may be asked"):
            ask(f"{files.address}/noise.bin")
    assert len(files.log) == before


def test_a_redirect_leads_only_to_named_hosts(files, client_of, holdings):
    with FaultProxy(files.address) as elsewhere, FaultProxy(files.address) as proxy:
        proxy.rules = [Rule("redirect", to=f"{elsewhere.address}/small.bin?sig={SECRET}")]
        with pytest.raises(
            SourceError, match=f"{proxy.host} redirects to {elsewhere.host}, which is not among"
        ) as fault:
            client_of(proxy).get(f"{proxy.address}/noise.bin")
        assert SECRET not in str(fault.value)
        assert elsewhere.log == []
        both = client_of(proxy, elsewhere)
        assert both.get(f"{proxy.address}/noise.bin").read_bytes() == (holdings / "small.bin").read_bytes()
        assert both.open(f"{proxy.address}/other.bin").read() == (holdings / "small.bin").read_bytes()


def test_redirects_end(proxy, client_of):
    proxy.rules = [Rule("redirect", to="/noise.bin")]
    with pytest.raises(SourceError, match="redirects without end"):
        client_of(proxy).get(f"{proxy.address}/noise.bin")


@pytest.mark.parametrize("connections", [1, 3])
def test_so_many_requests_are_under_way_at_once_and_no_more(connections, proxy, client_of):
    proxy.rules = [Rule("latency", seconds=0.05)]
    client = client_of(proxy, connections=connections)
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda n: client.get(f"{proxy.address}/small.bin", params={"n": n}), range(12)))
    assert proxy.most_at_once == connections


def secret_addresses(address):
    yield f"{address}/noise.bin?se=2030-01-01&sp=rl&sv=2024&sr=c&sig={SECRET}"
    yield f"{address}/noise.bin?token={SECRET}&a=1"
    yield f"{address}/noise.bin?a=1&key={SECRET}"
    yield f"{address}/noise.bin?X-Amz-Signature={SECRET}&X-Amz-Credential={SECRET}&X-Amz-Security-Token={SECRET}"
    yield f"{address}/noise.bin?Subscription-Key={SECRET}"
    yield address.replace("://", f"://user:{SECRET}@") + "/noise.bin"


def test_no_secret_stands_in_errors_cache_or_manifest(proxy, client_of, cache, tmp_path, dead_address):
    client = client_of(proxy, tries=2)
    for url in secret_addresses(proxy.address):
        client.get(url)
        client.open(url.replace("noise", "small")).read()
        client.note_missing(url, "it was not there")
    for fault in ("reset", "truncated", "unavailable", "page", "error-body", "expired", "redirect"):
        proxy.rules = [Rule(fault, to=f"http://elsewhere.invalid/?sig={SECRET}")]
        for url in secret_addresses(f"{proxy.address}/{fault}"):
            for ask in (client.get, client.open):
                with pytest.raises(SourceError) as fault_met:
                    ask(url)
                # What Python shows of it too, with all that it came from.
                assert SECRET not in "".join(traceback.format_exception(fault_met.value))
    nobody = Client([dead_address.split("//")[1]], cache=cache, tries=1)
    for url in secret_addresses(dead_address):
        with pytest.raises(SourceError) as refused:
            nobody.get(url)
        assert SECRET not in "".join(traceback.format_exception(refused.value))
    Manifest(client).write(tmp_path / "out")
    written = [path for path in tmp_path.rglob("*") if path.is_file() and path.parent.parent.name != "bodies"]
    assert len(written) > 10
    for path in written:
        assert SECRET.encode() not in path.read_bytes()
        assert SECRET not in str(path)


def test_a_signature_is_no_part_of_what_is_asked_for():
    plain = "https://a.blob.core.windows.net/c/file.tif"
    signed = f"{plain}?st=1&se=2&sp=rl&sv=3&sr=c&skoid=4&sig=5"
    assert key_of("GET", plain) == key_of("GET", signed) == key_of("GET", signed.replace("5", "6"))
    assert shown(signed) == plain
    # But the next page of a search is another page, though its name is that of a secret.
    pages = [key_of("GET", f"https://example.org/search?token=next:{n}") for n in range(3)]
    assert len(set(pages)) == 3
    assert key_of("GET", plain) != key_of("POST", plain, {}) != key_of("POST", plain, {"a": 1})
    assert key_of("POST", plain, {"a": 1, "b": 2}) == key_of("POST", plain, {"b": 2, "a": 1})


@given(st.dictionaries(st.text(min_size=1), st.text(), max_size=4))
def test_parameters_come_through_and_any_may_be_shown(params):
    from urllib.parse import parse_qsl, urlsplit

    url = with_params("https://example.org/a?b=1", params)
    assert parse_qsl(urlsplit(url).query, keep_blank_values=True) == [("b", "1"), *params.items()]
    assert shown(url).startswith("https://example.org/a")
