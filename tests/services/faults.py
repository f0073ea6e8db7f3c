"""A proxy on 127.0.0.1 that stands in front of a service and spoils what it answers, by rule.

    PYTHONPATH=tests python -m services.faults http://127.0.0.1:8000 --port 9000 --rule fault=truncated,times=3

A rule says which requests it meets, how many of them, and what happens to them (`faultkinds.FAULTS`). Rules of a
running proxy are set by `proxy.rules = [...]`, or with a POST of a JSON list to /-/rules. Passes on all else as it is.
For tests alone.
"""

import argparse
import http.client
import json
import re
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from services.faultkinds import FAULTS, Answer, Rule
from services.processes import free_port, start_process, stop_process, wait_for

__all__ = ["FAULTS", "FaultProxy", "Rule", "set_rules", "start_proxy"]

_PER_CONNECTION = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "date", "server"}


class FaultProxy:
    """Stands in front of `upstream` until closed: `with FaultProxy(address, [Rule("busy", times=2)]) as proxy`.

    address: to be asked instead of the upstream. log: (method, path and query, Range, fault or "") of each request.
    most_at_once: requests that were under way together.
    """

    def __init__(self, upstream: str, rules: Iterable[Rule] = (), *, port: int = 0) -> None:
        parts = urlsplit(upstream)
        self.upstream = (parts.hostname or "127.0.0.1", parts.port or 80)
        self.log: list[tuple[str, str, str, str]] = []
        self.refused: set[str] = set()
        self.most_at_once, self._at_once, self._lock = 0, 0, threading.Lock()
        self.rules = list(rules)
        owner = self

        class Handler(_Handler):
            proxy = owner

        self._server = _Server(("127.0.0.1", port), Handler)
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        self.address = f"http://{self.host}"

    @property
    def rules(self) -> list[Rule]:
        return self._rules

    @rules.setter
    def rules(self, rules: Sequence[Rule]) -> None:
        unknown = {rule.fault for rule in rules} - FAULTS.keys()
        if unknown:
            raise ValueError(f"no such fault: {', '.join(sorted(unknown))}; there are: {', '.join(FAULTS)}")
        with self._lock:
            self._rules, self._met = list(rules), [0] * len(rules)
            self.refused.clear()

    def __enter__(self) -> "FaultProxy":
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._server.shutdown()
        self._server.server_close()

    def serve(self) -> None:
        self._server.serve_forever()

    def spoils(self, method: str, path: str, asked: str) -> list[Rule]:
        """The rules that meet a request, each counted."""
        found = []
        with self._lock:
            for number, rule in enumerate(self._rules):
                if not re.search(rule.path, path) or rule.method not in ("", method):
                    continue
                if rule.ranges is not None and rule.ranges != bool(asked):
                    continue
                met = self._met[number] - rule.skip
                self._met[number] += 1
                if met >= 0 and met % rule.every == 0 and (rule.times is None or met // rule.every < rule.times):
                    found.append(rule)
            self.log.append((method, path, asked, " ".join(rule.fault for rule in found)))
        return found

    def faults_met(self) -> int:
        """How many requests were spoilt so far."""
        return sum(1 for *_, fault in self.log if fault)

    def ask(self, method: str, path: str, headers: dict[str, str], body: bytes | None) -> Answer:
        """What the service behind answers."""
        connection = http.client.HTTPConnection(*self.upstream, timeout=60)
        try:
            connection.request(method, path, body=body, headers=headers)
            got = connection.getresponse()
            kept = {name: value for name, value in got.getheaders() if name.lower() not in _PER_CONNECTION}
            return Answer(got.status, kept, got.read())
        finally:
            connection.close()

    def enter(self, step: int) -> None:
        with self._lock:
            self._at_once += step
            self.most_at_once = max(self.most_at_once, self._at_once)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away in the middle are what this is for."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    proxy: FaultProxy

    def do_GET(self) -> None:
        self._pass_on()

    do_HEAD = do_POST = do_GET

    def log_message(self, *_: Any) -> None:
        pass

    def _pass_on(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length) if length else None
        if self.path.startswith("/-/"):
            self._control(body or b"")
            return
        asked = self.headers.get("Range", "")
        rules = self.proxy.spoils(self.command, self.path, asked)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _PER_CONNECTION}
        if any(rule.fault == "no-ranges" for rule in rules):
            headers = {name: value for name, value in headers.items() if name.lower() not in ("range", "if-range")}
        self.proxy.enter(1)
        try:
            # So that a service that writes addresses into its answers writes ours.
            answer = self.proxy.ask(self.command, self.path, headers, body)
            for rule in rules:
                if FAULTS[rule.fault](self, answer, rule):
                    return
            self.end(answer.status, answer.headers, answer.body)
        finally:
            self.proxy.enter(-1)

    def end(self, status: int, headers: dict[str, str], body: bytes, *, length: int | None = None) -> None:
        """Sends an answer. length: what its header says instead of the truth."""
        self.begin(status, headers, len(body) if length is None else length)
        if self.command != "HEAD":
            self.wfile.write(self.head + body)
        self.head = b""

    def begin(self, status: int, headers: dict[str, str], length: int) -> None:
        """Holds the head of an answer in `head`, to be sent together with its body."""
        lines = [f"HTTP/1.1 {status} {http.client.responses.get(status, '')}"]
        lines += [f"{name}: {value}" for name, value in headers.items() if name.lower() != "content-length"]
        self.head = "\r\n".join([*lines, f"Content-Length: {length}", "", ""]).encode("latin-1")
        if self.command == "HEAD":
            self.wfile.write(self.head)
            self.head = b""

    def cut(self, *, reset: bool) -> None:
        """Ends the connection: as if it were done, or with a reset."""
        self.close_connection = True
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        else:
            self.connection.shutdown(socket.SHUT_RDWR)

    def _control(self, body: bytes) -> None:
        if self.path == "/-/rules" and self.command == "POST":
            self.proxy.rules = [Rule(**one) for one in json.loads(body or b"[]")]
        told = {"rules": [asdict(rule) for rule in self.proxy.rules], "log": self.proxy.log}
        self.end(200, {"Content-Type": "application/json"}, json.dumps(told).encode())


