"""The grid of a place: a box in degrees, or the extent of a polygon file, on cells of true metres.

Refuses boxes that are empty, turned round, in the wrong order of axes or across the antimeridian, and says which.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError

from headscarp.core.errors import GridError, SourceError
from headscarp.core.grid import Grid, check_grid, check_metres
from headscarp.core.tile import Window

WIDEST_DEG = 12.0
"""A box that is wider than this leaves its UTM zone so far behind that metres are no longer true."""

_POLAR_NORTH, _POLAR_SOUTH = 84.0, -80.0
_SLACK = 1e-6

Box = tuple[float, float, float, float]


def check_box(box: Sequence[float]) -> Box:
    """The box (west, south, east, north) in degrees, when it is one. Raises GridError that says what is wrong."""
    if len(box) != 4 or not all(math.isfinite(v) for v in box):
        raise GridError(f"the box is {list(box)}; needed: west south east north, four numbers in degrees")
    west, south, east, north = (float(v) for v in box)
    order = "needed: west south east north, in degrees of longitude and latitude (WGS 84)"
    if not (-90 <= south <= 90 and -90 <= north <= 90):
        swapped = -90 <= west <= 90 and -90 <= east <= 90 and -180 <= south <= 180 and -180 <= north <= 180
        hint = f"; as latitude comes first there, try {south:g} {west:g} {north:g} {east:g}" if swapped else ""
        raise GridError(f"the box {_text(box)} has latitudes beyond 90 degrees{hint}; {order}")
    if not (-180 <= west <= 180 and -180 <= east <= 180):
        raise GridError(f"the box {_text(box)} has longitudes beyond 180 degrees; {order}")
    if west > east:
        raise GridError(
            f"the box {_text(box)} crosses the antimeridian or has west and east the wrong way round; give two boxes, "
            f"one on each side ({west:g} to 180 and -180 to {east:g}), or turn them"
        )
    if south > north:
        raise GridError(f"the box {_text(box)} has south and north the wrong way round; {order}")
    if west == east or south == north:
        raise GridError(f"the box {_text(box)} has no area; {order}")
    if east - west > WIDEST_DEG:
        raise GridError(
            f"the box {_text(box)} is {east - west:g} degrees wide; on one grid of true metres at most {WIDEST_DEG:g} "
            "fit: cut it into several, each with its own UTM zone"
        )
    return west, south, east, north


def utm_crs(box: Box) -> CRS:
    """The UTM zone of the middle of a box (WGS 84); universal polar stereographic beyond 84 N and 80 S.

    The exceptions of Norway and Svalbard are left out: they serve map sheets, and metres are as true without them.
    """
    lon, lat = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    if lat >= _POLAR_NORTH:
        return CRS(32661)
    if lat <= _POLAR_SOUTH:
        return CRS(32761)
    zone = min(int((lon + 180) // 6), 59) + 1
    return CRS((32600 if lat >= 0 else 32700) + zone)


def place_grid(box: Sequence[float], resolution_m: float, *, crs: str | CRS | None = None) -> Grid:
    """The north-up grid that covers a box, its edges on whole multiples of the resolution.

    box: west, south, east, north in degrees. resolution_m: side of a cell in true metres. crs: None takes the UTM zone
    of the middle. Raises GridError for a bad box or a CRS without true metres there.
    """
    west, south, east, north = check_box(box)
    if not 0 < resolution_m < math.inf:
        raise GridError(f"the resolution is {resolution_m} m; it has to be a positive length in metres")
    try:
        wanted = utm_crs((west, south, east, north)) if crs is None else CRS.from_user_input(crs)
    except CRSError as error:
        raise GridError(f"the CRS {crs!r} is not known; give e.g. EPSG:32610 ({error})") from error
    if not wanted.is_projected:
        raise GridError(f"the CRS {crs!r} has no metres; leave it out for the UTM zone of the place")
    to_crs = Transformer.from_crs(CRS("EPSG:4326"), wanted, always_xy=True)
    left, bottom, right, top = to_crs.transform_bounds(west, south, east, north, densify_pts=101)
    if not np.isfinite([left, bottom, right, top]).all():
        raise GridError(f"the box {_text(box)} lies outside the area where {wanted.name} is defined; give another CRS")
    low = np.floor(np.array([left, bottom]) / resolution_m + _SLACK)
    high = np.ceil(np.array([right, top]) / resolution_m - _SLACK)
    cols, rows = (int(n) for n in np.maximum(high - low, 1))
    step = float(resolution_m)
    grid = GeoBox((rows, cols), Affine(step, 0.0, low[0] * step, 0.0, -step, high[1] * step), wanted.to_wkt())
    return check_metres(check_grid(grid))


def box_of_file(path: str | Path) -> Box:
    """The box in degrees around all shapes of a vector file. Raises SourceError, and GridError for a bad box."""
    import pyogrio

    path = Path(path)
    if not path.exists():
        raise SourceError(f"there is no vector file at {path}; check the path")
    try:
        layers = [str(name) for name in pyogrio.list_layers(path)[:, 0]]
        infos = [pyogrio.read_info(path, layer=layer, force_total_bounds=True) for layer in layers]
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, ValueError) as error:
        raise SourceError(f"{path} cannot be read as a vector file ({error}); give polygons of the place") from error
    boxes = []
    for info in infos:
        if info["total_bounds"] is None:
            continue
        if not info["crs"]:
            raise SourceError(
                f"{path} has no CRS; write it into the file, e.g. ogr2ogr -a_srs EPSG:4326 new.gpkg {path}"
            )
        to_lonlat = Transformer.from_crs(CRS(info["crs"]), CRS("EPSG:4326"), always_xy=True)
        left, bottom, right, top = info["total_bounds"]
        boxes.append(to_lonlat.transform_bounds(left, bottom, right, top, densify_pts=21))
    if not boxes or not np.isfinite(boxes).all():
        raise SourceError(f"{path} holds no shapes; give polygons of the place")
    all_boxes = np.array(boxes)
    return check_box([*all_boxes[:, :2].min(axis=0).tolist(), *all_boxes[:, 2:].max(axis=0).tolist()])


def grown(grid: Grid, cells: int) -> Grid:
    """The grid with so many cells more on each side."""
    whole = Window(0, 0, *grid.shape).grow(cells)
    a = grid.affine
    return GeoBox(
        (whole.height, whole.width),
        Affine(a.a, 0.0, a.c + whole.col * a.a, 0.0, a.e, a.f + whole.row * a.e),
        grid.crs,
    )


def _text(box: Sequence[float]) -> str:
    return " ".join(f"{v:g}" for v in box)
