"""The verb vectorize: from a map of probabilities to polygons, in blocks, joined exactly across them, resumable.

Each block leaves its pieces in a small file and the journal; joined regions go to the output as soon as they are whole.
Polygons are those that one pass over the whole map would give. Refuses maps without a CRS.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import rasterio
import shapely
import xarray as xr
from odc.geo.geobox import GeoBox
from rasterio.enums import MaskFlags

import headscarp
from headscarp.core.artefact import check_output, clear_os_errors, finish, partial_path
from headscarp.core.blocks import Done, Journal, run_blocks
from headscarp.core.errors import GridError, OutputError, SourceError, StackError
from headscarp.core.grid import Grid, check_grid, same_grid
from headscarp.core.machine import cores
from headscarp.core.progress import log
from headscarp.core.provenance import file_sha256, made_by, read_made, write_stac_item
from headscarp.core.stack import fingerprint, open_stack, stack_grid
from headscarp.core.tile import Window, windows
from headscarp.prediction.cutting import halo_px, landslide_mask, read_cut, settle_rules
from headscarp.prediction.joining import join_regions
from headscarp.prediction.outlines import Rules, empty_table, outline_table
from headscarp.prediction.pieces import checksum, make_pieces, write_pieces
from headscarp.prediction.polygonstyle import write_polygon_qml

BLOCK_PX = 2048
_FORMATS = (".gpkg", ".parquet")
_CACHE_BYTES = 64 << 20
_ROWS_AT_ONCE = 5000


@dataclass(frozen=True)
class _Block:
    window: Window

    @property
    def id(self) -> str:
        return f"r{self.window.row}-c{self.window.col}"


def vectorize(
    raster: str | Path,
    out: str | Path,
    *,
    rules: Rules | None = None,
    stack: str | Path | None = None,
    band: int = 1,
    block_px: int = BLOCK_PX,
    workers: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
) -> Path:
    """Writes the polygons of a map and returns their path.

    raster: a georeferenced file with probabilities in [0, 1], NaN or no-data where there are none. out: a name that
    ends in .gpkg or .parquet. stack: where elevation (m) and slope (degree) of the same grid are taken from, for the
    drop and the mean slope of each polygon. rules: gaps in them are filled by what the map says of itself, which is
    logged and recorded. Columns: id, type, cause, certainty, area_m2 (sum of true cells),
    mean_probability, max_probability, length_m and width_m (of the smallest rectangle around), drop_m, slope_deg.
    The order is that of the first cells, row by row of blocks. Beside it a STAC item says what made it, and a .qml
    colours it in QGIS. block_px and workers do not change the result. Raises SourceError, GridError,
    OutputError and RecipeError.
    """
    out = Path(out).absolute()
    if out.suffix.lower() not in _FORMATS:
        raise OutputError(f"polygons go to a GeoPackage or GeoParquet file, but --out is {out}; end it in .gpkg")
    if out.with_suffix("") == Path(raster).absolute().with_suffix(""):
        raise OutputError(f"{out.name} and {Path(raster).name} would share one .qml and one .json; give another --out")
    grid = _grid_of(raster, band)
    rules, origin = settle_rules(rules or Rules(), read_cut(raster, band))
    log.info("threshold %.4g, %s; opening of %d px", rules.threshold, origin, rules.open_px)
    terrain = _terrain_of(stack, grid)
    job = {
        "raster": file_sha256(raster),
        "band": band,
        "stack": None if stack is None else fingerprint(open_stack(stack)),
        "rules": asdict(rules),
        "block_px": block_px,
        "version": headscarp.__version__,
    }
    key = hashlib.sha256(json.dumps(job, sort_keys=True).encode()).hexdigest()[:16]
    if resume and out.exists() and read_made(out).get("settings", {}).get("job") == key:
        return out
    check_output(out, overwrite=overwrite or resume)
    scratch = out.with_name(f".{out.name}.pieces")
    with clear_os_errors(scratch):
        if not resume:
            shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True, exist_ok=True)
    journal = Journal(scratch / "journal.jsonl", job, resume=resume)
    journal.keep(lambda block, done: checksum(scratch / f"{block}.npz") == done.checksum)
    blocks = [_Block(w.clip(_shape(grid))) for w in windows(_shape(grid), block_px)]
    work = _PieceWork(str(raster), band, rules, scratch, terrain)
    run_blocks(work, blocks, journal=journal, workers=workers or cores(), label="vectorize")
    files = {block.window: scratch / f"{block.id}.npz" for block in blocks}
    partial = partial_path(out).with_suffix(out.suffix)
    tables = (outline_table(regions, grid, rules, terrain[1] if terrain else ()) for regions in join_regions(files))
    count = _write(tables, partial, grid, rules, layer=out.stem)
    settings = {**job, "job": key, "threshold_from": origin, "polygons": count}
    write_stac_item(
        out,
        grid,
        made_by("vectorize", settings=settings, inputs=[{"raster": job["raster"]}]),
        bands=[],
        media=_MEDIA[out.suffix.lower()],
    )
    write_polygon_qml(out)
    finish(partial, out)
    shutil.rmtree(scratch, ignore_errors=True)
    return out


_MEDIA = {".gpkg": "application/geopackage+sqlite3", ".parquet": "application/vnd.apache.parquet"}


@dataclass(frozen=True)
class _PieceWork:
    raster: str
    band: int
    rules: Rules
    scratch: Path
    terrain: "tuple[xr.Dataset, tuple[str, ...]] | None"

    def __call__(self, block: _Block) -> Done:
        window = block.window
        mask, probability = self._read(window)
        planes = [probability]
        if self.terrain is not None:
            stack, names = self.terrain
            planes += [np.asarray(stack[name].variable[window.slices].values) for name in names]
        pieces = make_pieces(mask, planes, window)
        with clear_os_errors(self.scratch):
            return Done(write_pieces(pieces, self.scratch / f"{block.id}.npz"))

    def _read(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Mask and probability of a window, both (rows, columns)."""
        with rasterio.Env(GDAL_CACHEMAX=_CACHE_BYTES), rasterio.open(self.raster) as file:
            outer = window.grow(halo_px(self.rules)).clip(file.shape)
            part = rasterio.windows.Window(outer.col, outer.row, outer.width, outer.height)
            probability = file.read(self.band, window=part, out_dtype="float32")
            if file.mask_flag_enums[self.band - 1] != [MaskFlags.nodata] or not np.isnan(file.nodata):
                probability[file.read_masks(self.band, window=part) == 0] = np.nan
        top, left = window.row - outer.row, window.col - outer.col
        inside = (slice(top, top + window.height), slice(left, left + window.width))
        return landslide_mask(probability, self.rules)[inside], probability[inside]


