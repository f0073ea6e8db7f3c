"""Sen12Landslides as a stack of samples: 15 frames of 128 x 128 pixels of 10 m, Sentinel-2 or Sentinel-1, in NetCDF.

Hoehn et al. (2025), Scientific Data, s41597-025-06167-2; CC BY 4.0. Pixels keep the published names and numbers:
Sentinel-2 as digital numbers (reflectance x 10000; 0 = missing), Sentinel-1 in dB. The mask is one polygon layer
repeated in every frame, so it is read once. The files' center_lat and center_lon are not degrees but metres of the
patch's CRS; here they are centre_y and centre_x. The published split interleaves neighbouring patches: use a blocked
one. Refuses a mix of sensors.
"""

import ast
import gzip
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import xarray as xr

from headscarp.core.band import Band
from headscarp.core.errors import SourceError
from headscarp.core.stack import LABEL
from headscarp.sources.inventory.dates import read_dates
from headscarp.sources.inventory.samples import find_files
from headscarp.sources.inventory.timeseries import Layout, Patch, patches_stack, read_patch

SCENE_CLASSES = (
    *("saturated or defective", "dark area", "cloud shadow", "vegetation", "not vegetated", "water", "unclassified"),
    *("cloud, medium probability", "cloud, high probability", "thin cirrus", "snow or ice"),
)
"""Sentinel-2's scene classes 1 to 11; 0 is no data."""

OPTICAL = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
RADAR = ("VV", "VH")
LAYOUT = Layout(
    bands={
        **{name: Band(name, "continuous", "1", f"Sentinel-2 L2A {name}, reflectance x 10000") for name in OPTICAL},
        **{name: Band(name, "continuous", "dB", f"Sentinel-1 {name}") for name in RADAR},
        "SCL": Band("SCL", "categorical", source="Sentinel-2 L2A scene classes", classes=SCENE_CLASSES),
        "DEM": Band("DEM", "continuous", "m", "Sen12Landslides DEM"),
        "MASK": Band(LABEL, "label", source="Sen12Landslides masks"),
    },
    missing=dict.fromkeys(OPTICAL, 0.0),
    static=("DEM", "MASK"),
)

_CERTAINTIES = ((0.99, "certain"), (0.5, "probable"), (0.0, "questionable"))
_PATCH_COLUMNS = ("patch_id", "split", "inventory", "annotated_pixels", "lon", "lat")


def read_sen12landslides(places: str | Path | Sequence[str | Path]) -> xr.Dataset:
    """A stack (sample, time, y, x) of all patches of a folder, or of the files named, of one sensor.

    Pixels are read patch by patch. Beside the bands, of each sample: date and present (sample, time); region,
    satellite, crs, centre_x, centre_y, annotated, event_date (NaT where there is none), date_certainty, and the frames
    `pre` and `post` (from 0; -1 for none) between which the slide happened. Raises SourceError.
    """
    files = find_files(places, "*.nc", "patches")
    patches = [read_patch(file) for file in files]
    return patches_stack(patches, LAYOUT, [file.stem for file in files], variables=_known(patches))


def read_patch_list(path: str | Path) -> gpd.GeoDataFrame:
    """The published list of patches (CSV, gzipped or not) as points: patch_id, split, inventory, annotated_pixels.

    For audits of the published split: how near test patches lie to training patches. Raises SourceError.
    """
    try:
        table = pd.read_csv(path)
    except (OSError, EOFError, gzip.BadGzipFile, UnicodeDecodeError, pd.errors.ParserError) as error:
        raise SourceError(f"{path} cannot be read as a list of patches ({error}); download it again") from error
    missing = [name for name in _PATCH_COLUMNS if name not in table.columns]
    if missing:
        raise SourceError(f"{path} lacks {', '.join(missing)}; it has: {', '.join(map(str, table.columns))}")
    return gpd.GeoDataFrame(table, geometry=gpd.points_from_xy(table["lon"], table["lat"]), crs="EPSG:4326")


def date_certainty(confidence: Any) -> str:
    """The schema's word for a date confidence from 0 to 1; "unknown" where there is none."""
    number = pd.to_numeric(confidence, errors="coerce")
    return next((word for least, word in _CERTAINTIES if number >= least), "unknown")


def _known(patches: Sequence[Patch]) -> dict[str, tuple[tuple[str, ...], Any]]:
    """Metadata of each patch, from the attributes of its file."""
    attrs = [patch.attrs for patch in patches]
    events = read_dates(pd.Series([_text(a.get("event_date")) for a in attrs])).date.to_numpy("datetime64[ns]")
    frames = np.array([_pre_post(patch) for patch in patches], np.int64).reshape(-1, 2)
    texts = {
        "region": [_region(patch.path) for patch in patches],
        "satellite": [_text(a.get("satellite")) for a in attrs],
        "crs": [_text(a.get("crs")) for a in attrs],
        "date_certainty": [date_certainty(_text(a.get("date_confidence"))) for a in attrs],
    }
    centres = {axis: [float(np.mean(getattr(patch, axis))) for patch in patches] for axis in ("x", "y")}
    return {
        **{name: (("sample",), np.array(values, object)) for name, values in texts.items()},
        **{f"centre_{axis}": (("sample",), np.array(values)) for axis, values in centres.items()},
        "annotated": (("sample",), np.array([_text(a.get("annotated")).casefold() in ("true", "1") for a in attrs])),
        "event_date": (("sample",), events),
        "pre": (("sample",), frames[:, 0]),
        "post": (("sample",), frames[:, 1]),
    }


def _pre_post(patch: Patch) -> tuple[int, int]:
    """The frames before and after the slide; of several slides the first before and the last after; -1 for none."""
    try:
        found = ast.literal_eval(_text(patch.attrs.get("pre_post_dates")))
    except (ValueError, SyntaxError):
        return -1, -1
    pairs = [found] if isinstance(found, Mapping) else list(found) if isinstance(found, list | tuple) else []
    pairs = [pair for pair in pairs if isinstance(pair, Mapping) and {"pre", "post"} <= set(pair)]
    if not pairs:
        return -1, -1
    # Where each frame of the file stands once frames are in order of time.
    place = np.argsort(np.argsort(patch.dates, kind="stable"))
    ends = [
        [int(place[int(pair[end])]) for pair in pairs if 0 <= int(pair[end]) < len(place)] for end in ("pre", "post")
    ]
    return min(ends[0], default=-1), max(ends[1], default=-1)


def _region(path: Path) -> str:
    """italy of italy_s2_6982.nc."""
    parts = path.stem.split("_")
    sensor = next((i for i, part in enumerate(parts) if part in ("s1asc", "s1dsc", "s2")), len(parts))
    return "_".join(parts[:sensor])


def _text(value: Any) -> str:
    """An attribute as text, "" where there is none."""
    if value is None:
        return ""
    if isinstance(value, bytes):
        return value.decode()
    return str(np.ravel(value)[0]) if isinstance(value, np.ndarray) and value.size == 1 else str(value)
