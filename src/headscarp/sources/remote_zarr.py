"""A Zarr store behind the web client: read only, every byte through its cache, its retries and its list of hosts.

Only a 404 counts as "not there", which Zarr reads as a chunk of fill values; whatever else goes wrong is raised, so
that a service that is down never turns into zeros. Web servers list no folders, so a store without consolidated
metadata is read by the names that are asked for.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import xarray as xr
from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype

from headscarp.core.errors import SourceError

if TYPE_CHECKING:
    from headscarp.sources.web.client import Client

_METADATA = ("zarr.json", ".zgroup", ".zarray")


def open_remote_zarr(client: "Client", address: str, names: Sequence[str], *, source: str = "") -> xr.Dataset:
    """A Zarr group (format 2 or 3) as a dataset, decoded as CF says, lazy: chunks come when values are indexed. A fill
    value of zero is a value, every other one is missing.

    names: the arrays to look for where the store has no consolidated metadata; those that are not there are left out.
    source: who asks, for the manifest. Raises SourceError where there is no Zarr group at the address.
    """
    store = RemoteZarr(client, address, names, source)
    consolidated = store.has(".zmetadata") or "consolidated_metadata" in store.document("zarr.json")
    if not consolidated and not (store.has("zarr.json") or store.has(".zgroup")):
        raise SourceError(f"there is no Zarr group at {address}; check the address of the service")
    try:
        found = xr.open_zarr(store, consolidated=consolidated, chunks=None, decode_cf=False)
        for array in found.variables.values():
            # Zarr fills with zeros unless told otherwise, and format 2 does not say whether they mean missing. Zeros
            # are values: a dry day must not get lost.
            if array.attrs.get("_FillValue") == 0:
                del array.attrs["_FillValue"]
        return xr.decode_cf(found)
    except (ValueError, KeyError, TypeError, FileNotFoundError) as error:
        raise SourceError(f"{address} cannot be read as Zarr ({error}); check the address of the service") from error


class RemoteZarr(Store):
    """The store that Zarr reads from. names: what it says is in its folder."""

    supports_writes = False
    supports_deletes = False
    supports_listing = True

    def __init__(self, client: "Client", address: str, names: Sequence[str] = (), source: str = "") -> None:
        super().__init__(read_only=True)
        self.client, self.address, self.names, self.source = client, address.rstrip("/"), tuple(names), source

    def read(self, key: str, wanted: ByteRequest | None = None) -> bytes | None:
        """The bytes of a key, None where the service says that there is none. Raises SourceError."""
        url = f"{self.address}/{key}"
        try:
            if wanted is None:
                return self.client.get(url, source=self.source).read_bytes()
            with self.client.open(url, source=self.source) as file:
                return _part(file, wanted)
        except SourceError as error:
            if is_absent(error):
                return None
            raise

    def has(self, key: str) -> bool:
        return self.read(key) is not None

    def document(self, key: str) -> dict[str, Any]:
        """A JSON document of the store; an empty one where there is none or it is not an object."""
        try:
            found = json.loads(self.read(key) or b"{}")
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        data = await asyncio.to_thread(self.read, key, byte_range)
        return None if data is None else prototype.buffer.from_bytes(data)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        return list(await asyncio.gather(*(self.get(key, prototype, part) for key, part in key_ranges)))

    async def exists(self, key: str) -> bool:
        return await asyncio.to_thread(self.has, key)

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Of the names, those that are arrays here; groups below are not looked into."""
        if prefix.strip("/") == "":
            for name in self.names:
                if any([await self.exists(f"{name}/{document}") for document in _METADATA]):
                    yield name

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        async for name in self.list_dir(prefix):
            yield name

    async def list(self) -> AsyncIterator[str]:
        async for name in self.list_dir(""):
            yield name

    async def set(self, key: str, value: Buffer) -> None:
        raise SourceError(f"{self.address} is read only")

    async def delete(self, key: str) -> None:
        raise SourceError(f"{self.address} is read only")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RemoteZarr) and (other.client, other.address) == (self.client, self.address)

    def __hash__(self) -> int:
        return hash(self.address)


def is_absent(error: SourceError) -> bool:
    """Whether the service answered that there is nothing at an address (404), rather than failed."""
    return getattr(error, "status", None) == 404


def _part(file: Any, wanted: ByteRequest) -> bytes:
    if isinstance(wanted, RangeByteRequest):
        file.seek(wanted.start)
        return bytes(file.read(wanted.end - wanted.start))
    if isinstance(wanted, OffsetByteRequest):
        file.seek(wanted.offset)
        return bytes(file.read())
    if isinstance(wanted, SuffixByteRequest):
        length = file.seek(0, 2)
        file.seek(max(0, length - wanted.suffix))
        return bytes(file.read())
    raise SourceError(f"a part of a Zarr chunk was asked for in an unknown way: {wanted!r}")
