"""Addresses: which hosts may be asked, what of an address may be shown, and by which key its body is kept.

Refuses everything but http and https. A signature never enters a key, and no secret enters what is shown.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urljoin, urlsplit, urlunsplit

from headscarp.core.errors import SourceError

_HIDDEN = "..."
# What authenticates. A "token" may also be the next page of a search, so it stays in the key but is never shown.
_SECRET = {
    *("sig", "token", "key", "apikey", "api_key", "api-key", "access_token", "access_key", "auth", "authorization"),
    *("password", "secret", "signature", "subscription-key", "subscription_key", "awsaccesskeyid", "policy"),
    *("key-pair-id", "client_secret", "session", "x-amz-signature", "x-amz-credential", "x-amz-security-token"),
}
# What signs and changes from hour to hour, so that it is no part of what was asked for.
_SIGNATURE = {"sig", "signature", "awsaccesskeyid", "key-pair-id"}
_SHARED_ACCESS = {"se", "sp", "sv", "sr", "st", "spr", "skoid", "sktid", "skt", "ske", "sks", "skv", "sig"}
_ALONGSIDE_SIGNATURE = {"expires", "policy"}
_PORTS = {"http": 80, "https": 443}


def with_params(url: str, params: Mapping[str, Any] | None) -> str:
    """An address with more of a query; values that are None are left out."""
    more = [(name, value) for name, value in (params or {}).items() if value is not None]
    if not more:
        return url
    parts = urlsplit(url)
    query = "&".join(text for text in (parts.query, urlencode(more, doseq=True, quote_via=quote)) if text)
    return urlunsplit(parts._replace(query=query))


def shown(url: str) -> str:
    """An address as it may be shown and written down: no password, no secret in its query, no signature."""
    parts = urlsplit(unsigned(url))
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    if any(name.lower() in _SECRET for name, _ in pairs):
        query = "&".join(
            f"{quote(name)}={_HIDDEN if name.lower() in _SECRET else quote(value, safe='/:,')}" for name, value in pairs
        )
        parts = parts._replace(query=query)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment=""))


def unsigned(url: str) -> str:
    """An address without its signature: what was asked for, whoever signed it and when."""
    parts = urlsplit(url)
    names = {name.lower() for name, _ in parse_qsl(parts.query, keep_blank_values=True)}
    drop = {name for name in names if name.startswith(("x-amz-", "x-goog-"))} | (names & _SIGNATURE)
    if "sig" in names:
        drop |= _SHARED_ACCESS
    if drop:
        drop |= _ALONGSIDE_SIGNATURE
    kept = [text for text in parts.query.split("&") if text.partition("=")[0].lower() not in drop]
    return urlunsplit(parts._replace(query="&".join(kept)))


def key_of(method: str, url: str, body: Any = None) -> str:
    """The key under which an answer is kept: of method, address without signature, and body."""
    parts = urlsplit(unsigned(url))
    address = urlunsplit(parts._replace(scheme=parts.scheme.lower(), netloc=host_of(url), fragment=""))
    text = "" if body is None else json.dumps(body, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(f"{method} {address}\n{text}".encode()).hexdigest()


def host_of(url: str) -> str:
    """host, or host:port where the port is not the usual one, in lower case."""
    parts = _checked(url)
    host = (parts.hostname or "").lower()
    host = f"[{host}]" if ":" in host else host
    port = _port(parts, url)
    return host if port in (None, _PORTS[parts.scheme]) else f"{host}:{port}"


def origin_of(url: str) -> str:
    """Scheme and host of an address: https://example.org"""
    return f"{_checked(url).scheme}://{host_of(url)}"


def check_host(url: str, hosts: Iterable[str], *, sent_from: str = "") -> str:
    """The address, where its host is one of `hosts`: host, host:port or *.suffix. Raises SourceError that names both.

    sent_from: the address that redirected here.
    """
    host, allowed = host_of(url), tuple(hosts)
    if is_on(url, allowed):
        return url
    if sent_from:
        raise SourceError(
            f"{host_of(sent_from)} redirects to {host}, which is not among the hosts that may be asked "
            f"({', '.join(allowed)}); nothing was sent there: add {host} to the service's hosts if you trust it"
        )
    raise SourceError(
        f"{shown(url)} is on {host}, and only {', '.join(allowed) or 'no host at all'} may be asked; nothing was sent: "
        f"add {host} to the service's hosts if you trust it"
    )


def is_on(url: str, hosts: Iterable[str]) -> bool:
    """Whether the host of an address is one of `hosts`."""
    host, name = host_of(url), (urlsplit(url).hostname or "").lower()
    return any(_matches(host, name, pattern) for pattern in hosts)


def redirected(url: str, location: str) -> str:
    """Where a redirect leads. Raises SourceError when it leads from https to http."""
    target = urljoin(url, location)
    if urlsplit(url).scheme == "https" and urlsplit(target).scheme != "https":
        raise SourceError(
            f"{host_of(url)} redirects from https to {shown(target)}, where others can read and change what is sent; "
            "give the address of the service as it is today"
        )
    return target


def _matches(host: str, name: str, pattern: str) -> bool:
    pattern = pattern.lower()
    if pattern.startswith("*."):
        suffix, _, port = pattern[1:].partition(":")
        return name.endswith(suffix) and len(name) > len(suffix) and (host == name or host == f"{name}:{port}")
    return host == pattern


def _checked(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
    except ValueError:
        raise SourceError(f"{url.partition('?')[0]} is no address; needed: http(s)://host/path") from None
    if parts.scheme.lower() not in _PORTS or not parts.hostname:
        bare = urlunsplit(parts._replace(query="", fragment="", netloc=parts.netloc.rpartition("@")[2]))
        raise SourceError(f"{bare!r} is no http(s) address; needed: http(s)://host/path")
    return parts._replace(scheme=parts.scheme.lower())


def _port(parts: SplitResult, url: str) -> int | None:
    try:
        return parts.port
    except ValueError:
        raise SourceError(f"{shown(url)} has no valid port; needed: http(s)://host:port/path") from None
