"""The verb score: an inventory against the truth, as files, into one tidy table and a figure of what was found.

The pure part stands in `evaluation.objects`. Refuses files without polygons or without a coordinate system.
"""

import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
from matplotlib.figure import Figure

from headscarp.core.artefact import check_output, clear_os_errors, write_json
from headscarp.core.errors import HeadscarpWarning, SourceError
from headscarp.core.provenance import describe_input, made_by
from headscarp.evaluation.objectrows import object_rows
from headscarp.evaluation.objects import SIZE_CLASSES, Rules, score_objects
from headscarp.evaluation.tables import MetricRow, write_table
from headscarp.report.figures import PALETTE, save_figure
from headscarp.sources.formats import Vector, read_table

FIGURE = "objects.png"
_FOUND, _MISSED, _FALSE = PALETTE[2], PALETTE[1], "#bbbbbb"


@dataclass(frozen=True)
class Score:
    """What score found: the tidy table, the same in words, and the figure."""

    rows: tuple[MetricRow, ...]
    text: str
    figure: Path


def score_inventory(
    inventory: str | Path,
    truth: str | Path,
    *,
    out: str | Path,
    area: str | Path | None = None,
    rules: Rules | None = None,
    seed: int = 0,
    overwrite: bool = False,
) -> Score:
    """Scores the polygons of a file against those of another, and writes metrics.csv, metrics.json and objects.png.

    out: a folder. area: polygons of what was looked at; the rest counts nowhere. rules: see `evaluation.objects.Rules`.
    Raises OutputError where `out` exists, SourceError and GridError for files that cannot be scored.
    """
    out = check_output(out, overwrite=overwrite)
    rules = rules or Rules()
    tables = [read_polygons(path) for path in (inventory, truth, *([area] if area else []))]
    scores = score_objects(tables[0], tables[1], area=tables[2] if area else None, rules=rules)
    rows = tuple(object_rows(scores, Path(inventory).stem, seed=seed))
    with clear_os_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    write_table(rows, out)
    inputs = [describe_input(path) for path in (inventory, truth, *([area] if area else []))]
    write_json(out / "made.json", {"made": made_by("score", settings=asdict(rules), inputs=inputs, seed=seed)})
    return Score(rows, in_words(rows), save_figure(objects_figure(rows), out / FIGURE))


def read_polygons(path: str | Path) -> gpd.GeoDataFrame:
    """The polygons of a vector file or GeoParquet; other shapes are left out, with a warning. Raises SourceError."""
    path = Path(path)
    if not path.exists():
        raise SourceError(f"there is no file at {path}; check the path")
    if path.suffix.lower() == ".parquet":
        try:
            table = gpd.read_parquet(path)
        except (ImportError, ValueError, OSError) as error:
            raise SourceError(f"{path} cannot be read as GeoParquet ({error}); give a GeoPackage") from error
    else:
        table = read_table(Vector(str(path)))
    if not isinstance(table, gpd.GeoDataFrame):
        raise SourceError(f"{path} has no shapes; needed are polygons of landslides")
    flat = table.geometry.geom_type.isin(("Polygon", "MultiPolygon"))
    if len(table) and not flat.any():
        raise SourceError(f"{path} has no polygon among its {len(table)} shapes; points cannot be scored by area")
    if not flat.all():
        text = f"{int((~flat).sum())} of {len(table)} shapes of {path.name} are no polygons and are left out"
        warnings.warn(text, HeadscarpWarning, stacklevel=2)
    return table[flat]


def objects_figure(rows: Sequence[MetricRow]) -> Figure:
    """Found and missed slides by class of size, and on the right the mapped ones that are true and false."""
    by = {(row.part, row.metric): row for row in rows if row.split == "objects"}
    sizes = [size for size in SIZE_CLASSES if (size, "n_true") in by]
    figure = Figure(figsize=(8.4, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    at = np.arange(len(sizes))

    def values(metric: str) -> np.ndarray:
        return np.array([by[size, metric].value for size in sizes])

    sides = (
        (left, "Slides of the truth", ("n_found", "found", _FOUND), ("n_missed", "missed", _MISSED), "recall"),
        (right, "Polygons of the inventory", ("", "on a slide", _FOUND), ("n_false", "false", _FALSE), "precision"),
    )
    for axes, title, (first, first_name, first_colour), (second, second_name, second_colour), share in sides:
        upper = values(second)
        lower = values(first) if first else values("n_mapped") - upper
        axes.bar(at, lower, color=first_colour, label=first_name, width=0.7)
        axes.bar(at, upper, bottom=lower, color=second_colour, label=second_name, width=0.7)
        for x, size in enumerate(sizes):
            row = by[size, share]
            if np.isfinite(row.value):
                span = f"\n[{row.low:.2f}, {row.high:.2f}]" if np.isfinite(row.low) else ""
                axes.annotate(
                    f"{row.value:.2f}{span}",
                    (x, lower[x] + upper[x]),
                    xytext=(0, 3),
                    textcoords="offset points",
                    ha="center",
                    fontsize=7,
                )
        axes.set_title(f"{title}, with {share}", fontsize=10)
        axes.set_xticks(at, [f"{size} m²" for size in sizes], fontsize=8)
        axes.legend(frameon=False, fontsize=8)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    left.set_ylabel("Number")
    left.margins(y=0.2)
    return figure


def in_words(rows: Sequence[MetricRow]) -> str:
    """What a person wants to read first."""
    objects = {row.metric: row for row in rows if (row.split, row.part) == ("objects", "all")}
    area = {row.metric: row for row in rows if row.split == "area"}
    n = {name: round(objects[name].value) for name in ("n_true", "n_found", "n_mapped", "n_false")}
    return (
        f"{n['n_found']} of {n['n_true']} slides are found, {n['n_false']} of {n['n_mapped']} polygons are false. "
        f"By area: precision {_cell(area['precision'])}, recall {_cell(area['recall'])}, F1 {_cell(area['f1'])}, "
        f"IoU {_cell(area['iou'])}."
    )


def _cell(row: MetricRow) -> str:
    span = f" [{row.low:.3f}, {row.high:.3f}]" if np.isfinite(row.low) else ""
    return f"{row.value:.3f}{span}"
