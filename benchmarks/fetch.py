"""A year of Landsat and Sentinel-1 from a server that adds 50 ms a request, against a plain sequential rasterio loop.

    python benchmarks/fetch.py

23 Landsat scenes (6 bands and quality) and 31 Sentinel-1 scenes (2 bands, 10 m) onto 512 x 512 cells of 30 m, into
Zarr.
Ours: search, fetch and write with 8 connections and an empty cache. The loop: the same files by GDAL's own /vsicurl/,
with the settings that its manual advises for cloud-optimised files, one after the other, into one Zarr. Each run is a
process of its own, so that neither finds anything in memory. Fails (exit 1) where values differ, where the median
paired ratio is below 3, or where twice the scenes raise the peak memory by more than a tenth.
"""

import shutil
import statistics
import sys
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import zarr
from _bench import describe_machine, peak_memory_of, print_table, verdict
from affine import Affine
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from headscarp.assemble.store import store_stack
from headscarp.sources.landsat import LANDSAT, read_landsat
from headscarp.sources.request import Request
from headscarp.sources.sentinel1 import SENTINEL1, read_sentinel1
from headscarp.sources.web.services import client_for, service
from services.holdings import Footprint, landsat_item, sentinel1_item
from services.search import serve_apart

SIZE_PX, CELL_M = 512, 30.0
DELAY_MS, CONNECTIONS = 50, 8
LANDSAT_DAYS, SENTINEL1_DAYS = 16, 12
YEAR = (date(2020, 1, 1), date(2020, 12, 31))
ROUNDS = 3
BAR, MEMORY_BAR = 3.0, 1.1
GRID = GeoBox((SIZE_PX, SIZE_PX), Affine(CELL_M, 0, 503_000, 0, -CELL_M, 4_997_000), "EPSG:32633")
VSICURL = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
    "GDAL_INGESTED_BYTES_AT_OPEN": "32768",
    "VSI_CACHE": "TRUE",
}


def main() -> int:
    print(f"a year of Landsat and Sentinel-1, {SIZE_PX} x {SIZE_PX} cells, {DELAY_MS} ms a request")
    print(describe_machine())
    with tempfile.TemporaryDirectory(prefix="headscarp-fetch-") as folder:
        root = Path(folder)
        make_files(root / "files")
        with serve_apart(
            root / "files", lambda address: year_of_items(root / "files", address), delay_ms=DELAY_MS
        ) as at:
            rows = measure(at, root)
            flat = memory(at, root)
    ratio = statistics.median(loop["wall_s"] / ours["wall_s"] for loop, ours in rows)
    table = [
        {
            "side": side,
            "seconds": statistics.median(row[i]["wall_s"] for row in rows),
            "CPU seconds": statistics.median(row[i]["cpu_s"] for row in rows),
            "peak MB": max(row[i]["peak_bytes"] for row in rows) / 1e6,
        }
        for i, side in enumerate(("rasterio, one after the other", f"headscarp, {CONNECTIONS} connections"))
    ]
    print_table(table, title=f"medians of {ROUNDS} rounds, each side in turn and in a fresh process")
    print_table(flat, title="peak memory by number of Landsat scenes")
    growth = flat[1]["peak MB"] / flat[0]["peak MB"]
    return verdict(
        [
            ("both hold the same values", all(ours["result"] == loop["result"] for loop, ours in rows)),
            (f"at least {BAR:.0f} times the loop: {ratio:.2f}", ratio >= BAR),
            (f"twice the scenes take at most {MEMORY_BAR:.1f} times the memory: {growth:.3f}", growth <= MEMORY_BAR),
        ]
    )


def measure(address: str, root: Path) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """The two sides in turn, each time from nothing."""
    rows = []
    for i in range(ROUNDS):
        sides: dict[Any, dict[str, Any]] = {}
        for job in (by_loop, by_fetch) if i % 2 == 0 else (by_fetch, by_loop):
            work = root / "work"
            sides[job] = peak_memory_of(job, address, str(work), 365)
            shutil.rmtree(work)
        rows.append((sides[by_loop], sides[by_fetch]))
    return rows


