"""What a file is and how it was made, for `headscarp info`: a map, a stack, a bundle, a split or a folder of a run."""

import json
from pathlib import Path
from typing import Any

from headscarp.core.bundle import open_bundle
from headscarp.core.domains import is_domains
from headscarp.core.errors import SourceError
from headscarp.core.grid import ground_resolution_m
from headscarp.core.provenance import read_made
from headscarp.core.samples import GROUP
from headscarp.core.scenarios import FUTURE, GENERATED, GENERATED_TAG, TASK, is_scenarios
from headscarp.core.stack import open_stack, stack_bands, stack_grid
from headscarp.evaluation.tables import read_table
from headscarp.prediction.cutting import cut_of
from headscarp.report.domains import describe_domains


def describe(path: str | Path) -> dict[str, Any]:
    """Facts about a file or folder that Headscarp made, by name. Raises SourceError where it is nothing known."""
    path = Path(path)
    if not path.exists():
        raise SourceError(f"there is no {path}; give a map, stack, bundle, split or run folder")
    for known, tell in _KINDS:
        if known(path):
            return {"file": path, **tell(path), **_made_lines(_made(path))}
    raise SourceError(f"{path} is nothing that Headscarp made: no GeoTIFF, stack, bundle, split or table of metrics")


def _made(path: Path) -> dict[str, Any]:
    """What made it: a stack carries that in its attributes, everything else beside it."""
    if path.is_dir() and (path / "zarr.json").is_file():
        return dict(open_stack(path).attrs.get("made", {}))
    return read_made(path)


def _map(path: Path) -> dict[str, Any]:
    import rasterio

    try:
        with rasterio.open(path) as raster:
            bands = [
                f"{raster.descriptions[i] or f'band {i + 1}'} ({raster.units[i] or '1'})" for i in range(raster.count)
            ]
            structure = raster.tags(ns="IMAGE_STRUCTURE")
            return {
                "kind": "raster map" + (", cloud-optimized" if structure.get("LAYOUT") == "COG" else ""),
                "bands": ", ".join(bands),
                "size": f"{raster.width} x {raster.height} cells of {raster.res[0]:.6g} ({raster.crs})",
                "nodata": raster.nodata,
                "compression": structure.get("COMPRESSION", "none"),
                "overviews": ", ".join(str(f) for f in raster.overviews(1)) or "none",
                **_cut_lines(raster.tags(1)),
                **({GENERATED: raster.tags()[GENERATED_TAG]} if GENERATED_TAG in raster.tags() else {}),
            }
    except rasterio.errors.RasterioIOError as error:
        raise SourceError(f"{path} cannot be read as a raster ({error}); it may be truncated: make it again") from error


def _cut_lines(tags: dict[str, str]) -> dict[str, Any]:
    cut = cut_of(tags)
    return (
        {"threshold": f"{cut.threshold:.4g}, of a bundle of {cut.net}", "opening": f"{cut.open_px} px"} if cut else {}
    )


def _stack(path: Path) -> dict[str, Any]:
    stack = open_stack(path)
    facts: dict[str, Any] = describe_domains(stack) if is_domains(stack) else {"kind": "stack"}
    if is_scenarios(stack):
        counts = [len(set(stack[name].to_numpy().tolist())) for name in (GROUP, TASK, FUTURE)]
        facts["kind"] = "stack of scenarios: places before and after a task"
        facts["origin"] = "simulated: no real place or event" if stack.attrs.get("simulated") else "from data"
        facts["samples"] = "{}: {} places, {} tasks, {} futures of each".format(stack.sizes["sample"], *counts)
        if "time" in stack.dims:
            facts["before"] = f"series of up to {stack.sizes['time']} frames, under clouds"
    if "sample" not in stack.dims:
        grid = stack_grid(stack)
        crs = f"EPSG:{grid.crs.epsg}" if grid.crs and grid.crs.epsg else str(grid.crs)[:60]
        facts["size"] = f"{grid.shape[1]} x {grid.shape[0]} cells of {ground_resolution_m(grid):.4g} m, {crs}"
    for band in stack_bands(stack):
        classes = f", {len(band.classes)} classes" if band.classes else ""
        facts[band.name] = f"{band.kind}, {band.units}{classes}; {band.source}"
    return facts


def _bundle(path: Path) -> dict[str, Any]:
    bundle = open_bundle(path)
    scores = {f"{row['part']} {row['metric']}": row["value"] for row in bundle.metrics}
    return {
        "kind": f"bundle: a trained {bundle.net}" + (f", {bundle.members} members" if bundle.members > 1 else ""),
        "bands": ", ".join(f"{b.name} ({b.units})" for b in bundle.bands),
        "ground resolution": f"{bundle.resolution_m:.4g} m",
        "calibration": bundle.calibration.get("kind", "none"),
        "threshold": f"{bundle.threshold:.4g}",
        **{f"pretrained {key}": value for key, value in bundle.made.get("pretrained", {}).items()},
        **{name: f"{value:.4f}" for name, value in scores.items() if name.split()[-1] in ("nll", "auroc") and value},
    }


def _split(path: Path) -> dict[str, Any]:
    from headscarp.tiles.splits import PARTS, read_split

    split = read_split(path)
    counts = {part: sum(p.name == part for p in split.parts) for part in PARTS}
    return {"kind": f"{split.kind} split", "seed": split.seed, "buffer": f"{split.buffer_px} px", **counts}


def _metrics(path: Path) -> dict[str, Any]:
    rows = [r for r in read_table(path) if r.part == "test" and r.metric in ("nll", "auroc")]
    return {"kind": "table of metrics", **{f"{r.net} {r.split} {r.metric}": f"{r.value:.4f}" for r in rows}}


def _made_lines(made: dict[str, Any]) -> dict[str, Any]:
    lines: dict[str, Any] = {}
    for key in ("made_by", "version", "commit", "seed"):
        if made.get(key) not in (None, ""):
            lines[key.replace("_", " ")] = made[key]
    for key, value in (made.get("settings") or {}).items():
        lines[f"setting {key}"] = value if isinstance(value, (str, int, float)) else json.dumps(value)[:300]
    for number, item in enumerate(made.get("inputs") or [], start=1):
        lines[f"input {number}"] = "; ".join(f"{k} {v}" for k, v in item.items() if v)
    return lines


_KINDS = (
    (lambda p: p.suffix.lower() in (".tif", ".tiff"), _map),
    (lambda p: p.is_dir() and (p / "bundle.json").is_file(), _bundle),
    (lambda p: p.is_dir() and (p / "zarr.json").is_file(), _stack),
    (lambda p: p.suffix == ".geojson", _split),
    (lambda p: p.is_dir() and (p / "metrics.csv").is_file(), _metrics),
)
