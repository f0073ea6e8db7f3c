"""The client that survives: whatever a service does, the bytes are right or there is an error that says why not.

Everything is read through a cache: whole bodies as files, large files by ranges. What is in the cache is not asked for
again; offline, nothing is asked for at all. Contacts only the hosts that it is told. Knows nothing of landslides.
"""

import json
import re
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

from requests import Response

from headscarp.core.errors import SourceError
from headscarp.sources.web.address import check_host, key_of, shown, unsigned, with_params
from headscarp.sources.web.body import Again, error_said, is_page, page_title, read_body
from headscarp.sources.web.cache import Cache, Entry, suffix_of
from headscarp.sources.web.ledger import Fetched, Ledger, Missing
from headscarp.sources.web.ranges import Ranges
from headscarp.sources.web.remote import RemoteFile
from headscarp.sources.web.wire import AnswerError, Signer, Wire

__all__ = ["AnswerError", "Client", "Fetched", "Missing", "RemoteFile", "Signer"]

Check = Callable[[Path], Any]
"""Looks at a whole body: raises SourceError where it is wrong, ValueError where it is not whole."""

_BUSY_CODES = {429, 503, 504}
_SMALL = 1 << 16
# What GDAL looks for beside a raster. The services that we read keep none of these, and each would be a request.
_SIDECAR = re.compile(
    r"(?i)(\.(aux|xml|ovr|msk|rrd|tfw|tifw|tiffw|wld|tab|imd|rpb|pvl|hdr|prj|clr|gmlx|vat\.dbf|rpc|til|eph|att)"
    r"|[_.](rpc|rpb|metadata|mtl|md)\.txt|/(mtl|metadata|summary)\.(txt|xml))$"
)
_SUFFIXES = {
    "image/tiff": ".tif",
    "application/json": ".json",
    "application/geo+json": ".geojson",
    "application/zip": ".zip",
    "application/x-zip-compressed": ".zip",
    "application/gml+xml": ".gml",
    "text/csv": ".csv",
}


