"""Windows of a raster file on the grid of a stack: exact where cells coincide, warped where they do not.

The same pixel comes out with the same bits whichever window asks for it. Nothing larger than the window (and the pixels
behind it) is held; files are opened anew in each call, so that no handle crosses threads or forks. A file is on disk,
or behind an `opener` that reads it from elsewhere. Refuses rasters without a CRS or away from the grid.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo import CRS as OdcCRS
from pyproj import CRS
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform, transform_bounds
from rasterio.windows import Window as FileWindow

from headscarp.core.errors import OffGridError, SourceError
from headscarp.core.grid import Grid, cell_corner, grid_to_json, window_grid
from headscarp.core.scenarios import GENERATED_TAG
from headscarp.core.tile import Window
from headscarp.sources.rasterfiles import Opener, clear_read_errors, file_grid, open_raster

COARSER = 1.5
"""A grid whose cells are longer than this many source cells is coarser: values are averaged, categories voted on."""

# The warper places pixels along stretches of a row, to within the tolerance; stretches on a fixed lattice of columns
# make that the same for every window.
_LATTICE = 128
_TOLERANCE_PX = 1e-3
_ALIGNED = 1e-3


@dataclass(frozen=True)
class Raster:
    """One band of a raster file and how it is read. shrink: source cells per grid cell (columns, rows), 1 or more.
    generated: the file says that a net made it."""

    path: str
    index: int = 1
    nodata: float | None = None
    scale: float = 1.0
    offset: float = 0.0
    resampling: str = "nearest"
    shrink: tuple[float, float] = (1.0, 1.0)
    generated: bool = False


def raster_grid(path: str | Path) -> Grid:
    """The grid of a raster file. Raises SourceError without a CRS, GridError where it is rotated."""
    with open_raster(path) as file:
        return file_grid(file, str(path))


def prepare_raster(
    path: str | Path,
    grid: Grid,
    *,
    kind: str,
    index: int = 1,
    nodata: float | None = None,
    scale: float | None = None,
    offset: float | None = None,
    resampling: str | None = None,
    opener: Opener | None = None,
) -> Raster:
    """How a raster is read onto a grid, checked before any pixel is.

    kind: of the band; continuous values are interpolated (bilinear; average on a coarser grid), categories taken from
    the nearest cell (the most frequent one on a coarser grid), directions from the nearest cell. scale, offset: by
    default the file's own. opener: gives the file where it is not on this disk. Raises SourceError for a file that
    cannot be read, has no CRS, lacks the band, or does not overlap the grid.
    """
    options: dict[str, Any] = {"index": index, "nodata": nodata, "scale": scale, "offset": offset}
    with open_raster(path, opener=opener) as file:
        return prepare_open(file, str(path), grid, kind=kind, resampling=resampling, **options)


def prepare_open(
    file: Any,
    path: str,
    grid: Grid,
    *,
    kind: str,
    index: int = 1,
    nodata: float | None = None,
    scale: float | None = None,
    offset: float | None = None,
    resampling: str | None = None,
) -> Raster:
    """As `prepare_raster`, of a file that `open_raster` has opened: opening anew costs as much as the check."""
    source = file_grid(file, path)
    if not 1 <= index <= file.count:
        raise SourceError(f"{path} has {file.count} bands, no band {index}; set index to one of them")
    _check_overlap(source, grid, path)
    shrink = _cells_per_cell(source, grid)
    coarser = float(np.sqrt(shrink[0] * shrink[1])) > COARSER
    usual = {
        "continuous": "average" if coarser else "bilinear",
        "categorical": "mode" if coarser else "nearest",
    }
    return Raster(
        path=path,
        index=index,
        nodata=nodata,
        scale=file.scales[index - 1] if scale is None else scale,
        offset=file.offsets[index - 1] if offset is None else offset,
        resampling=resampling or usual.get(kind, "nearest"),
        shrink=shrink if coarser else (1.0, 1.0),
        generated=GENERATED_TAG in file.tags(),
    )


def read_window(
    raster: Raster, grid: Grid, window: Window, *, pad_px: int = 0, opener: Opener | None = None
) -> NDArray[np.float64]:
    """The pixels of a raster in a window of the grid: (height, width) float64, NaN where missing or off the file.

    The window may hang over the grid by up to `pad_px`, and what the file holds there is read too; `pad_px` has to be
    the same for all windows of a raster. opener: gives the file where it is not on this disk. Raises SourceError that
    names file and window when pixels cannot be read, and what the opener raised as it was.
    """
    with open_raster(raster.path, opener=opener) as file:
        return read_open(file, raster, grid, window, pad_px=pad_px)


def read_open(file: Any, raster: Raster, grid: Grid, window: Window, *, pad_px: int = 0) -> NDArray[np.float64]:
    """As `read_window`, of a file that `open_raster` has opened."""
    with clear_read_errors(raster.path, window):
        offset = _aligned(file_grid(file, raster.path), grid)
        if offset is not None:
            values = _read_aligned(file, raster, window, offset)
        else:
            values = _read_warped(file, raster, window_grid(grid, _whole(grid).grow(pad_px)), window, pad_px)
    if (raster.scale, raster.offset) != (1.0, 0.0):
        values = values * raster.scale + raster.offset
    return values


def values_present(raster: Raster, *, limit: int) -> list[float]:
    """The different values of a raster file, sorted, missing ones left out; at most `limit` + 1 of them."""
    found: set[float] = set()
    with open_raster(raster.path) as file:
        for _, part in file.block_windows(raster.index):
            window = Window(part.row_off, part.col_off, part.height, part.width)
            with clear_read_errors(raster.path, window):
                values = _read_aligned(file, raster, window, (0, 0))
            found.update(np.unique(values[~np.isnan(values)]).tolist())
            if len(found) > limit:
                break
    return sorted(value * raster.scale + raster.offset for value in found)[: limit + 1]


def _check_overlap(source: Grid, grid: Grid, path: str | Path) -> None:
    ours = _bounds(grid)
    try:
        theirs = transform_bounds(_wkt(source), _wkt(grid), *_bounds(source), densify_pts=21)
    except RasterioError as error:
        raise SourceError(f"{path} cannot be brought into the CRS of the grid ({error}); check both CRS") from error
    if min(ours[2], theirs[2]) <= max(ours[0], theirs[0]) or min(ours[3], theirs[3]) <= max(ours[1], theirs[1]):
        raise OffGridError(
            f"{path} does not overlap the grid: it covers {extent_text(theirs)}, the grid {extent_text(ours)} "
            "(xmin, ymin, xmax, ymax in the CRS of the grid); check [grid] and the CRS of the file"
        )


def grid_crs(grid: Grid) -> CRS:
    """The coordinate system of a grid, as pyproj has it."""
    return CRS(grid_to_json(grid)["crs"])


def _wkt(grid: Grid) -> str:
    return _wkt_of(grid.crs) if grid.crs else grid_to_json(grid)["crs"]


@lru_cache(maxsize=256)
def _wkt_of(crs: OdcCRS) -> str:
    """Parsing a CRS takes longer than reading a small window; few are ever met."""
    return crs.proj.to_wkt()


def extent_text(bounds: Any) -> str:
    """Bounds as text for messages."""
    return "(" + ", ".join(f"{value:.10g}" for value in bounds) + ")"


def _bounds(grid: Grid) -> tuple[float, float, float, float]:
    (left, top), (right, bottom) = cell_corner(grid, 0, 0), cell_corner(grid, grid.shape[1], grid.shape[0])
    return left, bottom, right, top


def _cells_per_cell(source: Grid, grid: Grid) -> tuple[float, float]:
    """How many source columns and rows one cell of the grid spans where the two overlap, 1 where fewer."""
    ours = _bounds(grid)
    theirs = transform_bounds(_wkt(source), _wkt(grid), *_bounds(source), densify_pts=21)
    x = (max(ours[0], theirs[0]) + min(ours[2], theirs[2])) / 2
    y = (max(ours[1], theirs[1]) + min(ours[3], theirs[3])) / 2
    dx, dy = abs(grid.affine.a), abs(grid.affine.e)
    xs, ys = transform(
        _wkt(grid),
        _wkt(source),
        [x - dx / 2, x + dx / 2, x, x],
        [y, y, y - dy / 2, y + dy / 2],
    )
    col, row = np.asarray(xs) / source.affine.a, np.asarray(ys) / source.affine.e
    across, down = np.hypot(col[1] - col[0], row[1] - row[0]), np.hypot(col[3] - col[2], row[3] - row[2])
    return max(1.0, round(float(across), 6)), max(1.0, round(float(down), 6))


def _aligned(source: Grid, grid: Grid) -> tuple[int, int] | None:
    """(row, column) of the grid's first cell in the file when all cells coincide, to a thousandth; else None."""
    if source.crs != grid.crs:
        return None
    a, b, last = source.affine, grid.affine, (grid.shape[1], grid.shape[0])
    (x0, y0), (x1, y1) = cell_corner(grid, 0, 0), cell_corner(grid, *last)
    first = ((x0 - a.c) / a.a, (y0 - a.f) / a.e)
    end = ((x1 - a.c) / a.a, (y1 - a.f) / a.e)
    col, row = round(first[0]), round(first[1])
    wanted = (col, row, col + last[0], row + last[1])
    if b.a <= 0 or any(abs(have - want) > _ALIGNED for have, want in zip((*first, *end), wanted, strict=True)):
        return None
    return row, col


