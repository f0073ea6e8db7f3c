"""One request over the network until it is answered: bounded, retried, signed, redirected only where that is allowed.

What may pass by itself (a busy or broken service, a lost connection, half a body) is tried again with growing random
pauses; what will not (nothing there, not allowed, a web page instead of data) fails at once. Refuses hosts that are not
named, and lets no secret into an error: what the libraries below say holds whole addresses, so it is never repeated.
"""

import email.utils
import os
import random
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from http import cookiejar
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter

import headscarp
from headscarp.core.errors import SourceError
from headscarp.sources.web.address import check_host, origin_of, redirected, shown
from headscarp.sources.web.body import Again, scrubbed

T = TypeVar("T")
Signer = Callable[[str, bool], str]
"""(address, again) -> signed address; again after the service refused the signature that it gave before."""

_BUSY = {408, 425, 429, 500, 502, 503, 504}
_REDIRECTS = {301, 302, 303, 307, 308}
_MOST_REDIRECTS = 10
_LONGEST_WAIT_S = 300.0
_LONGEST_BACKOFF_S = 60.0


class AnswerError(SourceError):
    """A service that answers, and says no. status: its HTTP status; 0 where an error stood in a body that said 200."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Wire:
    """Asks hosts that are named, at most `connections` at once, each request up to `tries` times.

    timeout_s: the longest silence of a service. backoff_s: the longest first pause; it doubles with each try.
    """

    def __init__(
        self,
        hosts: Iterable[str],
        *,
        connections: int = 8,
        tries: int = 6,
        timeout_s: float = 60.0,
        backoff_s: float = 0.5,
        signer: Signer | None = None,
    ) -> None:
        self.hosts, self.tries, self.timeout_s, self.backoff_s = tuple(hosts), tries, timeout_s, backoff_s
        self.signer, self.requests = signer, 0
        self._room, self._lock, self._random = (
            threading.BoundedSemaphore(connections),
            threading.Lock(),
            random.Random(),
        )
        self._session, self._known = requests.Session(), dict[str, dict[str, Any]]()
        # Requests would look through the whole environment at each request: it is looked through once a host.
        self._session.trust_env = False
        self._session.cookies.set_policy(cookiejar.DefaultCookiePolicy(allowed_domains=[]))
        self._session.headers.update(
            {"User-Agent": f"headscarp/{headscarp.__version__}", "Accept-Encoding": "identity"}
        )
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(pool_connections=32, pool_maxsize=connections))

    def ask(
        self,
        url: str,
        take: Callable[[requests.Response], T],
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: Any = None,
        accept: tuple[int, ...] = (200,),
    ) -> T:
        """What `take` makes of the answer. accept: the statuses that it understands; others never reach it.

        `take` reads the body and raises Again where that was not whole; it may run several times. Raises AnswerError
        for a service that says no, SourceError for hosts that may not be asked and when all tries failed.
        """
        check_host(url, self.hosts)
        again, refused, attempt = False, False, 0
        while True:
            signed = self.signer(url, again) if self.signer else url
            again = False
            result, fault = self._attempt(signed, take, method, dict(headers or {}), body, accept)
            if fault is None:
                return result  # type: ignore[return-value]
            if isinstance(fault, AnswerError):
                if self.signer and not refused and fault.status in (401, 403):
                    again = refused = True
                    continue
                raise fault
            attempt += 1
            if attempt >= self.tries:
                raise SourceError(
                    f"{shown(url)} could not be had in {self.tries} tries (the last: {fault.why}); the service may be "
                    "down: try again later, what was downloaded so far is in the cache"
                )
            time.sleep(self._pause(attempt, fault.wait_s))

    def _attempt(
        self,
        url: str,
        take: Callable[[requests.Response], T],
        method: str,
        headers: dict[str, str],
        body: Any,
        accept: tuple[int, ...],
    ) -> tuple[T | None, "Again | AnswerError | None"]:
        """One try. Faults come back as values, so that no error carries one that quotes a whole address."""
        try:
            with self._room, self._answer(url, method, headers, body) as response:
                if response.status_code not in accept:
                    return None, _refusal(response, shown(url))
                return take(response), None
        except (Again, AnswerError) as fault:
            return None, fault
        except (requests.RequestException, urllib3.exceptions.HTTPError, ConnectionError, TimeoutError) as error:
            name = _fault_name(error)
        if name is None:
            return None, AnswerError(f"{shown(url)} could not be asked: its certificate or address is not valid")
        return None, Again(name)

    @contextmanager
    def _answer(self, url: str, method: str, headers: dict[str, str], body: Any) -> Iterator[requests.Response]:
        """The answer at the end of all redirects, each of which is checked."""
        for _ in range(_MOST_REDIRECTS):
            with self._lock:
                self.requests += 1
            response = self._session.request(
                method, url, headers=headers, json=body, stream=True, allow_redirects=False,
                timeout=(min(self.timeout_s, 30.0), self.timeout_s), **self._surroundings(url),
            )  # fmt: skip
            with response:
                location = response.headers.get("Location")
                if response.status_code not in _REDIRECTS or not location:
                    yield response
                    return
                if method == "POST" and response.status_code not in (307, 308):
                    raise AnswerError(f"{shown(url)} redirects a search elsewhere; give the address of today", 302)
                url = check_host(target := redirected(url, location), self.hosts, sent_from=url) and target
        raise AnswerError(f"{shown(url)} redirects without end; give the address of the service as it is today", 302)

    def _surroundings(self, url: str) -> dict[str, Any]:
        """What the user's environment says of a host: its proxy, its certificates, and the key in ~/.netrc."""
        origin = origin_of(url)
        if origin not in self._known:
            bundle = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
            self._known[origin] = {
                "proxies": requests.utils.get_environ_proxies(origin),
                "auth": requests.utils.get_netrc_auth(origin),
                "verify": bundle or True,
            }
        found = self._known[origin]
        return {**found, "auth": None} if "@" in urlsplit(url).netloc else found

    def _pause(self, attempt: int, asked_s: float | None) -> float:
        """Full jitter, and not before the service said that it would answer again."""
        with self._lock:
            backoff = self._random.uniform(0, min(self.backoff_s * 2 ** (attempt - 1), _LONGEST_BACKOFF_S))
        return backoff if asked_s is None else min(asked_s, _LONGEST_WAIT_S) + backoff


