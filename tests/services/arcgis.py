"""A stand-in for ArcGIS image and feature services on 127.0.0.1: their addresses, parameters, limits and error bodies.

    python tests/services/arcgis.py FOLDER --port 6080

There is no open server of this kind, so this one answers as the public ones do, from real files by real resampling:
FOLDER/NAME/*.tif is the mosaic of /arcgis/rest/services/NAME/ImageServer, the finest file on top, and FOLDER/NAME.gpkg
the layers of /arcgis/rest/services/NAME/FeatureServer. Files may come and go while it runs. What it does not know it
refuses as ArcGIS does: status 200 and {"error": ...}; without f= it shows a page. For tests alone.
"""

import argparse
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from services.arcgis_features import answer_features
from services.arcgis_images import answer_image
from services.arcgis_json import Answer, Refused
from services.processes import free_port, start_process, stop_process, wait_for

ROOT = "/arcgis/rest/services"


class ArcGISServer:
    """Serves a folder from threads of this process until closed: `with ArcGISServer(folder) as server: server.address`.

    max_image: widest and highest image. max_records: features a page. pages: whether the feature services can page;
    else they know object ids alone. log: (path, parameters) of each request. broken: answer of the next requests, one
    taken from the front each time: "error", "html", "turned" or "short".
    """

    def __init__(
        self, folder: Path, *, port: int = 0, max_image: int = 8000, max_records: int = 1000, pages: bool = True
    ) -> None:
        self.folder, self.max_image, self.max_records, self.pages = Path(folder), max_image, max_records, pages
        self.log: list[tuple[str, dict[str, str]]] = []
        self.broken: list[str] = []
        owner = self

        class Handler(_Handler):
            server_owner = owner

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}{ROOT}"

    def __enter__(self) -> "ArcGISServer":
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._server.shutdown()
        self._server.server_close()

    def serve(self) -> None:
        self._server.serve_forever()

    def answer(self, path: str, asked: dict[str, str]) -> Answer:
        """What ArcGIS would say to this address."""
        self.log.append((path, asked))
        parts = path.removeprefix(ROOT).strip("/").split("/")
        try:
            if self.broken:
                return self._broken(self.broken.pop(0), parts, asked)
            return self._whole(parts, asked)
        except Refused as refused:
            return Answer.json(
                {"error": {"code": refused.code, "message": refused.message, "details": refused.details}}
            )

    def _whole(self, parts: list[str], asked: dict[str, str]) -> Answer:
        if len(parts) >= 2 and parts[1] == "ImageServer":
            return answer_image(self.folder / parts[0], parts[2:], asked, self.max_image)
        if len(parts) >= 2 and parts[1] == "FeatureServer":
            return answer_features(self.folder / f"{parts[0]}.gpkg", parts[2:], asked, (self.max_records, self.pages))
        raise Refused(404, "Service not found")

    def _broken(self, how: str, parts: list[str], asked: dict[str, str]) -> Answer:
        if how == "error":
            raise Refused(500, "Error exporting image", ["Out of memory"])
        if how == "html":
            return Answer.page("The service is being maintained")
        if how == "short":
            whole = self._whole(parts, asked)
            return Answer(whole.body[: len(whole.body) // 2], whole.kind)
        west, south, east, north = asked["bbox"].split(",")
        return self._whole(parts, {**asked, "bbox": f"{west},{south},{float(east) + 500},{north}"})


def missing() -> str | None:
    """Why this service cannot be started here: it always can."""
    return None


def start(folder: Path) -> dict[str, Any]:
    """Serves FOLDER/arcgis from a process of its own; what tests need: address, folder."""
    holdings = Path(folder) / "arcgis"
    holdings.mkdir(parents=True, exist_ok=True)
    port, log = free_port(), Path(folder) / "arcgis.log"
    words = [sys.executable, "-m", "services.arcgis", str(holdings), "--port", str(port)]
    pid = start_process(words, log=log)
    wait_for(("127.0.0.1", port), pid, log=log)
    return {"address": f"http://127.0.0.1:{port}{ROOT}", "folder": str(holdings), "pid": pid}


def stop(state: dict[str, Any]) -> None:
    """Ends the process that `start` started."""
    stop_process(state["pid"])


class _Handler(BaseHTTPRequestHandler):
    server_owner: ArcGISServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        split = urlsplit(self.path)
        self._send(self.server_owner.answer(split.path, dict(parse_qsl(split.query))))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        asked = dict(json.loads(body)) if body.startswith("{") else dict(parse_qsl(body))
        self._send(self.server_owner.answer(urlsplit(self.path).path, asked))

    def _send(self, answer: Answer) -> None:
        self.send_response(200)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: `log` of the server has the requests."""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, default=6080)
    given = parser.parse_args()
    ArcGISServer(given.folder, port=given.port).serve()
