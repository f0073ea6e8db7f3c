"""headscarp forecast: from the past frames of a place to a map of what may come."""

from pathlib import Path
from typing import Annotated

import typer

from headscarp.cli.options import BundlePath, Delay, Out, Overwrite, Resume, Workers
from headscarp.cli.output import say, tell


def forecast(
    bundle: BundlePath,
    stacks: Annotated[
        list[Path],
        typer.Argument(
            metavar="STACKS...",
            help="Stacks of one place on one grid, as `headscarp fetch` leaves them: scenes, elevation, weather.",
        ),
    ],
    date: Annotated[str, typer.Option("--date", help="The day to forecast from, such as 2014-07-29.")],
    out: Out,
    horizon: Annotated[str, typer.Option("--horizon", help="1d, 3d, 7d, 30d or 180d.")] = "7d",
    frames: Annotated[
        int | None,
        typer.Option(
            "--frames", help="At most so many frames, the newest; default: as many as the net learned from.", min=1
        ),
    ] = None,
    prevalence: Annotated[
        float | None,
        typer.Option(
            "--prevalence",
            help="The true share of places that slide within the horizon, where you know it, such as 0.002.",
        ),
    ] = None,
    delay_days: Delay = None,
    workers: Workers = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
) -> None:
    """Write what may come to a place as a map, in constant memory: hazard, confidence, causes and where, as bands.

    Frames after the date, and those that were not yet published on it, are not read. A sensor may be missing; without
    weather the net is told that it is unknown.

        headscarp forecast forecast/ landsat.zarr sentinel1.zarr dem.zarr --date 2014-07-29 --horizon 7d --out risk.tif
    """
    from headscarp.prediction.frames import forecast as forecast_raster

    path = forecast_raster(
        bundle,
        stacks,
        out,
        date=date,
        horizon=horizon,
        frames=frames,
        prevalence=prevalence,
        delay_days=delay_days,
        workers=workers,
        resume=resume,
        overwrite=overwrite,
    )
    tell(map=path, style=path.with_suffix(".qml"), item=path.with_suffix(".json"))
    say(f"next: open {path} in QGIS, or: headscarp info {path}")