def retry_after_s(text: str | None) -> float | None:
    """Seconds of a Retry-After header, given as such or as a date; None where there is none or it cannot be read."""
    if not text:
        return None
    if re.fullmatch(r"\s*\d+\s*", text):
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError):
        return None


def _refusal(response: requests.Response, address: str) -> "Again | AnswerError":
    status, said = response.status_code, scrubbed(response, address)
    if status in _BUSY:
        return Again(f"HTTP {status} {said}".strip(), retry_after_s(response.headers.get("Retry-After")))
    advice = {
        400: "the request is not as the service wants it",
        401: "a key or signature is missing or expired: check the service's settings",
        403: "a key or signature is missing or expired, or the file is not public",
        404: "there is nothing at this address: check it",
        410: "it was taken away: look for its new address",
    }.get(status, "check the address")
    return AnswerError(f"{address} answers HTTP {status} {said}".rstrip() + f"; {advice}", status)


def _fault_name(error: Exception) -> str | None:
    """What happened, in words of our own; None where trying again will not help."""
    text = f"{type(error).__name__} {error}"
    if isinstance(error, requests.exceptions.InvalidURL) or re.search(r"CERTIFICATE|doesn't match", text):
        return None
    for pattern, name in (
        (r"Timeout|timed out", "time-out"),
        (r"NameResolution|gaierror|Name or service", "the host's name is not known, or there is no network"),
        (r"refused", "connection refused"),
        (r"reset|aborted|RemoteDisconnected|BrokenPipe", "connection reset"),
        (r"SSL", "the secure connection broke"),
        (r"IncompleteRead|InvalidChunk|Chunked", "the body was shorter than its length"),
    ):
        if re.search(pattern, text):
            return name
    return type(error).__name__
