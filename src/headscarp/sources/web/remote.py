"""A remote file as a seekable binary file, read by ranges through the cache. Refuses to write."""

import io
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from headscarp.sources.web.ledger import BLOCK
from headscarp.sources.web.ranges import Ranges

_HELD = 32
"""Blocks that an open file keeps in memory."""


class RemoteFile(io.RawIOBase):
    """A read-only binary file behind an address. One thread at a time; open it anew in each.

    Reads raise SourceError for what cannot be had, and where the file changed while it was read.
    """

    def __init__(self, ranges: Ranges) -> None:
        super().__init__()
        self._ranges, self._at = ranges, 0
        self._held: OrderedDict[int, bytes] = OrderedDict()

    @property
    def size(self) -> int:
        """Length of the whole file in bytes."""
        return self._ranges.length

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        if base + offset < 0:
            raise ValueError(f"position {base + offset} is before the start of the file")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def read(self, size: int | None = -1) -> bytes:
        """The next bytes, all that were asked for unless the file ends."""
        if self.closed:
            raise ValueError(f"{self._ranges.address} is closed")
        end = self.size if size is None or size < 0 else min(self._at + size, self.size)
        if end <= self._at:
            return b""
        first, last = self._at // BLOCK, (end - 1) // BLOCK
        blocks = self._blocks(range(first, last + 1))
        data = b"".join(blocks)[self._at - first * BLOCK : end - first * BLOCK]
        self._at = end
        return data

    def readall(self) -> bytes:
        return self.read(-1)

    def get_byte_ranges(self, offsets: Sequence[int], sizes: Sequence[int]) -> list[bytes]:
        """The bytes of several ranges, asked for together (rasterio's MultiByteRangeResource)."""
        wanted = {
            block
            for offset, size in zip(offsets, sizes, strict=True)
            for block in range(offset // BLOCK, (min(offset + size, self.size) - 1) // BLOCK + 1)
        }
        self._ranges.fetch(sorted(wanted))
        at, parts = self._at, []
        for offset, size in zip(offsets, sizes, strict=True):
            self.seek(offset)
            parts.append(self.read(size))
        self._at = at
        return parts

    def _blocks(self, wanted: range) -> list[bytes]:
        if any(block not in self._held for block in wanted):
            found = self._ranges.read(wanted)
            if len(found) > _HELD:
                return found
            self._held.update(zip(wanted, found, strict=True))
        for block in wanted:
            self._held.move_to_end(block)
        found = [self._held[block] for block in wanted]
        while len(self._held) > _HELD:
            self._held.popitem(last=False)
        return found
