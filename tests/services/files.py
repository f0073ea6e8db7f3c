"""A folder of files over HTTP on 127.0.0.1, with byte ranges, entity tags and, where asked, a delay a request.

    python tests/services/files.py FOLDER --port 8000 --delay-ms 50

Counts what it served. Serves nothing outside the folder and changes nothing in it. For tests and benchmarks alone.
"""

import argparse
import re
import sys
import threading
import time
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from services.processes import free_port, start_process, stop_process, wait_for

_RANGE = re.compile(r"bytes=(\d*)-(\d*)$")


class FileServer:
    """Serves a folder from threads of this process until closed: `with FileServer(folder) as server: server.address`.

    dead: paths (relative to the folder) that are answered with 404, to be changed at will. log: (path, range) of each
    request that was answered with pixels.
    """

    def __init__(self, folder: Path, *, port: int = 0, delay_s: float = 0.0) -> None:
        self.folder, self.delay_s = Path(folder).resolve(), delay_s
        self.dead: set[str] = set()
        self.log: list[tuple[str, str]] = []
        owner = self

        class Handler(_Handler):
            server_owner = owner

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "FileServer":
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._server.shutdown()
        self._server.server_close()

    def serve(self) -> None:
        self._server.serve_forever()

    def answer_get(self, name: str) -> bytes | None:
        """JSON for an address that is no file; None where there is none."""
        return None

    def answer_post(self, name: str, body: bytes) -> bytes | None:
        """JSON for what was posted to an address; None where nothing may be."""
        return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server_owner: FileServer

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_POST(self) -> None:
        time.sleep(self.server_owner.delay_s)
        posted = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._end_json(self.server_owner.answer_post(self._name(), posted))

    def log_message(self, *_: Any) -> None:
        pass

    def _answer(self, *, body: bool) -> None:
        owner = self.server_owner
        time.sleep(owner.delay_s)
        name = self._name()
        made = owner.answer_get(name)
        if made is not None:
            self._end_json(made)
            return
        path = (owner.folder / name).resolve()
        if name in owner.dead or not path.is_relative_to(owner.folder) or not path.is_file():
            self._end(404, {}, b"no such file" if body else b"")
            return
        asked, stat = self.headers.get("Range", ""), path.stat()
        first, last, status = 0, stat.st_size - 1, 200
        headers = {
            "Accept-Ranges": "bytes",
            "ETag": f'"{stat.st_mtime_ns:x}-{stat.st_size:x}"',
            "Last-Modified": formatdate(stat.st_mtime, usegmt=True),
            "Content-Type": {".json": "application/json", ".tif": "image/tiff"}.get(path.suffix, "text/plain"),
        }
        if asked and (match := _RANGE.match(asked)):
            a, b = match.groups()
            first = int(a) if a else stat.st_size - int(b)
            last, status = min(last, int(b)) if a and b else last, 206
            if first > last:
                self._end(416, {"Content-Range": f"bytes */{stat.st_size}"}, b"")
                return
            headers["Content-Range"] = f"bytes {first}-{last}/{stat.st_size}"
        if not body:
            self._end(status, headers, b"", length=last - first + 1)
            return
        with path.open("rb") as file:
            file.seek(first)
            pixels = file.read(last - first + 1)
        owner.log.append((name, asked))
        self._end(status, headers, pixels)

    def _name(self) -> str:
        return unquote(urlsplit(self.path).path).lstrip("/")

    def _end_json(self, made: bytes | None) -> None:
        if made is None:
            self._end(404, {}, b"no such address")
        else:
            self._end(200, {"Content-Type": "application/json"}, made)

    def _end(self, status: int, headers: dict[str, str], body: bytes, *, length: int | None = None) -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(body) if length is None else length)}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)


def missing() -> str | None:
    """Why this service cannot be started here; None where it can."""
    return None


def start(folder: Path) -> dict[str, Any]:
    """Serves FOLDER/files in a process of its own. Returns its address, its folder and its process."""
    holdings = folder / "files"
    holdings.mkdir(parents=True, exist_ok=True)
    return start_files(holdings, log=folder / "files.log")


def start_files(holdings: Path, *, delay_ms: float = 0, log: Path | None = None) -> dict[str, Any]:
    """Serves a folder in a process of its own, so that it shares no interpreter with who asks."""
    port = free_port()
    words = [sys.executable, __file__, str(holdings), "--port", str(port), "--delay-ms", str(delay_ms)]
    pid = start_process(words, log=log)
    wait_for(("127.0.0.1", port), pid)
    return {"address": f"http://127.0.0.1:{port}", "folder": str(holdings), "pid": pid}


def stop(state: dict[str, Any]) -> None:
    """Ends what `start` started."""
    stop_process(state["pid"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--delay-ms", type=float, default=0)
    chosen = parser.parse_args()
    FileServer(chosen.folder, port=chosen.port, delay_s=chosen.delay_ms / 1000).serve()