def missing() -> str | None:
    """Why this service cannot be started here; None where it can."""
    return None


def start(folder: Path) -> dict[str, Any]:
    """Puts a proxy, in a process of its own, before each service that stands in FOLDER/services.json.

    Returns for each by its name the address of the proxy and its process; without rules it passes everything on.
    """
    states = json.loads((folder / "services.json").read_text()) if (folder / "services.json").exists() else {}
    fronts = {name: state["address"] for name, state in states.items() if "address" in state}
    return {"fronts": {name: start_proxy(address, log=folder / "faults.log") for name, address in fronts.items()}}


def start_proxy(upstream: str, rules: Sequence[Rule] = (), *, log: Path | None = None) -> dict[str, Any]:
    """Puts a proxy in a process of its own before a service."""
    port = free_port()
    words = [sys.executable, __file__, upstream, "--port", str(port)]
    for rule in rules:
        words += ["--rule", json.dumps(asdict(rule))]
    pid = start_process(words, log=log)
    wait_for(("127.0.0.1", port), pid)
    return {"address": f"http://127.0.0.1:{port}", "pid": pid}


def stop(state: dict[str, Any]) -> None:
    """Ends what `start` started."""
    for front in state["fronts"].values():
        stop_process(front["pid"])


def set_rules(address: str, rules: Sequence[Rule]) -> None:
    """Sets the rules of a proxy in another process."""
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    connection.request("POST", "/-/rules", body=json.dumps([asdict(rule) for rule in rules]))
    if connection.getresponse().status != 200:
        raise RuntimeError(f"{address} takes no rules")
    connection.close()


def rule_of(text: str) -> Rule:
    """A rule from JSON, or from fault=NAME,path=PATTERN,times=3."""
    if text.lstrip().startswith("{"):
        return Rule(**json.loads(text))
    words = dict(pair.split("=", 1) for pair in text.split(","))
    numbers: dict[str, Callable[[str], Any]] = {"skip": int, "times": int, "every": int, "seconds": float}
    numbers["ranges"] = lambda word: word == "true"
    return replace(Rule(words.pop("fault")), **{name: numbers.get(name, str)(word) for name, word in words.items()})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("upstream")
    parser.add_argument("--port", type=int, default=9000)
    parser.add_argument("--rule", action="append", type=rule_of, default=[])
    chosen = parser.parse_args()
    FaultProxy(chosen.upstream, chosen.rule, port=chosen.port).serve()
