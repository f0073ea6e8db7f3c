"""What can go wrong between a client and a service: the faults that `faults.FaultProxy` injects. For tests alone."""

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Rule:
    """What happens to which requests. path: a pattern that path and query hold. skip: as many go by unharmed first.

    times: how many are spoilt, None for all. every: only each n-th. ranges: only requests with a Range (True) or
    without (False). seconds: of Retry-After, of silence, of latency, between pieces. to: where a redirect leads.
    """

    fault: str
    path: str = ""
    method: str = ""
    skip: int = 0
    times: int | None = None
    every: int = 1
    ranges: bool | None = None
    seconds: float = 1.0
    to: str = "http://elsewhere.invalid/"


@dataclass
class Answer:
    """What the service answered."""

    status: int
    headers: dict[str, str]
    body: bytes


Fault = Callable[[Any, Answer, Rule], bool]
"""Spoils an answer; True where it was sent, False where it (changed perhaps) is still to be."""


def _busy(handler: Any, answer: Answer, rule: Rule) -> bool:
    handler.end(429, {"Retry-After": f"{rule.seconds:.0f}"}, b"slow down")
    return True


def _busy_until(handler: Any, answer: Answer, rule: Rule) -> bool:
    handler.end(429, {"Retry-After": formatdate(time.time() + rule.seconds, usegmt=True)}, b"slow down")
    return True


def _unavailable(handler: Any, answer: Answer, rule: Rule) -> bool:
    handler.end(503, {"Content-Type": "text/html"}, b"<html><title>Down</title>back soon</html>")
    return True


def _reset(handler: Any, answer: Answer, rule: Rule) -> bool:
    handler.cut(reset=True)
    return True


def _reset_midway(handler: Any, answer: Answer, rule: Rule) -> bool:
    _send_half(handler, answer)
    time.sleep(0.05)
    handler.cut(reset=True)
    return True


def _truncated(handler: Any, answer: Answer, rule: Rule) -> bool:
    _send_half(handler, answer)
    handler.cut(reset=False)
    return True


def _length_too_great(handler: Any, answer: Answer, rule: Rule) -> bool:
    handler.end(answer.status, answer.headers, answer.body, length=len(answer.body) + 1000)
    handler.cut(reset=False)
    return True


def _length_too_small(handler: Any, answer: Answer, rule: Rule) -> bool:
    handler.end(answer.status, answer.headers, answer.body, length=max(len(answer.body) - 1000, len(answer.body) // 2))
    return True


def _no_length(handler: Any, answer: Answer, rule: Rule) -> bool:
    """As old servers do: the body ends where the connection does, here in its middle."""
    head = f"HTTP/1.1 {answer.status} OK\r\nConnection: close\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items() if name != "Content-Length")
    handler.wfile.write(head.encode("latin-1") + b"\r\n" + answer.body[: len(answer.body) // 2])
    handler.cut(reset=False)
    return True


def _slow(handler: Any, answer: Answer, rule: Rule) -> bool:
    """Pieces with pauses between; with pauses beyond the time-out of a client it is a stalled service."""
    handler.begin(answer.status, answer.headers, len(answer.body))
    handler.wfile.write(handler.head)
    step = max(1, len(answer.body) // 4)
    for start in range(0, len(answer.body), step):
        time.sleep(rule.seconds)
        handler.wfile.write(answer.body[start : start + step])
    return True


def _silent(handler: Any, answer: Answer, rule: Rule) -> bool:
    time.sleep(rule.seconds)
    handler.cut(reset=False)
    return True


def _latency(handler: Any, answer: Answer, rule: Rule) -> bool:
    time.sleep(rule.seconds)
    return False


def _expired(handler: Any, answer: Answer, rule: Rule) -> bool:
    """Refuses the signature that a request has, now and for ever; with another it is let through."""
    handler.proxy.refused.update(_signatures(handler.path) or {""})
    return _refuse_known(handler, answer, rule)


def _signed_only(handler: Any, answer: Answer, rule: Rule) -> bool:
    """Refuses requests without a signature, and with one that expired."""
    handler.proxy.refused.add("")
    return _refuse_known(handler, answer, rule)


def _page(handler: Any, answer: Answer, rule: Rule) -> bool:
    page = b"<!DOCTYPE html>\n<html><head><title>Please log in</title></head><body>" + b"x" * 500 + b"</body></html>"
    handler.end(200, {"Content-Type": "text/html; charset=utf-8"}, page)
    return True


def _page_unnamed(handler: Any, answer: Answer, rule: Rule) -> bool:
    """A web page that says it is what was asked for."""
    page = (b"<html><title>Please log in</title>" + b" " * len(answer.body))[: max(len(answer.body), 64)]
    handler.end(answer.status, answer.headers, page)
    return True


def _error_body(handler: Any, answer: Answer, rule: Rule) -> bool:
    error = {"error": {"code": 400, "message": "Unable to complete operation.", "details": ["token=SECRET is unknown"]}}
    handler.end(200, {"Content-Type": "application/json"}, json.dumps(error).encode())
    return True


def _redirect(handler: Any, answer: Answer, rule: Rule) -> bool:
    handler.end(302, {"Location": rule.to}, b"")
    return True


def _changed(handler: Any, answer: Answer, rule: Rule) -> bool:
    """Another file is there now, as long as the old one."""
    answer.body = bytes(byte ^ 0x55 for byte in answer.body)
    answer.headers = {**answer.headers, "ETag": '"changed"'}
    return False


def _wrong_range(handler: Any, answer: Answer, rule: Rule) -> bool:
    found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", answer.headers.get("Content-Range", ""))
    if found:
        first, last, length = (int(text) for text in found.groups())
        answer.headers["Content-Range"] = f"bytes {first + 1}-{last + 1}/{length + 1}"
    return False


def _pass(handler: Any, answer: Answer, rule: Rule) -> bool:
    return False


FAULTS: dict[str, Fault] = {
    "busy": _busy,
    "busy-until": _busy_until,
    "unavailable": _unavailable,
    "reset": _reset,
    "reset-midway": _reset_midway,
    "truncated": _truncated,
    "length-too-great": _length_too_great,
    "length-too-small": _length_too_small,
    "no-length": _no_length,
    "slow": _slow,
    "silent": _silent,
    "latency": _latency,
    "expired": _expired,
    "signed-only": _signed_only,
    "page": _page,
    "page-unnamed": _page_unnamed,
    "error-body": _error_body,
    "redirect": _redirect,
    "changed": _changed,
    "wrong-range": _wrong_range,
    "no-ranges": _pass,
}


def _send_half(handler: Any, answer: Answer) -> None:
    handler.begin(answer.status, answer.headers, len(answer.body))
    handler.wfile.write(handler.head + answer.body[: len(answer.body) // 2])


def _signatures(path: str) -> set[str]:
    return set(parse_qs(urlsplit(path).query).get("sig", []))


def _refuse_known(handler: Any, answer: Answer, rule: Rule) -> bool:
    if (_signatures(handler.path) or {""}) & handler.proxy.refused:
        handler.end(403, {"Content-Type": "application/xml"}, b"<Error><Message>Signature not valid</Message></Error>")
        return True
    return False
