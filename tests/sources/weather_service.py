"""A weather service on this machine: daily files and Zarr stores of a rain that is known, and faults on demand."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import rasterio
import xarray as xr
from affine import Affine

WEST, NORTH, CELL = -124.0, 40.0, 0.05
ROWS, COLUMNS = 60, 80
COAST = -122.5
"""West of it lies the sea."""
LATITUDE = NORTH - (np.arange(ROWS) + 0.5) * CELL
LONGITUDE = WEST + (np.arange(COLUMNS) + 0.5) * CELL
FILES = "{date:%Y}/rain.{date:%Y.%m.%d}.tif"


def depth_mm(day):
    """Of a day, the same everywhere: no two days in a month are alike."""
    return float(np.datetime64(day, "D").astype(int) % 31) / 4


def rain_mm(day, latitude, longitude):
    """What falls: straight lines across the map, so that interpolation has to be exact."""
    return depth_mm(day) + 0.5 * (latitude - 36) + 0.25 * (longitude + 125)


def days(first, last):
    return np.arange(np.datetime64(first), np.datetime64(last) + 1)


def write_day(folder, day):
    values = rain_mm(day, LATITUDE[:, None], LONGITUDE[None, :]).astype("float32")
    values[:, COAST > LONGITUDE] = -9999
    path = folder / FILES.format(date=day.astype(object))
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path, "w", driver="COG", height=ROWS, width=COLUMNS, count=1, dtype="float32", crs="EPSG:4326",
        transform=Affine(CELL, 0, WEST, 0, -CELL, NORTH), blocksize=256, compress="deflate",
    ) as file:  # fmt: skip
        file.write(values, 1)


class Handler(SimpleHTTPRequestHandler):
    """Files with ranges; what stands in server.broken answers 503, and server.asked counts."""

    def do_GET(self):
        self.server.asked.append(self.path)
        path = self.translate_path(self.path)
        if any(part in self.path for part in self.server.broken):
            return self.send_error(503)
        try:
            with open(path, "rb") as file:  # noqa: PTH123
                body = file.read()
        except OSError:
            return self.send_error(404)
        part, whole = self.headers.get("Range"), len(body)
        self.send_response(206 if part else 200)
        if part:
            first, _, last = part.removeprefix("bytes=").partition("-")
            first, last = int(first), min(int(last or whole - 1), whole - 1)
            body = body[first : last + 1]
            self.send_header("Content-Range", f"bytes {first}-{last}/{whole}")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"1"')
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextmanager
def serve(folder) -> Iterator[ThreadingHTTPServer]:
    """The folder on 127.0.0.1. address: of the server. broken: parts of paths that answer 503. asked: all paths."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder))) as made:
        made.broken, made.asked, made.folder = set(), [], folder
        made.address = f"http://127.0.0.1:{made.server_port}"
        thread = threading.Thread(target=made.serve_forever, daemon=True)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def write_store(path, reading, *, zarr_format, consolidated):
    """Six days of the same rain as in the files, in metres, on longitudes from 0 to 360."""
    hours = np.arange(np.datetime64("2020-02-26T00"), np.datetime64("2020-03-03T01"))
    hours = hours[::24] if reading == "daily" else hours
    of_day = hours if reading == "daily" else hours - np.timedelta64(1, "h")
    share = {"daily": 1.0, "hourly": 1 / 24}.get(reading, 0) or ((hours - of_day.astype("M8[D]")).astype(int) / 24)
    whole = np.stack([rain_mm(d, LATITUDE[:, None], LONGITUDE[None]) for d in of_day.astype("M8[D]")])
    tp = whole * np.reshape(np.broadcast_to(share, hours.shape), (-1, 1, 1)) / 1000
    tp[:, :, COAST > LONGITUDE] = np.nan
    soil = np.broadcast_to(0.2 + np.arange(len(hours))[:, None, None] / 1000, tp.shape)
    dims = ("time", "latitude", "longitude")
    data = xr.Dataset(
        {"tp": (dims, tp.astype("f4"), {"units": "m"}), "swvl1": (dims, soil.astype("f4"), {"units": "m**3 m**-3"})},
        coords={"time": hours.astype("M8[ns]"), "latitude": LATITUDE, "longitude": LONGITUDE % 360},
    )
    encoding = {name: {"chunks": (5 if reading == "daily" else 24, 30, 40)} for name in ("tp", "swvl1")}
    data.to_zarr(path, mode="w", zarr_format=zarr_format, consolidated=consolidated, encoding=encoding)
