"""headscarp damage: how far slides may run from where they start, and what stands in their way."""

from pathlib import Path
from typing import Annotated

import typer

from headscarp.cli.options import Out, Overwrite, Seed, StackPath
from headscarp.cli.output import say, tell


def damage(
    sources: Annotated[
        Path, typer.Argument(metavar="SOURCES", help="A folder of futures by `headscarp scenario`, or a map.")
    ],
    stack: StackPath,
    out: Out,
    exposed: Annotated[
        list[Path] | None,
        typer.Option("--exposed", help="A vector layer of roads, buildings, ...; may be given again."),
    ] = None,
    threshold: Annotated[float, typer.Option("--threshold", help="From which on a cell of a map is a source.")] = 0.5,
    angle_deg: Annotated[
        float | None, typer.Option("--angle-deg", help="Angle of reach; default: by the area of each slide.")
    ] = None,
    scatter: Annotated[
        float, typer.Option("--scatter", help="Standard deviation of log10 of the tangent of the angle.")
    ] = 0.1,
    draws: Annotated[int, typer.Option("--draws", help="How many runouts are drawn.")] = 100,
    seed: Seed = None,
    overwrite: Overwrite = False,
) -> None:
    """Map the ground that slides may bury: probability by cell, quantiles of the area, exposed features.

    Slides run down the elevation of the stack to where the line of the travel angle meets the ground; the angle falls
    with the volume (Corominas 1996). Writes a Cloud-Optimized GeoTIFF, a table (CSV) and, with --exposed, a GeoPackage
    in which each feature has its `burial_probability`.

        headscarp damage futures/ stack.zarr --out damage.tif --exposed roads.gpkg
    """
    from headscarp.prediction.damage import QUANTILES
    from headscarp.prediction.damage import damage as draw_damage

    made = draw_damage(
        sources,
        stack,
        out,
        exposed=exposed or (),
        threshold=threshold,
        angle_deg=angle_deg,
        scatter=scatter,
        draws=draws,
        seed=seed or 0,
        overwrite=overwrite,
    )
    for what, values in made.quantiles.items():
        say(f"{what}: " + ", ".join(f"{value:.4g} ({q:.0%})" for value, q in zip(values, QUANTILES, strict=True)))
    tell(map=made.map, table=made.table, **({"layers": made.layers} if made.layers else {}))