def memory(address: str, root: Path) -> list[dict[str, Any]]:
    """The peak of ours for a half year and for a year."""
    rows = []
    for days in (182, 365):
        work = root / "work"
        peak = peak_memory_of(by_fetch, address, str(work), days)["peak_bytes"]
        rows.append({"days": days, "scenes": days // LANDSAT_DAYS + days // SENTINEL1_DAYS + 2, "peak MB": peak / 1e6})
        shutil.rmtree(work)
    return rows


def by_fetch(address: str, work: str, days: int) -> list[float]:
    """Ours, from search to Zarr; returns a sum of each source to compare by."""
    known = service("planetary-computer", address=address)
    client = client_for([known], cache=Path(work) / "cache", connections=CONNECTIONS)
    last = date.fromordinal(YEAR[0].toordinal() + days)
    sums = []
    for source, read in ((LANDSAT, read_landsat), (SENTINEL1, read_sentinel1)):
        stack = read(Request(GRID, client, known, (YEAR[0], min(last, YEAR[1]))))
        stored = store_stack(stack, Path(work) / f"{source.about[:8]}.zarr", {}, workers=CONNECTIONS)
        sums.append(total(stored["nir" if "nir" in stored else "vv"]))
    if client.missing:
        raise SystemExit(f"missing: {client.missing[0]}")
    return sums


def by_loop(address: str, work: str, days: int) -> list[float]:
    """What one writes first: open each file in turn, warp it onto the grid, put it into an array on disk."""
    sums = []
    with rasterio.Env(**VSICURL):
        for kind, count, bands in (
            ("landsat", days // LANDSAT_DAYS + 1, ("blue", "green", "red", "nir08", "swir16", "swir22", "qa_pixel")),
            ("sentinel1", days // SENTINEL1_DAYS + 1, ("vv", "vh")),
        ):
            group = zarr.open_group(Path(work) / f"{kind}.zarr", mode="w")
            for band in bands:
                out = group.create_array(
                    band, shape=(count, *GRID.shape), chunks=(1, 256, 256), dtype="float32", fill_value=np.nan
                )
                for i in range(count):
                    out[i] = warp(f"/vsicurl/{address}/{kind}-{i:02}/{band}.tif", kind, band)
            sums.append(total(group["nir08" if kind == "landsat" else "vv"]))
    return sums


def warp(path: str, kind: str, band: str) -> np.ndarray:
    how = Resampling.average if kind == "sentinel1" else Resampling.nearest
    place = {"crs": str(GRID.crs), "transform": GRID.affine, "height": SIZE_PX, "width": SIZE_PX}
    with rasterio.open(path) as file, WarpedVRT(file, resampling=how, **place) as vrt:
        values = vrt.read(1, masked=True).filled(0).astype("float64")
    if kind == "sentinel1":
        return 10 * np.log10(np.where(values > 0, values, np.nan))
    if band == "qa_pixel":
        return values
    return np.where(values > 0, values * 2.75e-05 - 0.2, np.nan)


def total(frames: Any) -> float:
    """A sum that tells two stacks apart, and forgives the last bits of float32; a frame at a time."""
    weights = np.arange(SIZE_PX * SIZE_PX).reshape(GRID.shape) % 97
    return float(f"{sum(np.nansum(np.asarray(frames[i]) * weights) for i in range(frames.shape[0])):.5g}")


def make_files(folder: Path) -> None:
    """Three scenes of each kind; a year of scenes is links to them."""
    rng = np.random.default_rng(0)
    for i in range(3):
        hills = 9000 + 2000 * np.sin(np.arange(768) / 40 + i)[:, None] * np.cos(np.arange(768) / 55)
        bands = ("blue", "green", "red", "nir08", "swir16", "swir22")
        pixels = {band: (hills + rng.normal(0, 300, (768, 768))).astype("uint16") for band in bands}
        pixels["qa_pixel"] = np.full((768, 768), 21824, "uint16")
        landsat_item(folder, "", f"landsat-{i:02}", "2020-01-01T10:00:00Z", pixels, Footprint())
        power = {b: np.round(rng.gamma(4, 0.02, (2304, 2304)), 3).astype("float32") for b in ("vv", "vh")}
        sentinel1_item(folder, "", f"sentinel1-{i:02}", "2020-01-01T17:00:00Z", power, Footprint(cell=10.0))
    for kind, step in (("landsat", LANDSAT_DAYS), ("sentinel1", SENTINEL1_DAYS)):
        for i in range(3, 365 // step + 1):
            (folder / f"{kind}-{i:02}").symlink_to(folder / f"{kind}-{i % 3:02}")


def year_of_items(folder: Path, address: str) -> list[dict[str, Any]]:
    """Items of the year, in the shape that holdings gives them."""
    tiny = np.ones((2, 2), "uint16")
    scratch = folder.parent / "scratch"
    place = Footprint(cell=768 * 30 / 2)
    bands = ("blue", "green", "red", "nir08", "swir16", "swir22", "qa_pixel")
    items = []
    for day in range(0, 365, LANDSAT_DAYS):
        time = f"{np.datetime64('2020-01-01') + day}T10:00:00Z"
        name = f"landsat-{day // LANDSAT_DAYS:02}"
        items.append(landsat_item(scratch, address, name, time, dict.fromkeys(bands, tiny), place))
    for day in range(0, 365, SENTINEL1_DAYS):
        time = f"{np.datetime64('2020-01-01') + day}T17:00:00Z"
        name = f"sentinel1-{day // SENTINEL1_DAYS:02}"
        power = dict.fromkeys(("vv", "vh"), tiny.astype("float32"))
        items.append(sentinel1_item(scratch, address, name, time, power, place))
    return items


if __name__ == "__main__":
    sys.exit(main())