def _read_aligned(file: Any, raster: Raster, window: Window, offset: tuple[int, int]) -> NDArray[np.float64]:
    wanted = Window(window.row + offset[0], window.col + offset[1], window.height, window.width)
    inside = wanted.clip(file.shape)
    out = np.full((window.height, window.width), np.nan)
    if inside.height and inside.width:
        part = FileWindow(inside.col, inside.row, inside.width, inside.height)
        values = file.read(raster.index, window=part)
        if raster.nodata is None:
            missing = file.read_masks(raster.index, window=part) == 0
        else:
            missing = values == raster.nodata
        row, col = inside.row - wanted.row, inside.col - wanted.col
        out[row : row + inside.height, col : col + inside.width] = np.where(missing, np.nan, values)
    return out


def _read_warped(file: Any, raster: Raster, padded: Grid, window: Window, pad_px: int) -> NDArray[np.float64]:
    missing = raster.nodata if raster.nodata is not None else file.nodatavals[raster.index - 1]
    if missing is None and np.dtype(file.dtypes[raster.index - 1]).kind == "f":
        missing = np.nan
    options: dict[str, Any] = {} if missing is None else {"src_nodata": missing}
    rows, cols = padded.shape
    top, left = window.row + pad_px, window.col + pad_px
    first, last = left // _LATTICE * _LATTICE, min(cols, -(-(left + window.width) // _LATTICE) * _LATTICE)
    with WarpedVRT(
        file,
        crs=_wkt(padded),
        transform=padded.affine,
        height=rows,
        width=cols,
        resampling=Resampling[raster.resampling],
        tolerance=_TOLERANCE_PX,
        dtype="float64",
        nodata=np.nan,
        # A fixed scale, and some source pixels more: else the kernel would depend on the window.
        XSCALE=repr(1 / raster.shrink[0]),
        YSCALE=repr(1 / raster.shrink[1]),
        SOURCE_EXTRA="8",
        **options,
    ) as vrt:
        stretches = [
            vrt.read(raster.index, window=FileWindow(c, top, min(_LATTICE, cols - c), window.height))
            for c in range(first, last, _LATTICE)
        ]
    values: NDArray[np.float64] = np.concatenate(stretches, axis=1)[:, left - first : left - first + window.width]
    return values


def _whole(grid: Grid) -> Window:
    return Window(0, 0, grid.shape[0], grid.shape[1])
