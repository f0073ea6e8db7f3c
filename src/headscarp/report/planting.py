"""The plan of planting for people: layers for a GIS, a map figure, a table of years, and one page.

It writes what `prediction.planting` found. Refuses nothing; every page says that promises are those of a model.
"""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rasterio.features import shapes
from scipy.ndimage import label
from shapely.geometry import shape as as_shape
from shapely.ops import unary_union

from headscarp.core.artefact import check_output, clear_os_errors, finish, partial_path, write_text
from headscarp.core.errors import OutputError
from headscarp.core.provenance import made_by, write_stac_item
from headscarp.core.tile import Window
from headscarp.nets.net import Output
from headscarp.prediction.cog import write_cog
from headscarp.prediction.facts import finish_block, summarise
from headscarp.prediction.planting import PHYSICS, Planting
from headscarp.prediction.workfile import WorkFile
from headscarp.report.figures import hillshade, save_figure
from headscarp.report.page import Page, Section, Table, write_page
from headscarp.train.plantings import PlantingsEvaluation

_DRAWN_PX = 900
_LAYER = "plan"


@dataclass(frozen=True)
class PlantingFiles:
    """What was written: patches of the plan, bands (risk, gain, plan), years, picture, page."""

    plan: Path
    map: Path
    years: Path
    figure: Path
    page: Path


def checked_plan_name(out: str | Path, *, overwrite: bool) -> Path:
    """The name of a plan, when it may be written. Raises OutputError."""
    out = Path(out)
    if out.suffix.lower() != ".gpkg":
        raise OutputError(f"a plan is a GeoPackage, but --out is {out}; give a name that ends in .gpkg")
    for suffix in (".gpkg", ".tif"):
        check_output(out.with_suffix(suffix), overwrite=overwrite)
    return out


def write_plan(found: Planting, out: str | Path, *, overwrite: bool = False) -> PlantingFiles:
    """Writes a plan beside its name: .gpkg with a row for each patch, .tif, .csv by year, .png and .html.

    Raises OutputError.
    """
    out = checked_plan_name(out, overwrite=overwrite)
    made = made_by("planting", settings=dict(found.settings), inputs=[{"stack": found.fingerprint}])
    patches = _patches(found)
    partial = partial_path(out).with_suffix(".gpkg")
    with clear_os_errors(out):
        partial.unlink(missing_ok=True)
        kind = {} if len(patches) else {"geometry_type": "Polygon"}
        patches.to_file(partial, layer=_LAYER, driver="GPKG", engine="pyogrio", **kind)
    plan = finish(partial, out)
    map_ = _write_map(out.with_suffix(".tif"), found, made)
    years = write_text(out.with_suffix(".csv"), _years(found))
    figure = draw_plan(found, out.with_suffix(".png"))
    page = write_page(_page(found, patches, figure, made), out.with_suffix(".html"))
    return PlantingFiles(plan, map_, years, figure, page)


def plan_in_words(found: Planting) -> tuple[str, ...]:
    """What a person wants to read first."""
    model = "the physics of shallow slides" if found.source == PHYSICS else "what the bundle has learned"
    told = [
        f"{found.ha:.4g} ha are chosen of {found.open_ground.sum() * found.cell_ha:.4g} ha of open ground. Once roots "
        f"are grown they take away {found.promised:.1%} of the risk of the place, by {model}.",
    ]
    if found.beside is not None:
        other = "the bundle" if found.source == PHYSICS else "the physics"
        told.append(f"By {other} the same plan takes away {found.promised_beside:.1%}.")
    told.append(
        "This is the promise of a model and holds for shallow slides only: roots hold nothing below their depth, and "
        "young trees hold little for ten years."
    )
    return tuple(told)


