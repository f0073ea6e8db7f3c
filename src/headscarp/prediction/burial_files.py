"""What is written of ground that may be buried: a map of the probability, a table of totals, outlines and layers.

Plain values in, files out; a map of what was generated says so. Refuses to stand over files that cannot be written.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
from numpy.typing import NDArray
from rasterio.features import shapes
from shapely.geometry import shape as as_shape
from shapely.ops import unary_union

from headscarp.core.artefact import clear_os_errors, finish, partial_path
from headscarp.core.grid import Grid
from headscarp.core.provenance import write_stac_item
from headscarp.core.scenarios import GENERATED, GENERATED_TAG, GENERATED_WORDS
from headscarp.core.tile import Window
from headscarp.nets.net import Output
from headscarp.prediction.cog import write_cog
from headscarp.prediction.facts import finish_block, summarise
from headscarp.prediction.workfile import WorkFile

QUANTILES = (0.05, 0.5, 0.95)


def totals_table(quantiles: Mapping[str, tuple[float, ...]], held: Mapping[str, Sequence[float]]) -> str:
    """CSV with mean and quantiles of each total. quantiles: at QUANTILES. held: the total of each draw."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["what", "mean", *(f"quantile {q:g}" for q in QUANTILES)])
    for what, values in quantiles.items():
        writer.writerow([what, f"{np.mean(held[what]):.6g}", *(f"{v:.6g}" for v in values)])
    return text.getvalue()


def outlines_of(
    probability: NDArray[np.float32], levels: Sequence[float], grid: Grid, cell_km2: float
) -> gpd.GeoDataFrame:
    """What is buried with at least each probability, an outline each; none of what nothing reaches.

    probability: (y, x), NaN where missing."""
    rows: list[dict[str, Any]] = []
    for level in levels:
        mask = np.asarray(np.nan_to_num(probability) >= level - 1e-6)
        pieces = [as_shape(piece) for piece, _ in shapes(mask.astype(np.uint8), mask=mask, transform=grid.affine)]
        if pieces:
            rows.append({"at_least": level, "km2": float(mask.sum()) * cell_km2, "geometry": unary_union(pieces)})
    columns = {name: [row[name] for row in rows] for name in ("at_least", "km2")}
    return gpd.GeoDataFrame(columns, geometry=[row["geometry"] for row in rows], crs=_wkt(grid))


def write_layers(path: Path, layers: Mapping[str, gpd.GeoDataFrame]) -> Path:
    """A GeoPackage with each layer by its name, empty ones among them. Raises OutputError."""
    partial = partial_path(path).with_suffix(".gpkg")
    with clear_os_errors(path):
        partial.unlink(missing_ok=True)
        for name, table in layers.items():
            kind = {} if len(table) else {"geometry_type": "MultiPolygon"}
            table.to_file(partial, layer=name, driver="GPKG", engine="pyogrio", **kind)
    return finish(partial, path)


def write_burial(
    out: Path, pixels: NDArray[np.float32], grid: Grid, made: Mapping[str, Any], *, generated: bool
) -> Path:
    """A COG of the probability of burial, (y, x), NaN where missing, with its record beside it. Raises OutputError."""
    name = f"{GENERATED}: probability of burial" if generated else "probability of burial"
    output = Output(name)
    work = WorkFile(out.with_name(f".{out.name}.work"), 1, (pixels.shape[0], pixels.shape[1]))
    work.create()
    made_pixels = np.ascontiguousarray(pixels[None])
    facts = finish_block(made_pixels, np.isfinite(pixels))
    work.write(Window(0, 0, *work.shape), made_pixels)
    about = {GENERATED_TAG: GENERATED_WORDS} if generated else None
    partial = write_cog(work, grid, partial_path(out), outputs=[output], summaries=summarise([facts], 1), about=about)
    bands = [{"name": name, "description": name, "unit": "1", "nodata": "nan"}]
    write_stac_item(out, grid, made, bands=bands, more={f"headscarp:{GENERATED}": True} if generated else None)
    work.path.unlink(missing_ok=True)
    return finish(partial, out)


def _wkt(grid: Grid) -> str:
    assert grid.crs is not None
    return str(grid.crs.to_wkt())
