"""The ledger of a client: where every byte came from, and what could not be had.

Bodies are noted once, ranges of a remote file as the blocks that were used, so that the same reads leave the same
ledger whichever thread was first and whatever came from the cache. A ledger may be kept in a file, a line a note, so
that work that goes on after an interruption knows its origins too. Holds nothing of the bytes themselves.
"""

import hashlib
import json
import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from headscarp.core.artefact import clear_os_errors

BLOCK = 1 << 16
"""Bytes of a block: ranges are asked for and kept in whole ones."""


@dataclass(frozen=True)
class Missing:
    """What could not be had after all tries. address: without secrets."""

    address: str
    why: str
    source: str = ""


@dataclass(frozen=True)
class Fetched:
    """The origin of bytes. address: without secrets. sha256: of the body; where only ranges were used, of the lines
    "OFFSET SHA256" of their blocks of 64 KiB in ascending order. ranges: (first, last) byte, () for a whole body."""

    address: str
    sha256: str
    bytes: int
    source: str = ""
    from_cache: bool = False
    ranges: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class _Note:
    address: str
    source: str
    sha256: str
    bytes: int
    offset: int = -1


class Ledger:
    """Notes of origins. Safe to use from many threads."""

    def __init__(self) -> None:
        self._wholes: dict[tuple[str, str, str], tuple[int, bool]] = {}
        self._blocks: dict[tuple[str, str], dict[int, tuple[bytes, int]]] = {}
        self._asked: set[tuple[str, str]] = set()
        self._lock = threading.Lock()
        self._file: Path | None = None

    def keep_in(self, path: str | Path) -> None:
        """Goes on with the notes in a file, and writes every further one there as it comes."""
        path = Path(path)
        with suppress(FileNotFoundError):
            for line in path.read_text(encoding="utf-8").splitlines():
                with suppress(ValueError, TypeError):
                    self._take(_Note(**json.loads(line)), from_cache=True)
        with self._lock:
            self._file = path

    def note_whole(self, address: str, sha256: str, size: int, *, source: str, from_cache: bool) -> None:
        """Notes a whole body."""
        self._write(_Note(address, source, sha256, size), from_cache=from_cache)

    def has_block(self, address: str, offset: int, *, source: str) -> bool:
        """Whether a block is noted already, so that its checksum need not be computed anew."""
        return offset in self._blocks.get((address, source), ())

    def note_block(self, address: str, offset: int, data: bytes, *, source: str, from_cache: bool) -> None:
        """Notes a block of a remote file."""
        note = _Note(address, source, hashlib.sha256(data).hexdigest(), len(data), offset)
        self._write(note, from_cache=from_cache)

    def forget_ranges(self, address: str) -> None:
        """Takes back the blocks of a file that changed; nothing that was read of it may be used."""
        with self._lock:
            for key in [key for key in self._blocks if key[0] == address]:
                del self._blocks[key]

    def fetched(self) -> list[Fetched]:
        """All origins, by source and address: the same notes give the same list in whatever order they came."""
        with self._lock:
            wholes = [
                Fetched(address, sha256, size, source, cached)
                for (address, source, sha256), (size, cached) in self._wholes.items()
            ]
            parts = [
                _joined(address, source, dict(blocks), (address, source) not in self._asked)
                for (address, source), blocks in self._blocks.items()
            ]
        return sorted([*wholes, *parts], key=lambda item: (item.source, item.address, item.ranges, item.sha256))

    def _write(self, note: _Note, *, from_cache: bool) -> None:
        new = self._take(note, from_cache=from_cache)
        if new and self._file is not None:
            with clear_os_errors(self._file):
                self._file.parent.mkdir(parents=True, exist_ok=True)
                # The newline in front closes a line that a killed process left unfinished.
                with self._lock, self._file.open("ab", buffering=0) as file:
                    file.write(b"\n" + json.dumps(asdict(note)).encode() + b"\n")

    def _take(self, note: _Note, *, from_cache: bool) -> bool:
        with self._lock:
            if note.offset < 0:
                key = (note.address, note.source, note.sha256)
                new = key not in self._wholes
                cached = from_cache and self._wholes.get(key, (0, True))[1]
                self._wholes[key] = (note.bytes, cached)
                return new
            place = (note.address, note.source)
            if not from_cache:
                self._asked.add(place)
            blocks, value = self._blocks.setdefault(place, {}), (bytes.fromhex(note.sha256), note.bytes)
            new = blocks.get(note.offset) != value
            blocks[note.offset] = value
            return new


def _joined(address: str, source: str, blocks: dict[int, tuple[bytes, int]], from_cache: bool) -> Fetched:
    """One origin for the blocks of a remote file that were used."""
    offsets = sorted(blocks)
    digest = hashlib.sha256("".join(f"{at} {blocks[at][0].hex()}\n" for at in offsets).encode()).hexdigest()
    size = sum(blocks[at][1] for at in offsets)
    return Fetched(
        address, digest, size, source, from_cache, tuple(_ranges((at, at + blocks[at][1]) for at in offsets))
    )


def _ranges(pieces: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Neighbouring pieces (first, end) joined, as (first, last)."""
    found: list[tuple[int, int]] = []
    for first, end in pieces:
        if found and found[-1][1] + 1 == first:
            found[-1] = (found[-1][0], end - 1)
        else:
            found.append((first, end - 1))
    return found
