"""The smallest STAC API that pystac-client can search, over a list of items: for laws that need no database.

    python tests/services/search.py FOLDER --port 8000 --delay-ms 50     # the items stand in FOLDER/items.json

Filters by collection, box and time as the STAC API specification says, answers in pages, and serves the files of a
folder beside. What a real server does besides is tested on services.pgstac.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from services.files import FileServer
from services.processes import free_port, start_process, stop_process, wait_for


class SearchServer(FileServer):
    """A FileServer that is a STAC API too: `items` may be changed at will; `searches` holds the bodies it was asked."""

    def __init__(self, folder: Path, *, port: int = 0, delay_s: float = 0.0, page: int = 10_000) -> None:
        super().__init__(folder, port=port, delay_s=delay_s)
        self.items: list[dict[str, Any]] = []
        self.searches: list[dict[str, Any]] = []
        self.page = page

    def answer_get(self, name: str) -> bytes | None:
        if name:
            return None
        search = [
            {"rel": "search", "href": f"{self.address}/search", "method": method, "type": "application/geo+json"}
            for method in ("GET", "POST")
        ]
        return _json(
            {
                "type": "Catalog",
                "stac_version": "1.0.0",
                "id": "tests",
                "description": "scenes for tests",
                "conformsTo": [
                    "https://api.stacspec.org/v1.0.0/core",
                    "https://api.stacspec.org/v1.0.0/item-search",
                ],
                "links": [{"rel": "self", "href": f"{self.address}/"}, *search],
            }
        )

    def answer_post(self, name: str, body: bytes) -> bytes | None:
        if name != "search":
            return None
        asked = json.loads(body)
        self.searches.append(asked)
        found = [item for item in self.items if _matches(item, asked)]
        first, size = int(asked.get("token", 0)), min(self.page, asked.get("limit", self.page))
        links = []
        if first + size < len(found):
            then = {**asked, "token": str(first + size)}
            links = [{"rel": "next", "href": f"{self.address}/search", "method": "POST", "body": then}]
        return _json({"type": "FeatureCollection", "features": found[first : first + size], "links": links})


@contextmanager
def serve_apart(folder: Path, items: Any, *, delay_ms: float = 0) -> Iterator[str]:
    """Serves items and files from a process of its own while the context lasts; gives its address.

    items: a function from the address to the items, since their files stand there.
    """
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    (folder / "items.json").write_text(json.dumps(items(address)))
    pid = start_process([sys.executable, __file__, str(folder), "--port", str(port), "--delay-ms", str(delay_ms)])
    try:
        wait_for(("127.0.0.1", port), pid)
        yield address
    finally:
        stop_process(pid)


def _matches(item: dict[str, Any], asked: dict[str, Any]) -> bool:
    if asked.get("collections") and item["collection"] not in asked["collections"]:
        return False
    if asked.get("bbox"):
        a, b = item["bbox"], asked["bbox"]
        if a[0] > b[2] or b[0] > a[2] or a[1] > b[3] or b[1] > a[3]:
            return False
    if asked.get("datetime"):
        first, last = (_time(text) for text in asked["datetime"].split("/"))
        return first <= _time(item["properties"]["datetime"]) <= last
    return True


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--delay-ms", type=float, default=0)
    chosen = parser.parse_args()
    server = SearchServer(chosen.folder, port=chosen.port, delay_s=chosen.delay_ms / 1000)
    server.items = json.loads((chosen.folder / "items.json").read_text())
    server.serve()