def _write(tables: Iterator[gpd.GeoDataFrame], partial: Path, grid: Grid, rules: Rules, *, layer: str) -> int:
    """Writes the tables some thousand rows at a time (GeoPackage), or all at once; returns how many rows there were."""
    for part in ("", "-journal", "-wal", "-shm"):  # what a killed run left of SQLite's
        partial.with_name(partial.name + part).unlink(missing_ok=True)
    streams = partial.suffix == ".gpkg" and rules.simplify_m == 0
    count, held, waiting = 0, [], 0
    with clear_os_errors(partial), _no_clock():
        for table in tables:
            held.append(_with_ids(table, count))
            count, waiting = count + len(table), waiting + len(table)
            if streams and waiting >= _ROWS_AT_ONCE:
                _append(pd.concat(held), partial, layer)
                held, waiting = [], 0
        if waiting or count == 0:
            whole = pd.concat(held) if waiting else _with_ids(empty_table(grid), 0)
            if rules.simplify_m > 0 and count:
                whole.geometry = shapely.coverage_simplify(np.asarray(whole.geometry.array), rules.simplify_m)
            if partial.suffix == ".gpkg":
                _append(whole, partial, layer)
            else:
                _write_parquet(whole, partial)
    return count


@contextmanager
def _no_clock() -> Iterator[None]:
    """GeoPackages written inside carry a fixed date, so that the same polygons give the same bytes."""
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": "1970-01-01T00:00:00.000Z"})
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": None})


def _with_ids(table: gpd.GeoDataFrame, before: int) -> gpd.GeoDataFrame:
    table.insert(0, "id", np.array([f"L{before + i + 1:07d}" for i in range(len(table))], object))
    return table


def _append(table: gpd.GeoDataFrame, path: Path, layer: str) -> None:
    if len(table) or not path.exists():
        table.to_file(path, driver="GPKG", layer=layer, mode="a" if path.exists() else "w", engine="pyogrio")


def _write_parquet(table: gpd.GeoDataFrame, path: Path) -> None:
    try:
        table.to_parquet(path, index=False)
    except ImportError as error:
        raise OutputError(
            "GeoParquet needs pyarrow; install it with: pip install pyarrow, or give an --out that ends in .gpkg"
        ) from error


def _grid_of(raster: str | Path, band: int) -> Grid:
    try:
        with rasterio.open(raster) as file:
            if file.crs is None:
                raise GridError(f"{raster} has no CRS, so its polygons would lie nowhere; write one into the file")
            if not 1 <= band <= file.count:
                raise SourceError(f"{raster} has {file.count} bands, no band {band}")
            return check_grid(GeoBox(file.shape, file.transform, file.crs.to_wkt()))
    except rasterio.errors.RasterioError as error:
        raise SourceError(f"{raster} cannot be read as a raster ({error}); give a map of headscarp predict") from error


def _terrain_of(stack: str | Path | None, grid: Grid) -> tuple[xr.Dataset, tuple[str, ...]] | None:
    if stack is None:
        return None
    opened = open_stack(stack)
    if not same_grid(stack_grid(opened), grid):
        raise StackError(f"the grid of {stack} is not that of the map; give the stack that the map was made from")
    names = tuple(name for name in ("elevation", "slope") if name in opened and opened[name].dims == ("y", "x"))
    return (opened, names) if names else None


def _shape(grid: Grid) -> tuple[int, int]:
    return grid.shape[0], grid.shape[1]
