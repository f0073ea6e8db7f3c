"""headscarp vectorize: from a map of probabilities to polygons that a GIS opens."""

from pathlib import Path
from typing import Annotated

import typer

from headscarp.cli.options import Out, Overwrite, Resume, Workers
from headscarp.cli.output import tell


def vectorize(
    raster: Annotated[Path, typer.Argument(metavar="MAP", help="A map made by `headscarp predict`.")],
    out: Out,
    threshold: Annotated[
        float | None,
        typer.Option(
            "--threshold",
            help="Probability from which on a cell counts; default: that of the bundle that made the map, else 0.5.",
            min=0.0,
            max=1.0,
        ),
    ] = None,
    min_area_m2: Annotated[float, typer.Option("--min-area-m2", help="Leave smaller polygons out.", min=0.0)] = 0.0,
    fill_holes_m2: Annotated[float, typer.Option("--fill-holes-m2", help="Close smaller holes.", min=0.0)] = 0.0,
    min_width_m: Annotated[
        float, typer.Option("--min-width-m", help="Leave slivers out: area over length below this.", min=0.0)
    ] = 0.0,
    simplify_m: Annotated[
        float, typer.Option("--simplify-m", help="Let outlines move by about this much.", min=0.0)
    ] = 0.0,
    open_px: Annotated[
        int | None,
        typer.Option(
            "--open-px",
            help="Take off what is narrower than a square of 2 N + 1 cells; default: 1 for maps of anomaly, else 0.",
            min=0,
        ),
    ] = None,
    stack: Annotated[
        Path | None, typer.Option("--stack", help="Stack of the map: gives each polygon its drop and mean slope.")
    ] = None,
    band: Annotated[int, typer.Option("--band", help="Which band of the map.", min=1)] = 1,
    workers: Workers = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
) -> None:
    """Draw the polygons of a map: an inventory with areas, probabilities, lengths and drops.

    Works block by block, so maps of any size go through a little memory, and the polygons are those of one pass over
    the whole map. The output is a GeoPackage or, where the name ends in .parquet, GeoParquet.

        headscarp vectorize map.tif --out inventory.gpkg --min-area-m2 500 --stack stack.zarr
    """
    from headscarp.core.provenance import read_made
    from headscarp.prediction.outlines import Rules
    from headscarp.prediction.vectorize import vectorize as draw

    rules = Rules(threshold, min_area_m2, fill_holes_m2, min_width_m, simplify_m, open_px)
    path = draw(raster, out, rules=rules, stack=stack, band=band, workers=workers, resume=resume, overwrite=overwrite)
    made = read_made(path).get("settings", {})
    drawn = made.get("rules", {})
    said = f"{drawn.get('threshold', 0):.4g}, {made.get('threshold_from', '')}"
    tell(polygons=path, count=made.get("polygons"), threshold=said, open_px=drawn.get("open_px"))
