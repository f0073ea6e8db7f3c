"""The Cloud-Optimized GeoTIFF that a map ends as: tiles of 512, zstd, overviews that ignore what is missing.

One pass over the raw work file and its overviews by GDAL's own COG driver; the same pixels give the same bytes.
Refuses to invent pixels: no-data is NaN, and an overview pixel is the mean of those that are there.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError
from rasterio.shutil import copy as copy_raster

import headscarp
from headscarp.core.artefact import clear_os_errors, write_text
from headscarp.core.errors import OutputError
from headscarp.core.grid import Grid
from headscarp.prediction.facts import BandSummary
from headscarp.prediction.overviews import overview_files, write_overviews
from headscarp.prediction.workfile import WorkFile

TILE = 512
_SETTINGS = {
    "GDAL_CACHEMAX": 128 << 20,  # bytes: rasterio hands numbers on as they are
    "GDAL_PAM_ENABLED": "NO",
}


def write_cog(
    work: WorkFile,
    grid: Grid,
    partial: Path,
    *,
    outputs: Sequence[Any],
    summaries: Any,
    tags: Mapping[str, str] | None = None,
    about: Mapping[str, str] | None = None,
) -> Path:
    """Writes the work file as a COG at `partial`; returns that path.

    outputs: name and unit of each band (`headscarp.nets.net.Output`). summaries: a BandSummary for each, stored inside
    the file so that readers need not scan it. tags: of the first band, besides those; about: of the file as a whole.
    Raises OutputError when the disk
    is full; the work file is kept.
    """
    levels = overview_files(work, largest_px=TILE)
    vrts = [_vrt_of(level) for level in levels]
    vrt = _vrt_of(work)
    try:
        write_overviews(work, largest_px=TILE)
        for level, path in zip(levels, vrts, strict=True):
            write_text(path, level.vrt([(o.name, o.unit, {}) for o in outputs]))
        described = [(o.name, o.unit, _tags(o.name, s)) for o, s in zip(outputs, summaries, strict=True)]
        described[0] = (*described[0][:2], {**described[0][2], **(tags or {})})
        write_text(vrt, work.vrt(described, grid=grid, overviews=vrts, about=about))
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
                OVERVIEWS="FORCE_USE_EXISTING",
                BIGTIFF="IF_SAFER",
            )
            _check_whole(partial, work)
    except (RasterioError, CPLE_BaseError) as error:
        raise OutputError(
            f"{partial} could not be written ({error}), most likely because the disk is full; free some space and run "
            "the same command with --resume: finished blocks are kept"
        ) from error
    finally:
        for path in (vrt, *vrts, *(level.path for level in levels)):
            path.unlink(missing_ok=True)
    return partial


def _vrt_of(work: WorkFile) -> Path:
    return work.path.with_name(work.path.name + ".vrt")


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
