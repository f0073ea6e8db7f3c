"""The cache of what was downloaded: bodies under their SHA-256, and an index from what was asked for to them.

A body is written beside its place, flushed and renamed, so half of one is never seen; it is checked before its first
use, and one that is damaged counts as not there. Any number of processes may share a folder: nothing is changed in
place but lists of ranges, which only grow by whole lines. Refuses nothing; forgets nothing by itself.
"""

import hashlib
import json
import os
import re
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from headscarp.core.artefact import clear_os_errors
from headscarp.core.provenance import file_sha256

CACHE = "HEADSCARP_CACHE"
_STALE_S = 7 * 86400.0


@dataclass(frozen=True)
class Entry:
    """What is known of an answer. address: as it may be shown. status 404: the service had nothing there."""

    address: str
    sha256: str
    bytes: int
    suffix: str = ""
    etag: str = ""
    modified: str = ""
    status: int = 200


@dataclass(frozen=True)
class Version:
    """What tells one state of a remote file from another: its length, and the tags that its server gives."""

    length: int
    etag: str = ""
    modified: str = ""

    @property
    def id(self) -> str:
        return hashlib.sha256(f"{self.length} {self.etag} {self.modified}".encode()).hexdigest()[:16]

    def agrees(self, other: "Version") -> bool:
        """Whether two answers may be of one state: a tag that either leaves out says nothing."""
        tags = ((self.etag, other.etag), (self.modified, other.modified))
        return self.length == other.length and all(mine == theirs for mine, theirs in tags if mine and theirs)


@dataclass(frozen=True)
class Run:
    """Neighbouring blocks of a remote file that were fetched at once, kept as one body."""

    first: int
    count: int
    sha256: str
    bytes: int


