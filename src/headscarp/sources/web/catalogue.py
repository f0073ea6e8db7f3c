"""STAC APIs through our client: every page of a search, POST searches too, is retried, cached and had offline.

Refuses addresses that are not http(s), and whatever a client refuses.
"""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pystac_client.stac_api_io import StacApiIO

if TYPE_CHECKING:
    from headscarp.sources.web.client import Client


def stac_io(client: "Client", *, source: str = "", fresh: bool = False) -> StacApiIO:
    """What `pystac_client.Client.open(address, stac_io=...)` needs to ask everything through `client`.

    fresh: ask the service even where the cache has the page, for searches whose answer grows.
    """
    return _ClientIO(client, source, fresh)


class _ClientIO(StacApiIO):
    """Wraps a client in the one method through which pystac_client asks."""

    def __init__(self, client: "Client", source: str, fresh: bool) -> None:
        super().__init__(max_retries=None)
        self._client, self._source, self._fresh = client, source, fresh

    def request(
        self,
        href: str,
        method: str | None = None,
        headers: dict[str, str] | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> str:
        """The text of an answer. Raises SourceError."""
        if (method or "GET").upper() == "POST":
            found = self._client.post_json(href, dict(parameters or {}), source=self._source, fresh=self._fresh)
        else:
            found = self._client.get_json(href, params=parameters, source=self._source, fresh=self._fresh)
        return json.dumps(found)
