"""The ranges of a remote file: cached in blocks of 64 KiB, never a mix of two states of the file.

Every range is asked for on condition that the file is what it was; one that changed is an error, and what was kept of
it is dropped. Where a service ignores ranges the whole file goes through the cache.
"""

import re
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from requests import Response

from headscarp.core.errors import SourceError
from headscarp.sources.web.address import key_of, shown
from headscarp.sources.web.body import Again, is_page, page_title, read_body
from headscarp.sources.web.cache import Run, Version
from headscarp.sources.web.ledger import BLOCK
from headscarp.sources.web.wire import AnswerError

if TYPE_CHECKING:
    from headscarp.sources.web.client import Client

_HEAD = 1
"""Blocks that are read at once when a file is opened: the head of a cloud-optimised file with its table of tiles."""
_BRIDGE = 1
"""Blocks between two wanted ones that are rather fetched along than skipped with a request of their own."""
_LONGEST = 256
"""Blocks of the longest range that is asked for at once: 16 MiB."""


class Ranges:
    """What is known and kept of a remote file: shared by all who have it open in a client."""

    def __init__(self, client: "Client", url: str, source: str) -> None:
        self.client, self.url, self.source = client, url, source
        self.key, self.address = key_of("GET", url), shown(url)
        self.version: Version | None = None
        self.changed = False
        self._whole: Path | None = None
        self._runs: dict[int, Run] = {}
        self._listed = 0
        self._under_way: set[int] = set()
        self._turn = threading.Condition()

    @property
    def length(self) -> int:
        if self.version is None:
            raise SourceError(f"{self.address} is not open")
        return self.version.length

    def prepare(self) -> None:
        """Finds out how long the file is, from the cache or with its head. Raises SourceError."""
        with self._turn:
            if self.version is not None or self._from_cache():
                return
            self.client.refuse_offline(self.key, self.url)
            self._ask_run(list(range(_HEAD)))

    def read(self, wanted: range) -> list[bytes]:
        """The bytes of neighbouring blocks. Raises SourceError."""
        asked = self.fetch(wanted)
        blocks = self._kept(wanted)
        if self._whole is not None:  # The ledger has it as a whole.
            return blocks
        for block, data in zip(wanted, blocks, strict=True):
            if not self.client.ledger.has_block(self.address, block * BLOCK, source=self.source):
                self.client.ledger.note_block(
                    self.address, block * BLOCK, data, source=self.source, from_cache=block not in asked
                )
        return blocks

    def fetch(self, wanted: Sequence[int]) -> set[int]:
        """Sees to it that blocks are kept, whoever fetches them; returns those that were asked for now."""
        asked: set[int] = set()
        while True:
            with self._turn:
                if self._whole is not None:
                    return asked
                if self.changed:
                    raise SourceError(f"{self.address} changed while it was read; open it anew")
                lacking = [block for block in wanted if block not in self._runs]
                if lacking:
                    self._look_again()
                    lacking = [block for block in wanted if block not in self._runs]
                if not lacking:
                    return asked
                mine = [block for block in lacking if block not in self._under_way]
                if not mine:
                    self._turn.wait(1.0)
                    continue
                stretch = _first_stretch(mine, self._runs.keys() | self._under_way)
                self._under_way.update(stretch)
            try:
                self._ask_run(stretch)
                asked.update(stretch)
            finally:
                with self._turn:
                    self._under_way.difference_update(stretch)
                    self._turn.notify_all()

    def _from_cache(self) -> bool:
        whole = self.client.cache.find(self.key)
        if whole is not None:
            self._take_whole(*whole, from_cache=True)
            return True
        self.version = self.client.cache.version(self.key)
        self._look_again()
        return self.version is not None

    def _take_whole(self, entry: Any, path: Path, *, from_cache: bool) -> None:
        self.version, self._whole = Version(entry.bytes, entry.etag, entry.modified), path
        self.client.ledger.note_whole(
            entry.address, entry.sha256, entry.bytes, source=self.source, from_cache=from_cache
        )

    def _look_again(self) -> None:
        """Another process may have fetched more of the file meanwhile."""
        if self.version is not None:
            runs, self._listed = self.client.cache.runs(self.key, self.version, self._listed)
            self._add(runs)

    def _add(self, runs: Sequence[Run]) -> None:
        for run in runs:
            for block in range(run.first, run.first + run.count):
                self._runs[block] = run

    def _kept(self, wanted: range) -> list[bytes]:
        """Blocks from the cache."""
        blocks: list[bytes] = []
        at = wanted.start
        while at < wanted.stop:
            path, first, end = self._body_of(at)
            with path.open("rb") as file:
                file.seek((at - first) * BLOCK)
                data = file.read((min(end, wanted.stop) - at) * BLOCK)
            blocks += [data[start : start + BLOCK] for start in range(0, len(data), BLOCK)]
            at = min(end, wanted.stop)
        return blocks

    def _body_of(self, block: int) -> tuple[Path, int, int]:
        """The sound body that holds a block, its first block and the one behind its last. A damaged one is mended."""
        for _ in range(3):
            if self._whole is not None:
                return self._whole, 0, -(-self.length // BLOCK)
            run = self._runs.get(block)
            path = self.client.cache.body(run.sha256, run.bytes) if run else None
            if run and path:
                return path, run.first, run.first + run.count
            self._replace(block, run)
        raise SourceError(f"{self.client.cache.folder} does not keep what is written there; check the disk")

    def _replace(self, block: int, damaged: Run | None) -> None:
        self.client.refuse_offline(self.key, self.url)
        stretch = range(damaged.first, damaged.first + damaged.count) if damaged else range(block, block + 1)
        with self._turn:
            for one in stretch:
                self._runs.pop(one, None)
        self._ask_run(list(stretch))

    def _ask_run(self, stretch: Sequence[int]) -> None:
        """Fetches neighbouring blocks in one request and keeps them as one run."""
        self.client.refuse_offline(self.key, self.url)
        first, end = stretch[0] * BLOCK, (stretch[-1] + 1) * BLOCK
        headers = {"Range": f"bytes={first}-{(min(end, self.length) if self.version else end) - 1}"}
        condition = self.version and _condition(self.version)
        if condition:
            headers["If-Range"] = condition

        def take(response: Response) -> None:
            self._take(response, first, end)

        try:
            self.client.wire.ask(self.url, take, headers=headers, accept=(200, 206, 416))
        except AnswerError as error:
            if error.status == 404:
                self.client.keep_absence(self.key, self.url)
            raise

    def _take(self, response: Response, first: int, end: int) -> None:
        if response.status_code == 416:
            self._take_beyond(response)
            return
        if response.status_code == 200:
            self._take_all(response)
            return
        start, last, length = _content_range(response)
        version = Version(length, response.headers.get("ETag", ""), response.headers.get("Last-Modified", ""))
        self._refuse_change(version)
        if start != first or last != min(end, length) - 1:
            raise Again(f"bytes {start}-{last} came where {first}-{min(end, length) - 1} were asked for")
        with self.client.cache.draft() as draft:
            head = bytearray()

            def write(piece: bytes) -> None:
                if len(head) < 1024:
                    head.extend(piece[:1024])
                draft.write(piece)
                self.client.count(len(piece))

            read_body(response, write, timeout_s=self.client.wire.timeout_s, unmeasured=True)
            if draft.bytes != last + 1 - first:
                raise Again(f"{draft.bytes} bytes came where {last + 1 - first} were asked for")
            if is_page(response, bytes(head)):
                raise AnswerError(f"{self.address} is a web page{page_title(bytes(head))} (HTML), no data")
            run = Run(first // BLOCK, -(-draft.bytes // BLOCK), draft.finish_part(), draft.bytes)
        cache = self.client.cache
        if self.version is None:
            cache.keep_version(self.key, version, self.address)
        cache.keep_run(self.key, self.version or version, run)
        with self._turn:
            self.version = self.version or version
            self._add([run])

    def _take_all(self, response: Response) -> None:
        """The whole file, from a service that ignores ranges, or that has another file there now."""
        length = response.headers.get("Content-Length", "")
        if self.version is not None:
            tags = (response.headers.get("ETag", ""), response.headers.get("Last-Modified", ""))
            self._refuse_change(Version(int(length) if length.isdigit() else self.version.length, *tags))
        entry, path = self.client.take_body(response, self.key, self.url)
        self._refuse_change(Version(entry.bytes, entry.etag, entry.modified))
        with self._turn:
            self._take_whole(entry, path, from_cache=False)

    def _take_beyond(self, response: Response) -> None:
        """No such range: the file is empty, or shorter than it was."""
        found = re.fullmatch(r"bytes \*/(\d+)", response.headers.get("Content-Range", ""))
        if found and int(found.group(1)) == 0 and self.version is None:
            self.version = Version(0, response.headers.get("ETag", ""), response.headers.get("Last-Modified", ""))
            self.client.cache.keep_version(self.key, self.version, self.address)
            return
        self._refuse_change(Version(int(found.group(1)) if found else -1))
        raise Again("the service refused a range that lies within the file")

    def _refuse_change(self, now: Version) -> None:
        before = self.version
        if before is None or before.agrees(now):
            return
        self.client.cache.drop_ranges(self.key, before)
        self.client.ledger.forget_ranges(self.address)
        with self._turn:
            self.changed = True
            self._runs.clear()
        raise SourceError(
            f"{self.address} changed while it was read ({_words(before)}, now {_words(now)}); nothing of the two was "
            "mixed and what was kept of it is dropped: run the same again to read it as it is now"
        )


def _first_stretch(mine: Sequence[int], taken: Any) -> list[int]:
    """The first blocks that one request can bring: neighbours, and those across small gaps that nobody has."""
    stretch = [mine[0]]
    for block in mine[1:]:
        gap = range(stretch[-1] + 1, block)
        if len(gap) > _BRIDGE or len(stretch) + len(gap) >= _LONGEST or any(between in taken for between in gap):
            break
        stretch += [*gap, block]
    return stretch


def _condition(version: Version) -> str:
    """What If-Range may hold: a strong tag, else a date; a weak tag only tells afterwards."""
    return version.etag if version.etag and not version.etag.startswith("W/") else version.modified


def _content_range(response: Response) -> tuple[int, int, int]:
    found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", response.headers.get("Content-Range", "").strip())
    if not found:
        raise Again("the service gave a part without saying which of how much")
    start, last, length = (int(text) for text in found.groups())
    return start, last, length


def _words(version: Version) -> str:
    tag = version.etag or version.modified
    return f"{version.length} bytes{f' {tag}' if tag else ''}" if version.length >= 0 else f"other {tag}".strip()
