"""Whatever a service does, the bytes are right or there is an error that says why not: never other bytes."""

import json

import pytest

from headscarp.core.errors import SourceError
from services import faults
from services.faultkinds import FAULTS
from services.faults import FaultProxy, Rule

PASSING = {
    "busy": {"seconds": 0.0},
    "busy-until": {"seconds": 0.0},
    "unavailable": {},
    "reset": {},
    "reset-midway": {},
    "truncated": {},
    "length-too-great": {},
    "length-too-small": {},
    "no-length": {},
    "slow": {"seconds": 0.05},
    "silent": {"seconds": 1.0},
    "latency": {"seconds": 0.05},
    "no-ranges": {},
}
"""What may pass by itself, and is over after two requests: the bytes have to come."""

LASTING = [(fault, skip) for fault in sorted(FAULTS) for skip in (0, 1) if (fault, skip) != ("changed", 0)]
"""A file that was always so is no fault."""

WAYS = {
    "get": lambda client, address: client.get(f"{address}/noise.bin").read_bytes(),
    "open": lambda client, address: client.open(f"{address}/noise.bin").read(),
    "get_json": lambda client, address: json.dumps(client.get_json(f"{address}/found.json")).encode(),
}


def truth(holdings, way):
    if way == "get_json":
        return (holdings / "found.json").read_bytes()
    return (holdings / "noise.bin").read_bytes()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fault", PASSING)
def test_what_passes_is_survived(fault, way, proxy, holdings, client_of):
    proxy.rules = [Rule(fault, times=2, **PASSING[fault])]
    assert WAYS[way](client_of(proxy), proxy.address) == truth(holdings, way)
    assert proxy.faults_met() >= 1


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("fault", "skip"), LASTING)
def test_what_lasts_gives_the_bytes_or_an_error_never_other_bytes(fault, skip, way, proxy, holdings, client_of):
    """skip 1: the first request is answered well, so that a file is open when it begins."""
    seconds = {"silent": 1.0, "slow": 0.02, "latency": 0.02}.get(fault, 0.0)
    proxy.rules = [Rule(fault, skip=skip, seconds=seconds)]
    client = client_of(proxy, tries=2)
    try:
        got, said = WAYS[way](client, proxy.address), ""
    except SourceError as error:
        got, said = None, str(error)
    assert got == truth(holdings, way) or (got is None and proxy.host in said and "SECRET" not in said)
    proxy.rules = []
    # Nothing is left that could be taken for the file later.
    assert WAYS[way](client_of(proxy), proxy.address) == truth(holdings, way)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("page", 'web page "Please log in"'),
        ("page-unnamed", 'web page "Please log in"'),
        ("redirect", "elsewhere.invalid, which is not among the hosts"),
        ("error-body", "error 400 in its body: Unable to complete operation"),
        ("expired", "HTTP 403"),
    ],
)
def test_what_will_not_pass_fails_at_once_and_says_what_it_is(fault, words, proxy, client_of):
    proxy.rules = [Rule(fault)]
    with pytest.raises(SourceError, match=words.replace("(", r"\(")):
        client_of(proxy).get(f"{proxy.address}/noise.bin")
    assert len(proxy.log) == 1


def test_a_service_that_is_down_is_named_with_the_last_reason(proxy, client_of, dead_address):
    proxy.rules = [Rule("truncated")]
    with pytest.raises(SourceError, match=r"noise.bin could not be had in 4 tries \(the last: the body was shorter"):
        client_of(proxy).get(f"{proxy.address}/noise.bin")
    from types import SimpleNamespace

    with pytest.raises(SourceError, match=r"in 4 tries \(the last: connection refused\)"):
        client_of(SimpleNamespace(address=dead_address)).get(f"{dead_address}/noise.bin")


def test_a_stalled_service_is_a_time_out(proxy, client_of):
    proxy.rules = [Rule("slow", seconds=0.9)]
    with pytest.raises(SourceError, match="time-out"):
        client_of(proxy, tries=1, timeout_s=0.3).get(f"{proxy.address}/noise.bin")


@pytest.mark.parametrize("fault", ["busy", "busy-until"])
def test_retry_after_is_honoured(fault, proxy, client_of):
    import time

    proxy.rules = [Rule(fault, times=1, seconds=2.0)]
    started = time.monotonic()
    client_of(proxy).get(f"{proxy.address}/small.bin")
    # A date has whole seconds.
    assert time.monotonic() - started >= (2.0 if fault == "busy" else 0.9)


def test_a_file_that_changes_between_ranges_is_never_mixed(proxy, holdings, client_of):
    client, url = client_of(proxy), f"{proxy.address}/noise.bin"
    file, second = client.open(url), client.open(url)
    head = file.read(1000)
    assert head == (holdings / "noise.bin").read_bytes()[:1000]
    proxy.rules = [Rule("changed")]
    file.seek(300_000)
    with pytest.raises(SourceError, match=r"noise.bin changed while it was read \(\d+ bytes .*, now \d+ bytes \"ch"):
        file.read(10)
    with pytest.raises(SourceError, match="changed while it was read"):
        second.seek(500_000), second.read(10)
    changed = bytes(byte ^ 0x55 for byte in (holdings / "noise.bin").read_bytes())
    assert client.open(url).read() == changed
    assert client_of(proxy, offline=True).open(url).read() == changed


def test_a_service_without_tags_is_told_by_length_alone(proxy, holdings, client_of):
    """And one that changes its length is an error too."""
    client, url = client_of(proxy), f"{proxy.address}/noise.bin"
    file = client.open(url)
    proxy.rules = [Rule("wrong-range")]
    file.seek(200_000)
    with pytest.raises(SourceError, match="changed while it was read"):
        file.read(1)


def test_the_proxy_runs_in_a_process_of_its_own_before_every_service(files, holdings, client_of, tmp_path):
    from types import SimpleNamespace

    (tmp_path / "services.json").write_text(
        json.dumps({"files": {"address": files.address}, "other": {"missing": "x"}})
    )
    state = faults.start(tmp_path)
    try:
        (front,) = (SimpleNamespace(**front) for front in state["fronts"].values())
        faults.set_rules(front.address, [Rule("truncated", path=r"\.bin$", times=1)])
        client = client_of(front)
        assert client.get(f"{front.address}/noise.bin").read_bytes() == (holdings / "noise.bin").read_bytes()
        assert client.requests == 2
    finally:
        faults.stop(state)


def test_rules_may_be_told_in_words():
    assert faults.rule_of("fault=busy,path=tif$,times=3,seconds=0.5,ranges=true") == Rule(
        "busy", path="tif$", times=3, seconds=0.5, ranges=True
    )
    assert faults.rule_of('{"fault": "page", "every": 2}') == Rule("page", every=2)
    with pytest.raises(ValueError, match="no such fault: flood"):
        FaultProxy("http://127.0.0.1:1", [Rule("flood")])
