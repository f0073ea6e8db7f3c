"""Signatures for files that only signed addresses give: short-lived tokens for a container of a storage account.

Asks the endpoint of Microsoft's Planetary Computer, `GET TOKEN_ENDPOINT/{account}/{container}`, which answers
{"token": query, "msft:expiry": time}, or any that does the same. A token is kept in memory alone, until five minutes
before it ends or the service refuses it. Signs nothing but addresses on the hosts that it is told.
"""

import json
import threading
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from requests import Response

from headscarp.core.errors import SourceError
from headscarp.sources.web.address import host_of, is_on, shown
from headscarp.sources.web.body import Again, read_body
from headscarp.sources.web.wire import AnswerError, Wire

_MARGIN = timedelta(minutes=5)
_UNSIGNED = datetime.max.replace(tzinfo=UTC)


class TokenSigner:
    """Signs addresses (a `Signer`). endpoint: that gives tokens. hosts: whose files need them. options: of `Wire`."""

    def __init__(self, endpoint: str, hosts: Iterable[str], **options: Any) -> None:
        self.endpoint, self.hosts = endpoint.rstrip("/"), tuple(hosts)
        self._wire = Wire([host_of(endpoint)], **options)
        self._tokens: dict[tuple[str, str], tuple[str, datetime]] = {}
        self._locks: dict[tuple[str, str], threading.Lock] = {}
        self._lock = threading.Lock()

    def __call__(self, url: str, again: bool = False) -> str:
        """The address with a token; as it is where it needs none. again: the last token was refused, get another."""
        if not is_on(url, self.hosts):
            return url
        parts = urlsplit(url)
        place = ((parts.hostname or "").partition(".")[0], parts.path.lstrip("/").partition("/")[0])
        token = self._token(place, again=again)
        return f"{url}{'&' if parts.query else '?'}{token}" if token else url

    def _token(self, place: tuple[str, str], *, again: bool) -> str:
        before = self._tokens.get(place)
        with self._lock:
            lock = self._locks.setdefault(place, threading.Lock())
        with lock:
            now = self._tokens.get(place)
            # Of many threads that were refused at once only the first asks for another token.
            stale = again and now == before
            if now is None or stale or datetime.now(UTC) > now[1] - _MARGIN:
                now = self._tokens[place] = self._ask(place)
        return now[0]

    def _ask(self, place: tuple[str, str]) -> tuple[str, datetime]:
        address = "/".join((self.endpoint, *place))
        try:
            answer = self._wire.ask(address, self._read)
        except AnswerError as error:
            if error.status == 404:  # A container that is open to all has no tokens.
                return "", _UNSIGNED
            raise
        try:
            expiry = datetime.fromisoformat(answer["msft:expiry"])
            return str(answer["token"]).lstrip("?"), expiry if expiry.tzinfo else expiry.replace(tzinfo=UTC)
        except (KeyError, TypeError, ValueError):
            raise SourceError(
                f"{shown(address)} gives no token with its time of expiry; check the service's token endpoint"
            ) from None

    def _read(self, response: Response) -> Any:
        data = bytearray()
        read_body(response, data.extend, timeout_s=self._wire.timeout_s, unmeasured=True)
        try:
            return json.loads(data)
        except ValueError:
            raise Again("the answer is no JSON") from None
