"""The Cloud-Optimized GeoTIFF that a map ends as: tiles of 512, zstd, overviews that ignore what is missing.

One pass over the raw work file by GDAL's own COG driver; the same pixels give the same bytes. Refuses to invent
pixels: no-data is NaN, and an overview pixel is the mean of those that are there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError
from rasterio.shutil import copy as copy_raster

import headscarp
from headscarp.core.artefact import clear_os_errors, write_text
from headscarp.core.errors import OutputError
from headscarp.core.grid import Grid
from headscarp.prediction.workfile import WorkFile

TILE = 512
_SETTINGS = {
    "GDAL_CACHEMAX": 128,  # MB
    "GDAL_PAM_ENABLED": "NO",
    "COG_TMP_COMPRESSION": "NONE",  # of overviews on their way into the file; saves a quarter of the time
}


@dataclass(frozen=True)
class BandSummary:
    """What a band of the map holds: number of valid pixels, lowest, highest, mean, standard deviation (NaN if none)."""

    valid: int
    low: float
    high: float
    mean: float
    std: float


def write_cog(work: WorkFile, grid: Grid, partial: Path, *, outputs: Sequence[Any], summaries: Any) -> Path:
    """Writes the work file as a COG at `partial`; returns that path.

    outputs: name and unit of each band (`headscarp.nets.net.Output`). summaries: a BandSummary for each, stored inside
    the file so that readers need not scan it. Raises OutputError when the disk is full; the work file is kept.
    """
    described = [(o.name, o.unit, _tags(o.name, s)) for o, s in zip(outputs, summaries, strict=True)]
    vrt = write_text(work.path.with_suffix(".vrt"), work.vrt(grid, described))
    try:
        with clear_os_errors(partial), rasterio.Env(**_SETTINGS):
            copy_raster(
                vrt,
                partial,
                driver="COG",
                BLOCKSIZE=TILE,
                COMPRESS="ZSTD",
                LEVEL=1,
                PREDICTOR="FLOATING_POINT",
                NUM_THREADS="ALL_CPUS",
                OVERVIEW_RESAMPLING="AVERAGE",
                BIGTIFF="IF_SAFER",
            )
            _check_whole(partial, work)
    except (RasterioError, CPLE_BaseError) as error:
        raise OutputError(
            f"{partial} could not be written ({error}), most likely because the disk is full; free some space and run "
            "the same command with --resume: finished blocks are kept"
        ) from error
    finally:
        vrt.unlink(missing_ok=True)
        partial.with_name(partial.name + ".ovr.tmp").unlink(missing_ok=True)
    return partial


def summarise(facts: Sequence[Mapping[str, Any]], bands: int) -> list[BandSummary]:
    """One BandSummary a band from the facts that each block left: valid, and low, high, sum, squares for each band."""
    filled = [f for f in facts if f["valid"]]
    valid = sum(f["valid"] for f in filled)
    if not valid:
        return [BandSummary(0, *[float("nan")] * 4)] * bands
    summaries = []
    for band in range(bands):
        mean = sum(f["sum"][band] for f in filled) / valid
        variance = max(0.0, sum(f["squares"][band] for f in filled) / valid - mean**2)
        low, high = min(f["low"][band] for f in filled), max(f["high"][band] for f in filled)
        summaries.append(BandSummary(valid, low, high, mean, variance**0.5))
    return summaries


def block_facts(pixels: np.ndarray) -> dict[str, Any]:
    """The facts of one block (K, h, w), NaN where not valid, as `summarise` takes them."""
    holes = np.isnan(pixels[0])
    there = pixels[:, ~holes] if holes.any() else pixels.reshape(len(pixels), -1)  # (K, n)
    if not there.shape[1]:
        return {"valid": 0}
    return {
        "valid": int(there.shape[1]),
        "low": there.min(axis=1).astype(float).tolist(),
        "high": there.max(axis=1).astype(float).tolist(),
        "sum": there.sum(axis=1, dtype=np.float64).tolist(),
        "squares": np.square(there, dtype=np.float64).sum(axis=1).tolist(),
    }


def _tags(name: str, summary: BandSummary) -> dict[str, str]:
    tags = {"long_name": name, "software": f"headscarp {headscarp.__version__}"}
    if summary.valid:
        tags |= {
            "STATISTICS_MINIMUM": repr(summary.low),
            "STATISTICS_MAXIMUM": repr(summary.high),
            "STATISTICS_MEAN": f"{summary.mean:.6g}",  # sums may differ in their last digits from machine to machine
            "STATISTICS_STDDEV": f"{summary.std:.6g}",
        }
    return tags


def _check_whole(partial: Path, work: WorkFile) -> None:
    """A disk that fills up while GDAL closes a file goes unsaid; the last tile of every level tells."""
    with rasterio.open(partial) as whole:
        factors = [1, *whole.overviews(1)]
    for level in range(len(factors)):
        options = {} if level == 0 else {"overview_level": level - 1}
        with rasterio.open(partial, **options) as view:
            last = rasterio.windows.Window(view.width - 1, view.height - 1, 1, 1)
            view.read(window=last)
    if (whole.height, whole.width, whole.count) != (*work.shape, work.bands):
        raise OutputError(f"{partial} is not whole; run the same command with --resume: finished blocks are kept")