class Cache:
    """A folder of bodies, and the index of what they answer."""

    def __init__(self, folder: str | Path | None = None) -> None:
        self.folder = Path(folder).expanduser().absolute() if folder else default_folder()
        self._sound: set[tuple[Path, int, int]] = set()
        self._lock = threading.Lock()
        self._sweep()

    def find(self, key: str) -> tuple[Entry, Path] | None:
        """What was kept for a key, its body sound; None where there is nothing, or nothing whole."""
        entry = self.entry(key)
        if entry is None or entry.status != 200:
            return None
        path = self.body(entry.sha256, entry.bytes, entry.suffix)
        return (entry, path) if path else None

    def entry(self, key: str) -> Entry | None:
        """What the index says of a key, whether or not its body is there."""
        try:
            return Entry(**json.loads(self._index(key).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def keep(self, key: str, entry: Entry) -> None:
        """Puts an answer into the index; its body has to be there."""
        _write_whole(self._index(key), json.dumps(asdict(entry), indent=1) + "\n")

    def body(self, sha256: str, size: int, suffix: str = "") -> Path | None:
        """The body with this checksum, read and checked once a process; None where there is none or it is damaged."""
        path = self._body(sha256, suffix)
        try:
            stat = path.stat()
        except OSError:
            return None
        state = (path, stat.st_size, stat.st_mtime_ns)
        if state in self._sound:
            return path
        if stat.st_size != size or file_sha256(path) != sha256:
            with suppress(OSError):
                path.unlink()
            return None
        with self._lock:
            self._sound.add(state)
        return path

    @contextmanager
    def draft(self) -> Iterator["Draft"]:
        """A body that is being written; unless it is finished nothing of it stays."""
        path = self.folder / "partial" / f"{os.getpid()}.{uuid.uuid4().hex}"
        with clear_os_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with path.open("xb") as file:
                    yield Draft(self, path, file)
            finally:
                path.unlink(missing_ok=True)

    def version(self, key: str) -> Version | None:
        """The state of a remote file that ranges are kept of; None where none are."""
        try:
            return Version(**json.loads((self._ranges(key) / "current.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def runs(self, key: str, version: Version, start: int = 0) -> tuple[list[Run], int]:
        """The ranges kept of a state of a remote file, from a place in their list on, and the place where it ends.

        A line that a killed process left unfinished is passed over.
        """
        try:
            with (self._ranges(key) / f"{version.id}.jsonl").open("rb") as file:
                file.seek(start)
                data = file.read()
        except OSError:
            return [], start
        data = data[: data.rfind(b"\n") + 1]
        runs = []
        for line in filter(None, data.split(b"\n")):
            with suppress(ValueError, TypeError):
                runs.append(Run(**json.loads(line)))
        return runs, start + len(data)

    def keep_version(self, key: str, version: Version, address: str) -> None:
        """Notes the state of a remote file before ranges of it are kept."""
        text = json.dumps({"length": version.length, "etag": version.etag, "modified": version.modified})
        _write_whole(self._ranges(key) / "address.txt", address + "\n")
        _write_whole(self._ranges(key) / "current.json", text + "\n")

    def keep_run(self, key: str, version: Version, run: Run) -> None:
        """Adds a range to a state of a remote file; its body has to be there."""
        path = self._ranges(key) / f"{version.id}.jsonl"
        with clear_os_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            # One write at the end of the file is one line, whoever else writes. The newline in front closes
            # a line that was left unfinished.
            with path.open("ab", buffering=0) as file:
                file.write(b"\n" + json.dumps(asdict(run)).encode() + b"\n")

    def drop_ranges(self, key: str, version: Version) -> None:
        """Forgets the ranges of a state of a remote file that is no more."""
        folder = self._ranges(key)
        with suppress(OSError):
            (folder / f"{version.id}.jsonl").unlink(missing_ok=True)
            if self.version(key) == version:
                (folder / "current.json").unlink(missing_ok=True)

    def _sweep(self) -> None:
        """Removes what killed processes left unfinished, once nobody can be writing it any more."""
        with suppress(OSError):
            for path in (self.folder / "partial").iterdir():
                if time.time() - path.stat().st_mtime > _STALE_S:
                    path.unlink()

    def _index(self, key: str) -> Path:
        return self.folder / "index" / key[:2] / f"{key}.json"

    def _ranges(self, key: str) -> Path:
        return self.folder / "ranges" / key[:2] / key

    def _body(self, sha256: str, suffix: str) -> Path:
        return self.folder / "bodies" / sha256[:2] / f"{sha256}{suffix}"


class Draft:
    """A body while it is being written."""

    def __init__(self, cache: Cache, path: Path, file: BinaryIO) -> None:
        self.path, self.bytes = path, 0
        self._cache, self._file, self._hash = cache, file, hashlib.sha256()

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self._hash.update(data)
        self.bytes += len(data)

    def flush(self) -> Path:
        """The path of what was written so far, for whoever checks it before it is finished."""
        self._file.flush()
        return self.path

    def finish(self, suffix: str = "") -> str:
        """Flushes the body to the disk and gives it its place, read-only; returns its SHA-256."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return self.finish_part(suffix)

    def finish_part(self, suffix: str = "") -> str:
        """As `finish`, without waiting for the disk: for the many small parts of a file. A part that a loss of power
        leaves torn is known by its checksum, as every damaged body is."""
        self._file.flush()
        sha256 = self._hash.hexdigest()
        place = self._cache._body(sha256, suffix)
        self.path.chmod(0o444)
        place.parent.mkdir(parents=True, exist_ok=True)
        self.path.replace(place)
        stat = place.stat()
        with self._cache._lock:
            self._cache._sound.add((place, stat.st_size, stat.st_mtime_ns))
        return sha256


def default_folder() -> Path:
    """The folder of HEADSCARP_CACHE, or the user's own."""
    import pooch

    return Path(os.environ.get(CACHE) or pooch.os_cache("headscarp")).expanduser().absolute()


def _write_whole(path: Path, text: str) -> None:
    """Writes a small file whole or not at all; several threads may write the same one."""
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    with clear_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)


def suffix_of(path: str, media: str, known: Mapping[str, str]) -> str:
    """The suffix of a body: that of its path, or of its media type; readers of files go by it."""
    found: Any = re.search(r"(\.[A-Za-z][A-Za-z0-9]{0,9})$", path)
    return found.group(1).lower() if found else known.get(media.partition(";")[0].strip().lower(), "")