class Client:
    """Reads what services give. Safe to use from many threads.

    hosts: host, host:port or *.suffix that may be asked. cache: its folder; None takes HEADSCARP_CACHE, else the
    user's own. offline: only the cache. connections: requests at once. tries, timeout_s, backoff_s: see `Wire`.
    missing: what could not be had; filled by whoever decided to go on without it.
    bytes_read, requests: what went over the network so far. ledger: where every byte came from.
    """

    def __init__(
        self,
        hosts: Iterable[str],
        *,
        cache: Path | None = None,
        offline: bool = False,
        connections: int = 8,
        tries: int = 6,
        timeout_s: float = 60.0,
        backoff_s: float = 0.5,
        signer: Signer | None = None,
    ) -> None:
        self.wire = Wire(
            hosts, connections=connections, tries=tries, timeout_s=timeout_s, backoff_s=backoff_s, signer=signer
        )
        self.cache, self.offline = Cache(cache), offline
        self.ledger, self.missing, self.bytes_read = Ledger(), [], 0
        self._lock = threading.Lock()
        self._busy: WeakValueDictionary[str, _KeyLock] = WeakValueDictionary()
        self._remotes: WeakValueDictionary[tuple[str, str], Ranges] = WeakValueDictionary()
        # Files are opened again and again: what is known of the last ones is not read from the cache anew.
        self._lately: deque[Ranges] = deque(maxlen=64)

    missing: list[Missing]

    @property
    def hosts(self) -> tuple[str, ...]:
        return self.wire.hosts

    @property
    def requests(self) -> int:
        return self.wire.requests

    @property
    def fetched(self) -> list[Fetched]:
        """Every byte's origin, by source and address."""
        return self.ledger.fetched()

    def get(
        self,
        url: str,
        *,
        params: Mapping[str, Any] | None = None,
        check: Check | None = None,
        source: str = "",
        fresh: bool = False,
    ) -> Path:
        """The whole body at an address, as a read-only file in the cache.

        check: looks at the file before it is kept. fresh: ask the service even where the cache has it.
        Raises SourceError for what cannot be had, AnswerError (with `status`) where the service says no.
        """
        return self._body("GET", with_params(url, params), None, check, source, fresh)

    def get_json(
        self, url: str, *, params: Mapping[str, Any] | None = None, source: str = "", fresh: bool = False
    ) -> Any:
        """The JSON at an address. Raises SourceError, also for an error that stands in a body."""
        return _parsed(self._body("GET", with_params(url, params), None, _parsed, source, fresh))

    def post_json(self, url: str, body: Any, *, source: str = "", fresh: bool = False) -> Any:
        """The JSON that a service answers to a JSON body, such as a search. Raises SourceError."""
        return _parsed(self._body("POST", url, body, _parsed, source, fresh))

    def open(self, url: str, *, source: str = "") -> RemoteFile:
        """A file that reads by ranges. Raises SourceError, here and in reads; see `RemoteFile`."""
        check_host(url, self.hosts)
        key = (key_of("GET", url), source)
        with self._lock:
            ranges = self._remotes.get(key)
            if ranges is None or ranges.changed:
                ranges = self._remotes[key] = Ranges(self, url, source)
            self._lately.append(ranges)
        ranges.prepare()
        return RemoteFile(ranges)

    def opener(self, path: str, mode: str = "rb") -> RemoteFile:
        """For `rasterio.open(url, opener=client.opener)`. What GDAL looks for beside a raster is not asked for.

        Errors in reads cannot be raised through GDAL: use `sources.rasterfiles.open_raster`, which brings them out.
        """
        if "r" not in mode or "+" in mode:
            raise SourceError(f"{shown(path)} can only be read; mode {mode!r} was asked for")
        # GDAL's path handling may make one slash of two.
        url = re.sub(r"^(https?):/(?=[^/])", r"\1://", path)
        if not re.match(r"https?://", url) or _SIDECAR.search(urlsplit(url).path):
            raise FileNotFoundError(path)
        return self.open(url)

    def note_missing(self, url: str, why: str, source: str = "") -> None:
        """Puts what could not be had on the list, once."""
        item = Missing(shown(url), why, source)
        with self._lock:
            if item not in self.missing:
                self.missing.append(item)

    def count(self, size: int) -> None:
        """Adds to the bytes that were read over the network."""
        with self._lock:
            self.bytes_read += size

    def _body(self, method: str, url: str, body: Any, check: Check | None, source: str, fresh: bool) -> Path:
        check_host(url, self.hosts)
        key = key_of(method, url, body)
        with self._lock:
            busy = self._busy.setdefault(key, _KeyLock())
        with busy.lock:
            found = None if fresh and not self.offline else self._kept(key, check)
            if found is None:
                self.refuse_offline(key, url)
                found = self._download(key, method, url, body, check)
                entry, path, cached = *found, False
            else:
                entry, path, cached = *found, True
        self.ledger.note_whole(entry.address, entry.sha256, entry.bytes, source=source, from_cache=cached)
        return path

    def _kept(self, key: str, check: Check | None) -> tuple[Entry, Path] | None:
        """What the cache has, where it stands the check of this caller."""
        found = self.cache.find(key)
        if found and check:
            try:
                check(found[1])
            except (SourceError, ValueError):
                return None
        return found

    def refuse_offline(self, key: str, url: str) -> None:
        """Raises SourceError where nothing may be fetched."""
        if not self.offline:
            return
        entry = self.cache.entry(key)
        if entry and entry.status == 404:
            raise AnswerError(f"{shown(url)} answered HTTP 404 when it was asked last; there is nothing there", 404)
        raise SourceError(
            f"{shown(url)} is not in the cache ({self.cache.folder}), and offline nothing is fetched; run the same "
            "once without --offline"
        )

    def _download(self, key: str, method: str, url: str, body: Any, check: Check | None) -> tuple[Entry, Path]:
        def take(response: Response) -> tuple[Entry, Path]:
            return self.take_body(response, key, url, check)

        try:
            return self.wire.ask(url, take, method=method, body=body)
        except AnswerError as error:
            if error.status == 404:
                self.keep_absence(key, url)
            raise

    def keep_absence(self, key: str, url: str) -> None:
        """Notes that a service has nothing at an address, so that it is the same offline; online it is asked anew."""
        self.cache.keep(key, Entry(shown(url), "", 0, status=404))

    def take_body(self, response: Response, key: str, url: str, check: Check | None = None) -> tuple[Entry, Path]:
        """Puts the whole body of an answer into the cache once it proves to be what was asked for."""
        media, start = response.headers.get("Content-Type", ""), bytearray()
        with self.cache.draft() as draft:

            def write(piece: bytes) -> None:
                if len(start) < _SMALL:
                    start.extend(piece[: _SMALL - len(start)])
                draft.write(piece)
                self.count(len(piece))

            read_body(response, write, timeout_s=self.wire.timeout_s, unmeasured=check is not None)
            _refuse_page(response, bytes(start), url)
            if draft.bytes < _SMALL:
                _refuse_error(bytes(start), url)
            if check:
                try:
                    check(draft.flush())
                except ValueError as error:
                    raise Again(f"its body cannot be read ({type(error).__name__})") from None
            suffix = suffix_of(urlsplit(url).path, media, _SUFFIXES)
            sha256 = draft.finish(suffix)
        tags = (response.headers.get("ETag", ""), response.headers.get("Last-Modified", ""))
        entry = Entry(shown(unsigned(url)), sha256, draft.bytes, suffix, *tags)
        self.cache.keep(key, entry)
        path = self.cache.body(sha256, draft.bytes, suffix)
        if path is None:
            raise SourceError(f"{self.cache.folder} lost what was written there; another program may be emptying it")
        return entry, path


class _KeyLock:
    """A lock that is forgotten when nobody holds it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()


def _parsed(path: Path) -> Any:
    return json.loads(path.read_bytes())


def _refuse_page(response: Response, start: bytes, url: str) -> None:
    if is_page(response, start):
        raise AnswerError(
            f"{shown(url)} answers with a web page{page_title(start)} (HTML) instead of data; perhaps it asks for a "
            "login or is being repaired: open the address in a browser to see"
        )


def _refuse_error(start: bytes, url: str) -> None:
    said = error_said(start)
    if said and said[0] in _BUSY_CODES:
        raise Again(f"error {said[0]} in its body: {said[1]}")
    if said:
        raise AnswerError(f"{shown(url)} answers with error {said[0]} in its body: {said[1]}", said[0])
