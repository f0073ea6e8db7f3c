"""headscarp next: which tiles to label next."""

from pathlib import Path
from typing import Annotated

import typer

from headscarp.cli.options import BundlePath, Label, Out, Overwrite, Seed, Workers
from headscarp.cli.output import tell


def next(
    bundle: BundlePath,
    stack: Annotated[Path, typer.Argument(metavar="STACK", help="A stack with the bundle's bands.")],
    out: Out,
    count: Annotated[int, typer.Option("--count", help="How many tiles to propose.", min=1)] = 20,
    tile_px: Annotated[int, typer.Option("--tile-px", help="Side of a tile, in pixels.", min=4)] = 64,
    label: Label = None,
    engine: Annotated[str, typer.Option("--engine", help="torch or openvino.")] = "torch",
    seed: Seed = None,
    workers: Workers = None,
    overwrite: Overwrite = False,
) -> None:
    """Propose the tiles to label next: where the net is unsure, and unlike what is labelled already.

    The output is a GeoPackage in the coordinate system of the stack; its tiles are ranked, each with its reason.

        headscarp next deeplab/ scene.zarr --out next.gpkg --count 20
    """
    import geopandas as gpd

    from headscarp.prediction.proposals import propose_tiles

    path = propose_tiles(
        bundle,
        stack,
        out,
        count=count,
        tile_px=tile_px,
        label=label,
        engine=engine,
        seed=seed or 0,
        workers=workers,
        overwrite=overwrite,
    )
    table = gpd.read_file(path)
    tell(tiles=path, count=len(table), first=str(table["reason"].iloc[0]))