def draw_plan(found: Planting, out: str | Path) -> Path:
    """Writes the map figure as PNG: risk before, gain of planting, and the plan, over the shaded ground."""
    step = max(1, -(-max(found.risk.shape) // _DRAWN_PX))
    side_km = float(np.sqrt(found.cell_ha * 1e4)) / 1000
    extent_km = (side_km * found.risk.shape[1], side_km * found.risk.shape[0])
    shade = hillshade(found.elevation_m, extent_km)
    figure = Figure(figsize=(11.5, 4.4), layout="constrained")
    top = max(float(np.nanquantile(found.risk, 0.99)), 1e-6)
    best = max(float(np.nanquantile(found.gain[found.open_ground], 0.99)) if found.open_ground.any() else 0.0, 1e-6)
    panels = (
        ("risk before", found.risk, "magma_r", top),
        ("gain of planting, on open ground", np.where(found.open_ground, found.gain, np.nan), "viridis", best),
    )
    axes = figure.subplots(1, 3)
    for axis in axes:
        axis.imshow(shade[::step, ::step], cmap="gray")
        axis.set_xticks([])
        axis.set_yticks([])
    for axis, (title, pixels, colours, most) in zip(axes, panels, strict=False):
        drawn = axis.imshow(pixels[::step, ::step], cmap=colours, vmin=0.0, vmax=most, alpha=0.75)
        figure.colorbar(drawn, ax=axis, shrink=0.75)
        axis.set_title(title, fontsize=9)
    open_, plan = (mask[::step, ::step] for mask in (found.open_ground, found.chosen))
    axes[2].imshow(np.where(open_, 1.0, np.nan), cmap=ListedColormap(["#e8d9a8"]), alpha=0.5)
    axes[2].imshow(np.where(plan, 1.0, np.nan), cmap=ListedColormap(["#00703c"]))
    axes[2].set_title(f"plan: {found.ha:.4g} ha (green) on open ground (sand)", fontsize=9)
    figure.suptitle("Where trees lower the risk of shallow slides; promises of a model", fontsize=10)
    return save_figure(figure, out)


def draw_plantings(evaluation: PlantingsEvaluation, out: str | Path) -> Path:
    """Writes how plans were judged as PNG: true reduction and promise by name; below, plans of a place."""
    names = list(dict.fromkeys(row.net for row in evaluation.rows))
    example = max(evaluation.examples, key=lambda one: float(one.gain.sum()))
    figure = Figure(figsize=(1.5 * len(names), 5.4), layout="constrained")
    upper, lower = figure.subfigures(2, 1, height_ratios=(1.5, 1.0))  # type: ignore[misc]
    axis = upper.subplots()
    for k, (metric, colour) in enumerate((("risk_reduction", "#0072B2"), ("promised", "#E69F00"))):
        rows = [evaluation.value(metric, net=name, part=evaluation.rows[0].part) for name in names]
        value, low, high = (np.array([getattr(row, key) for row in rows]) for key in ("value", "low", "high"))
        at = np.arange(len(names)) + 0.38 * k - 0.19
        said = {"risk_reduction": "truly taken away", "promised": "promised"}[metric]
        axis.bar(at, value, 0.36, color=colour, label=said)
        axis.errorbar(at, value, yerr=np.abs([value - low, high - value]), fmt="none", ecolor="#333333", lw=1)
    axis.axhline(0.0, color="#333333", lw=0.8)
    axis.set_xticks(range(len(names)), names)
    axis.set_ylabel("share of the risk of a place")
    axis.legend(frameon=False, fontsize=8)
    axes = lower.subplots(1, len(names))
    for each, name in zip(axes, names, strict=True):
        each.imshow(example.gain, cmap="viridis")
        each.imshow(np.where(example.plans[name], 1.0, np.nan), cmap=ListedColormap(["#ff3b30"]))
        each.set_title(name, fontsize=8)
        each.axis("off")
    upper.suptitle("SIMULATED places; below: plans (red) over the true gain of a place", fontsize=9)
    return save_figure(figure, out)


def _patches(found: Planting) -> gpd.GeoDataFrame:
    """A row for each patch of the plan, the worthiest first."""
    patches, count = label(found.chosen, np.ones((3, 3), int))
    total = max(float(np.nansum(found.risk)), 1e-12)
    outlines: dict[int, list[object]] = {}
    for piece, number in shapes(patches.astype(np.int32), mask=patches > 0, transform=found.grid.affine):
        outlines.setdefault(int(number), []).append(as_shape(piece))
    rows = []
    for number in range(1, count + 1):
        cells = patches == number
        rows.append(
            {
                "ha": float(cells.sum()) * found.cell_ha,
                "gain_share": float(np.nansum(found.gain[cells])) / total,
                "risk_before": float(np.nanmean(found.risk[cells])),
                "geometry": unary_union(outlines[number]),
            }
        )
    rows.sort(key=lambda row: -row["gain_share"])
    columns = {name: [row[name] for row in rows] for name in ("ha", "gain_share", "risk_before")}
    crs = found.grid.crs
    assert crs is not None
    table = {"rank": list(range(1, len(rows) + 1)), **columns}
    return gpd.GeoDataFrame(table, geometry=[row["geometry"] for row in rows], crs=crs.to_wkt())


def _years(found: Planting) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["years after planting", "share of the risk taken away"])
    writer.writerows([year, f"{share:.6g}"] for year, share in found.years)
    return text.getvalue()


def _page(found: Planting, patches: gpd.GeoDataFrame, figure: Path, made: dict[str, object]) -> Page:
    years = tuple((str(year), f"{share:.2%}") for year, share in found.years)
    best = tuple(
        (str(row["rank"]), f"{row['ha']:.3g}", f"{row['gain_share']:.2%}", f"{row['risk_before']:.3g}")
        for _, row in patches.head(20).iterrows()
    )
    return Page(
        title="Where to plant",
        lead=plan_in_words(found),
        sections=(
            Section("Map", figures=((figure, "risk before, gain, and the plan"),)),
            Section("Years", table=Table(("years after planting", "share of the risk taken away"), years)),
            Section("Patches", ("The twenty worthiest.",), table=Table(("rank", "ha", "gain", "risk before"), best)),
        ),
        made=made,
    )


def _write_map(out: Path, found: Planting, made: dict[str, object]) -> Path:
    pixels = np.stack([found.risk, found.gain, found.chosen]).astype(np.float32)
    valid = np.asarray(np.isfinite(pixels).all(axis=0))
    pixels[:, ~valid] = np.nan
    outputs = [Output("risk"), Output("gain", "1", -1.0, 1.0), Output("plan")]
    work = WorkFile(out.with_name(f".{out.name}.work"), len(outputs), (pixels.shape[1], pixels.shape[2]))
    work.create()
    block: NDArray[np.float32] = np.ascontiguousarray(pixels)
    facts = finish_block(block, valid)
    work.write(Window(0, 0, *work.shape), block)
    partial = write_cog(
        work, found.grid, partial_path(out), outputs=outputs, summaries=summarise([facts], len(outputs))
    )
    bands = [{"name": o.name, "description": o.name, "unit": o.unit, "nodata": "nan"} for o in outputs]
    write_stac_item(out, found.grid, made, bands=bands)
    work.path.unlink(missing_ok=True)
    return finish(partial, out)
