"""The body of an answer, read whole or not at all.

A body that is shorter or longer than its length says is tried again; a web page, and an error in a body that says all
is well, are told from data. Refuses a body whose length nobody says, unless somebody else can vouch for it.
"""

import base64
import hashlib
import html
import json
import re
import time
from collections.abc import Callable
from typing import Any

import requests

_PIECE = 1 << 18
_SLOWEST_BYTES_PER_S = 1024
_PAGE = re.compile(rb"\s*(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html[\s>])", re.IGNORECASE | re.DOTALL)
_SECRET_TEXT = re.compile(
    r"(?i)\b(sig|token|key|signature|password|secret|credential)(\w*[\"']?\s*[=:]\s*)[^\s&,;\"']+"
)


class Again(Exception):
    """What may be well at the next try. wait_s: when the service says that it will answer again."""

    def __init__(self, why: str, wait_s: float | None = None) -> None:
        super().__init__(why)
        self.why, self.wait_s = why, wait_s


def read_body(
    response: requests.Response, write: Callable[[bytes], Any], *, timeout_s: float, unmeasured: bool = False
) -> int:
    """Hands the body on in pieces; returns its length in bytes.

    unmeasured: take a body whose length the service does not say, because the caller can tell whether it is whole.
    Raises Again for a body that is not as long as it says, does not match its checksum, or comes too slowly.
    """
    raw, given = response.raw, response.headers.get("Content-MD5", "") if response.status_code == 200 else ""
    digest = hashlib.md5(usedforsecurity=False)
    declared, chunked = _declared(response), "chunked" in response.headers.get("Transfer-Encoding", "").lower()
    if declared is None and not chunked and not unmeasured:
        raise Again("the service does not say how long its answer is, so nobody can tell whether it is whole")
    coded = response.headers.get("Content-Encoding", "identity").lower() not in ("", "identity")
    behind = getattr(getattr(raw, "_fp", None), "fp", None)
    total, started = 0, time.monotonic()
    while True:
        left = None if declared is None or coded or chunked else declared - total
        if left == 1 and _has_more(behind):
            raise Again("the body was longer than its length")
        piece = raw.read1(_PIECE if left is None else max(1, min(_PIECE, left - 1)), decode_content=True)
        if not piece:
            break
        total += len(piece)
        if given:
            digest.update(piece)
        write(piece)
        waited = time.monotonic() - started
        if waited > timeout_s and total < waited * _SLOWEST_BYTES_PER_S:
            raise Again(f"time-out: {total} bytes in {waited:.0f} s")
    if declared is not None and not coded and not chunked and total != declared:
        raise Again("the body was shorter than its length")
    if given and not coded and given != base64.b64encode(digest.digest()).decode():
        raise Again("the body does not match its checksum (Content-MD5)")
    return total


def is_page(response: requests.Response, start: bytes = b"") -> bool:
    """Whether an answer is a web page, by its type or by how it starts."""
    return response.headers.get("Content-Type", "").lower().startswith(("text/html", "application/xhtml")) or bool(
        _PAGE.match(start.removeprefix(b"\xef\xbb\xbf"))
    )


def page_title(start: bytes) -> str:
    """The title of a web page in quotes, to tell what it is; "" where it has none."""
    found = re.search(rb"<title[^>]*>(.*?)</title>", start, re.IGNORECASE | re.DOTALL)
    text = " ".join(html.unescape(found.group(1).decode("utf-8", "replace")).split())[:80] if found else ""
    return f' "{_without_secrets(text)}"' if text else ""


def error_said(data: bytes) -> tuple[int, str] | None:
    """Code and message of an ArcGIS-style {"error": {...}}; None where a body is no such thing."""
    if data.lstrip()[:1] != b"{":
        return None
    try:
        error = json.loads(data).get("error")
    except ValueError:
        return None
    if not isinstance(error, dict) or not ({"code", "message"} & error.keys()):
        return None
    details = error.get("details") or []
    parts = [
        str(error.get("message", "")),
        *(str(text) for text in (details if isinstance(details, list) else [details])),
    ]
    code = error.get("code")
    return (code if isinstance(code, int) else 0), _without_secrets(" ".join(dict.fromkeys(p for p in parts if p)))[
        :300
    ]


def scrubbed(response: requests.Response, address: str) -> str:
    """What a service says of its refusal, in parentheses: a short text without secrets, "" where it says nothing."""
    try:
        start = b""
        while len(start) < 4096 and (piece := response.raw.read1(4096, decode_content=True)):
            start += piece
    except Exception:
        return ""
    if is_page(response, start):
        return f"(a web page{page_title(start)})"
    text = start.decode("utf-8", "replace")
    try:
        data = json.loads(text)
        said = error_said(start) or (0, "")
        found = said[1] or next((data[k] for k in ("message", "detail", "description") if k in data), "")
    except (ValueError, TypeError):
        match = re.search(r"<(?:Message|ows:ExceptionText)>(.*?)</", text, re.DOTALL)
        found = match.group(1) if match else (text if len(text) < 120 and text.isprintable() else "")
    found = _without_secrets(" ".join(str(found).split()))[:200]
    return f"({found})" if found else ""


def _declared(response: requests.Response) -> int | None:
    text = response.headers.get("Content-Length", "")
    return int(text) if re.fullmatch(r"\d+", text) else None


def _has_more(behind: Any) -> bool:
    """Whether more than the one byte that is due has arrived. What a body has beyond its length is dropped below us."""
    try:
        return len(behind.peek(2)) > 1
    except (AttributeError, ValueError, OSError):
        return False


def _without_secrets(text: str) -> str:
    text = re.sub(r"https?://\S+", lambda found: found.group(0).partition("?")[0], text)
    return _SECRET_TEXT.sub(r"\1\2...", text)
